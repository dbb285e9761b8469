"""What a log says of suggestions and the cache: Lookup, Lookups.

The events are `hashed` (a worker computed a digest) and `cached` (the cache was asked);
`nas.study.event_log` has their fields. A suggestion whose equal one failed is asked about a second time, and
the last answer counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

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
