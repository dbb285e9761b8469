"""sharpDARTS: DARTS' cells with separable convolutions of any middle width, from three lists of operations.

Hundt, Jain and Hager 2019, "sharpDARTS: Faster and More Accurate Differentiable Architecture Search"
(https://arxiv.org/abs/1903.09900) and its released code. Macro architecture and order of the choices are
those of DARTS (`nas.search_spaces.darts_cells`). Every convolution is the same block of two separable
convolutions; a "flood" has four times the width in the middle, a "choke" 32 channels whatever the width (96
on ImageNet).

Size: with n operations an edge, a cell has 180 * n^8 derivations. The list "darts" (7 operations, DARTS'
names) gives 1,076,746,950,455,072,400 (1e18) architectures, "sharp" (8) 9,119,789,245,425,254,400 (9e18) and
"sharper" (11) 1,488,771,247,579,738,016,400 (1e21). As in DARTS, `none` takes part in the relaxation only.

Known facts, at 36 channels and 20 layers, without the auxiliary head, for 10 classes: DARTS_V2 with these
blocks has 3,529,270 parameters. The supernets at 16 channels and 8 layers have 5,867,642 ("sharp") and
9,707,002 ("sharper"). `from_genotype` reads the genotypes of the released code.
"""

from __future__ import annotations

from nas.errors import SpaceError
from nas.language import Choice, Literal, Op, Term, op
from nas.search_spaces.darts_cells import architecture_of, cell_space, genotype_of
from nas.space import Architecture, SearchSpace

LISTS: dict[str, tuple[str, ...]] = {
    "darts": (
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
    ),
    "sharp": (
        "max_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "dil_conv_3x3",
        "flood_conv_3x3",
        "dil_flood_conv_3x3",
        "choke_conv_3x3",
        "dil_choke_conv_3x3",
    ),
    "sharper": (
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "sep_conv_7x7",
        "dil_conv_3x3",
        "dil_conv_5x5",
        "flood_conv_3x3",
        "flood_conv_5x5",
        "dil_flood_conv_3x3",
    ),
}
"""Names of the operations in published genotypes, in the released order, without `none`."""

MIDDLE = 32
_FLOOD = 4  # middle channels over channels out


def operation(name: str, middle: int = MIDDLE) -> Term:
    """The operation of a name of `LISTS`; `middle` is the choke's."""
    if name == "skip_connect":
        return op.skip()
    if "pool" in name:
        return op.resizable_pool(pool=name[:3])
    attributes = {"dilation": 2} if name.startswith("dil_") else {}
    if "flood" in name:
        attributes["expansion"] = _FLOOD
    if "choke" in name:
        attributes["middle"] = middle
    return op.sharp_sep_conv(kernel=int(name[-1]), **attributes)


_NAMES = {operation(name): name for names in LISTS.values() for name in names}


def space(
    primitives: str = "sharp", channels: int = 36, layers: int = 20, middle: int = MIDDLE
) -> SearchSpace:
    """The search space at evaluation size.

    Args:
        primitives: name of the list of operations: "darts" (the SharpSepConvDARTS space), "sharp" (the
            sharpDARTS space) or "sharper".
        channels: of a node in the first cells; doubled by each of the two reduction cells.
        layers: cells, at least 3; the reductions stand at one third and at two thirds.
        middle: channels in the middle of a choke.

    Raises:
        SpaceError: no such list, too few layers, or no positive number of channels.
    """
    if primitives not in LISTS:
        expected = ", ".join(LISTS)
        raise SpaceError(f"sharp_darts: primitives are expected to be one of {expected}; got {primitives!r}")
    operations = [operation(name, middle) for name in LISTS[primitives]]
    return cell_space("sharp_darts", operations, channels, layers)


def genotype(architecture: Architecture) -> str:
    """The cells as published genotypes write them, in which the choke's middle has no place.

    Raises:
        SpaceError: the architecture is of another space.
    """
    return genotype_of("sharp_darts", architecture, _name)


def _name(term: Term) -> str | None:
    if isinstance(term, Op):
        attributes = [(n, Literal(MIDDLE) if n == "middle" else value) for n, value in term.attributes]
        term = Op(term.name, term.args, tuple(attributes))
    return _NAMES.get(term)


def from_genotype(search_space: SearchSpace, text: str) -> Architecture:
    """The architecture of a genotype as published: `Genotype(normal=[(operation, input), ...], ...)`.

    The two inputs of a node may come in either order; `range(2, 6)` and `[2, 3, 4, 5]` are the same.

    Raises:
        SpaceError: the text is no such genotype, or its cells are not in the space.
    """
    first = search_space.start().choice
    names = [_name(option) for option in first.options] if isinstance(first, Choice) else []
    return architecture_of(search_space, text, [name or "" for name in names])
