"""From the sites of a space to parts with holes; says why where that cannot be. No torch."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from nas.architecture import Key
from nas.errors import RelaxError
from nas.layers.parts import PrimitivePart
from nas.notation import written_size
from nas.primitives import Part
from nas.relax.holes import Gate, Hole, Holes
from nas.relax.parts import CellPart, DepthPart, MixedPart, RelaxedSequence, ResidualPart
from nas.sites import CHOICE, EXPAND, LET, NUMBER, PROGRAM, RULE, SHARED, USE, Site
from nas.term import Choice, Define, Literal, Number, Op, Ref, Repeat, Seq, Term

if TYPE_CHECKING:
    from nas.relax.board import Board, Picks
    from nas.space import SearchSpace

_PROGRAMS = (LET, PROGRAM, USE)
_SKIPS = ("skip", "identity")


@dataclass(frozen=True, slots=True)
class Place:
    """A site with what its address and its names mean there.

    Attributes:
        site: of the sub-expression.
        prefix: of the keys of its holes.
        names: definitions in reach.
    """

    site: Site
    prefix: tuple[int, ...]
    names: dict[str, Place]

    def at(self, site: Site) -> Place:
        return Place(site, self.prefix, self.names)

    @property
    def key(self) -> Key:
        return Key(self.site.index, self.prefix)


class Relaxing:
    """Makes the parts of one space.

    Args:
        space: to be relaxed.
        board: where its modules read their weights.
        partial: one in so many channels passes the operations of a cell's edge, the others pass it by.

    Raises:
        RelaxError: from `part`, the place and the reason.
    """

    def __init__(self, space: SearchSpace, board: Board, partial: int = 1) -> None:
        self.holes = Holes()
        self._space, self._board, self._partial = space, board, partial

    def root(self) -> Part:
        return self.part(Place(self._space.layout.root, (), {}))

    def part(self, place: Place, label: str | None = None) -> Part:
        site, term = place.site, place.site.term
        if site.kind in (RULE, EXPAND):
            raise self._refused(place, "a recursive rule has no bounded supernet; write its options out")
        if site.kind in _PROGRAMS:
            raise self._refused(place, "a program is no network")
        if site.kind == SHARED:
            return self.part(Place(site.children[0], (), place.names), label)
        match term:
            case Define():
                return self.part(self._defining(place), label)
            case Ref(name):
                return self.part(place.names[name], label or name)
            case Choice():
                return self._choice(place)
            case Seq():
                return self._sequence([place.at(child) for child in site.children], place, label)
            case Repeat():
                return self._repeat(place, term, label)
            case Op():
                return self._operation(place, term, label)
        raise self._refused(place, f"a network is expected; got {shorten(str(term), 60)}")

    def _refused(self, place: Place, reason: str) -> RelaxError:
        return RelaxError(f"{self._space.name} at {place.site.label}: cannot be relaxed: {reason}")

    def _defining(self, place: Place) -> Place:
        term, names = place.site.term, place.names
        assert isinstance(term, Define)
        for (name, _), site in zip(term.bindings, place.site.children, strict=False):
            names = {**names, name: Place(site, (), names)}
        return Place(place.site.children[-1], place.prefix, names)

    def _sequence(self, places: list[Place], at: Place, label: str | None) -> Part:
        def make() -> tuple[Part, ...]:
            return tuple(map(self.part, places))

        return RelaxedSequence(make, at.site.label, label or "sequence")

    def _choice(self, place: Place) -> Part:
        children = place.site.children
        if len(children) == 1:
            return self.part(place.at(children[0]))
        texts = tuple(shorten(str(child.term), 60) for child in children)
        options = tuple(self.part(place.at(child)) for child in children)
        self._check_cells(place, options)
        marks = _marks([child.term for child in children])
        hole = self.holes.get("choice", place.key, place.site.label, texts, *marks)
        picks = tuple(((hole.number, i),) for i in range(len(options)))
        return MixedPart(self._board, picks, options, place.site.label)

    def _repeat(self, place: Place, term: Repeat, label: str | None) -> Part:
        site, body = place.site, place.site.children[0]
        own = body.kind != 0 and not term.tied

        def at(element: int) -> Place:
            prefix = (*place.prefix, site.index, element) if own else place.prefix
            return Place(body, prefix, place.names)

        copies = [at(element) for element in range(term.high)]
        counts = tuple(site.options)
        if len(counts) == 1:
            return self._sequence(copies[: counts[0]], place, label or "repeat")

        @functools.cache  # repeats in repeats would make their parts twice on every level
        def make() -> tuple[Part, ...]:
            return tuple(map(self.part, copies))

        hole = self.holes.get("depth", place.key, site.label, tuple(map(str, counts)))
        self._check_cells(place, make())
        return DepthPart(self._board, hole, counts, make, site.label, label or "repeat")

    def _check_cells(self, place: Place, options: tuple[Part, ...]) -> None:
        """In a chain a cell is more than what it computes: it reads two values or doubles the width."""
        for step in (step for option in options for step in option.steps if step.name == "cell"):
            given = step.given  # type: ignore[attr-defined]
            if given.get("inputs", 1) == 2 or given.get("stride") == 2:
                raise self._refused(place, "whole cells differ; put the choices inside of one cell")

    def _operation(self, place: Place, term: Op, label: str | None) -> Part:
        args, values = self._split(place, term)
        if term.name == "train":
            return self._train(place, args, values)
        if term.name == "node" and self._space.gate is not None:
            return self._gated(place, term)
        alternatives = list(self._alternatives(values))
        if term.name == "node" and len(alternatives) > 1:
            raise self._refused(place, 'k-of-n inputs need a gate; state SearchSpace(..., gate="none")')
        options = tuple(self._plain(place, term, given, args, label) for given, _ in alternatives)
        if len(options) == 1:
            return options[0]
        self._check_cells(place, options)
        return MixedPart(self._board, tuple(picks for _, picks in alternatives), options, place.site.label)

    def _split(self, place: Place, term: Op) -> tuple[list[Place], dict[str, Place]]:
        sites = [place.at(child) for child in place.site.children]
        names = [name for name, _ in term.attributes]
        return sites[: len(term.args)], dict(zip(names, sites[len(term.args) :], strict=True))

    def _train(self, place: Place, args: list[Place], values: dict[str, Place]) -> Part:
        for name, value in values.items():
            if written_size(self._meant(value).site.term) > 1 or len(list(self._values(value))) > 1:
                reason = f"the training setting {name} is a choice, and a setting is no operation; fix it"
                raise self._refused(place, reason)
        return self.part(args[0])

    def _meant(self, place: Place) -> Place:
        while isinstance(place.site.term, Ref):
            place = place.names[place.site.term.name]
        return place

    def _plain(
        self, place: Place, term: Op, given: dict[str, Any], args: list[Place], label: str | None
    ) -> Part:
        primitive, path = self._space.vocabulary.get(term.name), f'{place.site.label} "{term.name}"'
        if primitive.shape is None or primitive.build is None:
            raise self._refused(place, f"a network is expected; got a primitive of kind {primitive.kind}")

        def make() -> tuple[Part, ...]:
            return tuple(map(self._edge if term.name == "node" else self.part, args))

        label = label or term.name
        if term.name == "cell":
            return CellPart(primitive, given, make, path, label, self._board)
        part = PrimitivePart(primitive, given, make, path, label)
        return ResidualPart(part, path, label) if term.name == "residual" else part

    def _edge(self, place: Place) -> Part:
        part = self.part(place)
        return replace(part, partial=self._partial) if isinstance(part, MixedPart) else part

    def _alternatives(self, values: dict[str, Place]) -> Iterator[tuple[dict[str, Any], Picks]]:
        """Each admissible assignment of the attributes, and what it picks."""
        for combination in itertools.product(*(tuple(self._values(value)) for value in values.values())):
            picks = dict.fromkeys(pick for _, found in combination for pick in found)
            if len({hole for hole, _ in picks}) == len(picks):  # a shared hole has one option
                yield dict(zip(values, (value for value, _ in combination), strict=True)), tuple(picks)

    def _values(self, place: Place) -> Iterator[tuple[Any, Picks]]:
        """Each value that an attribute may have, and what it picks."""
        site, term = place.site, place.site.term
        match term:
            case Literal(value):
                yield value, ()
            case Ref(name):
                yield from self._values(place.names[name])
            case Choice() if len(site.children) == 1:
                yield from self._values(place.at(site.children[0]))
            case Choice():
                texts = tuple(str(child.term) for child in site.children)
                hole = self.holes.get("choice", place.key, site.label, texts)
                for option, child in enumerate(site.children):
                    for value, picks in self._values(place.at(child)):
                        yield value, ((hole.number, option), *picks)
            case Number(integer=True):
                hole = self.holes.get("number", place.key, site.label, tuple(map(str, site.options)))
                for option, value in enumerate(site.options):
                    yield value, ((hole.number, option),) if len(site.options) > 1 else ()
            case _ if site.kind == SHARED:
                yield from self._values(Place(site.children[0], (), place.names))
            case _ if site.kind == NUMBER:
                raise self._refused(place, "a real number needs a grid; use oneof(...)")
            case _:
                raise self._refused(place, f"a value is expected; got {shorten(str(term), 60)}")

    def _gated(self, place: Place, term: Op) -> Part:
        """A node of edges from all of its sources, each with a choice of operations or none."""
        gate = self.holes.gate(place.key, lambda: self._gate(place, term))
        args, _ = self._split(place, term)
        vocabulary = self._space.vocabulary
        label = place.site.label
        nothing = PrimitivePart(vocabulary.get("zero"), {}, tuple, f'{label} "zero"', "zero")
        sources = tuple(gate.edges)

        def make() -> tuple[Part, ...]:
            return tuple(map(edge, sources))

        def edge(source: int) -> Part:
            children = self._options(args[0])
            options = (nothing, *(self.part(child) for child in children))
            hole = gate.edges[source]
            picks = tuple(((hole.number, i),) for i in range(len(options)))
            return MixedPart(self._board, picks, options, hole.label, partial=self._partial)

        return PrimitivePart(vocabulary.get("node"), {"inputs": sources}, make, f'{label} "node"', "node")

    def _options(self, place: Place) -> list[Place]:
        """The operations to choose from."""
        while place.site.kind == SHARED or isinstance(place.site.term, Ref):
            term = place.site.term
            inner = place.names[term.name] if isinstance(term, Ref) else None
            place = inner or Place(place.site.children[0], (), place.names)
        return [place.at(child) for child in place.site.children] if place.site.kind == CHOICE else [place]

    def _gate(self, place: Place, term: Op) -> Gate:
        args, values = self._split(place, term)
        inputs = [value for value, _ in self._values_of(values["inputs"])] if "inputs" in values else [(0,)]
        options = [self._options(arg) for arg in args]
        terms = [[each.site.term for each in found] for found in options]
        if any(found != terms[0] for found in terms) or any(each.site.active for each in options[0]):
            reason = "a gated node needs equal choices of operations for all inputs, without further holes"
            raise self._refused(place, reason)
        texts = ("none", *(shorten(str(each), 60) for each in terms[0]))
        marks = _marks([Op("zero"), *terms[0]])

        def hole(source: int) -> Hole:
            key = Key(place.key.hole, (*place.prefix, -1, source))
            return self.holes.get("edge", key, f"{place.site.label} from {source}", texts, *marks)

        edges = {source: hole(source) for source in sorted({s for each in inputs for s in each})}
        key = values["inputs"].key if "inputs" in values else place.key
        return Gate(key, tuple(map(tuple, inputs)), tuple(map(self._choosing, args)), edges)

    def _values_of(self, place: Place) -> list[tuple[Any, Picks]]:
        """The options of the choice of inputs, which becomes no hole of its own."""
        term = place.site.term
        if isinstance(term, Literal):
            return [(term.value, ())]
        if isinstance(term, Choice) and all(isinstance(each, Literal) for each in term.options):
            return [(each.value, ()) for each in term.options]  # type: ignore[attr-defined]
        raise self._refused(place, "inputs of a gated node are expected as choose(k, ...)")

    def _choosing(self, place: Place) -> Key:
        """The key of the choice of an operation."""
        while place.site.kind == SHARED:
            place = Place(place.site.children[0], (), place.names)
        return place.key


def _marks(options: list[Term]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which options are skips, which are zero."""
    names = ["skip" if each == Seq(()) else each.name if isinstance(each, Op) else "" for each in options]
    skips = tuple(i for i, name in enumerate(names) if name in _SKIPS)
    return skips, tuple(i for i, name in enumerate(names) if name == "zero")
