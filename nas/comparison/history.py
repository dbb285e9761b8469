"""One study of a comparison in arrays: History, read from its event log."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from nas.caching.counts import Counts, counts
from nas.comparison.log import StudyLog, Wanted, read_log
from nas.errors import StoreError, one_line
from nas.evaluation import Stage, Status
from nas.store import FIRST_TRIAL, stage_of
from nas.study import FILE_NAME, read_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

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
    cache: Counts | None = None
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
        return _history(StudyLog(wanted), "missing", "", directory)
    try:
        log = read_log(path, wanted)
    except StoreError as error:
        return _history(StudyLog(wanted), "unreadable", str(error), directory)
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


def _state(log: StudyLog) -> tuple[State, str]:
    if log.closed is None:
        return "unfinished", ""
    reason, message = log.closed.get("reason"), str(log.closed.get("message") or "")
    if reason == "finished":
        return "finished", ""
    return ("failed" if reason == "error" else "unfinished"), one_line(message, 2000)


def _history(log: StudyLog, state: State, message: str, directory: Path) -> History:
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


def _uninformed(log: StudyLog) -> float | None:
    said = (log.closed or {}).get("uninformed", (log.opened.get("searcher") or {}).get("uninformed"))
    return None if said is None else float(said)


def _costs(log: StudyLog) -> Floats:
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


def _cache(log: StudyLog) -> Counts | None:
    lookups = log.lookups.all()
    if not lookups:
        return None
    first = FIRST_TRIAL[Stage.BASELINE]
    return counts(lookups, {number: trial for number, trial in log.trials.items() if number < first})


def _final(log: StudyLog, searched: Sequence[int]) -> list[tuple[float, ...]]:
    """Values of the final trials of the study's choice, by `nas.store.rank` and then its number."""
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
