"""How good an architecture is with the weights that it inherits from a supernet.

Guo et al. 2020, "Single Path One-Shot Neural Architecture Search with Uniform Sampling"
(https://arxiv.org/abs/1904.00420), section 3.4: statistics of normalisation belong to one architecture, so
they are estimated anew on some training images before its validation images are measured. Deviation: those
images are not augmented.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from nas.architecture import Architecture
from nas.oneshot.search import OneShot
from nas.oneshot.settings import OneShotSettings
from nas.training.device import DeviceData
from nas.training.train import measure, precision

BATCHES = 20  # of training images, for the statistics


def inherited_accuracy(
    state: OneShot, architecture: Architecture, data: DeviceData, settings: OneShotSettings
) -> float:
    """Accuracy in percent on the validation images; the supernet stays as it is.

    Raises:
        SpaceError: an architecture of another space.
    """
    network = copy.deepcopy(state.supernet.inherited(architecture))
    restimate(network, data, state.halves[0], settings.batch_size)
    return measure(network, data, data.validation)[0]


def restimate(network: nn.Module, data: DeviceData, positions: Tensor, batch: int) -> None:
    """Replaces the running statistics by the mean over the first batches of these training images."""
    normalisations = [module for module in network.modules() if getattr(module, "track_running_stats", False)]
    network.eval()
    for module in normalisations:
        module.reset_running_stats()  # type: ignore[operator]
        module.momentum = None  # type: ignore[assignment] - an average over all batches
        module.train()
    batch = min(batch, len(positions))
    count = min(len(positions) // batch, BATCHES) * batch
    with torch.no_grad(), precision(data.device):
        for part in positions[:count].split(batch):
            network(data.normalized(data.train.images[part]))
    network.eval()
