"""Where a task runs: Executor, and the two executors that need nothing but this process.

Executors differ only in where and on which clock; the study's loop knows the base class alone.
"""

from __future__ import annotations

import math
import time
import warnings
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

from nas.errors import (
    CompileError,
    ConfigError,
    EvaluationError,
    NasError,
    ProtocolError,
    SpaceError,
    one_line,
)
from nas.evaluation.evaluator import Evaluation, Evaluator, Status, Task, failure, number, perform
from nas.evaluation.process_state import ProcessState
from nas.faults import interrupts, named, place_of, shown, traceback_of
from nas.registry import Component

_SIMULATED = "simulated-"  # a simulated worker's name, before its number
_OUT_OF_MEMORY_TEXTS = ("out of memory", "can't allocate memory", "cannot allocate memory")
_REASON = 500  # characters of the reason of an evaluation that raised
_SEARCHED = 100_000  # characters of a message that are searched for them


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


class Executor(Component):
    """Runs tasks. Used by one thread, as a context manager around the whole study.

    Attributes:
        capacity: how many tasks it wants in flight; more may be submitted but only wait in line. It is read
            before each submission, as it may change when the length of the trials becomes known.
    """

    @property
    @abstractmethod
    def capacity(self) -> int: ...

    @abstractmethod
    def open(self, evaluator: Evaluator) -> None:
        """Makes workers ready; the evaluator, data included, travels once."""

    @abstractmethod
    def submit(self, task: Task) -> Planned | None:
        """Takes one task without blocking; None where its end is not planned."""

    @abstractmethod
    def wait(self, timeout: float | None = None) -> Sequence[Completed]:
        """At least one ended task, in order of ending; none only after `timeout` seconds.

        Raises:
            ProtocolError: nothing is in flight.
        """

    @abstractmethod
    def now(self) -> float:
        """Seconds since `open`, on the clock that budgets are measured on (real or simulated)."""

    @abstractmethod
    def close(self) -> None:
        """Stops all work, running tasks included; safe to call twice."""

    def held(self) -> AbstractContextManager[None]:
        """Keeps up, meanwhile, what executors of these options need that open and close in turn."""
        return nullcontext()

    def describe(self) -> Sequence[str]:
        """Lines for the head of a run: where its trials run and how to look at them."""
        return ()


class VirtualClock(Executor):
    """An executor whose seconds pass at once: `wait` never blocks, a task's end is planned when it begins.

    Plans are logged, so that a killed study goes on as if it never was: what was in flight ends when, where
    and in the order that was planned.
    """

    @abstractmethod
    def submit(self, task: Task) -> Planned:
        """Takes one task and says when it will have ended."""

    @abstractmethod
    def resume(self, clock: float, in_flight: Sequence[tuple[Task, Planned]]) -> None:
        """Sets the clock just opened to where an earlier session stood.

        Args:
            clock: seconds; `now` goes on from there.
            in_flight: tasks that had begun and not ended, with their plans, in the order of their starts.
        """


def carry_out(
    evaluate: Callable[[Task], Evaluation],
    task: Task,
    clock: Callable[[], float] = time.monotonic,
    *,
    keeps_process: bool = False,
) -> Evaluation:
    """Evaluates; whatever is raised, `KeyboardInterrupt` excepted, becomes an evaluation that names it.

    The one place where a candidate's fault becomes data, for every executor. What the evaluation does to its
    process is undone (`nas.evaluation.process_state`). The info of the evaluation has the `traceback` of an
    error, and as `left_behind` what could not be undone.

    Args:
        evaluate: an evaluator; its own report of a failure is passed on as it is.
        task: what to evaluate.
        clock: seconds; measures the cost of an evaluation that raised.
        keeps_process: whether the evaluation is known to do nothing to its process; see `Evaluator`.

    Raises:
        KeyboardInterrupt: from the user or from the evaluation.
    """
    started, returned, raised = clock(), None, None
    state = None if keeps_process and task.work is None else ProcessState(task.seed)
    with state or nullcontext():
        try:
            returned = copy_context().run(evaluate, task)
        except BaseException as error:
            raised = error
    seconds = clock() - started
    evaluation = _checked(returned, seconds) if raised is None else failed(raised, seconds)
    if state is not None and state.left:
        evaluation = replace(evaluation, info={**evaluation.info, "left_behind": state.left})
    return evaluation


