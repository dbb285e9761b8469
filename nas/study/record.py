"""A study read back from its event log: TrialRow, StudyRecord, read_study.

`nas.study.event_log` describes the lines.

What it says of suggestions and the cache are `Lookup`s. The events are `hashed` (a worker computed a digest)
and `cached` (the cache was asked); `nas.study.event_log` has their fields. Where a suggestion waited for an
equal trial that failed, the cache is asked a second time, and the last answer counts.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.callables import renamed
from nas.errors import ConfigError, EvaluationError, StoreError, describe_error, one_line
from nas.evaluation import (
    Evaluation,
    Fidelity,
    Objective,
    Stage,
    Status,
    as_float,
    failure,
    trial_label,
)
from nas.study import FILE_NAME, encode, fault_of_evaluation, read_events, read_json

# A line of the cache as the log writes it, without the parts that vary: parsed at half the time of JSON.
_CACHED = re.compile(
    rb'\{"event":"cached",(?:"n":\d+,)?"time":[0-9.]+,"trial":(\d{1,8}),'
    rb'"outcome":"(hit|pending|partial|miss)","holder":(\d{1,8}|null),'
    rb'"key":\["([!#-\[\]-~ ]*)","([!#-\[\]-~ ]*)"\](?:,"dropped":(true|false))?\}'
)
HIT, PENDING, PARTIAL, MISS, UNHASHABLE = "hit", "pending", "partial", "miss", "unhashable"


@dataclass(slots=True)
class Lookup:
    """One suggestion and the cache, gathered line by line.

    Attributes:
        trial: number of the suggestion's trial.
        outcome: the last one, `HIT` to `UNHASHABLE`; None while it is hashed only.
        holder: trial whose evaluation answers it, or that it waits for.
        functional: digest of its behaviour; None without one.
        settings: digest of the training settings beside it.
        promoted: whether it waited for a trial that failed and was then looked up again.
        dropped: whether its class was forgotten after it was answered.
        clock: latest moment in the log before the first look-up, seconds on the executor's clock; before it
            the end of the hash.
        hash_seconds: what its hashing took; None where the log does not say, and where the hash of an equal
            text was known.
        reason: why it has no digest; None where it has one or the log does not say.
    """

    trial: int
    outcome: str | None = None
    holder: int | None = None
    functional: str | None = None
    settings: str = ""
    promoted: bool = False
    dropped: bool = False
    clock: float = 0.0
    hash_seconds: float | None = None
    reason: str | None = None

    @property
    def is_answered(self) -> bool:
        """Whether another trial's evaluation stands for its own, now or soon."""
        return self.outcome in (HIT, PENDING)


@dataclass(slots=True)
class Lookups:
    """Gathers the look-ups of a log.

    Attributes:
        clock: latest moment so far, in seconds on the executor's clock.
    """

    clock: float = 0.0
    _found: dict[int, Lookup] = field(default_factory=dict)

    def add(self, event: Mapping[str, Any]) -> None:
        """Reads any event; most only move the clock."""
        match event["event"]:
            case "hashed":
                self.hashed(event)
                self._pass(event.get("finished"))
            case "cached":
                self.cached(event)
            case "evaluated":
                self._pass(event["finished"])
            case "told":
                if event.get("dropped"):  # after the answer to one that waited
                    self._of(event["trial"]).dropped = True
                self._pass(event["clock"])
            case "started":
                self._pass(event["clock"])

    def hashed(self, event: Mapping[str, Any]) -> None:
        """A digest, or the reason why there is none."""
        lookup = self._of(event["trial"])
        lookup.functional, lookup.settings = event["digest"], event["settings"] or ""
        lookup.reason, lookup.clock = event["reason"], event["finished"]
        if event["worker"] is not None:  # else it is that of an equal text
            lookup.hash_seconds = (lookup.hash_seconds or 0.0) + float(event["seconds"])

    def cached(self, event: Mapping[str, Any]) -> None:
        """An answer of the cache."""
        trial, key = event["trial"], event["key"]
        lookup = self._found.get(trial)
        if lookup is None or lookup.outcome is None:
            lookup = self._found.pop(trial, None) or Lookup(trial)
            self._found[trial] = lookup  # the last, in the order of the first look-ups
            lookup.clock = self.clock
        elif lookup.outcome == PENDING:
            lookup.promoted = True
        lookup.holder = event["holder"]
        if event.get("dropped"):
            lookup.dropped = True
        if key is None:
            lookup.outcome, lookup.reason = UNHASHABLE, event.get("reason", lookup.reason)
        else:
            lookup.outcome = event["outcome"]
            lookup.functional, lookup.settings = key

    def all(self) -> tuple[Lookup, ...]:
        """In the order in which they were looked up first; before them those that were hashed only."""
        return tuple(self._found.values())

    def _of(self, trial: int) -> Lookup:
        found = self._found.get(trial)
        if found is None:
            found = self._found[trial] = Lookup(trial)
        return found

    def _pass(self, moment: float | None) -> None:
        if moment is not None and moment > self.clock:
            self.clock = moment


