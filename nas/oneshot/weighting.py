"""How architecture weights weigh the options of a supernet.

- softmax: DARTS, Liu et al. 2019 (https://arxiv.org/abs/1806.09055), equation 2.
- max_w: sharpDARTS, Hundt et al. 2019 (https://arxiv.org/abs/1903.09900); as in its released code the maximum
  is not detached.
- gumbel: GDAS, Dong and Yang 2019 (https://arxiv.org/abs/1910.04465), equations 3 and 4. Deviation: the
  released code adds the zero weights of options that do not compute to the output, which gives them a
  gradient of their own; here, as in the paper, the gradient passes through the drawn option.
- uniform: single-path one-shot, Guo et al. 2020 (https://arxiv.org/abs/1904.00420). Of a gated node one set
  of inputs is drawn, then an operation for each; constraints of the space are not looked at.
- `skip_light`, of the slabs of a grid: sharpDARTS' code leaves out steps of softmax weight at most 1/N^2.
- edge_softmax: PC-DARTS, Xu et al. 2020 (https://arxiv.org/abs/1907.05737), its normalisation of edges. Edges
  that belong to no gate have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from nas.oneshot.alphas import Alphas
from nas.oneshot.settings import OneShotSettings
from nas.relax.board import Weight
from nas.relax.modules import all_active, constant

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class Weighting(Protocol):
    """What the training loop asks of a weighting.

    Attributes:
        trains: whether there are alphas to be trained.
        samples: whether each pass draws what is active.
    """

    trains: bool
    samples: bool

    def weights(self, alphas: Alphas, generator: torch.Generator, progress: float) -> list[Weight]:
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

    def weights(self, alphas: Alphas, generator: torch.Generator, progress: float) -> list[Weight]:  # noqa: ARG002
        return [all_active(row) for row in alphas.probabilities()]

    def strengths(self, alphas: Alphas) -> list[Floats]:
        return _arrays(alphas.probabilities())


class MaxW(Softmax):
    """The heaviest option has weight 1, the others 1 less what they lack; softmax weights are compared."""

    def weights(self, alphas: Alphas, generator: torch.Generator, progress: float) -> list[Weight]:  # noqa: ARG002
        return [all_active(1.0 - row.max() + row) for row in alphas.probabilities()]


class WithoutLight:
    """Another weighting but for options whose softmax weight is at most 1/N^2, of N: they do not compute."""

    trains, samples = True, False

    def __init__(self, inner: Softmax) -> None:
        self._inner = inner

    def weights(self, alphas: Alphas, generator: torch.Generator, progress: float) -> list[Weight]:
        found = self._inner.weights(alphas, generator, progress)
        pairs = zip(found, self.strengths(alphas), strict=True)
        return [Weight(each.values, _not_light(strength)) for each, strength in pairs]

    def strengths(self, alphas: Alphas) -> list[Floats]:
        return self._inner.strengths(alphas)


class EdgeSoftmax:
    """Softmax of the options times softmax over the edges of a gate; the product is compared."""

    trains, samples = True, False

    def weights(self, alphas: Alphas, generator: torch.Generator, progress: float) -> list[Weight]:  # noqa: ARG002
        return [all_active(row) for row in self._products(alphas)]

    def strengths(self, alphas: Alphas) -> list[Floats]:
        return _arrays(self._products(alphas))

    def _products(self, alphas: Alphas) -> list[Tensor]:
        shares = alphas.edge_probabilities()
        rows = enumerate(alphas.probabilities())
        return [row * shares[number] if number in shares else row for number, row in rows]


class Gumbel:
    """One option per hole, drawn with its softmax probability; the gradient is that of the soft weights."""

    trains, samples = True, True

    def __init__(self, settings: OneShotSettings) -> None:
        self._start, self._end = settings.temperature, settings.temperature_min

    def weights(self, alphas: Alphas, generator: torch.Generator, progress: float) -> list[Weight]:
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

    def _hard(self, row: Tensor, option: int) -> Weight:
        if not row.requires_grad:
            return constant(len(row), option)
        one_hot = torch.zeros_like(row)
        one_hot[option] = 1.0
        return Weight(one_hot - row.detach() + row, (option,))

    def strengths(self, alphas: Alphas) -> list[Floats]:
        return _arrays(alphas.probabilities())


class Uniform:
    """One architecture a pass, drawn uniformly decision by decision; a searcher chooses afterwards."""

    trains, samples = False, True

    def weights(self, alphas: Alphas, generator: torch.Generator, progress: float) -> list[Weight]:  # noqa: ARG002
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
    """The weighting that the settings name."""
    if settings.weighting == "gumbel":
        return Gumbel(settings)
    kinds = {"softmax": Softmax, "max_w": MaxW, "edge_softmax": EdgeSoftmax, "uniform": Uniform}
    made = kinds[settings.weighting]()
    return WithoutLight(made) if settings.skip_light else made


def _not_light(strength: Floats) -> tuple[int, ...]:
    """Never none: the heaviest of several is above their mean, and a single one computes."""
    heavy = np.flatnonzero(strength > 1.0 / len(strength) ** 2)
    return tuple(map(int, heavy)) if len(strength) > 1 else (0,)


def _arrays(rows: list[Tensor]) -> list[Floats]:
    return [row.detach().double().cpu().numpy() for row in rows]
