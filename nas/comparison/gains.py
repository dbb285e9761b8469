"""What the choices of each method gain over random architectures and random search (Yang et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nas.comparison.curves import reached
from nas.comparison.reading import Comparison
from nas.comparison.runs import Run, table_of
from nas.statistics import Comparison as Gain
from nas.statistics import compare

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

    over_architectures: Mapping[str, tuple[Gain | None, ...]]
    over_search: Mapping[str, tuple[Gain | None, ...]]
    retrained: Mapping[str, Gain]


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

    def beside(yardsticks: Iterable[Floats | None], method: str) -> tuple[Gain | None, ...]:
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


def _retrained(runs: Sequence[Run], column: int) -> list[float]:
    """Mean over the final retrainings of each run's choice."""
    tables = (run.history.final[:, column] for run in runs)
    return [float(np.nanmean(values)) for values in tables if np.isfinite(values).any()]
