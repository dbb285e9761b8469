"""Shapes without numbers: two equal symbols are equal shapes, whatever the input is.

A symbol is a pair of channels and sides: channels are a number or a symbol, sides what reduced them so
far. The rules are those of `nas.layers.shapes`; a rule that is not known here gives a symbol of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nas.language import Primitive
from nas.layers import shapes

Channels = Any  # a number, or a hashable symbol
Symbol = tuple[Channels, tuple[Any, ...]]

INPUT: Symbol = ("in", ())
_UNCHANGED = (shapes.same, shapes.groupnorm, shapes.squeeze_excite)


@dataclass(frozen=True, slots=True)
class Around:
    """What parts inherit from the composites around them; as `nas.language.primitives.Context`, with symbols.

    Attributes:
        width: channels of operations that do not give their own; None: as many as come in.
        stride: of the first part that takes one.
        ambient: the stride of the place as a whole; where it is not 1, strides are written out.
    """

    width: Channels = None
    stride: int = 1
    ambient: int = 1


def shape_after(
    primitive: Primitive, values: dict[str, Any], before: Symbol, around: Around, text: str
) -> Symbol:
    """The shape that a layer makes.

    Args:
        primitive: the layer.
        values: of all its attributes, strides resolved.
        before: the shape that comes in.
        around: its surroundings.
        text: of the layer, for a symbol of its own.
    """
    rule, (channels, sides) = primitive.shape, before
    stride = values.get("stride")
    if rule in _UNCHANGED or (rule is shapes.skip and stride == 1):
        return before
    if rule is shapes.zero or rule is shapes.skip:  # the factorized reduction of a skip keeps its channels
        return channels, _reduced(sides, stride)
    if rule is shapes.factorized_reduce:
        return values.get("width") or around.width or channels, _reduced(sides, 2)
    if rule is shapes.conv:
        has_width = primitive.attribute("width") is not None
        width = (values.get("width") or around.width or channels) if has_width else channels
        return width, _windows(sides, values, stride or 1)
    if rule is shapes.pool:
        return channels, _windows(sides, values, stride or values["kernel"])
    return ("after", text, before, around.width), ()


def _windows(sides: tuple[Any, ...], values: dict[str, Any], stride: int) -> tuple[Any, ...]:
    if values.get("padding", "same") == "same":
        return _reduced(sides, stride)
    return (*sides, ("valid", values["kernel"], values.get("dilation", 1), stride))


def _reduced(sides: tuple[Any, ...], stride: Any) -> tuple[Any, ...]:
    """Sides of ceil(side / stride)."""
    return sides if stride in (1, None) else (*sides, stride)
