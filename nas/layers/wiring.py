"""Shape rules of composites and the wiring behind them: what is connected to what; no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from nas.language import Context, Inputs, Part, Shape, ShapeMismatch, SideMismatch
from nas.layers import shapes
from nas.layers.shapes import Attributes, Parts


def add(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> Shape:  # noqa: ARG001
    return _equal([part.shape(in_shape, context) for part in parts], "branch")


def concat(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> Shape:  # noqa: ARG001
    """Along channels, or along the features of flat shapes."""
    return joined([part.shape(in_shape, context) for part in parts], "branch")


def residual(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> Shape:  # noqa: ARG001
    return larger(in_shape, parts[0].shape(in_shape, context))


def larger(one: Shape, other: Shape) -> Shape:
    """Elementwise maximum of both shapes; both flattened if their ranks differ."""
    if len(one) != len(other):
        return (max(math.prod(one), math.prod(other)),)
    return tuple(max(a, b) for a, b in zip(one, other, strict=True))


def train(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> Shape:  # noqa: ARG001
    """That of the network: the settings do not change it."""
    return parts[0].shape(in_shape, context)


def node(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> Shape:  # noqa: ARG001
    raise ShapeMismatch("expected a place directly inside a cell, got another; write cell(node(...), ...)")


def cell(in_shape: Inputs, attributes: Attributes, parts: Parts, context: Context) -> Shape:
    return plan_cell(in_shape, attributes, parts, context).out_shape


def chain(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> Shape:
    stem, links = plan_chain(in_shape, attributes, parts, context)
    return links[-1].out_shape if links else stem


def joined(found: list[Shape], what: str) -> Shape:
    """Shapes side by side along channels; the rest of them must agree."""
    _equal([(0, *shape[1:]) for shape in found], what, found)
    return (sum(shape[0] for shape in found), *found[0][1:])


def _equal(keys: list[Shape], what: str, found: list[Shape] | None = None) -> Shape:
    found = found or keys
    for index, key in enumerate(keys):
        if key != keys[0]:
            raise _unequal(f"expected {what} {index} to fit {found[0]}, got {found[index]}", key, keys[0])
    return keys[0]


def _unequal(reason: str, one: Shape, other: Shape) -> ShapeMismatch:
    """What is to be done depends on what differs: rank, channels, sides or both."""
    if len(one) != len(other):
        return ShapeMismatch(f"{reason}; end none or all of them with flatten() or global_pool()")
    if len(one) == 1:
        return ShapeMismatch(f"{reason}; give all the same number of features")
    if one[0] == other[0]:
        return SideMismatch(reason, "give all the same stride and padding")
    remedy = "width" if one[1:] == other[1:] else "width and stride"
    return ShapeMismatch(f"{reason}; give all the same {remedy}")


@dataclass(frozen=True, slots=True)
class CellInput:
    """How an input enters a cell: as it is, through a 1x1 ReLU-Conv-BN, or reduced to half its sides."""

    kind: Literal["identity", "relu_conv_bn", "factorized_reduce"]
    in_shape: Shape


@dataclass(frozen=True, slots=True)
class CellEdge:
    """One operation of a node, with what it reads."""

    source: int
    part: Part
    in_shape: Shape
    context: Context


@dataclass(frozen=True, slots=True)
class CellPlan:
    """A cell with all shapes known; values are numbered inputs first, then nodes."""

    entries: tuple[CellInput, ...]
    nodes: tuple[tuple[CellEdge, ...], ...]
    width: int
    out_shape: Shape


def plan_cell(in_shape: Inputs, attributes: Attributes, parts: Parts, context: Context) -> CellPlan:
    """The wiring of a cell whose input is one shape, or those of the two previous outputs."""
    inputs = _cell_inputs(in_shape, attributes["inputs"])
    width = attributes["width"] or inputs[-1][0]
    target = (width, *inputs[-1][1:])
    entries = tuple(entry(shape, target, always=len(inputs) == 2) for shape in inputs)
    values: list[Shape] = [target] * len(inputs)
    nodes = []
    for part in parts:
        edges, shape = _plan_node(part, values, len(inputs), replace(context, width=width), attributes)
        nodes.append(edges)
        values.append(shape)
    made = values[len(inputs) :]
    out = made[-1] if attributes["output"] == "last" else joined(made, "node")
    return CellPlan(entries, tuple(nodes), width, out)


def _cell_inputs(in_shape: Inputs, count: int) -> tuple[Shape, ...]:
    first = in_shape[0]
    given = (in_shape,) * count if isinstance(first, int) else in_shape[-count:]
    return tuple(shapes.image(shape) for shape in given)  # type: ignore[arg-type]


def entry(shape: Shape, target: Shape, *, always: bool) -> CellInput:
    """How an input of `shape` reaches the `target` width and sides of the cell."""
    if shape[1:] == target[1:]:
        return CellInput("relu_conv_bn" if always or shape != target else "identity", shape)
    if tuple(math.ceil(side / 2) for side in shape[1:]) == target[1:]:
        return CellInput("factorized_reduce", shape)
    raise SideMismatch(
        f"expected inputs of equal or halved sides, got {shape} before one of sides {target[1:]}",
        "halve the sides at most once between two cells",
    )


def _plan_node(
    part: Part, values: list[Shape], num_inputs: int, context: Context, attributes: Attributes
) -> tuple[tuple[CellEdge, ...], Shape]:
    """Edges of one node and the shape of their sum; edges from the cell's inputs take its stride."""
    if part.name != "node":
        raise ShapeMismatch(
            f"expected node(...) as every part, got {part.label}; write node({part.label}(...))"
        )
    sources = part.attributes(context)["inputs"]
    if len(sources) != len(part.parts):
        got = f"{len(part.parts)} operations for the inputs {sources}"
        raise ShapeMismatch(
            f"expected one operation for each input of a node, got {got}; name one input for each"
        )
    edges, found = [], []
    for source, operation in zip(sources, part.parts, strict=True):
        if source >= len(values):
            raise ShapeMismatch(
                f"expected node {len(values)} to read values 0..{len(values) - 1}, got {source}; name an "
                "input of its cell or a node before it"
            )
        stride = attributes["stride"] if source < num_inputs else 1
        edge = CellEdge(source, operation, values[source], replace(context, stride=stride))
        edges.append(edge)
        found.append(operation.shape(edge.in_shape, edge.context))
    return tuple(edges), _equal(found, f"operation of node {len(values)}:")


