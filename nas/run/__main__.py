"""python -m nas.run +experiment=NAME [key=value ...]: searches, compares with random, reports."""

from __future__ import annotations

import signal

if __name__ == "__main__":  # before the other imports, so that an early Ctrl-C gives no traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import itertools
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nas.errors import NasError, one_line
from nas.faults import notes_of
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
from nas.signals import command_streams, was_interrupted


def main() -> None:
    """Runs the command line; one line and status 2 for a user's mistake."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # components of one's own, given as module:attribute
    with command_streams():
        try:
            with _noted_warnings():
                status = _start(read_command(sys.argv[1:]))
        except NasError as error:
            for note in notes_of(error):  # the traceback of what code of the user's own raised
                print(note, file=sys.stderr)
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(2)
        except BaseException as error:
            if was_interrupted(error):
                sys.exit(130)
            raise
        if status:
            sys.exit(status)


def _start(command: Command) -> int:
    if "--version" in command.switches:
        from nas.provenance import versions

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
    from nas.run.kinds import carry_out, carry_out_all

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


if __name__ == "__main__":
    main()
