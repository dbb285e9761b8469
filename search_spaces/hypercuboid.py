"""HyperCuboid: paths through a grid of layers, strides, widths and operations.

Hundt, Jain and Hager 2019, "sharpDARTS: Faster and More Accurate Differentiable Architecture Search"
(https://arxiv.org/abs/1903.09900), whose differentiable hyper-parameter grid search weighs all edges of
the grid at once; its released code calls it MultiChannelNetwork. An architecture is one path: a stem of one
of the widths, then for each layer a step of stride 1 and a step of stride 2, each a block of two separable
convolutions or a maximum over 3x3 that leads to any of the widths; at the end a block of 768 channels and
the classes.

Size: with C widths and 2 operations, C * (2 * C)^(2 * layers): 67,108,864 (7e7) with the defaults.

The grid has a node for each width behind the stem and behind each step, and an edge for each pair of widths
and each operation between one and the next. A choice of this space is the edge that a path takes out of
the node where it stands. Order of the choices: the stem's width, then the steps as the data flow; of a step
the options are (width, operation), the operation changing fastest, so that option number o leads to width
number o // 2 by operation number o % 2 of `OPERATIONS`. `edges` says so of an architecture, `from_edges`
reads it back.

Known facts: for 3-channel images and 10 classes the authors' hand-made path has 1,035,882 parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from textwrap import shorten
from typing import NamedTuple

from nas.errors import SpaceError
from nas.language import Literal, Op, Seq, Term, oneof, op, seq
from nas.space import Architecture, SearchSpace

CHANNELS = (32, 64, 128, 256)
OPERATIONS = ("sharp_sep_conv", "resizable_pool")


class Edge(NamedTuple):
    """A step of a path; `into` is the width where it starts, `out` the one where it leads."""

    layer: int
    stride: int
    into: int
    out: int
    operation: str


def space(channels: Sequence[int] = CHANNELS, layers: int = 4, last: int = 768) -> SearchSpace:
    """The search space.

    Args:
        channels: the widths, ascending.
        layers: pairs of a step of stride 1 and a step of stride 2; an image is halved so many times.
        last: channels of the block before the classes.

    Raises:
        SpaceError: no such list of integers, or a number below 1.
    """
    given = tuple(channels) if isinstance(channels, list | tuple) else ()
    whole = all(type(number) is int and number > 0 for number in (*given, layers, last))
    if not given or not whole or list(given) != sorted(set(given)):
        raise SpaceError(
            "hypercuboid: channels is expected to be an ascending list of integers of at least 1, layers and "
            f"last of at least 1; got channels={channels!r}, layers={layers}, last={last}"
        )
    steps = [_step(given, stride) for _ in range(layers) for stride in (1, 2)]
    ends = op.sharp_sep_conv(kernel=3, width=last), op.head()
    return SearchSpace("hypercuboid", seq(op.stem(width=oneof(*given)), *steps, *ends))


def _step(channels: tuple[int, ...], stride: int) -> Term:
    return oneof(*(_operation(name, width, stride) for width in channels for name in OPERATIONS))


def _operation(name: str, width: int, stride: int) -> Term:
    if name == "sharp_sep_conv":
        return op.sharp_sep_conv(kernel=3, width=width, stride=stride)
    return op.resizable_pool(width=width, stride=stride)


def edges(architecture: Architecture) -> list[Edge]:
    """The edges of the architecture's path, in order.

    Raises:
        SpaceError: the architecture is of another space.
    """
    term = architecture.term
    parts = [part for part in term.parts if isinstance(part, Op)] if isinstance(term, Seq) else []
    names, widths = [part.name for part in parts[1:-2]], [_width(part) for part in parts[:-2]]
    if len(names) < 2 or parts[0].name != "stem" or not set(names) <= set(OPERATIONS) or not all(widths):
        got = shorten(architecture.text, 100, placeholder=" ...")
        raise SpaceError(f"hypercuboid: an architecture of this space is expected; got {got}")
    return [
        Edge(number // 2, 1 + number % 2, widths[number], widths[number + 1], name)
        for number, name in enumerate(names)
    ]


def _width(part: Op) -> int:
    value = dict(part.attributes).get("width")
    return value.value if isinstance(value, Literal) and isinstance(value.value, int) else 0


def from_edges(search_space: SearchSpace, path: Sequence[Edge]) -> Architecture:
    """The architecture of a path, such as the longest one through the grid.

    Raises:
        SpaceError: edges that do not follow one another, or that are not in the space.
    """
    steps = [(number // 2, 1 + number % 2) for number in range(len(path))]
    joined = all(one.out == other.into for one, other in pairwise(path))
    joined &= all(edge.operation in OPERATIONS for edge in path)
    if not path or not joined or [(edge.layer, edge.stride) for edge in path] != steps:
        raise SpaceError(
            "hypercuboid: edges of a path are expected, a step of stride 1 and one of stride 2 in a layer, "
            f"each by {' or '.join(OPERATIONS)} from where the one before led; got {shorten(str(path), 100)}"
        )
    expression = search_space.expression
    ends = expression.parts[-2:] if isinstance(expression, Seq) else ()
    steps_taken = [_operation(edge.operation, edge.out, edge.stride) for edge in path]
    return search_space.parse(str(seq(op.stem(width=path[0].into), *steps_taken, *ends)))
