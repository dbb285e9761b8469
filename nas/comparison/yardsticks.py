"""The tables of gains over random architectures and random search, and of what searching cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from nas.comparison.analysis import Analysis
from nas.comparison.cells import MIXED, NONE, counted
from nas.comparison.costs import costs
from nas.comparison.sheets import Cells, Sheet
from nas.formats import fixed, format_duration
from nas.ranking import ALPHA, holm
from nas.statistics import Improvement
from nas.statistics import mean as mean_of

_GAIN_NOTE = (
    "100 (mean - mean of the yardstick) / absolute mean of the yardstick (Yang et al. 2020), positive is "
    "better, with a bootstrap 95 % interval; * p < 0.05 by a two-sided Mann-Whitney test with Holm's "
    "correction over the methods of a column."
)


def architectures_sheet(analysis: Analysis) -> Sheet:
    """Relative improvement over the average random architecture."""
    comparison, gains = analysis.comparison, analysis.gains
    values = comparison.baseline.values[:, comparison.names.index(comparison.reported.name)]
    mean = f"{mean_of(values):.5g} {comparison.reported.unit}".strip()
    last = ["retrained"] if gains.retrained else []
    columns = {
        method: (*over, *(gains.retrained.get(method) for _ in last))
        for method, over in gains.over_architectures.items()
    }
    return Sheet(
        title=f"Relative improvement (%) of {comparison.reported.name} over the average random architecture",
        header=("method", *map(str, comparison.budgets), *last),
        rows=_gain_rows(analysis, columns),
        notes=(f"{len(values)} random architectures, evaluated once each; their mean: {mean}.", _GAIN_NOTE),
    )


def search_sheet(analysis: Analysis) -> Sheet:
    """Relative improvement over random search at the same budget."""
    comparison = analysis.comparison
    mixed = f"; without {', '.join(comparison.mixed)}, whose budget is another" if comparison.mixed else ""
    return Sheet(
        title=f"Relative improvement (%) of {comparison.reported.name} over random search, same budget",
        header=("method", *map(str, comparison.budgets)),
        rows=_gain_rows(analysis, analysis.gains.over_search),
        notes=(f"Random search: the method {comparison.random}{mixed}.", _GAIN_NOTE),
    )


def equal_search_sheet(analysis: Analysis) -> Sheet:
    """Relative improvement over random search at equal cost."""
    comparison = analysis.comparison
    return Sheet(
        title=f"Relative improvement (%) of {comparison.reported.name} over random search, equal cost",
        header=("method", *(format_duration(cost.seconds) for cost in analysis.costs)),
        rows=_gain_rows(analysis, analysis.gains_at_costs, mark=False),
        notes=(f"Random search: the method {comparison.random}, after as much work.", _GAIN_NOTE),
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
        cells = (*map(str, counts), *(fixed(t, 2) for t in times), *map(format_duration, spent))
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


def _gain_rows(
    analysis: Analysis, gains: Mapping[str, Sequence[Improvement | None]], *, mark: bool = True
) -> tuple[Cells, ...]:
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
