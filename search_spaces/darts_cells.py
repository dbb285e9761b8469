"""DARTS' macro architecture with operations of one's own, and its cells as published genotypes write them.

Liu, Simonyan and Yang 2019, "DARTS: Differentiable Architecture Search" (https://arxiv.org/abs/1806.09055):
a normal and a reduction cell of four nodes, each the sum of two operations on two different predecessors.
`darts` and `sharp_darts` are made of it. Order of the choices: the normal cell first, node by node; of a node
the two operations, then the inputs that they read.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from itertools import combinations
from textwrap import shorten

from nas.errors import SpaceError
from nas.language import Define, Literal, Op, Term, choose, define, oneof, op, ref, repeat, seq
from nas.space import Architecture, SearchSpace

NODES = 4
_JOINED = range(2, 2 + NODES)  # a cell's output, numbered after its two inputs

Naming = Callable[[Term], str | None]  # name of an operation in genotypes; None if it has none


def cell_space(name: str, operations: Sequence[Term], channels: int, layers: int) -> SearchSpace:
    """The space of cells with these operations, at evaluation size.

    Args:
        name: of the space.
        operations: that an edge chooses from.
        channels: of a node in the first cells; doubled by each of the two reduction cells.
        layers: cells, at least 3; the reductions stand at one third and at two thirds.

    Raises:
        SpaceError: too few layers, or no positive number of channels.
    """
    if type(layers) is not int or layers < 3:
        raise SpaceError(f"{name}: expected layers to be at least 3, got {layers!r}; give more")
    normal = op.cell(*_nodes(operations), inputs=2, output="concat")
    reduction = op.cell(*_nodes(operations), inputs=2, output="concat", stride=2)
    body = op.chain(_stack(layers), width=channels) >> op.head()
    return SearchSpace(name, define(body, normal=normal, reduction=reduction), gate="none")


def _nodes(operations: Sequence[Term]) -> list[Term]:
    operation = oneof(*operations)
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


def genotype_of(name: str, architecture: Architecture, naming: Naming) -> str:
    """The cells as published genotypes write them; `architecture_of` reads them back.

    Raises:
        SpaceError: the architecture is of another space than the one of this name.
    """
    root = architecture.term
    cells = dict(root.bindings) if isinstance(root, Define) else {}
    normal, reduction = (_edges(cells.get(cell), naming) for cell in ("normal", "reduction"))
    if normal is None or reduction is None:
        got = shorten(architecture.text, 100, placeholder=" ...")
        raise SpaceError(f"{name}: an architecture of this space is expected; got {got}")
    ends = f"{list(_JOINED)}"
    return f"Genotype(normal={normal}, normal_concat={ends}, reduce={reduction}, reduce_concat={ends})"


def _edges(cell: Term | None, naming: Naming) -> list[tuple[str, int]] | None:
    """(operation, input) of all edges of a cell, node by node; None where it is none of this space."""
    nodes = cell.args if isinstance(cell, Op) else ()
    edges: list[tuple[str, int]] = []
    for node in nodes:
        sources = dict(node.attributes).get("inputs") if isinstance(node, Op) else None
        if not (isinstance(node, Op) and isinstance(sources, Literal) and isinstance(sources.value, tuple)):
            return None
        edges += [(naming(o) or "", int(i)) for o, i in zip(node.args, sources.value, strict=False)]  # type: ignore[arg-type]
    return edges if len(edges) == 2 * NODES and all(name for name, _ in edges) else None


def architecture_of(search_space: SearchSpace, text: str, names: Sequence[str]) -> Architecture:
    """The architecture of a genotype as published: `Genotype(normal=[(operation, input), ...], ...)`.

    The two inputs of a node may come in either order; `range(2, 6)` and `[2, 3, 4, 5]` are the same.

    Args:
        search_space: a `cell_space`, of any size.
        text: the genotype.
        names: of its operations, in their order.

    Raises:
        SpaceError: the text is no such genotype, or its cells are not in the space.
    """
    derivation = search_space.start()
    for cell in _cells(search_space.name, text):
        for option in _options(search_space.name, cell, names):
            derivation = derivation.take(option)
    return derivation.architecture()


def _options(space: str, edges: list[tuple[str, int]], order: Sequence[str]) -> list[int]:
    """Options of one cell's choices, in derivation order."""
    options: list[int] = []
    for number in range(NODES):
        pair = sorted(edges[2 * number : 2 * number + 2], key=lambda edge: edge[1])
        sources = (pair[0][1], pair[1][1])
        pairs = list(combinations(range(2 + number), 2))
        if sources not in pairs or any(name not in order for name, _ in pair):
            raise SpaceError(
                f"{space}: node {number} is expected to have two different inputs of 0..{1 + number} and "
                f"operations of {', '.join(order)}; got {pair}"
            )
        options += [order.index(name) for name, _ in pair]
        if number:  # the first node has no choice of inputs
            options.append(pairs.index(sources))
    return options


def _cells(space: str, text: str) -> list[list[tuple[str, int]]]:
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
            f"{space}: Genotype(normal=[...], normal_concat=[2, 3, 4, 5], reduce=[...], reduce_concat=...) "
            f"is expected, with 8 edges (operation, input) in each cell; got {text[:80]!r}"
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
