"""What a command meets from outside: Ctrl-C, and streams that are closed or that nobody reads."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


def was_interrupted(error: BaseException) -> bool:
    """Whether Ctrl-C is what happened: libraries turn it into errors of their own while they are imported."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        if isinstance(found, KeyboardInterrupt):
            return True
        seen.add(id(found))
        found = found.__cause__ or found.__context__
    return False


class _Stream(io.FileIO):
    """A standard stream that swallows everything once its reader is gone or its disk is full."""

    fault: OSError | None = None

    def write(self, data: Any, /) -> int:
        if self.fault is None:
            try:
                return super().write(data)
            except BlockingIOError:
                raise
            except OSError as error:
                self.fault = error
        return memoryview(data).nbytes


@contextlib.contextmanager
def command_streams() -> Iterator[None]:
    """Standard output and error that never end a command: a result is worth more than a line about it.

    A stream that is closed is opened to nothing, so that no file gets its number. After a reader such as
    `head` has gone away, what is written to it is dropped. Characters that the stream's encoding lacks are
    written as escapes. Streams that are not the process's own, such as those of a test, stay as they are.

    Raises:
        SystemExit: with status 1 at the end, if output got lost for another reason than a reader that went.
    """
    for number in range(3):
        with contextlib.suppress(OSError):
            os.fstat(number)
            continue
        os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    before = sys.stdout, sys.stderr
    raw: list[_Stream] = []
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream: TextIO | None = getattr(sys, name)
        if stream is None or stream is getattr(sys, f"__{name}__"):
            raw.append(_Stream(number, "w", closefd=False))
            setattr(sys, name, _text(raw[-1], stream))
    try:
        yield
    finally:
        for mine, old in ((sys.stdout, before[0]), (sys.stderr, before[1])):
            if mine is not old:
                mine.flush()
        sys.stdout, sys.stderr = before
    lost = [each.fault for each in raw if each.fault and not isinstance(each.fault, BrokenPipeError)]
    if lost:
        with contextlib.suppress(OSError, AttributeError):
            print(f"output was lost: {lost[0].strerror}", file=sys.stderr, flush=True)
        sys.exit(1)


def _text(raw: _Stream, like: TextIO | None) -> TextIO:
    encoding = getattr(like, "encoding", None) or "utf-8"
    line_buffering = raw.fileno() == 2 or raw.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=line_buffering
    )
