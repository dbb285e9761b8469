"""A part of a network in normal form, with the shapes on its way."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

from nas.hashing.symbolic_shapes import Symbol
from nas.language import Op, Repeat, Term, Vocabulary, seq, to_text

_LEAVES, _VOCABULARIES = 20_000, 16  # that are kept


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


@dataclass(frozen=True, slots=True)
class Lasting:
    """What is kept from one network of a vocabulary to the next.

    Attributes:
        words: whether they are the standard vocabulary's.
        leaves: forms of single layers, by all that they depend on.
        texts: of the terms of these forms, by their `id`.
    """

    words: dict[str, bool] = field(default_factory=dict)
    leaves: dict[Any, Form] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)

    def keep(self, key: Any, form: Form) -> None:
        self.leaves[key] = form
        self.texts.update((id(step), to_text(step)) for step in form.steps)


_shared: dict[int, tuple[Vocabulary, Lasting]] = {}  # by id, which holds as the vocabulary lives on


def lasting(vocabulary: Vocabulary) -> Lasting:
    """What is kept for a vocabulary; begun anew when it is too much."""
    found = _shared.get(id(vocabulary))
    if found is None or len(found[1].leaves) > _LEAVES:
        if len(_shared) >= _VOCABULARIES:
            _shared.clear()
        found = _shared[id(vocabulary)] = (vocabulary, Lasting())
    return found[1]


def single(term: Term, after: Any, before: Symbol, size: int) -> Form:
    """A form of one step."""
    shape = after if len(after) == 2 else (after, ())
    return Form((term,), (shape,), before, size)
