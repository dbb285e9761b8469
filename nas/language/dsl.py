"""The surface syntax of search spaces: Python, a file and a print-out are the same text.

    conv  = op.conv(kernel=oneof(3, 5, 7), width=shared("width", oneof(32, 64, 128)))
    block = conv >> op.batchnorm() >> (op.relu() | op.gelu())
    net   = op.stem(width=16) >> repeat(block | residual(block), 1, 6) >> op.head()

`>>` is sequence, `|` choice, `+` a sum of branches; `+` binds before `>>`, `>>` before `|`. In text the
prefix `op.` may be left out and a bare name is a part, a rule or a program's value: `parse` reads that text
with `ast` and evaluates nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Final

from nas.errors import SpaceError, quoted
from nas.language import parser
from nas.language.terms import (
    Choice,
    Define,
    Let,
    Literal,
    Name,
    Number,
    Op,
    Program,
    Ref,
    Repeat,
    Rule,
    Seq,
    Shared,
    Term,
    Use,
    Word,
    as_term,
    check_name,
    seq,
    to_text,
)

__all__ = [
    "add",
    "choose",
    "concat",
    "define",
    "empty",
    "integer",
    "let",
    "name",
    "oneof",
    "op",
    "optional",
    "parse",
    "permutation",
    "program",
    "real",
    "ref",
    "repeat",
    "residual",
    "rule",
    "shared",
    "to_text",
    "train",
    "use",
]


MAX_INTEGER: Final = 2**53  # bound of integer holes: floats, from which they are drawn, are exact up to it
MAX_REAL: Final = 1e300  # bound of real holes: differences stay finite
MAX_RULE_DEPTH: Final = 50  # expansions nest in Python's own stack
MAX_COPIES: Final = 100_000
MAX_COMBINATIONS: Final = 10_000  # options of choose


class _Operations:
    """`op.NAME(*parts, **attributes)` applies the primitive NAME; the search space checks that it exists."""

    def __getattr__(self, name: str) -> Word:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in _CONSTRUCTORS:
            raise SpaceError(f"op.{name}: {name}(...) is a word of the language; write it without op")
        return Word(check_name("op", name))


op = _Operations()


def oneof(*options: object) -> Term:
    """A choice of one; unlike `|` it keeps a nested choice as one option."""
    if not options:
        raise SpaceError("oneof: at least one option is expected, none was given")
    if len(options) == 1 and isinstance(options[0], list):
        raise SpaceError(
            f"oneof: expected options one by one, got a list, {quoted(options[0])}; "
            "write oneof(*options), or a tuple if it is one option"
        )
    return Choice(tuple(as_term(option) for option in options))


def optional(part: object) -> Term:
    """Nothing, or the part."""
    return Choice((Seq(()), as_term(part)))


def empty() -> Term:
    """The empty sequence: what comes in goes out."""
    return Seq(())


def permutation(*parts: object) -> Term:
    """The parts in any order ("maybe swap" for two); at most five."""
    if not 2 <= len(parts) <= 5:
        raise SpaceError(f"permutation: expected 2 to 5 parts, got {len(parts)}")
    orders = itertools.permutations([as_term(part) for part in parts])
    return Choice(tuple(seq(*order) for order in orders))


def choose(k: int, *items: object) -> Term:
    """`k` different items out of the given ones, as a tuple in the given order; for k-of-n inputs."""
    if isinstance(k, bool) or not (isinstance(k, Integral) and 1 <= k <= len(items)):
        raise SpaceError(f"choose: expected k in 1..{len(items)} (the number of items), got {quoted(k)}")
    k = int(k)
    if (number := math.comb(len(items), k)) > MAX_COMBINATIONS:
        raise SpaceError(
            f"choose: at most {MAX_COMBINATIONS} combinations are expected, {k} of {len(items)} items "
            f"are {'more' if number > 10**15 else number}"
        )
    return Choice(tuple(as_term(combination) for combination in itertools.combinations(items, k)))


def integer(low: int, high: int, *, log: bool = False) -> Term:
    """An integer in [low, high], both included; `log` makes steps proportional to the value."""
    return _number("integer", low, high, True, log)


def real(low: float, high: float, *, log: bool = False) -> Term:
    """A real number in [low, high]; `log` for uniform in the logarithm (needs low > 0)."""
    return _number("real", low, high, False, log)


def _number(kind: str, low: float, high: float, whole: bool, log: bool) -> Term:
    for bound in (low, high):
        if isinstance(bound, bool) or not isinstance(bound, Integral if whole else Real):
            expected = "integers" if whole else "numbers"
            raise SpaceError(f"{kind}: expected bounds to be {expected}, got {quoted(bound)}")
        if not abs(bound) <= (MAX_INTEGER if whole else MAX_REAL):
            limit = "2**53" if whole else f"{MAX_REAL:g}"
            raise SpaceError(f"{kind}: expected finite bounds of at most {limit}, got one beyond")
    if low > high or (log and low <= 0):
        rule_ = "0 < low <= high" if log else "low <= high"
        raise SpaceError(f"{kind}: expected bounds with {rule_}, got ({low}, {high})")
    cast = int if whole else float
    return Number(cast(low), cast(high), whole, _flag(f"{kind}: log", log))


def repeat(
    body: object, low: int | tuple[int, ...] | list[int], high: int | None = None, *, tied: bool = False
) -> Term:
    """`low` to `high` copies in sequence; exactly `low` without `high`; one of a tuple of counts.

    Each copy has its own decisions, or, if `tied`, all have the same; weights are never shared.
    """
    listed = isinstance(low, tuple | list)
    given = tuple(low) if isinstance(low, tuple | list) else (low, low if high is None else high)
    whole = all(isinstance(n, Integral) and not isinstance(n, bool) for n in given)
    if not given or not whole or list(given) != sorted(given) or given[0] < 0:
        raise SpaceError(f"repeat: expected ascending integers of at least 0, got {quoted(given)}")
    counts = tuple(map(int, given))
    if listed and (high is not None or len(set(counts)) < len(counts)):
        got = f"got {quoted(counts)}, {quoted(high)}"
        raise SpaceError(f"repeat: expected different counts and no further bound, {got}")
    if counts[-1] > MAX_COPIES:
        raise SpaceError(f"repeat: expected at most {MAX_COPIES} copies, got {quoted(counts[-1])}")
    gaps = listed and counts != tuple(range(counts[0], counts[-1] + 1))
    return Repeat(as_term(body), counts[0], counts[-1], _flag("repeat: tied", tied), counts if gaps else ())


def shared(name: str, body: object) -> Term:
    """One decision for every occurrence of `name` in the same definition."""
    return Shared(check_name("shared", name), as_term(body))


def define(body: object, /, **parts: object) -> Term:
    """Named parts for `ref(name)` in the body; each is decided once, however often it is used."""
    if not parts:
        raise SpaceError("define: at least one named part is expected, e.g. define(net, normal=cell(...))")
    return Define(as_term(body), _named("define", parts))


def rule(name: str, body: object, depth: int) -> Term:
    """A recursive rule; `ref(name)` in the body expands it anew, nested at most `depth` (1 to 50) deep."""
    check_name("rule", name)
    if isinstance(depth, bool) or not isinstance(depth, Integral) or not 1 <= depth <= MAX_RULE_DEPTH:
        expected = f"an integer in 1..{MAX_RULE_DEPTH}"
        raise SpaceError(f'rule "{name}": expected depth to be {expected}, got {quoted(depth)}')
    return Rule(name, as_term(body), int(depth))


def ref(name: str) -> Term:
    """A part of `define`, or a `rule`, by name."""
    return Ref(check_name("ref", name))


def name(name: str) -> Term:
    """A given value of a program, by name."""
    return Name(check_name("name", name))


def let(type: str, body: object) -> Term:  # noqa: A002 - the language's word
    """A statement whose result is a value of the type."""
    return Let(check_name("let", type), as_term(body))


def use(type: str) -> Term:  # noqa: A002 - the language's word
    """Any value of the type that is in scope here."""
    return Use(check_name("use", type))


def program(inputs: Term, body: object, /, **outputs: object) -> Term:
    """Statements over typed inputs, and what they return.

    The body is a sequence or a repeat of `let(type, ...)`; the outputs are decided after it:
    `program(op.inputs(w="tensor", lr="scalar"), body, update=use("tensor"))`.
    """
    if not isinstance(inputs, Op) or inputs.name != "inputs" or inputs.args:
        raise SpaceError('program: inputs(name="type", ...) is expected first')
    typed = []
    for key, value in inputs.attributes:
        if not (isinstance(value, Literal) and isinstance(value.value, str)):
            raise SpaceError(f'program: expected the type of input "{key}" to be a string, got {value}')
        typed.append((key, value.value))
    return Program(tuple(typed), as_term(body), _named("program", outputs))


def train(network: object, /, **settings: object) -> Term:
    """The network and, beside it, the settings of its training."""
    return op.train(network, **settings)


def residual(body: object) -> Term:
    """The body with a skip connection around it."""
    return op.residual(body)


def add(*parts: object) -> Term:
    """Branches whose results are added; the function form of `+`."""
    return op.add(*parts)


def concat(*parts: object) -> Term:
    """Branches whose results are joined along the channels."""
    return op.concat(*parts)


def _named(where: str, given: Mapping[str, object]) -> tuple[tuple[str, Term], ...]:
    return tuple((check_name(where, key), as_term(value)) for key, value in given.items())


def _flag(where: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise SpaceError(f"{where}: expected True or False, got {quoted(value)}")
    return value


_CONSTRUCTORS: dict[str, Callable[..., Term]] = {
    "oneof": oneof,
    "optional": optional,
    "empty": empty,
    "permutation": permutation,
    "choose": choose,
    "integer": integer,
    "real": real,
    "repeat": repeat,
    "shared": shared,
    "define": define,
    "rule": rule,
    "let": let,
    "use": use,
    "program": program,
    "ref": ref,
    "name": name,
}


WORDS: Final = tuple(_CONSTRUCTORS)  # that the language has beside the primitives


def parse(text: str) -> Term:
    """The term that the text denotes; `to_text` is its inverse. Nothing is evaluated.

    Raises:
        SpaceError: the text is not of the language; the message gives line and column.
    """
    return parser.read(text, _CONSTRUCTORS)
