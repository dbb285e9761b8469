"""Jobs of an audit on a launcher: parts of the candidates, then searches; progress and faults as lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from nas.formats import format_duration
from nas.jobs import Outcome

if TYPE_CHECKING:
    from nas.launcher import Job, Launcher

_QUIET_SECONDS = 10.0  # between two lines of progress, unless a tenth is done


def launch(launcher: Launcher, jobs: Sequence[Job], total: int) -> int:
    """Carries the jobs out; the number of those that failed, each kind of fault told in a line.

    Args:
        launcher: is closed at the end.
        jobs: what is left of them.
        total: number of jobs, those done in earlier sessions included.
    """
    failures = 0
    with closing(launcher):
        launcher.open()
        for line in launcher.describe():
            print(line, flush=True)
        progress, said = _Progress(total, len(jobs)), set()
        for update in launcher.run(jobs):
            fault = update.fault or _failed(update.result)
            if fault is not None:
                failures += update.ended
                if fault not in said:  # the same one may hit every job
                    print(f"job {update.job.name}: {fault}", file=sys.stderr, flush=True)
                said.add(fault)
            elif update.ended:
                progress.add()
    return failures


def _failed(result: Any) -> str | None:
    return result.reason if isinstance(result, Outcome) and result.state == "failed" else None


class _Progress:
    """A line for each tenth and each ten seconds."""

    def __init__(self, total: int, left: int) -> None:
        self._total = total
        self._before = self._done = self._said = total - left
        self._began = self._said_at = time.monotonic()

    def add(self) -> None:
        self._done += 1
        now = time.monotonic()
        enough = self._done - self._said >= self._total / 10 or now - self._said_at >= _QUIET_SECONDS
        if not enough and self._done < self._total:
            return
        self._said, self._said_at = self._done, now
        pace = (now - self._began) / (self._done - self._before)
        left = format_duration((self._total - self._done) * pace)
        print(f"{self._done:,}/{self._total:,} jobs, {left} left", file=sys.stderr, flush=True)
