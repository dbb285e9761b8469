"""python -m nas.run +experiment=NAME [key=value ...]: searches, compares with random, reports.

The configuration chooses the kind of run, which is checked, then carried out or previewed. All runs of a
multirun are checked before the first begins, and a failed run does not end the others. With `run.dir=DIR`
they are in DIR/0, DIR/1 and so on, and the same command continues them: finished runs are reported again,
others continue where they stopped.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":  # before the other imports, so that an early Ctrl-C gives no traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import itertools
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from nas.errors import ConfigError, EvaluationError, NasError, describe_error, one_line, refusal
from nas.faults import blame, notes_of, place_of
from nas.run.command import (
    Command,
    Composer,
    composition,
    composition_text,
    help_text,
    ignored_words,
    in_one_line,
    job_config,
    read_command,
)
from nas.run.compose import Components, compose, composed, forget
from nas.run.config import Config, marker_of
from nas.run.folder import run_folder
from nas.signals import command_streams, was_interrupted
from nas.study import ACCEPTABLE, AUDIT

NamedConfig = tuple[str, Config]  # what distinguishes a run, e.g. "seed=3", and its configuration
_STOPPED = 130  # exit status of a run that was ended by a signal


def main() -> None:
    """Runs the command line; one line and status 2 for a user's mistake."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # for components of the user, given as module:attribute
    with command_streams():
        try:
            with _noted_warnings():
                status = _start(read_command(sys.argv[1:]))
        except NasError as error:
            for note in notes_of(error):  # the traceback of an exception in the user's code
                print(note, file=sys.stderr)
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(2)
        except BaseException as error:
            if was_interrupted(error):
                sys.exit(_STOPPED)
            raise
        if status:
            sys.exit(status)


def _start(command: Command) -> int:
    if "--version" in command.switches:
        from nas.study import versions

        print(", ".join(f"{name} {version}" for name, version in versions().items()))
        return 0
    with composition(command.values.get("--config-dir")):
        composer = Composer(command)
        if "--help" in command.switches:
            print(help_text(composer))
            return 0
        if "--cfg" in command.values:
            with in_one_line():
                print(composition_text(composer.compose(command.overrides), command), end="")
            return 0
        commands = composer.jobs() if command.multirun else [("", list(command.overrides))]
        jobs = [(label, job_config(composer, words)) for label, words in commands]
    ignored = (ignored_words(config, words) for (_, config), (_, words) in zip(jobs, commands, strict=True))
    for line in dict.fromkeys(itertools.chain.from_iterable(ignored)):
        print(f"note: {line}", file=sys.stderr)
    return carry_out_all(jobs) if command.multirun else carry_out(jobs[0][1])


@contextmanager
def _noted_warnings() -> Iterator[None]:
    """Shows each warning once, as one line without the place in the source."""
    shown: set[str] = set()

    def note(message: Warning | str, *_: Any, **__: Any) -> None:
        line = re.sub(r" See https?://.*", "", one_line(message, 2000))
        if line not in shown:
            shown.add(line)
            print(f"note: {line}", file=sys.stderr, flush=True)

    with warnings.catch_warnings():
        warnings.showwarning = note
        yield


class Execution(Protocol):
    """A composed and checked run of any kind: a single one, a comparison, a study of protocols, an audit."""

    def check(self, folder: Path) -> None:
        """Raises NasError if the folder holds something that cannot be continued; writes nothing."""
        ...

    def preview(self) -> str:
        """What the run would do and cost; writes nothing."""
        ...

    def run(self, folder: Path) -> int:
        """Carries the run out or continues it; returns the exit status: 0, or 130 after a signal."""
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
        from nas.run.comparison import prepare_comparison

        return prepare_comparison(config)
    if config.protocol.variants:
        from nas.run.protocol import prepare_protocol

        return prepare_protocol(config)
    if config.audit.exact:
        from nas.run.audit import prepare_audit

        return prepare_audit(config)
    from nas.run.single import SingleRun

    return SingleRun(config, composing(config))


