"""Depthwise convolutions of many edges at once, and half a separable convolution, with backward passes.

Depthwise convolution, pointwise convolution, normalisation by the batch and the weighted sum over the edges
with one target are linear in the centred output d of the depthwise convolution but for the scale
1 / deviation, and that follows from d's covariance: with G = mean(d d'), the variance of w'd is w'G w. So
nothing between d and the sum is computed or kept. Gradients of the depthwise convolution are written out
because oneDNN's own are slow on the CPU for kernels over 3 and for dilations: that of the input is a
convolution with the flipped kernel, that of a kernel of 5 columns is split into 3 and 2, that of dilation 2
is dilation 1 on the four phases of the maps. Taps that meet nothing but padding are left out.

Shapes: N images, T targets, S sources, E = T S edges with the target first, C channels of an edge's input,
O of its output, K = E C; H, W sides. Maps are in channels-last order.

Normalisation by the batch for many modules at once, and their running statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from nas.errors import RelaxError, refusal

if TYPE_CHECKING:
    from torch import nn


_LAST = torch.channels_last

Backward: TypeAlias = Callable[..., tuple[Tensor | None, ...]]


def _first_order(backward: Backward) -> Backward:
    """A backward pass that refuses to be differentiated itself; torch's own check misses some graphs."""

    @wraps(backward)
    def checked(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            expected, remedy = "first derivatives alone", "compute the others within net.plain()"
            raise RelaxError(refusal("fused cells", expected, "second derivatives", remedy))
        return backward(ctx, *gradients)

    return checked


@dataclass(frozen=True, slots=True)
class Geometry:
    """Of a depthwise convolution with "same" padding and an odd kernel; for gradients one of them is 1."""

    stride: int = 1
    dilation: int = 1


class Depthwise(torch.autograd.Function):
    """Maps (N, K, H, W) by kernels (K, 1, k, k)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor, geometry: Geometry) -> Tensor:
        ctx.geometry = geometry
        ctx.save_for_backward(x, kernels)
        return depthwise(x, kernels, geometry)

    @staticmethod
    @_first_order
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, kernels = ctx.saved_tensors
        return *_depthwise_gradients(ctx, x, kernels, g), None


class Pixels(torch.autograd.Function):
    """Every other row and column of maps (N, K, H, W), beginning with number `first`, 0 or 1.

    The sides are halved and rounded up, with zeros for missing pixels. Gradients stay in channels-last order,
    which those of a slice do not.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, first: int) -> Tensor:
        ctx.first, ctx.shape = first, x.shape
        return Pixels.select(x, first)

    @staticmethod
    def select(x: Tensor, first: int) -> Tensor:
        missing = first * (x.shape[3] % 2), first * (x.shape[2] % 2)
        found = x[:, :, first::2, first::2]
        if any(missing):
            found = functional.pad(found, (0, missing[0], 0, missing[1]))
        return found.contiguous(memory_format=_LAST)

    @staticmethod
    @_first_order
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        found = torch.empty(ctx.shape, dtype=g.dtype, device=g.device, memory_format=_LAST).zero_()
        part = found[:, :, ctx.first :: 2, ctx.first :: 2]
        part.copy_(g[:, :, : part.shape[2], : part.shape[3]])
        return found, None


class HalfSeparable(torch.autograd.Function):
    """Maps (N, K, H, W) to sums (N, T O, H', W'); also mean and unbiased variance (E O,) of what is summed.

    Arguments: x; kernels (K, 1, k, k); geometry; point (T, S, O, C); share (T, S) of each edge in the sum of
    its target; eps of the normalisation. Mean and variance are not differentiable.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernels: Tensor, geometry: Geometry, point: Tensor, share: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        targets, sources, _, channels = point.shape
        d = depthwise(x, kernels, geometry)
        mean, count = d.mean((0, 2, 3)), d.numel() // d.shape[1]
        if count < 2:  # as torch's own normalisation
            raise ValueError(f"Expected more than 1 value per channel when training, got {tuple(d.shape)}")
        d.sub_(mean[:, None, None])
        covariance = _products(d, d, targets * sources).view(targets, sources, channels, channels) / count
        projected = point @ covariance
        variance = (projected * point).sum(3)  # (T, S, O)
        inverse = (variance + eps).rsqrt()
        scaled = (point * (inverse * share[..., None])[..., None]).transpose(1, 2)  # (T, O, S, C)
        out = functional.conv2d(d, scaled.reshape(-1, sources * channels, 1, 1), groups=targets)
        ctx.geometry = geometry
        ctx.save_for_backward(x, kernels, point, share, d, projected, inverse)
        mean = (point @ mean.view(targets, sources, channels, 1)).flatten()
        variance = variance.flatten() * (count / (count - 1))
        ctx.mark_non_differentiable(mean, variance)
        ctx.set_materialize_grads(False)
        return out, mean, variance

    @staticmethod
    @_first_order
    def backward(ctx: Any, g: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        if g is None:
            return (None,) * 6
        x, kernels, point, share, d, projected, inverse = ctx.saved_tensors
        targets, sources, width, channels = point.shape
        g = g.contiguous(memory_format=_LAST)
        crossed = _products(d, g, targets).view(targets, width, sources, channels).transpose(1, 2)
        inner = (crossed * point).sum(3)  # (T, S, O)
        scale = inverse * share[..., None]
        pull = scale * inverse * inverse * inner
        d_point = d_share = None
        if ctx.needs_input_grad[3]:
            d_point = scale[..., None] * crossed - pull[..., None] * projected
        if ctx.needs_input_grad[4]:
            d_share = (inner * inverse).sum(2)
        gradient = _through_norm(d, g, point, scale, pull)
        return *_depthwise_gradients(ctx, x, kernels, gradient), None, d_point, d_share, None


def _depthwise_gradients(
    ctx: Any, x: Tensor, kernels: Tensor, g: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Of maps and kernels, the first two arguments, where they are asked for."""
    assert 1 in (ctx.geometry.stride, ctx.geometry.dilation)
    g = g.contiguous(memory_format=_LAST)
    one = _input_gradient(g, x, kernels, ctx.geometry) if ctx.needs_input_grad[0] else None
    return one, _kernel_gradient(x, g, kernels, ctx.geometry) if ctx.needs_input_grad[1] else None


