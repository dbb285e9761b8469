"""The numbers of a comparison as CSV (RFC 4180): every run at every budget, curves, pairwise tests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.comparison.analysis import Analysis, View, seed_ranks
from nas.comparison.caching import cache_rows
from nas.comparison.costs import costs
from nas.comparison.curves import against_time, summary, time_grid
from nas.output import csv_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RUN = ("method", "seed", "budget", "state", "evaluations", "trials", "time_seconds", "cost_seconds")
COSTS = ("repeats", "failures", "ask_ms_mean", "ask_ms_p95")
CURVE = ("axis", "at", "quantity", "method", "n")
STATISTICS = ("lower_quartile", "median", "upper_quartile", "mean", "standard_error")
PAIR = ("axis", "at", "quantity", "method", "other", "n", "n_other", "median", "median_other")
TEST = ("a12", "p", "p_holm", "significant")


def runs_csv(analysis: Analysis) -> str:
    """One row for each method, seed and budget; empty cells where the run did not get there.

    Columns: `RUN`, all up to the budget; the measured values of the choice by name; each compared quantity
    by its key and the rank by it within the seed; found (1 or 0); `COSTS` up to the budget.
    """
    keys = [quantity.key for quantity in analysis.quantities]
    names = [name for name in analysis.comparison.names if name not in keys]
    ranks = [f"{key}_rank" for key in keys]
    return csv_rows((*RUN, *names, *keys, *ranks, "found", *COSTS), _run_rows(analysis, names))


def curves_csv(analysis: Analysis) -> str:
    """Statistics over seeds of each quantity, and of found, against evaluations and seconds."""
    return csv_rows((*CURVE, *STATISTICS), _curve_rows(analysis))


def pairs_csv(analysis: Analysis) -> str:
    """All pairwise tests, after so many evaluations and at so many seconds of cost."""
    return csv_rows((*PAIR, *TEST), _pair_rows(analysis))


def cache_csv(analysis: Analysis) -> str:
    """What the cache did in each study that has one; empty where none has."""
    head, *rows = cache_rows(analysis) or [[]]
    return csv_rows([str(name) for name in head], rows) if rows else ""


def _run_rows(analysis: Analysis, names: Sequence[str]) -> Iterator[list[Any]]:
    comparison, level = analysis.comparison, analysis.comparison.level
    for place, budget in enumerate(comparison.budgets):
        ranks = [seed_ranks(q, analysis.tests[q.key][place]) for q in analysis.quantities]
        for method, runs in analysis.runs.items():
            for row, run in enumerate(runs):
                reached = min(budget, run.position.size)
                if reached < budget and not run.keeps:
                    reached = 0
                trials = run.trials(reached)
                spent = costs([run], level, trials)
                chosen = [run.of_choice(comparison.names.index(name)) for name in names]
                yield [
                    *(method, comparison.seeds[row], budget, run.history.state, reached or None),
                    *(trials or None, spent.search_seconds, spent.cost_seconds),
                    *(values[reached - 1] if reached else None for values in chosen),
                    *(q.values[method][row, budget - 1] for q in analysis.quantities),
                    *(found[method][row] if method in found else None for found in ranks),
                    _whole(analysis.found[method][row, budget - 1]),
                    *((spent.repeats, spent.failures) if reached else (None, None)),
                    *(spent.ask_mean, spent.ask_p95),
                ]


def _curve_rows(analysis: Analysis) -> Iterator[list[Any]]:
    tables = {quantity.key: quantity.values for quantity in analysis.quantities}
    evaluations = range(1, analysis.comparison.horizon + 1)
    yield from _statistics("evaluations", evaluations, {**tables, "found": analysis.found})
    grid = time_grid(analysis.whole_runs)
    timed = {q.key: against_time(q, analysis.whole_runs, grid) for q in analysis.whole}
    yield from _statistics("seconds", grid.tolist(), timed)


def _statistics(
    axis: str, points: Sequence[float], tables: Mapping[str, Mapping[str, Floats]]
) -> Iterator[list[Any]]:
    for key, table in tables.items():
        for method, values in table.items():
            s = summary(values)
            columns = (s.n, s.lower, s.median, s.upper, s.mean, s.error)
            for at, n, *numbers in zip(points, *(column.tolist() for column in columns), strict=True):
                if n:
                    yield [axis, at, key, method, int(n), *numbers]


def _pair_rows(analysis: Analysis) -> Iterator[list[Any]]:
    yield from _tested(analysis.by_evaluations, "evaluations", analysis.comparison.budgets)
    if analysis.equal is not None:
        yield from _tested(analysis.equal, "cost_seconds", [cost.seconds for cost in analysis.costs])


def _tested(view: View, axis: str, points: Sequence[float]) -> Iterator[list[Any]]:
    for quantity in view.quantities:
        for at, tests in zip(points, view.tests[quantity.key], strict=True):
            medians = {m: float(np.median(quantity.at(m, tests.budget))) for m in tests.methods}
            for pair in tests.pairs:
                yield [
                    *(axis, at, quantity.key, pair.method, pair.other, pair.n, pair.n_other),
                    *(medians[pair.method], medians[pair.other]),
                    *(pair.a12, pair.p, pair.p_holm, int(pair.significant)),
                ]


def _whole(value: float) -> int | None:
    return None if math.isnan(value) else int(value)
