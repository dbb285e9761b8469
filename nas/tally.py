"""How far a comparison is, and what it shows meanwhile: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, TextIO

from nas.formats import format_duration

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

_QUIET_SECONDS = 10.0  # between two lines, unless a tenth of all studies ended
_BAR = 24


@dataclass(slots=True)
class Progress:
    """The studies of one method.

    Attributes:
        total: planned.
        done: finished, in earlier sessions too.
        running: under way.
        failed: ended without a result.
        ended: of `done` and `failed`, those of this session; `seconds` they took together.
    """

    total: int = 0
    done: int = 0
    running: int = 0
    failed: int = 0
    ended: int = 0
    seconds: float = 0.0

    @property
    def left(self) -> int:
        """Not ended yet, those under way included."""
        return self.total - self.done - self.failed


@dataclass(slots=True)
class Tally:
    """Counts the studies of a comparison by method.

    Attributes:
        workers: studies at the same time.
        clock: seconds.
    """

    workers: int = 1
    clock: Callable[[], float] = time.monotonic
    methods: dict[str, Progress] = field(default_factory=dict)
    began: float = 0.0

    def __post_init__(self) -> None:
        self.began = self.clock()

    def plan(self, method: str, *, done: bool) -> None:
        progress = self.methods.setdefault(method, Progress())
        progress.total += 1
        progress.done += done

    def start(self, method: str) -> None:
        self.methods[method].running += 1

    def end(self, method: str, seconds: float, state: str) -> None:
        """Takes the end of a study, "finished", "failed" or "interrupted"."""
        progress = self.methods[method]
        progress.running -= 1
        if state != "interrupted":
            progress.failed += state == "failed"
            progress.done += state == "finished"
            progress.ended += 1
            progress.seconds += seconds

    @property
    def whole(self) -> Progress:
        """All methods together."""
        whole = Progress()
        for part in self.methods.values():
            for count in fields(Progress):
                setattr(whole, count.name, getattr(whole, count.name) + getattr(part, count.name))
        return whole

    @property
    def time_left(self) -> float | None:
        """At each method's mean duration so far, shared among the workers; None before the first end."""
        whole = self.whole
        if not whole.ended:
            return None
        known = (part if part.ended else whole for part in self.methods.values())
        means = [part.seconds / part.ended for part in known]
        left = [part.left for part in self.methods.values()]
        work = math.fsum(mean * number for mean, number in zip(means, left, strict=True))
        return work / max(1, min(self.workers, whole.left))

    def line(self) -> str:
        """The state in one line."""
        whole = self.whole
        parts = [
            f"{whole.done}/{whole.total} studies done",
            f"{whole.running} running",
            f"{whole.failed} failed",
            format_duration(self.clock() - self.began),
        ]
        if self.time_left is not None:
            parts.append(f"{format_duration(self.time_left)} left")
        return ", ".join(parts)


def open_board(tally: Tally, stream: TextIO | None = None) -> LineBoard | LiveBoard:
    """A live table if the stream (default: standard error) is a terminal, plain lines otherwise."""
    target = stream or sys.stderr
    if target.isatty():
        return LiveBoard(tally, target)
    return LineBoard(tally, lambda text: print(text, file=target, flush=True))


class LineBoard:
    """A line with the state every tenth of the studies and every ten seconds, and one for each failure."""

    def __init__(self, tally: Tally, write: Callable[[str], object]) -> None:
        self._tally = tally
        self._write = write
        self._said_at = tally.clock()
        self._said_done = tally.whole.done

    def show(self) -> None:
        """Called after each change."""
        whole, now = self._tally.whole, self._tally.clock()
        ended = whole.done + whole.failed
        if ended - self._said_done >= max(1.0, whole.total / 10) or now - self._said_at >= _QUIET_SECONDS:
            self._said_at, self._said_done = now, ended
            self._write(self._tally.line())

    def note(self, text: str) -> None:
        """One line that is to be seen."""
        self._write(text)

    def close(self) -> None:
        """The last state."""
        self._write(f"{self._tally.line()}, ended")


class LiveBoard:
    """A row with a bar for each method, redrawn by its own thread; notes scroll above it."""

    def __init__(self, tally: Tally, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._tally = tally
        self._live: Live = Live(
            get_renderable=self._render,
            console=Console(file=stream),
            refresh_per_second=4,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # else what goes into a file would come here
        )
        self._live.start()

    def show(self) -> None:
        """Nothing to do: the next redrawing shows it."""

    def note(self, text: str) -> None:
        self._live.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Removes the table; safe to call twice."""
        self._live.stop()

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        for method, part in list(self._tally.methods.items()):
            ended = part.done + part.failed
            facts = [f"{part.done}/{part.total}", *([f"{part.failed} failed"] if part.failed else [])]
            grid.add_row(Text(method), ProgressBar(part.total, ended, width=_BAR), Text(", ".join(facts)))
        return Group(grid, Text(self._tally.line()))
