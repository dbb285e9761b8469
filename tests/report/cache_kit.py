"""Event logs of studies with a cache, written by hand; what they hold is derived in the comments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.report.report_kit import Log

A = ["network:1:24:aaaaaaaaaaaaaaaa", ""]
B = ["network:1:24:bbbbbbbbbbbbbbbb", "cccccccccccccccc"]
HIDDEN, INPUTS = "hidden randomness", "three inputs are needed"


@dataclass
class CacheLog(Log):
    """A log whose suggestions are hashed and looked up."""

    hashing: str = "functional"

    def opened(self, **changes: Any) -> CacheLog:
        super().opened(**{"hashing": self.hashing, **changes})
        return self

    def suggest(self, index: int, **asked: Any) -> int:
        return self.asked("search", index, f"stem(width={16 + index}) >> conv(kernel=3) >> head()", **asked)

    def hashed(
        self, trial: int, key: list[str] | None, seconds: float | None = None, reason: str | None = None
    ) -> CacheLog:
        """Without `seconds` the hash of an equal text was known."""
        started, self.clock = self.clock, self.clock + (seconds or 0.0)
        digest, settings = key or (None, "")
        self.add(
            event="hashed",
            trial=trial,
            digest=digest,
            settings=settings,
            reason=reason,
            seconds=seconds or 0.0,
            worker=None if seconds is None else "worker-0",
            started=started,
            finished=self.clock,
        )
        return self

    def cached(self, trial: int, outcome: str, holder: int | None, key: Any, **more: Any) -> CacheLog:
        self.add(
            event="cached", trial=trial, outcome=outcome, holder=holder, key=key, **{"dropped": False, **more}
        )
        return self

    def told(self, trial: int, cached_from: int | None = None, **more: Any) -> CacheLog:
        self.add(event="told", trial=trial, cached_from=cached_from, clock=self.clock, **more)
        return self

    def own(self, trial: int, value: float | None, cost: float, **told: Any) -> CacheLog:
        """Its own evaluation, from its start to its end."""
        self.add(event="started", trial=trial, clock=self.clock)
        self.evaluated(trial, None if value is None else (value, value - 1), cost)
        return self.told(trial, **told)


def every_outcome(directory: Path, **options: Any) -> CacheLog:
    """Eleven suggestions, the last one only hashed; two classes and three candidates without a digest.

    Looked up: 10. Hits: 7, 9. Waits: 1. Misses: 0, 2, 3 (it waited for 2, which failed), 8 (its class was
    forgotten after 7). Unhashable: 4, 5, 6. Saved: 1 and 9 by 0 (60 s each), 7 by 3 (40 s): 160 s.
    Evaluation: 60 + 30 + 40 + 3 x 20 + 50 = 240 s. Hashes of workers: 0.1, 0.2, 3 x 0.3, 0.1, 0.5 and 0.2 s:
    8 of them, 2 s together, median (0.2 + 0.3) / 2.
    """
    log = CacheLog(directory, trials=12, **options).opened()
    for index in range(2):
        log.suggest(index)
    log.hashed(0, A, 0.1).cached(0, "miss", None, A)
    log.hashed(1, A).cached(1, "pending", 0, A)
    log.own(0, 90.0, 60.0).told(1, cached_from=0)
    for index in range(2, 4):
        log.suggest(index)
    log.hashed(2, B, 0.2).cached(2, "miss", None, B)
    log.hashed(3, B).cached(3, "pending", 2, B)
    log.own(2, None, 30.0)
    log.cached(3, "miss", None, B).own(3, 95.0, 40.0)
    for index, reason in ((4, HIDDEN), (5, INPUTS), (6, HIDDEN)):
        log.suggest(index)
        log.hashed(index, None, 0.3, reason).cached(index, "miss", None, None, reason=reason)
        log.own(index, 80.0, 20.0)
    log.suggest(7)
    log.hashed(7, B, 0.1).cached(7, "hit", 3, B, dropped=True).told(7, cached_from=3)
    log.suggest(8)
    log.hashed(8, B).cached(8, "miss", None, B).own(8, 96.0, 50.0)
    log.suggest(9)
    log.hashed(9, A, 0.5).cached(9, "hit", 0, A).told(9, cached_from=0)
    log.suggest(10)
    log.hashed(10, A, 0.2)
    return log


def several_evaluations(directory: Path) -> CacheLog:
    """One class that asks for two evaluations: 90 in 60 s, 94 in 40 s; the third suggestion is told 92."""
    log = CacheLog(directory, trials=3).opened()
    means = {"evaluations": 2, "values": {"validation_accuracy": 92.0, "test_accuracy": 91.0}}
    for index, (outcome, holder) in enumerate((("miss", None), ("partial", 0), ("hit", 0))):
        log.suggest(index)
        log.cached(index, outcome, holder, A)
        if outcome == "hit":
            log.told(index, cached_from=0, **means)
        else:
            log.own(index, 90.0 + 4 * index, 60.0 - 20 * index, **(means if index else {}))
    return log
