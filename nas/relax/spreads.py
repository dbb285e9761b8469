"""Superpositions of values of several shapes: sequences, repeats, choices and residuals of spreads.

A spread is a module that gives, for each shape that may come out, a value and its share, or None.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from torch import Tensor, nn

from nas.layers.cells import Residual
from nas.layers.modules import pad_to
from nas.layers.wiring import larger
from nas.primitives import Shape
from nas.relax.board import Board, Picks
from nas.relax.modules import Options, Relaxed, Share, discretized, scaled, sum_of_shares, total_of

Ray: TypeAlias = tuple[Share, Tensor]  # a value and its share


class SpreadChoice(Options):
    """Options of several shapes, each a spread itself.

    Args:
        board: see `Board`.
        picks: of each alternative.
        options: spreads.
        places: of each alternative, the numbers of its shapes among all of them.
        shapes: how many there are.
    """

    def __init__(
        self,
        board: Board,
        picks: Sequence[Picks],
        options: Iterable[nn.Module],
        places: Sequence[Sequence[int]],
        shapes: int,
    ) -> None:
        super().__init__(board, picks, options)
        self.places = tuple(map(tuple, places))
        self.shapes = shapes

    def forward(self, x: Tensor) -> list[Ray | None]:
        active = self.active()
        gathered: list[list[Ray]] = [[] for _ in range(self.shapes)]
        for i, weight in active:
            _gather(gathered, self.places[i], weight, self.options[i](x))
        total = sum_of_shares([weight for _, weight in active])
        return [_share(_mean(rays), total) for rays in gathered]

    def discrete(self) -> tuple[nn.Module, int]:
        number = self._only()
        module, shape = discretized_spread(self.options[number])
        return module, self.places[number][shape]


class Single(Relaxed):
    """A module of one shape as a spread."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> list[Ray | None]:
        return [(1.0, self.module(x))]

    def discrete(self) -> tuple[nn.Module, int]:
        return discretized(self.module), 0


