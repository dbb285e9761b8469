"""The tables of a comparison, and the same numbers as CSV (RFC 4180).

What each method has chosen, its ranks and pairwise tests, its improvements over random architectures and
random search, what searching cost (repeats, failures, seconds of each ask), and what the cache of each method
did.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.report.cache import (
    LOOKUPS,
    LOOKUPS_NOTES,
    LOOKUPS_TITLE,
    MEANS_NOTE,
    SAVINGS,
    SAVINGS_NOTES,
    SAVINGS_TITLE,
    CacheColumn,
    cells,
)
from nas.report.comparison.analysis import (
    Analysis,
    Quantity,
    Tests,
    View,
    against_time,
    quartiles,
    reached,
    seed_ranks,
    summary,
    time_grid,
)
from nas.report.comparison.logs import ComparedRun
from nas.report.comparison.notes import untestable
from nas.report.output import csv_rows
from nas.report.statistics import ALPHA, Friedman, Improvement, holm
from nas.report.statistics import mean as mean_of
from nas.report.tables import Table, decimals_of, fixed, format_duration

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


NONE = "-"  # as of `nas.report.tables.fixed`
MIXED = " (mixed)"  # behind the label of a method of several fidelities


def spread(values: Sequence[float], decimals: int) -> str:
    """Median [lower quartile, upper quartile] of these three, ascending; the median if it is alone."""
    low, median, high = (fixed(value, decimals) for value in values)
    return median if NONE in (low, median) else f"{median} [{low}, {high}]"


def counted(cell: str, n: int, seeds: int) -> str:
    """The cell with the number of its runs where not all seeds got there."""
    return cell if n >= seeds or cell == NONE else f"{cell} (n {n})"


def decimals_for(medians: Sequence[float], unit: str) -> int:
    """Two for percentages; otherwise as many as show three digits of the range."""
    finite = [value for value in medians if math.isfinite(value)]
    reach = max(finite, default=0.0) - min(finite, default=0.0)
    return 2 if unit == "%" else decimals_of(reach, unit, 3)


def cache_sheets(analysis: Analysis) -> Iterator[Table]:
    """What became of the suggestions and what that saved; none where no study has a cache."""
    found = _by_method(analysis)
    if found:
        yield _sheet(found, LOOKUPS_TITLE, LOOKUPS, LOOKUPS_NOTES)
        yield _sheet(found, SAVINGS_TITLE, SAVINGS, SAVINGS_NOTES)


def cache_rows(analysis: Analysis) -> list[list[float | str | None]]:
    """A header, then one row for each study with a cache; none without any."""
    rows: list[list[float | str | None]] = []
    for method, numbers in _by_method(analysis).items():
        for seed, its in numbers.items():
            rows = rows or [["method", "seed", *its]]
            rows.append([method, seed, *its.values()])
    return rows


def _sheet(
    found: Mapping[str, Mapping[int, Mapping[str, float]]],
    title: str,
    columns: Sequence[CacheColumn],
    notes: Sequence[str],
) -> Table:
    return Table(
        small=True,
        title=f"{title}: mean ± standard deviation over seeds",
        header=("method", "seeds", *(head for head, *_ in columns)),
        rows=tuple(
            (method, str(len(its)), *cells(list(its.values()), columns)) for method, its in found.items()
        ),
        notes=(*notes, MEANS_NOTE),
    )


def _by_method(analysis: Analysis) -> dict[str, dict[int, dict[str, float]]]:
    """The numbers of each seed, of methods with any."""
    comparison = analysis.comparison
    found = {
        method: {
            seed: history.cache.numbers()
            for seed, history in zip(comparison.seeds, comparison.histories[method], strict=True)
            if history.cache is not None
        }
        for method in comparison.methods
    }
    return {method: its for method, its in found.items() if its}


@dataclass(frozen=True, slots=True)
class Costs:
    """Of all runs of a method, or of one.

    Attributes:
        trials: that ended, lower fidelities included.
        cheaper: those at a lower fidelity than the highest of the comparison.
        repeats: trials whose architecture had been asked before in their study, at the same fidelity.
        failures: trials that did not complete.
        asks: calls whose time is known.
        ask_mean: milliseconds of a call; NaN without any.
        ask_p95: 95th percentile of them.
        tell_mean: milliseconds of `tell` a trial; NaN where unknown.
        search_seconds: median over runs of the last end on the executor's clock; NaN without trials.
        cost_seconds: median over runs of the work.
    """

    trials: int
    cheaper: int
    repeats: int
    failures: int
    asks: int
    ask_mean: float
    ask_p95: float
    tell_mean: float
    search_seconds: float
    cost_seconds: float


def costs(runs: Sequence[ComparedRun], level: float, trials: int | None = None) -> Costs:
    """Of the first so many trials of each run.

    Args:
        runs: of a method.
        level: the highest fidelity of the comparison.
        trials: None for all.
    """
    part = slice(0, trials)
    histories = [run.history for run in runs if run.history.number[part].size]
    asks = 1e3 * np.concatenate([history.asks[:trials] for history in histories] or [np.empty(0)])
    told = [history for history in histories if not math.isnan(history.tells)]
    tells = 1e3 * sum(history.tells for history in told) / max(sum(map(len, told)), 1)
    return Costs(
        trials=sum(history.number[part].size for history in histories),
        cheaper=sum(int((history.fidelity[part] < level).sum()) for history in histories),
        repeats=sum(int(history.repeated[part].sum()) for history in histories),
        failures=sum(int(history.failed[part].sum()) for history in histories),
        asks=asks.size,
        ask_mean=float(asks.mean()) if asks.size else math.nan,
        ask_p95=float(np.quantile(asks, 0.95)) if asks.size else math.nan,
        tell_mean=tells if told else math.nan,
        search_seconds=_median([float(history.finished[part][-1]) for history in histories]),
        cost_seconds=_median([float(history.cost[part].sum()) for history in histories]),
    )


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else math.nan


_GAIN_NOTE = (
    "100 (mean - mean of the yardstick) / absolute mean of the yardstick (Yang et al. 2020), positive is "
    "better, with a bootstrap 95 % interval; * p < 0.05 by a two-sided Mann-Whitney test with Holm's "
    "correction over the methods of a column."
)


def architectures_sheet(analysis: Analysis) -> Table:
    """Relative improvement over the average random architecture."""
    comparison, gains = analysis.comparison, analysis.gains
    values = comparison.baseline.values[:, comparison.names.index(comparison.reported.name)]
    mean = f"{mean_of(values):.5g} {comparison.reported.unit}".strip()
    last = ["retrained"] if gains.retrained else []
    columns = {
        method: (*over, *(gains.retrained.get(method) for _ in last))
        for method, over in gains.over_architectures.items()
    }
    return Table(
        small=True,
        title=f"Relative improvement (%) of {comparison.reported.name} over the average random architecture",
        header=("method", *map(str, comparison.budgets), *last),
        rows=_gain_rows(analysis, columns),
        notes=(f"{len(values)} random architectures, evaluated once each; their mean: {mean}.", _GAIN_NOTE),
    )


def search_sheet(analysis: Analysis) -> Table:
    """Relative improvement over random search at the same budget."""
    comparison = analysis.comparison
    mixed = f"; without {', '.join(comparison.mixed)}, whose budget is another" if comparison.mixed else ""
    return Table(
        small=True,
        title=f"Relative improvement (%) of {comparison.reported.name} over random search, same budget",
        header=("method", *map(str, comparison.budgets)),
        rows=_gain_rows(analysis, analysis.gains.over_search),
        notes=(f"Random search: the method {comparison.random}{mixed}.", _GAIN_NOTE),
    )


def equal_search_sheet(analysis: Analysis) -> Table:
    """Relative improvement over random search at equal cost."""
    comparison = analysis.comparison
    return Table(
        small=True,
        title=f"Relative improvement (%) of {comparison.reported.name} over random search, equal cost",
        header=("method", *(format_duration(cost.seconds) for cost in analysis.costs)),
        rows=_gain_rows(analysis, analysis.gains_at_costs, mark=False),
        notes=(f"Random search: the method {comparison.random}, after as much work.", _GAIN_NOTE),
    )


def costs_sheet(analysis: Analysis) -> Table:
    """Trials, repeats, failures, and the searcher's own time."""
    rows: list[tuple[str, ...]] = []
    level = analysis.comparison.level
    for method in analysis.shown:
        c = costs(analysis.runs[method], level)
        counts = (c.trials, c.cheaper, c.repeats, c.failures)
        times = (c.ask_mean, c.ask_p95, c.tell_mean)
        spent = (c.search_seconds, c.cost_seconds)
        cells = (*map(str, counts), *(fixed(t, 2) for t in times), *map(format_duration, spent))
        rows.append((method, *cells))
    header = ("method", "trials", "cheaper", "repeats", "failed", "ask", "ask p95", "tell", "time", "work")
    return Table(
        small=True,
        title="What searching cost; counts over all seeds",
        header=header,
        rows=tuple(rows),
        notes=(
            "Cheaper: trials at lower fidelities. Repeats: trials whose architecture had been asked before "
            "in their study, at the same fidelity. Ask, tell: the searcher's own milliseconds a call, mean "
            "and 95th percentile. Time: on the executor's clock, and work: cost of all trials; medians over "
            "seeds.",
        ),
    )


