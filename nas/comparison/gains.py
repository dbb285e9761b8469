"""What the choices of each method gain over random architectures and random search (Yang et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nas.comparison.curves import Quantity, reached
from nas.comparison.equal import Cost, at_costs
from nas.comparison.reading import Comparison
from nas.comparison.runs import Run, table_of
from nas.statistics import Improvement, compare, mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Gains:
    """The reported quantity of chosen architectures beside a yardstick; methods without values are left out.

    Attributes:
        over_architectures: by method, one for each budget: beside random architectures, the average; None
            where less than half of the method's runs hold a value.
        over_search: by method, one for each budget: beside random search with the same budget, so without
            methods of several fidelities; None likewise.
        retrained: by method: means over the final retrainings of each run's choice, beside random
            architectures.
    """

    over_architectures: Mapping[str, tuple[Improvement | None, ...]]
    over_search: Mapping[str, tuple[Improvement | None, ...]]
    retrained: Mapping[str, Improvement]


def gains_of(comparison: Comparison, runs: Mapping[str, tuple[Run, ...]]) -> Gains:
    """Relative improvements with intervals and rank tests (`nas.statistics.compare`)."""
    column = comparison.names.index(comparison.reported.name)
    direction, random = comparison.reported.direction, comparison.random
    values = table_of(runs, lambda run: run.of_choice(column), comparison.horizon)
    measured = [method for method in comparison.methods if np.isfinite(values[method]).any()]
    average = comparison.baseline.values[:, column]
    places = [budget - 1 for budget in comparison.budgets]

    searched: list[Floats | None] = []
    if random is not None:
        sufficient = reached(values[random])[1]
        searched = [values[random][:, place] if sufficient[place] else None for place in places]

    def beside(yardsticks: Iterable[Floats | None], method: str) -> tuple[Improvement | None, ...]:
        enough = reached(values[method])[1]
        return tuple(
            compare(values[method][:, place], yardstick, direction=direction)
            if enough[place] and yardstick is not None
            else None
            for place, yardstick in zip(places, yardsticks, strict=True)
        )

    return Gains(
        over_architectures={method: beside([average] * len(places), method) for method in measured},
        over_search={
            method: beside(searched, method)
            for method in measured
            if random is not None and method != random and method not in comparison.mixed
        },
        retrained={
            method: compare(means, average, direction=direction)
            for method, its in runs.items()
            if len(means := _retrained(its, column))
        },
    )


def gains_at_costs(
    comparison: Comparison, runs: Mapping[str, tuple[Run, ...]], costs: Sequence[Cost]
) -> dict[str, tuple[Improvement | None, ...]]:
    """By method, one for each cost: its choices beside those of random search that cost as much.

    None where less than half of the runs of a side hold a value. Empty without random search or costs.

    Args:
        comparison: with the longest run's number of evaluations as its largest budget.
        runs: not cut at the largest budget.
        costs: ascending.
    """
    column, random = comparison.names.index(comparison.reported.name), comparison.random
    if random is None or not costs:
        return {}
    values = table_of(runs, lambda run: run.of_choice(column), comparison.horizon)
    held = at_costs(Quantity("", "", comparison.reported, values, "value"), runs, costs).values

    def beside(method: str, place: int) -> Improvement | None:
        sides = [held[name][:, place] for name in (method, random)]
        if any(2 * np.isfinite(side).sum() < max(1, side.size) for side in sides):
            return None
        return compare(*sides, direction=comparison.reported.direction)

    others = [method for method in comparison.methods if method != random and np.isfinite(held[method]).any()]
    return {method: tuple(beside(method, place) for place in range(len(costs))) for method in others}


def _retrained(runs: Sequence[Run], column: int) -> list[float]:
    """Mean over the final retrainings of each run's choice."""
    tables = (run.history.final[:, column] for run in runs)
    return [mean(values) for values in tables if np.isfinite(values).any()]
