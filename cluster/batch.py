"""Whole studies on Ray: each one is a task, which runs again if its process is lost."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from nas.cluster.environment import threads_of_workers
from nas.cluster.failures import explain
from nas.cluster.options import RayOptions
from nas.cluster.session import Session, amounts, connect, places
from nas.errors import ConfigError, ProtocolError, refusal
from nas.run.jobs import Job, JobUpdate, Launcher, do

_RETRIES = 2  # of a job whose process or node was lost
_WAKE_SECONDS = 0.2  # longest delay until a call of `stop` is noticed


@dataclass(slots=True, eq=False)
class _Attempt:
    job: Job
    lost: int = 0  # processes
    fault: str | None = None  # of the last loss


class RayLauncher(Launcher):
    """Runs jobs on a local Ray, or on a running cluster whose nodes see the same files.

    Args:
        workers: studies at the same time; None for as many as fit the resources.
        cpus_per_study: cores of one study, also its number of OpenMP threads.
        gpus_per_study: GPUs of one study; a fraction shares one.
        address: of a running cluster; None starts a local Ray, unless RAY_ADDRESS names one.
        dashboard: whether a local Ray serves its dashboard, on the loopback interface.

    Raises:
        ConfigError: an option is out of range.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        cpus_per_study: float = 1.0,
        gpus_per_study: float = 0.0,
        address: str | None = None,
        dashboard: bool = True,
    ) -> None:
        with _named_after_studies():
            self.options = RayOptions(
                name="study",
                workers=workers,
                cpus_per_trial=cpus_per_study,
                gpus_per_trial=gpus_per_study,
                address=address,
                dashboard=dashboard,
            )
        self._session: Session | None = None
        self._workers = 0
        self._stopping = False

    @property
    def workers(self) -> int:
        return self._workers

    def open(self) -> None:
        """Connects to Ray, or starts it.

        Raises:
            ConfigError: no such cluster, or no node has what one study needs.
        """
        self._stopping = False
        with threads_of_workers(self._threads), _named_after_studies():
            self._session = connect(self.options)
        try:
            with _named_after_studies():
                self._workers = places(self.options, self._session)
        except BaseException:
            self.close()
            raise

    def run(self, jobs: Sequence[Job]) -> Iterator[JobUpdate]:
        """Runs the jobs in their order, as many at a time as there are workers.

        A job whose process was lost runs again, `_RETRIES` times at most; one that raises does not.
        """
        import ray
        from ray.exceptions import RayError

        function = self._function()
        waiting = deque(_Attempt(job) for job in jobs)
        running: dict[Any, _Attempt] = {}
        try:
            while (waiting or running) and not self._stopping:
                while waiting and len(running) < self._workers:
                    attempt = waiting.popleft()
                    named = function.options(name=f"study/{attempt.job.name}")
                    running[named.remote(attempt.job, os.getcwd())] = attempt
                    yield JobUpdate(attempt.job, fault=attempt.fault)
                ready, _ = ray.wait(list(running), num_returns=1, timeout=_WAKE_SECONDS)
                for reference in ready:
                    attempt = running.pop(reference)
                    update = _update_of(reference, attempt)
                    if update is None:
                        waiting.appendleft(attempt)
                    else:
                        yield update
        finally:
            for reference in running:
                with suppress(RayError):  # the connection itself may be lost
                    ray.cancel(reference, force=True)

    def stop(self) -> None:
        self._stopping = True

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def describe(self) -> Sequence[str]:
        demand = amounts(self.options.demand)
        if self._session is None:
            return (f"ray: {demand} per study",)
        where = "started here" if self._session.local else "joined"
        return (
            f"ray: {where}; {self._workers} studies at a time, {demand} each",
            *self._session.describe(),
        )

    @property
    def _threads(self) -> int:
        return max(1, int(self.options.cpus_per_trial))

    def _function(self) -> Any:
        import ray

        if self._session is None:
            got = "a call before open() or after close()"
            raise ProtocolError(refusal("RayLauncher", "to be open", got, "call open() first"))
        environment = self._session.runtime_env()
        if not self._session.local:
            environment.setdefault("env_vars", {})["OMP_NUM_THREADS"] = str(self._threads)
        arguments: dict[str, Any] = {
            "num_cpus": self.options.cpus_per_trial,
            "num_gpus": self.options.gpus_per_trial,
            "max_retries": 0,  # counted here
            "runtime_env": environment or None,
        }
        return ray.remote(**arguments)(_carry_out)


def _carry_out(job: Job, folder: str) -> tuple[Any, str | None]:
    """Result and fault of one job on its worker, in the driver's folder, to which its paths are relative.

    Exceptions return as texts: `SystemExit` would end the worker, and some exceptions cannot be pickled.
    """
    with suppress(OSError):  # a node without this folder
        os.chdir(folder)
    update = do(job)
    return update.result, update.fault


def _update_of(reference: Any, attempt: _Attempt) -> JobUpdate | None:
    """The end of an attempt; None if the job runs again."""
    import ray
    from ray.exceptions import RayError

    try:
        return JobUpdate(attempt.job, True, *ray.get(reference))
    except RayError as error:
        fault = explain(error)
    attempt.lost += 1
    attempt.fault = " ".join(fault.reason.split())
    if fault.retry and attempt.lost <= _RETRIES:
        return None
    return JobUpdate(attempt.job, True, fault=attempt.fault)


@contextmanager
def _named_after_studies() -> Iterator[None]:
    """Within, messages about Ray's options name them as the section `compare` does."""
    try:
        yield
    except ConfigError as error:
        text = str(error).replace("_per_trial", "_per_study").replace("executor", "compare")
        raise ConfigError(text.replace("one trial", "one study")) from error
