"""One study in its folder: a single run (`SingleRun`), or a job of a larger run (`StudyJob`)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import EvaluationError, NasError
from nas.faults import interrupts, named, notes_of, traceback_of
from nas.run.compose import Components, composed, options_of, preview
from nas.run.config import Config, resolved
from nas.run.folder import has_trials
from nas.run.jobs import JobOutcome, exit_status, stop_on_signals
from nas.run.progress import TrialProgress
from nas.study import (
    FILE_NAME,
    OVERHEAD,
    Checkpoints,
    Lock,
    Observer,
    Progress,
    Searcher,
    SearchFinished,
    Suggestion,
    TimedSearcher,
    Trial,
    decode,
    fault_of,
    search_notes,
    write_json,
)

if TYPE_CHECKING:
    from nas.study import Study

_PATIENCE = 30.0  # seconds until the processes of a killed driver have ended


@dataclass(frozen=True, slots=True)
class SingleRun:
    """A run that is one study; see `nas.run.__main__.Execution`."""

    config: Config
    components: Components

    def check(self, folder: Path) -> None:
        make_study(self.config, self.components, folder).check()

    def preview(self) -> str:
        return preview(self.config, self.components)

    def run(self, folder: Path) -> int:
        observers = make_observers(self.config, self.components)
        study = make_study(self.config, self.components, folder, observers)
        name, parts = str(self.config.searcher["name"]), self.components
        for line in search_notes(name, parts.searcher, parts.space, self.config.budget.trials):
            print(f"note: {line}", file=sys.stderr, flush=True)
        return run_studies(iter([study]), folder)


def run_studies(studies: Iterator[Study], folder: Path) -> int:
    """Runs studies one after the other until one is told to stop, and reports them; returns the exit status.

    Args:
        studies: made one by one.
        folder: of the run.
    """
    study: Study | None = None
    with stop_on_signals(lambda: None if study is None else study.stop(), folder) as stop:
        while not stop.called and (study := next(studies, None)) is not None:
            if stop.called:  # while it was made
                break
            try:
                study.run()
            except EvaluationError:  # a wrong set-up that trials revealed, which are reported first
                if has_trials(folder):
                    _report(folder)
                raise
            stop.called |= not study.finished
    return exit_status(folder, stop.called, report=_report(folder) if has_trials(folder) else 0)


def _report(folder: Path) -> int:
    """Writes and prints the report; returns 1 if some output is missing, else 0."""
    from nas.report import report_folders, write_report

    report = write_report(report_folders(folder), folder)
    report.show()
    return report.status


def make_study(
    config: Config, components: Components, folder: Path, observers: Sequence[Observer] = ()
) -> Study:
    """The study of these components, with its log in the folder."""
    from nas.study import Study

    limit = config.checkpoints.max_mb
    checkpoints = Checkpoints(
        folder / "checkpoints",
        keep=config.checkpoints.keep,
        max_bytes=None if limit is None else int(limit * 1e6),
    )
    return Study(
        components.space,
        components.searcher,
        components.evaluator,
        components.executor,
        directory=folder,
        plan=components.plan,
        hasher=components.hasher,
        cache=components.cache,
        observers=observers,
        checkpoints=checkpoints,
        config=resolved(config),
        searcher_name=str(config.searcher["name"]),
        searcher_options=options_of(config.searcher),
        hasher_options=options_of(config.hashing),
        accept=() if config.accept is None else (config.accept,),
    )


def make_observers(config: Config, components: Components) -> tuple[Observer, ...]:
    """The observers that show the progress of a run."""
    objective, opening = components.evaluator.objectives[0], components.executor.describe
    observers: list[Observer] = [TrialProgress(objective, opening=opening)]
    if config.executor["name"] == "ray":
        from nas.cluster.metrics import MetricsObserver

        observers.append(MetricsObserver(config.name))
    return tuple(observers)


@dataclass(frozen=True, slots=True)
class StudyJob:
    """A study to be carried out or continued in a folder.

    Attributes:
        group: such as the label of its searcher.
        config: of this study alone: `resume` with its folder continues it like any other run.
        folder: absolute.
    """

    group: str
    config: Config
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.group}/{self.config.seed}"

    def __call__(self, stopping: Callable[[], bool] | None = None) -> JobOutcome:
        started = time.monotonic()
        state, reason = "failed", None
        try:
            state = self._run(stopping)
        except BaseException as error:  # a failure of this study, which must not end the others
            if interrupts(error):
                raise
            notes = notes_of(error) if isinstance(error, NasError) else [traceback_of(error)]
            print(*notes, sep="\n", end="\n" * bool(notes), file=sys.stderr, flush=True)
            reason = str(error) if isinstance(error, NasError) else named(error)
        return JobOutcome(state, reason, time.monotonic() - started)

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


def ends_of(log: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The latest `opened` event of a log, and its last event if that is `closed`; {} for a missing one.

    Only these two lines are parsed.
    """
    try:
        lines = log.read_bytes().splitlines()
    except OSError:
        return {}, {}
    opened = next((line for line in reversed(lines) if line.startswith(b'{"event":"opened"')), b"{}")
    closed = lines[-1] if lines and lines[-1].startswith(b'{"event":"closed"') else b"{}"
    with suppress(ValueError, RecursionError):  # a damaged line, which the study will report
        first, last = decode(opened), decode(closed)
        if not first or fault_of(first) is None:
            return first, last
    return {}, {}


class NoSearch(Searcher):
    """The searcher "none", which proposes nothing, so that a study consists of its baseline.

    Args:
        space, objectives, seed: not used.
    """

    def __init__(self, space: Any, objectives: Any, *, seed: int) -> None:  # noqa: ARG002 - the base class's
        return

    def ask(self, count: int = 1) -> list[Suggestion]:  # noqa: ARG002 - the base class's
        raise SearchFinished

    def tell(self, trial: Trial) -> None:  # noqa: ARG002 - the base class's
        return


class _Watch(Observer):
    """Stops its study once it is told to."""

    def __init__(self, stopping: Callable[[], bool]) -> None:
        self._stopping = stopping
        self.study: Study | None = None

    def observe(self, event: Mapping[str, Any], progress: Progress) -> None:  # noqa: ARG002 - the base class's
        if self._stopping() and self.study is not None:
            self.study.stop()


def _await_release(log: Path) -> None:
    """Waits while another process holds the log: a worker may outlive its killed driver."""
    until = time.monotonic() + _PATIENCE
    while log.exists() and time.monotonic() < until:
        lock = Lock()
        free = lock.take(log)
        lock.release()
        if free:
            return
        time.sleep(0.2)
