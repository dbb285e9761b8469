"""Modules of a supernet, and where they read the architecture weights of the present pass.

They are weighted sums of options, and superpositions of values of several shapes.

Where all options give one shape, a choice is DARTS' mixed operation (Liu et al. 2019, equation 2). Where they
differ in shape, such as a choice of widths, what comes out is a superposition: for each shape the mean of the
options that have it, and their share. What follows exists once for each shape that may reach it, as in
sharpDARTS' grid over channels (Hundt et al. 2019), and values of one shape are averaged by their shares.
With one active option in each hole, only that one computes, and the result is that of the discrete network.

A multi-shape module gives, for each shape that may come out, a value and its share, or None.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from nas.errors import RelaxError, refusal
from nas.language import Shape
from nas.layers import Composite, Residual, Zero, larger, pad_to

if TYPE_CHECKING:
    from torch import Tensor


Picks: TypeAlias = tuple[tuple[int, int], ...]  # (hole, option) pairs that an alternative stands for


@dataclass(frozen=True, slots=True)
class ArchitectureWeight:
    """Architecture weights of one hole.

    Attributes:
        values: (options,); None for 1 on the only active option.
        active: options that compute; the others count as zero whatever their weight.
    """

    values: Tensor | None
    active: tuple[int, ...]


class ArchitectureWeights:
    """Where the modules of a supernet read the weights of the present pass, by number of the hole.

    Attributes:
        weights: of all holes.
        plain: whether all modules are called one by one.
    """

    def __init__(self) -> None:
        self.weights: Sequence[ArchitectureWeight] = ()
        self.plain = False

    def is_active(self, picks: Picks) -> bool:
        return all(option in self.weights[hole].active for hole, option in picks)

    def weight(self, picks: Picks) -> Tensor | float:
        """The product over the holes of an alternative, all of them active."""
        product: Tensor | float = 1.0
        for hole, option in picks:
            values = self.weights[hole].values
            if values is not None:
                product = values[option] if isinstance(product, float) else product * values[option]
        return product


Share: TypeAlias = Tensor | float
S = TypeVar("S", bound=Share)


def scaled(weight: Share, x: Tensor) -> Tensor:
    return x if isinstance(weight, float) and weight == 1.0 else weight * x


class Relaxed(nn.Module):
    """Base of the modules below."""

    def discrete(self) -> tuple[nn.Module, int]:
        """The module of the one active option, which shares its weights, and the number of its shape."""
        raise NotImplementedError


class Options(Relaxed):
    """What choices share: alternatives and the holes that decide among them."""

    def __init__(
        self, board: ArchitectureWeights, picks: Sequence[Picks], options: Iterable[nn.Module]
    ) -> None:
        super().__init__()
        self.board = board
        self.picks = tuple(picks)
        self.options = nn.ModuleList(options)

    def active(self) -> list[tuple[int, Share]]:
        """Number and weight of each active alternative."""
        board = self.board
        return [(i, board.weight(picks)) for i, picks in enumerate(self.picks) if board.is_active(picks)]

    def _only(self) -> int:
        (number,) = [i for i, picks in enumerate(self.picks) if self.board.is_active(picks)]
        return number

    def extra_repr(self) -> str:
        return f"holes={sorted({hole for picks in self.picks for hole, _ in picks})}"


class Mixed(Options):
    """Weighted sum of options of one shape."""

    def forward(self, x: Tensor) -> Tensor:
        active = self.active()
        # zeros add nothing, but alone they are the value
        counting = [pair for pair in active if not isinstance(self.options[pair[0]], Zero)] or active[:1]
        return total_of([scaled(weight, self.options[i](x)) for i, weight in counting])

    def discrete(self) -> tuple[nn.Module, int]:
        return discretized(self.options[self._only()]), 0


class PartialMixed(Relaxed):
    """A mixed operation on the first of `partial` groups of channels; the others pass it by (PC-DARTS).

    Xu et al. 2020 (https://arxiv.org/abs/1907.05737): channels are shuffled afterwards, so that others pass
    the next operations; where the operations halve the sides, a 2x2 maximum does so for what passes by.
    """

    def __init__(self, mixed: Mixed, partial: int, *, halved: bool) -> None:
        super().__init__()
        self.mixed = mixed
        self.partial = partial
        self.by_pass = nn.MaxPool2d(2, ceil_mode=True) if halved else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        share = x.shape[1] // self.partial
        joined = torch.cat([self.mixed(x[:, :share]), self.by_pass(x[:, share:])], dim=1)
        batch, channels, *sides = joined.shape
        groups = joined.reshape(batch, self.partial, channels // self.partial, *sides)
        return groups.transpose(1, 2).reshape(batch, channels, *sides)

    def discrete(self) -> tuple[nn.Module, int]:
        expected, got = (
            "weights for all channels of a discrete network",
            f"those for 1/{self.partial} of them",
        )
        raise RelaxError(refusal("supernet", expected, got, "set partial=1"))

    def extra_repr(self) -> str:
        return f"partial={self.partial}"


def total_of(values: Sequence[S]) -> S:
    """Their sum in order, without a zero to start from."""
    return reduce(lambda one, other: one + other, values)  # type: ignore[arg-type, return-value]


def discretized(module: nn.Module) -> nn.Module:
    """The module with every choice in it made as the board says; weights are shared with the supernet."""
    if isinstance(module, Relaxed):
        return module.discrete()[0]
    if not any(isinstance(each, Relaxed) for each in module.modules()):
        return module
    made = copy.copy(module)
    made._modules = {
        name: None if child is None else discretized(child) for name, child in module._modules.items()
    }
    if isinstance(made, Composite):
        made.settle()
    return made


def constant(options: int, option: int) -> ArchitectureWeight:
    """All weight on one option, exactly."""
    assert 0 <= option < options
    return ArchitectureWeight(None, (option,))


def all_active(values: Tensor) -> ArchitectureWeight:
    return ArchitectureWeight(values, tuple(range(len(values))))


WeightedTensor: TypeAlias = tuple[Share, Tensor]  # a value and its share


class MultiShapeChoice(Options):
    """Options of several shapes, each a multi-shape module itself.

    Args:
        board: see `ArchitectureWeights`.
        picks: of each alternative.
        options: multi-shape modules.
        places: of each alternative, the numbers of its shapes among all of them.
        shapes: how many there are.
    """

    def __init__(
        self,
        board: ArchitectureWeights,
        picks: Sequence[Picks],
        options: Iterable[nn.Module],
        places: Sequence[Sequence[int]],
        shapes: int,
    ) -> None:
        super().__init__(board, picks, options)
        self.places = tuple(map(tuple, places))
        self.shapes = shapes

    def forward(self, x: Tensor) -> list[WeightedTensor | None]:
        active = self.active()
        gathered: list[list[WeightedTensor]] = [[] for _ in range(self.shapes)]
        for i, weight in active:
            _gather(gathered, self.places[i], weight, self.options[i](x))
        total = total_of([weight for _, weight in active])
        return [_share(_mean(values), total) for values in gathered]

    def discrete(self) -> tuple[nn.Module, int]:
        number = self._only()
        module, shape = discretized_with_shape(self.options[number])
        return module, self.places[number][shape]


class SingleShape(Relaxed):
    """A module of one shape as a multi-shape module."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> list[WeightedTensor | None]:
        return [(1.0, self.module(x))]

    def discrete(self) -> tuple[nn.Module, int]:
        return discretized(self.module), 0


class MultiShapeSequence(Relaxed):
    """One multi-shape module after the other, each of them built for every shape that may reach it.

    Args:
        stages: of each part, a module for each shape.
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

    def forward(self, x: Tensor) -> list[WeightedTensor | None]:
        values: list[WeightedTensor | None] = [(1.0, x)]
        for stage, places, shapes in zip(self.stages, self.places, self.shapes, strict=True):
            values = _stage(values, stage, places, shapes)  # type: ignore[arg-type]
        return values

    def discrete(self) -> tuple[nn.Module, int]:
        modules, shape = [], 0
        for stage, places in zip(self.stages, self.places, strict=True):
            module, found = discretized_with_shape(stage[shape])  # type: ignore[index]
            shape = places[shape][found]
            modules.append(module)
        return nn.Sequential(*modules), shape


class MultiShapeDepth(Relaxed):
    """A repeat of a chosen number of copies: the mean of the values after each number, by its weight.

    Args:
        board: see `ArchitectureWeights`.
        hole: that chooses among the counts.
        counts: numbers of copies, ascending.
        copies: the longest sequence, as the arguments of `MultiShapeSequence`.
        places: of each count, the numbers of its shapes among all that may leave.
        shapes: how many may leave.
    """

    def __init__(
        self,
        board: ArchitectureWeights,
        hole: int,
        counts: Sequence[int],
        copies: MultiShapeSequence,
        places: Sequence[Sequence[int]],
        shapes: int,
    ) -> None:
        super().__init__()
        self.board, self.hole, self.counts = board, hole, tuple(counts)
        self.copies = copies
        self.places, self.shapes = tuple(map(tuple, places)), shapes

    def forward(self, x: Tensor) -> list[WeightedTensor | None]:
        weight = self.board.weights[self.hole]
        gathered: list[list[WeightedTensor]] = [[] for _ in range(self.shapes)]
        values: list[WeightedTensor | None] = [(1.0, x)]
        done, total = 0, []
        for option in weight.active:
            for number in range(done, self.counts[option]):
                stage, places = self.copies.stages[number], self.copies.places[number]
                values = _stage(values, stage, places, self.copies.shapes[number])  # type: ignore[arg-type]
            done = self.counts[option]
            total.append(self.board.weight(((self.hole, option),)))
            _gather(gathered, self.places[option], total[-1], values)
        whole = total_of(total)
        return [_share(_mean(found), whole) for found in gathered]

    def discrete(self) -> tuple[nn.Module, int]:
        (option,) = self.board.weights[self.hole].active
        count = self.counts[option]
        copies = MultiShapeSequence([], [], [])
        copies.stages = self.copies.stages[:count]  # type: ignore[assignment]
        copies.places, copies.shapes = self.copies.places[:count], self.copies.shapes[:count]
        module, shape = copies.discrete()
        return module, self.places[option][shape]


class MultiShapeResidual(Relaxed):
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

    def forward(self, x: Tensor) -> list[WeightedTensor | None]:
        gathered: list[list[WeightedTensor]] = [[] for _ in range(self.shapes)]
        for value, target, place in zip(self.body(x), self.targets, self.places, strict=True):
            if value is not None:
                share, y = value
                one, other = (x, y) if x.dim() == y.dim() else (x.flatten(1), y.flatten(1))
                gathered[place].append((share, pad_to(one, target) + pad_to(other, target)))
        return [_mean(values) for values in gathered]

    def discrete(self) -> tuple[nn.Module, int]:
        body, shape = discretized_with_shape(self.body)
        return Residual(body, self.in_shape, self.body_shapes[shape]), self.places[shape]


class Joined(Relaxed):
    """A multi-shape module all of whose values have one shape, as an ordinary module."""

    def __init__(self, multi_shape: nn.Module) -> None:
        super().__init__()
        self.multi_shape = multi_shape

    def forward(self, x: Tensor) -> Tensor:
        (value,) = self.multi_shape(x)
        return value[1]

    def discrete(self) -> tuple[nn.Module, int]:
        return discretized_with_shape(self.multi_shape)


def _stage(
    values: Sequence[WeightedTensor | None],
    modules: Sequence[nn.Module],
    places: Sequence[Sequence[int]],
    shapes: int,
) -> list[WeightedTensor | None]:
    """Each value through the module for its shape."""
    gathered: list[list[WeightedTensor]] = [[] for _ in range(shapes)]
    for value, module, found in zip(values, modules, places, strict=True):
        if value is not None:
            _gather(gathered, found, value[0], module(value[1]))
    return [_mean(each) for each in gathered]


def _gather(
    gathered: list[list[WeightedTensor]],
    places: Sequence[int],
    weight: Share,
    values: Sequence[WeightedTensor | None],
) -> None:
    for place, value in zip(places, values, strict=True):
        if value is not None:
            gathered[place].append((weight * value[0], value[1]))


def _mean(values: list[WeightedTensor]) -> WeightedTensor | None:
    """Mean of values of one shape, by their shares, which add up."""
    if len(values) < 2:
        return values[0] if values else None
    whole = total_of([share for share, _ in values])
    return whole, total_of([(share / whole) * x for share, x in values])


def _share(value: WeightedTensor | None, total: Share) -> WeightedTensor | None:
    """The share among all options, whose total weight scales the value as in a mixed operation."""
    return None if value is None else (value[0] / total, scaled(total, value[1]))


def discretized_with_shape(module: nn.Module) -> tuple[nn.Module, int]:
    assert isinstance(module, Relaxed), "multi-shape modules are relaxed"
    return module.discrete()
