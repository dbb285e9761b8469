"""Sub-expressions with holes as parts: the composites of the vocabulary build supernets from them; no torch.

A part of one shape stands wherever an ordinary one does. Parts of several shapes (`shapes`, `spread`) follow
one another in sequences, repeats, choices and residuals up to the head; other composites refuse them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from nas.errors import RelaxError
from nas.layers.parts import PrimitivePart, SequencePart, SideError, in_context
from nas.primitives import Context, Inputs, Part, Shape
from nas.relax.holes import Hole

if TYPE_CHECKING:
    from torch import nn

    from nas.relax.board import Board, Picks

Shapes: TypeAlias = tuple[Shape, ...]


def shapes_of(part: Part, in_shape: Inputs, context: Context) -> Shapes:
    """All shapes that may come out, in a fixed order."""
    return part.shapes(in_shape, context) if isinstance(part, OneShape) else (part.shape(in_shape, context),)


def spread_of(part: Part, in_shape: Inputs, context: Context) -> nn.Module:
    """A module that gives a value and its share for each of `shapes_of`, None for those of no weight."""
    from nas.relax.spreads import Single

    if isinstance(part, OneShape) and len(part.shapes(in_shape, context)) > 1:
        return part.spread(in_shape, context)
    return Single(part.build(in_shape, context))


class OneShape(ABC):
    """A part with holes, where one shape is asked for; `shapes` and `spread` are for where several may be."""

    path: str

    @abstractmethod
    def shapes(self, in_shape: Inputs, context: Context) -> Shapes:
        """All shapes that may come out, in a fixed order."""

    @abstractmethod
    def spread(self, in_shape: Inputs, context: Context) -> nn.Module:
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
        listed = ", ".join(map(str, found))
        reason = f"{self.path}: options of one shape are expected here; they have {listed}"
        if len({(len(shape), shape[0]) for shape in found}) == 1 and len(found[0]) == 3:
            raise SideError(reason, "give all the same stride and padding")
        raise RelaxError(f"{reason}; give all the same width and stride")

    def build(self, in_shape: Inputs, context: Context) -> nn.Module:
        from nas.relax.spreads import Joined

        self.shape(in_shape, context)
        return Joined(self.spread(in_shape, context))


@dataclass(frozen=True)
class MixedPart(OneShape):
    """A choice among parts, decided by one hole or, for attributes, by several.

    With `partial`, one in so many channels passes the options, the others pass them by.
    """

    board: Board
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
            reason = f"as many channels out as in, which partial = {self.partial} divides, are expected"
            raise RelaxError(f"{self.path}: {reason}; got {in_shape[0]} in and {found[0][0]} out")
        return found

    def build(self, in_shape: Inputs, context: Context) -> nn.Module:
        from nas.relax.modules import Mixed

        shape = self.shape(in_shape, context)
        if self.partial > 1:
            return self._part_of_channels(in_shape, shape, context)  # type: ignore[arg-type]
        return Mixed(self.board, self.picks, [option.build(in_shape, context) for option in self.options])

    def _part_of_channels(self, in_shape: Shape, out_shape: Shape, context: Context) -> nn.Module:
        """As PC-DARTS; the options are built for the part of the channels that passes them."""
        from nas.relax.modules import Mixed, PartialMixed

        share = in_shape[0] // self.partial
        inner, context = (share, *in_shape[1:]), replace(context, width=share)
        mixed = Mixed(self.board, self.picks, [option.build(inner, context) for option in self.options])
        return PartialMixed(mixed, self.partial, halved=out_shape[1:] != in_shape[1:])

    def spread(self, in_shape: Inputs, context: Context) -> nn.Module:
        from nas.relax.spreads import SpreadChoice

        shapes = self.shapes(in_shape, context)
        spreads = [spread_of(option, in_shape, context) for option in self.options]
        places = [_places(shapes_of(option, in_shape, context), shapes) for option in self.options]
        return SpreadChoice(self.board, self.picks, spreads, places, len(shapes))


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

    def spread(self, in_shape: Inputs, context: Context) -> nn.Module:
        return staged(self.parts, in_shape, context)


def staged_shapes(parts: tuple[Part, ...], in_shape: Inputs, context: Context) -> list[Shapes]:
    """Shapes before the first part and after each."""
    found: list[Shapes] = [(in_shape,)]  # type: ignore[list-item] - a pair reaches cells only
    for part, inner in in_context(parts, context):
        found.append(_union([shapes_of(part, shape, inner) for shape in found[-1]]))
    return found


def staged(parts: tuple[Part, ...], in_shape: Inputs, context: Context) -> Any:
    """The parts as a `SpreadSequence`."""
    from nas.relax.spreads import SpreadSequence

    shapes = staged_shapes(parts, in_shape, context)
    stages, places = [], []
    for number, (part, inner) in enumerate(in_context(parts, context)):
        stages.append([spread_of(part, shape, inner) for shape in shapes[number]])
        after = shapes[number + 1]
        places.append([_places(shapes_of(part, shape, inner), after) for shape in shapes[number]])
    return SpreadSequence(stages, places, [len(found) for found in shapes[1:]])


@dataclass(frozen=True)
class DepthPart(OneShape):
    """A repeat whose number of copies is a hole."""

    board: Board
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

    def spread(self, in_shape: Inputs, context: Context) -> nn.Module:
        from nas.relax.spreads import SpreadDepth

        found, copies = staged_shapes(self.make(), in_shape, context), staged(self.make(), in_shape, context)
        shapes = self.shapes(in_shape, context)
        places = [_places(found[count], shapes) for count in self.counts]
        return SpreadDepth(self.board, self.hole.number, self.counts, copies, places, len(shapes))


@dataclass(frozen=True, slots=True)
class CellPart(PrimitivePart):
    """A cell, which is computed for many edges at once where that is possible."""

    board: Board

    def build(self, in_shape: Inputs, context: Context) -> nn.Module:
        from nas.relax.fused import fused

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
        from nas.layers.wiring import larger

        found = shapes_of(self.plain.parts[0], in_shape, context)
        return tuple(larger(in_shape, shape) for shape in found)  # type: ignore[arg-type]

    def build(self, in_shape: Inputs, context: Context) -> nn.Module:
        if len(shapes_of(self.plain.parts[0], in_shape, context)) == 1:
            return self.plain.build(in_shape, context)
        return super().build(in_shape, context)

    def spread(self, in_shape: Inputs, context: Context) -> nn.Module:
        from nas.relax.spreads import SpreadResidual

        shapes, places = self.shapes(in_shape, context), self._targets(in_shape, context)
        body = spread_of(self.plain.parts[0], in_shape, context)
        found = shapes_of(self.plain.parts[0], in_shape, context)
        return SpreadResidual(body, in_shape, found, _places(places, shapes), len(shapes))  # type: ignore[arg-type]


def _union(found: list[Shapes]) -> Shapes:
    return tuple(dict.fromkeys(shape for shapes in found for shape in shapes))


def _places(found: Shapes, among: Shapes) -> tuple[int, ...]:
    return tuple(among.index(shape) for shape in found)
