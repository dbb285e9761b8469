"""What methods are compared by, after every evaluation and at every moment: Quantity, quantities, Summary."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nas.comparison.reading import Comparison
from nas.comparison.runs import Run, table_of
from nas.comparison.volumes import Volumes
from nas.evaluation import Objective
from nas.pareto import exponent_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

GRID = 200  # moments at which curves against time are given
TOLERANCE = 1e-9  # relative, of equality with the best value


@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """A number of each run after each evaluation, or at each of several costs.

    Attributes:
        key: its column in the files.
        label: in words.
        objective: name, direction and unit of the numbers.
        values: of each method, shape (seeds, largest budget) or (seeds, costs): NaN where the run did not get
            there, and `worst` before a run's first completed evaluation.
        kind: a "regret", a "value" where no optimum is known, or a "hypervolume".
    """

    key: str
    label: str
    objective: Objective
    values: Mapping[str, Floats]
    kind: str

    @property
    def sign(self) -> int:
        """Turns values to losses."""
        return _sign(self.objective)

    @property
    def title(self) -> str:
        """The label with its unit."""
        return f"{self.label} ({self.objective.unit})" if self.objective.unit else self.label

    @property
    def worst(self) -> float:
        """What a run has before its first completed evaluation."""
        return 0.0 if self.kind == "hypervolume" else self.sign * math.inf

    def cut(self, horizon: int) -> Quantity:
        """The same up to so many evaluations."""
        return replace(self, values={method: table[:, :horizon] for method, table in self.values.items()})

    def losses(self, method: str, budget: int) -> Floats:
        """To be minimised, in the order of the seeds; NaN for runs that did not get there."""
        return self.sign * self.values[method][:, budget - 1]

    def at(self, method: str, budget: int) -> Floats:
        """Values of the runs that got there."""
        values = self.values[method][:, budget - 1]
        return values[~np.isnan(values)]


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """A method's runs at each point of an axis; NaN where less than half of its runs got there.

    Attributes:
        n: runs that got there.
        error: standard error of the mean; NaN below two runs.
    """

    n: Floats
    lower: Floats
    median: Floats
    upper: Floats
    mean: Floats
    error: Floats


def quantities(
    comparison: Comparison, runs: Mapping[str, Sequence[Run]], volumes: Volumes | None
) -> tuple[Quantity, ...]:
    """Hypervolume if there is one, the objective that chooses, the reported quantity if trials have it."""
    chooser, reported = comparison.chooser, comparison.reported
    found = [_of_choice(comparison, runs, chooser)]
    if reported.name != chooser.name:
        other = _of_choice(comparison, runs, reported)
        measured = any(np.isfinite(matrix).any() for matrix in other.values.values())
        found += [other] if measured else []
    if volumes is not None:
        share = Objective("hypervolume", "maximize", "share")
        found.insert(0, Quantity("hypervolume", "hypervolume", share, volumes.shares, "hypervolume"))
    return tuple(found)


def best_value(comparison: Comparison, runs: Mapping[str, Sequence[Run]]) -> float:
    """Of the first objective: the known optimum, else the best that any run found; NaN without either."""
    objective = comparison.chooser
    if objective.name in comparison.optimum:
        return comparison.optimum[objective.name]
    ends = [run.of_choice(0)[-1:] for its in runs.values() for run in its]
    values = np.concatenate([*ends, np.empty(0)])
    return min(values[~np.isnan(values)].tolist(), key=objective.loss, default=math.nan)


def regrets(comparison: Comparison, runs: Mapping[str, Sequence[Run]], best: float) -> dict[str, Floats]:
    """Distance of the choice from `best` by the first objective, of each method, shape (seeds, horizon)."""
    sign = _sign(comparison.chooser)

    def regret(run: Run) -> Floats:
        return np.where(run.chosen < 0, math.inf, sign * (run.of_choice(0) - best))

    return table_of(runs, regret, comparison.horizon)


def found(regret: Floats, best: float) -> Floats:
    """1 where a run holds the best value, 0 where not, NaN where it did not get."""
    holds = (regret <= TOLERANCE * max(1.0, abs(best))).astype(float)
    return np.where(np.isnan(regret), math.nan, holds)


def area(regret: Floats, worst: float) -> float:
    """Sum of the median regret after 1, 2, .. evaluations; NaN if less than half of the runs got to the end.

    Args:
        regret: of one method, shape (seeds, evaluations).
        worst: what counts for a median that is infinite, before the first completed evaluation.
    """
    median = summary(regret).median
    return float(np.where(np.isinf(median), worst, median).sum())


def reached(values: Floats) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """How many rows got to each column, and whether that is half or more of those that got to any.

    Fewer of them are not the method: they are its dear or cheap runs, or those that have happened to begin.
    """
    n = (~np.isnan(values)).sum(axis=0)
    return n, (n > 0) & (2 * n >= n.max(initial=0))


def summary(values: Floats) -> Summary:
    """Statistics over the rows, at each column."""
    n, enough = reached(values)
    rows = np.full((5, values.shape[1]), math.nan)
    whole = np.isfinite(values).all(axis=0) & (len(values) > 0)
    rows[:, whole] = _statistics(values[:, whole])
    for column in np.flatnonzero(enough & ~whole):
        here = values[:, column]
        rows[:, column] = _statistics(here[~np.isnan(here)][:, None])[:, 0]
    return Summary(n.astype(float), *rows)


def quartiles(values: Floats) -> tuple[float, ...]:
    """Lower quartile, median, upper quartile; infinite where infinite values enter.

    NaN without values, the quartiles also for a single one.
    """
    return tuple(_statistics(values[:, None])[:3, 0].tolist()) if values.size else (math.nan,) * 3


def _statistics(values: Floats) -> Floats:
    """Quartiles, mean and standard error of each column without NaN.

    Quartiles are NaN for a single row, mean and error for infinite values.
    """
    rows = np.full((5, values.shape[1]), math.nan)
    exponent = exponent_of(values)  # so that no sum overflows
    scaled = np.ldexp(values, -exponent)
    quantiles = np.quantile(np.clip(scaled, -1e300, 1e300), (0.25, 0.5, 0.75), axis=0)
    rows[:3] = np.where(np.abs(quantiles) < 1e290, quantiles, np.copysign(math.inf, quantiles))
    finite = np.isfinite(values).all(axis=0)
    rows[3, finite] = scaled[:, finite].mean(axis=0)
    if len(values) > 1:
        rows[4, finite] = scaled[:, finite].std(axis=0, ddof=1) / math.sqrt(len(values))
    else:
        rows[[0, 2]] = math.nan  # one run has no quartiles
    with np.errstate(over="ignore"):
        return np.ldexp(rows, exponent)


def time_grid(runs: Mapping[str, Sequence[Run]]) -> Floats:
    """Moments from the median first evaluation to the last end, evenly spaced in their logarithm.

    Empty if no clock advances.
    """
    times = [run.time for its in runs.values() for run in its if run.time.size]
    last = max((time[-1] for time in times), default=0.0)
    if last <= 0:
        return np.empty(0)
    first = max(float(np.median([time[0] for time in times])), last / 1e4)
    return np.geomspace(min(first, last / 10), last, GRID)


def against_time(quantity: Quantity, runs: Mapping[str, Sequence[Run]], grid: Floats) -> dict[str, Floats]:
    """The quantity of each method at each moment, shape (seeds, moments).

    The worst before a run's first completed evaluation. NaN for studies without trials, after the last trial
    of one that is not finished, and after half of the method's have ended: what follows would be made up.

    Args:
        quantity: after each evaluation of `runs`.
        runs: not cut at the largest budget.
        grid: seconds on the executor's clock, ascending.
    """
    found = {}
    for method, its in runs.items():
        ends = [run.history.finished[-1] for run in its if len(run.history)]
        until = np.median(ends) if ends else 0.0
        rows = [
            _at_moments(quantity.values[method][i], run, grid, quantity.worst) for i, run in enumerate(its)
        ]
        table = np.array(rows, float).reshape(len(its), grid.size)
        found[method] = np.where(grid > until, math.nan, table)
    return found


def _at_moments(values: Floats, run: Run, grid: Floats, worst: float) -> Floats:
    ended = run.history.finished
    if not ended.size:
        return np.full(grid.size, math.nan)
    place = np.searchsorted(run.time, grid, side="right") - 1
    held = np.where(place >= 0, values[place.clip(0)], worst)
    return held if run.history.state == "finished" else np.where(grid > ended[-1], math.nan, held)


def _of_choice(comparison: Comparison, runs: Mapping[str, Sequence[Run]], objective: Objective) -> Quantity:
    """The regret of a measured quantity if its optimum is known, else its value."""
    column, sign = comparison.names.index(objective.name), _sign(objective)
    optimum = comparison.optimum.get(objective.name)
    words = objective.name.replace("_", " ")

    def value(run: Run) -> Floats:
        return np.where(run.chosen < 0, sign * math.inf, run.of_choice(column))

    def regret(run: Run) -> Floats:
        return np.where(run.chosen < 0, math.inf, sign * (run.of_choice(column) - (optimum or 0.0)))

    if optimum is None:
        table = table_of(runs, value, comparison.horizon)
        return Quantity(objective.name, words, objective, table, "value")
    table = table_of(runs, regret, comparison.horizon)
    measured = Objective(f"{objective.name}_regret", "minimize", objective.unit)
    return Quantity(measured.name, f"regret of {words}", measured, table, "regret")


def _sign(objective: Objective) -> int:
    return 1 if objective.direction == "minimize" else -1
