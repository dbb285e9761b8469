"""The tables of a comparison: what each method holds, its ranks, pairwise tests, gains and costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from nas.comparison.analysis import Analysis, Tests
from nas.comparison.costs import costs
from nas.comparison.curves import Quantity, quartiles
from nas.comparison.sheets import Cells, Sheet
from nas.display import format_duration
from nas.ranking import ALPHA, Friedman
from nas.statistics import Comparison as Gain

NONE = "-"


def sheets(analysis: Analysis) -> Iterator[Sheet]:
    """All tables, the most important ones first."""
    for quantity in analysis.quantities:
        yield values_sheet(analysis, quantity)
    yield found_sheet(analysis)
    for quantity in analysis.quantities:
        yield ranks_sheet(analysis, quantity)
        yield pairs_sheet(analysis, quantity)
        if analysis.comparison.default in analysis.shown:
            yield default_sheet(analysis, quantity)
    if analysis.gains.over_architectures and len(analysis.comparison.baseline.values):
        yield architectures_sheet(analysis)
    if analysis.gains.over_search:
        yield search_sheet(analysis)
    yield costs_sheet(analysis)


def values_sheet(analysis: Analysis, quantity: Quantity) -> Sheet:
    """Median and quartiles at each budget; in bold what no other method beats significantly."""
    budgets = analysis.comparison.budgets
    spreads = {
        method: [quartiles(quantity.at(method, budget)) for budget in budgets] for method in analysis.shown
    }
    decimals = _decimals([q[1] for its in spreads.values() for q in its], quantity.objective.unit)
    rows = tuple((m, *(_spread(q, decimals) for q in its)) for m, its in spreads.items())
    bold = {
        (row, column)
        for column, tests in enumerate(analysis.tests[quantity.key], start=1)
        for row, method in enumerate(analysis.shown)
        if len(tests.methods) > 1 and method in tests.methods and not tests.against(method, "worse")
    }
    whose = "" if quantity.kind == "hypervolume" else " of the choice"
    return Sheet(
        title=f"{_capital(quantity.title)}{whose} by evaluations: median [quartiles] over seeds",
        header=_header(analysis),
        rows=rows,
        bold=frozenset(bold),
        notes=("Bold: no other method is significantly better at this budget.",),
    )


def found_sheet(analysis: Analysis) -> Sheet:
    """Area under the median regret, and the share of runs that hold the best architecture by validation."""
    comparison, unit = analysis.comparison, analysis.comparison.chooser.unit
    rows = []
    for method in analysis.shown:
        shares = [analysis.found[method][:, budget - 1] for budget in comparison.budgets]
        rows.append((method, _fixed(analysis.areas[method], 1), *map(_share, shares)))
    goal = "the known optimum" if analysis.knows_best else "the best that any run found"
    return Sheet(
        title=f"Runs that have found the best architecture by {comparison.chooser.name}, and area of regret",
        header=("method", f"area ({unit})" if unit else "area", *map(str, comparison.budgets)),
        rows=tuple(rows),
        notes=(
            f"The best: {goal}, {analysis.best:.6g}{' ' * bool(unit)}{unit}. Area: sum of the median regret "
            f"after 1, 2, .., {comparison.horizon} evaluations; lower is better.",
        ),
    )


def ranks_sheet(analysis: Analysis, quantity: Quantity) -> Sheet:
    """Mean ranks over seeds with Friedman's test and the critical difference."""
    tests = analysis.tests[quantity.key]
    ranks = [dict(zip(t.methods, t.ranks.mean_ranks, strict=True)) if t.ranks else {} for t in tests]
    bold = {
        (row, column)
        for column, (t, by_method) in enumerate(zip(tests, ranks, strict=True), start=1)
        for row, method in enumerate(analysis.shown)
        if t.ranks
        and by_method.get(method, math.inf) - min(by_method.values()) <= t.ranks.critical_difference
    }
    return Sheet(
        title=f"Mean rank over seeds by {quantity.label}; 1 is the best",
        header=_header(analysis),
        rows=tuple((m, *(_fixed(found.get(m, math.nan), 2) for found in ranks)) for m in analysis.shown),
        foot=(
            ("seeds", *_each(tests, lambda f: str(f.blocks))),
            ("critical difference", *_each(tests, lambda f: f"{f.critical_difference:.2f}")),
            ("Friedman chi-squared", *_each(tests, lambda f: _fixed(f.chi_squared, 1))),
            ("Iman-Davenport F", *_each(tests, lambda f: _fixed(f.f, 2))),
            ("p", *_each(tests, lambda f: "< 0.001" if f.p < 0.001 else f"{f.p:.3f}")),
        ),
        bold=frozenset(bold),
        notes=(
            f"Bold: within the critical difference (Nemenyi, level {ALPHA:g}) of the best. p: that of F; for "
            "at most 10 seeds or 5 methods by permutations within seeds.",
        ),
    )


