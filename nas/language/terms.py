"""The frozen syntax tree behind the language: expressions with holes, and without.

An architecture's term has no holes: it is made of Op, Seq, Literal, Name, Ref, Define, Program and a
Repeat whose bounds are equal (that many copies with equal decisions and separate weights).
Terms are values: equal and hashable by structure.

Their text is what `print(space)` and an architecture show, and what `dsl.parse` reads back. The same
hole-free expression may be written in several ways: repeats written out or not, attributes in any order.
"""

from __future__ import annotations

import keyword
import math
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from types import MappingProxyType
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
        raise SpaceError(f"{where}: expected a name (letters, digits and _, no keyword), got {quoted(text)}")
    if len(text) > MAX_NAME:
        got = f"{quoted(text)} of {len(text)}"
        raise SpaceError(f"{where}: expected a name of at most {MAX_NAME} characters, got {got}")
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
        raise SpaceError(f"{what}: expected at most {MAX_PARTS} parts, got {len(parts)}")


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
            raise SpaceError(f"expression: expected at most {MAX_NODES} sub-terms, got more")
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
        raise SpaceError(f"sequence: expected at most {MAX_PARTS} steps, with repeats written out, got {got}")
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


MAX_BARS: Final = 500  # Python's reader nests operators one in another, arguments of oneof it does not


Known = Mapping[int, str]  # id of a term that lives on -> its text


def to_text(term: Term, known: Known = MappingProxyType({})) -> str:
    """The term in the language's text form; parses back to an equal term.

    Args:
        term: to print.
        known: texts of terms that occur in many others, by `id`; they are not printed again.
    """
    found = known.get(id(term))
    if found is not None:
        return found
    inner = partial(to_text, known=known)
    match term:
        case Literal(value):
            return repr(value)
        case Name(name) | Ref(name):
            return name
        case Op(name, args, attributes):
            return _call(name, *map(inner, args), *_keywords(attributes, inner))
        case Seq(()):
            return "empty()"
        case Seq(parts):
            # only a choice binds more loosely than >>
            return " >> ".join(f"({inner(p)})" if _is_bar(p) else inner(p) for p in parts)
        case Choice((Seq(()), option)):
            return _call("optional", inner(option))
        case Choice(options) if _is_bar(term):
            return " | ".join(map(inner, options))
        case Choice(options):
            return _call("oneof", *map(inner, options))
        case Number():
            return _number(term)
        case Repeat(body, low, high, tied, counts):
            bounds = [repr(counts)] if counts else [str(low)] if low == high else [str(low), str(high)]
            return _call("repeat", inner(body), *bounds, *(["tied=True"] if tied else []))
        case _:
            return _binder(term, inner)


def _binder(term: Term, inner: Callable[[Term], str]) -> str:
    match term:
        case Shared(name, body):
            return _call("shared", repr(name), inner(body))
        case Define(body, bindings):
            return _call("define", inner(body), *_keywords(bindings, inner))
        case Rule(name, body, depth):
            return _call("rule", repr(name), inner(body), f"depth={depth}")
        case Let(type_, body):
            return _call("let", repr(type_), inner(body))
        case Use(type_):
            return _call("use", repr(type_))
        case Program(inputs, body, outputs):
            typed = _call("inputs", *(f"{name}={kind!r}" for name, kind in inputs))
            return _call("program", typed, inner(body), *_keywords(outputs, inner))
        case _:
            raise TypeError(f"{type(term).__name__} is no term")


def _number(term: Number) -> str:
    log = ["log=True"] if term.log else []
    return _call("integer" if term.integer else "real", repr(term.low), repr(term.high), *log)


def _call(name: str, *arguments: str) -> str:
    return f"{name}({', '.join(arguments)})"


def _keywords(pairs: tuple[tuple[str, Term], ...], inner: Callable[[Term], str]) -> list[str]:
    return [f"{key}={inner(value)}" for key, value in pairs]


