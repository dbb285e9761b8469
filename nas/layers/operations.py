"""Operations of the cell spaces and of mobile networks, as their papers define them.

NAS-Bench-201 (Dong and Yang 2020), DARTS (Liu et al. 2019), MobileNetV2 (Sandler et al. 2018).

Operations of sharpDARTS: separable convolutions with a middle of their own, pooling to another width.

Hundt, Jain and Hager 2019, "sharpDARTS: Faster and More Accurate Differentiable Architecture Search"
(https://arxiv.org/abs/1903.09900) and its released code. Without a middle of its own and without dilation the
block is DARTS' `sep_conv`, but for the width, which the first half takes here and the second half there.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from nas.language import Context, Shape
from nas.layers.modules import DropPath, SqueezeExcite, conv2d, named, norm
from nas.layers.shapes import Attributes, Parts

_ACTIVATIONS = {"relu6": nn.ReLU6, "silu": nn.SiLU, "hardswish": nn.Hardswish}


class ReluConvNorm(nn.Sequential):
    """ReLU, convolution, batch normalisation."""


class SepConv(nn.Sequential):
    """ReLU, depthwise, pointwise, batch normalisation; twice, the stride in the first half."""


class DilConv(nn.Sequential):
    """ReLU, dilated depthwise, pointwise, batch normalisation."""


def relu_conv_bn(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    width = attributes["width"] or in_shape[0]
    conv = conv2d(in_shape[0], width, attributes)
    return ReluConvNorm(OrderedDict(relu=nn.ReLU(), conv=conv, norm=norm(width, context)))


def sep_conv(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    channels, width = in_shape[0], attributes["width"] or in_shape[0]
    layers = OrderedDict(
        relu1=nn.ReLU(),
        depthwise1=conv2d(channels, channels, attributes, channels),
        pointwise1=conv2d(channels, channels, {"kernel": 1}),
        norm1=norm(channels, context),
        relu2=nn.ReLU(),
        depthwise2=conv2d(channels, channels, {**attributes, "stride": 1}, channels),
        pointwise2=conv2d(channels, width, {"kernel": 1}),
        norm2=norm(width, context),
    )
    return SepConv(layers)


def dil_conv(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    channels, width = in_shape[0], attributes["width"] or in_shape[0]
    layers = OrderedDict(
        relu=nn.ReLU(),
        depthwise=conv2d(channels, channels, attributes, channels),
        pointwise=conv2d(channels, width, {"kernel": 1}),
        norm=norm(width, context),
    )
    return DilConv(layers)


class Zero(nn.Module):
    """Zeros; the multiplication keeps what comes before in the graph, with a gradient of zero."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x if self.stride == 1 else x[:, :, :: self.stride, :: self.stride]) * 0.0

    def extra_repr(self) -> str:
        return f"stride={self.stride}"


def zero(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    return Zero(attributes["stride"])


class FactorizedReduce(nn.Module):
    """Half the sides without loss: two 1x1 convolutions of stride 2, one shifted by a pixel, side by side.

    Odd sides are padded for the shifted half, as in NAS-Bench-201; even sides give DARTS' values.
    """

    def __init__(self, channels: int, out: int, context: Context) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.even = conv2d(channels, out // 2, {"kernel": 1, "stride": 2})
        self.odd = conv2d(channels, out - out // 2, {"kernel": 1, "stride": 2})
        self.norm = norm(out, context)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(x)
        shifted = nn.functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))[:, :, 1:, 1:]
        return self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))


def factorized_reduce(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    return FactorizedReduce(in_shape[0], attributes.get("width") or in_shape[0], context)


def skip(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:
    if attributes["stride"] == 1:
        return nn.Identity()
    return factorized_reduce(in_shape, attributes, parts, context)


def cell_pool(
    kind: str,
    in_shape: Shape,
    attributes: Attributes,
    parts: Parts,  # noqa: ARG001
    context: Context,
) -> nn.Module:
    """DARTS' 3x3 pooling, "max" or "avg"; in search mode followed by a normalisation."""
    stride = attributes["stride"]
    if kind == "max":
        pool: nn.Module = nn.MaxPool2d(3, stride, padding=1)
    else:
        pool = nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
    if context.mode == "standard":
        return pool
    return named(pool=pool, norm=nn.BatchNorm2d(in_shape[0], affine=False))


class MBConv(nn.Module):
    """Inverted residual; adds its input where stride is 1 and widths agree, and may drop its body then."""

    def __init__(self, body: nn.Sequential, residual: bool) -> None:
        super().__init__()
        self.body = body
        self.residual = residual
        self.drop_path = DropPath()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.drop_path(self.body(x)) if self.residual else self.body(x)

    def extra_repr(self) -> str:
        return f"residual={self.residual}"


def mbconv(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    """Expand 1x1, depthwise, squeeze-excite to a quarter of the input's channels, project 1x1."""
    channels, width = in_shape[0], attributes["width"] or in_shape[0]
    hidden, point = channels * attributes["expansion"], {"kernel": 1}
    act = _ACTIVATIONS[attributes["activation"]]
    layers: dict[str, nn.Module] = {}
    if hidden != channels:
        layers |= {"expand": conv2d(channels, hidden, point), "norm1": norm(hidden, context), "act1": act()}
    depthwise = conv2d(hidden, hidden, attributes, hidden)
    layers |= {"depthwise": depthwise, "norm2": norm(hidden, context), "act2": act()}
    if attributes["squeeze_excite"]:
        layers["squeeze_excite"] = SqueezeExcite(hidden, max(1, channels // 4))
    layers |= {"project": conv2d(hidden, width, point), "norm3": norm(width, context)}
    return MBConv(named(**layers), residual=attributes["stride"] == 1 and width == channels)


_RESIZED_EPS = 1e-3  # of the normalisation behind a pool that changes the width, as released


class SharpSepConv(nn.Sequential):
    """ReLU, depthwise, pointwise to the middle, normalisation, then the same to the width.

    Stride and dilation are those of the first half.
    """


def sharp_sep_conv(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    channels, width = in_shape[0], attributes["width"] or in_shape[0]
    # between the two halves: the channels that are given ("choke"), or a multiple of the width ("flood")
    middle, plain = attributes["middle"] or width * attributes["expansion"], {"kernel": attributes["kernel"]}
    layers = OrderedDict(
        relu1=nn.ReLU(),
        depthwise1=conv2d(channels, channels, attributes, channels),
        pointwise1=conv2d(channels, middle, {"kernel": 1}),
        norm1=norm(middle, context),
        relu2=nn.ReLU(),
        depthwise2=conv2d(middle, middle, plain, middle),
        pointwise2=conv2d(middle, width, {"kernel": 1}),
        norm2=norm(width, context),
    )
    return SharpSepConv(layers)


def resizable_pool(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    """3x3 pooling; a 1x1 convolution and a normalisation behind it where the width changes.

    In search mode it ends in a normalisation at any width. Unlike DARTS' mean, this one counts the padding.
    """
    channels, width = in_shape[0], attributes["width"] or in_shape[0]
    kind = nn.MaxPool2d if attributes["pool"] == "max" else nn.AvgPool2d
    pool = kind(3, attributes["stride"], padding=1)
    if width != channels:
        resize = conv2d(channels, width, {"kernel": 1})
        return named(pool=pool, conv=resize, norm=norm(width, context, _RESIZED_EPS))
    return pool if context.mode == "standard" else named(pool=pool, norm=norm(width, context))
