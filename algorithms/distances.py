"""Distances between architectures for kernels, generic over spaces, each decision with a scale of its own.

Kinds, from `nas.encoding`: "one_hot" (L1 between decisions: a Hamming distance), "numeric" (squared
distance between ordered values as shares of their range, if the space has any), "count" (L1 between how
often each primitive and each value of an attribute occurs, wherever: what a few results say most about),
and what is known of the network's structure: "path" where it has cells, since cells that compute the same
often have the same paths (White et al. 2021, BANANAS), "ngram" elsewhere (L1 between counts).

The features of one hole are a group, whatever the repeat or rule around it; counts are one group, the
structure is another. A distance is a sum over groups, each multiplied by its scale.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nas.encoding import Encoder, Features
from nas.term import Choice, Literal, Number, Op, Repeat, Term, children

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from nas.architecture import Architecture
    from nas.sites import Site
    from nas.space import SearchSpace

    Floats = NDArray[np.float64]

# Counts are told apart up to 8, then in steps of a quarter to an eighth: 32 copies are much like 33.
_LEVELS = (*range(1, 9), *(step * 2**power for power in range(1, 8) for step in (5, 6, 7, 8)))

# By the beginning of a feature's name; "primitives" is left out, as the counts of single names sum to it.
_KINDS = {"hole": "one_hot", "has": "one_hot", "number": "numeric"} | {
    kind: kind for kind in ("count", "path", "ngram")
}


class Code(NamedTuple):
    """One architecture in one kind of encoding: the columns that are 1, and columns with a share."""

    ones: NDArray[np.intp]
    places: NDArray[np.intp]
    shares: Floats


Codes = Sequence[tuple[Code, ...]]


class Packed(NamedTuple):
    """Architectures as rows, in one kind of encoding; features that came later have no column."""

    ones: csr_array
    shares: Floats


class _Kind:
    """One kind of encoding: its columns and their groups, which grow with the features that occur."""

    def __init__(self, name: str) -> None:
        self.squared = name == "numeric"
        self._ones: dict[tuple[str, int], int] = {}
        self._places: dict[str, int] = {}
        self._group_of_ones: list[int] = []
        self._group_of_places: list[int] = []
        self._groups: dict[str, int] = {}

    @property
    def groups(self) -> int:
        return max(1, len(self._groups))

    def code(self, features: Features) -> Code:
        ones, places, shares = [], [], []
        for name, value in features.items():
            if _is_share(name):
                places.append(self._place(name))
                shares.append(value)
            else:
                ones += [self._column(name, level) for level in range(bisect_right(_LEVELS, value))]
        return Code(np.array(ones, np.intp), np.array(places, np.intp), np.array(shares, float))

    def pack(self, codes: Sequence[Code]) -> Packed:
        """As matrices with a column for each feature so far."""
        from scipy.sparse import csr_array

        columns = np.concatenate([code.ones for code in codes]) if codes else np.zeros(0, np.intp)
        ends = np.cumsum([0, *(len(code.ones) for code in codes)])
        shape = (len(codes), len(self._ones))
        shares = np.zeros((len(codes), len(self._places)))
        for i, code in enumerate(codes):
            shares[i, code.places] = code.shares
        return Packed(csr_array((np.ones(len(columns)), columns, ends), shape=shape), shares)

    def between(self, rows: Packed, others: Packed, scales: Floats) -> Floats:
        """Distances (rows, others); scales (groups,), for groups that came later their geometric mean."""
        if (later := self.groups - len(scales)) > 0:
            scales = np.append(scales, np.full(later, np.exp(np.log(scales).mean())))
        found = np.zeros((len(rows.shares), len(others.shares)))
        if self._ones:
            found += _symmetric_difference(rows.ones, others.ones, scales[self._group_of_ones])
        if self._places:
            weights = scales[self._group_of_places] ** (0.5 if self.squared else 1.0)
            a, b = (_widened(each.shares, len(weights)) * weights for each in (rows, others))
            found += _apart(a, b, self.squared)
        return np.maximum(found, 0.0)  # sums of scaled ones are rounded

    def by_group(self, rows: Sequence[Code]) -> Floats:
        """Distances (groups, rows, rows) of every group alone."""
        found = np.zeros((self.groups, len(rows), len(rows)))
        packed, shares = self.pack(rows)
        ones = packed.toarray()
        for group, distances in enumerate(found):
            a = ones[:, [g == group for g in self._group_of_ones]]
            if a.size:
                distances += a.sum(1)[:, None] + a.sum(1)[None, :] - 2.0 * a @ a.T
            b = shares[:, [g == group for g in self._group_of_places]]
            if b.size:
                distances += _apart(b, b, self.squared)
        return found

    def _column(self, name: str, level: int) -> int:
        if (column := self._ones.get((name, level))) is None:
            column = self._ones[name, level] = len(self._ones)
            self._group_of_ones.append(self._group(name))
        return column

    def _place(self, name: str) -> int:
        if (place := self._places.get(name)) is None:
            place = self._places[name] = len(self._places)
            self._group_of_places.append(self._group(name))
        return place

    def _group(self, name: str) -> int:
        hole = re.match(r"(?:hole|has|number):(\d+)\[", name)
        return self._groups.setdefault(hole[1] if hole else "", len(self._groups))


class Distances:
    """Codes architectures of one space and measures how far they are apart.

    Args:
        space: the architectures' space.
        example: any of them, which shows whether there are cells.
    """

    def __init__(self, space: SearchSpace, example: Architecture) -> None:
        structure = "path" if _has_cell(example.network) else "ngram"
        ordered = ["numeric"] if any(map(_is_ordered, space.layout.sites)) else []
        self.names = ("one_hot", *ordered, "count", structure)
        self._encoder = Encoder(space, self.names)
        self._kinds = [_Kind(name) for name in self.names]

    @property
    def groups(self) -> tuple[int, ...]:
        """How many groups each kind has so far; it grows with the features that occur."""
        return tuple(kind.groups for kind in self._kinds)

    def code(self, architecture: Architecture) -> tuple[Code, ...]:
        """One code of each kind; columns of new features are added."""
        found: dict[str, Features] = {name: {} for name in self.names}
        for name, value in self._encoder.features(architecture).items():
            kind = _KINDS.get(name.partition(":")[0])
            if kind is not None:
                found[kind][name] = value
        return tuple(kind.code(features) for kind, features in zip(self._kinds, found.values(), strict=True))

    def pack(self, codes: Codes) -> tuple[Packed, ...]:
        """Codes as matrices, to measure from several times."""
        return tuple(kind.pack([code[i] for code in codes]) for i, kind in enumerate(self._kinds))

    def between(self, rows: Sequence[Packed], others: Sequence[Packed], scales: Sequence[Floats]) -> Floats:
        """Distances (kinds, rows, others) with scales (groups,) of each kind; later groups may lack."""
        parts = zip(self._kinds, rows, others, scales, strict=True)
        return np.stack([kind.between(a, b, scale) for kind, a, b, scale in parts])

    def by_group(self, rows: Codes) -> list[Floats]:
        """For each kind the distances (groups, rows, rows) of every group alone, at scale 1."""
        return [kind.by_group([row[i] for row in rows]) for i, kind in enumerate(self._kinds)]


def _symmetric_difference(rows: csr_array, others: csr_array, weights: Floats) -> Floats:
    """Weight of the columns that just one of two rows has, (rows, others).

    Sparse, as programs have thousands of columns; the matrices may lack the latest of them.
    """
    a, b = rows.copy(), others.copy()
    for matrix in (a, b):
        matrix.resize(matrix.shape[0], len(weights))
    a.data = weights[a.indices]
    common = a @ b.toarray().T
    return a.sum(axis=1)[:, None] + (b @ weights)[None, :] - 2.0 * common


def _widened(matrix: Floats, width: int) -> Floats:
    return np.pad(matrix, ((0, 0), (0, width - matrix.shape[1])))


def _apart(rows: Floats, others: Floats, squared: bool) -> Floats:
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(rows, others, "sqeuclidean" if squared else "cityblock"), dtype=np.float64)


def _is_ordered(site: Site) -> bool:
    """Whether the numeric encoding has a feature of this hole."""
    match site.term:
        case Number():
            return True
        case Repeat():
            return len(site.options) > 1
        case Choice(options):
            return all(isinstance(o, Literal) and type(o.value) in (int, float) for o in options)
        case _:
            return False


def _is_share(name: str) -> bool:
    return name.startswith("number:") or (name.startswith("hole:") and "=" not in name)


def _has_cell(term: Term) -> bool:
    return (isinstance(term, Op) and term.name == "cell") or any(map(_has_cell, children(term)))