def _is_bar(term: Term) -> bool:
    """Whether a choice prints with `|`: parts, not plain values; nothing that `|` would flatten."""
    return (
        isinstance(term, Choice)
        and 1 < len(term.options) <= MAX_BARS
        and not (isinstance(term.options[0], Seq) and not term.options[0].parts and len(term.options) == 2)
        and not any(isinstance(option, Choice | Literal) for option in term.options)
    )


def steps(term: Term) -> tuple[Term, ...]:
    """The steps of a sequence as they are written; anything else is one step."""
    return term.parts if isinstance(term, Seq) else (term,)


def written_out(term: Term) -> tuple[Term, ...]:
    """The steps with every fixed repeat written out, inside too, and attributes in order of their names."""
    match term:
        case Seq(parts):
            return tuple(step for part in parts for step in written_out(part))
        case Repeat(body, low, high) if low == high:
            return written_out(body) * low
        case Op(name, args, attributes):
            return (Op(name, tuple(map(_one, args)), _by_name(attributes)),)
        case Define(body, bindings):
            return (Define(_one(body), _by_name(bindings)),)
        case Program(inputs, body, outputs):
            return (Program(inputs, _one(body), _by_name(outputs)),)
        case _:
            return (term,)


def length(term: Term) -> int:
    """Number of primitives, values and names in the expression written out."""
    match term:
        case Seq(parts):
            return sum(map(length, parts))
        case Repeat(body, low, high) if low == high:
            return low * length(body)
        case Op(_, args):
            return 1 + sum(map(length, args))
        case Define(body, bindings):
            return length(body) + sum(length(part) for _, part in bindings)
        case Program(_, body):
            return length(body)
        case _:
            return 1


def written_size(term: Term, parts: Mapping[str, int] = MappingProxyType({})) -> int:
    """Number of primitives with references and repeats written out; of holes all options, most copies.

    Arithmetic only, so that it is quick for expressions far too large to be written out. A primitive counts
    once for each assignment of its attributes, as in a supernet; settings of a training are not of those.
    `parts` are the sizes of definitions.
    """
    match term:
        case Op(name, args, attributes):
            free = attributes if name != "train" else ()
            ways = math.prod(written_size(value, parts) for _, value in free)
            return ways * (1 + sum(written_size(arg, parts) for arg in args))
        case Define(body, bindings):
            sizes = dict(parts)
            for name, value in bindings:
                sizes[name] = written_size(value, sizes)
            return written_size(body, sizes)
        case Ref(name):
            return parts.get(name, 1)
        case Repeat(body, _, high):
            return high * written_size(body, parts)
        case Choice(options) if all(isinstance(x, Literal) and isinstance(x.value, tuple) for x in options):
            return 1  # the inputs of a node, which no supernet multiplies
        case Number(low, high, integer=True):
            return int(high - low) + 1
        case Literal() | Name() | Number() | Use() | Seq(()):
            return 1
        case _:
            return sum(written_size(child, parts) for child in children(term))


def arguments(wanted: Term, given: Term) -> list[Term] | None:
    """The given term's parts in the order of the wanted term's, if the two are alike at the top."""
    match wanted, given:
        case Op(name, args, attributes), Op(other, parts, named) if name == other and len(args) == len(parts):
            return _ordered(attributes, named, list(parts))
        case Define(_, bindings), Define(body, named):
            ordered = _ordered(bindings, named, [])
            return None if ordered is None else [*ordered, body]
        case Program(inputs, _, outputs), Program(others, body, named) if inputs == others:
            return _ordered(outputs, named, [body])
        case _:
            return None


def _ordered(
    wanted: tuple[tuple[str, Term], ...], given: tuple[tuple[str, Term], ...], first: list[Term]
) -> list[Term] | None:
    values = dict(given)
    if len(values) != len(wanted) or any(name not in values for name, _ in wanted):
        return None
    return first + [values[name] for name, _ in wanted]


def _one(term: Term) -> Term:
    return seq(*written_out(term))


def _by_name(pairs: tuple[tuple[str, Term], ...]) -> tuple[tuple[str, Term], ...]:
    return tuple(sorted(((name, _one(value)) for name, value in pairs), key=lambda pair: pair[0]))
