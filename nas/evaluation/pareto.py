"""Domination of points by several losses: ranks, the front, crowding distances, hypervolume.

All losses are minimised; NaN counts as +inf. Ranks and crowding distances are those of NSGA-II (Deb et al.
2002, https://doi.org/10.1109/4235.996017); domination and volumes are computed by moocore.
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
    Equal points share a front.

    Args:
        losses: shape (n, d).
        violations: shape (n,), total violation of the constraints; 0 or less is feasible; None: all are.
    """
    from moocore import pareto_rank

    points = _as_points(losses)
    count = len(points)
    given = np.zeros(count) if violations is None else np.asarray(violations, float)
    if given.shape != (count,):
        raise ValueError(f"violations: expected one for each of {count} points; got shape {given.shape}")
    given = np.where(np.isnan(given), np.inf, np.maximum(given, 0.0))
    feasible, ranks = given == 0, np.zeros(count, np.int64)
    if feasible.any():
        ranks[feasible] = pareto_rank(points[feasible])
    behind = ranks.max(initial=0) + 1 if feasible.any() else 0
    ranks[~feasible] = behind + np.unique(given[~feasible], return_inverse=True)[1]
    return ranks


def non_dominated(losses: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other dominates; shape (n,). Equal points stay together.

    Args:
        losses: shape (n, d).
    """
    from moocore import is_nondominated

    points = _as_points(losses)
    return is_nondominated(points, keep_weakly=True) if len(points) else np.zeros(0, bool)


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """Exact volume that the points dominate up to the reference.

    Args:
        points: shape (n, d).
        reference: shape (d,); points that are not strictly better in each objective add nothing.
    """
    import moocore

    reference = np.asarray(reference, float)
    points = np.asarray(points, float).reshape(-1, reference.size)
    points = points[(points < reference).all(axis=1)]
    return float(moocore.hypervolume(points, ref=reference)) if len(points) else 0.0


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
