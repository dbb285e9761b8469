"""Domination of points by several losses: ranks, the front, crowding distances (Deb et al. 2002).

https://doi.org/10.1109/4235.996017. All losses are minimised; NaN counts as +inf.

Hypervolume of a front of several objectives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def non_domination_ranks(losses: ArrayLike, violations: ArrayLike | None = None) -> NDArray[np.int64]:
    """Number of each point's front under constrained domination, from 0 (Deb et al. 2002, III.A and VI).

    A feasible point dominates every infeasible one, of two infeasible ones the one with the smaller
    violation dominates, of two feasible ones the one that is no worse in any loss and better in one.
    Equal points share a front. Time O(d n^2), memory O(n^2).

    Args:
        losses: shape (n, d).
        violations: shape (n,), total violation of the constraints; 0 or less is feasible; None: all are.
    """
    points = _as_points(losses)
    beats = _domination(points, _as_violations(violations, len(points)))
    dominators = beats.sum(axis=0)
    ranks = np.full(len(points), -1, np.int64)
    rank = 0
    while (left := ranks < 0).any():
        front = left & (dominators == 0)
        ranks[front] = rank
        dominators = dominators - beats[front].sum(axis=0)
        rank += 1
    return ranks


def _domination(points: Floats, violations: Floats) -> NDArray[np.bool_]:
    """Whether point i (row) dominates point j (column); shape (n, n)."""
    no_worse = np.ones((len(points), len(points)), bool)
    better = np.zeros_like(no_worse)
    for column in points.T:
        no_worse &= column[:, None] <= column
        better |= column[:, None] < column
    both_feasible = (violations[:, None] == 0) & (violations == 0)
    return np.where(both_feasible, no_worse & better, violations[:, None] < violations)


def non_dominated(losses: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other dominates; shape (n,). Equal points stay together.

    Time O(d n f) for a front of f points: for the large sets of a report.

    Args:
        losses: shape (n, d).
    """
    points = _as_points(losses)
    left = np.lexsort(points.T[::-1]) if len(points) else np.empty(0, np.int64)
    front = np.zeros(len(points), bool)
    while left.size:
        first = points[left[0]]  # nothing that sorts after it dominates it
        front[left[0]] = True
        others = points[left[1:]]
        dominated = (first <= others).all(axis=1) & (first < others).any(axis=1)
        left = left[1:][~dominated]
    return front


def crowding_distances(losses: ArrayLike) -> Floats:
    """How lonely each point of one front is: the sides of the box that its neighbours span, added up.

    Each side is a share of the front's range; the ends of each loss get +inf (Deb et al. 2002, III.B). A
    loss that is equal for all, or infinite for some, adds nothing.

    Args:
        losses: shape (n, d).
    """
    points = _as_points(losses)
    distances = np.zeros(len(points))
    for column in points.T:
        order = np.argsort(column, kind="stable")
        ordered = column[order]
        if not np.isfinite(ordered).all() or ordered[0] == ordered[-1]:
            continue
        ordered = np.ldexp(ordered, -exponent_of(ordered))  # so that no difference overflows
        distances[order[1:-1]] += (ordered[2:] - ordered[:-2]) / (ordered[-1] - ordered[0])
        distances[order[[0, -1]]] = np.inf
    return distances


def exponent_of(values: Floats) -> int:
    """Of the power of two that brings the largest finite size into [0.5, 1), so that no sum overflows."""
    finite = np.abs(values[np.isfinite(values)])
    return int(np.frexp(finite.max(initial=0.0))[1])


def _as_points(losses: ArrayLike) -> Floats:
    points = np.asarray(losses, float)
    if not len(points):
        return np.empty((0, 0))
    if points.ndim != 2:
        raise ValueError(f"losses: expected shape (points, losses); got {points.shape}")
    return np.where(np.isnan(points), np.inf, points)


def _as_violations(violations: ArrayLike | None, count: int) -> Floats:
    if violations is None:
        return np.zeros(count)
    given = np.asarray(violations, float)
    if given.shape != (count,):
        raise ValueError(f"violations: expected one for each of {count} points; got shape {given.shape}")
    return np.where(np.isnan(given), np.inf, np.maximum(given, 0.0))


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
