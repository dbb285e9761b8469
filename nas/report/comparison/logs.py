"""A comparison of searchers read back from its folder: Comparison, read_comparison.

    comparison.json                       what is compared: methods, seeds, budgets, objectives, optimum
    baseline/events.jsonl                 random architectures, fully evaluated; may be missing
    studies/METHOD/SEED/events.jsonl      one study each (`nas.study.event_log`)
    studies/METHOD/SEED/overhead.json     seconds of each ask, and of all tells

Studies may be missing, under way or failed: what is there is read.

`runs_of` gives what each run has chosen after every evaluation. An evaluation is an ended search trial,
failed ones included, at the highest fidelity of the comparison; trials at lower ones add time and cost only.
The choice after n evaluations is the best completed one among the first n by the first objective, of equal
ones the first that was asked, as in `nas.study.record.rank`.

A comparison may hold half a million trials, of which only numbers are kept, in arrays (`History`): no
architecture, no decisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nas.errors import StoreError, describe_error, one_line
from nas.evaluation import FIRST_TRIAL, Objective, Stage, Status, as_float, stage_of
from nas.report.cache import CacheCounts, counts
from nas.study import FILE_NAME, LineReader, Lookups, cached_event, read_json, read_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Indices = NDArray[np.int64]


FULL = math.inf  # fidelity of a full evaluation
# Lines that say nothing that is asked for are told by their first bytes and never parsed.
_STARTED, _CACHED, _TOLD = b'{"event":"started",', b'{"event":"cached",', b'{"event":"told",'
_EVALUATED_ITSELF, _MEANS = b'"cached_from":null', b'"values":'


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to read of each study.

    Attributes:
        names: of the measured quantities.
        chooser: the objective by which a study chooses.
        full: value of the evaluator's fidelity that is the full evaluation; inf where it is not known.
    """

    names: tuple[str, ...]
    chooser: Objective
    full: float = FULL


@dataclass(slots=True)
class LoggedTrial:
    """What is kept of a trial; `status` is None until it ends, `values` are empty unless it completed.

    Values are those that the searcher was told, by which the study chooses: with several evaluations of a
    class the mean so far.
    """

    digest: str
    fidelity: float
    repeated: bool = False
    status: str | None = None
    values: tuple[float, ...] = ()
    finished: float = 0.0
    cost_seconds: float = 0.0
    cached_from: int | None = None


@dataclass(slots=True)
class StudyNumbers:
    """What a log says, gathered line by line."""

    wanted: Wanted
    trials: dict[int, LoggedTrial] = field(default_factory=dict)
    ended: list[int] = field(default_factory=list)
    seen: set[tuple[str, float]] = field(default_factory=set)
    opened: Mapping[str, Any] = field(default_factory=dict)
    evaluators: dict[str, None] = field(default_factory=dict)  # fingerprints in all sessions
    closed: Mapping[str, Any] | None = None
    exhausted: bool = False
    lookups: Lookups = field(default_factory=Lookups)

    def add(self, event: Mapping[str, Any]) -> None:
        self.closed = None
        match event["event"]:
            case "opened":
                self.opened = event
                self.evaluators[event["evaluator"]["fingerprint"]] = None
            case "closed":
                self.closed = event
            case "asked" if event["trial"] is None:
                self.exhausted = bool(event["exhausted"])
            case "asked":
                self._ask(event)
            case "hashed":
                self.lookups.hashed(event)
            case "cached":
                self.lookups.cached(event)
            case "evaluated":
                self._end(event["trial"], event["evaluation"], event["finished"])
            case "told" if event["cached_from"] is not None:
                self._answer(event["trial"], event["cached_from"], event)
            case "told" if "values" in event:
                self.trials[event["trial"]].values = self._numbers(event["values"])

    def of(self, stage: Stage) -> list[int]:
        """Ended trials of a stage in the order of their ends."""
        return [number for number in self.ended if stage_of(number) is stage]

    def _ask(self, event: Mapping[str, Any]) -> None:
        given = event["fidelity"]
        fidelity = FULL if given is None or given["value"] >= self.wanted.full else float(given["value"])
        trial = self.trials[event["trial"]] = LoggedTrial(event["digest"], fidelity)
        if event["stage"] == Stage.SEARCH:
            key = (trial.digest, fidelity)
            trial.repeated = key in self.seen
            self.seen.add(key)
            self.exhausted = False

    def _end(self, number: int, evaluation: Mapping[str, Any], finished: float) -> None:
        trial = self.trials[number]
        trial.status, trial.finished = evaluation["status"], float(finished)
        trial.cost_seconds = as_float(evaluation["cost_seconds"])
        if trial.status == Status.COMPLETED:
            trial.values = self._numbers(evaluation["values"])
        self.ended.append(number)

    def _numbers(self, values: Mapping[str, Any]) -> tuple[float, ...]:
        return tuple([_finite(values.get(name)) for name in self.wanted.names])

    def _answer(self, number: int, holder: int, told: Mapping[str, Any]) -> None:
        """A trial answered from the cache has the values of another, or a mean of several, at no cost."""
        trial, source = self.trials[number], self.trials[holder]
        trial.cached_from = holder
        trial.status, trial.values, trial.finished = source.status, source.values, float(told["clock"])
        if "values" in told:
            trial.values = self._numbers(told["values"])
        self.ended.append(number)


