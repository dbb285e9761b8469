"""AutoAugment (Cubuk et al. 2019, https://arxiv.org/abs/1805.09501), with torchvision's policies.

Each image draws its own sub-policy, as it did in the paper's pipeline, one image at a time; on the CPU,
whatever the device of the training, where an image of 32x32 pixels takes about 0.1 ms. What a rotation
or a shift leaves open is filled with grey, 128, as in the published code for CIFAR-10.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable

import torch
from torch import Tensor

from nas.errors import CompileError
from nas.training.torchvision_compat import import_torchvision

FILL = 128
CHANNELS = (1, 3)  # for which the operations are defined


def autoaugment(images: Tensor, policy: str, generator: torch.Generator) -> Tensor:
    """Each image changed by a sub-policy of its own.

    torchvision draws from torch's global generator: it is seeded from `generator` for a while and then
    put back.

    Args:
        images: (B, C, H, W) uint8, with one channel or three.
        policy: "none", "cifar10", "imagenet" or "svhn".
        generator: of all draws, on the device of the images.

    Raises:
        CompileError: images of another number of channels.
    """
    if policy == "none":
        return images
    check_channels(images.shape[1])
    transform = _transform(policy)
    seed = torch.randint(2**63 - 1, (), generator=generator, device=images.device).item()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(seed))
        return torch.stack([transform(image) for image in images.cpu()]).to(images.device)


def check_channels(channels: int) -> None:
    """Raises CompileError for images that AutoAugment cannot change."""
    if channels not in CHANNELS:
        raise CompileError(f"autoaugment: expected images of 1 or 3 channels; got {channels}; set it to none")


@functools.cache
def _transform(policy: str) -> Callable[[Tensor], Tensor]:
    import_torchvision()
    transforms = importlib.import_module("torchvision.transforms.v2")
    return transforms.AutoAugment(transforms.AutoAugmentPolicy(policy), fill=FILL)
