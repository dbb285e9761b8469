"""The cell of a NAS-Bench-201 network, read from its expression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.errors import SpaceError
from nas.language import Define, Literal, Op, Ref, Repeat, Seq, Term

if TYPE_CHECKING:
    from nas.space import Architecture

_PLAIN = {"zero": "none", "skip": "skip", "avg_pool_3x3": "pool"}


@dataclass(frozen=True, slots=True)
class Edge:
    """An operation between two nodes.

    Attributes:
        source: number of the node that it reads; 0 is the cell's input.
        operation: "none", "skip", "pool" or "conv".
        kernel: of a convolution, odd; 0 of others.
    """

    source: int
    operation: str
    kernel: int = 0


Cell = tuple[tuple[Edge, ...], ...]
"""The edges into each node after the input; the last node is the output."""


def read_cell(architecture: Architecture) -> tuple[Cell, Term]:
    """The cell, and the network around it.

    Raises:
        SpaceError: the architecture is none that NAS-Bench-201's spaces define.
    """
    root = architecture.term
    cell = dict(root.bindings).get("cell") if isinstance(root, Define) else None
    if not isinstance(root, Define) or len(root.bindings) != 1 or not _is_cell(cell):
        raise SpaceError(
            "expected a network with one cell of one input, whose last node is its output, "
            f"got {architecture.text[:60]}"
        )
    assert isinstance(cell, Op)
    if not _reads_cell(root.body):
        raise SpaceError("a network that repeats its cell is expected; this one has none in it")
    return tuple(_node(number, node) for number, node in enumerate(cell.args, start=1)), root.body


def _is_cell(term: Term | None) -> bool:
    if not isinstance(term, Op) or term.name != "cell":
        return False
    return dict(term.attributes) == {"inputs": Literal(1), "output": Literal("last")}


def _reads_cell(term: Term) -> bool:
    """Whether the cell occurs, as one of the network's parts or repeated."""
    if isinstance(term, Seq):
        return any(map(_reads_cell, term.parts))
    return _reads_cell(term.body) if isinstance(term, Repeat) else term == Ref("cell")


def _node(number: int, node: Term) -> tuple[Edge, ...]:
    """The edges of a node; it may read all nodes before it."""
    attributes = dict(node.attributes) if isinstance(node, Op) and node.name == "node" else {}
    sources = attributes.get("inputs")
    if not isinstance(node, Op) or set(attributes) != {"inputs"} or not isinstance(sources, Literal):
        raise SpaceError(f"expected a node with the attribute inputs, got {str(node)[:60]}")
    numbers = sources.value if isinstance(sources.value, tuple) else (sources.value,)
    edges = []
    for source, operation in zip(numbers, node.args, strict=True):
        if not isinstance(source, int) or not 0 <= source < number:
            raise SpaceError(f"node {number}: expected inputs from 0 to {number - 1}, got {source}")
        edges.append(_edge(source, operation))
    return tuple(edges)


def _edge(source: int, term: Term) -> Edge:
    if isinstance(term, Op) and not term.args:
        if term.name in _PLAIN and not term.attributes:
            return Edge(source, _PLAIN[term.name])
        attributes = dict(term.attributes)
        kernel = attributes.get("kernel")
        if term.name == "relu_conv_bn" and set(attributes) == {"kernel"} and isinstance(kernel, Literal):
            value = kernel.value
            if isinstance(value, int) and value % 2:
                return Edge(source, "conv", value)
    raise SpaceError(
        "expected zero(), skip(), avg_pool_3x3() or relu_conv_bn(kernel=odd) on an edge, "
        f"got {str(term)[:60]}"
    )
