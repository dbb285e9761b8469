"""Cells of a supernet computed for many edges at once: the same values by fewer and larger steps.

What edges share is computed once: the rectified input, pooled maps and their statistics, `none` not at all.
Convolutions, normalisations and weighted sums of all edges from one source are one call each
(`fused_waves.py`), and what lies between the last depthwise convolution of an edge and the sum is never
stored (`fused_functions.py`). Results differ from those of the modules one by one by rounding. With options
that do not compute, in evaluation mode and with dropped paths the modules are called one by one; only then
are hooks on them called.
"""

from __future__ import annotations

from torch import Tensor, nn

from nas.layers import Cell
from nas.supernet.fused.functions import Statistics
from nas.supernet.fused.plan import EdgeBatchRun, FusedPlan, plan_of
from nas.supernet.modules import ArchitectureWeights, Relaxed, discretized, total_of


def fused(cell: nn.Module, board: ArchitectureWeights) -> nn.Module:
    """The cell, computed for many edges at once where that is possible."""
    plan = plan_of(cell) if isinstance(cell, Cell) else None
    return cell if plan is None else FusedCell(cell, board, plan)  # type: ignore[arg-type]


class FusedCell(Relaxed):
    """A cell; its modules are the ordinary ones, below `cell`."""

    def __init__(self, cell: Cell, board: ArchitectureWeights, plan: FusedPlan) -> None:
        super().__init__()
        self.cell = cell
        self.board = board
        self.plan = plan

    @property
    def entries(self) -> nn.ModuleList:
        return self.cell.entries

    def forward(self, *inputs: Tensor) -> Tensor:
        if not self._is_soft():
            return self.cell(*inputs)
        values = self.cell.entered(*inputs)
        first, last = len(values), len(values) + len(self.cell.nodes)
        added: dict[int, list[Tensor]] = {target: [] for target in range(first, last)}
        statistics = Statistics()
        for number in range(first - 1, last):
            if number >= first:
                values.append(total_of(added[number]))
            self._add(number, values, added, statistics)
        statistics.update()
        return self.cell.collected(values)

    def _add(
        self, number: int, values: list[Tensor], added: dict[int, list[Tensor]], statistics: Statistics
    ) -> None:
        """To later nodes what they read from the value of that number; from inputs after the last of them."""
        for wave in self.plan.waves_of(number):
            run = EdgeBatchRun(wave, self.board, [values[source] for source in wave.sources], statistics)
            for target, value in zip(wave.targets, run.outputs(), strict=True):
                added[target].append(value)
        for source, target, module in self.plan.alone_of(number):
            added[target].append(module(values[source]))

    def _is_soft(self) -> bool:
        """Whether all options compute, with the statistics of the batch and without dropped paths."""
        if self.board.plain or not all(norm.training for norm in self.plan.norms):
            return False
        weights = [self.board.weights[hole] for wave in self.plan.waves for hole in wave.holes]
        soft = all(each.values is not None and len(each.active) == len(each.values) for each in weights)
        nodes = [node.drop_path for node in self.cell.nodes.values()]
        return soft and not any(path.training and path.rate for path in nodes)  # type: ignore[union-attr]

    def discrete(self) -> tuple[nn.Module, int]:
        return discretized(self.cell), 0
