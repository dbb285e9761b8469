"""Supernet of a layered graph: every step has weights of its own, and values of one shape are added up.

Hundt, Jain and Hager 2019, "sharpDARTS" (https://arxiv.org/abs/1903.09900), MultiChannelNetwork of the
authors' code: a node is the sum of its steps by their weights, which is not normalised; steps without an
architecture weight count as 1. Deviation: a step that lies on no active path does not compute, and where no
active path is left, all steps count as active.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from nas.compile import checked_input, seeded
from nas.errors import RelaxError
from nas.layers.parts import at_sides
from nas.primitives import Context, Shape
from nas.relax.board import Board, Weight
from nas.relax.modules import Relaxed, constant, scaled, total_of
from nas.relax.relaxing import Relaxing
from nas.relax.slabs import Grid, layered
from nas.relax.supernet import Supernet

if TYPE_CHECKING:
    from nas.architecture import Architecture
    from nas.space import SearchSpace


class GridNetwork(Relaxed):
    """The steps of all stages; a stage's are in the order of `Stage.steps`."""

    def __init__(self, board: Board, grid: Grid, context: Context) -> None:
        super().__init__()
        self.board, self.grid = board, grid
        self.stages = nn.ModuleList(
            nn.ModuleList(
                stage.options[step.option].build(stage.shapes[step.into], context) for step in stage.steps
            )
            for stage in grid.stages
        )

    def forward(self, x: Tensor) -> Tensor:
        values = {0: x}
        for stage, modules, active in zip(self.grid.stages, self.stages, self._active(), strict=True):
            weight = None if stage.slab is None else self.board.weights[stage.slab.number].values
            gathered: dict[int, list[Tensor]] = {}
            for number in active:
                step = stage.steps[number]
                share = 1.0 if weight is None else weight[number]
                value = scaled(share, modules[number](values[step.into]))  # type: ignore[index]
                gathered.setdefault(step.out, []).append(value)
            values = {node: total_of(found) for node, found in gathered.items()}
        return values[0]

    def _active(self) -> list[list[int]]:
        """The steps of each stage that lie on a path of active steps."""
        slabs = [stage.slab for stage in self.grid.stages]
        given = [range(len(stage.steps)) for stage in self.grid.stages]
        weighed = [
            every if slab is None else self.board.weights[slab.number].active
            for slab, every in zip(slabs, given, strict=True)
        ]
        return self._connected(weighed) or self._connected(given)

    def _connected(self, active: Sequence[Sequence[int]]) -> list[list[int]]:
        """Those of the steps that lie on a path; empty if there is no path."""
        reached, onward = {0}, []
        for stage, numbers in zip(self.grid.stages, active, strict=True):
            onward.append([number for number in numbers if stage.steps[number].into in reached])
            reached = {stage.steps[number].out for number in onward[-1]}
        for i, stage in reversed(list(enumerate(self.grid.stages))):
            onward[i] = [number for number in onward[i] if stage.steps[number].out in reached]
            reached = {stage.steps[number].into for number in onward[i]}
        return onward if reached else []

    def discrete(self) -> tuple[nn.Module, int]:
        modules = []
        for stage, active in zip(self.stages, self._active(), strict=True):
            (number,) = active
            modules.append(stage[number])  # type: ignore[index]
        return nn.Sequential(*modules), 0

    def extra_repr(self) -> str:
        return f"slabs={len(self.grid.slabs)}"


class GridSupernet(Supernet):
    """A supernet whose holes are the slabs of a layered graph; made by `relax_grid`.

    Attributes:
        grid: the graph.
    """

    def __init__(self, space: SearchSpace, network: GridNetwork, relaxing: Relaxing, board: Board) -> None:
        super().__init__(space, network, relaxing, board)
        self.grid = network.grid
        self.holes, self.gates = self.grid.slabs, ()

    def one_hot(self, architecture: Architecture) -> list[Weight]:
        path = self.grid.path_of(self.space, architecture)
        return [
            constant(len(stage.steps), number)
            for stage, number in zip(self.grid.stages, path, strict=True)
            if stage.slab is not None
        ]


def relax_grid(space: SearchSpace, input_shape: Shape, num_classes: int, *, seed: int = 0) -> GridSupernet:
    """The supernet of a chain of choices as a layered graph, on the CPU and in training mode.

    Args:
        space: a chain of operations and choices among operations, of any widths and strides.
        input_shape: of one example, (C, H, W) or (F,).
        num_classes: outputs.
        seed: of the initial weights.

    Raises:
        RelaxError: the space is no such chain: the place and why.
        CompileError: its networks do not fit the shape.
    """
    board = Board()
    relaxing = Relaxing(space, board)
    context = Context(num_classes, affine=False, mode="search")
    shape = checked_input(input_shape)
    grid = at_sides(lambda sides: layered(space, relaxing, sides, context), shape)
    if grid.ends != ((num_classes,),):
        ends = ", ".join(map(str, grid.ends))
        raise RelaxError(f"{space.name}: expected ({num_classes},) for {num_classes} classes; got {ends}")
    with seeded(seed):
        network = GridNetwork(board, grid, context)
    return GridSupernet(space, network, relaxing, board)