def pairs_sheet(analysis: Analysis, quantity: Quantity) -> Sheet:
    """How many others each method beats, and is beaten by."""
    tests = analysis.tests[quantity.key]

    def cell(t: Tests, method: str) -> str:
        sides = (len(t.against(method, "better")), len(t.against(method, "worse")))
        return "{} / {}".format(*sides) if method in t.methods else NONE

    return Sheet(
        title=f"Significantly better / worse than so many others by {quantity.label}",
        header=_header(analysis),
        rows=tuple((method, *(cell(t, method) for t in tests)) for method in analysis.shown),
        foot=(("pairs tested", *(str(len(t.pairs)) for t in tests)),),
        notes=(
            f"Two-sided Mann-Whitney tests at level {ALPHA:g} with Holm's correction over all pairs of a "
            "budget; pairwise.csv lists them all.",
        ),
    )


def default_sheet(analysis: Analysis, quantity: Quantity) -> Sheet:
    """The default method beside each other one."""
    default = analysis.comparison.default or ""
    tests = analysis.tests[quantity.key]

    def cell(t: Tests, other: str) -> str:
        pair = t.pair(default, other)
        if pair is None:
            return NONE
        return f"{pair.a12:.2f} {'=' if not pair.significant else '+' if pair.a12 > 0.5 else '-'}"

    return Sheet(
        title=f"{default} beside each other method by {quantity.label}: A12",
        header=_header(analysis),
        rows=tuple((m, *(cell(t, m) for t in tests)) for m in analysis.shown if m != default),
        notes=(
            f"A12: probability that a run of {default} is better than one of the other, ties half. + better, "
            "- worse, = no significant difference (Holm, all pairs of a budget).",
            *verdicts(analysis, quantity),
        ),
    )


def verdicts(analysis: Analysis, quantity: Quantity) -> list[str]:
    """At which budgets the default method is significantly better or worse than which others."""
    default = analysis.comparison.default
    said = []
    for t in analysis.tests[quantity.key]:
        if default is None or default not in t.methods or len(t.methods) < 2:
            continue
        better, worse = ([pair.other for pair in t.against(default, side)] for side in ("better", "worse"))
        parts = [
            f"{word} than {_named(names, t)}"
            for word, names in (("better", better), ("worse", worse))
            if names
        ]
        parts += ["worse than none"] if better and not worse else []
        answer = f"is significantly {', '.join(parts)}" if parts else "differs significantly from none"
        said.append(f"{t.budget} evaluations: {default} {answer}.")
    return said


def _named(names: Sequence[str], tests: Tests) -> str:
    return "all others" if len(names) == len(tests.methods) - 1 > 1 else ", ".join(names)


