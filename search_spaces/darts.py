"""DARTS: a normal and a reduction cell of four nodes, each with two inputs out of all predecessors.

Liu, Simonyan and Yang 2019, "DARTS: Differentiable Architecture Search" (https://arxiv.org/abs/1806.09055).
Size: a node chooses 2 of its 2, 3, 4 or 5 predecessors and one of 7 operations for each, so a cell has
1 * 3 * 6 * 10 * 7^8 = 1,037,664,180 derivations and the space has 1,076,746,950,455,072,400 (1e18, as the
paper says). `none` takes part in the paper's relaxation only; no discrete cell has it.

Known facts: at 36 channels and 20 layers, without the auxiliary head, for 10 classes, DARTS_V1 has exactly
3,169,414 parameters and DARTS_V2 exactly 3,349,342. Order of the choices: the normal cell first, node by
node; of a node the two operations, then the inputs that they read.
"""

from __future__ import annotations

import ast
from itertools import combinations
from textwrap import shorten

from nas.architecture import Architecture
from nas.dsl import choose, define, oneof, op, ref, repeat
from nas.errors import SpaceError
from nas.space import SearchSpace
from nas.term import Define, Literal, Op, Term, seq

# name in the published genotypes -> operation
OPERATIONS: dict[str, Term] = {
    "max_pool_3x3": op.max_pool_3x3(),
    "avg_pool_3x3": op.avg_pool_3x3(),
    "skip_connect": op.skip(),
    "sep_conv_3x3": op.sep_conv(kernel=3),
    "sep_conv_5x5": op.sep_conv(kernel=5),
    "dil_conv_3x3": op.dil_conv(kernel=3),
    "dil_conv_5x5": op.dil_conv(kernel=5),
}

NODES = 4
_JOINED = range(2, 2 + NODES)  # a cell's output, numbered after its two inputs
_NAMES = {operation: name for name, operation in OPERATIONS.items()}

# the cells of the first-order search (V1) and of the second-order search (V2), as published
DARTS_V1 = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_3x3', 1), "
    "('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)], "
    "normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 0), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), "
    "('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])"
)
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
    "normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), "
    "('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)


def space(channels: int = 36, layers: int = 20) -> SearchSpace:
    """The search space at evaluation size.

    Args:
        channels: of a node in the first cells; doubled by each of the two reduction cells.
        layers: cells, at least 3; the reductions stand at one third and at two thirds.

    Raises:
        SpaceError: too few layers, or no positive number of channels.
    """
    if layers < 3:
        raise SpaceError(f"darts: layers are expected to be at least 3, {layers} came")
    normal = op.cell(*_nodes(), inputs=2, output="concat")
    reduction = op.cell(*_nodes(), inputs=2, output="concat", stride=2)
    body = op.chain(_stack(layers), width=channels) >> op.head()
    return SearchSpace("darts", define(body, normal=normal, reduction=reduction))


def _nodes() -> list[Term]:
    operation = oneof(*OPERATIONS.values())
    return [op.node(operation, operation, inputs=choose(2, *range(2 + number))) for number in range(NODES)]


def _stack(layers: int) -> Term:
    first, second = layers // 3, 2 * layers // 3
    return seq(
        repeat(ref("normal"), first),
        ref("reduction"),
        repeat(ref("normal"), second - first - 1),
        ref("reduction"),
        repeat(ref("normal"), layers - second - 1),
    )


def genotype(architecture: Architecture) -> str:
    """The cells as published genotypes write them; `from_genotype` reads them back.

    Raises:
        SpaceError: the architecture is of another space.
    """
    root = architecture.term
    cells = dict(root.bindings) if isinstance(root, Define) else {}
    normal, reduction = _edges(cells.get("normal")), _edges(cells.get("reduction"))
    if normal is None or reduction is None:
        got = shorten(architecture.text, 100, placeholder=" ...")
        raise SpaceError(f"darts: an architecture of this space is expected; got {got}")
    ends = f"{list(_JOINED)}"
    return f"Genotype(normal={normal}, normal_concat={ends}, reduce={reduction}, reduce_concat={ends})"


def _edges(cell: Term | None) -> list[tuple[str, int]] | None:
    """(operation, input) of all edges of a cell, node by node; None where it is none of this space."""
    nodes = cell.args if isinstance(cell, Op) else ()
    edges: list[tuple[str, int]] = []
    for node in nodes:
        sources = dict(node.attributes).get("inputs") if isinstance(node, Op) else None
        if not (isinstance(node, Op) and isinstance(sources, Literal) and isinstance(sources.value, tuple)):
            return None
        edges += [(_NAMES.get(o, ""), int(i)) for o, i in zip(node.args, sources.value, strict=False)]  # type: ignore[arg-type]
    return edges if len(edges) == 2 * NODES and all(name for name, _ in edges) else None


def from_genotype(search_space: SearchSpace, text: str) -> Architecture:
    """The architecture of a genotype as published: `Genotype(normal=[(operation, input), ...], ...)`.

    The two inputs of a node may come in either order; `range(2, 6)` and `[2, 3, 4, 5]` are the same.

    Raises:
        SpaceError: the text is no such genotype, or its cells are not in the space.
    """
    derivation = search_space.start()
    for cell in _cells(text):
        for option in _options(cell):
            derivation = derivation.take(option)
    return derivation.architecture()


def _options(edges: list[tuple[str, int]]) -> list[int]:
    """Options of one cell's choices, in derivation order."""
    order = list(OPERATIONS)
    options: list[int] = []
    for number in range(NODES):
        pair = sorted(edges[2 * number : 2 * number + 2], key=lambda edge: edge[1])
        sources = (pair[0][1], pair[1][1])
        pairs = list(combinations(range(2 + number), 2))
        if sources not in pairs or any(name not in order for name, _ in pair):
            raise SpaceError(
                f"darts: node {number} is expected to have two different inputs of 0..{1 + number} and "
                f"operations of {', '.join(order)}; got {pair}"
            )
        options += [order.index(name) for name, _ in pair]
        if number:  # the first node has no choice of inputs
            options.append(pairs.index(sources))
    return options


def _cells(text: str) -> list[list[tuple[str, int]]]:
    """Edges of the normal and of the reduction cell."""
    try:
        call = ast.parse(text.strip(), mode="eval").body
        given = (
            {keyword.arg: keyword.value for keyword in call.keywords} if isinstance(call, ast.Call) else {}
        )
        cells = [ast.literal_eval(given[name]) for name in ("normal", "reduce")]
        well_formed = all(map(_is_cell, cells))
        well_formed &= all(_joins_all(given[name]) for name in ("normal_concat", "reduce_concat"))
    except (SyntaxError, ValueError, TypeError, KeyError, RecursionError, MemoryError):
        well_formed, cells = False, []
    if not well_formed:
        raise SpaceError(
            "darts: Genotype(normal=[...], normal_concat=[2, 3, 4, 5], reduce=[...], reduce_concat=...) is "
            f"expected, with 8 edges (operation, input) in each cell; got {text[:80]!r}"
        )
    return cells


def _is_cell(edges: object) -> bool:
    return (
        isinstance(edges, list)
        and len(edges) == 2 * NODES
        and all(isinstance(edge, tuple) and list(map(type, edge)) == [str, int] for edge in edges)
    )


def _joins_all(node: ast.expr) -> bool:
    """Whether all nodes are joined, as `range(2, 6)` or as a list."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        return [ast.literal_eval(argument) for argument in node.args] == [_JOINED.start, _JOINED.stop]
    return list(ast.literal_eval(node)) == list(_JOINED)
