"""Shape rules of single layers; no torch. Shapes have no batch dimension: (C, H, W) or (F,)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nas.language import Context, Part, Shape, ShapeMismatch, SideMismatch

Attributes = Mapping[str, Any]
Parts = tuple[Part, ...]


def image(in_shape: Shape) -> tuple[int, int, int]:
    """The shape as (C, H, W); raises ShapeMismatch if it is flat."""
    if len(in_shape) != 3:
        raise ShapeMismatch(
            f"expected an image (C, H, W), got {in_shape}; move it before flatten, global_pool or head"
        )
    return in_shape[0], in_shape[1], in_shape[2]


def flat(in_shape: Shape) -> int:
    """Number of features; raises ShapeMismatch for an image."""
    if len(in_shape) != 1:
        raise ShapeMismatch(f"expected (F,), got {in_shape}; put flatten() or global_pool() before it")
    return in_shape[0]


def window(size: int, attributes: Attributes, stride: int) -> int:
    """Positions of a window along one side: ceil(size / stride) for "same" padding.

    Raises:
        ShapeMismatch: without padding the window does not fit.
    """
    if attributes.get("padding", "same") == "same":
        return math.ceil(size / stride)
    reach = attributes.get("dilation", 1) * (attributes["kernel"] - 1) + 1
    if reach > size:
        remedy = 'use padding="same", a smaller kernel or fewer reductions before it'
        raise SideMismatch(f"expected sides of at least {reach} for its window, got {size}", remedy)
    return (size - reach) // stride + 1


def same(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> Shape:  # noqa: ARG001
    """What comes in goes out: activations, dropout, identity, normalisation."""
    return in_shape


def conv(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> Shape:  # noqa: ARG001
    """Also of every operation made of convolutions with one stride and "same" padding."""
    channels, height, width = image(in_shape)
    out = attributes.get("width") or channels
    groups = attributes.get("groups", 1)
    if channels % groups or out % groups:
        raise ShapeMismatch(
            f"expected channels that {groups} groups divide, got {channels} in and {out} out; give groups "
            "that divide both"
        )
    stride = attributes.get("stride", 1)
    return out, window(height, attributes, stride), window(width, attributes, stride)


def pool(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> Shape:  # noqa: ARG001
    """A stride of None is the size of the window."""
    channels, height, width = image(in_shape)
    stride = attributes["stride"] or attributes["kernel"]
    return channels, window(height, attributes, stride), window(width, attributes, stride)


def global_pool(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> Shape:  # noqa: ARG001
    return (image(in_shape)[0],)


def groupnorm(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> Shape:  # noqa: ARG001
    if in_shape[0] % attributes["groups"]:
        raise ShapeMismatch(
            f"expected channels that {attributes['groups']} groups divide, got {in_shape[0]}; give groups "
            "that divide them"
        )
    return in_shape


def flatten(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> Shape:  # noqa: ARG001
    return (math.prod(in_shape),)


def linear(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> Shape:  # noqa: ARG001
    flat(in_shape)
    return (attributes["width"],)


def squeeze_excite(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> Shape:  # noqa: ARG001
    return image(in_shape)


def factorized_reduce(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> Shape:  # noqa: ARG001
    """Half the sides, rounded up; both halves of the channels need at least one."""
    channels, height, width = image(in_shape)
    out = attributes.get("width") or channels
    if out < 2:
        raise ShapeMismatch(
            f"expected a width of at least 2, for its two halves, got {out}; widen the layer before it"
        )
    return out, math.ceil(height / 2), math.ceil(width / 2)


def zero(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> Shape:
    """Every stride-th pixel, from the first."""
    if attributes["stride"] == 1:
        return in_shape
    return (in_shape[0], *conv(in_shape, {"stride": attributes["stride"]}, parts, context)[1:])


def skip(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> Shape:
    """Identity at stride 1, factorized reduction at stride 2."""
    if attributes["stride"] == 1:
        return in_shape
    return factorized_reduce(in_shape, attributes, parts, context)


def head(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> Shape:  # noqa: ARG001
    """Class scores; an image is pooled first."""
    if context.num_classes is None:
        raise ShapeMismatch("expected a number of classes, got none; give num_classes")
    if len(in_shape) != 1:
        image(in_shape)
    return (context.num_classes,)