def cached_event(line: bytes) -> dict[str, Any] | None:
    """What matters of a line about the cache; None for any other, and for one that JSON has to parse."""
    found = _CACHED.fullmatch(line)
    if found is None:
        return None
    trial, outcome, holder, functional, settings, dropped = found.groups()
    return {
        "event": "cached",
        "trial": int(trial),
        "outcome": outcome.decode(),
        "holder": None if holder == b"null" else int(holder),
        "key": (functional.decode(), settings.decode()),
        "dropped": dropped == b"true",
    }


def lookups_of(events: Iterable[Mapping[str, Any]]) -> tuple[Lookup, ...]:
    """The look-ups of a whole log; none without a cache."""
    found = Lookups()
    for event in events:
        found.add(event)
    return found.all()


COMPARISON = "comparison.json"  # in the folder of a comparison of searchers, in place of a log
PROTOCOL = "protocol.json"  # in the folder of a study of protocols
AUDIT = "audit.json"  # in the folder of an audit of a hasher
KINDS = {
    FILE_NAME: "a run",
    COMPARISON: "a comparison",
    PROTOCOL: "a study of protocols",
    AUDIT: "an audit",
}


def holds_run(folder: Path) -> bool:
    """Whether a run, a comparison, a study of protocols or an audit has settled in the folder."""
    return any(os.path.exists(folder / name) for name in KINDS)


def manifest_of(folder: Path) -> Path | None:
    """The file of a comparison, a study of protocols or an audit that says what it is, if there is one."""
    names = (COMPARISON, PROTOCOL, AUDIT)
    return next((folder / name for name in names if os.path.isfile(folder / name)), None)


