"""The lines of a study's log that a comparison needs, and no more: StudyLog, read_log.

A comparison may hold half a million trials, of which only numbers are kept: no architecture, no decisions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.caching.lookups import Lookups, cached_event
from nas.evaluation import Objective, Stage, Status, as_float
from nas.store import stage_of
from nas.study import LineReader, read_lines

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
class StudyLog:
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


def read_log(path: Path, wanted: Wanted) -> StudyLog:
    """What a log says.

    Raises:
        StoreError: it cannot be read or is damaged.
    """
    log = StudyLog(wanted)
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
