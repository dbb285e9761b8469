"""Where a task runs: the Executor protocol and what it gives back.

Executors differ only in where and on which clock; the study's loop knows this file alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nas.evaluation import Evaluation, Evaluator, Task


@dataclass(frozen=True, slots=True)
class Completed:
    """A task that ended.

    Attributes:
        task: as submitted.
        evaluation: its outcome; an executor turns crashes, hangs and lost workers into one.
        started: seconds on the executor's clock at which the work began.
        finished: seconds on the executor's clock at which it ended.
        worker: name of the worker, for the log.
    """

    task: Task
    evaluation: Evaluation
    started: float
    finished: float
    worker: str


class Executor(Protocol):
    """Runs tasks. Used by one thread, as a context manager around the whole study."""

    @property
    def capacity(self) -> int:
        """How many tasks it wants in flight; more may be submitted but only wait in line."""
        ...

    def open(self, evaluator: Evaluator) -> None:
        """Makes workers ready; the evaluator, data included, travels once."""
        ...

    def submit(self, task: Task) -> None:
        """Takes one task without blocking."""
        ...

    def wait(self, timeout: float | None = None) -> Sequence[Completed]:
        """At least one ended task, in order of ending; none only after `timeout` seconds."""
        ...

    def now(self) -> float:
        """Seconds since `open`, on the clock that budgets are measured on (real or simulated)."""
        ...

    def close(self) -> None:
        """Stops all work, running tasks included; safe to call twice."""
        ...