def checked(
    config: Config, job: int | None = None, composing: Callable[[Config], Components] = compose
) -> Execution:
    """The run of a configuration, after all checks before its first trial; writes nothing.

    Args:
        config: of the run.
        job: number in a multirun.
        composing: builds the components of a single study.

    Raises:
        NasError: one line for the first thing that is wrong.
    """
    _check_accept(config)
    with run_folder(config, job, keep=False):
        pass  # before heavy imports
    execution = prepare(config, composing)
    with run_folder(config, job, keep=False) as folder:
        execution.check(folder)
    return execution


def carry_out(config: Config, job: int | None = None) -> int:
    """Carries out or previews the run of a configuration.

    Args:
        config: of the run.
        job: number in a multirun.

    Returns:
        The exit status: 0 if everything is done, 1 if studies of a comparison failed or an output of the
        report is missing, 130 if it was interrupted.

    Raises:
        NasError: one line on why it cannot be carried out; exceptions in the user's code, `SystemExit` too,
            are converted to one.
    """
    try:
        if config.dry_run:
            print(checked(config, job).preview())
            return 0
        _check_accept(config)
        with run_folder(config, job) as folder:
            return prepare(config).run(folder)
    except BaseException as error:
        if not isinstance(error, SystemExit) and place_of(error) is None:
            raise  # an error of the platform, with its whole traceback
        raise blame(error, "run", "your code to work", kind=EvaluationError) from error


def _check_accept(config: Config) -> None:
    if config.accept is None:
        return
    if config.accept not in ACCEPTABLE:
        raise ConfigError(refusal("accept", " or ".join(ACCEPTABLE), repr(config.accept), "leave it out"))
    if config.resume is None:
        raise ConfigError(
            refusal("accept", "the folder of a run beside it", "none", "add resume=DIR or leave it out")
        )
    if marker_of(config) == AUDIT:  # it has no trials that could be kept
        expected = "a run, a comparison or a study of protocols"
        remedy = "leave accept out, or start a new audit in another run.dir if the measured code was repaired"
        raise ConfigError(refusal("accept", expected, "an audit", remedy))


def carry_out_all(jobs: Sequence[NamedConfig]) -> int:
    """Checks all runs, then carries them out or previews them.

    Args:
        jobs: in order; a run's number is its position, from 0.

    Returns:
        The exit status: 0, 1 if runs failed, 130 after a signal.

    Raises:
        NasError: one line for the first run that is refused; nothing is started or written then.
    """
    names = [f"{number} ({label})" if label else str(number) for number, (label, _) in enumerate(jobs)]
    refused: dict[str, NasError] = {}
    for number, (_, config) in enumerate(jobs):
        try:
            checked(config, number, composed)
        except NasError as error:
            refused[names[number]] = error
    forget()  # the data that were read for the checks
    for first, error in refused.items():
        if len(jobs) == 1:
            raise error
        also = f"; refused as well: run {', run '.join(list(refused)[1:])}" if len(refused) > 1 else ""
        raise type(error)(f"run {first}: {error}{also}") from error
    given = all(config.run.dir is not None or config.resume is not None for _, config in jobs)
    again = "continues" if given else "starts again; with run.dir=DIR it would continue"
    failures: list[str] = []
    for number, (_, config) in enumerate(jobs):
        name = names[number]
        print(f"run {name}, {number + 1} of {len(jobs)}", flush=True)
        try:
            status = carry_out(config, number)
        except NasError as error:
            failures.append(f"{name}: {describe_error(error, 2000)}")
        except Exception as error:
            if was_interrupted(error):
                raise
            traceback.print_exc()
            failures.append(f"{name}: {describe_error(error)}")
        else:
            if status == _STOPPED:
                print(f"stopped in run {name}; the same command {again}", file=sys.stderr)
                return _STOPPED
            if status:
                failures.append(f"{name}: ended with status {status}")
            continue
        print(f"run {failures[-1]}", file=sys.stderr, flush=True)
    if failures:
        print(f"{len(failures)} of {len(jobs)} runs failed; the same command {again}", file=sys.stderr)
        for failure in failures:
            print(f"  run {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    main()