@dataclass(frozen=True, slots=True)
class Link:
    """One part of a chain; `reads` is 2 for a cell with two inputs, otherwise 1."""

    part: Part
    reads: int
    in_shape: Inputs
    out_shape: Shape
    context: Context


def plan_chain(
    in_shape: Shape, attributes: Attributes, parts: Parts, context: Context
) -> tuple[Shape, tuple[Link, ...]]:
    """Shape after the stem and the links, in order.

    A cell with stride 2 doubles the width for itself and for all that follow.
    """
    stem = (attributes["stem"] * attributes["width"], *shapes.image(in_shape)[1:])
    links = tuple(_links(stem, parts[0].steps, replace(context, width=attributes["width"], stride=1)))
    return stem, links


def _links(stem: Shape, steps: tuple[Part, ...], context: Context) -> Iterator[Link]:
    before, last = stem, stem
    for part in steps:
        is_cell = part.name == "cell"
        settings = part.attributes(context) if is_cell else {}
        if is_cell and settings["stride"] == 2:
            context = replace(context, width=2 * (context.width or 0))
        reads = settings["inputs"] if is_cell else 1
        given: Inputs = (before, last) if reads == 2 else last
        link = Link(part, reads, given, part.shape(given, context), context)
        yield link
        before, last = last, link.out_shape
