"""Methods compared after the same cost: some evaluate at lower fidelities, ask a cache or share weights.

Numbers of evaluations at the highest fidelity leave out what other trials cost, and what a cache saves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nas.comparison.curves import Quantity
from nas.comparison.reading import Comparison
from nas.comparison.runs import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TOLERANCE = 1e-9  # relative, of sums of costs
OUTLIER = 0.5  # a run that cost less than this share of the median one does not bound the costs


@dataclass(frozen=True, slots=True)
class Cost:
    """One at which methods are compared.

    Attributes:
        seconds: of work.
        budget: the number of evaluations that it stands for.
        bounded: whether it is what the cheapest run has spent, as not all runs have spent the median one.
    """

    seconds: float
    budget: int
    bounded: bool


def equal_costs(comparison: Comparison, runs: Mapping[str, Sequence[Run]]) -> tuple[Cost, ...]:
    """What each budget costs, ascending; none where all methods pay alike, or none pays for each evaluation.

    The median cost of so many evaluations over all runs of the methods that pay for each evaluation alone.
    Runs that used up their trials count nowhere beyond what they spent, and the dear ones of a method are
    not the method: no cost is therefore above that of the cheapest such run.

    Args:
        comparison: as read.
        runs: not cut at the largest budget.
    """
    differing = {
        method
        for method, its in runs.items()
        if any(run.history.cache is not None or run.history.works for run in its)
    }
    cheaper = differing.union(comparison.mixed)
    single = [run for method, its in runs.items() if method not in cheaper for run in its]
    if not cheaper or not single:
        return ()
    limit, found = _limit(single), []
    for budget in comparison.budgets:
        spent = [
            float(spending(run)[run.position[budget - 1]]) for run in single if run.position.size >= budget
        ]
        median = float(np.median(spent)) if spent else math.nan
        seconds = min(median, limit)
        if seconds > (found[-1].seconds if found else 0.0):
            found.append(Cost(seconds, budget, limit < median))
    return tuple(found)


def at_costs(quantity: Quantity, runs: Mapping[str, Sequence[Run]], costs: Sequence[Cost]) -> Quantity:
    """The quantity of each run when it had spent each cost, shape (seeds, costs).

    NaN for a run that ended earlier, unless its searcher had nothing left.

    Args:
        quantity: after each evaluation of `runs`.
        runs: not cut at the largest budget.
        costs: ascending.
    """
    points = np.array([cost.seconds for cost in costs]) * (1 + TOLERANCE)
    tables = {
        method: np.array(
            [_held(quantity.values[method][row], run, points, quantity.worst) for row, run in enumerate(its)],
            float,
        ).reshape(len(its), points.size)
        for method, its in runs.items()
    }
    return replace(quantity, values=tables)


def spending(run: Run) -> Floats:
    """Seconds of work of all trials, at any fidelity, up to and with each one that ended."""
    return np.cumsum(run.history.cost)


def _held(values: Floats, run: Run, points: Floats, worst: float) -> Floats:
    if not len(run.history):
        return np.full(points.size, math.nan)
    spent = spending(run)
    place = np.searchsorted(spent[run.position], points, side="right") - 1
    held = np.where(place >= 0, values[place.clip(0)], worst)
    return held if run.keeps else np.where(points < spent[-1] * (1 + 2 * TOLERANCE), held, math.nan)


def _limit(runs: Sequence[Run]) -> float:
    """The least that a finished run spent which used up its trials."""
    ended = [run for run in runs if run.history.state == "finished" and not run.keeps and len(run.history)]
    spent = np.array([spending(run)[-1] for run in ended])
    usual = spent[spent >= OUTLIER * np.median(spent)] if spent.size else spent
    return float(usual.min(initial=math.inf))
