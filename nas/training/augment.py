"""Augmentation of a batch on its device: random crop and flip in one gather, cutout.

Shapes: images (B, C, H, W), random values (B,), which are drawn from a `torch.Generator` of the same device.

AutoAugment (Cubuk et al. 2019, https://arxiv.org/abs/1805.09501), with torchvision's policies.

A sub-policy is drawn for each image, as in the paper's pipeline, one image at a time; always on the CPU,
where an image of 32x32 pixels takes about 0.1 ms. Areas that a rotation or a shift leaves empty are filled
with grey, 128, as in the published code for CIFAR-10.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from nas.errors import CompileError, EvaluationError, refusal
from nas.layers import TrainSettings
from nas.training.sources import import_torchvision


def crop_and_flip(images: Tensor, settings: TrainSettings, generator: torch.Generator) -> Tensor:
    """Each image zero-padded, cropped back to its size at a random place and mirrored at random."""
    if not settings.crop_padding and not settings.flip:
        return images
    size, device, padding = len(images), images.device, settings.crop_padding
    if padding:
        offsets = torch.randint(0, 2 * padding + 1, (2, size), generator=generator, device=device)
    else:
        offsets = torch.zeros(2, size, dtype=torch.long, device=device)
    flips = torch.rand(size, generator=generator, device=device) < 0.5
    return shift(images, offsets, flips & settings.flip, padding)


def check_augmentation(settings: TrainSettings, shape: Sequence[int]) -> None:
    """Raises EvaluationError for settings that can erase a whole image of shape (C, H, W)."""
    side = min(shape[1:])
    for name, pixels in (("crop_padding", settings.crop_padding), ("cutout", settings.cutout)):
        if pixels >= side:
            expected = f"less than the {side} pixels of the images"
            got = f"{pixels}, which can blank out a whole image"
            remedy = f"lower it, e.g. to {side // 8} (an eighth)"
            raise EvaluationError(refusal(f'training setting "{name}"', expected, got, remedy))


def shift(images: Tensor, offsets: Tensor, flips: Tensor, padding: int) -> Tensor:
    """The window of each zero-padded image whose top left corner is at `offsets`, (2, B) rows and columns.

    An offset of `padding` keeps an image in place; `flips` mirrors the window left to right.
    """
    batch, _, height, width = images.shape
    padded = pad(images, (padding,) * 4) if padding else images
    across = torch.arange(width, device=images.device)
    columns = torch.where(flips[:, None], width - 1 - across, across) + offsets[1][:, None]
    rows = torch.arange(height, device=images.device) + offsets[0][:, None]
    image = torch.arange(batch, device=images.device)
    shifted = padded[image[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return shifted.permute(0, 3, 1, 2)  # (B, H, W, C) before


def cutout(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """A square of `side` pixels set to 0 around a random pixel of each image, cut off at its border.

    DeVries and Taylor 2017; on normalised images 0 is the mean colour.
    """
    if not side:
        return images
    batch, _, height, width = images.shape
    row = torch.randint(0, height, (batch,), generator=generator, device=images.device)
    column = torch.randint(0, width, (batch,), generator=generator, device=images.device)
    return erase(images, row, column, side)


def erase(images: Tensor, row: Tensor, column: Tensor, side: int) -> Tensor:
    """Rows and columns from centre - side // 2, `side` of each, set to 0."""
    height, width = images.shape[-2:]
    down = torch.arange(height, device=images.device) - row[:, None] + side // 2
    across = torch.arange(width, device=images.device) - column[:, None] + side // 2
    inside_rows = (down >= 0) & (down < side)
    inside_columns = (across >= 0) & (across < side)
    inside = inside_rows[:, :, None] & inside_columns[:, None, :]
    return images.masked_fill(inside[:, None], 0)


FILL = 128
CHANNELS = (1, 3)  # for which the operations are defined


def autoaugment(images: Tensor, policy: str, generator: torch.Generator) -> Tensor:
    """Each image changed by another random sub-policy.

    torchvision draws from torch's global generator, which is seeded from `generator` and restored afterwards.

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
        raise CompileError(refusal("autoaugment", "images of 1 or 3 channels", channels, "set it to none"))


@functools.cache
def _transform(policy: str) -> Callable[[Tensor], Tensor]:
    import_torchvision()
    transforms = importlib.import_module("torchvision.transforms.v2")
    return transforms.AutoAugment(transforms.AutoAugmentPolicy(policy), fill=FILL)
