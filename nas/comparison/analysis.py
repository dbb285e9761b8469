"""All numbers of a comparison: Analysis, analyse; the tests of ranks and of pairs at each budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from nas.comparison.curves import Quantity, area, best_value, found, quantities, regrets
from nas.comparison.equal import Cost, at_costs, equal_costs
from nas.comparison.gains import Gains, gains_at_costs, gains_of
from nas.comparison.reading import Comparison
from nas.comparison.runs import Run, runs_of, uncut
from nas.comparison.volumes import Volumes, volumes
from nas.formats import format_duration
from nas.ranking import Friedman, Pair, can_differ, friedman, pairwise, ranks_of_rows
from nas.statistics import Improvement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


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
    runs: Mapping[str, tuple[Run, ...]]
    quantities: tuple[Quantity, ...]
    best: float
    found: Mapping[str, Floats]
    areas: Mapping[str, float]
    tests: Mapping[str, tuple[Tests, ...]]
    costs: tuple[Cost, ...]
    equal: View | None
    whole_runs: Mapping[str, tuple[Run, ...]]
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
    runs: Mapping[str, Sequence[Run]],
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
    ranks = ranks_of_rows(losses)
    ranks[np.isnan(losses).any(axis=1)] = math.nan
    return dict(zip(tested.methods, ranks.T, strict=True))


def _ranks(losses: Sequence[Floats]) -> Friedman | None:
    if len(losses) < 2:
        return None
    table = np.array(losses).T
    blocks = table[~np.isnan(table).any(axis=1)]
    return friedman(blocks) if len(blocks) >= 2 else None
