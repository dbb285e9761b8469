"""One session of a study: its log, the clock in its lines, and those who watch.

What a study shows while it runs: Progress, and the Observer that displays or exports it.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.evaluation import Executor, VirtualClock
from nas.faults import interrupts, named
from nas.registry import Component
from nas.study.event_log import FILE_NAME, EventLog, Lock, taken


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


Event = Mapping[str, Any]


class StudyLog:
    """Writes events, then shows them.

    Args:
        executor: whose clock is logged.
        observers: shown each event once it was written and took effect.
        look: the progress at a moment of the clock.
    """

    def __init__(
        self, executor: Executor, observers: Sequence[Observer], look: Callable[[float], Progress]
    ) -> None:
        self._executor = executor
        self._observers = observers
        self._look = look
        self._log: EventLog | None = None
        self._lock = Lock()
        self._before = 0.0
        self._running = False

    def set_clock(self, seconds: float) -> None:
        """Lets the clock stand at the end of the last session."""
        self._before = seconds

    def hold(self, directory: Path) -> bool:
        """Keeps other drivers away from the log until `close`; False if one has it."""
        return self._lock.take(directory / FILE_NAME)

    def open(self, directory: Path) -> None:
        """Opens or creates the log."""
        exists = (directory / FILE_NAME).exists()
        self._log = EventLog.open(directory) if exists else EventLog.create(directory)
        if not self.hold(directory):
            raise taken(directory / FILE_NAME)

    def start_clock(self) -> None:
        """From now on the executor's clock, just opened, runs."""
        if isinstance(self._executor, VirtualClock):  # it stands where the last session did
            self._before = 0.0
        self._running = True

    def moment(self, executor_seconds: float) -> float:
        """A moment of the executor's clock, in seconds of all sessions together."""
        return self._before + executor_seconds

    def clock(self) -> float:
        """Now, in seconds of all sessions together."""
        return self.moment(self._executor.now()) if self._running else self._before

    def write(self, event: str, **payload: Any) -> Event:
        """Writes one event; to be called before it takes effect."""
        assert self._log is not None
        return self._log.append(event, **payload)

    def show(self, event: Event) -> None:
        """Shows an event that took effect; nothing of a session whose executor did not open."""
        if self._observers and self._running:
            now = self._look(self.clock())
            for observer in tuple(self._observers):
                self._call(observer, "observe", observer.observe, event, now)

    def close_observers(self) -> None:
        """Each of them, whatever another one raises."""
        for observer in tuple(self._observers):
            self._call(observer, "close", observer.close)

    def _call(self, observer: Observer, name: str, method: Callable[..., None], *given: Any) -> None:
        """Goes on without an observer that raises: it watches a study and never influences it."""
        try:
            method(*given)
        except BaseException as error:
            if interrupts(error):
                raise
            self._observers = [other for other in self._observers if other is not observer]
            warnings.warn(
                f"{type(observer).__name__}.{name} raised {named(error)}; the study goes on without it",
                stacklevel=2,
            )

    def close(self) -> None:
        """Stops the clock, closes the log and lets go of it; safe to call twice."""
        self._before, self._running = self.clock(), False
        if self._log is not None:
            self._log.close()
        self._lock.release()
