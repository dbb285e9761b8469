"""Where whole studies run: the Launcher protocol, and the launcher that needs nothing but this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from nas.evaluation import REASON_LIMIT
from nas.faults import interrupts, named


class Job(Protocol):
    """One piece of work; picklable, and to be repeated safely if its process dies."""

    @property
    def name(self) -> str:
        """Stable and short, for displays: "study/random/0"."""
        ...

    def __call__(self, stopping: Callable[[], bool] | None = None) -> Any:
        """Does the work and returns its outcome; ends soon once `stopping()` is true."""
        ...


@dataclass(frozen=True, slots=True)
class Update:
    """What became of a job.

    Attributes:
        job: the job.
        ended: False when it begins.
        result: what the job returned.
        fault: why there is no result, in one line: its process was lost too often, or it raised; of a
            job that begins once more, how its process was lost.
    """

    job: Job
    ended: bool = False
    result: Any = None
    fault: str | None = None


class Launcher(Protocol):
    """Runs jobs. Used by one thread."""

    @property
    def workers(self) -> int:
        """Jobs at the same time; known once it is open."""
        ...

    def open(self) -> None:
        """Makes workers ready.

        Raises:
            ConfigError: it cannot run as configured.
        """
        ...

    def run(self, jobs: Sequence[Job]) -> Iterator[Update]:
        """Runs the jobs in their order; an update as each begins and as it ends, until all did."""
        ...

    def stop(self) -> None:
        """Lets `run` end soon; what is under way is given up. For signal handlers too."""
        ...

    def close(self) -> None:
        """Stops all work; safe to call twice."""
        ...

    def describe(self) -> Sequence[str]:
        """Lines for the head of a run: where its jobs run and how to look at them."""
        ...


def do(job: Job, stopping: Callable[[], bool] | None = None) -> Update:
    """Does a job in this process; whatever it raises is its fault, and not the others'.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    try:
        return Update(job, True, job(stopping))
    except BaseException as error:
        if interrupts(error):
            raise KeyboardInterrupt from error
        return Update(job, True, fault=named(error, REASON_LIMIT))


class InlineLauncher:
    """Runs one job after the other in this process; for tests, debugging and small comparisons."""

    workers = 1

    def __init__(self) -> None:
        self._stopping = False

    def open(self) -> None:
        self._stopping = False

    def run(self, jobs: Sequence[Job]) -> Iterator[Update]:
        for job in jobs:
            if self._stopping:
                return
            yield Update(job)
            yield do(job, lambda: self._stopping)

    def stop(self) -> None:
        self._stopping = True

    def close(self) -> None:
        return

    def describe(self) -> Sequence[str]:
        return ("inline: one study at a time in this process",)
