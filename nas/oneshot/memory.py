"""How much memory a step of a search needs, measured on small batches before the first one.

What grows with the batch is what the forward pass keeps for the backward pass; it is counted at two small
batches and extended along their line. What does not grow are weights, their gradients and momentum and, in a
second-order step, the weights kept aside, the direction and the virtual step's gradients.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import cross_entropy

from nas.errors import EvaluationError
from nas.oneshot.measuring import batch_statistics
from nas.oneshot.search import OneShot
from nas.oneshot.settings import OneShotSettings
from nas.training.arrays import free_memory
from nas.training.device import DeviceData
from nas.training.train import precision

_SMALL = (2, 4)  # images of the batches that are measured
_DRAWS = 4  # of options, where they are drawn; what needs most counts
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
    """Bytes kept at a batch of this size, on the line through those at the small ones."""
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
            f"{state.space.name}: a step of {settings.batch_size} images on the supernet needs about "
            f"{needed / _GIB:.3g} GiB ({needed} bytes), available on {data.device} are "
            f"{available / _GIB:.3g} GiB ({available} bytes); lower batch_size or the size of the networks"
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
