"""Networks for candidates without a search space, and how their evaluations compare."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from nas.errors import CompileError
from nas.evaluation import Evaluation
from nas.layers import TrainSettings

SETTINGS = TrainSettings(epochs=4, batch_size=16, lr=0.05, flip=True, crop_padding=1)


class Broken(nn.Module):
    """Raises in the forward pass what its candidate asks for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.linear = nn.Linear(32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.text == "memory":
            torch.empty(2**60, dtype=torch.uint8)
        raise ValueError("no forward\npass")


def compiled(candidate: Any, input_shape: tuple[int, int, int], num_classes: int, *, seed: int) -> nn.Module:
    """The network that a test's candidate names."""
    assert seed >= 0
    if candidate.text == "impossible":
        raise CompileError("root: expected a network; got nothing")
    if candidate.text in ("memory", "broken"):
        return Broken(candidate.text)
    channels, height, width = input_shape
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(8 * height * width, num_classes),
    )


def same(a: Evaluation, b: Evaluation) -> bool:
    """Equal in everything but the seconds."""
    rows = [[{**row, "seconds": 0} for row in e.curve] for e in (a, b)]
    return (a.status, a.values, a.info, rows[0]) == (b.status, b.values, b.info, rows[1])