def _gain_rows(
    analysis: Analysis, gains: Mapping[str, Sequence[Improvement | None]], *, mark: bool = True
) -> tuple[tuple[str, ...], ...]:
    """A row for each method; each column corrected by itself. Marked are methods of several fidelities."""
    seeds, mixed = len(analysis.comparison.seeds), analysis.comparison.mixed if mark else ()
    columns = [_column(column, seeds) for column in zip(*gains.values(), strict=True)]
    labels = [method + MIXED * (method in mixed) for method in gains]
    return tuple(zip(labels, *columns, strict=True))


def _column(gains: Sequence[Improvement | None], seeds: int) -> list[str]:
    corrected = holm([math.nan if gain is None else gain.p for gain in gains]).tolist()
    return [_gain(gain, p < ALPHA, seeds) for gain, p in zip(gains, corrected, strict=True)]


def _gain(gain: Improvement | None, significant: bool, seeds: int) -> str:
    if gain is None or math.isnan(gain.relative_improvement):
        return NONE
    low, high = gain.interval
    interval = "" if math.isnan(low) else f" [{fixed(low, 2)}, {fixed(high, 2)}]"
    cell = f"{fixed(gain.relative_improvement, 2, '+')}{interval}{'*' * significant}"
    return counted(cell, gain.n_method, seeds)


