"""All numbers of a comparison: Analysis, analyse; the tests of ranks and of pairs at each budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from nas.comparison.curves import Quantity, area, best_value, found, quantities, regrets
from nas.comparison.gains import Gains, gains_of
from nas.comparison.reading import Comparison
from nas.comparison.runs import Run, runs_of
from nas.comparison.volumes import Volumes, volumes
from nas.ranking import Friedman, Pair, friedman, pairwise, ranks_of_rows, seeds_needed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shortage:
    """A method with fewer seeds at a budget than a test needs.

    Attributes:
        needed: seeds that it needs at least.
        got: that the method has.
    """

    method: str
    needed: int
    got: int


@dataclass(frozen=True, slots=True)
class Tests:
    """The tests of one quantity at one budget.

    Attributes:
        methods: those that are tested.
        ranks: over the seeds that all of these have; None with less than two such seeds or methods.
        pairs: all of these methods.
        shortages: methods left out that have some runs there, and those that no pairwise test can tell
            from another.
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

    def against(self, method: str, answer: Literal["better", "worse", "open"]) -> list[Pair]:
        """The other methods than which `method` is significantly better or worse, or neither."""
        mine = [p.seen_from(method) for p in self.pairs if method in (p.method, p.other)]
        sides = {"better": lambda p: p.a12 > 0.5, "worse": lambda p: p.a12 < 0.5}
        if answer == "open":
            return [pair for pair in mine if not pair.significant]
        return [pair for pair in mine if pair.significant and sides[answer](pair)]


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """Everything that the tables and figures show.

    Attributes:
        runs: of each method, one for each seed.
        quantities: those that are compared; the first one is that of the choice.
        best: best value of the first objective, known or found; NaN without any.
        found: of each method, shape (seeds, largest budget): whether a run holds `best`.
        areas: of each method under its median regret to `best`; NaN if it did not get to the end.
        tests: by key of the quantity, one for each budget.
        gains: over random architectures and random search.
        volumes: None with one objective.
    """

    comparison: Comparison
    runs: Mapping[str, tuple[Run, ...]]
    quantities: tuple[Quantity, ...]
    best: float
    found: Mapping[str, Floats]
    areas: Mapping[str, float]
    tests: Mapping[str, tuple[Tests, ...]]
    gains: Gains
    volumes: Volumes | None

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
    runs = runs_of(comparison)
    measured = volumes(comparison, runs) if len(comparison.objectives) > 1 else None
    compared = quantities(comparison, runs, measured)
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
            quantity.key: tuple(tests(quantity, comparison.methods, b) for b in comparison.budgets)
            for quantity in compared
        },
        gains=gains_of(comparison, runs),
        volumes=measured,
    )


def tests(quantity: Quantity, methods: Sequence[str], budget: int) -> Tests:
    """Ranks and pairs at one budget.

    A method enters with at least two runs that got there and half as many as the method with most.
    """
    losses = {method: quantity.losses(method, budget) for method in methods}
    got = {method: int((~np.isnan(values)).sum()) for method, values in losses.items()}
    needed = max(2, math.ceil(max(got.values(), default=0) / 2))
    entered = [method for method in methods if got[method] >= needed]
    pairs = len(entered) * (len(entered) - 1) // 2
    tellable = seeds_needed(pairs)
    short = [Shortage(m, needed, got[m]) for m in methods if 0 < got[m] < needed]
    short += [Shortage(m, tellable, got[m]) for m in entered if pairs and got[m] < tellable]
    return Tests(
        budget=budget,
        methods=tuple(entered),
        ranks=_ranks([losses[method] for method in entered]),
        pairs=pairwise({method: losses[method] for method in entered}),
        shortages=tuple(short),
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
