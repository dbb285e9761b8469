"""Jobs of a run: launchers, the loop that carries jobs out, and the handling of signals."""

from __future__ import annotations

import signal
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from nas.evaluation import REASON_LIMIT
from nas.faults import interrupts, named
from nas.registry import Component
from nas.run.progress import JobCounts, ProgressDisplay


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How a job ended.

    Attributes:
        state: "finished", "interrupted" or "failed".
        reason: of a failure, in one line.
        seconds: of this session.
    """

    state: str
    reason: str | None
    seconds: float


class Job(Protocol):
    """A unit of work; picklable, and safe to repeat if its process dies."""

    @property
    def name(self) -> str:
        """Stable and short, for displays, such as "random/0"."""
        ...

    @property
    def group(self) -> str:
        """Name of the jobs that are counted together, such as the studies of one method."""
        ...

    def __call__(self, stopping: Callable[[], bool] | None = None) -> Any:
        """Does the work and returns its outcome; ends soon once `stopping()` is true."""
        ...


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """The beginning or the end of a job.

    Attributes:
        job: the job.
        ended: False when it begins.
        result: what the job returned.
        fault: why there is no result, in one line: its process was lost too often, or it raised; for a job
            that begins again, how its process was lost.
    """

    job: Job
    ended: bool = False
    result: Any = None
    fault: str | None = None


class Launcher(Component):
    """Runs jobs. Used by one thread."""

    @property
    @abstractmethod
    def workers(self) -> int:
        """Jobs at the same time; known once it is open."""

    def open(self) -> None:
        """Makes workers ready.

        Raises:
            ConfigError: it cannot run as configured.
        """

    @abstractmethod
    def run(self, jobs: Sequence[Job]) -> Iterator[JobUpdate]:
        """Runs the jobs in their order; yields an update when each begins and when it ends."""

    @abstractmethod
    def stop(self) -> None:
        """Lets `run` end soon and abandons running jobs; may be called in signal handlers."""

    def close(self) -> None:
        """Stops all work; safe to call twice."""

    def describe(self) -> Sequence[str]:
        """Lines for the beginning of a run: where its jobs run and where to watch them."""
        return ()


def do(job: Job, stopping: Callable[[], bool] | None = None) -> JobUpdate:
    """Does a job in this process; an exception is the fault of this job alone.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    try:
        return JobUpdate(job, True, job(stopping))
    except BaseException as error:
        if interrupts(error):
            raise KeyboardInterrupt from error
        return JobUpdate(job, True, fault=named(error, REASON_LIMIT))


class InlineLauncher(Launcher):
    """Runs one job after the other in this process; for tests, debugging and small comparisons."""

    def __init__(self) -> None:
        self._stopping = False

    @property
    def workers(self) -> int:
        return 1

    def open(self) -> None:
        self._stopping = False

    def run(self, jobs: Sequence[Job]) -> Iterator[JobUpdate]:
        for job in jobs:
            if self._stopping:
                return
            yield JobUpdate(job)
            yield do(job, lambda: self._stopping)

    def stop(self) -> None:
        self._stopping = True

    def describe(self) -> Sequence[str]:
        return ("inline: one study at a time in this process",)


def carry_out_jobs(launcher: Launcher, jobs: Sequence[Job], left: Sequence[Job], what: str = "study") -> int:
    """Carries out the remaining jobs and shows their progress.

    Each kind of failure is reported once for a group, as it may hit all of its jobs.

    Args:
        launcher: is closed at the end.
        jobs: all of them, including those that earlier sessions finished.
        left: those to carry out; each returns a `JobOutcome`.
        what: the word for one of them, "study" or "job".

    Returns:
        The number of jobs that failed.
    """
    waiting, told, failures = {job.name for job in left}, set[tuple[str, str | None]](), 0
    with closing(launcher):
        launcher.open()
        for line in launcher.describe():
            print(line, flush=True)
        counts = JobCounts(launcher.workers, what)
        for job in jobs:
            counts.plan(job.group, done=job.name not in waiting)
        with closing(ProgressDisplay(counts)) as display:
            for update in launcher.run(left):
                job, outcome = update.job, update.result or JobOutcome("failed", update.fault, 0.0)
                if not update.ended:
                    if update.fault is None:
                        counts.start(job.group)
                    else:
                        display.note(f"{what} {job.name}: {update.fault}; once more")
                else:
                    counts.end(job.group, outcome.seconds, outcome.state)
                    failures += outcome.state == "failed"
                    if outcome.state == "failed" and (job.group, outcome.reason) not in told:
                        told.add((job.group, outcome.reason))
                        display.note(f"{what} {job.name} failed: {outcome.reason}")
                    if outcome.state == "interrupted":
                        display.note(f"{what} {job.name} ended before it was finished")
                display.show()
    return failures


class Stop:
    """Whether a run was told to stop.

    Attributes:
        called: true after a signal, or if the run itself stopped.
    """

    called = False


@contextmanager
def stop_on_signals(stop: Callable[[], None], folder: Path) -> Iterator[Stop]:
    """Within, the first SIGINT or SIGTERM calls `stop`; a second one raises KeyboardInterrupt.

    For the main thread only.

    Args:
        stop: ends the run soon.
        folder: of the run, for the message on how to continue.
    """
    state = Stop()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if state.called:
            raise KeyboardInterrupt
        state.called = True
        print("stopping; once more to stop without a report", file=sys.stderr, flush=True)
        stop()

    watched = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handle) for number in watched]
    try:
        yield state
    except KeyboardInterrupt:  # a second signal, or one raised by a candidate
        print(f"interrupted; the same command with resume={folder} continues", file=sys.stderr)
        raise
    finally:
        for number, handler in zip(watched, before, strict=True):
            signal.signal(number, handler)


def exit_status(folder: Path, stopped: bool, failures: str = "", report: int = 0) -> int:
    """Prints how to continue an incomplete run; returns the exit status.

    Args:
        folder: of the run.
        stopped: whether it ended early.
        failures: number and kind of the jobs that failed, e.g. "3 studies".
        report: status of the report.
    """
    if stopped:
        print(f"stopped early; the same command with resume={folder} continues")
        return 130
    if failures:
        print(f"{failures} failed; the same command with resume={folder} tries them again")
        return 1
    return report
