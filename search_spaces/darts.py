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

from nas.language import Term, op
from nas.search_spaces.darts_cells import architecture_of, cell_space, genotype_of
from nas.space import Architecture, SearchSpace

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
    return cell_space("darts", list(OPERATIONS.values()), channels, layers)


def genotype(architecture: Architecture) -> str:
    """The cells as published genotypes write them; `from_genotype` reads them back.

    Raises:
        SpaceError: the architecture is of another space.
    """
    return genotype_of("darts", architecture, _NAMES.get)


def from_genotype(search_space: SearchSpace, text: str) -> Architecture:
    """The architecture of a genotype as published: `Genotype(normal=[(operation, input), ...], ...)`.

    The two inputs of a node may come in either order; `range(2, 6)` and `[2, 3, 4, 5]` are the same.

    Raises:
        SpaceError: the text is no such genotype, or its cells are not in the space.
    """
    return architecture_of(search_space, text, list(OPERATIONS))
