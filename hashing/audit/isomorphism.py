"""NAS-Bench-201's own count of distinct cells: expressions as strings, up to the order of addends.

Dong and Yang 2020, "NAS-Bench-201" (https://arxiv.org/abs/2001.00326), section 2: 6,466 of the 15,625 cells
are distinct. A node is the sorted sum of what its edges make of their sources; a skip connection is its
source, and an edge is zero where its operation is `none` or its source is a single zero. Zeros stay in
sums and sums inside sums are not flattened, so that (0 + 0) is no zero, and sorting may tell x + (y + z) from
(x + y) + z: the count depends a little on this notation, which is theirs. A convolution has no identity: two
convolutions of one value look like one that is used twice.

The options add what the strings leave out, one rule after the other, to show where the numbers of classes
part; with all of them, the strings still know no weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.errors import SpaceError
from nas.hashing.digests import Digest, hex_of
from nas.language import Define, Literal, Op, Ref, Repeat, Seq, Term
from nas.space import Architecture
from nas.study import Hashed, Hasher

if TYPE_CHECKING:
    from nas.space import Architecture


_PLAIN = {"zero": "none", "skip": "skip", "avg_pool_3x3": "pool"}


@dataclass(frozen=True, slots=True)
class OperationEdge:
    """An operation between two nodes.

    Attributes:
        source: number of the node that it reads; 0 is the cell's input.
        operation: "none", "skip", "pool" or "conv".
        kernel: of a convolution, odd; 0 of others.
    """

    source: int
    operation: str
    kernel: int = 0


Cell = tuple[tuple[OperationEdge, ...], ...]
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


def _node(number: int, node: Term) -> tuple[OperationEdge, ...]:
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
        edges.append(_operation_edge(source, operation))
    return tuple(edges)


def _operation_edge(source: int, term: Term) -> OperationEdge:
    if isinstance(term, Op) and not term.args:
        if term.name in _PLAIN and not term.attributes:
            return OperationEdge(source, _PLAIN[term.name])
        attributes = dict(term.attributes)
        kernel = attributes.get("kernel")
        if term.name == "relu_conv_bn" and set(attributes) == {"kernel"} and isinstance(kernel, Literal):
            value = kernel.value
            if isinstance(value, int) and value % 2:
                return OperationEdge(source, "conv", value)
    raise SpaceError(
        "expected zero(), skip(), avg_pool_3x3() or relu_conv_bn(kernel=odd) on an edge, "
        f"got {str(term)[:60]}"
    )


VERSION = 1
_ZERO = "#"
_Terms = tuple[str, ...]


class IsomorphicHasher(Hasher):
    """Merges cells of NAS-Bench-201 that its authors count as one.

    Args:
        zeros: zeros are dropped from sums, and a sum of nothing is zero.
        sums: sums inside sums are flattened.
        pooling: pooling is distributed over sums.
    """

    name = "isomorphic"

    def __init__(self, *, zeros: bool = False, sums: bool = False, pooling: bool = False) -> None:
        self.rules = (zeros, sums, pooling)

    def hash(self, architecture: Architecture) -> Hashed:
        try:
            cell, network = read_cell(architecture)
        except SpaceError as error:
            return Hashed(None, reason=f"isomorphic: {error}")
        written = expression(cell, *self.rules)
        return Hashed(str(Digest("isomorphic", VERSION, 0, hex_of(str(network), repr(self.rules), written))))

    def explain(self, architecture: Architecture) -> str:
        """The string itself."""
        return expression(read_cell(architecture)[0], *self.rules)


def expression(cell: Cell, zeros: bool = False, sums: bool = False, pooling: bool = False) -> str:
    """The string by which the authors tell cells apart, by their rules or by more of them."""
    values: list[_Terms] = [("0",)]
    for edges in cell:
        terms = [term for edge in edges for term in _edge(edge, values[edge.source], zeros, sums, pooling)]
        values.append(tuple(sorted(terms)))
    return "+".join(values[-1])


def _edge(edge: OperationEdge, source: _Terms, zeros: bool, sums: bool, pooling: bool) -> _Terms:
    if edge.operation == "none" or source == (() if zeros else (_ZERO,)):
        return () if zeros else (_ZERO,)
    if edge.operation == "skip":
        return source if sums else ("+".join(source),)
    parts = source if edge.operation == "pool" and pooling else ("+".join(source),)
    return tuple(f"({part})@{edge.operation}{edge.kernel or ''}" for part in parts)
