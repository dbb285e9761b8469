"""The tables of a comparison: what each method holds, its ranks and pairwise tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from nas.comparison.analysis import Analysis, Tests, View
from nas.comparison.caching import cache_sheets
from nas.comparison.cells import MIXED, NONE, counted, decimals_for, spread
from nas.comparison.curves import Quantity, quartiles, reached
from nas.comparison.notes import untestable
from nas.comparison.sheets import Sheet
from nas.comparison.yardsticks import architectures_sheet, costs_sheet, equal_search_sheet, search_sheet
from nas.formats import fixed
from nas.ranking import ALPHA, Friedman

_COUNTS = "A cell where at least half of a method's runs got there; n: how many, where fewer than the seeds."


def sheets(analysis: Analysis) -> Iterator[Sheet]:
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


def values_sheet(analysis: Analysis, quantity: Quantity, view: View | None = None) -> Sheet:
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
            _label(view, method),
            *(
                counted(spread(q, decimals), quantity.at(method, column).size, seeds)
                for q, column in zip(its, columns, strict=True)
            ),
        )
        for method, its in spreads.items()
    )
    whose = "" if quantity.kind == "hypervolume" else " of the choice"
    where = view.words or " by evaluations"
    return Sheet(
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


def found_sheet(analysis: Analysis) -> Sheet:
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
        rows.append((_label(view, method), area, *shares))
    goal = "the known optimum" if analysis.knows_best else "the best that any run found"
    return Sheet(
        title=f"Runs that have found the best architecture by {comparison.chooser.name}, and area of regret",
        header=("method", f"area ({unit})" if unit else "area", *view.header),
        rows=tuple(rows),
        notes=(
            f"The best: {goal}, {analysis.best:.6g}{' ' * bool(unit)}{unit}. Area: sum of the median regret "
            f"after 1, 2, .., {comparison.horizon} evaluations; lower is better.",
            _COUNTS,
        ),
    )


def ranks_sheet(analysis: Analysis, quantity: Quantity, view: View | None = None) -> Sheet:
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
    return Sheet(
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


def pairs_sheet(analysis: Analysis, quantity: Quantity, view: View | None = None) -> Sheet:
    """How many others each method beats, and is beaten by."""
    view = view or analysis.by_evaluations
    tests = view.tests[quantity.key]

    def cell(t: Tests, method: str) -> str:
        sides = (len(t.against(method, "better")), len(t.against(method, "worse")))
        return "{} / {}".format(*sides) if t.can_tell(method) else NONE

    return Sheet(
        title=f"Significantly better / worse than so many others by {quantity.label}{view.words}",
        header=("method", *view.header),
        rows=tuple((method, *(cell(t, method) for t in tests)) for method in analysis.shown),
        foot=(("pairs tested", *(str(len(t.pairs)) for t in tests)),),
        notes=(
            f"Two-sided Mann-Whitney tests at level {ALPHA:g} with Holm's correction over all pairs of a "
            f"column; {NONE} where too few runs got there to tell. pairwise.csv lists them all.",
        ),
    )


def default_sheet(analysis: Analysis, quantity: Quantity, view: View | None = None) -> Sheet:
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

    return Sheet(
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
    """Cells of methods that can be told from others and that none of them beats."""
    return {
        (row, column)
        for column, t in enumerate(tests, start=1)
        for row, method in enumerate(analysis.shown)
        if t.can_tell(method) and not t.against(method, "worse")
    }


def _label(view: View, method: str) -> str:
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
