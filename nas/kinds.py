"""What a run does: one of several kinds, chosen by its configuration."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nas.config import Config
from nas.errors import ConfigError, EvaluationError
from nas.eventlog import FILE_NAME
from nas.faults import blame, place_of
from nas.fitting import (
    search_notes,
)
from nas.folder import has_trials, run_folder
from nas.session import Components, accepted_parts, compose, make_observers, make_study
from nas.store import AUDIT, COMPARISON, PROTOCOL


class Execution(Protocol):
    """What a configuration asks for, composed and checked: a run, a comparison or another kind of it."""

    def check(self, folder: Path) -> None:
        """Raises NasError unless what the folder holds, if anything, can be continued; writes nothing."""
        ...

    def preview(self) -> str:
        """What would be done and what it would cost; writes nothing."""
        ...

    def run(self, folder: Path) -> int:
        """Carries it out, or continues it; the exit status: 0, or 130 after a signal."""
        ...


def prepare(config: Config, composing: Callable[[Config], Components] = compose) -> Execution:
    """Composes what the configuration asks for; nothing is started or written.

    Args:
        config: of the run.
        composing: builds the components of a single study.

    Raises:
        NasError: one line for the first thing that is wrong.
    """
    if config.compare.searchers:
        from nas.campaign import prepare_campaign

        return prepare_campaign(config)
    if config.protocol.variants:
        from nas.protocol.running import prepare_protocol

        return prepare_protocol(config)
    if config.audit.exact:
        from nas.audit.running import prepare_audit

        return prepare_audit(config)
    return Single(config, composing(config))


def _marker(config: Config) -> str:
    """Name of the file that a folder of this kind of run holds.

    Raises:
        ConfigError: sections of two kinds, of which one would be ignored.
    """
    kinds = {
        "compare.searchers": (config.compare.searchers, COMPARISON),
        "protocol.variants": (config.protocol.variants, PROTOCOL),
        "audit.exact": (config.audit.exact, AUDIT),
    }
    given = {name: marker for name, (value, marker) in kinds.items() if value}
    if len(given) > 1:
        first, *_ = given
        raise ConfigError(
            f"{first}: expected one kind of study, got {' and '.join(given)}; leave all but one out"
        )
    return next(iter(given.values()), FILE_NAME)


def check(
    config: Config, job: int | None = None, composing: Callable[[Config], Components] = compose
) -> None:
    """Checks all that `carry_out` does before its first trial; leaves nothing behind.

    Args:
        config: of the run.
        job: number in a multirun.
        composing: builds the components of a single study.

    Raises:
        NasError: one line for the first thing that is wrong.
    """
    _checked_execution(config, job, composing)


def _checked_execution(
    config: Config, job: int | None, composing: Callable[[Config], Components] = compose
) -> Execution:
    _check_accept(config)
    with run_folder(config, job, marker=_marker(config), keep=False):
        pass  # before anything heavy is loaded
    execution = prepare(config, composing)
    with run_folder(config, job, marker=_marker(config), keep=False) as folder:
        execution.check(folder)
    return execution


def carry_out(config: Config, job: int | None = None) -> int:
    """Runs or previews what the configuration says.

    Args:
        config: of the run.
        job: number in a multirun.

    Returns:
        The exit status: 0 if everything is done, 1 if studies of a comparison failed or an output of the
        report is missing, 130 if it was interrupted.

    Raises:
        NasError: in one line why it cannot be carried out; what code of the user's own raised, `SystemExit`
            too, is one of these.
    """
    try:
        return _carry_out(config, job)
    except BaseException as error:
        if not isinstance(error, SystemExit) and place_of(error) is None:
            raise  # of the platform itself, with its whole traceback
        raise blame(error, "run", "code of your own to work", kind=EvaluationError) from error


def _carry_out(config: Config, job: int | None) -> int:
    if config.dry_run:
        print(_checked_execution(config, job).preview())
        return 0
    _check_accept(config)
    with run_folder(config, job, marker=_marker(config)) as folder:
        return prepare(config).run(folder)


@dataclass(frozen=True, slots=True)
class Single:
    """One study in a folder of its own; see `Execution`."""

    config: Config
    components: Components

    def check(self, folder: Path) -> None:
        make_study(self.config, self.components, folder).check()

    def preview(self) -> str:
        from nas.preview import preview

        return preview(self.config, self.components)

    def run(self, folder: Path) -> int:
        from nas.signals import stop_on_signals

        study = make_study(self.config, self.components, folder, make_observers(self.config, self.components))
        stopped = False

        def stop() -> None:
            nonlocal stopped
            stopped = True
            print("stopping; once more to stop without a report", file=sys.stderr, flush=True)
            study.stop()

        name, parts = str(self.config.searcher["name"]), self.components
        for line in search_notes(name, parts.searcher, parts.space, self.config.budget.trials):
            print(f"note: {line}", file=sys.stderr, flush=True)
        with stop_on_signals(stop):
            try:
                study.run()
            except EvaluationError:  # of the set-up, found out by trials: they are reported before it is said
                if has_trials(folder):
                    _report(folder)
                raise
            except KeyboardInterrupt:  # the second signal, or one that a candidate raised itself
                print(f"interrupted; the same command with resume={folder} continues", file=sys.stderr)
                raise
        status = _report(folder)
        stopped |= not study.finished
        if stopped:
            print(f"stopped early; the same command with resume={folder} continues")
        return 130 if stopped else status


def _report(folder: Path) -> int:
    """Writes and prints it; 0, or 1 if some output of it is missing."""
    from nas.report import write_report

    report = write_report([folder], folder)
    report.show()
    return report.status


def _check_accept(config: Config) -> None:
    if accepted_parts(config) and config.resume is None:
        raise ConfigError(
            "accept: expected with the folder of a run, got no resume; add resume=DIR or leave it out"
        )
    if accepted_parts(config) and _marker(config) == AUDIT:  # it has no trials that could be kept
        raise ConfigError(
            "accept: expected a run, a comparison or a study of protocols, got an audit; leave accept out, "
            "or start the audit anew in another run.dir if what it measures was repaired"
        )
