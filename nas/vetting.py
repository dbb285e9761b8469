"""Checks of an expression against its vocabulary: names, arities, and every literal an attribute may take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from nas.errors import SpaceError
from nas.sites import labels, root_label
from nas.term import Choice, Literal, Number, Op, Ref, Shared, Term, Use, children

if TYPE_CHECKING:
    from nas.primitives import Attribute, Vocabulary


MAX_CHECKED: Final = 1000  # integers of a range that are checked one by one


def check_expression(space: str, expression: Term, vocabulary: Vocabulary) -> None:
    """Raises SpaceError for the first primitive, attribute or value that the vocabulary does not have."""
    _check(expression, root_label(expression), space, vocabulary)


def _check(term: Term, place: str, space: str, vocabulary: Vocabulary) -> None:
    if isinstance(term, Op):
        reason = vocabulary.check(term.name, [name for name, _ in term.attributes], len(term.args))
        if reason is not None:
            raise SpaceError(f"{space} at {place}: {reason}")
        primitive = vocabulary.get(term.name)
        for name, value in term.attributes:
            attribute = primitive.attribute(name)
            if attribute is not None:
                _check_attribute(value, attribute, f"{space} at {place}")
    parts = term.args if isinstance(term, Op) else children(term)
    for child, at in zip(parts, labels(term, place), strict=False):
        _check(child, at, space, vocabulary)


def _check_attribute(value: Term, attribute: Attribute, place: str) -> None:
    for candidate in _values(value, place):
        reason = attribute.check(candidate)
        if reason is not None:
            raise SpaceError(f"{place}: {reason}")


def _values(term: Term, place: str) -> Iterator[Any]:
    """The plain values that a term may become; of reals and wide integers their bounds."""
    match term:
        case Literal(value):
            yield value
        case Number(low, high):
            small = term.integer and high - low < MAX_CHECKED
            yield from range(int(low), int(high) + 1) if small else (low, high)
        case Choice(options):
            for option in options:
                yield from _values(option, place)
        case Shared(_, body):
            yield from _values(body, place)
        case Ref() | Use():
            yield from ()
        case _:
            raise SpaceError(f"{place}: an attribute takes values, oneof, integer or real; got {term}")
