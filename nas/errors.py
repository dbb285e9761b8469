"""The errors that a user of the platform can meet.

Each message is one line that says where, what was expected, what was found and what to do. Each class
also inherits the built-in that fits, so that callers who do not know this module can catch it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MESSAGE_LIMIT = 4000  # characters; some messages list every option there is


def one_line(text: object, limit: int = 300) -> str:
    """`text` as one line that is safe to print, log and write to a file, whatever it was.

    White space is folded, characters that are not printable (control characters, escape sequences of a
    terminal, lone surrogates) are written as their Python escapes, and what exceeds `limit` characters
    is left out in the middle, so that the end, where a message has its remedy, stays.
    """
    try:
        raw = str(text)
    except BaseException as error:  # an exception of the user's whose __str__ raises
        raw = f"<{type(text).__name__} that cannot be printed: {type(error).__name__}>"
    if len(raw) > 8 * limit:  # before the work on each character
        raw = f"{raw[: 4 * limit]} {raw[-4 * limit :]}"
    line = " ".join(raw.split())
    if not line.isprintable():
        line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)
    if len(line) <= limit:
        return line
    tail = (limit - 5) // 3
    return f"{line[: limit - 5 - tail]} ... {line[len(line) - tail :]}"


def quoted(value: object, limit: int = 60) -> str:
    """`repr` of a value as one line of at most `limit` characters, also of what has no `repr` of its own."""
    try:
        return one_line(repr(value), limit)
    except Exception as error:  # integers of endless digits, lists nested too deep
        return f"<{type(value).__name__} that cannot be printed: {type(error).__name__}>"


def describe_error(error: BaseException, limit: int = 300) -> str:
    """Type and message of an exception as one line, e.g. "ValueError: expected 3 channels, got 1"."""
    name, message = type(error).__name__, one_line(error, limit)
    return f"{name}: {message}" if message else name


def refusal(where: str, expected: str, got: object, remedy: str) -> str:
    """The wording of every refusal: "WHERE: expected X, got Y; REMEDY".

    Args:
        where: the place that the user knows: an option ("search.trials"), a file with its line, a primitive
            with its position in the expression.
        expected: what is allowed there, with its unit and range.
        got: what was found; `quoted` writes a value of the user's safely.
        remedy: what the user can do about it, as an imperative; `nearest` suggests a name.
    """
    return f"{where}: expected {expected}, got {got}; {remedy}"


def nearest(name: str, known: Iterable[str], otherwise: str) -> str:
    """The remedy for an unknown name: "did you mean population?", or `otherwise` if no known name is near."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else otherwise


class NasError(Exception):
    """Base of every error raised on purpose; the command line prints it without a traceback."""

    def __str__(self) -> str:
        return one_line(super().__str__(), _MESSAGE_LIMIT)


class SpaceError(NasError, ValueError):
    """An expression, a text or an architecture that does not belong to the search space."""


class DeadEndError(SpaceError):
    """A way that leads to no architecture; searches turn back and try another one.

    A hole has no option left, an architecture takes too many steps, or constraints refuse all that is drawn.
    """


class CompileError(NasError, ValueError):
    """An architecture whose shapes or attributes cannot be built, with the place in its expression."""


class RelaxError(NasError, ValueError):
    """A search space that has no supernet, with the place and the reason."""


class ProtocolError(NasError, RuntimeError):
    """Calls in an order that an interface does not allow, such as a trial told twice."""


class EvaluationError(NasError, RuntimeError):
    """An evaluation that cannot be carried out as configured."""


class StoreError(NasError, RuntimeError):
    """An event log that cannot be written, read or continued."""


class ConfigError(NasError, ValueError):
    """A configuration value that is unknown, missing or out of range."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message on an unknown name: the nearest one that there is, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
