"""The network in which an activation function is tried out: small, convolutional, without normalisation.

Ramachandran et al. 2017 (https://arxiv.org/abs/1710.05941) train a ResNet-20 on CIFAR-10. This one has two
3x3 convolutions of stride 2, a hidden layer and the classes, the activation after each of the first three; no
normalisation hides what a function does to the scale of its inputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from nas.search_spaces.activation import Activation, compile_activation

if TYPE_CHECKING:
    from nas.language import Shape
    from nas.space import Architecture

_CHANNELS = 8


class Activated(nn.Module):
    """Applies an activation function, element by element."""

    def __init__(self, function: Activation) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)

    def extra_repr(self) -> str:
        return str(self.function)


def compile_network(
    architecture: Architecture, input_shape: Shape, num_classes: int, *, seed: int = 0
) -> nn.Module:
    """The network of images (C, H, W) with the activation of the architecture, its weights seeded.

    Raises:
        CompileError: the architecture is no activation function.
    """
    function = compile_activation(architecture)
    channels, height, width = input_shape
    pixels = -(-height // 4) * -(-width // 4)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(channels, _CHANNELS, 3, stride=2, padding=1),
            Activated(function),
            nn.Conv2d(_CHANNELS, 2 * _CHANNELS, 3, stride=2, padding=1),
            Activated(function),
            nn.Flatten(),
            nn.Linear(2 * _CHANNELS * pixels, 4 * _CHANNELS),
            Activated(function),
            nn.Linear(4 * _CHANNELS, num_classes),
        )
