"""Drop-path: paths of a network that are left out at random, an example at a time, while it is trained.

Larsson et al. 2017 (https://arxiv.org/abs/1605.07648), as DARTS applies it to every edge of a cell that is
no identity; on the body of a residual connection it is stochastic depth (Huang et al. 2016,
https://arxiv.org/abs/1603.09382), here with one rate for all depths.
"""

from __future__ import annotations

import torch
from torch import nn


class DropPath(nn.Module):
    """Zeros for some examples of a batch, the others scaled up so that the expectation stays.

    Layers put one wherever a path may be left out, at rate 0, where it does nothing; a trainer sets the
    rate of all of them with `set_drop_path`. Draws come from torch's generator, like those of dropout.

    Attributes:
        rate: probability of a zero, from 0 up to, not including, 1.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.rate == 0.0:
            return x
        kept = torch.rand([x.shape[0]] + [1] * (x.dim() - 1), device=x.device) >= self.rate
        return x * (kept / (1.0 - self.rate)).to(x.dtype)

    def extra_repr(self) -> str:
        return f"rate={self.rate:g}"


def set_drop_path(network: nn.Module, rate: float) -> None:
    """Sets the rate of every path of the network that may be left out; of none where there are none."""
    for module in network.modules():
        if isinstance(module, DropPath):
            module.rate = rate
