"""Distances from results to candidates, kept from one ask to the next while their scales stay the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from algorithms.distances import Codes, Distances, Floats, Packed


class Measured:
    """Distances from known architectures, which become more, to each other and to others.

    Args:
        distances: measures.

    Attributes:
        between: distances (kinds, n, n) between the known ones.
    """

    def __init__(self, distances: Distances) -> None:
        self._distances = distances
        self._known: Codes = ()
        self._trusted: Codes = ()
        self._columns: dict[str, Floats] = {}  # (kinds, what was known then) of each of the latest others
        self._rows: tuple[Packed, ...] = ()
        self.rescale(())

    def rescale(self, scales: Sequence[Floats]) -> None:
        """Forgets all distances; scales are (groups,) of each kind."""
        self._scales = scales
        self._columns.clear()
        self.between: Floats = np.zeros((len(scales), 0, 0))

    def know(self, codes: Codes) -> None:
        """All known ones: first those that were known before, then new ones."""
        new = self._pack(codes[self.between.shape[1] :])
        self._known, self._trusted = codes, ()
        pairs = zip(self._rows, new, strict=True)
        self._rows = tuple(rows.above(more) for rows, more in pairs) if self.between.size else new
        self.between = grown(self.between, self._measure(self._rows, new))

    def trust(self, codes: Codes) -> Floats:
        """Distances (kinds, n + m, m) of all to m more, which count as known until the next `know`."""
        self._trusted, more = codes, self._pack(codes)
        return np.concatenate([self._measure(self._rows, more), self._measure(more, more)], axis=1)

    def to(self, names: Sequence[str], codes: Codes) -> Floats:
        """Distances (kinds, known, others) to others.

        Those that also were in the latest call with fewer known ones are measured from the new ones only.
        """
        known = len(self._known)
        found = np.empty((len(self._scales), known, len(codes)))
        new = [i for i, name in enumerate(names) if name not in self._columns]
        found[:, :, new] = self._measure(self._rows, self._pack([codes[i] for i in new]))
        if old := [i for i, name in enumerate(names) if name in self._columns]:
            before = np.stack([self._columns[names[i]] for i in old], axis=2)
            rows = self._pack(self._known[before.shape[1] :])
            found[:, : before.shape[1], old] = before
            found[:, before.shape[1] :, old] = self._measure(rows, self._pack([codes[i] for i in old]))
        self._columns.update(zip(names, np.moveaxis(found, 2, 0), strict=True))
        self._columns = {name: each for name, each in self._columns.items() if each.shape[1] == known}
        if not self._trusted:
            return found
        return np.concatenate([found, self._measure(self._pack(self._trusted), self._pack(codes))], axis=1)

    def _pack(self, codes: Codes) -> tuple[Packed, ...]:
        return self._distances.pack(codes)

    def _measure(self, rows: Sequence[Packed], others: Sequence[Packed]) -> Floats:
        return self._distances.between(rows, others, self._scales)


def grown(between: Floats, added: Floats) -> Floats:
    """Distances (kinds, n, n) with further columns (kinds, n + m, m), and rows, as they are symmetric."""
    n = between.shape[1]
    wide = np.concatenate([between, added[:, :n]], axis=2)
    return np.concatenate([wide, added.transpose(0, 2, 1)], axis=1)
