"""Distances between architectures for kernels, generic over spaces, with a scale for each decision.

Kinds, from `nas.space.encoding`: "one_hot" (L1 between decisions: a Hamming distance), "numeric" (squared
distance between ordered values as shares of their range, if the space has any), "count" (L1 between the
counts of each primitive and each value of an attribute anywhere, about which few results say most), and the
structure of the network: "path" where it has cells, since cells that compute the same often have the same
paths (White et al. 2021, BANANAS), "ngram" elsewhere (L1 between counts).

The features of one hole are a group, whatever the repeat or rule around it; counts are one group, the
structure is another. A distance is a sum over groups, each multiplied by its scale.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nas.language import Choice, Literal, Number, Op, Repeat, Term, children
from nas.space import Encoder, Features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nas.space import Architecture, SearchSpace, Site

    Floats = NDArray[np.float64]


# Counts differ up to 8, then in steps of a quarter to an eighth: 32 copies are much like 33.
_LEVELS = (*range(1, 9), *(step * 2**power for power in range(1, 8) for step in (5, 6, 7, 8)))


class SparseCode(NamedTuple):
    """One architecture in one kind of encoding: the columns that are 1, and columns with a share."""

    ones: NDArray[np.intp]
    places: NDArray[np.intp]
    shares: Floats


Codes = Sequence[tuple[SparseCode, ...]]


class CodeMatrix(NamedTuple):
    """Architectures as rows, in one kind of encoding; features that occurred later have no column.

    Attributes:
        columns: that are 1, concatenated over all rows.
        ends: where the columns of each row begin, and where those of the last end, (rows + 1,).
        shares: (rows, places).
    """

    columns: NDArray[np.intp]
    ends: NDArray[np.intp]
    shares: Floats

    @property
    def rows(self) -> NDArray[np.intp]:
        """Of each column in `columns`."""
        return np.repeat(np.arange(len(self.shares)), np.diff(self.ends))

    def above(self, lower: CodeMatrix) -> CodeMatrix:
        """Its rows, then those of another that was packed later."""
        columns = np.concatenate([self.columns, lower.columns])
        ends = np.concatenate([self.ends, self.ends[-1] + lower.ends[1:]])
        return CodeMatrix(
            columns, ends, np.concatenate([_widened(self.shares, lower.shares.shape[1]), lower.shares])
        )


class _Kind:
    """One kind of encoding: its columns and their groups, which grow with the features that occur."""

    def __init__(self, name: str) -> None:
        self.squared = name == "numeric"
        self._columns: dict[tuple[str, float], list[int]] = {}  # of features that are not shares
        self._ones: dict[tuple[str, int], int] = {}
        self._places: dict[str, int] = {}
        self._group_of_ones = array("q")  # long lists would be converted to numpy in each ask
        self._group_of_places = array("q")
        self._groups: dict[str, int] = {}

    @property
    def groups(self) -> int:
        return max(1, len(self._groups))

    def code(self, features: Features) -> SparseCode:
        ones: list[int] = []
        places, shares = [], []
        for feature in features.items():
            if (columns := self._columns.get(feature)) is not None:
                ones += columns
            elif (place := self._places.get(feature[0])) is not None or _is_share(feature[0]):
                places.append(self._place(feature[0]) if place is None else place)
                shares.append(feature[1])
            else:
                name, levels = feature[0], range(bisect_right(_LEVELS, feature[1]))
                self._columns[feature] = [self._column(name, level) for level in levels]
                ones += self._columns[feature]
        return SparseCode(np.array(ones, np.intp), np.array(places, np.intp), np.array(shares, float))

    def pack(self, codes: Sequence[SparseCode]) -> CodeMatrix:
        """The codes as a matrix, with a place for each share so far."""
        columns, ends = _joined([code.ones for code in codes], np.intp)
        places, last = _joined([code.places for code in codes], np.intp)
        shares = np.zeros((len(codes), len(self._places)))
        rows = np.repeat(np.arange(len(codes)), np.diff(last))
        shares[rows, places] = _joined([code.shares for code in codes], np.float64)[0]
        return CodeMatrix(columns, ends, shares)

    def between(self, rows: CodeMatrix, others: CodeMatrix, scales: Floats) -> Floats:
        """Distances (rows, others); scales (groups,), whose geometric mean newer groups take."""
        if (later := self.groups - len(scales)) > 0:
            scales = np.append(scales, np.full(later, np.exp(np.log(scales).mean())))
        found = np.zeros((len(rows.shares), len(others.shares)))
        if self._ones:
            found += _symmetric_difference(rows, others, scales[np.array(self._group_of_ones)])
        if self._places:
            weights = scales[np.array(self._group_of_places)] ** (0.5 if self.squared else 1.0)
            a, b = (each.shares * weights[: each.shares.shape[1]] for each in (rows, others))
            found += _apart(a, b, self.squared)
        return np.maximum(found, 0.0)  # rounding may make them negative

    def by_group(self, rows: Sequence[SparseCode]) -> Floats:
        """Distances (groups, rows, rows) of each group separately."""
        found = np.zeros((self.groups, len(rows), len(rows)))
        packed = self.pack(rows)
        used, columns = np.unique(packed.columns, return_inverse=True)  # most are those of candidates
        ones = np.zeros((len(rows), len(used)))
        ones[packed.rows, columns] = 1.0
        group_of_ones, group_of_places = np.array(self._group_of_ones)[used], np.array(self._group_of_places)
        for group, distances in enumerate(found):
            a = ones[:, group_of_ones == group]
            if a.size:
                distances += a.sum(1)[:, None] + a.sum(1)[None, :] - 2.0 * a @ a.T
            b = packed.shares[:, group_of_places == group]
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
    """Codes architectures of one space and measures their distances.

    Args:
        space: of the architectures.
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
        """Number of groups of each kind so far; it grows with the features that occur."""
        return tuple(kind.groups for kind in self._kinds)

    def code(self, architecture: Architecture) -> tuple[SparseCode, ...]:
        """One code of each kind; columns of new features are added."""
        found = self._encoder.by_kind(architecture)
        if "ngram" in found:
            del found["ngram"]["primitives"]  # the counts of single names sum to it
        return tuple(kind.code(found[name]) for name, kind in zip(self.names, self._kinds, strict=True))

    def pack(self, codes: Codes) -> tuple[CodeMatrix, ...]:
        """Codes as matrices, which serve for several measurements."""
        return tuple(kind.pack([code[i] for code in codes]) for i, kind in enumerate(self._kinds))

    def between(
        self, rows: Sequence[CodeMatrix], others: Sequence[CodeMatrix], scales: Sequence[Floats]
    ) -> Floats:
        """Distances (kinds, rows, others) with scales (groups,) of each kind, which may lack later groups."""
        parts = zip(self._kinds, rows, others, scales, strict=True)
        return np.stack([kind.between(a, b, scale) for kind, a, b, scale in parts])

    def by_group(self, rows: Codes) -> list[Floats]:
        """For each kind the distances (groups, rows, rows) of each group separately, at scale 1."""
        return [kind.by_group([row[i] for row in rows]) for i, kind in enumerate(self._kinds)]


