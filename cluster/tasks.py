"""Trials as Ray tasks: each one with a GPU has a new process, so that memory is freed in between."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nas.cluster.failures import Fault, explain, timed_out
from nas.cluster.pool import PooledTrial, PoolOutcome, Setup, cannot_load, earliest, grace, ready_refs
from nas.cluster.worker import INTERRUPTED, Answer, Greeting, decode_answer, run_as_task
from nas.evaluation import Status


@dataclass(slots=True, eq=False)
class _Flight:
    """One running task."""

    job: PooledTrial
    worker: str = ""
    since: float | None = None  # when the work began: after process start, imports and loading

    @property
    def deadline(self) -> float | None:
        if self.since is None or self.job.limit is None:
            return None
        return self.since + self.job.limit + grace(self.job.limit)


class TaskPool:
    """As many tasks at a time as there are places.

    Each task is a generator of two values, its greeting and its answer, so that time limits count from the
    beginning of the work and not from the start of a process or from a wait for resources.
    """

    ready = True

    def __init__(self, setup: Setup) -> None:
        import ray

        options = setup.options
        trials_per_process = 1 if options.gpus_per_trial else options.recycle_after or 0  # 0: no limit
        arguments = {
            **setup.requirements(),
            "max_calls": trials_per_process,
            "max_retries": 0,
            "num_returns": "streaming",
        }
        function: Any = ray.remote(**arguments)(run_as_task)
        self._function = function.options(name=f"evaluate/{options.name}")
        hashing: Any = ray.remote(**{**arguments, "num_gpus": 0, "max_calls": 0})(run_as_task)
        self._hashing = hashing.options(name=f"hash/{options.name}")  # no GPU, so that the process is reused
        self._setup = setup
        self._proven = False  # whether any worker has loaded the evaluator
        self._flights: dict[Any, _Flight] = {}  # by the generator of their values

    @property
    def capacity(self) -> int:
        return self._setup.workers

    def put(self, job: PooledTrial) -> bool:
        if len(self._flights) >= self.capacity:
            return False
        function = self._hashing if job.task.hashing else self._function
        values = function.remote(self._setup.box, self._setup.settings, job.payload)
        self._flights[values] = _Flight(job)
        return True

    def poll(self, timeout: float | None) -> Sequence[PoolOutcome]:
        deadlines = [moment for flight in self._flights.values() if (moment := flight.deadline) is not None]
        outcomes: list[PoolOutcome] = []
        for values in ready_refs(list(self._flights), earliest(deadlines, timeout)):
            outcomes += self._advanced(values)
        return outcomes + self._overdue()

    def close(self) -> None:
        import ray
        from ray.exceptions import RayError

        for values in self._flights:
            with suppress(RayError):  # the connection itself may be lost
                ray.cancel(values, force=True)
        self._flights = {}

    def _advanced(self, values: Any) -> list[PoolOutcome]:
        """Takes the next value of a task."""
        import ray
        from ray.exceptions import RayError

        flight = self._flights[values]
        try:
            data: Any = ray.get(next(values))
        except RayError as error:
            return [self._ended(values, explain(error))]
        except StopIteration:
            lost = Fault(Status.WORKER_DIED, "the task ended without an answer", retry=True)
            return [self._ended(values, lost)]
        if isinstance(data, Greeting):
            if data.fault is not None:
                error = cannot_load(data)
                if not self._proven:  # no other worker has loaded the evaluator either
                    raise error
                return [self._ended(values, Fault(Status.WORKER_DIED, str(error), retry=True))]
            flight.worker, flight.since, self._proven = data.worker, time.monotonic(), True
            return []
        if isinstance(data, Fault):
            return [self._ended(values, data)]
        if data == INTERRUPTED:
            raise KeyboardInterrupt
        return [self._ended(values, decode_answer(data))]

    def _ended(self, values: Any, result: Any) -> PoolOutcome:
        flight = self._flights.pop(values)
        seconds = 0.0 if flight.since is None else time.monotonic() - flight.since
        if isinstance(result, Answer):
            seconds = result.seconds  # more exact, as the greeting may have been read late
        return PoolOutcome(flight.job, result, seconds, flight.worker)

    def _overdue(self) -> list[PoolOutcome]:
        """Kills the tasks that are past their time limit."""
        import ray

        outcomes: list[PoolOutcome] = []
        for values, flight in list(self._flights.items()):
            deadline = flight.deadline
            if deadline is None or time.monotonic() < deadline or ray.wait([values], timeout=0)[0]:
                continue
            ray.cancel(values, force=True)
            outcomes.append(self._ended(values, timed_out(flight.job.limit or 0.0)))
        return outcomes