def read_log(path: Path, wanted: Wanted) -> StudyNumbers:
    """What a log says.

    Raises:
        StoreError: it cannot be read or is damaged.
    """
    log = StudyNumbers(wanted)
    lines = read_lines(path)
    reader = LineReader(path, lines, clean=True)
    for index, line in enumerate(lines):
        if line.startswith(_STARTED):
            reader.skip(index, len(_STARTED))
        elif line.startswith(_TOLD) and _EVALUATED_ITSELF in line and _MEANS not in line:
            reader.skip(index, len(_TOLD))
        else:
            quick = cached_event(line) if line.startswith(_CACHED) else None
            if quick is None:
                log.add(reader.read(index))
            else:
                reader.skip(index, len(_CACHED))
                log.add(quick)
    return log


def _finite(value: Any) -> float:
    number = math.nan if value is None else as_float(value)
    return number if math.isfinite(number) else math.nan


State = Literal["finished", "unfinished", "failed", "missing", "unreadable"]
OVERHEAD = "overhead.json"


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The search trials of one study that have ended, in the order of their ends.

    Attributes:
        state: of the study.
        message: why it failed or cannot be read; otherwise empty.
        exhausted: whether the searcher said that it has nothing left.
        searcher: its registered name; empty where the log does not say.
        uninformed: trials that it asks for before it knows of any result, as in `nas.study.searcher`; None
            where the log does not say.
        number: of each trial.
        values: shape (trials, names), NaN for what was not measured or is not finite, and for failures.
        fidelity: of each trial, inf for the full one.
        failed: which trials did not complete.
        repeated: which architectures had been asked before in the study, at the same fidelity.
        finished: seconds on the executor's clock, never falling.
        cost: seconds of work; those of works besides candidates, such as the training of shared weights, that
            ended since the trial before count with a trial.
        works: how many such works ended.
        asks: seconds of each call of the searcher's `ask`; empty where unknown.
        tells: seconds of all calls of `tell` together; NaN where unknown.
        final: values of the full retrainings of the choice, shape (retrainings, names).
        cache: what the cache did; None without one.
        evaluators: fingerprints of the evaluators of all its sessions, in order; several by `accept` alone.
    """

    state: State
    message: str
    exhausted: bool
    searcher: str
    number: NDArray[np.int64]
    values: Floats
    fidelity: Floats
    failed: Bools
    repeated: Bools
    finished: Floats
    cost: Floats
    asks: Floats
    tells: float
    final: Floats
    cache: CacheCounts | None = None
    works: int = 0
    uninformed: float | None = None
    evaluators: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.number.size


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """Random architectures.

    Attributes:
        values: of those that completed, shape (architectures, names).
        failed: number of others.
        message: why it cannot be read; empty if it can, or is not there.
    """

    values: Floats
    failed: int
    message: str = ""


def read_history(directory: Path, wanted: Wanted) -> History:
    """The study in a folder; one without trials if there is none or its log cannot be read."""
    path = directory / FILE_NAME
    if not path.exists():
        return _history(StudyNumbers(wanted), "missing", "", directory)
    try:
        log = read_log(path, wanted)
    except StoreError as error:
        return _history(StudyNumbers(wanted), "unreadable", str(error), directory)
    state, message = _state(log)
    return _history(log, state, message, directory)


def read_baseline(path: Path, wanted: Wanted) -> Baseline:
    """The baseline trials of a log; the same architecture may occur twice, as in any sample."""
    if not path.exists():
        return Baseline(_table([], wanted.names), 0)
    try:
        log = read_log(path, wanted)
    except StoreError as error:
        return Baseline(_table([], wanted.names), 0, str(error))
    trials = [log.trials[number] for number in log.of(Stage.BASELINE)]
    values = [trial.values for trial in trials if trial.status == Status.COMPLETED]
    return Baseline(_table(values, wanted.names), len(trials) - len(values))


def _state(log: StudyNumbers) -> tuple[State, str]:
    if log.closed is None:
        return "unfinished", ""
    reason, message = log.closed.get("reason"), str(log.closed.get("message") or "")
    if reason == "finished":
        return "finished", ""
    return ("failed" if reason == "error" else "unfinished"), one_line(message, 2000)


def _history(log: StudyNumbers, state: State, message: str, directory: Path) -> History:
    numbers = log.of(Stage.SEARCH)
    trials = [log.trials[number] for number in numbers]
    asks, tells = _overhead(directory / OVERHEAD)
    completed = [trial.status == Status.COMPLETED for trial in trials]
    return History(
        state=state,
        message=message,
        exhausted=log.exhausted,
        searcher=str((log.opened.get("searcher") or {}).get("name") or ""),
        number=np.array(numbers, np.int64),
        values=_table([trial.values for trial in trials], log.wanted.names),
        fidelity=np.array([trial.fidelity for trial in trials], float),
        failed=~np.array(completed, bool),
        repeated=np.array([trial.repeated for trial in trials], bool),
        finished=np.maximum.accumulate(np.array([trial.finished for trial in trials], float)),
        cost=_costs(log),
        asks=asks,
        tells=tells,
        final=_table(_final(log, numbers), log.wanted.names),
        cache=_cache(log),
        works=len(log.of(Stage.SUPERNET)),
        uninformed=_uninformed(log),
        evaluators=tuple(log.evaluators),
    )


def _uninformed(log: StudyNumbers) -> float | None:
    said = (log.closed or {}).get("uninformed", (log.opened.get("searcher") or {}).get("uninformed"))
    return None if said is None else float(said)


def _costs(log: StudyNumbers) -> Floats:
    """Of each candidate, with the works since the one before; the last one's with those that follow it."""
    found, before = [], 0.0
    for number in log.ended:
        stage = stage_of(number)
        if stage is Stage.SUPERNET:
            before += log.trials[number].cost_seconds
        elif stage is Stage.SEARCH:
            found.append(before + log.trials[number].cost_seconds)
            before = 0.0
    if found:
        found[-1] += before
    return np.array(found, float)