def _through_norm(d: Tensor, g: Tensor, point: Tensor, scale: Tensor, pull: Tensor) -> Tensor:
    """Gradient of the depthwise convolution's output, before it was centred."""
    targets, sources, width, channels = point.shape
    count = d.numel() // d.shape[1]
    back = (point * scale[..., None]).transpose(2, 3)  # (T, S, C, O)
    total = g.sum((0, 2, 3)).view(targets, 1, width, 1) / count
    spread = point.transpose(2, 3) @ ((pull / -count)[..., None] * point)  # (T, S, C, C)
    shift = (back @ total).flatten().neg()
    found = functional.conv2d(d, spread.reshape(-1, channels, 1, 1), shift, groups=targets * sources)
    return found.add_(functional.conv2d(g, back.reshape(-1, width, 1, 1), groups=targets))


def _products(x: Tensor, g: Tensor, groups: int) -> Tensor:
    """Sums over images and pixels: each channel of `g` times those of `x` in its group."""
    kernels = x.new_empty(g.shape[1], x.shape[1] // groups, 1, 1)
    return _convolution_gradients(g, x, kernels, 1, (0, 0), (False, True))[1]


def depthwise(x: Tensor, kernels: Tensor, geometry: Geometry) -> Tensor:
    kernels = _reaching(kernels, x, geometry)
    padding = geometry.dilation * (kernels.shape[-1] // 2)
    return functional.conv2d(x, kernels, None, geometry.stride, padding, geometry.dilation, x.shape[1])


def _reaching(kernels: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
    """Kernels without the rings of taps that meet nothing but padding."""
    ring = kernels.shape[-1] // 2
    left = min(ring, (max(x.shape[2:]) - 1) // geometry.dilation)
    cut = slice(ring - left, ring + left + 1)
    return kernels if left == ring else kernels[..., cut, cut]


def _input_gradient(g: Tensor, x: Tensor, kernels: Tensor, geometry: Geometry) -> Tensor:
    if geometry.stride == 1:
        return depthwise(g, kernels.flip(2, 3), geometry)
    kernels = _reaching(kernels, x, geometry)
    ring = kernels.shape[-1] // 2
    return _convolution_gradients(g, x, kernels, geometry.stride, (ring, ring), (True, False))[0]


def _kernel_gradient(x: Tensor, g: Tensor, kernels: Tensor, geometry: Geometry) -> Tensor:
    side = _reaching(kernels, x, geometry).shape[-1]
    if geometry.dilation == 2:
        x, g = _phases(x), _phases(g)
    found = _dense_kernel_gradient(x, g, side, geometry.stride)
    ring = (kernels.shape[-1] - side) // 2
    return functional.pad(found, (ring,) * 4) if ring else found


def _phases(x: Tensor) -> Tensor:
    """(4 N, K, H / 2, W / 2): pixels of even and odd rows and columns; odd sides are padded."""
    if x.shape[2] % 2 or x.shape[3] % 2:
        x = functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
    images, channels, height, width = x.shape
    rows, columns = height // 2, width // 2
    split = x.permute(0, 2, 3, 1).reshape(images, rows, 2, columns, 2, channels)
    parts = split.permute(2, 4, 0, 1, 3, 5).reshape(4 * images, rows, columns, channels)
    return parts.permute(0, 3, 1, 2)


def _dense_kernel_gradient(x: Tensor, g: Tensor, side: int, stride: int) -> Tensor:
    """Of dilation 1, (K, 1, side, side)."""
    channels, ring = g.shape[1], side // 2
    if side <= 3 and x.shape[2] >= side:
        kernels = x.new_empty(channels, 1, side, side)
        return _convolution_gradients(g, x, kernels, stride, (ring, ring), (False, True))[1]
    rows = 0 if x.shape[2] >= side else ring  # slow where a row of taps meets nothing but oneDNN's padding
    parts = []
    for start in range(0, side, 3):
        columns = min(3, side - start)
        left, end = start - ring, start - ring + stride * (g.shape[3] - 1) + columns
        if left >= x.shape[3] or end <= 0:  # these taps meet nothing but padding
            parts.append(x.new_zeros(channels, 1, side, columns))
            continue
        sides = max(0, -left), max(0, end - x.shape[3]), rows, rows
        part = functional.pad(x[..., max(0, left) : max(0, end)], sides).contiguous(memory_format=_LAST)
        kernels, padding = x.new_empty(channels, 1, side, columns), (ring - rows, 0)
        parts.append(_convolution_gradients(g, part, kernels, stride, padding, (False, True))[1])
    return torch.cat(parts, 3)


def _convolution_gradients(
    g: Tensor, x: Tensor, kernels: Tensor, stride: int, padding: tuple[int, int], asked: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """Of maps and kernels, where asked for; padding of rows and columns."""
    groups, mask = x.shape[1] // kernels.shape[1], [*asked, False]
    convolution_backward = torch.ops.aten.convolution_backward
    return convolution_backward(
        g, x, kernels, None, [stride] * 2, list(padding), [1, 1], False, [0, 0], groups, mask
    )[:2]


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
        """Notes mean and unbiased variance (K,) of channels, norm by norm, repeated as often as needed."""
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
