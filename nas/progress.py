"""What a study shows while it runs: Progress, and the Observer that displays or exports it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Progress:
    """A study's state at one moment.

    Attributes:
        stage: "search", "baseline" or "final": the earliest stage that still has trials to finish.
        done: finished trials of all stages, failed and cached ones included.
        total: trials planned over all stages, or None when only time bounds the search.
        in_flight: trials submitted and not finished.
        failed: finished trials whose evaluation did not complete.
        cache_hits: trials answered from the functional cache.
        best: best value of the first objective among completed search trials, or None.
        best_trial: its number, or None.
        elapsed: seconds on the executor's clock.
        time_left: estimated seconds to the end, or None while nothing is known.
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


class Observer(Protocol):
    """Watches a study; never influences it."""

    def observe(self, event: Mapping[str, Any], progress: Progress) -> None:
        """Called after each event was written, with the event as logged."""
        ...

    def close(self) -> None: ...
