"""Where a task runs: the Executor protocol, and the two executors that need nothing but this process.

Executors differ only in where and on which clock; the study's loop knows the protocol alone.
"""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Protocol

from nas.errors import ConfigError, ProtocolError
from nas.evaluation import Evaluation, Evaluator, Status, Task, failure, perform

_SIMULATED = "simulated-"  # a simulated worker's name, before its number
_OUT_OF_MEMORY_TEXTS = ("out of memory", "can't allocate memory", "cannot allocate memory")


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


@dataclass(frozen=True, slots=True)
class Planned:
    """How a virtual clock carries a task out, known as soon as it begins.

    Attributes:
        started: seconds on the executor's clock.
        finished: likewise; None in logs that do not say it: it then follows from the cost.
        worker: its name; None in logs that do not say it.
    """

    started: float
    finished: float | None = None
    worker: str | None = None


class Executor(Protocol):
    """Runs tasks. Used by one thread, as a context manager around the whole study."""

    @property
    def capacity(self) -> int:
        """How many tasks it wants in flight; more may be submitted but only wait in line.

        Ask again before each submission: it may change as the length of the trials becomes known.
        """
        ...

    def open(self, evaluator: Evaluator) -> None:
        """Makes workers ready; the evaluator, data included, travels once."""
        ...

    def submit(self, task: Task) -> None:
        """Takes one task without blocking."""
        ...

    def wait(self, timeout: float | None = None) -> Sequence[Completed]:
        """At least one ended task, in order of ending; none only after `timeout` seconds.

        Raises:
            ProtocolError: nothing is in flight.
        """
        ...

    def now(self) -> float:
        """Seconds since `open`, on the clock that budgets are measured on (real or simulated)."""
        ...

    def close(self) -> None:
        """Stops all work, running tasks included; safe to call twice."""
        ...

    def describe(self) -> Sequence[str]:
        """Lines for the head of a run: where its trials run and how to look at them."""
        ...