def architectures_sheet(analysis: Analysis) -> Sheet:
    """Relative improvement over the average random architecture."""
    comparison, gains = analysis.comparison, analysis.gains
    values = comparison.baseline.values[:, comparison.names.index(comparison.reported.name)]
    mean = f"{np.nanmean(values):.5g} {comparison.reported.unit}".strip()
    last = [gains.retrained] if gains.retrained else []
    rows = [
        (method, *map(_gain, over), *(_gain(column.get(method)) for column in last))
        for method, over in gains.over_architectures.items()
    ]
    return Sheet(
        title=f"Relative improvement (%) of {comparison.reported.name} over the average random architecture",
        header=(*_header(analysis), *(["retrained"] * len(last))),
        rows=tuple(rows),
        notes=(f"{len(values)} random architectures, evaluated once each; their mean: {mean}.", _GAIN_NOTE),
    )


def search_sheet(analysis: Analysis) -> Sheet:
    """Relative improvement over random search at the same budget."""
    comparison = analysis.comparison
    return Sheet(
        title=f"Relative improvement (%) of {comparison.reported.name} over random search, same budget",
        header=_header(analysis),
        rows=tuple((m, *map(_gain, over)) for m, over in analysis.gains.over_search.items()),
        notes=(f"Random search: the method {comparison.random}.", _GAIN_NOTE),
    )


_GAIN_NOTE = (
    "100 (mean - mean of the yardstick) / absolute mean of the yardstick (Yang et al. 2020), positive is "
    "better, with a bootstrap 95 % interval; * p < 0.05 by a two-sided Mann-Whitney test, not corrected for "
    "the number of methods."
)


def costs_sheet(analysis: Analysis) -> Sheet:
    """Trials, repeats, failures, and the searcher's own time."""
    rows: list[Cells] = []
    level = analysis.comparison.level
    for method in analysis.shown:
        c = costs(analysis.runs[method], level)
        counts = (c.trials, c.cheaper, c.repeats, c.failures)
        times = (c.ask_mean, c.ask_p95, c.tell_mean)
        spent = (c.search_seconds, c.cost_seconds)
        cells = (*map(str, counts), *(_fixed(t, 2) for t in times), *map(format_duration, spent))
        rows.append((method, *cells))
    header = ("method", "trials", "cheaper", "repeats", "failed", "ask", "ask p95", "tell", "time", "work")
    return Sheet(
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


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _header(analysis: Analysis) -> Cells:
    return ("method", *map(str, analysis.comparison.budgets))


def _each(tests: Sequence[Tests], text: Callable[[Friedman], str]) -> list[str]:
    return [text(t.ranks) if t.ranks else NONE for t in tests]


def _gain(gain: Gain | None) -> str:
    if gain is None or math.isnan(gain.relative_improvement):
        return NONE
    low, high = gain.interval
    interval = "" if math.isnan(low) else f" [{_fixed(low, 2)}, {_fixed(high, 2)}]"
    return f"{round(gain.relative_improvement, 2) + 0.0:+.2f}{interval}{'*' * gain.significant()}"


def _spread(values: tuple[float, ...], decimals: int) -> str:
    low, median, high = (_fixed(value, decimals) for value in values)
    return median if median == NONE else f"{median} [{low}, {high}]"


def _share(found: np.ndarray) -> str:
    found = found[~np.isnan(found)]
    return f"{100 * found.mean():.0f} %" if found.size else NONE


def _fixed(value: float, decimals: int) -> str:
    if math.isnan(value):
        return NONE
    value = round(value, decimals) + 0.0  # no negative zero
    return f"{value:.{decimals}f}" if math.isfinite(value) else "inf" if value > 0 else "-inf"


def _decimals(medians: Sequence[float], unit: str) -> int:
    """Two for percentages; otherwise as many as show two digits of the range."""
    finite = [value for value in medians if math.isfinite(value)]
    reach = max(finite, default=0.0) - min(finite, default=0.0)
    if unit == "%" or reach <= 0:
        return 2
    return min(6, max(0, 2 - math.floor(math.log10(reach))))
