"""Supernet: all networks of a space at once, with shared weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from torch import Tensor, nn

from nas.compile import checked_input, seeded
from nas.errors import RelaxError
from nas.layers.parts import at_sides
from nas.notation import written_size
from nas.primitives import Context, Shape
from nas.relax.board import Board, Weight
from nas.relax.choices import chosen_options
from nas.relax.modules import constant, discretized
from nas.relax.relaxing import Relaxing

if TYPE_CHECKING:
    from nas.architecture import Architecture
    from nas.space import SearchSpace


MAX_OPTIONS: Final = 6_000  # primitives of a supernet, one for each assignment of its attributes


class Supernet(nn.Module):
    """A network whose choices are weighted; made by `relax`.

    Attributes:
        space: that it relaxes.
        holes: that take weights, by number.
        gates: nodes whose inputs are chosen.
    """

    def __init__(self, space: SearchSpace, network: nn.Module, relaxing: Relaxing, board: Board) -> None:
        super().__init__()
        self.space = space
        self.network = network
        self.holes = tuple(relaxing.holes)
        self.gates = relaxing.holes.gates
        self._board = board

    def forward(self, x: Tensor, weights: Sequence[Weight]) -> Tensor:
        """Class scores (batch, classes) of images (batch, C, H, W), one weight for each hole."""
        self._board.weights = weights
        return self.network(x)

    @contextlib.contextmanager
    def plain(self) -> Iterator[None]:
        """Calls all modules one by one within: for second derivatives, and for hooks on modules."""
        before, self._board.plain = self._board.plain, True
        try:
            yield
        finally:
            self._board.plain = before

    def one_hot(self, architecture: Architecture) -> list[Weight]:
        """The weights that leave one architecture; raises SpaceError if it is of another space."""
        options = chosen_options(self.space, self.holes, self.gates, architecture)
        return [constant(len(hole.options), option) for hole, option in zip(self.holes, options, strict=True)]

    def inherited(self, architecture: Architecture) -> nn.Module:
        """The network of one architecture with the supernet's own modules: training one trains both."""
        self._board.weights = self.one_hot(architecture)
        return discretized(self.network)


def relax(
    space: SearchSpace, input_shape: Shape, num_classes: int, *, seed: int = 0, partial: int = 1
) -> Supernet:
    """The supernet of a space, on the CPU and in training mode, its networks in search mode.

    Args:
        space: of networks, without recursion and without choices of training settings.
        input_shape: of one example, (C, H, W) or (F,).
        num_classes: outputs.
        seed: of the initial weights.
        partial: of PC-DARTS: 1/partial of the channels pass the operations of a cell's edges; with more than
            1 its weights fit no discrete network.

    Raises:
        RelaxError: the space cannot be relaxed: the place and why.
        CompileError: its networks do not fit the shape.
    """
    if written_size(space.expression) > MAX_OPTIONS:
        reason = f"more than {MAX_OPTIONS} primitives in all of its options; give choices fewer options"
        raise RelaxError(f"{space.name}: cannot be relaxed: {reason} or repeat fewer copies")
    board = Board()
    relaxing = Relaxing(space, board, partial)
    context = Context(num_classes, affine=False, mode="search")
    part = relaxing.root()
    shape = checked_input(input_shape)
    out = at_sides(lambda sides: part.shape(sides, context), shape)
    if out != (num_classes,):
        raise RelaxError(f"{space.name}: expected ({num_classes},) for {num_classes} classes; got {out}")
    with seeded(seed):
        network = part.build(shape, context)
    return Supernet(space, network, relaxing, board)
