"""All numbers of a comparison: Analysis, analyse; the tests of ranks and of pairs at each budget.

Methods are compared by quantities after every evaluation and at every moment: the choice, hypervolumes as a
share of the best front's, and improvements over random architectures and random search (Yang et al. 2020).
Numbers of evaluations at the highest fidelity leave out what other trials cost and what a cache saves, so
methods are also compared after the same cost where some evaluate at lower fidelities, ask a cache or share
weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from nas.evaluation import Objective, exponent_of, hypervolume, non_dominated
from nas.report.comparison.logs import ComparedRun, Comparison, runs_of, table_of, uncut
from nas.report.statistics import (
    Friedman,
    Improvement,
    Pair,
    can_differ,
    compare,
    friedman,
    mean,
    pairwise,
    ranked,
)
from nas.report.tables import format_duration

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


def volumes(comparison: Comparison, runs: Mapping[str, Sequence[ComparedRun]]) -> Volumes:
    """Exact hypervolumes of everything evaluated so far; failures add nothing."""
    every = np.concatenate([_losses(run, comparison) for its in runs.values() for run in its])
    reference = _reference(comparison, every)
    # each objective in a power of two of its own, so that no product overflows: shares stay as they are
    exponents = np.array([exponent_of(column) for column in np.append(every, reference[None], axis=0).T])
    near = np.ldexp(reference, -exponents)
    stated = comparison.optimum.get("hypervolume")
    union = hypervolume(front(np.ldexp(every, -exponents)), near)
    scaled = union if stated is None else float(np.ldexp(stated, -exponents.sum()))

    def share(run: ComparedRun) -> Floats:
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


def _losses(run: ComparedRun, comparison: Comparison) -> Floats:
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
    comparison: Comparison, runs: Mapping[str, Sequence[ComparedRun]], volumes: Volumes | None
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


def best_value(comparison: Comparison, runs: Mapping[str, Sequence[ComparedRun]]) -> float:
    """Of the first objective: the known optimum, else the best that any run found; NaN without either."""
    objective = comparison.chooser
    if objective.name in comparison.optimum:
        return comparison.optimum[objective.name]
    ends = [run.of_choice(0)[-1:] for its in runs.values() for run in its]
    values = np.concatenate([*ends, np.empty(0)])
    return min(values[~np.isnan(values)].tolist(), key=objective.loss, default=math.nan)


def regrets(
    comparison: Comparison, runs: Mapping[str, Sequence[ComparedRun]], best: float
) -> dict[str, Floats]:
    """Distance of the choice from `best` by the first objective, of each method, shape (seeds, horizon)."""
    sign = _sign(comparison.chooser)

    def regret(run: ComparedRun) -> Floats:
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


def time_grid(runs: Mapping[str, Sequence[ComparedRun]]) -> Floats:
    """Moments from the median first evaluation to the last end, evenly spaced in their logarithm.

    Empty if no clock advances.
    """
    times = [run.time for its in runs.values() for run in its if run.time.size]
    last = max((time[-1] for time in times), default=0.0)
    if last <= 0:
        return np.empty(0)
    first = max(float(np.median([time[0] for time in times])), last / 1e4)
    return np.geomspace(min(first, last / 10), last, GRID)


def against_time(
    quantity: Quantity, runs: Mapping[str, Sequence[ComparedRun]], grid: Floats
) -> dict[str, Floats]:
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


def _at_moments(values: Floats, run: ComparedRun, grid: Floats, worst: float) -> Floats:
    ended = run.history.finished
    if not ended.size:
        return np.full(grid.size, math.nan)
    place = np.searchsorted(run.time, grid, side="right") - 1
    held = np.where(place >= 0, values[place.clip(0)], worst)
    return held if run.history.state == "finished" else np.where(grid > ended[-1], math.nan, held)


def _of_choice(
    comparison: Comparison, runs: Mapping[str, Sequence[ComparedRun]], objective: Objective
) -> Quantity:
    """The regret of a measured quantity if its optimum is known, else its value."""
    column, sign = comparison.names.index(objective.name), _sign(objective)
    optimum = comparison.optimum.get(objective.name)
    words = objective.name.replace("_", " ")

    def value(run: ComparedRun) -> Floats:
        return np.where(run.chosen < 0, sign * math.inf, run.of_choice(column))

    def regret(run: ComparedRun) -> Floats:
        return np.where(run.chosen < 0, math.inf, sign * (run.of_choice(column) - (optimum or 0.0)))

    if optimum is None:
        table = table_of(runs, value, comparison.horizon)
        return Quantity(objective.name, words, objective, table, "value")
    table = table_of(runs, regret, comparison.horizon)
    measured = Objective(f"{objective.name}_regret", "minimize", objective.unit)
    return Quantity(measured.name, f"regret of {words}", measured, table, "regret")


def _sign(objective: Objective) -> int:
    return 1 if objective.direction == "minimize" else -1


COST_TOLERANCE = 1e-9  # relative, of sums of costs
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


def equal_costs(comparison: Comparison, runs: Mapping[str, Sequence[ComparedRun]]) -> tuple[Cost, ...]:
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


def at_costs(
    quantity: Quantity, runs: Mapping[str, Sequence[ComparedRun]], costs: Sequence[Cost]
) -> Quantity:
    """The quantity of each run when it had spent each cost, shape (seeds, costs).

    NaN for a run that ended earlier, unless its searcher had nothing left.

    Args:
        quantity: after each evaluation of `runs`.
        runs: not cut at the largest budget.
        costs: ascending.
    """
    points = np.array([cost.seconds for cost in costs]) * (1 + COST_TOLERANCE)
    tables = {
        method: np.array(
            [_held(quantity.values[method][row], run, points, quantity.worst) for row, run in enumerate(its)],
            float,
        ).reshape(len(its), points.size)
        for method, its in runs.items()
    }
    return replace(quantity, values=tables)


def spending(run: ComparedRun) -> Floats:
    """Seconds of work of all trials, at any fidelity, up to and with each one that ended."""
    return np.cumsum(run.history.cost)


def _held(values: Floats, run: ComparedRun, points: Floats, worst: float) -> Floats:
    if not len(run.history):
        return np.full(points.size, math.nan)
    spent = spending(run)
    place = np.searchsorted(spent[run.position], points, side="right") - 1
    held = np.where(place >= 0, values[place.clip(0)], worst)
    return held if run.keeps else np.where(points < spent[-1] * (1 + 2 * COST_TOLERANCE), held, math.nan)


def _limit(runs: Sequence[ComparedRun]) -> float:
    """The least that a finished run spent which used up its trials."""
    ended = [run for run in runs if run.history.state == "finished" and not run.keeps and len(run.history)]
    spent = np.array([spending(run)[-1] for run in ended])
    usual = spent[spent >= OUTLIER * np.median(spent)] if spent.size else spent
    return float(usual.min(initial=math.inf))


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


def gains_of(comparison: Comparison, runs: Mapping[str, tuple[ComparedRun, ...]]) -> Gains:
    """Relative improvements with intervals and rank tests (`nas.report.statistics.compare`)."""
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
    comparison: Comparison, runs: Mapping[str, tuple[ComparedRun, ...]], costs: Sequence[Cost]
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


def _retrained(runs: Sequence[ComparedRun], column: int) -> list[float]:
    """Mean over the final retrainings of each run's choice."""
    tables = (run.history.final[:, column] for run in runs)
    return [mean(values) for values in tables if np.isfinite(values).any()]


