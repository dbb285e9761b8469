"""A pool of long-lived actors: each loads the evaluator once and runs one trial after another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from nas.cluster.failures import death, explain, timed_out
from nas.cluster.pool import PooledTrial, PoolOutcome, Setup, cannot_load, earliest, grace, ready_refs
from nas.cluster.worker import INTERRUPTED, REFUSED, Greeting, Worker, decode_answer
from nas.errors import EvaluationError, refusal

_SHORT = 0.25  # seconds; for shorter trials, a second one is queued at each worker, which hides the dispatch
_STARTS = 6  # failed starts in a row, without an answer of any worker in between, that end the run


@dataclass(slots=True, eq=False)
class _Lane:
    """One actor and the calls sent to it, which it answers in order."""

    actor: Any
    run: Any  # its method, kept since Ray makes a new object on each access
    name: str = ""  # empty until it has answered the greeting
    calls: dict[Any, PooledTrial] = field(default_factory=dict)  # by reference, in order
    since: float = 0.0  # when the first of the calls began, as far as the driver can know
    retiring: bool = False

    def stuck(self, now: float) -> bool:
        """Whether calls wait behind one that turned out to be long."""
        return len(self.calls) > 1 and now - self.since > _SHORT

    @property
    def deadline(self) -> float | None:
        job = next(iter(self.calls.values()), None)
        if job is None or job.limit is None:
            return None
        return self.since + job.limit + grace(job.limit)


class ActorPool:
    """One actor per place; each that is lost, killed or retired is replaced by a new one.

    Actors have `max_restarts=0`: Ray then reports a death within 10 ms, and a new actor answers
    after 0.4 s. With restarts it reports after 1.7 s and answers after 2 s (Ray 2.60, 2 cores).
    """

    def __init__(self, setup: Setup) -> None:
        import ray

        self._setup = setup
        requirements = {**setup.requirements(), "max_restarts": 0, "max_task_retries": 0}
        self._actor_class: Any = ray.remote(**requirements)(Worker)
        self._task_name = f"evaluate/{setup.options.name}"
        self._lanes: list[_Lane] = []
        self._pending: dict[Any, _Lane] = {}  # reference of every unanswered call -> its lane
        self._starts: list[float] = []  # moments at which further actors are due
        self._failed_starts = 0
        self._proven = False  # whether any worker has loaded the evaluator
        self._mean_seconds: float | None = None  # of recent trials
        for _ in range(setup.workers):
            self._spawn()

    @property
    def ready(self) -> bool:
        return any(lane.name for lane in self._lanes)

    @property
    def capacity(self) -> int:
        return self._setup.workers * self._depth

    @property
    def _depth(self) -> int:
        return 2 if self._mean_seconds is not None and self._mean_seconds < _SHORT else 1

    def put(self, job: PooledTrial) -> bool:
        lane = self._least_busy()
        if lane is None:
            return False
        if not lane.calls:
            lane.since = time.monotonic()
        ref = lane.run.remote(job.payload)
        lane.calls[ref] = job
        self._pending[ref] = lane
        return True

    def poll(self, timeout: float | None) -> Sequence[PoolOutcome]:
        self._spawn_due()
        outcomes: list[PoolOutcome] = []
        for ref in ready_refs(list(self._pending), earliest(self._moments(), timeout)):
            lane = self._pending.pop(ref, None)
            if lane is not None:  # else its actor was found dead in this pass
                outcomes += self._answered(lane, ref)
        return outcomes + self._recalled() + self._overdue()

    def _moments(self) -> list[float]:
        """When something is due without an answer to a call."""
        moments = list(self._starts)
        for lane in self._lanes:
            if (deadline := lane.deadline) is not None:
                moments.append(deadline)
            if len(lane.calls) > 1:
                moments.append(lane.since + _SHORT)
        return moments

    def close(self) -> None:
        from ray.exceptions import RayError

        for lane in list(self._lanes):
            with suppress(RayError):  # the connection itself may be lost
                self._drop(lane)
        self._starts = []

    def _least_busy(self) -> _Lane | None:
        best, least = None, self._depth
        long_ago = time.monotonic() - _SHORT
        for lane in self._lanes:
            if not lane.name or lane.retiring or (lane.calls and lane.since < long_ago):
                continue
            if len(lane.calls) < least:
                best, least = lane, len(lane.calls)
                if least == 0:
                    break
        return best

    def _spawn(self) -> None:
        actor = self._actor_class.remote(self._setup.box, self._setup.settings)
        lane = _Lane(actor, actor.run.options(name=self._task_name))
        self._lanes.append(lane)
        self._pending[actor.greet.remote()] = lane

    def _spawn_due(self) -> None:
        now = time.monotonic()
        for moment in [moment for moment in self._starts if moment <= now]:
            self._starts.remove(moment)
            self._spawn()

    def _drop(self, lane: _Lane) -> None:
        """Removes a lane and kills its actor, even if that is only out of reach: nothing may run twice."""
        import ray

        self._lanes.remove(lane)
        self._pending = {ref: other for ref, other in self._pending.items() if other is not lane}
        ray.kill(lane.actor)

    def _answered(self, lane: _Lane, ref: Any) -> list[PoolOutcome]:
        import ray
        from ray.exceptions import RayError

        try:
            data = ray.get(ref)
        except RayError as error:  # its process is lost, or its own code raised and it cannot be trusted
            return self._settle_dead(lane, error)
        if isinstance(data, Greeting):
            self._greeted(lane, data)
            return []
        return [self._ended(lane, ref, data)]

    def _greeted(self, lane: _Lane, greeting: Greeting) -> None:
        if greeting.fault is None:
            lane.name, self._failed_starts, self._proven = greeting.worker, 0, True
            return
        self._drop(lane)
        if not self._proven:
            raise cannot_load(greeting)
        self._replace(lane, str(cannot_load(greeting)))

    def _ended(self, lane: _Lane, ref: Any, data: Any) -> PoolOutcome:
        """Removes an answered call from its lane, and replaces the actor if it retires."""
        job = lane.calls.pop(ref)
        begun, lane.since = lane.since, time.monotonic()
        outcome = self._outcome(lane, job, data, lane.since - begun)
        if lane.retiring and not lane.calls and lane in self._lanes:
            self._drop(lane)
            self._spawn()
        return outcome

    def _outcome(self, lane: _Lane, job: PooledTrial, data: Any, seconds: float) -> PoolOutcome:
        if not isinstance(data, bytes):
            return PoolOutcome(job, data, seconds, lane.name)
        if data == REFUSED:
            return PoolOutcome(job, None)
        if data == INTERRUPTED:
            raise KeyboardInterrupt
        answer = decode_answer(data)
        lane.retiring |= answer.retiring
        if job.task.hashing:  # says nothing of the length of trials
            return PoolOutcome(job, answer, answer.seconds, lane.name)
        mean = self._mean_seconds
        self._mean_seconds = answer.seconds if mean is None else 0.8 * mean + 0.2 * answer.seconds
        return PoolOutcome(job, answer, answer.seconds, lane.name)

    def _recalled(self) -> list[PoolOutcome]:
        """Takes back the calls that wait behind a long one.

        Ray drops a cancelled call that has not begun, but reports it only when its actor is free again. If
        the call begins in this very moment, it is carried out twice and its second answer counts.
        """
        import ray

        outcomes: list[PoolOutcome] = []
        now = time.monotonic()
        for lane in self._lanes:
            if not lane.stuck(now) or _has_answered(lane):
                continue
            for ref in list(lane.calls)[1:]:
                ray.cancel(ref)
                del self._pending[ref]
                outcomes.append(PoolOutcome(lane.calls.pop(ref), None))
        return outcomes

    def _overdue(self) -> list[PoolOutcome]:
        """Kills the actors whose trial is past its time limit."""
        outcomes: list[PoolOutcome] = []
        now = time.monotonic()
        for lane in list(self._lanes):
            deadline = lane.deadline
            if deadline is None or now < deadline or _has_answered(lane):
                continue
            first, *others = lane.calls.values()
            outcomes.append(PoolOutcome(first, timed_out(first.limit or 0.0), now - lane.since, lane.name))
            outcomes += [PoolOutcome(job, None) for job in others]
            self._drop(lane)
            self._spawn()
        return outcomes

    def _settle_dead(self, lane: _Lane, error: Exception) -> list[PoolOutcome]:
        """Settles the calls of a dead actor: some were answered, one is to blame, the others never began."""
        import ray
        from ray.exceptions import RayError

        self._drop(lane)
        if lane.calls:  # a death ends all calls at once; the wait is a safeguard
            ray.wait(list(lane.calls), num_returns=len(lane.calls), timeout=1.0)
        outcomes: list[PoolOutcome] = []
        blamed = False
        for ref in list(lane.calls):
            try:
                data = ray.get(ref, timeout=0)
            except RayError as reason:
                data, blamed = (None if blamed else explain(reason)), True
            outcomes.append(self._ended(lane, ref, data))
        self._replace(lane, death(error))
        return outcomes

    def _replace(self, lane: _Lane, reason: str) -> None:
        """Starts another actor: at once, or with back-off after one that died before its greeting."""
        if lane.name:
            self._spawn()
            return
        self._failed_starts += 1
        if self._failed_starts == _STARTS:
            got, remedy = f"{_STARTS} failed starts in a row ({reason})", "see the logs of Ray"
            raise EvaluationError(refusal("executor", "workers that start", got, remedy))
        self._starts.append(time.monotonic() + 0.1 * 2**self._failed_starts)


def _has_answered(lane: _Lane) -> bool:
    """Whether the first call has an answer that was not read yet, as the study may have been busy."""
    import ray

    return bool(ray.wait([next(iter(lane.calls))], timeout=0)[0])
