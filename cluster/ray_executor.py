"""Trials on Ray, from one laptop to a cluster."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

from nas.cluster.actors import ActorPool
from nas.cluster.options import RayOptions
from nas.cluster.pool import Pool, PooledTrial, PoolOutcome, Setup
from nas.cluster.session import Session, amounts, connect, places
from nas.cluster.tasks import TaskPool
from nas.cluster.worker import Answer, encode_task
from nas.errors import ConfigError, EvaluationError, ProtocolError, describe_error, nearest, refusal
from nas.evaluation import (
    Completed,
    Evaluation,
    Evaluator,
    Executor,
    Status,
    Task,
    failure,
    nothing_in_flight,
)

_log = logging.getLogger(__name__)
_PATIENCE = 30.0  # seconds without any worker before a warning


class RayExecutor(Executor):
    """Runs trials on Ray workers, each isolated in its own process.

    Hangs, crashes and, with `memory_per_trial`, lack of memory end the trial alone: the search goes on.

    Args:
        **options: see `RayOptions`.

    Raises:
        ConfigError: an option is unknown or out of range.
    """

    def __init__(self, **options: Any) -> None:
        known = [option.name for option in fields(RayOptions)]
        for name in options:
            if name not in known:
                expected, remedy = f"one of {', '.join(known)}", nearest(name, known, "leave it out")
                raise ConfigError(refusal(f"executor.{name}", expected, name, remedy))
        self.options = RayOptions(**options)
        self._session: Session | None = None
        self._pool: Pool | None = None
        self._workers = 0
        self._waiting: deque[PooledTrial] = deque()  # not with the pool yet
        self._ended: list[Completed] = []
        self._in_flight = 0
        self._opened = 0.0

    @property
    def capacity(self) -> int:
        bound = self.options.max_in_flight
        wanted = self._open_pool().capacity
        return wanted if bound is None else bound

    def open(self, evaluator: Evaluator) -> None:
        """Connects to Ray, or starts it, and waits for the first worker.

        Raises:
            ConfigError: no such cluster, or no node has what one trial needs.
            EvaluationError: the evaluator cannot be sent to the workers or loaded there.
        """
        import ray

        if self._session is not None:
            raise ProtocolError(
                refusal("RayExecutor.open", "a closed executor", "an open one", "close() it first")
            )
        self._session = connect(self.options)
        try:
            most = self.options.max_in_flight or sys.maxsize
            self._workers = min(places(self.options, self._session), most)
            runtime_env = self._session.runtime_env()
            setup = Setup(self.options, [_shared(ray, evaluator)], runtime_env, self._workers)
            self._pool = ActorPool(setup) if self.options.mode == "actors" else TaskPool(setup)
            self._await_worker(self._pool)
        except BaseException:
            self.close()
            raise
        self._opened = time.monotonic()

    def submit(self, task: Task) -> None:
        pool = self._open_pool()
        self._in_flight += 1
        limits = [limit for limit in (task.time_limit, self.options.time_limit) if limit is not None]
        limit = min(limits, default=None)
        try:
            payload = encode_task(task if limit == task.time_limit else replace(task, time_limit=limit))
        except Exception as error:  # e.g. an architecture that holds an open file
            reason = f"the task cannot be sent to a worker: {describe_error(error)}"
            self._complete(task, failure(Status.ERROR, reason), 0.0, "")
            return
        job = PooledTrial(task, payload, limit)
        if self._waiting or not pool.put(job):
            self._waiting.append(job)

    def wait(self, timeout: float | None = None) -> Sequence[Completed]:
        pool = self._open_pool()
        if not self._in_flight:
            raise nothing_in_flight()
        until = None if timeout is None else time.monotonic() + timeout
        while not self._ended:
            left = None if until is None else until - time.monotonic()
            for outcome in pool.poll(left):
                self._settle(outcome)
            self._dispatch(pool)
            if until is not None and time.monotonic() >= until:
                break
        ended, self._ended = tuple(self._ended), []
        self._in_flight -= len(ended)
        return ended

    def now(self) -> float:
        return time.monotonic() - self._opened

    def close(self) -> None:
        pool, self._pool = self._pool, None
        session, self._session = self._session, None
        try:
            if pool is not None:
                pool.close()
        finally:
            self._waiting.clear()
            self._ended, self._in_flight = [], 0
            if session is not None:
                session.close()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, Ray stays up, for executors of these options that are opened and closed in turn."""
        session = connect(self.options)
        try:
            yield
        finally:
            session.close()

    def describe(self) -> Sequence[str]:
        session = self._session
        if session is None:
            return (f"ray: {self.options.mode}, {amounts(self.options.demand)} per trial",)
        where = "started here" if session.local else "joined"
        return (
            f"ray: {where}; {self._workers} trials at a time ({self.options.mode}), "
            f"{amounts(self.options.demand)} each",
            *session.describe(),
        )

    def _open_pool(self) -> Pool:
        if self._pool is None:
            got = "a call before open() or after close()"
            raise ProtocolError(refusal("RayExecutor", "to be open", got, "call open() first"))
        return self._pool

    def _await_worker(self, pool: Pool) -> None:
        since, told = time.monotonic(), False
        while not pool.ready:
            pool.poll(1.0)
            if not told and time.monotonic() - since > _PATIENCE:
                need = amounts(self.options.demand)
                _log.warning("no worker yet: waiting for a node of the cluster with %s free", need)
                told = True

    def _dispatch(self, pool: Pool) -> None:
        while self._waiting and pool.put(self._waiting[0]):
            self._waiting.popleft()

    def _settle(self, outcome: PoolOutcome) -> None:
        """Turns the end of an attempt into an evaluation, or queues the trial again."""
        job, result = outcome.job, outcome.result
        if result is None:
            self._waiting.appendleft(job)
            return
        seconds = job.lost + outcome.seconds
        if isinstance(result, Answer):
            evaluation = result.evaluation
            if job.lost:
                evaluation = replace(evaluation, cost_seconds=evaluation.cost_seconds + job.lost)
        elif result.retry and job.died < self.options.retries:
            job.died += 1
            job.lost = seconds
            _log.warning("trial %d: %s; once more", job.task.trial, result.reason)
            self._waiting.appendleft(job)
            return
        else:
            reason = f"{result.reason} (attempt {job.died + 1})" if job.died else result.reason
            evaluation = failure(result.status, reason, seconds)
        self._complete(job.task, evaluation, outcome.seconds, outcome.worker)

    def _complete(self, task: Task, evaluation: Evaluation, seconds: float, worker: str) -> None:
        finished = self.now()
        started = max(finished - seconds, 0.0)
        self._ended.append(Completed(task, evaluation, started, finished, worker))


def _shared(ray: Any, evaluator: Evaluator) -> Any:
    """The evaluator's reference in the object store, from which all workers of a node read it."""
    try:
        return ray.put(evaluator)
    except Exception as error:  # whatever its pickling raises
        where, got = f"evaluator {type(evaluator).__name__}", describe_error(error, 200)
        expected, remedy = (
            "one that can be pickled",
            "keep locks, open files and lambdas out of its attributes",
        )
        raise EvaluationError(refusal(where, expected, got, remedy)) from error