def _joined(parts: Sequence[NDArray[Any]], kind: type) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Concatenated arrays, and where each begins and the last ends."""
    ends = np.zeros(len(parts) + 1, np.intp)
    np.cumsum([len(part) for part in parts], out=ends[1:])
    return np.concatenate(parts) if parts else np.zeros(0, kind), ends


def _symmetric_difference(rows: CodeMatrix, others: CodeMatrix, weights: Floats) -> Floats:
    """Weight of the columns that just one of two rows has, (rows, others)."""
    from scipy.sparse import csr_array

    shared = np.flatnonzero(np.bincount(rows.columns))  # of thousands; most are those of candidates
    place = np.full(len(weights), len(shared))
    place[shared] = np.arange(len(shared))
    shape = (len(rows.shares), len(shared) + 1)
    a = csr_array((weights[rows.columns], place[rows.columns], rows.ends), shape=shape)
    b = np.zeros((len(shared) + 1, len(others.shares)))  # the last row is for what no row of `a` has
    b[place[others.columns], others.rows] = 1.0
    totals = np.bincount(others.rows, weights[others.columns], minlength=len(others.shares))
    return a.sum(axis=1)[:, None] + totals[None, :] - 2.0 * np.asarray(a @ b, np.float64)


def _widened(matrix: Floats, width: int) -> Floats:
    return np.pad(matrix, ((0, 0), (0, width - matrix.shape[1])))


def _apart(rows: Floats, others: Floats, squared: bool) -> Floats:
    """Distances (rows, others) of rows with the same columns, of which either may lack the last."""
    from scipy.spatial.distance import cdist

    width = max(rows.shape[1], others.shape[1])
    rows, others = _widened(rows, width), _widened(others, width)
    used = rows.any(axis=0) | others.any(axis=0)
    kind = "sqeuclidean" if squared else "cityblock"
    return np.asarray(cdist(rows[:, used], others[:, used], kind), dtype=np.float64)


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


class DistanceCache:
    """Distances from a growing number of known architectures to each other and to others.

    Args:
        distances: with which they are measured.

    Attributes:
        between: distances (kinds, n, n) between the known ones.
    """

    def __init__(self, distances: Distances) -> None:
        self._distances = distances
        self._known: Codes = ()
        self._trusted: Codes = ()
        self._columns: dict[str, Floats] = {}  # (kinds, known ones at that time) of each of the latest others
        self._rows: tuple[CodeMatrix, ...] = ()
        self.rescale(())

    def rescale(self, scales: Sequence[Floats]) -> None:
        """Forgets all distances; scales are (groups,) of each kind."""
        self._scales = scales
        self._columns.clear()
        self.between: Floats = np.zeros((len(scales), 0, 0))

    def know(self, codes: Codes) -> None:
        """Sets the known ones: first those that were known before, then new ones."""
        new = self._distances.pack(codes[self.between.shape[1] :])
        self._known, self._trusted = codes, ()
        pairs = zip(self._rows, new, strict=True)
        self._rows = tuple(rows.above(more) for rows, more in pairs) if self.between.size else new
        self.between = grown(self.between, self._measure(self._rows, new))

    def trust(self, codes: Codes) -> Floats:
        """Distances (kinds, n + m, m) of all to m more, which count as known until the next `know`."""
        self._trusted, more = codes, self._distances.pack(codes)
        return np.concatenate([self._measure(self._rows, more), self._measure(more, more)], axis=1)

    def to(self, names: Sequence[str], codes: Codes) -> Floats:
        """Distances (kinds, known, others) to others.

        Others that were in the latest call too are measured from the newly known ones only.
        """
        known = len(self._known)
        found = np.empty((len(self._scales), known, len(codes)))
        new = [i for i, name in enumerate(names) if name not in self._columns]
        pack = self._distances.pack
        found[:, :, new] = self._measure(self._rows, pack([codes[i] for i in new]))
        if old := [i for i, name in enumerate(names) if name in self._columns]:
            before = np.stack([self._columns[names[i]] for i in old], axis=2)
            rows = pack(self._known[before.shape[1] :])
            found[:, : before.shape[1], old] = before
            found[:, before.shape[1] :, old] = self._measure(rows, pack([codes[i] for i in old]))
        self._columns.update(zip(names, np.moveaxis(found, 2, 0), strict=True))
        self._columns = {name: each for name, each in self._columns.items() if each.shape[1] == known}
        if not self._trusted:
            return found
        return np.concatenate([found, self._measure(pack(self._trusted), pack(codes))], axis=1)

    def _measure(self, rows: Sequence[CodeMatrix], others: Sequence[CodeMatrix]) -> Floats:
        return self._distances.between(rows, others, self._scales)


def grown(between: Floats, added: Floats) -> Floats:
    """Distances (kinds, n, n) with further columns (kinds, n + m, m) and, by symmetry, further rows."""
    n = between.shape[1]
    wide = np.concatenate([between, added[:, :n]], axis=2)
    return np.concatenate([wide, added.transpose(0, 2, 1)], axis=1)