def _cache(log: StudyNumbers) -> CacheCounts | None:
    lookups = log.lookups.all()
    if not lookups:
        return None
    first = FIRST_TRIAL[Stage.BASELINE]
    return counts(lookups, {number: trial for number, trial in log.trials.items() if number < first})


def _final(log: StudyNumbers, searched: Sequence[int]) -> list[tuple[float, ...]]:
    """Values of the final trials of the study's choice, by `nas.study.record.rank` and then its number."""
    keys = []
    for number in searched:
        trial = log.trials[number]
        loss = log.wanted.chooser.loss(trial.values[0]) if trial.values else math.inf
        keys += [(-trial.fidelity, loss, number, trial.digest)] if loss < math.inf else []
    chosen = min(keys)[3] if keys else None
    trials = (log.trials[number] for number in log.of(Stage.FINAL))
    return [trial.values for trial in trials if trial.values and trial.digest == chosen]


def _table(rows: Sequence[tuple[float, ...]], names: Sequence[str]) -> Floats:
    """One row of numbers each; NaN for rows without values."""
    table = np.full((len(rows), len(names)), math.nan)
    for index, row in enumerate(rows):
        if row:
            table[index] = row
    return table


def _overhead(path: Path) -> tuple[Floats, float]:
    """Seconds of each ask and of all tells; nothing where the file is not there or half-written."""
    try:
        data = read_json(path)
        return np.array(data["ask_seconds"], float).reshape(-1), float(data["tell_seconds"])
    except (StoreError, ValueError, KeyError, TypeError, OverflowError):
        return np.empty(0), math.nan


