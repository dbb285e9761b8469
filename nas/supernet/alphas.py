"""Architecture weights of a supernet: a row for each hole, in one matrix per number of options.

How architecture weights weigh the options of a supernet.

- softmax: DARTS, Liu et al. 2019 (https://arxiv.org/abs/1806.09055), equation 2.
- max_w: sharpDARTS, Hundt et al. 2019 (https://arxiv.org/abs/1903.09900); as in its released code the maximum
  is not detached.
- gumbel: GDAS, Dong and Yang 2019 (https://arxiv.org/abs/1910.04465), equations 3 and 4. Deviation: the
  released code adds the zero weights of options that do not compute to the output, which gives them a
  gradient of their own; here, as in the paper, the gradient passes through the drawn option.
- uniform: single-path one-shot, Guo et al. 2020 (https://arxiv.org/abs/1904.00420). Of a gated node one set
  of inputs is drawn, then an operation for each; constraints of the space are ignored.
- `skip_light`, for the choice groups of a grid: as sharpDARTS' code, leaves out steps of softmax weight at
  most 1/N^2, of N.
- edge_softmax: PC-DARTS, Xu et al. 2020 (https://arxiv.org/abs/1907.05737), its normalisation of edges. Edges
  that belong to no gate have none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from nas.supernet.modules import ArchitectureWeight, all_active, constant
from nas.supernet.relaxation import Gate, Hole
from nas.supernet.settings import OneShotSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


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


class Weighting(Protocol):
    """What the training loop asks of a weighting.

    Attributes:
        trains: whether there are alphas to be trained.
        samples: whether each pass draws what is active.
    """

    trains: bool
    samples: bool

    def weights(
        self, alphas: Alphas, generator: torch.Generator, progress: float
    ) -> list[ArchitectureWeight]:
        """One weight per hole for one pass; differentiable in the alphas where gradients are on.

        Args:
            alphas: of the supernet.
            generator: of the CPU, for what is drawn.
            progress: of the search, from 0 to 1.
        """
        ...

    def strengths(self, alphas: Alphas) -> list[Floats]:
        """(options,) of each hole: what discretisation compares."""
        ...


class Softmax:
    """All options, by the softmax of their logits."""

    trains, samples = True, False

    def weights(
        self,
        alphas: Alphas,
        generator: torch.Generator,  # noqa: ARG002 - the base class's
        progress: float,  # noqa: ARG002 - the base class's
    ) -> list[ArchitectureWeight]:
        return [all_active(row) for row in alphas.probabilities()]

    def strengths(self, alphas: Alphas) -> list[Floats]:
        return _arrays(alphas.probabilities())


class MaxW(Softmax):
    """Weight 1 for the heaviest option, for others 1 less the difference of softmax weights."""

    def weights(
        self,
        alphas: Alphas,
        generator: torch.Generator,  # noqa: ARG002 - the base class's
        progress: float,  # noqa: ARG002 - the base class's
    ) -> list[ArchitectureWeight]:
        return [all_active(1.0 - row.max() + row) for row in alphas.probabilities()]


class WithoutLight:
    """Another weighting; of N options, those whose softmax weight is at most 1/N^2 do not compute."""

    trains, samples = True, False

    def __init__(self, inner: Softmax) -> None:
        self._inner = inner

    def weights(
        self, alphas: Alphas, generator: torch.Generator, progress: float
    ) -> list[ArchitectureWeight]:
        found = self._inner.weights(alphas, generator, progress)
        pairs = zip(found, self.strengths(alphas), strict=True)
        return [
            # never none: the heaviest of several is above their mean, and a single one computes
            ArchitectureWeight(
                each.values, tuple(map(int, np.flatnonzero(row > 1.0 / len(row) ** 2))) or (0,)
            )
            for each, row in pairs
        ]

    def strengths(self, alphas: Alphas) -> list[Floats]:
        return self._inner.strengths(alphas)


class EdgeSoftmax:
    """Softmax of the options times softmax over the edges of a gate; the product is compared."""

    trains, samples = True, False

    def weights(
        self,
        alphas: Alphas,
        generator: torch.Generator,  # noqa: ARG002 - the base class's
        progress: float,  # noqa: ARG002 - the base class's
    ) -> list[ArchitectureWeight]:
        return [all_active(row) for row in self._products(alphas)]

    def strengths(self, alphas: Alphas) -> list[Floats]:
        return _arrays(self._products(alphas))

    def _products(self, alphas: Alphas) -> list[Tensor]:
        shares = alphas.edge_probabilities()
        rows = enumerate(alphas.probabilities())
        return [row * shares[number] if number in shares else row for number, row in rows]


class Gumbel:
    """One option per hole, drawn by softmax probability; gradients are those of the soft weights."""

    trains, samples = True, True

    def __init__(self, settings: OneShotSettings) -> None:
        self._start, self._end = settings.temperature, settings.temperature_min

    def weights(
        self, alphas: Alphas, generator: torch.Generator, progress: float
    ) -> list[ArchitectureWeight]:
        temperature = self._start + (self._end - self._start) * progress
        soft, picks = [], []
        for matrix in alphas.options.matrices:
            noise = -torch.empty(matrix.shape).exponential_(generator=generator).log()
            noisy = (matrix.log_softmax(1) + noise.to(matrix)) / temperature
            soft.append(noisy.softmax(1))
            picks.append(noisy.detach().argmax(1))
        rows = alphas.options.in_order(soft)
        options = [int(each) for each in alphas.options.in_order([pick.cpu() for pick in picks])]
        return [self._hard(row, option) for row, option in zip(rows, options, strict=True)]

    def _hard(self, row: Tensor, option: int) -> ArchitectureWeight:
        if not row.requires_grad:
            return constant(len(row), option)
        one_hot = torch.zeros_like(row)
        one_hot[option] = 1.0
        return ArchitectureWeight(one_hot - row.detach() + row, (option,))

    def strengths(self, alphas: Alphas) -> list[Floats]:
        return _arrays(alphas.probabilities())


class Uniform:
    """One architecture a pass, drawn uniformly decision by decision; a searcher chooses afterwards."""

    trains, samples = False, True

    def weights(
        self,
        alphas: Alphas,
        generator: torch.Generator,
        progress: float,  # noqa: ARG002 - the base class's
    ) -> list[ArchitectureWeight]:
        drawn = dict(self._drawn(alphas, generator))
        return [constant(len(hole.options), drawn[hole.number]) for hole in alphas.holes]

    def _drawn(self, alphas: Alphas, generator: torch.Generator) -> Iterator[tuple[int, int]]:
        def draw(options: int) -> int:
            return int(torch.randint(options, (), generator=generator))

        yield from ((hole.number, draw(len(hole.options))) for hole in alphas.holes if hole.kind != "edge")
        for gate in alphas.gates:
            sources = gate.inputs[draw(len(gate.inputs))]
            for source, hole in gate.edges.items():
                yield hole.number, 1 + draw(len(hole.options) - 1) if source in sources else 0

    def strengths(self, alphas: Alphas) -> list[Floats]:
        return [np.full(len(hole.options), 1.0 / len(hole.options)) for hole in alphas.holes]


def weighting_of(settings: OneShotSettings) -> Weighting:
    if settings.weighting == "gumbel":
        return Gumbel(settings)
    kinds = {"softmax": Softmax, "max_w": MaxW, "edge_softmax": EdgeSoftmax, "uniform": Uniform}
    made = kinds[settings.weighting]()
    return WithoutLight(made) if settings.skip_light else made


def _arrays(rows: list[Tensor]) -> list[Floats]:
    return [row.detach().double().cpu().numpy() for row in rows]