_COUNTS = "A cell where at least half of a method's runs got there; n: how many, where fewer than the seeds."


def sheets(analysis: Analysis) -> Iterator[Table]:
    """All tables, the most important ones first."""
    for view in analysis.views:
        for quantity in view.quantities:
            yield values_sheet(analysis, quantity, view)
    yield found_sheet(analysis)
    for view in analysis.views:
        for quantity in view.quantities:
            yield ranks_sheet(analysis, quantity, view)
            yield pairs_sheet(analysis, quantity, view)
            if analysis.comparison.default in analysis.shown:
                yield default_sheet(analysis, quantity, view)
    if analysis.gains.over_architectures and len(analysis.comparison.baseline.values):
        yield architectures_sheet(analysis)
    if analysis.gains.over_search:
        yield search_sheet(analysis)
    if analysis.gains_at_costs:
        yield equal_search_sheet(analysis)
    yield costs_sheet(analysis)
    yield from cache_sheets(analysis)


def values_sheet(analysis: Analysis, quantity: Quantity, view: View | None = None) -> Table:
    """Median and quartiles at each point; in bold what no other method beats significantly.

    Args:
        analysis: of the comparison.
        quantity: one of the view.
        view: None for that by evaluations, here and below.
    """
    view = view or analysis.by_evaluations
    columns = [tests.budget for tests in view.tests[quantity.key]]
    spreads = {m: [_quartiles(quantity, m, column) for column in columns] for m in analysis.shown}
    decimals = decimals_for([q[1] for its in spreads.values() for q in its], quantity.objective.unit)
    seeds = len(analysis.comparison.seeds)
    rows = tuple(
        (
            _method_label(view, method),
            *(
                counted(spread(q, decimals), quantity.at(method, column).size, seeds)
                for q, column in zip(its, columns, strict=True)
            ),
        )
        for method, its in spreads.items()
    )
    whose = "" if quantity.kind == "hypervolume" else " of the choice"
    where = view.words or " by evaluations"
    return Table(
        small=True,
        title=f"{_capital(quantity.title)}{whose}{where}: median [quartiles] over seeds",
        header=("method", *view.header),
        rows=rows,
        bold=frozenset(_unbeaten(analysis, view.tests[quantity.key])),
        notes=(
            "Bold: no other method is significantly better there, and the seeds are enough to tell.",
            _COUNTS,
            *_mixed_note(view),
        ),
    )