MANIFEST = "comparison.json"
FORMAT = 1
_MAX_BUDGET = FIRST_TRIAL[Stage.BASELINE]  # as of a study


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """All studies of a comparison and what they have in common.

    Attributes:
        methods: labels, in the order in which they are shown.
        budgets: numbers of evaluations, ascending, at which methods are compared.
        objectives: what the searchers saw; the first one chooses.
        reported: the quantity of the report.
        optimum: best possible values by name of quantity, as far as they are known; under "hypervolume"
            that of the true front.
        reference: reference point of the hypervolume by name of objective; empty for none.
        default: the project's default method, or None.
        histories: for each method one for each seed, in the order of `seeds`.
        baseline: random architectures.
        names: of the measured quantities, the columns of `History.values`.
    """

    directory: Path
    name: str
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    budgets: tuple[int, ...]
    objectives: tuple[Objective, ...]
    reported: Objective
    optimum: Mapping[str, float]
    reference: Mapping[str, float]
    default: str | None
    histories: Mapping[str, tuple[History, ...]]
    baseline: Baseline
    names: tuple[str, ...]

    @property
    def chooser(self) -> Objective:
        """The objective by which a study chooses."""
        return self.objectives[0]

    @property
    def horizon(self) -> int:
        """The largest budget."""
        return self.budgets[-1]

    @property
    def random(self) -> str | None:
        """Random search: the method labelled so, else the first whose searcher is named so."""
        if "random" in self.methods:
            return "random"
        found = (m for m in self.methods for history in self.histories[m] if history.searcher == "random")
        return next(found, None)

    @property
    def level(self) -> float:
        """The highest fidelity of any completed search trial, inf for the full one: what counts as found."""
        reached = (h.fidelity[~h.failed] for histories in self.histories.values() for h in histories)
        return max((float(fidelity.max()) for fidelity in reached if fidelity.size), default=FULL)

    @property
    def mixed(self) -> tuple[str, ...]:
        """Methods with trials at lower fidelities than that, whose cost numbers of evaluations leave out."""
        level = self.level
        return tuple(m for m, its in self.histories.items() if any((h.fidelity < level).any() for h in its))


def is_comparison(directory: Path | str) -> bool:
    """Whether the folder is that of a comparison of searchers."""
    return (Path(directory) / MANIFEST).is_file()


def read_comparison(directory: Path | str) -> Comparison:
    """The comparison in a folder, in progress or done.

    Raises:
        StoreError: no `comparison.json`, or none of this format.
    """
    directory = Path(directory)
    path = directory / MANIFEST
    manifest = read_json(path, f"a comparison of format {FORMAT}")
    try:
        return _comparison(directory, manifest)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StoreError(
            f"{path}: expected a comparison of format {FORMAT}; reading failed with "
            f"{describe_error(error)}; was it written by another program or version?"
        ) from error


def _comparison(directory: Path, manifest: Mapping[str, Any]) -> Comparison:
    if manifest["format"] != FORMAT:
        raise ValueError(f"format {manifest['format']!r}")
    objectives = tuple(Objective(**data) for data in manifest["objectives"])
    reported = Objective(**manifest["reported"])
    names = tuple(dict.fromkeys(objective.name for objective in (*objectives, reported)))
    wanted = Wanted(names, objectives[0], _full(manifest))
    methods, seeds = tuple(map(_label, manifest["methods"])), tuple(map(int, manifest["seeds"]))
    studies = directory / "studies"
    return Comparison(
        directory=directory,
        name=str(manifest["name"]),
        methods=methods,
        seeds=seeds,
        budgets=_budgets(manifest["budgets"]),
        objectives=objectives,
        reported=reported,
        optimum=_numbers(manifest.get("optimum")),
        reference=_numbers(manifest.get("reference")),
        default=manifest.get("default"),
        histories={
            method: tuple(read_history(studies / method / str(seed), wanted) for seed in seeds)
            for method in methods
        },
        baseline=read_baseline(directory / "baseline" / FILE_NAME, wanted),
        names=names,
    )


