"""Architecture weights of a supernet: a row for each hole, in one matrix per number of options."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nas.relax.holes import Gate, Hole


class Rows(nn.Module):
    """Vectors of several lengths as the rows of few matrices.

    Args:
        lengths: of each vector.
        scale: standard deviation of the initial values.
        generator: of the CPU.
    """

    def __init__(self, lengths: Sequence[int], scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.lengths = tuple(lengths)
        self.sizes = tuple(sorted(set(lengths)))
        self.members = {size: [i for i, n in enumerate(lengths) if n == size] for size in self.sizes}
        self.matrices = nn.ParameterList(
            nn.Parameter(scale * torch.randn(len(self.members[size]), size, generator=generator))
            for size in self.sizes
        )

    def in_order(self, matrices: Sequence[Tensor]) -> list[Tensor]:
        """The rows of matrices that are shaped like these, by number of the vector."""
        found: list[Tensor] = [torch.empty(0)] * len(self.lengths)
        for size, matrix in zip(self.sizes, matrices, strict=True):
            for number, row in zip(self.members[size], matrix.unbind(0), strict=True):
                found[number] = row
        return found


class Alphas(nn.Module):
    """Trainable architecture weights; holes of equal numbers of options share a matrix.

    Attributes:
        holes: of the supernet.
        gates: the same.
        options: logits, a row per hole.
        edges: logits, a row per gate; none unless the edges of gates are weighted.
    """

    def __init__(
        self, holes: Sequence[Hole], gates: Sequence[Gate], *, scale: float, seed: int, edges: bool = False
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.holes, self.gates = tuple(holes), tuple(gates)
        self.options = Rows([len(hole.options) for hole in holes], scale, generator)
        self.edges = Rows([len(gate.edges) for gate in gates] if edges else [], scale, generator)

    def probabilities(self) -> list[Tensor]:
        """(options,) of each hole: softmax of its logits."""
        return self.options.in_order([matrix.softmax(1) for matrix in self.options.matrices])

    def edge_probabilities(self) -> dict[int, Tensor]:
        """By number of the hole, the share of each edge among those of its gate."""
        rows = self.edges.in_order([matrix.softmax(1) for matrix in self.edges.matrices])
        return {
            hole.number: share
            for gate, row in zip(self.gates, rows, strict=True)
            for hole, share in zip(gate.edges.values(), row.unbind(0), strict=True)
        }

    def entropy(self) -> float:
        """Mean over the holes that have a choice, in nats."""
        with torch.no_grad():
            rows = [row.double().cpu().numpy() for row in self.probabilities() if len(row) > 1]
        if not rows:
            return 0.0
        return float(np.mean([-(row * np.log(np.maximum(row, 1e-300))).sum() for row in rows]))
