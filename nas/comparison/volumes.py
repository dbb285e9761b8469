"""Hypervolume of several objectives after every evaluation, as a share of the best front's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nas.comparison.reading import Comparison
from nas.comparison.runs import Run, table_of
from nas.hypervolume import hypervolume
from nas.pareto import exponent_of, non_dominated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Volumes:
    """Hypervolumes of all runs.

    Attributes:
        shares: of each method, shape (seeds, largest budget), of `whole`.
        reference: the reference point, in the order of the objectives.
        given: whether the comparison states it; otherwise it is the worst value of each objective that any
            run measured.
        whole: the hypervolume of the best front.
        known: whether that is the true one's, as the comparison states it; otherwise it is that of the union
            of the fronts of all runs.
    """

    shares: Mapping[str, Floats]
    reference: tuple[float, ...]
    given: bool
    whole: float
    known: bool


def volumes(comparison: Comparison, runs: Mapping[str, Sequence[Run]]) -> Volumes:
    """Exact hypervolumes (`nas.hypervolume`) of everything evaluated so far, failures adding nothing."""
    every = np.concatenate([_losses(run, comparison) for its in runs.values() for run in its])
    reference = _reference(comparison, every)
    # each objective in a power of two of its own, so that no product overflows: shares stay as they are
    exponents = np.array([exponent_of(column) for column in np.append(every, reference[None], axis=0).T])
    near = np.ldexp(reference, -exponents)
    stated = comparison.optimum.get("hypervolume")
    union = hypervolume(front(np.ldexp(every, -exponents)), near)
    scaled = union if stated is None else float(np.ldexp(stated, -exponents.sum()))

    def share(run: Run) -> Floats:
        return growth(np.ldexp(_losses(run, comparison), -exponents), near) / (scaled or math.nan)

    signs = _signs(comparison)
    with np.errstate(over="ignore"):
        whole = float(np.ldexp(union, exponents.sum())) if stated is None else stated
    return Volumes(
        shares=table_of(runs, share, comparison.horizon),
        reference=tuple((signs * reference).tolist()),
        given=_states_reference(comparison),
        whole=whole,
        known="hypervolume" in comparison.optimum,
    )


def growth(points: Floats, reference: Floats) -> Floats:
    """Hypervolume of the first 1, 2, .. points, all minimised; rows with NaN add nothing."""
    best: Floats = np.empty((0, reference.size))
    volume, found = 0.0, np.empty(len(points))
    for index, point in enumerate(points):
        if (point < reference).all() and not (best <= point).all(axis=1).any():
            best = np.concatenate([best[~(point <= best).all(axis=1)], point[None]])
            volume = hypervolume(best, reference)
        found[index] = volume
    return found


def front(points: Floats) -> Floats:
    """The points that no other one dominates, all minimised, each once; rows with NaN are left out."""
    measured = np.unique(points[~np.isnan(points).any(axis=1)], axis=0)
    return measured[non_dominated(measured)]


def _losses(run: Run, comparison: Comparison) -> Floats:
    columns = [comparison.names.index(objective.name) for objective in comparison.objectives]
    return _signs(comparison) * run.history.values[run.position][:, columns]


def _signs(comparison: Comparison) -> Floats:
    return np.array([1.0 if o.direction == "minimize" else -1.0 for o in comparison.objectives])


def _states_reference(comparison: Comparison) -> bool:
    return all(objective.name in comparison.reference for objective in comparison.objectives)


def _reference(comparison: Comparison, points: Floats) -> Floats:
    if _states_reference(comparison):
        stated = [comparison.reference[objective.name] for objective in comparison.objectives]
        return _signs(comparison) * np.array(stated)
    usable = points[~np.isnan(points).any(axis=1)]
    return usable.max(axis=0) if len(usable) else np.zeros(points.shape[1])
