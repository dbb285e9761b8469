"""What a supernet scores on images, with the statistics of each batch.

Running statistics of a supernet mix the values of all its networks and fit none of them. So a supernet is
measured as it is trained, and its running statistics stay as they are.

An architecture is measured with the weights that it inherits: Guo et al. 2020, "Single Path One-Shot Neural
Architecture Search with Uniform Sampling" (https://arxiv.org/abs/1904.00420), section 3.4: statistics of
normalisation belong to one architecture, so they are estimated anew on some training images before its
validation images are measured. Deviation: those images are not augmented.

The memory that a step of a search needs is measured on small batches before the first one. What grows with
the batch is what the forward pass keeps for the backward pass; it is counted at two small batches and
extended along their line. What does not grow are weights, their gradients and momentum and, in a second-order
step, the weights kept aside, the direction and the virtual step's gradients.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import cross_entropy

from nas.errors import EvaluationError, refusal
from nas.space import Architecture
from nas.supernet.settings import OneShotSettings
from nas.supernet.state import OneShot
from nas.training import DeviceData, free_memory, measure, precision

if TYPE_CHECKING:
    from nas.supernet.modules import ArchitectureWeight
    from nas.supernet.supernet import Supernet


@contextlib.contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Evaluation mode within, but normalised by the batch; modes and statistics are restored afterwards."""
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
    supernet: Supernet,
    data: DeviceData,
    positions: Tensor,
    weights: Callable[[], list[ArchitectureWeight]],
    batch: int,
) -> tuple[float, float]:
    """Accuracy in percent and mean cross-entropy on training images, in full batches.

    Args:
        supernet: to be measured.
        data: on its device.
        positions: of the images among those for training.
        weights: drawn for each batch.
        batch: images at a time; an incomplete last batch is not measured.
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


BATCHES = 20  # of training images, for the statistics


def inherited_accuracy(
    state: OneShot, architecture: Architecture, data: DeviceData, settings: OneShotSettings
) -> float:
    """Accuracy in percent on the validation images; raises SpaceError for one of another space.

    The supernet stays as it is.
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


_SMALL = (2, 4)  # images of the batches that are measured
_DRAWS = 4  # of options, where they are drawn; the one that needs most counts
_COPIES = {1: 3, 2: 6}  # of the weights, by the order of the gradient
_MARGIN = 1.5  # on DARTS' supernet, resident memory peaked 43 and 56 % above 1180 and 593 MiB of `step_bytes`
_GIB = 2**30


def step_bytes(state: OneShot, data: DeviceData, settings: OneShotSettings) -> int:
    """Bytes that a search holds during a step, besides images and what its libraries need."""
    size = min(settings.batch_size, *map(len, state.halves))
    draws = range(_DRAWS if state.weighting.samples else 1)
    growing = max(grown_bytes(state, data, settings, size, draw) for draw in draws)
    weights = sum(weight.numel() * weight.element_size() for weight in state.supernet.parameters())
    return round(growing + _COPIES[settings.order] * weights)


def grown_bytes(state: OneShot, data: DeviceData, settings: OneShotSettings, size: int, draw: int) -> float:
    """Bytes kept at a batch of this size, on the line through those of the small ones."""
    small, large = (saved_bytes(state, data, settings, each, draw) for each in _SMALL)
    each = (large - small) / (_SMALL[1] - _SMALL[0])
    return small + max(0.0, each) * (size - _SMALL[0])


def available_bytes(device: torch.device) -> int | None:
    """Memory that is free on the device; None where the system does not say."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_memory()


def check_memory(state: OneShot, data: DeviceData, settings: OneShotSettings) -> None:
    """Raises EvaluationError if a step of the search needs more memory than there is."""
    needed, available = round(_MARGIN * step_bytes(state, data, settings)), available_bytes(data.device)
    if available is not None and needed > available:
        raise EvaluationError(
            refusal(
                state.space.name,
                f"a step of {settings.batch_size} images on the supernet to need at most the "
                f"{available / _GIB:.3g} GiB ({available} bytes) that are free on {data.device}",
                f"about {needed / _GIB:.3g} GiB ({needed} bytes)",
                "lower batch_size or the size of the networks",
            )
        )


def saved_bytes(state: OneShot, data: DeviceData, settings: OneShotSettings, size: int, draw: int) -> int:
    """Bytes of the tensors that a forward pass keeps, each memory once, weights left out."""
    own = {weight.untyped_storage().data_ptr() for weight in state.supernet.parameters()}
    found: dict[int, Tensor] = {}  # kept alive, so that no address is used twice

    def keep(tensor: Tensor) -> Tensor:
        found[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    positions = torch.arange(size, device=data.device) % len(data.train.labels)
    images, labels = data.normalized(data.train.images[positions]), data.train.labels[positions]
    lower = precision(data.device) if settings.order == 1 else nullcontext()  # as `steps.py` does
    with torch.enable_grad(), batch_statistics(state.supernet), lower:
        weights = state.weighting.weights(state.alphas, torch.Generator().manual_seed(draw), 0.0)
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            cross_entropy(state.supernet(images, weights), labels)
    return sum(each.untyped_storage().nbytes() for address, each in found.items() if address not in own)
