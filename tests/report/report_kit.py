"""Event logs written by hand, line by line, for tests of reports."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.study import encode
from nas.study.event_log import FORMAT

FIRST = {"search": 0, "baseline": 10_000_000, "final": 20_000_000, "supernet": 30_000_000}
NETWORK = "stem(width=16) >> conv(kernel=3) >> head()"


@dataclass
class Log:
    """One study's log; `values` are (validation, test), None for a trial that failed.

    The chosen architecture is the search trial with the best validation value, as the study's would be.
    """

    directory: Path
    searcher: str = "regularized_evolution"
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    direction: str = "maximize"
    unit: str = "%"
    trials: int | None = 4
    name: str = "digits"
    fingerprint: str = "e1"
    lines: list[dict[str, Any]] = field(default_factory=list)
    clock: float = 0.0

    def opened(self, **changes: Any) -> Log:
        validation = {"name": "validation_accuracy", "direction": self.direction, "unit": self.unit}
        event = {
            "event": "opened",
            "format": FORMAT,
            "session": 1,
            "seed": self.seed,
            "space": {"name": "macro", "fingerprint": "s1", "text": NETWORK},
            "evaluator": {
                "name": "ImageClassification",
                "fingerprint": self.fingerprint,
                "objectives": [validation],
                "reported": {**validation, "name": "test_accuracy"},
            },
            "searcher": {"name": self.searcher, "options": self.options},
            "hashing": "none",
            "baseline": {"samples": 3, "sampler": "uniform over options"},
            "budget": {"trials": self.trials, "seconds": None},
            "final": {"seeds": 2},
            "fidelity": None,
            "config": {"name": self.name},
            "versions": {},
            "commit": None,
        }
        return self.add(**{**event, **changes})

    def add(self, **event: Any) -> Log:
        self.lines.append({"time": 1.7e9 + self.clock, **event})
        return self

    def asked(self, stage: str, index: int, architecture: str = NETWORK, **changes: Any) -> int:
        number = FIRST[stage] + index
        event = {
            "stage": stage,
            "architecture": architecture,
            "digest": hashlib.blake2b(
                architecture.encode(errors="backslashreplace"), digest_size=16
            ).hexdigest(),
            "decisions": {"space": "macro", "decisions": []},
            "fidelity": None,
            "seed": 1000 * self.seed + number,
            "parent": None,
            "info": {},
        }
        self.add(event="asked", trial=number, **{**event, **changes})
        return number

    def evaluated(
        self, number: int, pair: tuple[float, float] | None, cost: float = 60.0, **changes: Any
    ) -> Log:
        start, self.clock = self.clock, self.clock + cost
        names = ("validation_accuracy", "test_accuracy")
        evaluation = {
            "status": "diverged" if pair is None else "completed",
            "values": {} if pair is None else dict(zip(names, pair, strict=True)),
            "cost_seconds": cost,
            "reason": "loss is nan in epoch 2" if pair is None else None,
            "curve": [],
            "info": {} if pair is None else {"parameters": 1234, "device": "cpu"},
            "checkpoint": None,
        }
        return self.add(
            event="evaluated",
            trial=number,
            evaluation={**evaluation, **changes},
            worker="worker-0",
            started=start,
            finished=self.clock,
        )

    def trial(self, stage: str, index: int, values: tuple[float, float] | None, **asked: Any) -> Log:
        architecture = f"stem(width={16 + index}) >> conv(kernel=3) >> head()"
        number = self.asked(stage, index, **{"architecture": architecture, **asked})
        self.add(event="started", trial=number, clock=self.clock)
        self.evaluated(number, values)
        if stage == "search":
            self.add(event="told", trial=number, cached_from=None, clock=self.clock)
        return self

    def search(self, *values: tuple[float, float] | None) -> Log:
        for index, value in enumerate(values):
            self.trial("search", index, value)
        return self

    def baseline(self, *values: tuple[float, float] | None) -> Log:
        for index, value in enumerate(values):
            self.trial("baseline", index, value, architecture=f"stem(width={100 + index}) >> head()")
        return self

    def final(self, architecture: str, *values: tuple[float, float] | None) -> Log:
        before = sum(line["event"] == "asked" and line["stage"] == "final" for line in self.lines)
        for index, value in enumerate(values, before):
            self.trial("final", index, value, architecture=architecture)
        return self

    def closed(self, reason: str = "finished", message: str | None = None) -> Log:
        return self.add(event="closed", reason=reason, message=message)

    def write(self) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        content = "".join(encode(line) + "\n" for line in self.lines)
        (self.directory / "events.jsonl").write_text(content)
        return self.directory


def pairs(tests: Sequence[float]) -> list[tuple[float, float]]:
    """(validation, test) with validation one above."""
    return [(test + 1, test) for test in tests]


def finished_run(directory: Path, **options: Any) -> Path:
    """Four search trials (one failed), three random architectures, two final seeds of search trial 2."""
    log = Log(directory, **options).opened()
    log.search((91.0, 90.0), None, (95.0, 94.0), (93.0, 92.5))
    log.baseline(*pairs((89.0, 90.0, 91.0)))
    log.final("stem(width=18) >> conv(kernel=3) >> head()", *pairs((94.0, 94.4)))
    return log.closed().write()
