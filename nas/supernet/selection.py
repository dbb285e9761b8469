"""Which architecture a search chooses in the end.

- argmax: the heaviest options but zero, Liu et al. 2019 (https://arxiv.org/abs/1806.09055), section 2.4, with
  P-DARTS' limit on skips (`collapse.py`). The authors of NAS-Bench-201 let `none` be chosen too.
- perturbation: DARTS-PT, Wang et al. 2021, "Rethinking Architecture Selection in Differentiable NAS"
  (https://arxiv.org/abs/2108.04392), algorithm 1: hole by hole in random order, the option whose removal
  costs the supernet most validation accuracy; then, node by node, the inputs whose removal costs least are
  removed until the node has as many as it takes. Skips are not limited. Deviations: the supernet is not
  trained between decisions; the loss decides between equal accuracies; `none` of an edge is no candidate.
- longest_path, top_down, bottom_up: paths through a layered graph (`nas.supernet.layered`).

Where the constraints of the space refuse the choice, the heaviest architecture near it is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from nas.supernet.collapse import limited_choice
from nas.supernet.layered import GridSupernet, chosen_path
from nas.supernet.measure import measure_supernet
from nas.supernet.modules import ArchitectureWeight, all_active, constant
from nas.supernet.relaxation import Gate, Hole
from nas.supernet.settings import OneShotSettings
from nas.supernet.state import OneShot
from nas.supernet.supernet import heaviest
from nas.supernet.training import measured_half
from nas.training import DeviceData, derived_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nas.space import Architecture

    Floats = NDArray[np.float64]

_UNDECIDED = 1e-9  # factor on the strengths of options that lost, which matter only to constraints
_DROPPED = 1e-6  # the same of edges


def choose(state: OneShot, data: DeviceData, settings: OneShotSettings) -> Architecture:
    """The architecture that the search would choose now.

    For a weighting without trained architecture weights, argmax is the first option of each hole: then a
    searcher chooses by inherited weights (`evaluate.py`).

    Raises:
        DeadEndError: the constraints of the space refuse the choice and those that follow it.
    """
    net, strengths = state.supernet, state.weighting.strengths(state.alphas)
    if isinstance(net, GridSupernet):
        return chosen_path(state.space, net.grid, strengths, settings.selection)
    if settings.selection == "argmax":
        return limited_choice(state.space, net.holes, net.gates, strengths, settings.skip_limit)
    strengths = _Perturbation(state, data, settings, strengths).strengths()
    return heaviest(state.space, net.holes, net.gates, strengths)


class _Perturbation:
    """Decisions by what the supernet loses without an option."""

    def __init__(
        self, state: OneShot, data: DeviceData, settings: OneShotSettings, strengths: Sequence[Floats]
    ) -> None:
        self._state, self._data, self._settings = state, data, settings
        self._measured = measured_half(state, settings)
        self._own = list(strengths)
        self._weights = _present(state, strengths, data.device)

    def strengths(self) -> list[Floats]:
        """(options,) of each hole; the heaviest architecture is the one that was decided on."""
        rng = np.random.default_rng(derived_seed(self._state.seed, 4))
        net = self._state.supernet
        found = [each * _UNDECIDED for each in self._own]
        for number in rng.permutation(len(net.holes)):
            hole = net.holes[number]
            option = self._decided(hole)
            found[number][option] = 1.0
            self._weights[number] = constant(len(hole.options), option)
        for number in rng.permutation(len(net.gates)):
            for hole in self._left_out(net.gates[number]):
                found[hole.number] = found[hole.number] * _DROPPED
        return found

    def _decided(self, hole: Hole) -> int:
        """The option whose removal costs most."""
        candidates = range(1 if hole.kind == "edge" else 0, len(hole.options))
        if len(candidates) == 1:
            return candidates[0]
        return min(candidates, key=lambda option: self._without(hole, option))

    def _without(self, hole: Hole, option: int) -> tuple[float, float]:
        weight = self._weights[hole.number]
        active = tuple(each for each in weight.active if each != option)
        return self._score({hole.number: ArchitectureWeight(weight.values, active)})

    def _left_out(self, gate: Gate) -> list[Hole]:
        """The edges that are removed, one after the other: each time the one whose absence costs least."""
        left, gone = list(gate.edges.values()), []
        while len(left) > len(gate.inputs[0]):
            least = max(left, key=lambda hole: self._score({hole.number: _none(hole)}))
            self._weights[least.number] = _none(least)
            left.remove(least)
            gone.append(least)
        return gone

    def _score(self, changed: dict[int, ArchitectureWeight]) -> tuple[float, float]:
        """Accuracy and negative loss on the images of the alphas."""
        weights = [changed.get(number, weight) for number, weight in enumerate(self._weights)]
        net, batch = self._state.supernet, self._settings.batch_size
        accuracy, loss = measure_supernet(net, self._data, self._measured, lambda: weights, batch)
        return accuracy, -loss


def _present(state: OneShot, strengths: Sequence[Floats], device: torch.device) -> list[ArchitectureWeight]:
    """The weights of the last epoch; of weightings that draw, those that they draw with."""
    if state.weighting.samples:
        return [all_active(torch.tensor(each, dtype=torch.float32, device=device)) for each in strengths]
    with torch.no_grad():
        return state.weighting.weights(state.alphas, torch.Generator(), 1.0)


def _none(hole: Hole) -> ArchitectureWeight:
    return constant(len(hole.options), 0)