def failed(error: BaseException, cost_seconds: float) -> Evaluation:
    """The evaluation that `error` ended.

    Raises:
        KeyboardInterrupt: it is an interruption.
    """
    if interrupts(error):
        raise KeyboardInterrupt from error
    reason = named(error, _REASON)
    if is_out_of_memory(error):
        return failure(Status.OUT_OF_MEMORY, reason, cost_seconds)
    if isinstance(error, NasError) and place_of(error) is None:  # its line says it all
        return failure(Status.ERROR, reason, cost_seconds)
    return failure(Status.ERROR, reason, cost_seconds, traceback=traceback_of(error))


def _checked(evaluation: Any, seconds: float) -> Evaluation:
    """An evaluation whose values and cost are numbers; what has another form is the evaluator's fault."""
    if not isinstance(evaluation, Evaluation):
        return _refused(f"the evaluator returned {type(evaluation).__name__}, not an Evaluation", seconds)
    cost = number(evaluation.cost_seconds)
    if cost is None or not math.isfinite(cost):
        return _refused(f"cost_seconds: expected a number, got {shown(evaluation.cost_seconds)}", seconds)
    if not isinstance(evaluation.status, Status):
        return _refused(f"status: expected a nas.Status, got {shown(evaluation.status)}", cost)
    if not isinstance(evaluation.info, Mapping):
        return _refused(f"info: expected a mapping, got {shown(evaluation.info)}", cost)
    if not isinstance(evaluation.values, Mapping):
        return _refused(f"values: expected numbers by name, got {shown(evaluation.values)}", cost)
    values = evaluation.values
    if all(type(value) is float for value in values.values()) and type(evaluation.cost_seconds) is float:
        return evaluation  # as nearly all are
    numbers: dict[str, float] = {}
    for name, value in values.items():
        converted = number(value)
        if converted is None:
            return _refused(f"values: {one_line(name)}: expected a number, got {shown(value)}", cost)
        numbers[str(name)] = converted
    return replace(evaluation, values=numbers, cost_seconds=cost)


def _refused(what: str, seconds: float) -> Evaluation:
    return failure(Status.ERROR, f"{EvaluationError.__name__}: {what}", seconds)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on the host or on a device (torch says it in words only)."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = one_line(error, _SEARCHED).lower() if isinstance(error, RuntimeError | OSError) else ""
    return any(known in text for known in _OUT_OF_MEMORY_TEXTS)


class InlineExecutor(Executor):
    """Runs each task in this process, inside `wait`.

    Time limits are cooperative (`Task.time_limit`), hangs and memory are not isolated, and `wait`
    returns when its task ends, whatever its timeout.
    """

    def __init__(self) -> None:
        self._evaluator: Evaluator | None = None
        self._tasks: deque[Task] = deque()
        self._opened = 0.0

    @property
    def capacity(self) -> int:
        return 1

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
        evaluation = carry_out(partial(perform, evaluator), task, keeps_process=evaluator.keeps_process)
        _note_left(evaluation)
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
        evaluator = _require(self._evaluator)
        evaluation = carry_out(
            partial(perform, evaluator), task, self.now, keeps_process=evaluator.keeps_process
        )
        _note_left(evaluation)
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


def _note_left(evaluation: Evaluation) -> None:
    """Says what trials in this process cannot be kept apart from."""
    for left in evaluation.info.get("left_behind", ()):
        warnings.warn(
            f"a trial left {left} behind, which may change later ones; executor=ray replaces such processes",
            stacklevel=2,
        )


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


def failure_of(error: Exception, cost_seconds: float) -> Evaluation:
    """How an evaluation ended whose candidate raised `error`."""
    if isinstance(error, CompileError | SpaceError | EvaluationError):
        return failure(Status.INVALID, str(error) or "no message", cost_seconds)
    return failed(error, cost_seconds)