class SpreadSequence(Relaxed):
    """One spread after the other, each there once for every shape that reaches it.

    Args:
        stages: of each part, a spread for each shape.
        places: of each of those, the numbers of its shapes among all that leave the stage.
        shapes: how many leave each stage.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[nn.Module]],
        places: Sequence[Sequence[Sequence[int]]],
        shapes: Sequence[int],
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(nn.ModuleList(stage) for stage in stages)
        self.places = places
        self.shapes = tuple(shapes)

    def forward(self, x: Tensor) -> list[Ray | None]:
        rays: list[Ray | None] = [(1.0, x)]
        for stage, places, shapes in zip(self.stages, self.places, self.shapes, strict=True):
            rays = _stage(rays, stage, places, shapes)  # type: ignore[arg-type]
        return rays

    def discrete(self) -> tuple[nn.Module, int]:
        modules, shape = [], 0
        for stage, places in zip(self.stages, self.places, strict=True):
            module, found = discretized_spread(stage[shape])  # type: ignore[index]
            shape = places[shape][found]
            modules.append(module)
        return nn.Sequential(*modules), shape


class SpreadDepth(Relaxed):
    """A repeat of a chosen number of copies: what leaves each number of copies, averaged by its weight.

    Args:
        board: see `Board`.
        hole: that chooses among the counts.
        counts: numbers of copies, ascending.
        copies: the longest sequence, as the arguments of `SpreadSequence`.
        places: of each count, the numbers of its shapes among all that may leave.
        shapes: how many may leave.
    """

    def __init__(
        self,
        board: Board,
        hole: int,
        counts: Sequence[int],
        copies: SpreadSequence,
        places: Sequence[Sequence[int]],
        shapes: int,
    ) -> None:
        super().__init__()
        self.board, self.hole, self.counts = board, hole, tuple(counts)
        self.copies = copies
        self.places, self.shapes = tuple(map(tuple, places)), shapes

    def forward(self, x: Tensor) -> list[Ray | None]:
        weight = self.board.weights[self.hole]
        gathered: list[list[Ray]] = [[] for _ in range(self.shapes)]
        rays: list[Ray | None] = [(1.0, x)]
        done, total = 0, []
        for option in weight.active:
            for number in range(done, self.counts[option]):
                stage, places = self.copies.stages[number], self.copies.places[number]
                rays = _stage(rays, stage, places, self.copies.shapes[number])  # type: ignore[arg-type]
            done = self.counts[option]
            total.append(self.board.weight(((self.hole, option),)))
            _gather(gathered, self.places[option], total[-1], rays)
        whole = sum_of_shares(total)
        return [_share(_mean(found), whole) for found in gathered]

    def discrete(self) -> tuple[nn.Module, int]:
        (option,) = self.board.weights[self.hole].active
        count = self.counts[option]
        copies = SpreadSequence([], [], [])
        copies.stages = self.copies.stages[:count]  # type: ignore[assignment]
        copies.places, copies.shapes = self.copies.places[:count], self.copies.shapes[:count]
        module, shape = copies.discrete()
        return module, self.places[option][shape]


class SpreadResidual(Relaxed):
    """Input plus a body of several shapes, padded to the larger (see `nas.layers.cells.Residual`)."""

    def __init__(
        self,
        body: nn.Module,
        in_shape: Shape,
        body_shapes: Sequence[Shape],
        places: Sequence[int],
        shapes: int,
    ) -> None:
        super().__init__()
        self.body = body
        self.in_shape, self.body_shapes = in_shape, tuple(body_shapes)
        self.targets = tuple(larger(in_shape, shape) for shape in body_shapes)
        self.places, self.shapes = tuple(places), shapes

    def forward(self, x: Tensor) -> list[Ray | None]:
        gathered: list[list[Ray]] = [[] for _ in range(self.shapes)]
        for ray, target, place in zip(self.body(x), self.targets, self.places, strict=True):
            if ray is not None:
                share, y = ray
                one, other = (x, y) if x.dim() == y.dim() else (x.flatten(1), y.flatten(1))
                gathered[place].append((share, pad_to(one, target) + pad_to(other, target)))
        return [_mean(rays) for rays in gathered]

    def discrete(self) -> tuple[nn.Module, int]:
        body, shape = discretized_spread(self.body)
        return Residual(body, self.in_shape, self.body_shapes[shape]), self.places[shape]


class Joined(Relaxed):
    """A spread all of whose values have one shape, as an ordinary module."""

    def __init__(self, spread: nn.Module) -> None:
        super().__init__()
        self.spread = spread

    def forward(self, x: Tensor) -> Tensor:
        (ray,) = self.spread(x)
        return ray[1]

    def discrete(self) -> tuple[nn.Module, int]:
        return discretized_spread(self.spread)


def _stage(
    rays: Sequence[Ray | None], spreads: Sequence[nn.Module], places: Sequence[Sequence[int]], shapes: int
) -> list[Ray | None]:
    """Each value through the spread that is there for its shape."""
    gathered: list[list[Ray]] = [[] for _ in range(shapes)]
    for ray, spread, found in zip(rays, spreads, places, strict=True):
        if ray is not None:
            _gather(gathered, found, ray[0], spread(ray[1]))
    return [_mean(each) for each in gathered]


def _gather(
    gathered: list[list[Ray]], places: Sequence[int], weight: Share, rays: Sequence[Ray | None]
) -> None:
    for place, ray in zip(places, rays, strict=True):
        if ray is not None:
            gathered[place].append((weight * ray[0], ray[1]))


def _mean(rays: list[Ray]) -> Ray | None:
    """Mean of values of one shape, by their shares, which add up."""
    if len(rays) < 2:
        return rays[0] if rays else None
    whole = sum_of_shares([share for share, _ in rays])
    return whole, total_of([(share / whole) * x for share, x in rays])


def _share(ray: Ray | None, total: Share) -> Ray | None:
    """As a part of the total weight of all options, which scales the value as in a mixed operation."""
    return None if ray is None else (ray[0] / total, scaled(total, ray[1]))


def discretized_spread(module: nn.Module) -> tuple[nn.Module, int]:
    assert isinstance(module, Relaxed), "spreads are relaxed modules"
    return module.discrete()