def _full(manifest: Mapping[str, Any]) -> float:
    """The evaluator's full fidelity, where the manifest has its range (name, lowest, full)."""
    given = manifest.get("fidelity_range")
    return float(given[2]) if given else FULL


def _label(label: Any) -> str:
    """A method's label; it names a folder, which must be one of this comparison."""
    if not isinstance(label, str) or not label.isprintable() or Path(label).name != label:
        raise ValueError(f"method {label!r}")
    return label


def _budgets(given: Any) -> tuple[int, ...]:
    budgets = tuple(sorted({int(budget) for budget in given}))
    if not budgets or budgets[0] < 1 or budgets[-1] > _MAX_BUDGET:
        raise ValueError(f"budgets {given!r}")
    return budgets


def _numbers(given: Mapping[str, Any] | None) -> dict[str, float]:
    numbers = {str(name): float(value) for name, value in (given or {}).items()}
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


@dataclass(frozen=True, slots=True, eq=False)
class ComparedRun:
    """One study after each of its evaluations, up to the largest budget.

    Attributes:
        history: all of its trials.
        position: index in `history` of each evaluation.
        chosen: index in `history` of the choice after each evaluation; -1 before the first completed one.
    """

    history: History
    position: Indices
    chosen: Indices

    @property
    def time(self) -> Floats:
        """The end of each evaluation, seconds on the executor's clock."""
        return self.history.finished[self.position]

    def of_choice(self, column: int) -> Floats:
        """A measured value of the choice after each evaluation; NaN where it has none."""
        padded = np.append(self.history.values[:, column], math.nan)
        return padded[self.chosen]  # -1 is the padding

    @property
    def keeps(self) -> bool:
        """Whether its last choice stands for all later evaluations: its searcher has nothing left."""
        return self.history.exhausted and self.history.state == "finished" and self.position.size > 0

    def trials(self, evaluations: int) -> int:
        """Trials, lower fidelities included, that ended up to and with this evaluation; 0 for none."""
        return int(self.position[evaluations - 1]) + 1 if evaluations else 0


def runs_of(comparison: Comparison) -> dict[str, tuple[ComparedRun, ...]]:
    """For each method one run for each seed."""
    level = comparison.level
    return {
        method: tuple(_run(history, comparison, level) for history in histories)
        for method, histories in comparison.histories.items()
    }


def uncut(comparison: Comparison) -> Comparison:
    """The comparison with the longest run's number of evaluations as its largest budget.

    A method of several fidelities has no fixed number of evaluations; costs and moments ask for all of them.
    """
    level = comparison.level
    counts = [int((h.fidelity == level).sum()) for its in comparison.histories.values() for h in its]
    longest = max(counts, default=0)
    if longest <= comparison.horizon:
        return comparison
    return replace(comparison, budgets=(*comparison.budgets, longest))


def table_of(
    runs: Mapping[str, Sequence[ComparedRun]], values: Callable[[ComparedRun], Floats], horizon: int
) -> dict[str, Floats]:
    """One row of values for each seed of each method, shape (seeds, horizon).

    NaN where a run did not get; one whose searcher has nothing left keeps its last value.
    """
    return {
        method: np.array([_extended(values(run), run, horizon) for run in its], float).reshape(
            len(its), horizon
        )
        for method, its in runs.items()
    }


def _extended(values: Floats, run: ComparedRun, horizon: int) -> Floats:
    rest = np.full(horizon - values.size, values[-1] if run.keeps else math.nan)
    return np.concatenate([values, rest])


def _run(history: History, comparison: Comparison, level: float) -> ComparedRun:
    position = np.flatnonzero(history.fidelity == level)[: comparison.horizon]
    loss = comparison.chooser.loss
    values, numbers = history.values[:, 0].tolist(), history.number.tolist()
    best, chosen = (math.inf, 0), -1
    held: list[int] = []
    for index in position.tolist():
        key = (loss(values[index]), numbers[index])
        if key[0] < math.inf and key < best:
            best, chosen = key, index
        held.append(chosen)
    return ComparedRun(history, position, np.array(held, np.int64))
