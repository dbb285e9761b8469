"""A part of a network in normal form, with the shapes on its way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from hashing.symbolic_shapes import Symbol
from nas.printer import to_text
from nas.term import Op, Repeat, Term, seq


@dataclass(frozen=True, eq=False)  # no slots: term and text are kept
class Form:
    """A part in normal form.

    Attributes:
        steps: the operations in sequence; none for an identity.
        shapes: after each step.
        before: the shape that comes in.
        size: number of operations in it.
        branches: those of a sum, where the one step is a sum.
    """

    steps: tuple[Term, ...]
    shapes: tuple[Symbol, ...]
    before: Symbol
    size: int
    branches: tuple[Form, ...] = ()

    @property
    def after(self) -> Symbol:
        """The shape that comes out."""
        return self.shapes[-1] if self.shapes else self.before

    @cached_property
    def term(self) -> Term:
        """As one expression, equal steps counted; an identity is written as such."""
        if not self.steps:
            return Op("identity")
        runs = [(step, len(list(run))) for step, run in groupby(self.steps)]
        return seq(*(step if count == 1 else Repeat(step, count, count) for step, count in runs))

    @cached_property
    def text(self) -> str:
        """Of its term; orders what commutes."""
        return to_text(self.term)


def single(term: Term, after: Any, before: Symbol, size: int) -> Form:
    """A form of one step."""
    shape = after if len(after) == 2 else (after, ())
    return Form((term,), (shape,), before, size)