@dataclass(frozen=True, slots=True)
class Shortage:
    """A method of which too few runs got to a budget to be tested there.

    Attributes:
        needed: runs that it needs at least.
        got: runs that got there.
    """

    method: str
    needed: int
    got: int


@dataclass(frozen=True, slots=True)
class Tests:
    """The tests of one quantity at one budget, or at one cost.

    Attributes:
        budget: column of the quantity, counted from 1: the number of evaluations, or the place of the cost.
        methods: those that are tested.
        ranks: over the seeds that all of these have; None with less than two such seeds or methods.
        pairs: all of these methods.
        shortages: methods left out that have runs, there or before.
    """

    budget: int
    methods: tuple[str, ...]
    ranks: Friedman | None
    pairs: tuple[Pair, ...]
    shortages: tuple[Shortage, ...]

    def pair(self, method: str, other: str) -> Pair | None:
        """Their test seen from `method`; None if one of them was left out."""
        named = (pair for pair in self.pairs if {pair.method, pair.other} == {method, other})
        return next((pair.seen_from(method) for pair in named), None)

    def can_tell(self, method: str, other: str | None = None) -> bool:
        """Whether the runs are enough to tell a method from the other; from any if that is None."""
        return any(
            can_differ(pair.n, pair.n_other, len(self.pairs))
            for pair in self.pairs
            if method in (pair.method, pair.other) and other in (None, pair.method, pair.other)
        )

    @property
    def seeds(self) -> int:
        """Runs of the tested method with most."""
        return max((n for pair in self.pairs for n in (pair.n, pair.n_other)), default=0)

    def against(self, method: str, answer: Literal["better", "worse", "open"]) -> list[Pair]:
        """The other methods than which `method` is significantly better or worse, or neither."""
        mine = [p.seen_from(method) for p in self.pairs if method in (p.method, p.other)]
        sides = {"better": lambda p: p.a12 > 0.5, "worse": lambda p: p.a12 < 0.5}
        if answer == "open":
            return [pair for pair in mine if not pair.significant]
        return [pair for pair in mine if pair.significant and sides[answer](pair)]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Methods compared at several points of one axis.

    Attributes:
        words: in titles, with a space before; empty by evaluations.
        header: name of each point in a table.
        moments: name of each point in a sentence.
        quantities: whose columns the tests name.
        tests: by key of the quantity, one for each point.
        left_out: methods that are shown, but not tested.
    """

    words: str
    header: tuple[str, ...]
    moments: tuple[str, ...]
    quantities: tuple[Quantity, ...]
    tests: Mapping[str, tuple[Tests, ...]]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """Everything that the tables and figures show.

    Attributes:
        runs: of each method, one for each seed.
        quantities: those that are compared; the first one is that of the choice.
        best: best value of the first objective, known or found; NaN without any.
        found: of each method, shape (seeds, largest budget): whether a run holds `best`.
        areas: of each method under its median regret to `best`; NaN if it did not get to the end.
        tests: by key of the quantity, one for each budget; of the methods with one fidelity.
        costs: at which methods are compared as well; empty where all have one fidelity.
        equal: the methods at these; None without.
        whole_runs: not cut at the largest budget.
        whole: the quantities after each evaluation of `whole_runs`.
        gains: over random architectures and random search.
        gains_at_costs: over random search that cost as much, one for each of `costs`.
        volumes: None with one objective.
    """

    comparison: Comparison
    runs: Mapping[str, tuple[ComparedRun, ...]]
    quantities: tuple[Quantity, ...]
    best: float
    found: Mapping[str, Floats]
    areas: Mapping[str, float]
    tests: Mapping[str, tuple[Tests, ...]]
    costs: tuple[Cost, ...]
    equal: View | None
    whole_runs: Mapping[str, tuple[ComparedRun, ...]]
    whole: tuple[Quantity, ...]
    gains: Gains
    gains_at_costs: Mapping[str, tuple[Improvement | None, ...]]
    volumes: Volumes | None

    @property
    def by_evaluations(self) -> View:
        """The methods at the budgets."""
        header = tuple(map(str, self.comparison.budgets))
        moments = tuple(f"{budget} evaluations" for budget in header)
        left_out = self.comparison.mixed
        return View("", header, moments, self.quantities, self.tests, left_out)

    @property
    def views(self) -> list[View]:
        """All that there are."""
        return [self.by_evaluations, *([self.equal] if self.equal else [])]

    @property
    def shown(self) -> list[str]:
        """Methods with at least one evaluation, in order."""
        return [method for method, its in self.runs.items() if any(run.position.size for run in its)]

    @property
    def knows_best(self) -> bool:
        """Whether `best` is the known optimum."""
        return self.comparison.chooser.name in self.comparison.optimum


def analyse(comparison: Comparison) -> Analysis:
    """All numbers of a comparison."""
    runs, longest = runs_of(comparison), uncut(comparison)
    whole_runs = runs if longest is comparison else runs_of(longest)
    measured = volumes(longest, whole_runs) if len(comparison.objectives) > 1 else None
    whole = quantities(longest, whole_runs, measured)
    compared = tuple(quantity.cut(comparison.horizon) for quantity in whole)
    costs = equal_costs(comparison, whole_runs)
    single = [method for method in comparison.methods if method not in comparison.mixed]
    best = best_value(comparison, runs)
    regret = regrets(comparison, runs, best)
    finite = np.concatenate([table[np.isfinite(table)] for table in regret.values()] or [np.empty(0)])
    worst = float(finite.max(initial=0.0))
    return Analysis(
        comparison=comparison,
        runs=runs,
        quantities=compared,
        best=best,
        found={method: found(table, best) for method, table in regret.items()},
        areas={method: area(table, worst) for method, table in regret.items()},
        tests={
            quantity.key: tuple(tests(quantity, single, b) for b in comparison.budgets)
            for quantity in compared
        },
        costs=costs,
        equal=_at_equal_cost(comparison, whole_runs, whole, costs),
        whole_runs=whole_runs,
        whole=whole,
        gains=gains_of(comparison, runs),
        gains_at_costs=gains_at_costs(longest, whole_runs, costs),
        volumes=measured,
    )


def _at_equal_cost(
    comparison: Comparison,
    runs: Mapping[str, Sequence[ComparedRun]],
    whole: Sequence[Quantity],
    costs: Sequence[Cost],
) -> View | None:
    """All methods at the costs; None without costs."""
    if not costs:
        return None
    compared = tuple(at_costs(quantity, runs, costs) for quantity in whole)
    places = range(1, len(costs) + 1)
    return View(
        words=" at equal cost",
        header=tuple(format_duration(cost.seconds) for cost in costs),
        moments=tuple(f"{cost.seconds:.6g} s of work" for cost in costs),
        quantities=compared,
        tests={q.key: tuple(tests(q, comparison.methods, place) for place in places) for q in compared},
    )


def tests(quantity: Quantity, methods: Sequence[str], budget: int) -> Tests:
    """Ranks and pairs at one budget, or at the cost of that place.

    A method enters with at least two runs that got there and half as many as the method with most.
    """
    losses = {method: quantity.losses(method, budget) for method in methods}
    got = {method: int((~np.isnan(values)).sum()) for method, values in losses.items()}

    def began(method: str) -> bool:
        return bool((~np.isnan(quantity.values[method])).any())

    needed = max(2, math.ceil(max(got.values(), default=0) / 2))
    entered = [method for method in methods if got[method] >= needed]
    return Tests(
        budget=budget,
        methods=tuple(entered),
        ranks=_ranks([losses[method] for method in entered]),
        pairs=pairwise({method: losses[method] for method in entered}),
        shortages=tuple(Shortage(m, needed, got[m]) for m in methods if began(m) and got[m] < needed),
    )


def seed_ranks(quantity: Quantity, tested: Tests) -> dict[str, Floats]:
    """Rank of each run among the tested methods at its seed; NaN for seeds that are no block."""
    if not tested.methods:
        return {}
    losses = np.array([quantity.losses(method, tested.budget) for method in tested.methods]).T
    ranks = ranked(losses)
    ranks[np.isnan(losses).any(axis=1)] = math.nan
    return dict(zip(tested.methods, ranks.T, strict=True))


def _ranks(losses: Sequence[Floats]) -> Friedman | None:
    if len(losses) < 2:
        return None
    table = np.array(losses).T
    blocks = table[~np.isnan(table).any(axis=1)]
    return friedman(blocks) if len(blocks) >= 2 else None
