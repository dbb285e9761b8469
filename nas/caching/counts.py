"""The numbers of a cache: how its look-ups ended, what they saved, what hashing took."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import median
from typing import Protocol

from nas.study import HIT, MISS, PARTIAL, PENDING, UNHASHABLE, Lookup


class SearchTrial(Protocol):
    """What the numbers need of a search trial."""

    @property
    def fidelity(self) -> Hashable: ...

    @property
    def cost_seconds(self) -> float: ...

    @property
    def cached_from(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Counts:
    """One run, or as many of its look-ups as there are so far.

    Attributes:
        suggestions: that were looked up.
        hits: answered by an evaluation that had ended.
        waits: equal to a trial in flight, answered or still waiting.
        partial_hits: of a class with fewer evaluations than asked for; evaluated themselves.
        misses: the first of their class, or the first since it was forgotten or its evaluation failed.
        unhashable: without a digest; evaluated without the cache.
        promoted: waited for a trial that failed, then looked up again.
        dropped: answers after which their class was forgotten.
        classes: distinct digests of function and settings, per fidelity.
        saved_evaluations: hits and answered waits.
        saved_seconds: the cost of the evaluation that answered, the first of its class where several did,
            summed over these.
        evaluation_seconds: cost of all evaluations of the search.
        hashed: suggestions that workers hashed, as far as the log says.
        hash_seconds: of all these; NaN without any, as what follows.
        hash_seconds_median: of one.
    """

    suggestions: int
    hits: int
    waits: int
    partial_hits: int
    misses: int
    unhashable: int
    promoted: int
    dropped: int
    classes: int
    saved_evaluations: int
    saved_seconds: float
    evaluation_seconds: float
    hashed: int
    hash_seconds: float
    hash_seconds_median: float

    @property
    def hit_rate(self) -> float:
        """Hits and waits among the suggestions, in percent; NaN without suggestions."""
        return 100 * (self.hits + self.waits) / self.suggestions if self.suggestions else math.nan

    @property
    def hash_share(self) -> float:
        """Seconds of hashing, in percent of those of evaluation; NaN where either is unknown or nothing."""
        return 100 * self.hash_seconds / self.evaluation_seconds if self.evaluation_seconds else math.nan

    def numbers(self) -> dict[str, float]:
        """All of them by name, the two percentages last."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**own, "hit_rate_percent": self.hit_rate, "hash_percent": self.hash_share}


def counts(lookups: Sequence[Lookup], trials: Mapping[int, SearchTrial]) -> Counts:
    """The numbers of these look-ups.

    Args:
        lookups: of a run.
        trials: all search trials of the run by number.
    """
    outcomes = Counter(lookup.outcome for lookup in lookups)
    answers = [found for lookup in lookups if (found := answer(lookup, trials)) is not None]
    seconds = [lookup.hash_seconds for lookup in lookups if lookup.hash_seconds is not None]
    return Counts(
        suggestions=len(lookups) - outcomes[None],
        hits=outcomes[HIT],
        waits=outcomes[PENDING],
        partial_hits=outcomes[PARTIAL],
        misses=outcomes[MISS],
        unhashable=outcomes[UNHASHABLE],
        promoted=sum(lookup.promoted for lookup in lookups),
        dropped=sum(lookup.dropped for lookup in lookups),
        classes=len({key for lookup in lookups if (key := class_of(lookup, trials)) is not None}),
        saved_evaluations=len(answers),
        saved_seconds=sum(trials[holder].cost_seconds for holder in answers),
        evaluation_seconds=sum(trial.cost_seconds for trial in trials.values()),
        hashed=len(seconds),
        hash_seconds=sum(seconds) if seconds else math.nan,
        hash_seconds_median=median(seconds) if seconds else math.nan,
    )


def answer(lookup: Lookup, trials: Mapping[int, SearchTrial]) -> int | None:
    """The trial whose evaluation stands for this one's; None if it has its own or waits for one."""
    told = trials[lookup.trial].cached_from
    if told is not None:  # not always the one it waited for first, which may have failed
        return told
    return lookup.holder if lookup.outcome == HIT else None


def class_of(lookup: Lookup, trials: Mapping[int, SearchTrial]) -> tuple[str, str, Hashable] | None:
    """What its equals share; None before it is looked up and without a digest."""
    if lookup.outcome is None or lookup.functional is None:
        return None
    return lookup.functional, lookup.settings, trials[lookup.trial].fidelity
