"""The holes of a supernet: what architecture weights are attached to; no torch.

A hole of the space is a hole of its supernet, but for the nodes of gated cells: instead of k inputs out of n
and an operation for each, every edge from a predecessor chooses among the operations and none at all
(Liu et al. 2019, section 2.2).
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nas.architecture import Key

Kind = typing.Literal["choice", "number", "depth", "edge", "slab"]


@dataclass(frozen=True, slots=True)
class Hole:
    """One decision that is relaxed.

    Attributes:
        number: position among the holes of the supernet, from 0.
        key: of the decision in the space; of an edge, that of its node with the source appended.
        label: place in the expression, for people.
        options: what there is to choose from, as text; of an edge the first one is none.
        kind: "depth" chooses the number of copies of a repeat, "edge" see above, "slab" see `slabs.py`.
        skips: options that hand on what comes in.
        zeros: options that give zero, none of an edge included.
    """

    number: int
    key: Key
    label: str
    options: tuple[str, ...]
    kind: Kind
    skips: tuple[int, ...] = ()
    zeros: tuple[int, ...] = ()

    def taken(self, option: int) -> int:
        """What a derivation takes for an option: its number, or the value of a number."""
        return option if self.kind == "choice" else int(self.options[option])


@dataclass(frozen=True, slots=True)
class Gate:
    """A node whose inputs are k out of n, and the edges that stand for it.

    Attributes:
        key: of the choice of inputs.
        inputs: its options, sources in the order of the operations; one where there is no choice.
        operations: key of each operation's choice, in order.
        edges: hole of the edge from each source.
    """

    key: Key
    inputs: tuple[tuple[int, ...], ...]
    operations: tuple[Key, ...]
    edges: dict[int, Hole]


class Holes:
    """All holes of a supernet, each once, in the order in which they are met."""

    def __init__(self) -> None:
        self._found: dict[tuple[Kind, Key], Hole] = {}
        self._gates: dict[Key, Gate] = {}

    def __iter__(self) -> Iterator[Hole]:
        return iter(self._found.values())

    def get(
        self, kind: Kind, key: Key, label: str, options: tuple[str, ...], *marks: tuple[int, ...]
    ) -> Hole:
        """The hole of that key, made where it is new: copies of a definition share theirs.

        Marks are skips and zeros.
        """
        found = self._found.get((kind, key))
        if found is None:
            found = Hole(len(self._found), key, label, options, kind, *marks)
            self._found[kind, key] = found
        return found

    def gate(self, key: Key, make: Callable[[], Gate]) -> Gate:
        """The gate of that key, made where it is new."""
        if key not in self._gates:
            self._gates[key] = make()
        return self._gates[key]

    @property
    def gates(self) -> tuple[Gate, ...]:
        return tuple(self._gates.values())
