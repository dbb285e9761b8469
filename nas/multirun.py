"""Several runs one after the other: all are checked before the first begins, and no fault ends the rest.

With `run.dir=DIR` the runs are in DIR/0, DIR/1 and so on, and the same command continues them: what is
finished is reported again, what is not goes on where it stood.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from nas.config import Config
from nas.errors import NasError, describe_error
from nas.jobs import composed, forget
from nas.kinds import carry_out, check
from nas.signals import was_interrupted

Job = tuple[str, Config]  # what tells a run from the others, e.g. "seed=3"; what it is to do
STOPPED = 130  # exit status of a run that a signal ended


def carry_out_all(jobs: Sequence[Job]) -> int:
    """Checks all runs, then carries them out or previews them.

    Args:
        jobs: in order; a run's number is its place, from 0.

    Returns:
        The exit status: 0, 1 if runs failed, 130 after a signal.

    Raises:
        NasError: one line for the first run that is refused; nothing is started or written then.
    """
    _check_all(jobs)
    failures: list[str] = []
    for number, (_, config) in enumerate(jobs):
        name = _name(jobs, number)
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
            if status == STOPPED:
                print(f"stopped in run {name}{_again(jobs)}", file=sys.stderr)
                return STOPPED
            if status:
                failures.append(f"{name}: ended with status {status}")
            continue
        print(f"run {failures[-1]}", file=sys.stderr, flush=True)
    if failures:
        print(f"{len(failures)} of {len(jobs)} runs failed{_again(jobs)}", file=sys.stderr)
        for failure in failures:
            print(f"  run {failure}", file=sys.stderr)
    return 1 if failures else 0


def _check_all(jobs: Sequence[Job]) -> None:
    refused: list[tuple[int, NasError]] = []
    for number, (_, config) in enumerate(jobs):
        try:
            check(config, number, composed)
        except NasError as error:
            refused.append((number, error))
    forget()  # the data that were read for it
    if not refused:
        return
    first, error = refused[0]
    others = [_name(jobs, number) for number, _ in refused[1:]]
    also = f"; refused as well: run {', run '.join(others)}" if others else ""
    if len(jobs) == 1:
        raise error
    raise type(error)(f"run {_name(jobs, first)}: {error}{also}") from error


def _name(jobs: Sequence[Job], number: int) -> str:
    label = jobs[number][0]
    return f"{number} ({label})" if label else str(number)


def _again(jobs: Sequence[Job]) -> str:
    """What to do about it; runs without a given folder have each their own, of another name next time."""
    if all(config.run.dir is not None or config.resume is not None for _, config in jobs):
        return "; the same command continues"
    return "; the same command begins anew, with run.dir=DIR it would continue"
