"""What a study shows while it runs: Progress, and the Observer that displays or exports it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.registry import Component


@dataclass(frozen=True, slots=True)
class Progress:
    """A study's state at one moment.

    Attributes:
        stage: "search", "baseline" or "final": the earliest stage that still has trials to finish.
        done: finished trials of all stages, failed and cached ones included.
        total: trials planned over all stages, or None when only time bounds the search.
        in_flight: trials submitted and not finished.
        failed: finished trials whose evaluation did not complete.
        cache_hits: trials answered from the functional cache, those that waited included.
        best: best value of the first objective among completed search trials, or None.
        best_trial: its number, or None.
        elapsed: seconds on the executor's clock.
        time_left: estimated seconds to the end, or None while nothing is known.
        cache_waits: trials that had to wait for an equal one in flight.
        cache_misses: trials that were looked up in the cache and are evaluated, those unhashed included.
        unhashed: trials that have no digest, so that the cache is not used for them.
        seconds_saved: cost of the evaluations in whose place the cache answered.
        hash_seconds: that workers spent on hashes, as the executor's clock says.
    """

    stage: str
    done: int
    total: int | None
    in_flight: int
    failed: int
    cache_hits: int
    best: float | None
    best_trial: int | None
    elapsed: float
    time_left: float | None
    cache_waits: int = 0
    cache_misses: int = 0
    unhashed: int = 0
    seconds_saved: float = 0.0
    hash_seconds: float = 0.0


class Observer(Component):
    """Watches a study; never influences it."""

    @abstractmethod
    def observe(self, event: Mapping[str, Any], progress: Progress) -> None:
        """Called after each event was written, with the event as logged."""
        ...

    def close(self) -> None:
        """Called once, when the study ends, however it does."""