def found_sheet(analysis: Analysis) -> Table:
    """Area under the median regret, and the share of runs that hold the best architecture by validation."""
    comparison, unit = analysis.comparison, analysis.comparison.chooser.unit
    view, seeds = analysis.by_evaluations, len(analysis.comparison.seeds)
    rows = []
    for method in analysis.shown:
        n, enough = reached(analysis.found[method])
        shares = [
            counted(_share(analysis.found[method][:, place]), int(n[place]), seeds) if enough[place] else NONE
            for place in (budget - 1 for budget in comparison.budgets)
        ]
        area = counted(fixed(analysis.areas[method], 1), int(n[-1]), seeds)
        rows.append((_method_label(view, method), area, *shares))
    goal = "the known optimum" if analysis.knows_best else "the best that any run found"
    return Table(
        small=True,
        title=f"Runs that have found the best architecture by {comparison.chooser.name}, and area of regret",
        header=("method", f"area ({unit})" if unit else "area", *view.header),
        rows=tuple(rows),
        notes=(
            f"The best: {goal}, {analysis.best:.6g}{' ' * bool(unit)}{unit}. Area: sum of the median regret "
            f"after 1, 2, .., {comparison.horizon} evaluations; lower is better.",
            _COUNTS,
        ),
    )


def ranks_sheet(analysis: Analysis, quantity: Quantity, view: View | None = None) -> Table:
    """Mean ranks over seeds with Friedman's test and the critical difference."""
    view = view or analysis.by_evaluations
    tests = view.tests[quantity.key]
    ranks = [dict(zip(t.methods, t.ranks.mean_ranks, strict=True)) if t.ranks else {} for t in tests]
    bold = {
        (row, column)
        for column, (t, by_method) in enumerate(zip(tests, ranks, strict=True), start=1)
        for row, method in enumerate(analysis.shown)
        if t.ranks
        and t.ranks.can_separate
        and by_method.get(method, math.inf) - min(by_method.values()) <= t.ranks.critical_difference
    }
    return Table(
        small=True,
        title=f"Mean rank over seeds by {quantity.label}{view.words}; 1 is the best",
        header=("method", *view.header),
        rows=tuple((m, *(fixed(found.get(m, math.nan), 2) for found in ranks)) for m in analysis.shown),
        foot=(
            ("seeds", *_each(tests, lambda f: str(f.blocks))),
            ("critical difference", *_each(tests, lambda f: f"{f.critical_difference:.2f}")),
            ("Friedman chi-squared", *_each(tests, lambda f: fixed(f.chi_squared, 1))),
            ("Iman-Davenport F", *_each(tests, lambda f: fixed(f.f, 2))),
            ("p", *_each(tests, _p_of_ranks)),
        ),
        bold=frozenset(bold),
        notes=(
            f"Bold: within the critical difference (Nemenyi, level {ALPHA:g}) of the best, if ranks can be "
            "that far apart. p: that of F; for at most 10 seeds or 5 methods by permutations within seeds; "
            f"of what cannot reach p < {ALPHA:g} also the smallest that it can.",
        ),
    )


def pairs_sheet(analysis: Analysis, quantity: Quantity, view: View | None = None) -> Table:
    """How many others each method beats, and is beaten by."""
    view = view or analysis.by_evaluations
    tests = view.tests[quantity.key]

    def cell(t: Tests, method: str) -> str:
        sides = (len(t.against(method, "better")), len(t.against(method, "worse")))
        return "{} / {}".format(*sides) if t.can_tell(method) else NONE

    return Table(
        small=True,
        title=f"Significantly better / worse than so many others by {quantity.label}{view.words}",
        header=("method", *view.header),
        rows=tuple((method, *(cell(t, method) for t in tests)) for method in analysis.shown),
        foot=(("pairs tested", *(str(len(t.pairs)) for t in tests)),),
        notes=(
            f"Two-sided Mann-Whitney tests at level {ALPHA:g} with Holm's correction over all pairs of a "
            f"column; {NONE} where too few runs got there to tell. pairwise.csv lists them all.",
        ),
    )


