"""NAS-Bench-201: cells with an operation on each of six edges.

Dong and Yang 2020, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search"
(https://arxiv.org/abs/2001.00326). Size: 5^6 = 15,625 cells, all of them trained by the authors; by their
count 6,466 are distinct, once skip connections are contracted and edges that read zeros count as zeros.

Known facts: 16 channels in the stem, three stages of N = 5 cells with 16, 32 and 64 channels, residual blocks
of stride 2 between them. The benchmark lists parameters and multiply-adds of its networks, which these
networks have: 1,073,466 parameters for the cell that is best on CIFAR-10, at 94.37 % test accuracy.
The order of the choices is that of the benchmark's strings: edge by edge, by target node.
"""

from __future__ import annotations

import re
from textwrap import shorten

from nas.errors import SpaceError
from nas.language import Define, Literal, Op, Term, add, define, oneof, op, ref, repeat
from nas.space import Architecture, SearchSpace

# name in the benchmark -> operation; the order is that of the benchmark's own list
OPERATIONS = {
    "none": op.zero(),
    "skip_connect": op.skip(),
    "nor_conv_1x1": op.relu_conv_bn(kernel=1),
    "nor_conv_3x3": op.relu_conv_bn(kernel=3),
    "avg_pool_3x3": op.avg_pool_3x3(),
}
_ORDER = {name: option for option, name in enumerate(OPERATIONS)}
_NAMES = {operation: name for name, operation in OPERATIONS.items()}
_EDGES = ((0,), (0, 1), (0, 1, 2))  # sources of the edges into each node
_PATTERN = re.compile(r"\|(\w+)~0\|\+\|(\w+)~0\|(\w+)~1\|\+\|(\w+)~0\|(\w+)~1\|(\w+)~2\|")


def space(channels: int = 16, cells: int = 5) -> SearchSpace:
    """The search space.

    Args:
        channels: of the first stage; doubled at each of the two reductions.
        cells: in each of the three stages.

    Raises:
        SpaceError: a number that is not at least 1.
    """
    if type(channels) is not int or type(cells) is not int or min(channels, cells) < 1:
        raise SpaceError(
            "nasbench201: channels and cells are expected to be integers of at least 1; "
            f"got channels={channels!r}, cells={cells!r}; change them"
        )
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
    nodes = cell.args if isinstance(cell, Op) else ()
    if len(nodes) == len(_EDGES):
        written = [_written(node, sources) for node, sources in zip(nodes, _EDGES, strict=True)]
        if None not in written:
            return "+".join(map(str, written))
    got = shorten(architecture.text, 100, placeholder=" ...")
    raise SpaceError(f"nasbench201: an architecture of this space is expected; got {got}")


def _written(node: Term, sources: tuple[int, ...]) -> str | None:
    """A node's part of the string; None if the node is no node of the benchmark's cells."""
    if not isinstance(node, Op) or dict(node.attributes).get("inputs") != Literal(sources):
        return None
    names = [_NAMES.get(edge) for edge in node.args]
    if len(names) != len(sources) or None in names:
        return None
    return "|" + "|".join(f"{name}~{source}" for name, source in zip(names, sources, strict=True)) + "|"


def from_benchmark_string(search_space: SearchSpace, text: str) -> Architecture:
    """The architecture whose cell the benchmark writes like this.

    Raises:
        SpaceError: the text is no such string.
    """
    derivation = search_space.start()
    for name in _names(text.strip()):
        derivation = derivation.take(_ORDER[name])
    return derivation.architecture()


def _names(text: str) -> tuple[str, ...]:
    """The operations of a string, edge by edge."""
    found = _PATTERN.fullmatch(text)
    if found is None or not all(name in OPERATIONS for name in found.groups()):
        listed = ", ".join(OPERATIONS)
        raise SpaceError(
            "nasbench201: |op~0|+|op~0|op~1|+|op~0|op~1|op~2| is expected with op of "
            f"{listed}; got {text[:200]!r}"
        )
    return found.groups()
