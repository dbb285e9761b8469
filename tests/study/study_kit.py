"""Parts for tests of studies: a small space, a cheap evaluator that counts, an executor that overtakes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas.algorithms.regularized_evolution import RegularizedEvolution
from nas.evaluation import (
    Completed,
    Evaluation,
    Evaluator,
    Executor,
    InlineExecutor,
    Objective,
    Status,
    Task,
    failure,
)
from nas.space import SearchSpace
from nas.study import (
    FILE_NAME,
    Budget,
    Observer,
    Plan,
    Progress,
    Searcher,
    SearchFinished,
    Study,
    Suggestion,
    Trial,
    read_events,
)
from nas.study.cache import TextHasher

OBJECTIVE = Objective("accuracy", "maximize", "%")


def small_space() -> SearchSpace:
    """72 architectures with 72 texts."""
    return SearchSpace(
        "small",
        "conv(kernel=oneof(1, 3, 5)) >> repeat(relu() | gelu(), 1, 2) >> conv(width=oneof(8, 16, 32, 64))",
    )


def tiny_space() -> SearchSpace:
    """Three architectures, so that suggestions repeat."""
    return SearchSpace("tiny", "relu() | gelu() | silu()")


def score(text: str) -> float:
    """A fixed pseudo-random accuracy of an architecture, in percent."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") / 2**32 * 100


class FakeEvaluator(Evaluator):
    """Scores texts; remembers which trials it evaluated, with which seeds."""

    objectives = (OBJECTIVE,)
    reported = Objective("test_accuracy", "maximize", "%")
    fidelity_range = ("epochs", 1.0, 12.0)

    def __init__(self, fails: Callable[[Task], bool] = lambda task: False) -> None:
        self.calls: Counter[int] = Counter()
        self.tasks: dict[int, Task] = {}
        self._fails = fails

    def fingerprint(self) -> str:
        return "fake-1"

    def __call__(self, task: Task) -> Evaluation:
        self.calls[task.trial] += 1
        self.tasks[task.trial] = task
        accuracy = score(task.architecture.text)
        cost = 1.0 + accuracy % 7
        if self._fails(task):
            return failure(Status.DIVERGED, "loss is nan", cost)
        values = {"accuracy": accuracy, "test_accuracy": accuracy + task.seed % 3}
        return Evaluation(
            Status.COMPLETED, values, cost, None, ({"epoch": 1, "loss": 0.5},), {"parameters": 7}
        )


class OvertakingExecutor(Executor):
    """Ends tasks in random order, sometimes several at once, on a clock that counts waits."""

    def __init__(self, workers: int, seed: int) -> None:
        self._workers = workers
        self._rng = np.random.default_rng(seed)
        self._tasks: list[Task] = []
        self._evaluator: Any = None
        self._now = 0.0
        self.most = 0

    @property
    def capacity(self) -> int:
        return self._workers

    def open(self, evaluator: Any) -> None:
        self._evaluator = evaluator

    def submit(self, task: Task) -> None:
        self._tasks.append(task)
        self.most = max(self.most, len(self._tasks))

    def wait(self, timeout: float | None = None) -> Sequence[Completed]:
        self._now += 1.0
        done = []
        for _ in range(int(self._rng.integers(1, len(self._tasks) + 1))):
            task = self._tasks.pop(int(self._rng.integers(len(self._tasks))))
            done.append(Completed(task, self._evaluator(task), self._now - 1, self._now, "w"))
        return done

    def now(self) -> float:
        return self._now

    def close(self) -> None:
        self._tasks.clear()

    def describe(self) -> Sequence[str]:
        return ()


def make_study(directory: Path, **changes: Any) -> Study:
    """12 trials by evolution on the small space, 3 baseline and 2 final trials; `changes` replace parts."""
    space = changes.pop("space", None) or small_space()
    searcher = changes.pop("searcher", None) or RegularizedEvolution(
        space, (OBJECTIVE,), seed=5, population=4, sample=2
    )
    evaluator = changes.pop("evaluator", None) or FakeEvaluator()
    executor = changes.pop("executor", None) or InlineExecutor()
    given: dict[str, Any] = {
        "directory": directory,
        "plan": Plan(seed=1, budget=Budget(trials=12), baseline=3, final=2),
        "hasher": TextHasher(),
    }
    return Study(space, searcher, evaluator, executor, **{**given, **changes})


def events_of(directory: Path) -> list[dict[str, Any]]:
    return read_events(directory / FILE_NAME)


def story(directory: Path) -> list[tuple[Any, ...]]:
    """What was asked, evaluated and told, in order; times and sessions left out."""
    kept = []
    for event in events_of(directory):
        match event["event"]:
            case "asked":
                kept.append(
                    ("asked", event["trial"], event["stage"], event.get("architecture"), event.get("seed"))
                )
            case "cached":
                kept.append(("cached", event["trial"], event["outcome"], event["holder"]))
            case "evaluated":
                kept.append(("evaluated", event["trial"], event["evaluation"]["values"].get("accuracy")))
            case "told":
                kept.append(("told", event["trial"], event["cached_from"]))
    return kept


class Scripted(Searcher):
    """Suggests what it is given in turn; None stands for nothing now, the end for nothing left."""

    def __init__(self, space: SearchSpace, script: Sequence[str | None]) -> None:
        self._script = [None if text is None else Suggestion(space.parse(text)) for text in script]
        self.told: list[Trial] = []

    def ask(self, count: int = 1) -> Sequence[Suggestion]:
        if not self._script:
            raise SearchFinished
        suggestion = self._script.pop(0)
        return () if suggestion is None else (suggestion,)

    def tell(self, trial: Trial) -> None:
        self.told.append(trial)


def short_plan(
    trials: int | None = 6, seconds: float | None = None, baseline: int = 0, final: int = 0
) -> Plan:
    """A plan with nothing but what a test needs."""
    return Plan(seed=1, budget=Budget(trials, seconds), baseline=baseline, final=final)


class Watcher(Observer):
    """Keeps what it is shown; may act on an event."""

    def __init__(self, act=lambda event: None):
        self.seen: list[tuple[dict, Progress]] = []
        self.closed = 0
        self._act = act

    def observe(self, event, progress):
        self.seen.append((dict(event), progress))
        self._act(event)

    def close(self):
        self.closed += 1
