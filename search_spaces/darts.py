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

from nas.architecture import Architecture
from nas.dsl import choose, define, oneof, op, ref, repeat
from nas.errors import SpaceError
from nas.space import SearchSpace
from nas.term import Term, seq

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
        layers: cells; the reductions stand at one third and at two thirds. At least 3.
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


def from_genotype(search_space: SearchSpace, text: str) -> Architecture:
    """The architecture of a genotype as published: `Genotype(normal=[(operation, input), ...], ...)`.

    The two inputs of a node may come in either order; `range(2, 6)` and `[2, 3, 4, 5]` are the same.

    Raises:
        SpaceError: the text is no such genotype, or its cells are not in the space.
    """
    cells = _genotype(text)
    decisions = [_cell(cells[name]) for name in ("normal", "reduce")]
    derivation = search_space.start()
    for taken in (option for cell in decisions for option in cell):
        derivation = derivation.take(taken)
    return derivation.architecture()


def _cell(edges: list[tuple[str, int]]) -> list[int]:
    """Options of one cell's choices, in derivation order."""
    order = list(OPERATIONS)
    options: list[int] = []
    for number in range(NODES):
        pair = sorted(edges[2 * number : 2 * number + 2], key=lambda edge: edge[1])
        sources = (pair[0][1], pair[1][1])
        pairs = [(a, b) for a in range(2 + number) for b in range(a + 1, 2 + number)]
        if sources not in pairs or any(name not in order for name, _ in pair):
            listed = ", ".join(order)
            raise SpaceError(
                f"darts: node {number} is expected to have two different inputs of 0..{1 + number} and "
                f"operations of {listed}; got {pair}"
            )
        operations = [order.index(name) for name, _ in pair]
        options += [*operations, pairs.index(sources)] if number else operations
    return options


def _genotype(text: str) -> dict[str, list[tuple[str, int]]]:
    expected = "darts: Genotype(normal=[...], normal_concat=..., reduce=[...], reduce_concat=...) is expected"
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call):
            raise ValueError("no call")
        given = {str(keyword.arg): keyword.value for keyword in call.keywords}
        cells = {name: ast.literal_eval(given[name]) for name in ("normal", "reduce")}
        ends = [_nodes_listed(given[f"{name}_concat"]) for name in ("normal", "reduce")]
    except (SyntaxError, ValueError, KeyError, RecursionError) as error:
        raise SpaceError(f"{expected}; {error}; got {text[:80]!r}") from None
    well_formed = all(
        isinstance(edges, list)
        and len(edges) == 2 * NODES
        and all(isinstance(edge, tuple) and list(map(type, edge)) == [str, int] for edge in edges)
        for edges in cells.values()
    )
    if not well_formed or any(end != list(range(2, 2 + NODES)) for end in ends):
        raise SpaceError(f"{expected}, 8 edges a cell, all four nodes joined; got {text[:80]!r}")
    return cells


def _nodes_listed(node: ast.expr) -> list[int]:
    """`range(a, b)` or a list of integers."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        return list(range(*(int(ast.literal_eval(argument)) for argument in node.args)))
    return list(ast.literal_eval(node))
