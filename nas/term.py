"""The frozen syntax tree behind the language: expressions with holes, and without.

An architecture's term has no holes: it is made of Op, Seq, Literal, Name, Ref, Define, Program and a
Repeat whose bounds are equal (that many copies with equal decisions and separate weights).
Terms are values: equal and hashable by structure.
"""

from __future__ import annotations

import keyword
import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Final

from nas.errors import SpaceError, quoted

MAX_INTEGER: Final = 2**63  # what JSON and tables hold; also a guard against texts of endless digits
MAX_PARTS: Final = 100_000  # steps of a sequence, options of a choice, branches of a sum
MAX_NODES: Final = 100_000  # sub-terms of an expression, one that occurs twice counted twice
MAX_DEPTH: Final = 150  # sub-terms one in another; Python's own recursion limit comes soon after
MAX_NAME: Final = 100  # characters of a name

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

    def _no_operator(self, _: object) -> Term:
        raise SpaceError("terms are joined by >>, | and + only; write repeat(a, 3) for copies in sequence")

    def __bool__(self) -> bool:
        # Python gives one of the two for `a or b` and `a and b`, and drops `a < b` of `a < b < c`: no error
        # of its own would say that the other is gone
        raise SpaceError(
            "term: expected |, >> or + between terms, got one that is asked for its truth, as by `or`, `and` "
            "and `if`; write a | b for a choice, a >> b for a sequence, `is None` for a test"
        )

    __sub__ = __rsub__ = __mul__ = __rmul__ = __and__ = __rand__ = __lshift__ = __rlshift__ = _no_operator
    __truediv__ = __floordiv__ = __matmul__ = __xor__ = __mod__ = __pow__ = _no_operator

    def __str__(self) -> str:
        from nas.printer import to_text

        check_extent(self)
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


