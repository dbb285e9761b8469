"""The interface of a pool of workers: PooledTrial, PoolOutcome and the Pool protocol."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from nas.cluster.failures import Fault
from nas.cluster.options import RayOptions
from nas.cluster.worker import Answer, Greeting, WorkerSettings
from nas.errors import EvaluationError, refusal
from nas.evaluation import Task


@dataclass(slots=True, eq=False)
class PooledTrial:
    """A submitted task.

    Attributes:
        task: as submitted.
        payload: the task as bytes.
        limit: seconds of work after which it is killed, or None.
        died: attempts that ended with the loss of the worker.
        lost: seconds of work in those attempts.
    """

    task: Task
    payload: bytes
    limit: float | None
    died: int = 0
    lost: float = 0.0


@dataclass(frozen=True, slots=True)
class PoolOutcome:
    """The end of an attempt at a trial.

    Attributes:
        job: the trial.
        result: the worker's answer; or why there is none; or None if the work never began.
        seconds: of work.
        worker: name of the worker.
    """

    job: PooledTrial
    result: Answer | Fault | None
    seconds: float = 0.0
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Setup:
    """What every worker needs.

    Attributes:
        options: of the executor.
        box: reference of the evaluator, in a list.
        runtime_env: see `Session.runtime_env`.
        workers: number of places.
    """

    options: RayOptions
    box: list[Any]
    runtime_env: dict[str, Any]
    workers: int

    @property
    def settings(self) -> WorkerSettings:
        options = self.options
        return WorkerSettings(options.recycle_after, options.memory_bytes, options.gpus_per_trial)

    def requirements(self) -> dict[str, Any]:
        """The arguments of `ray.remote` for actors and tasks."""
        demand = self.options.demand
        return {
            "num_cpus": demand.get("CPU", 0),
            "num_gpus": demand.get("GPU", 0),
            "memory": demand.get("memory"),
            "runtime_env": self.runtime_env or None,
        }


class Pool(Protocol):
    """Workers of one kind. It blocks in `poll` only."""

    @property
    def ready(self) -> bool:
        """Whether a worker has answered, or none is needed before the first job."""
        ...

    @property
    def capacity(self) -> int:
        """Most jobs at the same time."""
        ...

    def put(self, job: PooledTrial) -> bool:
        """Takes a job if there is room for it."""
        ...

    def poll(self, timeout: float | None) -> Sequence[PoolOutcome]:
        """Waits at most `timeout` seconds until something happens; returns the jobs that ended.

        Raises:
            EvaluationError: no worker can load the evaluator or start.
        """
        ...

    def close(self) -> None:
        """Kills all workers, busy ones too."""
        ...


def grace(limit: float) -> float:
    """Seconds between the time limit and the kill, for a trial that stops by itself."""
    return min(1.0 + 0.1 * limit, 30.0)


def cannot_load(greeting: Greeting) -> EvaluationError:
    """The error of a worker that cannot load the evaluator."""
    where, expected = f"worker {greeting.worker}", "an evaluator that can be loaded"
    remedy = "make its modules importable on every node: installed, on PYTHONPATH or in the working directory"
    return EvaluationError(refusal(where, expected, greeting.fault, remedy))


def ready_refs(refs: list[Any], timeout: float | None) -> Sequence[Any]:
    """The calls that have an answer; waits at most `timeout` seconds for the first one."""
    import ray

    if not refs:  # every worker is about to be replaced
        time.sleep(0.05 if timeout is None else min(timeout, 0.05))
        return ()
    ready, _ = ray.wait(refs, num_returns=1, timeout=timeout, fetch_local=True)
    if ready and len(refs) > 8:  # with many workers, all answers are read in one pass
        ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0, fetch_local=True)
    return ready


def earliest(moments: Iterable[float], timeout: float | None) -> float | None:
    """Seconds to the earliest of some moments (of `time.monotonic`) or the timeout; None for never."""
    now = time.monotonic()
    waits = [moment - now for moment in moments]
    if timeout is not None:
        waits.append(timeout)
    return max(min(waits), 0.0) if waits else None
