"""What the choices of each method gain over random architectures and random search (Yang et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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
        over_architectures: by method, one for each budget: beside random architectures, the average.
        over_search: by method, one for each budget: beside random search with the same budget.
        retrained: by method: means over the final retrainings of each run's choice, beside random
            architectures.
    """

    over_architectures: Mapping[str, tuple[Gain, ...]]
    over_search: Mapping[str, tuple[Gain, ...]]
    retrained: Mapping[str, Gain]


def gains_of(comparison: Comparison, runs: Mapping[str, tuple[Run, ...]]) -> Gains:
    """Relative improvements with intervals and rank tests (`nas.statistics.compare`)."""
    column = comparison.names.index(comparison.reported.name)
    direction, random = comparison.reported.direction, comparison.random
    values = table_of(runs, lambda run: run.of_choice(column), comparison.horizon)
    measured = [method for method in comparison.methods if np.isfinite(values[method]).any()]
    average = comparison.baseline.values[:, column]
    places = [budget - 1 for budget in comparison.budgets]

    def beside(yardsticks: Iterable[Floats], method: str) -> tuple[Gain, ...]:
        chosen = (values[method][:, place] for place in places)
        return tuple(compare(a, b, direction=direction) for a, b in zip(chosen, yardsticks, strict=True))

    return Gains(
        over_architectures={method: beside([average] * len(places), method) for method in measured},
        over_search={
            method: beside([values[random][:, place] for place in places], method)
            for method in measured
            if random is not None and method != random
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
