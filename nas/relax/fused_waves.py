"""One wave of edges of a cell: every option for all edges by a few calls.

Shapes: N images, T targets, S sources, E = T S edges, target by target; C channels of a source, O of a
target; H, W sides of the sources, H', W' of the targets. Maps are in channels-last order. Of the channels of
several edges those of the first edge come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.relax.fused_functions import Depthwise, Geometry, HalfSeparable, Pixels, depthwise
from nas.relax.fused_norms import Statistics
from nas.relax.fused_plan import Group, Wave
from nas.relax.modules import total_of

if TYPE_CHECKING:
    from nas.relax.board import Board

_LAST = torch.channels_last


class WaveRun:
    """The options of a wave on the maps of its sources.

    Args:
        wave: to be computed.
        board: with soft weights of the wave's holes.
        sources: (N, C, H, W) each.
        statistics: that take the batch statistics.
    """

    def __init__(self, wave: Wave, board: Board, sources: Sequence[Tensor], statistics: Statistics) -> None:
        self._wave, self._sources, self._statistics = wave, sources, statistics
        self._targets, self._count = len(wave.targets), len(sources)
        rows = [board.weights[hole].values for hole in wave.holes]
        x = torch.cat(list(sources), 1) if self._count > 1 else sources[0]
        self._x = x.contiguous(memory_format=_LAST)  # (N, S C, H, W)
        self._own = _own_functions(x)
        shares = torch.stack(rows).to(x.dtype)  # type: ignore[arg-type]
        self._shares = shares.view(self._targets, self._count, -1).unbind(2)  # of each option (T, S)

    def outputs(self) -> Sequence[Tensor]:
        """What the wave adds to each target, (N, O, H', W')."""
        parts, linear = [], []
        for group in self._wave.groups:
            share = self._shares[group.column]
            if group.kind in ("identity", "pool"):
                linear.append((share, self._x if group.kind == "identity" else self._pooled(group)))
            elif group.kind != "zero":
                parts.append(getattr(self, f"_{group.kind}")(group, share))
        if linear:
            parts.append(self._mixed(linear))
        return total_of(parts).chunk(self._targets, 1)

    @cached_property
    def _rectified(self) -> Tensor:
        return functional.relu(self._x)

    @cached_property
    def _repeated(self) -> Tensor:
        """The rectified sources, once for each target, (N, E C, H, W)."""
        return _repeated(self._rectified, self._targets)

    @cached_property
    def _even(self) -> Tensor:
        """Their pixels of even rows and columns."""
        return self._pixels(0)

    def _pixels(self, first: int) -> Tensor:
        """Of the rectified sources, every other row and column."""
        if self._own:
            return Pixels.apply(self._rectified, first)  # type: ignore[return-value]
        return Pixels.select(self._rectified, first)

    @cached_property
    def _repeated_even(self) -> Tensor:
        return _repeated(self._even, self._targets)

    def _pooled(self, group: Group) -> Tensor:
        """(N, S C, H', W'), the same for all targets."""
        pooled = group.modules[0].pool(self._x)  # type: ignore[operator]
        return self._statistics.normalised(pooled, group.children("norm"))  # type: ignore[arg-type]

    def _mixed(self, terms: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Weighted sums over sources, by a 1x1 convolution."""
        channels = self._x.shape[1] // self._count
        shares = torch.stack([share for share, _ in terms], 1)  # (T, terms, S)
        eye = torch.eye(channels, dtype=shares.dtype, device=shares.device)
        weights = shares[:, None, :, :, None] * eye[None, :, None, None, :]  # (T, O, terms, S, C)
        maps = torch.cat([maps for _, maps in terms], 1)
        return functional.conv2d(maps, weights.reshape(-1, maps.shape[1], 1, 1))

    def _separable(self, group: Group, share: Tensor) -> Tensor:
        first = group.children("depthwise1")
        d = self._depthwise(_kernels(first), *self._read_by(first[0]))
        points = group.children("pointwise1")
        y = functional.conv2d(d, _kernels(points), groups=len(points))
        norms = group.children("norm1")
        x = functional.relu_(self._statistics.normalised(y, norms))  # type: ignore[arg-type]
        return self._half(x, group, ("depthwise2", "pointwise2", "norm2"), share, Geometry())

    def _dilated(self, group: Group, share: Tensor) -> Tensor:
        x, geometry = self._read_by(group.children("depthwise")[0])
        return self._half(x, group, ("depthwise", "pointwise", "norm"), share, geometry)

    def _read_by(self, convolution: nn.Module) -> tuple[Tensor, Geometry]:
        """What a depthwise convolution of the rectified sources reads, and how."""
        geometry = _geometry(convolution)
        if geometry == Geometry(2, 2):  # even pixels only
            return self._repeated_even, Geometry()
        return self._repeated, geometry

    def _half(
        self, x: Tensor, group: Group, names: tuple[str, str, str], share: Tensor, geometry: Geometry
    ) -> Tensor:
        """Depthwise and pointwise convolution of (N, E C, H, W), norm, weighted sum over sources."""
        convolutions, points, norms = map(group.children, names)
        kernels, weights = _kernels(convolutions), _kernels(points)
        if not self._own:
            y = functional.conv2d(depthwise(x, kernels, geometry), weights, groups=len(points))
            return self._summed(y, norms, share)
        shape = self._targets, self._count, -1, weights.shape[1]
        found = HalfSeparable.apply(x, kernels, geometry, weights.view(shape), share, norms[0].eps)
        out, mean, variance = found  # type: ignore[misc]
        self._statistics.add(norms, mean, variance)  # type: ignore[arg-type]
        return out

    def _depthwise(self, kernels: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        if self._own:
            return Depthwise.apply(x, kernels, geometry)  # type: ignore[return-value]
        return depthwise(x, kernels, geometry)

    def _convolution(self, group: Group, share: Tensor) -> Tensor:
        first: Any = group.children("conv")[0]
        weights = self._by_source(group.children("conv"))
        y = functional.conv2d(
            self._rectified, weights, None, first.stride, first.padding, first.dilation, self._count
        )
        return self._summed(self._by_target(y), group.children("norm"), share)

    def _reduce(self, group: Group, share: Tensor) -> Tensor:
        """Both halves of every edge's output, from even and from odd pixels."""
        halves = [
            self._by_target(
                functional.conv2d(maps, self._by_source(group.children(name)), groups=self._count)
            )
            for name, maps in (("even", self._even), ("odd", self._pixels(1)))
        ]
        edges = self._targets * self._count
        y = torch.cat([half.unflatten(1, (edges, -1)) for half in halves], 2).flatten(1, 2)
        return self._summed(y, group.children("norm"), share)

    def _other(self, group: Group, share: Tensor) -> Tensor:
        edges = iter(group.modules)
        sums = [
            total_of([each * next(edges)(x) for each, x in zip(row, self._sources, strict=True)])
            for row in share.unbind(0)
        ]
        return torch.cat(sums, 1)

    def _summed(self, y: Tensor, norms: Sequence[Any], share: Tensor) -> Tensor:
        """(N, E O, H', W') normalised, and its weighted sums over sources (N, T O, H', W')."""
        y = self._statistics.normalised(y.contiguous(memory_format=_LAST), norms)
        y = y.unflatten(1, (self._targets, self._count, -1))
        return (y * share[..., None, None, None]).sum(2).flatten(1, 2)

    def _by_source(self, convolutions: Sequence[nn.Module]) -> Tensor:
        """Weights of all edges, source by source."""
        weights = _kernels(convolutions)
        shape = weights.shape
        rows = weights.view(self._targets, self._count, -1, *shape[1:])
        return rows.transpose(0, 1).reshape(shape)

    def _by_target(self, y: Tensor) -> Tensor:
        """(N, S T O, H', W') as (N, T S O, H', W')."""
        if self._count == 1:
            return y
        return y.unflatten(1, (self._count, self._targets, -1)).transpose(1, 2).flatten(1, 3)


def _repeated(x: Tensor, times: int) -> Tensor:
    """Channels (N, K, H, W) so many times, in channels-last order; so is the gradient."""
    last = x.permute(0, 2, 3, 1).unsqueeze(3)
    shape = *last.shape[:3], times * x.shape[1]
    return last.expand(-1, -1, -1, times, -1).reshape(shape).permute(0, 3, 1, 2)


def _own_functions(x: Tensor) -> bool:
    """Whether the backward passes written out here are what is fast."""
    plain = x.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled(x.device.type)
    return plain and x.device.type == "cpu"


def _kernels(convolutions: Sequence[nn.Module]) -> Tensor:
    """Weights, one below the other."""
    return torch.cat([convolution.weight for convolution in convolutions])  # type: ignore[arg-type]


def _geometry(convolution: Any) -> Geometry:
    return Geometry(convolution.stride[0], convolution.dilation[0])
