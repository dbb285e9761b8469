"""The platform's search step behind the interface of the plain baseline, on the same space."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nas.search_spaces.darts import space
from nas.supernet import OneShotSettings, relax
from nas.supernet.alphas import Alphas, weighting_of
from nas.supernet.state import OneShot, optimizers
from nas.supernet.training import alpha_step, weight_step
from tests.benchmarks.darts_baseline import KINDS, Shape, Supernet
from tests.benchmarks.darts_baseline_search import Batch


class PlatformSearch:
    """`BaselineSearch`, made of `nas.relax` and `nas.oneshot`; four nodes a cell, three cells at least."""

    def __init__(
        self, shape: Shape, *, side: int, dtype: torch.dtype = torch.float32, device: str = "cpu"
    ) -> None:
        self.settings = OneShotSettings()
        own = space(channels=shape.channels, layers=shape.cells)
        supernet = relax(own, (3, side, side), shape.classes).to(device, dtype)
        supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        alphas = Alphas(supernet.holes, supernet.gates, scale=1e-3, seed=0).to(device, dtype)
        weighting = weighting_of(self.settings)
        halves = (torch.arange(1, device=device), torch.arange(1, device=device))
        sgd, adam = optimizers(supernet, alphas, self.settings)
        of = (3, side, side), shape.classes
        self.state = OneShot(supernet, alphas, weighting, sgd, adam, 0, halves, *of)
        self._names = [name for name, _ in Supernet(shape).named_parameters()]
        self._draws = torch.Generator()

    def parameters(self) -> dict[str, Tensor]:
        """Weights by the baseline's names: both have them in the same order."""
        return dict(zip(self._names, self.state.supernet.parameters(), strict=True))

    def alphas(self) -> dict[str, Tensor]:
        """(edges, operations) of each kind of cell: holes are in the baseline's order of edges."""
        (matrix,) = self.state.alphas.options.matrices
        return dict(zip(KINDS, matrix.split(len(matrix) // 2), strict=True))

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor], alphas: Mapping[str, Tensor]) -> None:
        """Takes weights, by name and none missing, and architecture weights over."""
        own = self.parameters()
        for name in own.keys() | weights.keys():
            own[name].copy_(weights[name])
        for kind, rows in self.alphas().items():
            rows.copy_(alphas[kind])

    def step(self, train: Batch, valid: Batch, second_order: bool = False) -> float:
        """One architecture step and one weight step; the training loss before the weight step."""
        settings = OneShotSettings(order=2 if second_order else 1)
        alpha_step(self.state, settings, train, valid, self._draws)
        return float(weight_step(self.state, settings, train, self._draws)[0]) / len(train[1])
