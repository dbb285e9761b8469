"""NAS-Bench-201: cells with an operation on each of six edges.

Dong and Yang 2020, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search"
(https://arxiv.org/abs/2001.00326). Size: 5^6 = 15,625 cells, all of them trained by the authors;
6,466 up to isomorphism, by their count.

Known facts: 16 channels in the stem, three stages of N = 5 cells with 16, 32 and 64 channels, residual blocks
of stride 2 between them; the benchmark lists the parameters of every network, which these networks
have exactly. The order of the choices is that of the benchmark's strings: edge by edge, by target node.
"""

from __future__ import annotations

import re

from nas.architecture import Architecture
from nas.dsl import add, define, oneof, op, ref, repeat
from nas.errors import SpaceError
from nas.space import SearchSpace
from nas.term import Define, Op, Term

# name in the benchmark -> operation; the order is that of the benchmark's own list
OPERATIONS = {
    "none": op.zero(),
    "skip_connect": op.skip(),
    "nor_conv_1x1": op.relu_conv_bn(kernel=1),
    "nor_conv_3x3": op.relu_conv_bn(kernel=3),
    "avg_pool_3x3": op.avg_pool_3x3(),
}
_NAMES = {operation: name for name, operation in OPERATIONS.items()}
_EDGES = ((0,), (0, 1), (0, 1, 2))  # sources of the edges into each node


def space(channels: int = 16, cells: int = 5) -> SearchSpace:
    """The search space.

    Args:
        channels: of the first stage; doubled at each of the two reductions.
        cells: in each of the three stages.
    """
    edge = oneof(*OPERATIONS.values())
    nodes = [op.node(*[edge] * len(sources), inputs=sources) for sources in _EDGES]
    network = (
        op.stem(width=channels)
        >> repeat(ref("cell"), cells)
        >> _reduction(2 * channels)
        >> repeat(ref("cell"), cells)
        >> _reduction(4 * channels)
        >> repeat(ref("cell"), cells)
        >> op.batchnorm()
        >> op.relu()
        >> op.head()
    )
    return SearchSpace("nasbench201", define(network, cell=op.cell(*nodes, inputs=1, output="last")))


def _reduction(width: int) -> Term:
    """The residual block between stages; its shortcut is a mean over 2x2 and a 1x1 convolution."""
    body = op.relu_conv_bn(kernel=3, width=width, stride=2) >> op.relu_conv_bn(kernel=3, width=width)
    return add(body, op.avgpool(kernel=2, stride=2, padding="valid") >> op.pointwise(width=width, bias=False))


def benchmark_string(architecture: Architecture) -> str:
    """The cell as the benchmark writes it: `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`, source nodes behind `~`.

    Raises:
        SpaceError: the architecture is of another space.
    """
    root = architecture.term
    cell = dict(root.bindings).get("cell") if isinstance(root, Define) else None
    if not isinstance(cell, Op) or len(cell.args) != len(_EDGES):
        raise SpaceError(f"nasbench201: an architecture of this space is expected; got {architecture.text}")
    nodes = []
    for node, sources in zip(cell.args, _EDGES, strict=True):
        edges = node.args if isinstance(node, Op) else ()
        named = [f"{_NAMES[edge]}~{source}" for edge, source in zip(edges, sources, strict=True)]  # type: ignore[index]
        nodes.append("|" + "|".join(named) + "|")
    return "+".join(nodes)


def from_benchmark_string(search_space: SearchSpace, text: str) -> Architecture:
    """The architecture whose cell the benchmark writes like this.

    Raises:
        SpaceError: the text is no such string.
    """
    nodes = text.strip().split("+")
    pairs = [re.findall(r"([^|~]+)~(\d)\|", node) for node in nodes]
    sources = tuple(tuple(int(source) for _, source in node) for node in pairs)
    unknown = [name for node in pairs for name, _ in node if name not in OPERATIONS]
    if sources != _EDGES or unknown or not all(node.startswith("|") for node in nodes):
        listed = ", ".join(OPERATIONS)
        raise SpaceError(
            f"nasbench201: |op~0|+|op~0|op~1|+|op~0|op~1|op~2| is expected with op of {listed}; got {text!r}"
        )
    order = list(OPERATIONS)
    derivation = search_space.start()
    for node in pairs:
        for name, _ in node:
            derivation = derivation.take(order.index(name))
    return derivation.architecture()
