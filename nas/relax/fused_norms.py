"""Normalisation by the batch for many modules at once, and their running statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from torch import nn


class Statistics:
    """Collects the batch statistics of a pass, then updates all running ones in a few calls."""

    def __init__(self) -> None:
        self._norms: list[nn.BatchNorm2d] = []
        self._means: list[Tensor] = []
        self._variances: list[Tensor] = []

    def normalised(self, x: Tensor, norms: Sequence[nn.BatchNorm2d]) -> Tensor:
        """Maps (N, K, H, W) less their mean, over their deviation; K as in `add`."""
        channels = x.shape[1]
        like = norms[0].running_mean
        assert like is not None, "the plan asks for running statistics"
        mean, variance = like.new_zeros(channels), like.new_ones(channels)
        found = functional.batch_norm(x, mean, variance, None, None, True, 1.0, norms[0].eps)
        self.add(norms, mean, variance)
        return found

    def add(self, norms: Sequence[nn.BatchNorm2d], mean: Tensor, variance: Tensor) -> None:
        """Mean and unbiased variance (K,) of channels, norm by norm, over and over until all have theirs."""
        width = norms[0].num_features
        times = len(norms) * width // len(mean)
        self._norms += norms
        self._means += mean.split(width) * times
        self._variances += variance.split(width) * times

    @torch.no_grad()
    def update(self) -> None:
        """All running statistics, as the modules do it."""
        rows: dict[float, list[tuple[nn.BatchNorm2d, Tensor, Tensor]]] = {}
        for norm, mean, variance in zip(self._norms, self._means, self._variances, strict=True):
            if norm.track_running_stats and norm.momentum is not None:
                rows.setdefault(norm.momentum, []).append((norm, mean, variance))
        for momentum, found in rows.items():
            norms, means, variances = zip(*found, strict=True)
            running = [norm.running_mean for norm in norms] + [norm.running_var for norm in norms]
            torch._foreach_lerp_(running, [*means, *variances], momentum)  # type: ignore[attr-defined]
            torch._foreach_add_([norm.num_batches_tracked for norm in norms], 1)  # type: ignore[attr-defined]
