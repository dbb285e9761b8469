"""Hypervolume of a front of several objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nas.pareto import non_dominated

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """Exact volume that the points dominate up to the reference, all objectives minimised.

    Exact for any d. Slices along the last objective (Zitzler 2001), O(f^(d-1) log f) for a front of f points:
    for small fronts or d <= 3. What is dominated is left out first.

    Args:
        points: shape (n, d).
        reference: shape (d,); points that are not strictly better in each objective add nothing.
    """
    reference = np.asarray(reference, float)
    points = np.asarray(points, float).reshape(-1, reference.size)
    points = np.unique(points[(points < reference).all(axis=1)], axis=0)
    return _volume(points[non_dominated(points)], reference)


def _volume(points: Floats, reference: Floats) -> float:
    if not len(points):
        return 0.0
    if reference.size == 1:
        return float(reference[0] - points.min())
    points = points[np.argsort(points[:, -1], kind="stable")]
    heights = np.diff(np.append(points[:, -1], reference[-1]))
    if reference.size == 2:
        return float(heights @ (reference[0] - np.minimum.accumulate(points[:, 0])))
    slices = (i for i in range(len(points)) if heights[i] > 0)
    return sum(heights[i] * _volume(points[: i + 1, :-1], reference[:-1]) for i in slices)
