"""Distances between architectures for kernels, generic over spaces, each decision with a scale of its own.

Three kinds, from `nas.encoding`: "one_hot" (L1 between decisions: a Hamming distance), "numeric" (squared
distance between ordered values as shares of their range, if the space has any), and what is known of the
network's structure: "path" where it has cells, since cells that compute the same often have the same paths
(White et al. 2021, BANANAS), "ngram" elsewhere (L1 between counts).

The features of one hole are a group, whatever the repeat or rule around it; those of the structure are one
group together. A distance is a sum over groups, each multiplied by its scale.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nas.encoding import Encoder, Features
from nas.term import Choice, Literal, Number, Op, Repeat, Term, children

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nas.architecture import Architecture
    from nas.sites import Site
    from nas.space import SearchSpace

    Floats = NDArray[np.float64]

# Counts are told apart up to 4, then roughly in proportion: 32 copies of a block are 33, not 8 times 4.
_LEVELS = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024])


class Code(NamedTuple):
    """One architecture in one kind of encoding: the columns that are 1, and columns with a share."""

    ones: NDArray[np.intp]
    places: NDArray[np.intp]
    shares: Floats


Codes = Sequence[tuple[Code, ...]]


class _Kind:
    """One kind of encoding: its columns and their groups, which grow with the features that occur."""

    def __init__(self, space: SearchSpace, name: str) -> None:
        self.squared = name == "numeric"
        self._encoder = Encoder(space, (name,))
        self._ones: dict[tuple[str, int], int] = {}
        self._places: dict[str, int] = {}
        self._group_of_ones: list[int] = []
        self._group_of_places: list[int] = []
        self._groups: dict[str, int] = {}

    @property
    def groups(self) -> int:
        return max(1, len(self._groups))

    def code(self, architecture: Architecture) -> Code:
        ones, places, shares = [], [], []
        features: Features = self._encoder.features(architecture)
        for name, value in features.items():
            if name == "primitives":
                continue  # the counts of single names sum to it
            if _is_share(name):
                places.append(self._place(name))
                shares.append(value)
            else:
                levels = int(np.searchsorted(_LEVELS, value, side="right"))
                ones += [self._column(name, level) for level in range(levels)]
        return Code(np.array(ones, np.intp), np.array(places, np.intp), np.array(shares, float))

    def between(self, rows: Sequence[Code], others: Sequence[Code], scales: Floats) -> Floats:
        """Distances (rows, others); scales (groups,), for groups that came later their geometric mean."""
        if (later := self.groups - len(scales)) > 0:
            scales = np.append(scales, np.full(later, np.exp(np.log(scales).mean())))
        found = np.zeros((len(rows), len(others)))
        if self._ones:
            weights = scales[self._group_of_ones].astype(np.float32)
            a, b = self._matrix(rows), self._matrix(others)
            found += (a @ weights)[:, None] + (b @ weights)[None, :] - 2.0 * (a * weights) @ b.T
        if self._places:
            weights = scales[self._group_of_places] ** (0.5 if self.squared else 1.0)
            a, b = self._share_matrix(rows), self._share_matrix(others)
            found += _apart(a * weights, b * weights, self.squared)
        return np.maximum(found, 0.0)  # binary sums are exact, scaled ones are rounded

    def by_group(self, rows: Sequence[Code]) -> Floats:
        """Distances (groups, rows, rows) of every group alone."""
        found = np.zeros((self.groups, len(rows), len(rows)))
        ones, shares = self._matrix(rows), self._share_matrix(rows)
        for group, distances in enumerate(found):
            a = ones[:, [g == group for g in self._group_of_ones]]
            if a.size:
                distances += a.sum(1)[:, None] + a.sum(1)[None, :] - 2.0 * a @ a.T
            b = shares[:, [g == group for g in self._group_of_places]]
            if b.size:
                distances += _apart(b, b, self.squared)
        return found

    def _matrix(self, codes: Sequence[Code]) -> NDArray[np.float32]:
        matrix = np.zeros((len(codes), len(self._ones)), np.float32)
        for row, code in zip(matrix, codes, strict=True):
            row[code.ones] = 1.0
        return matrix

    def _share_matrix(self, codes: Sequence[Code]) -> Floats:
        matrix = np.zeros((len(codes), len(self._places)))
        for row, code in zip(matrix, codes, strict=True):
            row[code.places] = code.shares
        return matrix

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
        self.names = ("one_hot", *ordered, structure)
        self._kinds = [_Kind(space, name) for name in self.names]

    @property
    def groups(self) -> tuple[int, ...]:
        """How many groups each kind has so far; it grows with the features that occur."""
        return tuple(kind.groups for kind in self._kinds)

    def code(self, architecture: Architecture) -> tuple[Code, ...]:
        """One code of each kind; columns of new features are added."""
        return tuple(kind.code(architecture) for kind in self._kinds)

    def between(self, rows: Codes, others: Codes, scales: Sequence[Floats]) -> Floats:
        """Distances (kinds, rows, others) with scales (groups,) of each kind; later groups may lack."""
        parts = zip(self._kinds, scales, strict=True)
        return np.stack(
            [
                kind.between([row[i] for row in rows], [other[i] for other in others], scale)
                for i, (kind, scale) in enumerate(parts)
            ]
        )

    def by_group(self, rows: Codes) -> list[Floats]:
        """For each kind the distances (groups, rows, rows) of every group alone, at scale 1."""
        return [kind.by_group([row[i] for row in rows]) for i, kind in enumerate(self._kinds)]


def _apart(rows: Floats, others: Floats, squared: bool) -> Floats:
    from scipy.spatial.distance import cdist

    return cdist(rows, others, "sqeuclidean" if squared else "cityblock")


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
