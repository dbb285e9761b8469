"""Checks of an expression against its vocabulary: names, arities, and every literal an attribute may take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from nas.errors import SpaceError, one_line
from nas.sites import labels, root_label
from nas.term import (
    Choice,
    Define,
    Literal,
    Name,
    Number,
    Op,
    Program,
    Ref,
    Repeat,
    Seq,
    Shared,
    Term,
    Use,
    children,
    resolved,
    walk,
)

if TYPE_CHECKING:
    from nas.primitives import Attribute, Vocabulary


MAX_CHECKED: Final = 1000  # integers of a range that are checked one by one


def check_expression(space: str, expression: Term, vocabulary: Vocabulary) -> None:
    """Raises SpaceError for the first primitive, attribute or value that the vocabulary does not have."""
    _Checker(space, expression, vocabulary).check(expression, root_label(expression), {})


Parts = dict[str, Term]  # what references mean: the bodies of definitions, by name


class _Checker:
    def __init__(self, space: str, expression: Term, vocabulary: Vocabulary) -> None:
        self.space = space
        self.vocabulary = vocabulary
        self.networks = any(primitive.shape is not None for primitive in vocabulary)
        programs = (term for term in walk(expression) if isinstance(term, Program))
        self.inputs = dict.fromkeys(name for program in programs for name, _ in program.inputs)
        self.ranges: dict[tuple[int, float, float], str | None] = {}  # answers for ranges of integers

    def check(self, term: Term, place: str, parts: Parts) -> None:
        if isinstance(term, Op):
            self._primitive(term, f"{self.space} at {place}", parts)
        elif isinstance(term, Name) and term.name in self.vocabulary and term.name not in self.inputs:
            known = ", ".join(self.inputs) or "none"
            raise SpaceError(
                f'{self.space} at {place}: "{term.name}" is no part, rule or program input; inputs: {known}; '
                f"it is a primitive without its parentheses: write {self._called(term.name)}"
            )
        if self.networks:
            self._steps(term, place, parts)
        if isinstance(term, Define):
            return self._definitions(term, place, parts)
        below = term.args if isinstance(term, Op) else children(term)
        for child, at in zip(below, labels(term, place), strict=False):
            self.check(child, at, parts)
        return None

    def _called(self, name: str) -> str:
        """How a primitive is written, with dots for what it cannot go without."""
        bare = self.vocabulary.check(name, (), 0) is None
        return f"{name}()" if bare else f"{name}(...)"

    def _definitions(self, term: Define, place: str, parts: Parts) -> None:
        *places, rest = labels(term, place)
        known = dict(parts)
        for (name, body), at in zip(term.bindings, places, strict=True):
            self.check(body, at, known)
            known[name] = resolved(body, known)
        self.check(term.body, rest, known)

    def _primitive(self, term: Op, place: str, parts: Parts) -> None:
        reason = self.vocabulary.check(term.name, [name for name, _ in term.attributes], len(term.args))
        if reason is not None:
            raise SpaceError(f"{place}: {reason}")
        primitive = self.vocabulary.get(term.name)
        for name, value in term.attributes:
            attribute = primitive.attribute(name)
            if attribute is not None:
                self._attribute(value, attribute, place, parts)

    def _attribute(self, value: Term, attribute: Attribute, place: str, parts: Parts) -> None:
        for candidate in _values(value, place, parts):
            reason = (
                self._range(candidate, attribute)
                if isinstance(candidate, Number)
                else (attribute.check(candidate))
            )
            if reason is not None:
                raise SpaceError(f"{place}: {reason}")

    def _range(self, number: Number, attribute: Attribute) -> str | None:
        """The reason against a number of the range; of reals and wide integers the bounds are looked at."""
        key = (id(attribute), number.low, number.high)
        if number.integer and key in self.ranges:
            return self.ranges[key]
        plain = attribute.choices is None and attribute.rule is None  # then the bounds say it all
        small = number.integer and not plain and number.high - number.low < MAX_CHECKED
        candidates = range(int(number.low), int(number.high) + 1) if small else (number.low, number.high)
        reason = next(filter(None, map(attribute.check, candidates)), None)
        if number.integer:
            self.ranges[key] = reason
        return reason

    def _steps(self, term: Term, place: str, parts: Parts) -> None:
        """Refuses plain values where networks stand."""
        steps: tuple[Term, ...] = ()
        match term:
            case Op(_, args):
                steps = args
            case Seq():
                steps = term.parts
            case Repeat(body):
                steps = (body,)
        value = next((step for step in steps if _is_value(step, parts)), None)
        if value is not None:
            raise SpaceError(f"{self.space} at {place}: {_instead(term, value, self.vocabulary)}")


def _instead(term: Term, value: Term, vocabulary: Vocabulary) -> str:
    """What stands where a network belongs, and what was probably meant."""
    got = f"expected an expression, got the plain value {one_line(value, 60)}"
    if isinstance(value, Literal) and isinstance(value.value, str):
        word = value.value if value.value in vocabulary else "relu"
        return f"{got}; write it without quotes, e.g. {one_line(word, 60)}()"
    known = (
        [attribute.name for attribute in vocabulary.get(term.name).attributes] if isinstance(term, Op) else []
    )
    if isinstance(term, Op) and known:
        return f"{got}; attributes have names, e.g. {term.name}({known[0]}={one_line(value, 60)})"
    return f"{got}; values are for attributes, e.g. conv(kernel={one_line(value, 60)})"


def _is_value(term: Term, parts: Parts) -> bool:
    """Whether a term stands for a plain value, at least in some architectures."""
    match term:
        case Literal() | Number():
            return True
        case Choice(options):
            return any(_is_value(option, parts) for option in options)
        case Shared(_, body):
            return _is_value(body, parts)
        case Ref(name) if name in parts:
            return _is_value(parts[name], {})
        case _:
            return False


def _values(term: Term, place: str, parts: Parts) -> Iterator[Any]:
    """The plain values that a term may become; a range of numbers as its `Number`."""
    match term:
        case Literal(value):
            yield value
        case Number():
            yield term
        case Choice(options):
            for option in options:
                yield from _values(option, place, parts)
        case Shared(_, body):
            yield from _values(body, place, parts)
        case Ref(name):
            if name in parts:
                yield from _values(parts[name], place, {})
        case Use():
            yield from ()
        case _:
            got = one_line(term, 80)
            text = f"; write {term.name!r}, in quotes, if it is a text" if isinstance(term, Name) else ""
            raise SpaceError(f"{place}: an attribute takes values, oneof, integer or real; got {got}{text}")
