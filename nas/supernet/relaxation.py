"""From the sites of a space to parts with holes; says why where that cannot be. No torch.

A hole of the space is a hole of its supernet, but for the nodes of gated cells: instead of k inputs out of n
and an operation for each, every edge from a predecessor chooses among the operations and none at all
(Liu et al. 2019, section 2.2).

The composites of the vocabulary build supernets from sub-expressions with holes as parts. A part of one shape
stands wherever an ordinary one does. Parts of several shapes follow one another in sequences, repeats,
choices and residuals up to the head; other composites refuse them.
"""

from __future__ import annotations

import functools
import itertools
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import TYPE_CHECKING, Any, TypeAlias

from nas.errors import RelaxError, refusal
from nas.language import (
    Choice,
    Context,
    Define,
    Inputs,
    Literal,
    Number,
    Op,
    Part,
    Ref,
    Repeat,
    Seq,
    Shape,
    Term,
    written_size,
)
from nas.layers import PrimitivePart, SequencePart, SideError, in_context
from nas.space import CHOICE, EXPAND, LET, NUMBER, PROGRAM, RULE, SHARED, USE, Key, Site

if TYPE_CHECKING:
    from torch import nn

    from nas.space import SearchSpace
    from nas.supernet.modules import ArchitectureWeights, Picks


Kind = typing.Literal["choice", "number", "depth", "edge", "group"]


