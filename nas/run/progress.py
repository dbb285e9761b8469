"""The progress of a run: a live table in a terminal, plain lines anywhere else.

One display serves the trials of a study (`TrialProgress`), and the studies of a comparison and the jobs of an
audit (`JobCounts`).
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from nas.evaluation import Objective, Status, trial_label
from nas.report import format_duration, format_value
from nas.study import Observer, Progress

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


BURST = 12  # lines that may be printed at once
LINES_PER_SECOND = 1.0  # after the burst
REFRESH_PER_SECOND = 4
_BAR = 40  # columns


class Counted(Protocol):
    """The counts that a display shows."""

    @property
    def done(self) -> int:
        """Ended, including failures."""
        ...

    @property
    def total(self) -> int | None:
        """Planned; None if that is not known."""
        ...

    def line(self) -> str:
        """The state in one line; empty before the first."""
        ...

    def rows(self) -> Sequence[tuple[str, int | None, int, str]]:
        """Rows with a bar: label, total, done, and the text after the bar."""
        ...


class ProgressDisplay:
    """Shows the state at the start, after each tenth and at intervals; the number of lines is limited.

    `show` costs about a microsecond while nothing is due.

    Args:
        counted: the counts.
        stream: standard error by default; a terminal gets a table that is redrawn below the lines.
        clock: seconds.
    """

    def __init__(
        self, counted: Counted, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._counted = counted
        self._stream = stream or sys.stderr
        self._clock = clock
        self._began = self._filled = self._said_at = clock()
        self._said_done: int | None = None
        self._lines_left = float(BURST)
        self._notes = 0
        self._note = ""
        self._closed = False
        self._live = self._start() if self._stream.isatty() else None

    def note(self, text: str) -> None:
        """Prints an important line; of many at once only the last, with their number."""
        self._notes += 1
        self._note = text
        self._write_notes()

    def news(self, text: str) -> bool:
        """Prints a line that a table would not need; returns False while the number of lines is limited."""
        if self._live is None and self._may_write():
            self._write(text)
            return True
        return self._live is not None

    def show(self) -> None:
        """To be called after each change."""
        self._write_notes()
        if self._live is not None or not self._may_write():
            return
        now, done, total = self._filled, self._counted.done, self._counted.total
        tenth = math.inf if not total else max(1.0, total / 10)
        quiet = now - self._said_at >= max(10.0, 0.02 * (now - self._began))  # more rarely in long runs
        if self._said_done is None or quiet or done - self._said_done >= tenth:
            self._said_at, self._said_done = now, done
            self._write(self._counted.line())

    def close(self) -> None:
        """Prints withheld notes and the last state, and removes the table; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        if self._live is not None:
            self._live.stop()
        self._lines_left = max(self._lines_left, 1.0)
        self._write_notes()
        if self._live is None and (line := self._counted.line()):
            self._write(f"{line}, ended")

    def _may_write(self) -> bool:
        now = self._clock()
        self._lines_left = min(BURST, self._lines_left + (now - self._filled) * LINES_PER_SECOND)
        self._filled = now
        return self._lines_left >= 1

    def _write_notes(self) -> None:
        if self._notes and self._may_write():
            others = f" (and {self._notes - 1} more failures before it)" if self._notes > 1 else ""
            self._notes = 0
            self._write(self._note + others)

    def _write(self, line: str) -> None:
        self._lines_left -= 1
        if self._live is None:
            print(line, file=self._stream, flush=True)
        else:
            self._live.console.print(line, markup=False, highlight=False)

    def _start(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        live = Live(
            get_renderable=self._rendered,
            console=Console(file=self._stream),
            refresh_per_second=REFRESH_PER_SECOND,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # else output for a file would appear here
        )
        live.start()
        return live

    def _rendered(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        for label, total, done, text in self._counted.rows():
            bar = ProgressBar(total, done, width=_BAR, pulse=total is None)
            grid.add_row(Text(label), bar, Text(text))
        return Group(grid, Text(self._counted.line() or "starting"))


class TrialProgress(Observer):
    """Shows the state of a study, each new best and each failure.

    Args:
        objective: the first one of the evaluator.
        stream, clock: see `ProgressDisplay`.
        opening: lines on where the trials run, printed when the executor is open.
    """

    def __init__(
        self,
        objective: Objective,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        opening: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._objective = objective
        self._opening = opening
        self._latest: Progress | None = None
        self._best_trial: int | None = None
        self.display = ProgressDisplay(self, stream, clock)

    def observe(self, event: Mapping[str, Any], progress: Progress) -> None:
        self._latest = progress
        if event["event"] == "opened":
            for line in self._opening():
                print(line, flush=True)
        if event["event"] == "evaluated":
            outcome = event.get("evaluation") or {}
            status = outcome.get("status", Status.COMPLETED)
            if status != Status.COMPLETED:
                self.display.note(f"{trial_label(event['trial'])} failed ({status}): {outcome.get('reason')}")
        if progress.best_trial is not None and progress.best_trial != self._best_trial:
            value, label = format_value(progress.best, self._objective), trial_label(progress.best_trial)
            if self.display.news(f"new best: {self._objective.name} {value} ({label})"):
                self._best_trial = progress.best_trial
        self.display.show()

    def close(self) -> None:
        self.display.close()

    @property
    def done(self) -> int:
        return 0 if self._latest is None else self._latest.done

    @property
    def total(self) -> int | None:
        return None if self._latest is None else self._latest.total

    def line(self) -> str:
        return "" if self._latest is None else state_line(self._latest, self._objective)

    def rows(self) -> Sequence[tuple[str, int | None, int, str]]:
        if self._latest is None:
            return ()
        return [("", self.total, self.done, f"{self.done / self.total:.0%}" if self.total else "")]


def state_line(progress: Progress, objective: Objective) -> str:
    """A study's state in one line: done, in flight, failed, cached, best, time."""
    done = f"{progress.done}" if progress.total is None else f"{progress.done}/{progress.total}"
    parts = [f"{done} done", f"{progress.in_flight} in flight", f"{progress.failed} failed"]
    if progress.cache_hits:
        said = [f"{progress.cache_waits} waited"] if progress.cache_waits else []
        if progress.seconds_saved:
            said.append(f"{format_duration(progress.seconds_saved)} saved")
        if progress.hash_seconds:
            said.append(f"{format_duration(progress.hash_seconds)} hashing")
        parts.append(f"{progress.cache_hits} from cache" + (f" ({', '.join(said)})" if said else ""))
    if progress.unhashed:
        parts.append(f"{progress.unhashed} without a hash")
    if progress.best is not None:
        parts.append(f"best {format_value(progress.best, objective)}")
    parts.append(format_duration(progress.elapsed))
    if progress.time_left is not None:
        parts.append(f"{format_duration(progress.time_left)} left")
    return f"{progress.stage}: {', '.join(parts)}"


@dataclass(slots=True)
class GroupCounts:
    """The jobs of one group, such as the studies of one method.

    Attributes:
        total: planned.
        done: finished, in earlier sessions too.
        running: begun and not ended.
        failed: ended without a result.
        ended: `done` and `failed` of this session, which took `seconds` together.
    """

    total: int = 0
    done: int = 0
    running: int = 0
    failed: int = 0
    ended: int = 0
    seconds: float = 0.0

    @property
    def left(self) -> int:
        """Not ended yet, including those that run."""
        return self.total - self.done - self.failed


@dataclass(slots=True)
class JobCounts:
    """Counts jobs by group.

    Attributes:
        workers: jobs at the same time.
        what: the word for a job, "study" or "job".
        clock: seconds.
    """

    workers: int = 1
    what: str = "study"
    clock: Callable[[], float] = time.monotonic
    groups: dict[str, GroupCounts] = field(default_factory=dict)
    began: float = 0.0

    def __post_init__(self) -> None:
        self.began = self.clock()

    def plan(self, group: str, *, done: bool) -> None:
        counts = self.groups.setdefault(group, GroupCounts())
        counts.total += 1
        counts.done += done

    def start(self, group: str) -> None:
        self.groups[group].running += 1

    def end(self, group: str, seconds: float, state: str) -> None:
        """Counts the end of a job, "finished", "failed" or "interrupted"."""
        counts = self.groups[group]
        counts.running -= 1
        if state != "interrupted":
            counts.failed += state == "failed"
            counts.done += state == "finished"
            counts.ended += 1
            counts.seconds += seconds

    @property
    def whole(self) -> GroupCounts:
        """All groups together."""
        parts = self.groups.values()
        return GroupCounts(*(sum(getattr(part, each.name) for part in parts) for each in fields(GroupCounts)))

    @property
    def done(self) -> int:
        return self.total - self.whole.left

    @property
    def total(self) -> int:
        return self.whole.total

    @property
    def time_left(self) -> float | None:
        """Seconds by each group's mean duration, shared among the workers; None before the first end."""
        whole = self.whole
        if not whole.ended:
            return None
        known = (part if part.ended else whole for part in self.groups.values())
        means = [part.seconds / part.ended for part in known]
        left = [part.left for part in self.groups.values()]
        work = math.fsum(mean * number for mean, number in zip(means, left, strict=True))
        return work / max(1, min(self.workers, whole.left))

    def line(self) -> str:
        whole, left = self.whole, self.time_left
        many = "studies" if self.what == "study" else f"{self.what}s"
        parts = [f"{whole.done:,}/{whole.total:,} {many} done", f"{whole.running} running"]
        parts += [f"{whole.failed} failed", format_duration(self.clock() - self.began)]
        return ", ".join(parts + ([] if left is None else [f"{format_duration(left)} left"]))

    def rows(self) -> Sequence[tuple[str, int | None, int, str]]:
        return [
            (
                group,
                counts.total,
                counts.done + counts.failed,
                f"{counts.done}/{counts.total}" + (f", {counts.failed} failed" if counts.failed else ""),
            )
            for group, counts in list(self.groups.items())
        ]
