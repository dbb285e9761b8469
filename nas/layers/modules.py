"""Builders of single layers. A builder takes what its shape rule takes and returns a module.

Drop-path: paths of a network that are left out at random, an example at a time, while it is trained.

Larsson et al. 2017 (https://arxiv.org/abs/1605.07648), as DARTS applies it to every edge of a cell that is
no identity; on the body of a residual connection it is stochastic depth (Huang et al. 2016,
https://arxiv.org/abs/1603.09382), here with one rate for all depths.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import nn

from nas.language import Context, Shape
from nas.layers.shapes import Attributes, Parts


def named(**modules: nn.Module) -> nn.Sequential:
    """A sequence whose parts print under their names."""
    return nn.Sequential(OrderedDict(modules))


def norm(channels: int, context: Context, eps: float = 1e-5) -> nn.BatchNorm2d:
    """Batch normalisation, without scale and shift where the context says so."""
    return nn.BatchNorm2d(channels, eps, affine=context.affine)


def _sides(total: int) -> tuple[int, int, int, int]:
    """Padding (left, right, top, bottom) that puts the odd pixel of an even window right and below."""
    first = total // 2
    return first, total - first, first, total - first


def conv2d(channels: int, out: int, attributes: Attributes, groups: int = 1) -> nn.Module:
    """A convolution; of its attributes (kernel, stride, dilation, padding, bias) only `kernel` is needed.

    Stride s gives ceil(side / s) with the default padding, "same"; there is no bias by default.
    """
    kernel, dilation = attributes["kernel"], attributes.get("dilation", 1)
    total = dilation * (kernel - 1) if attributes.get("padding", "same") == "same" else 0
    conv = nn.Conv2d(
        channels,
        out,
        kernel,
        stride=attributes.get("stride", 1),
        padding=0 if total % 2 else total // 2,
        dilation=dilation,
        groups=groups,
        bias=attributes.get("bias", False),
    )
    return named(pad=nn.ZeroPad2d(_sides(total)), conv=conv) if total % 2 else conv


def conv(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    return conv2d(in_shape[0], attributes["width"] or in_shape[0], attributes, attributes["groups"])


def depthwise(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    return conv2d(in_shape[0], in_shape[0], attributes, in_shape[0])


def pointwise(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    return nn.Conv2d(in_shape[0], attributes["width"] or in_shape[0], 1, bias=attributes["bias"])


def separable(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:
    """Depthwise without bias, then pointwise."""
    first = depthwise(in_shape, {**attributes, "bias": False}, parts, context)
    return named(depthwise=first, pointwise=pointwise(in_shape, attributes, parts, context))


def maxpool(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    kernel, stride = attributes["kernel"], attributes["stride"] or attributes["kernel"]
    total = kernel - 1 if attributes["padding"] == "same" else 0
    if total % 2:
        outside = nn.ConstantPad2d(_sides(total), -torch.inf)
        return named(pad=outside, pool=nn.MaxPool2d(kernel, stride))
    return nn.MaxPool2d(kernel, stride, padding=total // 2)


class EvenAvgPool(nn.Module):
    """Average over even windows with "same" padding; the padding does not count."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.pad = nn.ZeroPad2d(_sides(kernel - 1))
        self.pool = nn.AvgPool2d(kernel, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        share = self.pool(self.pad(torch.ones_like(x[:1, :1])))
        return self.pool(self.pad(x)) / share


def avgpool(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    kernel, stride = attributes["kernel"], attributes["stride"] or attributes["kernel"]
    total = kernel - 1 if attributes["padding"] == "same" else 0
    if total % 2:
        return EvenAvgPool(kernel, stride)
    return nn.AvgPool2d(kernel, stride, padding=total // 2, count_include_pad=False)


def global_pool(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    return named(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten())


def batchnorm(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    if len(in_shape) == 1:
        return nn.BatchNorm1d(in_shape[0], affine=context.affine)
    return norm(in_shape[0], context)


def groupnorm(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    return nn.GroupNorm(attributes["groups"], in_shape[0], affine=context.affine)


def layernorm(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    return nn.GroupNorm(1, in_shape[0], affine=context.affine)


def activation(
    layer: str,
    in_shape: Shape,  # noqa: ARG001
    attributes: Attributes,  # noqa: ARG001
    parts: Parts,  # noqa: ARG001
    context: Context,  # noqa: ARG001
) -> nn.Module:
    """A layer of torch without arguments, by name."""
    return getattr(nn, layer)()


def dropout(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    return nn.Dropout(attributes["rate"])


def linear(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    return nn.Linear(in_shape[0], attributes["width"], bias=attributes["bias"])


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from all channel means (Hu et al. 2018)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.gate = named(
            pool=nn.AdaptiveAvgPool2d(1),
            reduce=nn.Conv2d(channels, hidden, 1),
            relu=nn.ReLU(),
            expand=nn.Conv2d(hidden, channels, 1),
            sigmoid=nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(x)


def squeeze_excite(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    return SqueezeExcite(in_shape[0], max(1, in_shape[0] // attributes["ratio"]))


def stem(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    """Convolution and batch normalisation, which keeps its scale and shift in search mode too."""
    width = attributes["width"]
    return named(conv=conv2d(in_shape[0], width, attributes), norm=nn.BatchNorm2d(width))


def head(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:
    """Global average pooling of images, then one linear layer to the class scores."""
    assert context.num_classes is not None, "the shape rule of head asks for it"
    scores = nn.Linear(in_shape[0], context.num_classes)
    if len(in_shape) == 1:
        return scores
    return named(pool=global_pool(in_shape, attributes, parts, context), linear=scores)


def pad_to(x: torch.Tensor, shape: Shape) -> torch.Tensor:
    """`x` (B, ...) with zeros at the end of each side up to `shape`."""
    missing = [size - have for size, have in zip(shape, x.shape[1:], strict=True)]
    return F.pad(x, [pad for size in reversed(missing) for pad in (0, size)]) if any(missing) else x


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
