"""What a running study shows: a live display in a terminal, plain lines anywhere else.

Both are observers that cost about a microsecond an event: they keep the latest state and write
rarely, whatever the rate of the events.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from nas.evaluation import Objective, Status
from nas.formats import format_duration, format_value
from nas.store import trial_label

if TYPE_CHECKING:
    from rich.console import RenderableType

    from nas.progress import Observer, Progress

BURST = 12  # lines that may follow at once
LINES_PER_SECOND = 1.0  # beyond the burst
REFRESH_PER_SECOND = 4


def open_display(objective: Objective, stream: TextIO | None = None) -> Observer:
    """A live display if the stream (default: standard error) is a terminal, plain lines otherwise."""
    target = stream or sys.stderr
    if target.isatty():
        return LiveDisplay(objective, target)
    return LineDisplay(objective, lambda line: print(line, file=target, flush=True))


class LineDisplay:
    """One line when something notable happens: start, a new best, a failure, and now and then the state.

    Lines are rationed: what a burst of events leaves unsaid is counted and said with the next line.
    """

    def __init__(
        self,
        objective: Objective,
        write: Callable[[str], object],
        *,
        states: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`write` takes one line; with `states` off only failures are written, beside a live display."""
        self._objective = objective
        self._write_line = write
        self._states = states
        self._clock = clock
        self._started = self._filled = self._state_at = clock()
        self._lines_left = float(BURST)
        self._best_trial: int | None = None
        self._state_done = 0
        self._failures = 0
        self._last_failure = ""
        self._latest: Progress | None = None

    def observe(self, event: Mapping[str, Any], progress: Progress) -> None:
        if event["event"] == "evaluated":
            self._note_failure(event)
        first, self._latest = self._latest is None, progress
        now = self._clock()
        self._lines_left = min(BURST, self._lines_left + (now - self._filled) * LINES_PER_SECOND)
        self._filled = now
        if self._lines_left >= 1:
            self._write_notable(progress, now, first)

    def close(self) -> None:
        """Says what rationing left unsaid, and the last state."""
        if self._latest is not None:
            self._write_failures()
            if self._states:
                self._write(f"{state_line(self._latest, self._objective)}, ended")

    def _note_failure(self, event: Mapping[str, Any]) -> None:
        outcome = event.get("evaluation") or {}
        status = outcome.get("status", Status.COMPLETED)
        if status != Status.COMPLETED:
            self._failures += 1
            self._last_failure = f"{trial_label(event['trial'])} failed ({status}): {outcome.get('reason')}"

    def _write_notable(self, progress: Progress, now: float, first: bool) -> None:
        self._write_failures()
        if not self._states:
            return
        if progress.best_trial is not None and progress.best_trial != self._best_trial:
            self._best_trial = progress.best_trial
            value = format_value(progress.best, self._objective)
            self._write(f"new best: {self._objective.name} {value} ({trial_label(progress.best_trial)})")
        if first or self._state_due(progress, now):
            self._state_at, self._state_done = now, progress.done
            self._write(state_line(progress, self._objective))

    def _state_due(self, progress: Progress, now: float) -> bool:
        """After 10 s, more rarely in long studies, or after a tenth of all trials."""
        quiet = now - self._state_at > max(10.0, 0.02 * (now - self._started))
        tenth = math.inf if not progress.total else max(1.0, progress.total / 10)
        return quiet or progress.done - self._state_done >= tenth

    def _write_failures(self) -> None:
        if self._failures:
            others = f" (and {self._failures - 1} more failures before it)" if self._failures > 1 else ""
            self._failures = 0
            self._write(self._last_failure + others)

    def _write(self, line: str) -> None:
        self._lines_left -= 1
        self._write_line(line)


class LiveDisplay:
    """A progress bar with the state beside it, redrawn by its own thread; failures scroll above it."""

    def __init__(self, objective: Objective, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._objective = objective
        self._latest: Progress | None = None
        self._live = Live(
            get_renderable=self._render,
            console=Console(file=stream),
            refresh_per_second=REFRESH_PER_SECOND,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # else what goes into a file would come here
        )
        above = partial(self._live.console.print, markup=False, highlight=False)
        self._failures = LineDisplay(objective, above, states=False)
        self._live.start()

    def observe(self, event: Mapping[str, Any], progress: Progress) -> None:
        self._latest = progress
        self._failures.observe(event, progress)

    def close(self) -> None:
        """Removes the bar; safe to call twice."""
        self._live.stop()
        self._failures.close()

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        progress = self._latest
        if progress is None:
            return "starting"
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(progress.total, progress.done, width=40, pulse=progress.total is None)
        share = "" if not progress.total else f"{progress.done / progress.total:.0%}"
        grid.add_row(f"{progress.stage:<8}", bar, share)
        return Group(grid, Text(state_line(progress, self._objective, stage=False)))


def state_line(progress: Progress, objective: Objective, *, stage: bool = True) -> str:
    """A study's state in one line: done, in flight, failed, cached, best, time."""
    done = f"{progress.done}" if progress.total is None else f"{progress.done}/{progress.total}"
    parts = [f"{done} done", f"{progress.in_flight} in flight", f"{progress.failed} failed"]
    if progress.cache_hits:
        parts.append(f"{progress.cache_hits} from cache{_savings(progress)}")
    if progress.unhashed:
        parts.append(f"{progress.unhashed} without a hash")
    if progress.best is not None:
        parts.append(f"best {format_value(progress.best, objective)}")
    parts.append(format_duration(progress.elapsed))
    if progress.time_left is not None:
        parts.append(f"{format_duration(progress.time_left)} left")
    return (f"{progress.stage}: " if stage else "") + ", ".join(parts)


def _savings(progress: Progress) -> str:
    """In parentheses: how many of them waited, what all of them saved and what hashing took."""
    said = [f"{progress.cache_waits} waited"] if progress.cache_waits else []
    if progress.seconds_saved:
        said.append(f"{format_duration(progress.seconds_saved)} saved")
    if progress.hash_seconds:
        said.append(f"{format_duration(progress.hash_seconds)} hashing")
    return f" ({', '.join(said)})" if said else ""
