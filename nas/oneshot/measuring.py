"""What a supernet scores on images, with the statistics of each batch.

Running statistics belong to no one network of a supernet: they mix what all weights have passed through. So a
supernet is measured as it is trained, and its running statistics stay as they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nas.training.device import DeviceData
from nas.training.train import precision

if TYPE_CHECKING:
    from nas.relax.board import Weight
    from nas.relax.supernet import Supernet


@contextlib.contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, but normalised by the batch; afterwards all is as before."""
    modes = {module: module.training for module in network.modules()}
    tracking = {
        module: module.track_running_stats for module in modes if hasattr(module, "track_running_stats")
    }
    network.eval()
    for module in tracking:
        module.training, module.track_running_stats = True, False  # type: ignore[assignment]
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
        for module, tracked in tracking.items():
            module.track_running_stats = tracked


def measure_supernet(
    supernet: Supernet, data: DeviceData, positions: Tensor, weights: Callable[[], list[Weight]], batch: int
) -> tuple[float, float]:
    """Accuracy in percent and mean cross-entropy on training images, in full batches.

    Args:
        supernet: to be measured.
        data: on its device.
        positions: of the images among those for training.
        weights: drawn for each batch.
        batch: images at a time; what is left over is not measured.
    """
    batch = min(batch, len(positions))
    count = len(positions) // batch * batch
    correct = torch.zeros((), device=data.device)
    loss = torch.zeros((), device=data.device)
    with batch_statistics(supernet), torch.no_grad(), precision(data.device):
        for part in positions[:count].split(batch):
            labels = data.train.labels[part]
            logits = supernet(data.normalized(data.train.images[part]), weights())  # (batch, classes)
            correct += (logits.argmax(1) == labels).sum()
            loss += cross_entropy(logits, labels, reduction="sum")
    return 100.0 * correct.item() / count, loss.item() / count
