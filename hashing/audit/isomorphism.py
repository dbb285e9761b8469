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

from nas.errors import SpaceError
from nas.hashing.audit.cell import Cell, Edge, read_cell
from nas.hashing.digests import Digest, hex_of
from nas.space import Architecture
from nas.study import Hashed, Hasher

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


def _edge(edge: Edge, source: _Terms, zeros: bool, sums: bool, pooling: bool) -> _Terms:
    if edge.operation == "none" or source == (() if zeros else (_ZERO,)):
        return () if zeros else (_ZERO,)
    if edge.operation == "skip":
        return source if sums else ("+".join(source),)
    parts = source if edge.operation == "pool" and pooling else ("+".join(source),)
    return tuple(f"({part})@{edge.operation}{edge.kernel or ''}" for part in parts)