def default_sheet(analysis: Analysis, quantity: Quantity, view: View | None = None) -> Table:
    """The default method beside each other one."""
    view = view or analysis.by_evaluations
    default = analysis.comparison.default or ""
    tests = view.tests[quantity.key]

    def cell(t: Tests, other: str) -> str:
        pair = t.pair(default, other)
        if pair is None:
            return NONE
        if not t.can_tell(default, other):
            return f"{pair.a12:.2f}"
        return f"{pair.a12:.2f} {'=' if not pair.significant else '+' if pair.a12 > 0.5 else '-'}"

    return Table(
        small=True,
        title=f"{default} beside each other method by {quantity.label}{view.words}: A12",
        header=("method", *view.header),
        rows=tuple((m, *(cell(t, m) for t in tests)) for m in analysis.shown if m != default),
        notes=(
            f"A12: probability that a run of {default} is better than one of the other, ties half. + better, "
            "- worse, = no significant difference (Holm, all pairs of a column); no sign where the seeds are "
            "too few to tell.",
            *verdicts(analysis, quantity, view),
        ),
    )


def verdicts(analysis: Analysis, quantity: Quantity, view: View | None = None) -> list[str]:
    """Where the default method is significantly better or worse than which others."""
    view = view or analysis.by_evaluations
    default = analysis.comparison.default
    said = []
    for moment, t in zip(view.moments, view.tests[quantity.key], strict=True):
        if default is None or default not in t.methods or len(t.methods) < 2:
            continue
        answer = _answer(default, t) if t.can_tell(default) else f"{default} {untestable(t)}"
        said.append(f"{moment}: {answer}.")
    return said


def _answer(default: str, tests: Tests) -> str:
    better, worse = ([pair.other for pair in tests.against(default, side)] for side in ("better", "worse"))
    parts = [
        f"{word} than {_named(names, tests)}"
        for word, names in (("better", better), ("worse", worse))
        if names
    ]
    parts += ["worse than none"] if better and not worse else []
    answer = f"is significantly {', '.join(parts)}" if parts else "differs significantly from none"
    return f"{default} {answer}"


def _named(names: Sequence[str], tests: Tests) -> str:
    return "all others" if len(names) == len(tests.methods) - 1 > 1 else ", ".join(names)


def _quartiles(quantity: Quantity, method: str, column: int) -> tuple[float, ...]:
    """NaN where less than half of the runs got there."""
    enough = reached(quantity.values[method])[1][column - 1]
    return quartiles(quantity.at(method, column)) if enough else (math.nan,) * 3


def _unbeaten(analysis: Analysis, tests: Sequence[Tests]) -> set[tuple[int, int]]:
    """tuple[str, ...] of methods that can be told from others and that none of them beats."""
    return {
        (row, column)
        for column, t in enumerate(tests, start=1)
        for row, method in enumerate(analysis.shown)
        if t.can_tell(method) and not t.against(method, "worse")
    }


def _method_label(view: View, method: str) -> str:
    return method + MIXED * (method in view.left_out)


def _mixed_note(view: View) -> list[str]:
    if not view.left_out:
        return []
    return [
        "Mixed: of several fidelities; the cost of trials at lower ones is no evaluation, so these methods "
        "are listed, but neither ranked nor tested here: see the tables at equal cost."
    ]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _each(tests: Sequence[Tests], text: Callable[[Friedman], str]) -> list[str]:
    return [text(t.ranks) if t.ranks else NONE for t in tests]


def _p_of_ranks(ranks: Friedman) -> str:
    p = "< 0.001" if ranks.p < 0.001 else f"{ranks.p:.3f}"
    return p if ranks.smallest_p < ALPHA else f"{p} (at least {ranks.smallest_p:.2g})"


def _share(found: np.ndarray) -> str:
    found = found[~np.isnan(found)]
    return f"{100 * found.mean():.0f} %" if found.size else NONE


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