@dataclass(frozen=True, slots=True)
class Hole:
    """One decision that is relaxed.

    Attributes:
        number: position among the holes of the supernet, from 0.
        key: of the decision in the space; of an edge, that of its node with the source appended.
        label: place in the expression, for people.
        options: what there is to choose from, as text; of an edge the first one is none.
        kind: "depth" chooses the number of copies of a repeat, "edge" see above, "group" see `layered.py`.
        skips: options that return their input.
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
        """The hole of that key, made if it is new: copies of a definition share theirs.

        `marks` are the hole's skips and zeros.
        """
        found = self._found.get((kind, key))
        if found is None:
            found = Hole(len(self._found), key, label, options, kind, *marks)
            self._found[kind, key] = found
        return found

    def gate(self, key: Key, make: Callable[[], Gate]) -> Gate:
        """The gate of that key, made if it is new."""
        if key not in self._gates:
            self._gates[key] = make()
        return self._gates[key]

    @property
    def gates(self) -> tuple[Gate, ...]:
        return tuple(self._gates.values())


Shapes: TypeAlias = tuple[Shape, ...]


def shapes_of(part: Part, in_shape: Inputs, context: Context) -> Shapes:
    """All shapes that may come out, in a fixed order."""
    return part.shapes(in_shape, context) if isinstance(part, OneShape) else (part.shape(in_shape, context),)


def multi_shape_of(part: Part, in_shape: Inputs, context: Context) -> nn.Module:
    """A module that gives a value and its share for each of `shapes_of`, None for those of no weight."""
    from nas.supernet.modules import SingleShape

    if isinstance(part, OneShape) and len(part.shapes(in_shape, context)) > 1:
        return part.build_multi_shape(in_shape, context)
    return SingleShape(part.build(in_shape, context))


class OneShape(ABC):
    """A part with holes that stands for one shape; `shapes` and `build_multi_shape` allow for several."""

    path: str

    @abstractmethod
    def shapes(self, in_shape: Inputs, context: Context) -> Shapes:
        """All shapes that may come out, in a fixed order."""

    @abstractmethod
    def build_multi_shape(self, in_shape: Inputs, context: Context) -> nn.Module:
        """A module that gives a value and its share for each of the shapes."""

    @property
    def name(self) -> str | None:
        return None

    @property
    def parts(self) -> tuple[Part, ...]:
        return ()

    @property
    def steps(self) -> tuple[Part, ...]:
        return (self,)  # type: ignore[return-value] - a part, with what subclasses add

    def attributes(self, context: Context) -> Mapping[str, Any]:  # noqa: ARG002 - has none
        return {}

    def shape(self, in_shape: Inputs, context: Context) -> Shape:
        found = self.shapes(in_shape, context)
        if len(found) == 1:
            return found[0]
        expected, listed = "options of one shape", ", ".join(map(str, found))
        if len({(len(shape), shape[0]) for shape in found}) == 1 and len(found[0]) == 3:
            reason = f"{self.path}: expected {expected}, got {listed}"
            raise SideError(reason, "give all the same stride and padding")
        raise RelaxError(refusal(self.path, expected, listed, "give all the same width and stride"))

    def build(self, in_shape: Inputs, context: Context) -> nn.Module:
        from nas.supernet.modules import Joined

        self.shape(in_shape, context)
        return Joined(self.build_multi_shape(in_shape, context))


@dataclass(frozen=True)
class MixedPart(OneShape):
    """A choice among parts, decided by one hole or, for attributes, by several.

    1/`partial` of the channels pass the options, the others pass them by (PC-DARTS).
    """

    board: ArchitectureWeights
    picks: tuple[Picks, ...]
    options: tuple[Part, ...]
    path: str
    label: str = "mixed"
    partial: int = 1

    def takes_stride(self) -> bool:
        return any(option.takes_stride() for option in self.options)

    def shapes(self, in_shape: Inputs, context: Context) -> Shapes:
        found = _union([shapes_of(option, in_shape, context) for option in self.options])
        if self.partial > 1 and (in_shape[0] % self.partial or any(out[0] != in_shape[0] for out in found)):  # type: ignore[operator]
            expected = f"as many channels out as in, a multiple of partial = {self.partial}"
            got = f"{in_shape[0]} in and {found[0][0]} out"
            raise RelaxError(refusal(self.path, expected, got, "give such widths, or set partial=1"))
        return found

    def build(self, in_shape: Inputs, context: Context) -> nn.Module:
        from nas.supernet.modules import Mixed, PartialMixed

        halved = self.shape(in_shape, context)[1:] != in_shape[1:]
        if self.partial > 1:  # the options are built for the share of the channels that passes them
            share = in_shape[0] // self.partial  # type: ignore[operator]
            in_shape, context = (share, *in_shape[1:]), replace(context, width=share)  # type: ignore[assignment]
        mixed = Mixed(self.board, self.picks, [option.build(in_shape, context) for option in self.options])
        return PartialMixed(mixed, self.partial, halved=halved) if self.partial > 1 else mixed

    def build_multi_shape(self, in_shape: Inputs, context: Context) -> nn.Module:
        from nas.supernet.modules import MultiShapeChoice

        shapes = self.shapes(in_shape, context)
        modules = [multi_shape_of(option, in_shape, context) for option in self.options]
        places = [_places(shapes_of(option, in_shape, context), shapes) for option in self.options]
        return MultiShapeChoice(self.board, self.picks, modules, places, len(shapes))


@dataclass(frozen=True)
class RelaxedSequence(OneShape):
    """One part after the other, as `SequencePart`."""

    make: Callable[[], tuple[Part, ...]]
    path: str
    label: str

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.make()

    @property
    def steps(self) -> tuple[Part, ...]:
        return tuple(step for part in self.parts for step in part.steps)

    def takes_stride(self) -> bool:
        return any(part.takes_stride() for part in self.parts)

    def shapes(self, in_shape: Inputs, context: Context) -> Shapes:
        return staged_shapes(self.parts, in_shape, context)[-1]

    def build(self, in_shape: Inputs, context: Context) -> nn.Module:
        if all(len(found) == 1 for found in staged_shapes(self.parts, in_shape, context)):
            return SequencePart(self.make, self.label).build(in_shape, context)
        return super().build(in_shape, context)

    def build_multi_shape(self, in_shape: Inputs, context: Context) -> nn.Module:
        return multi_shape_sequence(self.parts, in_shape, context)


def staged_shapes(parts: tuple[Part, ...], in_shape: Inputs, context: Context) -> list[Shapes]:
    """Shapes before the first part and after each."""
    found: list[Shapes] = [(in_shape,)]  # type: ignore[list-item] - a pair reaches cells only
    for part, inner in in_context(parts, context):
        found.append(_union([shapes_of(part, shape, inner) for shape in found[-1]]))
    return found


def multi_shape_sequence(parts: tuple[Part, ...], in_shape: Inputs, context: Context) -> Any:
    """The parts as a `MultiShapeSequence`."""
    from nas.supernet.modules import MultiShapeSequence

    shapes = staged_shapes(parts, in_shape, context)
    stages, places = [], []
    for number, (part, inner) in enumerate(in_context(parts, context)):
        stages.append([multi_shape_of(part, shape, inner) for shape in shapes[number]])
        after = shapes[number + 1]
        places.append([_places(shapes_of(part, shape, inner), after) for shape in shapes[number]])
    return MultiShapeSequence(stages, places, [len(found) for found in shapes[1:]])


@dataclass(frozen=True)
class DepthPart(OneShape):
    """A repeat whose number of copies is a hole."""

    board: ArchitectureWeights
    hole: Hole
    counts: tuple[int, ...]
    make: Callable[[], tuple[Part, ...]]  # as many copies as there may be
    path: str
    label: str = "repeat"

    def takes_stride(self) -> bool:
        return any(part.takes_stride() for part in self.make())

    def shapes(self, in_shape: Inputs, context: Context) -> Shapes:
        found = staged_shapes(self.make(), in_shape, context)
        return _union([found[count] for count in self.counts])

    def build_multi_shape(self, in_shape: Inputs, context: Context) -> nn.Module:
        from nas.supernet.modules import MultiShapeDepth

        found, copies = (
            staged_shapes(self.make(), in_shape, context),
            multi_shape_sequence(self.make(), in_shape, context),
        )
        shapes = self.shapes(in_shape, context)
        places = [_places(found[count], shapes) for count in self.counts]
        return MultiShapeDepth(self.board, self.hole.number, self.counts, copies, places, len(shapes))


@dataclass(frozen=True, slots=True)
class CellPart(PrimitivePart):
    """A cell that is computed for many edges at once where that is possible."""

    board: ArchitectureWeights

    def build(self, in_shape: Inputs, context: Context) -> nn.Module:
        from nas.supernet.fused.plan import fused

        return fused(PrimitivePart.build(self, in_shape, context), self.board)


@dataclass(frozen=True)
class ResidualPart(OneShape):
    """Input plus a body that may have several shapes."""

    plain: PrimitivePart
    path: str
    label: str

    @property
    def name(self) -> str | None:
        return self.plain.name

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.plain.parts

    def takes_stride(self) -> bool:
        return self.plain.takes_stride()

    def shapes(self, in_shape: Inputs, context: Context) -> Shapes:
        return _union([self._targets(in_shape, context)])

    def _targets(self, in_shape: Inputs, context: Context) -> Shapes:
        from nas.layers import larger

        found = shapes_of(self.plain.parts[0], in_shape, context)
        return tuple(larger(in_shape, shape) for shape in found)  # type: ignore[arg-type]

    def build(self, in_shape: Inputs, context: Context) -> nn.Module:
        if len(shapes_of(self.plain.parts[0], in_shape, context)) == 1:
            return self.plain.build(in_shape, context)
        return super().build(in_shape, context)

    def build_multi_shape(self, in_shape: Inputs, context: Context) -> nn.Module:
        from nas.supernet.modules import MultiShapeResidual

        shapes, places = self.shapes(in_shape, context), self._targets(in_shape, context)
        body = multi_shape_of(self.plain.parts[0], in_shape, context)
        found = shapes_of(self.plain.parts[0], in_shape, context)
        return MultiShapeResidual(body, in_shape, found, _places(places, shapes), len(shapes))  # type: ignore[arg-type]


def _union(found: list[Shapes]) -> Shapes:
    return tuple(dict.fromkeys(shape for shapes in found for shape in shapes))


def _places(found: Shapes, among: Shapes) -> tuple[int, ...]:
    return tuple(among.index(shape) for shape in found)


_PROGRAMS = (LET, PROGRAM, USE)
_SKIPS = ("skip", "identity")


@dataclass(frozen=True, slots=True)
class RelaxedSite:
    """A site, with the prefix of its keys and the definitions in scope.

    Attributes:
        site: of the sub-expression.
        prefix: of the keys of its holes.
        names: definitions in reach.
    """

    site: Site
    prefix: tuple[int, ...]
    names: dict[str, RelaxedSite]

    def at(self, site: Site) -> RelaxedSite:
        return RelaxedSite(site, self.prefix, self.names)

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

    def __init__(self, space: SearchSpace, board: ArchitectureWeights, partial: int = 1) -> None:
        self.holes = Holes()
        self._space, self._board, self._partial = space, board, partial

    def root(self) -> Part:
        return self.part(RelaxedSite(self._space.layout.root, (), {}))

    def part(self, place: RelaxedSite, label: str | None = None) -> Part:
        site, term = place.site, place.site.term
        if site.kind in (RULE, EXPAND):
            got = "a recursive rule, which has no bounded supernet"
            raise self._refused(place, "a network without recursion", got, "write its options out")
        if site.kind in _PROGRAMS:
            remedy = "take a searcher that trains no supernet"
            raise self._refused(place, "a network", "a program", remedy)
        if site.kind == SHARED:
            return self.part(RelaxedSite(site.children[0], (), place.names), label)
        match term:
            case Define():
                names = place.names
                for (name, _), child in zip(term.bindings, site.children, strict=False):
                    names = {**names, name: RelaxedSite(child, (), names)}
                return self.part(RelaxedSite(site.children[-1], place.prefix, names), label)
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
        raise self._refused(place, "a network", shorten(str(term), 60), "write a network here")

    def _refused(self, place: RelaxedSite, expected: str, got: str, remedy: str) -> RelaxError:
        where = f"supernet of {self._space.name} at {place.site.label}"
        return RelaxError(refusal(where, expected, got, remedy))

    def _sequence(self, places: list[RelaxedSite], at: RelaxedSite, label: str | None) -> Part:
        def make() -> tuple[Part, ...]:
            return tuple(map(self.part, places))

        return RelaxedSequence(make, at.site.label, label or "sequence")

    def _choice(self, place: RelaxedSite) -> Part:
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

    def _repeat(self, place: RelaxedSite, term: Repeat, label: str | None) -> Part:
        site, body = place.site, place.site.children[0]
        own = body.kind != 0 and not term.tied

        def at(element: int) -> RelaxedSite:
            prefix = (*place.prefix, site.index, element) if own else place.prefix
            return RelaxedSite(body, prefix, place.names)

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

    def _check_cells(self, place: RelaxedSite, options: tuple[Part, ...]) -> None:
        """A cell in a chain is more than what it computes: it reads two values or doubles the width."""
        for step in (step for option in options for step in option.steps if step.name == "cell"):
            given = step.given  # type: ignore[attr-defined]
            if given.get("inputs", 1) == 2 or given.get("stride") == 2:
                expected, got = "choices inside of cells", "a choice of whole cells"
                raise self._refused(place, expected, got, "put the choices inside of one cell")

    def _operation(self, place: RelaxedSite, term: Op, label: str | None) -> Part:
        args, values = self._split(place, term)
        if term.name == "train":
            return self._train(place, args, values)
        if term.name == "node" and self._space.gate is not None:
            return self._gated(place, term)
        alternatives = list(self._alternatives(values))
        if term.name == "node" and len(alternatives) > 1:
            remedy = 'write SearchSpace(..., gate="none")'
            raise self._refused(place, "a gate for k-of-n inputs", "none", remedy)
        options = tuple(self._plain(place, term, given, args, label) for given, _ in alternatives)
        if len(options) == 1:
            return options[0]
        self._check_cells(place, options)
        return MixedPart(self._board, tuple(picks for _, picks in alternatives), options, place.site.label)

    def _split(self, place: RelaxedSite, term: Op) -> tuple[list[RelaxedSite], dict[str, RelaxedSite]]:
        sites = [place.at(child) for child in place.site.children]
        names = [name for name, _ in term.attributes]
        return sites[: len(term.args)], dict(zip(names, sites[len(term.args) :], strict=True))

    def _train(self, place: RelaxedSite, args: list[RelaxedSite], values: dict[str, RelaxedSite]) -> Part:
        for name, value in values.items():
            resolved = value
            while isinstance(resolved.site.term, Ref):
                resolved = resolved.names[resolved.site.term.name]
            if written_size(resolved.site.term) > 1 or len(list(self._values(value))) > 1:
                expected = f"one value of the training setting {name}, as a setting is no operation"
                raise self._refused(place, expected, "a choice", "fix its value")
        return self.part(args[0])

    def _plain(
        self, place: RelaxedSite, term: Op, given: dict[str, Any], args: list[RelaxedSite], label: str | None
    ) -> Part:
        primitive, path = self._space.vocabulary.get(term.name), f'{place.site.label} "{term.name}"'
        if primitive.shape is None or primitive.build is None:
            got = f"a primitive of kind {primitive.kind}"
            raise self._refused(place, "a network", got, "take a primitive that builds a layer")

        def make() -> tuple[Part, ...]:
            return tuple(map(self._edge if term.name == "node" else self.part, args))

        label = label or term.name
        if term.name == "cell":
            return CellPart(primitive, given, make, path, label, self._board)
        part = PrimitivePart(primitive, given, make, path, label)
        return ResidualPart(part, path, label) if term.name == "residual" else part

    def _edge(self, place: RelaxedSite) -> Part:
        part = self.part(place)
        return replace(part, partial=self._partial) if isinstance(part, MixedPart) else part

    def _alternatives(self, values: dict[str, RelaxedSite]) -> Iterator[tuple[dict[str, Any], Picks]]:
        """Each admissible assignment of the attributes, and what it picks."""
        for combination in itertools.product(*(tuple(self._values(value)) for value in values.values())):
            picks = dict.fromkeys(pick for _, found in combination for pick in found)
            if len({hole for hole, _ in picks}) == len(picks):  # a shared hole has one option
                yield dict(zip(values, (value for value, _ in combination), strict=True)), tuple(picks)

    def _values(self, place: RelaxedSite) -> Iterator[tuple[Any, Picks]]:
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
                yield from self._values(RelaxedSite(site.children[0], (), place.names))
            case _ if site.kind == NUMBER:
                raise self._refused(place, "a grid of values", "a real number", "use oneof(...)")
            case _:
                got = shorten(str(term), 60)
                raise self._refused(place, "a value", got, "write a value or a choice of values")

    def _gated(self, place: RelaxedSite, term: Op) -> Part:
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

    def _options(self, place: RelaxedSite) -> list[RelaxedSite]:
        """The operations to choose from."""
        while place.site.kind == SHARED or isinstance(place.site.term, Ref):
            term = place.site.term
            inner = place.names[term.name] if isinstance(term, Ref) else None
            place = inner or RelaxedSite(place.site.children[0], (), place.names)
        return [place.at(child) for child in place.site.children] if place.site.kind == CHOICE else [place]

    def _gate(self, place: RelaxedSite, term: Op) -> Gate:
        args, values = self._split(place, term)
        inputs = [value for value, _ in self._values_of(values["inputs"])] if "inputs" in values else [(0,)]
        options = [self._options(arg) for arg in args]
        terms = [[each.site.term for each in found] for found in options]
        if any(found != terms[0] for found in terms) or any(each.site.active for each in options[0]):
            expected = "one choice of operations, without further holes, for all inputs of a gated node"
            raise self._refused(place, expected, "another", "write the same choice for each input")
        texts = ("none", *(shorten(str(each), 60) for each in terms[0]))
        marks = _marks([Op("zero"), *terms[0]])

        def hole(source: int) -> Hole:
            key = Key(place.key.hole, (*place.prefix, -1, source))
            return self.holes.get("edge", key, f"{place.site.label} from {source}", texts, *marks)

        edges = {source: hole(source) for source in sorted({s for each in inputs for s in each})}
        key = values["inputs"].key if "inputs" in values else place.key
        return Gate(key, tuple(map(tuple, inputs)), tuple(map(self._choosing, args)), edges)

    def _values_of(self, place: RelaxedSite) -> list[tuple[Any, Picks]]:
        """The options of the choice of inputs, which becomes no hole of its own."""
        term = place.site.term
        if isinstance(term, Literal):
            return [(term.value, ())]
        if isinstance(term, Choice) and all(isinstance(each, Literal) for each in term.options):
            return [(each.value, ()) for each in term.options]  # type: ignore[attr-defined]
        got = shorten(str(term), 60)
        raise self._refused(place, "inputs of a gated node as choose(k, ...)", got, "write them so")

    def _choosing(self, place: RelaxedSite) -> Key:
        """The key of the choice of an operation."""
        while place.site.kind == SHARED:
            place = RelaxedSite(place.site.children[0], (), place.names)
        return place.key


def _marks(options: list[Term]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which options are skips, which are zero."""
    names = ["skip" if each == Seq(()) else each.name if isinstance(each, Op) else "" for each in options]
    skips = tuple(i for i, name in enumerate(names) if name in _SKIPS)
    return skips, tuple(i for i, name in enumerate(names) if name == "zero")
