"""Operations of sharpDARTS: separable convolutions with a middle of their own, pooling to another width.

Hundt, Jain and Hager 2019, "sharpDARTS: Faster and More Accurate Differentiable Architecture Search"
(https://arxiv.org/abs/1903.09900) and its released code. Without a middle of its own and without dilation the
block is DARTS' `sep_conv`, but for the width, which the first half takes here and the second half there.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from nas.layers.modules import conv2d, named, norm
from nas.layers.shapes import Attributes, Parts
from nas.primitives import Context, Shape

_RESIZED_EPS = 1e-3  # of the normalisation behind a pool that changes the width, as released


class SharpSepConv(nn.Sequential):
    """ReLU, depthwise, pointwise to the middle, normalisation, then the same to the width.

    Stride and dilation are those of the first half.
    """


def middle_of(width: int, attributes: Attributes) -> int:
    """Channels between the two halves: those given ("choke"), or a multiple of the width ("flood")."""
    return attributes["middle"] or width * attributes["expansion"]


def sharp_sep_conv(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    channels, width = in_shape[0], attributes["width"] or in_shape[0]
    middle, plain = middle_of(width, attributes), {"kernel": attributes["kernel"]}
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
