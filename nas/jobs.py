"""One study of a comparison as a job: built from its configuration where it runs, resumed where it stands."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.config import BaselineSection, BudgetSection, CompareSection, Config, FinalSection, RunSection
from nas.errors import NasError
from nas.eventlog import FILE_NAME, Lock, decode, fault_of
from nas.faults import interrupts, named, notes_of, traceback_of
from nas.lineup import hashing_of, trials_of
from nas.progress import Progress
from nas.searcher import SearchFinished, Suggestion, Trial
from nas.session import Components, Problem, compose, make_study
from nas.timed import OVERHEAD, TimedSearcher, write_json

if TYPE_CHECKING:
    from nas.study import Study

BASELINE = "baseline"
STUDIES = "studies"
_PATIENCE = 30.0  # seconds in which the processes of a driver that was killed are gone
_built: dict[str, Problem] = {}  # the last one of this process; a worker has the same for all its jobs


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a study ended.

    Attributes:
        state: "finished", "interrupted" or "failed".
        reason: of a failure, in one line.
        seconds: of this session.
    """

    state: str
    reason: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class StudyJob:
    """A study to be carried out in a folder, or continued there.

    Attributes:
        method: label of its searcher; `BASELINE` for the random architectures.
        config: of this study alone: `resume` with its folder continues it like any other run.
        folder: absolute.
    """

    method: str
    config: Config
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.method}/{self.config.seed}"

    def __call__(self, stopping: Callable[[], bool] | None = None) -> Outcome:
        started = time.monotonic()
        state, reason = "failed", None
        try:
            state = self._run(stopping)
        except BaseException as error:  # a fault of this method, which the others are to outlive
            if interrupts(error):
                raise
            notes = notes_of(error) if isinstance(error, NasError) else [traceback_of(error)]
            print(*notes, sep="\n", end="\n" * bool(notes), file=sys.stderr, flush=True)
            reason = str(error) if isinstance(error, NasError) else named(error)
        return Outcome(state, reason, time.monotonic() - started)

    def _run(self, stopping: Callable[[], bool] | None) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        _await_release(self.folder / FILE_NAME)
        components = composed(self.config)
        timed = TimedSearcher(components.searcher)
        watch = [] if stopping is None else [_Watch(stopping)]
        study = make_study(self.config, replace(components, searcher=timed), self.folder, watch)
        for observer in watch:
            observer.study = study
        try:
            study.run()
        finally:
            write_json(self.folder / OVERHEAD, timed.to_json())
        _, closed = ends_of(self.folder / FILE_NAME)
        return "finished" if closed.get("reason") == "finished" else "interrupted"


def composed(config: Config) -> Components:
    """The components of one study; space and evaluator are those of the study before, if they are equal."""
    key = repr((config.space, config.evaluator))
    components = compose(config, _built.get(key))
    forget()
    _built[key] = Problem(components.space, components.evaluator)
    return components


def forget() -> None:
    """Lets go of the space and the evaluator that this process keeps."""
    _built.clear()


def study_job(config: Config, method: str, seed: int, folder: Path) -> StudyJob:
    """The study of one method with one seed, in its place in the comparison's folder."""
    hashing, cache = hashing_of(config, method)
    own = _alone(
        config,
        searcher=dict(config.compare.searchers[method]),
        hashing=hashing,
        cache=cache,
        seed=seed,
        baseline=BaselineSection(0),
        budget=replace(config.budget, trials=trials_of(config, method)),
    )
    return StudyJob(method, own, folder.absolute() / STUDIES / method / str(seed))


def baseline_job(config: Config, folder: Path) -> StudyJob:
    """The study of the random architectures: a baseline without a search."""
    own = _alone(
        config,
        searcher={"name": "none"},
        seed=config.compare.first_seed,
        budget=BudgetSection(1),
        final=FinalSection(0),
    )
    return StudyJob(BASELINE, own, folder.absolute() / BASELINE)


def _alone(config: Config, **changes: Any) -> Config:
    return replace(config, compare=CompareSection(), run=RunSection(), resume=None, dry_run=False, **changes)


def ends_of(log: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The latest `opened` event of a log, and its last event if that is `closed`; {} for what is missing.

    Reads two lines as JSON, whatever the length of the log.
    """
    try:
        lines = log.read_bytes().splitlines()
    except OSError:
        return {}, {}
    opened = next((line for line in reversed(lines) if line.startswith(b'{"event":"opened"')), b"{}")
    closed = lines[-1] if lines and lines[-1].startswith(b'{"event":"closed"') else b"{}"
    with suppress(ValueError, RecursionError):  # a torn or damaged line, which the study itself will report
        first, last = decode(opened), decode(closed)
        if not first or fault_of(first) is None:
            return first, last
    return {}, {}


class NoSearch:
    """The searcher "none", which proposes nothing, so that a study consists of its baseline.

    Args:
        space, objectives, seed: of no consequence.
    """

    def __init__(self, space: Any, objectives: Any, *, seed: int) -> None:  # noqa: ARG002 - the protocol's
        return

    def ask(self, count: int = 1) -> list[Suggestion]:  # noqa: ARG002 - the protocol's
        raise SearchFinished

    def tell(self, trial: Trial) -> None:  # noqa: ARG002 - the protocol's
        return


class _Watch:
    """Stops its study once it is told to."""

    def __init__(self, stopping: Callable[[], bool]) -> None:
        self._stopping = stopping
        self.study: Study | None = None

    def observe(self, event: Mapping[str, Any], progress: Progress) -> None:  # noqa: ARG002 - the protocol's
        if self._stopping() and self.study is not None:
            self.study.stop()

    def close(self) -> None:
        return


def _await_release(log: Path) -> None:
    """Waits while another process holds the log: a worker may outlive its killed driver by a moment."""
    until = time.monotonic() + _PATIENCE
    while log.exists() and time.monotonic() < until:
        lock = Lock()
        free = lock.take(log)
        lock.release()
        if free:
            return
        time.sleep(0.2)
