"""What code of a user's own raised: told from an interruption, in one line, with the end of its traceback."""

from __future__ import annotations

import inspect
import os
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.errors import NasError, ProtocolError, one_line

_FRAMES = 12  # of a traceback that are kept, the innermost ones
_LINE = 300  # characters of each of its lines
_PLATFORM = f"{Path(__file__).parent.absolute()}{os.sep}"
_LIBRARIES = (
    "<frozen",
    *(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)


def interrupts(error: BaseException) -> bool:
    """Whether the user wants the run to end; everything else that is raised is a fault of what raised it."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(KeyboardInterrupt) is not None
    return isinstance(error, KeyboardInterrupt)


def traceback_of(error: BaseException) -> str:
    """The innermost frames of a traceback, from the first one of a user's own on, and the exception.

    Several lines that are safe to print and to log, at most 300 characters each.
    """
    try:
        frames = traceback.extract_tb(error.__traceback__)
        start = next((i for i, frame in enumerate(frames) if _is_own(frame.filename)), len(frames))
        kept = [frame for frame in frames[start:] if not frame.filename.startswith("<frozen")]
        lines = traceback.StackSummary.from_list(kept[-_FRAMES:]).format()
        if isinstance(error, SyntaxError):  # its place is in its text
            lines += traceback.format_exception_only(error)[:-1]
        text = "".join(["Traceback (most recent call last):\n" * bool(lines), *lines])
    except Exception:  # a source that cannot be read, a frame that is not what it seems
        text = ""
    cause = error.__cause__
    said = [_safe(line) for line in (*text.splitlines(), named(error))]
    if cause is not None and cause is not error and cause.__cause__ is None:
        said = [*traceback_of(cause).splitlines(), "which led to", *said]
    return "\n".join(said)


def _safe(line: str) -> str:
    indent = line[: len(line) - len(line.lstrip(" "))]
    return indent + one_line(line, _LINE)


def place_of(error: BaseException) -> str | None:
    """The innermost line of a user's own code that the exception went through, as "file.py, line 12"."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_own(frame.filename)]
    return f"{one_line(own[-1].filename, _LINE)}, line {own[-1].lineno}" if own else None


def _is_own(name: str) -> bool:
    return not name.startswith(_PLATFORM) and not name.startswith(_LIBRARIES)


def blame(
    error: BaseException,
    where: str,
    expected: str,
    remedy: str = "mend it and run again",
    kind: type[NasError] = ProtocolError,
) -> NasError:
    """The error to raise in place of what code of a user's own raised; its notes have the traceback.

    Raises:
        BaseException: `error` itself, if it is an interruption or one of the platform's own.
    """
    if isinstance(error, NasError) or interrupts(error):
        raise error
    place = place_of(error)
    at = "" if place is None else f" at {place}"
    said = kind(f"{where}: expected {expected}, got {named(error)}{at}; {remedy}")
    said.add_note(traceback_of(error))
    said.__cause__ = error
    return said


def named(error: BaseException, limit: int = _LINE) -> str:
    """Type and message of an exception as one line of `limit` characters; of `sys.exit`, its status."""
    message = error.code if isinstance(error, SystemExit) else error
    return one_line(f"{type(error).__name__}: {one_line(message, limit) or 'no message'}", limit)


def shown(value: object, limit: int = 100) -> str:
    """The `repr` of an object of the user's in one line, if it has one."""
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return one_line(text, limit)


@contextmanager
def own_code(
    where: str, expected: str, remedy: str = "mend it and run again", kind: type[NasError] = ProtocolError
) -> Iterator[None]:
    """Around calls of code of a user's own: what it raises is raised as `blame` words it."""
    try:
        yield
    except BaseException as error:
        raise blame(error, where, expected, remedy, kind) from error


def notes_of(error: BaseException) -> list[str]:
    """The notes of an error and of what led to it."""
    found: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        found += [note for note in getattr(current, "__notes__", ()) if note not in found]
        current = current.__cause__ or current.__context__
    return found


def check_call(where: str, function: Callable[..., Any], shown: str, *given: Any, **named: Any) -> None:
    """Refuses what cannot be called in this way, before it is.

    Args:
        where: begins the message.
        function: something that can be called.
        shown: the signature that it should have, e.g. "ask(count)".
        given: values for its positional parameters.
        named: values for its parameters by name.

    Raises:
        ProtocolError: it takes other arguments, or gives a coroutine or a generator in place of a result.
    """
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        what = "async def" if inspect.iscoroutinefunction(function) else "a generator"
        raise ProtocolError(
            f"{where}: expected a function that returns its result, got {what}; use a plain def"
        )
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have none
        return
    try:
        signature.bind(*given, **named)
    except TypeError as error:
        raise ProtocolError(
            f"{where}: expected something to be called as {shown}, got the signature {one_line(signature)} "
            f"({error}); change its parameters"
        ) from None
