"""What a report claims: methods beside random sampling, row by row, and the notes that qualify each claim.

Runs with the same space, evaluator and baseline sampler form one table; others do not compare.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from nas.evaluation import Objective, Stage
from nas.report.notes import notes
from nas.report.records import (
    Run,
    final_values,
    judged_by,
    measured,
    method_names,
    random_sample,
    study_names,
)
from nas.report.statistics import Improvement, compare, deviation, mean, rank_test

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One line of a result table.

    Attributes:
        method: the searcher's name, or "random sampling".
        run: which of several runs, e.g. "seed 3" or "5 runs"; empty for the only one.
        kind: "random" sampling, one "run", or the mean over several "runs" of a searcher.
        values: the reported quantity: one for each architecture of random sampling, for each final
            training of a run, for each run of several.
        comparison: with random sampling; None for random sampling itself.
        trials: search trials of the run or runs; trials of random sampling.
        cost_seconds: work spent on these trials, failures included.
        bold: best mean of the summary rows, and better than each other of them by the rank test.
        doubtful: whether n may be 1: all values of a run are equal, and nothing says whether its evaluator is
            deterministic. Such a row is not bold.
    """

    method: str
    run: str
    kind: Literal["random", "run", "runs"]
    values: tuple[float, ...]
    comparison: Improvement | None
    trials: int
    cost_seconds: float
    bold: bool = False
    doubtful: bool = False

    @property
    def label(self) -> str:
        """The method and, where it takes one to tell it, the run."""
        return f"{self.method}, {self.run}" if self.run else self.method

    @property
    def mean(self) -> float:
        """NaN without values."""
        return mean(self.values)

    @property
    def std(self) -> float:
        """Sample standard deviation (n - 1); NaN below two values, inf where no float holds it."""
        return deviation(self.values)


@dataclass(frozen=True, slots=True)
class ResultTable:
    """All runs of one setting.

    Attributes:
        setting: the space and the evaluator, in words.
        objective: what is compared.
        rows: random sampling first.
        notes: what a reader must know to read the rows rightly; whole sentences.
        runs: in the order given.
    """

    setting: str
    objective: Objective
    rows: tuple[ResultRow, ...]
    notes: tuple[str, ...]
    runs: tuple[Run, ...]


def result_tables(runs: Iterable[Run]) -> tuple[ResultTable, ...]:
    """One table for each setting, in the order of the runs."""
    settings: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        settings[f"{run.opened['space']['fingerprint']} {judged_by(run)}"].append(run)
    return tuple(_table(group) for group in settings.values())


def summary_rows(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """Random sampling and one row for each method: the one over its runs, where there are several."""
    over_runs = {row.method for row in rows if row.kind == "runs"}
    return [row for row in rows if row.kind != "run" or row.method not in over_runs]


def _table(runs: Sequence[Run]) -> ResultTable:
    objective = runs[0].record.reported
    sample = random_sample(runs)
    random = ResultRow(
        "random sampling",
        "",
        "random",
        measured(sample, objective.name),
        None,
        len(sample),
        sum(row.cost_seconds for row in sample),
    )
    methods: dict[str, list[Run]] = defaultdict(list)
    for run, method in zip(runs, method_names(runs), strict=True):
        methods[method].append(run)
    rows = [random]
    for method, its_runs in methods.items():
        rows += _method_rows(method, its_runs, random)
    over_runs = any(row.kind == "runs" for row in rows)
    said = notes(runs, sample, over_runs=over_runs)
    return ResultTable(_setting(runs), objective, _embolden(rows, objective), said, tuple(runs))


def _setting(runs: Sequence[Run]) -> str:
    """The experiment's name, where it has one, the space and the evaluator."""
    opened = runs[0].opened
    names = dict.fromkeys(run.experiment for run in runs)
    experiment = ", ".join(name for name in names if name)
    parts = f"space {opened['space']['name']}, evaluator {opened['evaluator']['name']}"
    return f"{experiment}: {parts}" if experiment else parts


def _method_rows(method: str, runs: Sequence[Run], random: ResultRow) -> list[ResultRow]:
    """A row for each run, and one over all runs with different seeds if there are at least two."""
    names = study_names(run.record.directory for run in runs)
    seeds = Counter(run.opened["seed"] for run in runs)
    rows = []
    for run, name in zip(runs, names, strict=True):
        seed = run.opened["seed"]
        which = f"seed {seed}" + (f" ({name})" if seeds[seed] > 1 else "")
        values = final_values(run)
        rows.append(_row((method, which if len(runs) > 1 else ""), "run", values, [run], random))
    distinct: dict[int, tuple[Run, float]] = {}
    for run, row in zip(runs, rows, strict=True):
        if row.values:
            distinct.setdefault(run.opened["seed"], (run, row.mean))
    if len(distinct) > 1:
        ended, means = zip(*distinct.values(), strict=True)
        rows.append(_row((method, f"{len(ended)} runs"), "runs", means, ended, random))
    return rows


def _row(
    label: tuple[str, str],
    kind: Literal["run", "runs"],
    values: tuple[float, ...],
    runs: Sequence[Run],
    random: ResultRow,
) -> ResultRow:
    direction = runs[0].record.reported.direction
    trials = [row for run in runs for row in run.ended(Stage.SEARCH)]
    comparison = compare(values, random.values, direction=direction)
    works = [row for run in runs for row in run.ended(Stage.SUPERNET)]
    cost = sum(row.cost_seconds for row in (*trials, *works))
    doubtful = kind == "run" and runs[0].deterministic is None and len(values) > 1 and len(set(values)) == 1
    return ResultRow(*label, kind, values, comparison, len(trials), cost, doubtful=doubtful)


def _embolden(rows: Sequence[ResultRow], objective: Objective) -> tuple[ResultRow, ...]:
    """Marks the best of random sampling and the methods, if the rank test separates it from all others."""
    rivals = [row for row in summary_rows(rows) if row.values]
    if len(rivals) < 2:
        return tuple(rows)
    best = min(rivals, key=lambda row: objective.loss(row.mean))
    others = [row for row in rivals if row is not best]
    tested = not any(row.doubtful for row in rivals)
    clear = tested and all(rank_test(best.values, row.values)[0] < ALPHA for row in others)
    return tuple(replace(row, bold=clear) if row is best else row for row in rows)