def compared(folder: Path) -> Mapping[str, Any] | None:
    """The configuration in the folder's manifest, with today's names; None if that is damaged."""
    try:
        config = read_json(manifest_of(folder) or folder).get("config")
    except StoreError:
        return None
    return renamed(config) if isinstance(config, dict) else None


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial as the log knows it.

    Attributes:
        number: unique in its study; see `FIRST_TRIAL`.
        architecture: its text.
        decisions: `Architecture.to_json()`.
        fidelity: at which it was evaluated, None for the full evaluation.
        parent: trial that its suggestion builds on.
        status: None while it is in flight.
        values: objective and other measured names -> value.
        cost_seconds: work spent; 0 for a trial answered from the cache.
        started: seconds on the executor's clock, downtime between sessions not counted.
        finished: likewise; for a cached trial the moment of its answer.
        asked_time: unix seconds.
        cached_from: trial whose evaluation answered this one, or None.
        told: what the searcher was told in place of `values`: the mean of several equal trials; None if it
            was told the values.
        info: the searcher's facts about its suggestion.
        evaluation_info: the evaluator's facts.
    """

    number: int
    stage: Stage
    architecture: str
    digest: str
    decisions: Any
    seed: int
    fidelity: Fidelity | None
    parent: int | None
    asked_time: float
    info: Mapping[str, Any]
    status: Status | None = None
    reason: str | None = None
    values: Mapping[str, float] | None = None
    cost_seconds: float = 0.0
    started: float | None = None
    finished: float | None = None
    cached_from: int | None = None
    worker: str | None = None
    curve: tuple[Mapping[str, float], ...] = ()
    checkpoint: str | None = None
    evaluation_info: Mapping[str, Any] | None = None
    told: Mapping[str, float] | None = None

    @property
    def label(self) -> str:
        """Stage and number within it, e.g. "baseline 3"."""
        return trial_label(self.number)

    @property
    def ok(self) -> bool:
        """Whether its evaluation completed."""
        return self.status is Status.COMPLETED

    def value(self, name: str) -> float | None:
        """A measured value, None if there is none."""
        return (self.values or {}).get(name)


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study as read from its log, finished or not.

    Attributes:
        opened: payload of the latest `opened` event; a continued study has one for each session.
        trials: in the order in which they were asked.
        closed: the `closed` event if it is the last one, else None.
        sessions: number of `opened` events.
        openings: payloads of all of them, in order; commit, versions, limits and device may differ.
        lookups: what became of suggestions in the cache; none without a cache.
    """

    directory: Path
    opened: Mapping[str, Any]
    trials: tuple[TrialRow, ...]
    closed: Mapping[str, Any] | None
    sessions: int = 1
    openings: tuple[Mapping[str, Any], ...] = ()
    lookups: tuple[Lookup, ...] = ()

    @property
    def in_progress(self) -> bool:
        """Whether it runs at this moment or was killed: the log cannot tell them apart."""
        return self.closed is None

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What the search saw; the first one chooses."""
        return tuple(Objective(**data) for data in self.opened["evaluator"]["objectives"])

    @property
    def reported(self) -> Objective:
        """What the report compares."""
        return Objective(**self.opened["evaluator"]["reported"])

    def stage(self, stage: Stage) -> tuple[TrialRow, ...]:
        """The trials of one stage."""
        return tuple(row for row in self.trials if row.stage is stage)

    @property
    def chosen(self) -> TrialRow | None:
        """The best completed search trial so far, by `rank`; None if there is none."""
        objective = self.objectives[0]
        rows = self._completed_search()
        ranked = [(rank(objective, row.told or row.values or {}, row.fidelity), row) for row in rows]
        usable = [(key, row.number, row) for key, row in ranked if key is not None]
        return min(usable, key=lambda item: item[:2])[2] if usable else None

    @property
    def final(self) -> tuple[TrialRow, ...]:
        """The retrainings of the chosen architecture; those of earlier choices are left out."""
        chosen = self.chosen
        rows = self.stage(Stage.FINAL)
        return tuple(row for row in rows if chosen is not None and row.digest == chosen.digest)

    def _completed_search(self) -> Iterator[TrialRow]:
        return (row for row in self.trials if row.stage is Stage.SEARCH and row.ok)


def rank(
    objective: Objective, values: Mapping[str, float], fidelity: Fidelity | None
) -> tuple[float, float] | None:
    """Sort key of a completed trial, best first: higher fidelity, then the objective; None if not usable.

    Values of a lower fidelity do not compare with those of a higher one, so the highest that a search
    reached decides.
    """
    loss = objective.loss(values.get(objective.name))
    if loss == math.inf:
        return None
    return (-math.inf if fidelity is None else -fidelity.value, loss)


def evaluation_to_json(evaluation: Evaluation, objectives: Sequence[Objective]) -> dict[str, Any]:
    """The evaluation as it is logged; a failure in its place if it is not what an evaluator may return.

    Searchers are told what this gives back through `evaluation_from_json`, live and in a replay alike.
    """
    try:
        data = json.loads(encode(evaluation.to_json()))
        fault = fault_of_evaluation(data)
    except Exception as error:  # whatever the evaluator's own objects raise
        fault, data = describe_error(error), {}
    if fault is not None:
        return _refused(f"the evaluator returned what cannot be logged: {fault}", 0.0)
    logged = evaluation_from_json(data)
    missing = [objective.name for objective in objectives if objective.name not in logged.values]
    if logged.ok and missing:
        got = ", ".join(logged.values) or "none"
        reason = f"the evaluator returned no value of {', '.join(missing)}; got {got}"
        return _refused(reason, logged.cost_seconds)
    return data


def _refused(reason: str, seconds: float) -> dict[str, Any]:
    return failure(Status.ERROR, f"{EvaluationError.__name__}: {reason}", seconds).to_json()


def evaluation_from_json(data: Mapping[str, Any]) -> Evaluation:
    """The evaluation of an `evaluated` line; "nan", "inf" and "-inf" are numbers again where one is due."""
    return Evaluation(
        _STATUSES[data["status"]],
        _numbers(data["values"]),
        as_float(data["cost_seconds"]),
        data["reason"],
        tuple([_numbers(row) for row in data["curve"]]),
        data["info"],
        data["checkpoint"],
    )


_STATUSES = {status.value: status for status in Status}


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: as_float(value) for name, value in values.items()}


def read_study(directory: Path) -> StudyRecord:
    """The study recorded in a folder, in progress or closed."""
    directory = Path(directory)
    events = read_events(directory / FILE_NAME, clean=True)
    opened = [event for event in events if event["event"] == "opened"]
    if not opened:
        raise StoreError(
            f"{directory / FILE_NAME}: expected an opened event first; the log is empty; run again"
        )
    closed = events[-1] if events[-1]["event"] == "closed" else None
    trials = tuple(_rows(events))
    hashed = any(event["event"] in ("hashed", "cached") for event in events)
    lookups = lookups_of(events) if hashed else ()
    return StudyRecord(directory, opened[-1], trials, closed, len(opened), tuple(opened), lookups)


def _rows(events: Iterable[Mapping[str, Any]]) -> Iterator[TrialRow]:
    rows: dict[int, dict[str, Any]] = {}
    for event in events:
        _apply(rows, event)
    return (TrialRow(**fields) for fields in rows.values())


def _apply(rows: dict[int, dict[str, Any]], event: Mapping[str, Any]) -> None:
    number = event.get("trial")
    if number is None:
        return
    match event["event"]:
        case "asked":
            rows[number] = _asked_fields(event)
        case "started":
            rows[number]["started"] = event["clock"]
        case "evaluated":
            rows[number].update(_evaluated_fields(event))
        case "told" if event["cached_from"] is not None:
            rows[number].update(_answered_fields(event, rows[event["cached_from"]]))
        case "told" if "values" in event:
            rows[number]["told"] = _numbers(event["values"])


def fidelity_from_json(data: Mapping[str, Any] | None) -> Fidelity | None:
    return None if data is None else Fidelity(data["name"], data["value"])


def _asked_fields(event: Mapping[str, Any]) -> dict[str, Any]:
    same = ("architecture", "digest", "decisions", "seed", "parent", "info")
    return {
        "number": event["trial"],
        "stage": Stage(event["stage"]),
        "fidelity": fidelity_from_json(event["fidelity"]),
        "asked_time": event["time"],
        **{name: event[name] for name in same},
    }


def _evaluated_fields(event: Mapping[str, Any]) -> dict[str, Any]:
    evaluation = evaluation_from_json(event["evaluation"])
    return {
        "status": evaluation.status,
        "reason": evaluation.reason,
        "values": evaluation.values,
        "cost_seconds": evaluation.cost_seconds,
        "curve": evaluation.curve,
        "checkpoint": evaluation.checkpoint,
        "evaluation_info": evaluation.info,
        "worker": event["worker"],
        "started": event["started"],
        "finished": event["finished"],
    }


def _answered_fields(event: Mapping[str, Any], holder: Mapping[str, Any]) -> dict[str, Any]:
    copied = ("status", "values", "curve", "checkpoint", "evaluation_info")
    mean = {"values": _numbers(event["values"])} if "values" in event else {}
    return {
        **{name: holder[name] for name in copied},
        **mean,
        "cached_from": event["cached_from"],
        "started": event["clock"],
        "finished": event["clock"],
    }


def folder_at(key: str, text: str) -> Path:
    """The folder that a configuration's value names; raises ConfigError for what cannot be a path."""
    if not text.strip() or "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise ConfigError(f"{key}: expected the path of a folder, got {one_line(repr(text))}; give another")
    try:
        path = Path(text).expanduser()
        path.exists()
        return Path(os.path.relpath(path.resolve())) if ".." in path.parts else path
    except (RuntimeError, OSError) as error:  # ~user, and there is none; a name that is too long
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"{key}: expected a path, got {one_line(text, 100)}: {one_line(why)}; give another"
        ) from None
