"""Study records as reports read them: Run, names, measured values, failures, the random sample."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.evaluation import Fidelity, Objective, Stage, Status
from nas.study import StudyRecord, TrialRow


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A study record with its parts looked up once, since a log may hold a million trials.

    Attributes:
        record: as read.
        chosen: best completed search trial, None if there is none.
        stages: trials of each stage; of the final ones those of `chosen`.
    """

    record: StudyRecord
    chosen: TrialRow | None
    stages: Mapping[Stage, tuple[TrialRow, ...]]

    @classmethod
    def of(cls, record: StudyRecord) -> Run:
        chosen = record.chosen
        stages: dict[Stage, list[TrialRow]] = {stage: [] for stage in Stage}
        for row in record.trials:
            if row.stage is not Stage.FINAL or (chosen is not None and row.digest == chosen.digest):
                stages[row.stage].append(row)
        return cls(record, chosen, {stage: tuple(rows) for stage, rows in stages.items()})

    @property
    def opened(self) -> Mapping[str, Any]:
        return self.record.opened

    @property
    def deterministic(self) -> bool | None:
        """What the evaluator says of itself; None where it, or a log of before, does not say."""
        return self.opened.get("deterministic")

    @property
    def uninformed(self) -> float | None:
        """Search trials that were asked for without knowing any result; see `nas.study.searcher`."""
        said = (self.record.closed or {}).get("uninformed", self.opened["searcher"].get("uninformed"))
        return None if said is None else float(said)

    @property
    def experiment(self) -> str:
        """Its name in the configuration; empty where the log has none."""
        name = (self.opened.get("config") or {}).get("name")
        return name if isinstance(name, str) else ""

    def section(self, name: str) -> Mapping[str, Any]:
        """A section of the configuration; empty where the log has none, as its values are anybody's."""
        section = (self.opened.get("config") or {}).get(name)
        return section if isinstance(section, dict) else {}

    @property
    def objective(self) -> Objective:
        """What chooses."""
        return self.record.objectives[0]

    def ended(self, stage: Stage) -> list[TrialRow]:
        """The trials of a stage that are over, failed ones included."""
        return [row for row in self.stages[stage] if row.status is not None]


def study_names(directories: Iterable[Path]) -> list[str]:
    """A distinct name for each study: its folder's name, or its path where that is not enough."""
    resolved = [directory.resolve() for directory in directories]
    count = Counter(path.name for path in resolved)
    return [path.name if count[path.name] == 1 else str(path) for path in resolved]


def method_names(runs: Iterable[Run]) -> list[str]:
    """The searcher of each run, with those options that tell it from others of that name."""
    searchers = [run.opened["searcher"] for run in runs]
    return told_apart([(searcher["name"], searcher["options"]) for searcher in searchers])


def told_apart(named: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Each name, with those of its options that differ among the ones of that name."""
    options: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for name, its in named:
        options[name].append(its)
    return [_stated(name, its, options[name]) for name, its in named]


def measured(rows: Iterable[TrialRow], name: str) -> tuple[float, ...]:
    """Finite values of the completed trials."""
    found = (row.value(name) for row in rows if row.ok)
    return tuple(value for value in found if value is not None and math.isfinite(value))


def random_sample(runs: Iterable[Run]) -> tuple[TrialRow, ...]:
    """Ended baseline trials of all runs; the same architecture with the same seed counts once."""
    rows = [row for run in runs for row in run.ended(Stage.BASELINE)]
    return tuple({(row.digest, row.seed): row for row in rows}.values())


def final_values(run: Run) -> tuple[float, ...]:
    """The reported quantity of the final trials, one value for each training.

    A deterministic evaluator, as the log tells, trains nothing anew when it is asked again: its repeated
    number is one. Equal values of any other evaluator are as many trainings that ended alike.
    """
    values = measured(run.stages[Stage.FINAL], run.record.reported.name)
    return values[:1] if run.deterministic and len(set(values)) == 1 else values


def judged_by(run: Run) -> str:
    """What must be equal for results to compare: the evaluator, what it measures, the baseline's sampler."""
    evaluator, sampler = run.opened["evaluator"], run.opened["baseline"]["sampler"]
    return json.dumps([evaluator, sampler], sort_keys=True)


@dataclass(frozen=True, slots=True)
class Draws:
    """What random architectures give at one fidelity.

    Attributes:
        values: finite ones.
        cost_seconds: of all of them, failures included.
        fidelity: None for the full one.
        completed: trials that completed, with or without a value at this fidelity.
    """

    values: tuple[float, ...]
    cost_seconds: float
    fidelity: Fidelity | None
    completed: int


def random_draws(sample: Sequence[TrialRow], objective: Objective, fidelity: Fidelity | None) -> Draws:
    """The baseline's values at a fidelity, those of a lower one from its curves.

    Epoch k of a curve is what a search with k epochs sees, since a shorter training follows the schedule
    of the full one, cut off. The value is that of the last epoch or, if that is how all these trials
    came to theirs, the best one up to there; trials that follow neither rule give no values. The cost is
    a share in proportion to the epochs.
    """
    rows = [row for row in sample if row.ok]
    if fidelity is None:
        cost = sum(row.cost_seconds for row in sample)
        return Draws(measured(rows, objective.name), cost, None, len(rows))
    cost = sum(row.cost_seconds * _share(row, fidelity.value) for row in sample)
    curves = [(row.value(objective.name), _points(row, objective.name)) for row in rows]
    curves = [(value, points) for value, points in curves if points]
    rules: tuple[Callable[[list[float]], float], ...] = (_last, lambda part: min(part, key=objective.loss))
    for rule in rules:
        if all(rule([point for _, point in points]) == value for value, points in curves):
            parts = (_until(points, fidelity.value) for _, points in curves)
            return Draws(tuple(rule(part) for part in parts if part), cost, fidelity, len(rows))
    return Draws((), cost, fidelity, len(rows))


def _last(values: Sequence[float]) -> float:
    return values[-1]


def _points(row: TrialRow, name: str) -> list[tuple[float, float]]:
    """(epoch, finite value) along a trial's curve."""
    found = ((point.get("epoch"), point.get(name)) for point in row.curve)
    return [(epoch, value) for epoch, value in found if epoch and value is not None and math.isfinite(value)]


def _until(points: Sequence[tuple[float, float]], epoch: float) -> list[float]:
    """The values up to an epoch of a curve that has it or stopped before; none of another."""
    part = [point for point in points if point[0] <= epoch]
    whole = part and (part[-1][0] == epoch or len(part) == len(points))
    return [value for _, value in part] if whole else []


def _share(row: TrialRow, epoch: float) -> float:
    """The part of a trial that is over at an epoch."""
    last = row.curve[-1].get("epoch") if row.curve else None
    return min(1.0, epoch / last) if last else 1.0


def failures(rows: Iterable[TrialRow]) -> Counter[Status]:
    """Ended trials that did not complete, by how they ended."""
    return Counter(row.status for row in rows if row.status is not None and not row.ok)


def _stated(name: str, options: Mapping[str, Any], all_options: Sequence[Mapping[str, Any]]) -> str:
    keys = sorted({key for others in all_options for key in others})
    differing = [key for key in keys if len({json.dumps(others.get(key)) for others in all_options}) > 1]
    stated = ", ".join(f"{key}={options.get(key)}" for key in differing)
    return f"{name}({stated})" if stated else str(name)
