"""The frozen syntax tree behind the language: expressions with holes, and without.

An architecture's term has no holes: it is made of Op, Seq, Literal, Name, Ref, Define, Program and a
Repeat whose bounds are equal (that many copies with equal decisions and separate weights).
Terms are values: equal and hashable by structure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Final

from nas.errors import SpaceError

MAX_INTEGER: Final = 2**63  # what JSON and tables hold; also a guard against texts of endless digits

Value = int | float | str | bool | None | tuple["Value", ...]


class Term:
    """Base of all nodes; carries the operators of the language."""

    __slots__ = ()

    def __rshift__(self, other: object) -> Term:
        return seq(self, as_term(other))

    def __rrshift__(self, other: object) -> Term:
        return seq(as_term(other), self)

    def __or__(self, other: object) -> Term:
        return choice(self, as_term(other))

    def __ror__(self, other: object) -> Term:
        return choice(as_term(other), self)

    def __add__(self, other: object) -> Term:
        return branches("add", self, as_term(other))

    def __radd__(self, other: object) -> Term:
        return branches("add", as_term(other), self)

    def __str__(self) -> str:
        from nas.printer import to_text

        return to_text(self)


@dataclass(frozen=True, slots=True, eq=False)
class Literal(Term):
    """A constant; `1`, `1.0` and `True` are three different literals."""

    value: Value

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Literal)
            and type(self.value) is type(other.value)
            and repr(self.value) == repr(other.value)
        )

    def __hash__(self) -> int:
        return hash(repr(self.value))


@dataclass(frozen=True, slots=True)
class Name(Term):
    """A value inside a program: one of its inputs, or `x0`, `x1`, ... for its statements in order."""

    name: str


@dataclass(frozen=True, slots=True)
class Ref(Term):
    """The part or the rule of that name, defined by an enclosing Define or Rule."""

    name: str


@dataclass(frozen=True, slots=True)
class Op(Term):
    """A primitive applied to sub-expressions (`args`) with attributes, in the order given."""

    name: str
    args: tuple[Term, ...] = ()
    attributes: tuple[tuple[str, Term], ...] = ()


@dataclass(frozen=True, slots=True)
class Seq(Term):
    """One part after the other; never nested, `Seq(())` does nothing. Made by `seq`."""

    parts: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice(Term):
    """Exactly one of the options."""

    options: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Number(Term):
    """A number in [low, high], both included; uniform, or uniform in the logarithm."""

    low: float
    high: float
    integer: bool
    log: bool = False


@dataclass(frozen=True, slots=True)
class Repeat(Term):
    """`low` to `high` copies in sequence, each with its own decisions, or all with the same (tied).

    `counts` lists the numbers of copies there may be, ascending, where not all from `low` to `high` are.
    """

    body: Term
    low: int
    high: int
    tied: bool = False
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Shared(Term):
    """One decision for all occurrences of the name within its definition."""

    name: str
    body: Term


@dataclass(frozen=True, slots=True)
class Define(Term):
    """Named parts, decided once each, in order, before the body that refers to them."""

    body: Term
    bindings: tuple[tuple[str, Term], ...]


@dataclass(frozen=True, slots=True)
class Rule(Term):
    """A recursive rule: `Ref(name)` in its body expands it anew, at most `depth` expansions deep."""

    name: str
    body: Term
    depth: int


@dataclass(frozen=True, slots=True)
class Let(Term):
    """A statement of a program: what it computes becomes a value of the stated type, in scope after it."""

    type: str
    body: Term


@dataclass(frozen=True, slots=True)
class Use(Term):
    """A hole for any value of the type that is in scope."""

    type: str


@dataclass(frozen=True, slots=True)
class Program(Term):
    """Statements over typed inputs, and the values it returns by name."""

    inputs: tuple[tuple[str, str], ...]  # (name, type)
    body: Term
    outputs: tuple[tuple[str, Term], ...]


def as_term(value: object) -> Term:
    """The term itself, or a plain Python or numpy value as a literal.

    Raises:
        SpaceError: other values; infinite, undefined and very large numbers.
    """
    return value if isinstance(value, Term) else Literal(_plain(value))


def _plain(value: object) -> Value:
    """The value in Python's own types, whose text reads back: no subclasses."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Integral):
        return _finite(int(value))
    if isinstance(value, Real):
        return _finite(float(value))
    if isinstance(value, tuple | list):
        return tuple(map(_plain, value))
    if isinstance(value, Term):
        raise SpaceError("a tuple may hold plain values only; use oneof(...) of tuples for a choice")
    raise SpaceError(f"a term, number, string, bool or tuple is expected here, not {type(value).__name__}")


def _finite(number: int | float) -> int | float:
    if isinstance(number, int) and abs(number) > MAX_INTEGER:
        raise SpaceError("an integer of at most 64 bits is expected here")
    if not math.isfinite(number):
        raise SpaceError(f"a finite number is expected here, not {number}")
    return number


def seq(*parts: Term) -> Term:
    """Parts in sequence, flattened; a sequence of one is that part."""
    flat: list[Term] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, Seq) else (part,))
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))


def choice(*options: Term) -> Term:
    """What `|` means: `a | b | c` is one choice of three."""
    flat: list[Term] = []
    for option in options:
        flat.extend(option.options if isinstance(option, Choice) else (option,))
    return Choice(tuple(flat))


def branches(name: str, *parts: Term) -> Term:
    """What `+` means: `a + b + c` is one sum of three branches."""
    flat: list[Term] = []
    for part in parts:
        same = isinstance(part, Op) and part.name == name and not part.attributes
        flat.extend(part.args if same else (part,))  # type: ignore[union-attr]
    return Op(name, tuple(flat))


def children(term: Term) -> tuple[Term, ...]:
    """Direct sub-terms in the order in which their holes are decided."""
    match term:
        case Op(_, args, attributes):
            return args + tuple(value for _, value in attributes)
        case Seq(parts):
            return parts
        case Choice(options):
            return options
        case Repeat(body) | Shared(_, body) | Rule(_, body) | Let(_, body):
            return (body,)
        case Define(body, bindings):
            return (*(value for _, value in bindings), body)
        case Program(_, body, outputs):
            return (body, *(value for _, value in outputs))
        case _:
            return ()


def walk(term: Term) -> Iterator[Term]:
    """The term and all its sub-terms, depth first."""
    yield term
    for child in children(term):
        yield from walk(child)


def unrolled(term: Term) -> tuple[Term, ...]:
    """The steps of a hole-free sequence, fixed repeats written out."""
    match term:
        case Seq(parts):
            return tuple(step for part in parts for step in unrolled(part))
        case Repeat(body, low, high) if low == high:
            return unrolled(body) * low
        case _:
            return (term,)
