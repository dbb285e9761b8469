"""Larger images for what a small feature map does not show."""

from __future__ import annotations

from nas.language import Shape

_LARGEST = 48  # pixels a side of a cell's or a primitive's input
SIDES = (12, 24, 48, 96)  # of the images; the first at which every map is large enough


def enlarged(shapes: tuple[Shape, ...]) -> tuple[Shape, ...] | None:
    """The next larger shapes of inputs that belong together; None beyond the largest.

    Where one has half the sides of another, rounded up, it has half of them afterwards.
    """
    maps = [shape for shape in shapes if len(shape) == 3]
    if not maps:
        return None
    smallest = min(min(shape[1:]) for shape in maps)
    side = 6
    while side <= smallest:
        side *= 2
    if side > _LARGEST:
        return None
    return tuple(_at(shape, smallest, side) if len(shape) == 3 else shape for shape in shapes)


def _at(shape: Shape, smallest: int, side: int) -> Shape:
    return (shape[0], *(side * _ratio(length, smallest) for length in shape[1:]))


def _ratio(length: int, smallest: int) -> int:
    """The power of two that brings one side down to another."""
    ratio = 1
    while -(-length // ratio) > smallest:
        ratio *= 2
    return ratio


def too_small(what: str) -> str:
    return (
        f"{what}: expected feature maps of at least 3 pixels a side, and larger than its windows reach; got "
        f"smaller ones on the largest images that are tried, of {SIDES[-1]} pixels; hash such networks by a "
        "normal form"
    )