class VirtualClock(Executor):
    """An executor whose seconds pass at once: `wait` never blocks, a task's end is planned when it begins.

    Plans are logged, so that a killed study goes on as if it never was: what was in flight ends when, where
    and in the order that was planned. To be named as a base class; `isinstance` is asked.
    """

    @abstractmethod
    def submit(self, task: Task) -> Planned:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Takes one task and says when it will have ended."""
        ...

    @abstractmethod
    def resume(self, clock: float, in_flight: Sequence[tuple[Task, Planned]]) -> None:
        """Sets the clock just opened to where an earlier session stood.

        Args:
            clock: seconds; `now` goes on from there.
            in_flight: tasks that had begun and not ended, with their plans, in the order of their starts.
        """
        ...


def carry_out(
    evaluate: Callable[[Task], Evaluation], task: Task, clock: Callable[[], float] = time.monotonic
) -> Evaluation:
    """Evaluates, with every exception turned into an evaluation that names it in one line.

    Args:
        evaluate: an evaluator; its own report of a failure is passed on as it is.
        task: what to evaluate.
        clock: seconds; measures the cost of an evaluation that raised.
    """
    started = clock()
    try:
        evaluation = evaluate(task)
    except Exception as error:  # the one place where a candidate's fault becomes data
        status = Status.OUT_OF_MEMORY if is_out_of_memory(error) else Status.ERROR
        return failure(status, f"{type(error).__name__}: {error}", clock() - started)
    if not isinstance(evaluation, Evaluation):
        got = type(evaluation).__name__
        return failure(Status.ERROR, f"the evaluator returned {got}, not an Evaluation", clock() - started)
    return evaluation


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on the host or on a device (torch says it in words only)."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower() if isinstance(error, RuntimeError | OSError) else ""
    return any(known in text for known in _OUT_OF_MEMORY_TEXTS)


class InlineExecutor:
    """Runs each task in this process, inside `wait`.

    Time limits are cooperative (`Task.time_limit`), hangs and memory are not isolated, and `wait`
    returns when its task ends, whatever its timeout.
    """

    capacity = 1

    def __init__(self) -> None:
        self._evaluator: Evaluator | None = None
        self._tasks: deque[Task] = deque()
        self._opened = 0.0

    def open(self, evaluator: Evaluator) -> None:
        self._evaluator, self._opened = evaluator, time.monotonic()

    def submit(self, task: Task) -> None:
        _require(self._evaluator)
        self._tasks.append(task)

    def wait(self, timeout: float | None = None) -> Sequence[Completed]:  # noqa: ARG002 - cannot interrupt
        evaluator = _require(self._evaluator)
        if not self._tasks:
            raise nothing_in_flight()
        task, started = self._tasks.popleft(), self.now()
        evaluation = carry_out(partial(perform, evaluator), task)
        return (Completed(task, evaluation, started, self.now(), "inline"),)

    def now(self) -> float:
        return time.monotonic() - self._opened

    def close(self) -> None:
        self._evaluator = None
        self._tasks.clear()

    def describe(self) -> Sequence[str]:
        return ("inline: one trial at a time in this process; time limits are cooperative",)


class SimulatedExecutor(VirtualClock):
    """A virtual clock: a task takes its `cost_seconds` on one of `workers`, the first by number that is free.

    For evaluators that look results up, so that a study of days passes in seconds. Tasks start in
    the order of submission; equal finishing times end in that order too. `Task.time_limit` counts
    simulated seconds: a task whose cost exceeds it ends as `TIMEOUT` at the limit.
    """

    def __init__(self, workers: int = 1) -> None:
        if workers < 1:
            raise ConfigError(f"executor.workers: expected at least 1, got {workers}; raise it")
        self._workers = workers
        self._evaluator: Evaluator | None = None
        self._idle: list[int] = []  # workers, a heap
        self._busy: list[tuple[float, int]] = []  # (time at which it is free, worker), a heap
        self._running: list[tuple[float, int, Completed]] = []  # (finish, order of submission, ..)
        self._submitted = 0
        self._now = 0.0

    @property
    def capacity(self) -> int:
        return self._workers

    def open(self, evaluator: Evaluator) -> None:
        self._evaluator, self._now = evaluator, 0.0
        self._idle, self._busy, self._running = list(range(self._workers)), [], []

    def resume(self, clock: float, in_flight: Sequence[tuple[Task, Planned]]) -> None:
        self._now = clock
        busy: dict[int, float] = {}
        for task, plan in in_flight:
            evaluation = self._evaluate(task)
            finished = plan.started + evaluation.cost_seconds if plan.finished is None else plan.finished
            if not math.isclose(finished, plan.started + evaluation.cost_seconds):  # a cost that is measured
                evaluation = replace(evaluation, cost_seconds=max(finished - plan.started, 0.0))
            worker = _number_of(plan.worker)
            if worker is None:
                worker = next(number for number in count() if number not in busy)
            finished = max(finished, clock)
            busy[worker] = max(finished, busy.get(worker, 0.0))
            self._run(task, evaluation, plan.started, finished, worker)
        self._busy = [(free, worker) for worker, free in busy.items()]
        heapify(self._busy)
        self._idle = [worker for worker in range(self._workers) if worker not in busy]

    def submit(self, task: Task) -> Planned:
        evaluation = self._evaluate(task)
        started, worker = self._next_worker()
        finished = started + evaluation.cost_seconds
        heappush(self._busy, (finished, worker))
        return self._run(task, evaluation, started, finished, worker)

    def _evaluate(self, task: Task) -> Evaluation:
        evaluation = carry_out(partial(perform, _require(self._evaluator)), task, self.now)
        evaluation = _within_limit(evaluation, task.time_limit)
        return (
            evaluation if 0 <= evaluation.cost_seconds < math.inf else replace(evaluation, cost_seconds=0.0)
        )

    def _next_worker(self) -> tuple[float, int]:
        """When the next task begins, and where."""
        while self._busy and (self._busy[0][0] <= self._now or not self._idle):
            free, worker = heappop(self._busy)
            if free > self._now:
                return free, worker
            if worker < self._workers:  # else of a session that had more of them
                heappush(self._idle, worker)
        return self._now, heappop(self._idle)

    def _run(
        self, task: Task, evaluation: Evaluation, started: float, finished: float, worker: int
    ) -> Planned:
        name = f"{_SIMULATED}{worker}"
        completed = Completed(task, evaluation, started, finished, name)
        heappush(self._running, (finished, self._submitted, completed))
        self._submitted += 1
        return Planned(started, finished, name)

    def wait(self, timeout: float | None = None) -> Sequence[Completed]:
        if not self._running:
            raise nothing_in_flight()
        if timeout is not None and self._running[0][0] > self._now + timeout:
            self._now += timeout
            return ()
        self._now, _, completed = heappop(self._running)
        return (completed,)

    def now(self) -> float:
        return self._now

    def close(self) -> None:
        self._evaluator = None
        self._running = []

    def describe(self) -> Sequence[str]:
        workers = "1 worker" if self.capacity == 1 else f"{self.capacity} workers"
        return (f"simulated: a virtual clock over {workers}",)


def nothing_in_flight() -> ProtocolError:
    """The error of waiting for what was never submitted."""
    return ProtocolError("Executor.wait: expected at least one task in flight, got none; submit a task first")


def _require(evaluator: Evaluator | None) -> Evaluator:
    if evaluator is None:
        raise ProtocolError("Executor: expected to be open, got a call before open() or after close()")
    return evaluator


def _number_of(worker: str | None) -> int | None:
    """The number of a simulated worker from its name; None for other names."""
    number = (worker or "").removeprefix(_SIMULATED)
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else None


def _within_limit(evaluation: Evaluation, limit: float | None) -> Evaluation:
    if limit is None or evaluation.cost_seconds <= limit:
        return evaluation
    reason = f"took {evaluation.cost_seconds:g} simulated seconds, over the limit of {limit:g}"
    return replace(evaluation, status=Status.TIMEOUT, values={}, cost_seconds=limit, reason=reason)