class Word:
    """`op.NAME` before its parentheses; a term only once it is called."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *parts: object, **attributes: object) -> Term:
        """The primitive applied to sub-expressions, with attributes."""
        named = tuple((key, as_term(value)) for key, value in attributes.items())
        for key, _ in named:
            check_name(str(self), key)
        return Op(self._name, tuple(as_term(part) for part in parts), named)

    def __str__(self) -> str:
        return f"op.{self._name}"

    def __repr__(self) -> str:
        return f"<{self} without its parentheses>"

    def _misused(self, _: object) -> Term:
        return as_term(self)  # which says what is missing

    __rshift__ = __rrshift__ = __or__ = __ror__ = __add__ = __radd__ = _misused


def check_name(where: str, text: object) -> str:
    """The name, if it reads back: Python normalises unusual letters and keeps its keywords.

    Raises:
        SpaceError: other texts and values, and names of more than MAX_NAME characters.
    """
    if not (isinstance(text, str) and text.isidentifier() and not keyword.iskeyword(text)) or (
        unicodedata.normalize("NFKC", text) != text
    ):
        raise SpaceError(
            f"{where}: a name is expected (letters, digits and _, no keyword), {quoted(text)} came"
        )
    if len(text) > MAX_NAME:
        got = f"{quoted(text)} of {len(text)} came"
        raise SpaceError(f"{where}: a name of at most {MAX_NAME} characters is expected, {got}")
    return text


def as_term(value: object) -> Term:
    """The term itself, or a plain Python or numpy value as a literal.

    Raises:
        SpaceError: other values; infinite, undefined and very large numbers.
    """
    if isinstance(value, Term):
        return value
    try:
        return Literal(_plain(value))
    except RecursionError:
        raise SpaceError("a plain value is expected here, not a list nested too deep to be read") from None


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
        raise SpaceError(
            "a tuple may hold plain values only; use oneof(a, b) for a choice of terms or tuples"
        )
    expected = f"a term, number, string, bool or tuple is expected here, not {type(value).__name__}"
    raise SpaceError(f"{expected}{_remedy(value)}")


def _remedy(value: object) -> str:
    """What to write in place of a value that is often meant as something else."""
    if isinstance(value, Word):
        return f'; "{value}" lacks its parentheses: write {value}()'
    if callable(value):
        return (
            f"; {quoted(getattr(value, '__name__', value))} is a function: write the expression that it makes"
        )
    if isinstance(value, Iterable):
        return "; write its elements one by one, or *elements in Python"
    return ""


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
        _check_parts("sequence", flat)
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))


def choice(*options: Term) -> Term:
    """What `|` means: `a | b | c` is one choice of three."""
    flat: list[Term] = []
    for option in options:
        flat.extend(option.options if isinstance(option, Choice) else (option,))
        _check_parts("choice", flat)
    return Choice(tuple(flat))


def branches(name: str, *parts: Term) -> Term:
    """What `+` means: `a + b + c` is one sum of three branches."""
    flat: list[Term] = []
    for part in parts:
        same = isinstance(part, Op) and part.name == name and not part.attributes
        flat.extend(part.args if same else (part,))  # type: ignore[union-attr]
        _check_parts("sum", flat)
    return Op(name, tuple(flat))


def _check_parts(what: str, parts: list[Term]) -> None:
    if len(parts) > MAX_PARTS:
        raise SpaceError(f"{what}: at most {MAX_PARTS} parts are expected, {len(parts)} came")


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


def check_extent(term: Term) -> None:
    """Raises SpaceError for more than MAX_NODES sub-terms, or more than MAX_DEPTH one in another.

    A Python object may stand at many places: each is looked at once, so that this is quick for expressions
    that have too many sub-terms to walk through.
    """
    extents: dict[int, tuple[int, int]] = {}  # of each object: sub-terms with itself, levels with its own
    stack = [(term, False)]
    while stack:
        current, done = stack.pop()
        if id(current) in extents:
            continue
        below = children(current)
        if not done:
            stack.append((current, True))
            stack += [(child, False) for child in below]
            continue
        found = [extents[id(child)] for child in below]
        nodes, depth = 1 + sum(n for n, _ in found), 1 + max((d for _, d in found), default=0)
        if nodes > MAX_NODES:
            raise SpaceError(f"expression: at most {MAX_NODES} sub-terms are expected; more came")
        if depth > MAX_DEPTH:
            remedy = "name parts with define(...)"
            raise SpaceError(f"expression: nested too deep, over {MAX_DEPTH} levels; {remedy}")
        extents[id(current)] = (nodes, depth)


def walk(term: Term) -> Iterator[Term]:
    """The term and all its sub-terms, depth first."""
    yield term
    for child in children(term):
        yield from walk(child)


def resolved(term: Term, parts: Mapping[str, Term]) -> Term:
    """The term, or what it refers to among the parts of a definition; each refers to earlier ones only."""
    for _ in range(len(parts)):
        if not (isinstance(term, Ref) and term.name in parts):
            break
        term = parts[term.name]
    return term


def unrolled(term: Term) -> tuple[Term, ...]:
    """The steps of a hole-free sequence, fixed repeats written out.

    Raises:
        SpaceError: more than MAX_PARTS steps.
    """
    if (number := _steps_of(term)) > MAX_PARTS:
        got = number if number < 10**15 else "far more"
        raise SpaceError(
            f"sequence: at most {MAX_PARTS} steps, with repeats written out, are expected, {got} came"
        )
    return _unrolled(term)


def _steps_of(term: Term) -> int:
    match term:
        case Seq(parts):
            return sum(map(_steps_of, parts))
        case Repeat(body, low, high) if low == high:
            return low * _steps_of(body)
        case _:
            return 1


def _unrolled(term: Term) -> tuple[Term, ...]:
    match term:
        case Seq(parts):
            return tuple(step for part in parts for step in _unrolled(part))
        case Repeat(body, low, high) if low == high:
            return _unrolled(body) * low
        case _:
            return (term,)
