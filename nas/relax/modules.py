"""Modules of a supernet: weighted sums of options, and superpositions of values of several shapes.

Where all options give one shape, a choice is DARTS' mixed operation (Liu et al. 2019, equation 2). Where they
differ in shape, such as a choice of widths, what comes out is a superposition: for each shape the mean of the
options that have it, and their share. What follows exists once for each shape that may reach it, as in
sharpDARTS' grid over channels (Hundt et al. 2019), and values of one shape are averaged by their shares.
With one active option in each hole, only that one computes, and the result is that of the discrete network.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import TypeAlias

import torch
from torch import Tensor, nn

from nas.errors import RelaxError
from nas.layers.cells import Composite
from nas.layers.operations import Zero
from nas.relax.board import Board, Picks, Weight

Share: TypeAlias = Tensor | float


def scaled(weight: Share, x: Tensor) -> Tensor:
    return x if isinstance(weight, float) and weight == 1.0 else weight * x


class Relaxed(nn.Module):
    """Base of the modules below."""

    def discrete(self) -> tuple[nn.Module, int]:
        """The module that the board's one active option leaves, weights shared, and number of its shape."""
        raise NotImplementedError


class Options(Relaxed):
    """What choices share: alternatives and the holes that decide among them."""

    def __init__(self, board: Board, picks: Sequence[Picks], options: Iterable[nn.Module]) -> None:
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
        raise RelaxError("supernet: weights of a part of the channels fit no whole network; set partial=1")

    def extra_repr(self) -> str:
        return f"partial={self.partial}"


def sum_of_shares(shares: Sequence[Share]) -> Share:
    return reduce(lambda one, other: one + other, shares)


def total_of(values: Sequence[Tensor]) -> Tensor:
    return reduce(lambda one, other: one + other, values)


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


def constant(options: int, option: int) -> Weight:
    """All weight on one option, exactly."""
    assert 0 <= option < options
    return Weight(None, (option,))


def all_active(values: Tensor) -> Weight:
    return Weight(values, tuple(range(len(values))))
