"""The figures of a comparison: curves against evaluations and time, quantiles, critical differences.

The diagram of critical differences is that of Demsar (2006), figure 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nas.report import figures as style
from nas.report.comparison.analysis import Analysis, Quantity, Summary, against_time, summary, time_grid
from nas.report.figures import COLOURS, FONT, LETTER, RANDOM_COLOUR, WIDTH, magnitude, quantity_label
from nas.report.output import figure_text, file_name
from nas.report.statistics import Friedman, cliques

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


ROW = 0.19  # inches from one label to the next
ABOVE = 4.6  # rows above the axis
BAR = 0.55  # rows from one bar to the next
TICK = 0.24  # inches from one rank to the next at least
GAP = 0.2  # inches from an end of the axis to the labels


def _styles(analysis: Analysis) -> dict[str, style.Style]:
    comparison = analysis.comparison
    return style.styles(comparison.methods, comparison.default, comparison.random)


def critical_figure(methods: Sequence[str], ranks: Friedman, title: str) -> Figure:
    """Mean ranks on a line, the best on the left; bars join what the critical difference does not separate.

    Args:
        methods: in the order of `ranks.mean_ranks`.
        ranks: with their critical difference.
        title: without a full stop.
    """
    from matplotlib.figure import Figure

    bars = cliques(ranks.mean_ranks, ranks.critical_difference)
    ordered = sorted(zip(ranks.mean_ranks, map(figure_text, methods), strict=True))
    k, half = len(ordered), (len(ordered) + 1) // 2
    first = 1.3 + BAR * len(bars)  # rows from the axis to the first label
    height = ABOVE + first + half
    left, right = (_label_width([method for _, method in its]) for its in (ordered[:half], ordered[half:]))
    length = max(WIDTH - left - right, TICK * (k - 1))
    figure = Figure(figsize=(left + length + right, ROW * height))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.axis("off")
    inch = (k - 1) / length
    axes.set_xlim(1 - left * inch, k + right * inch)
    axes.set_ylim(ABOVE - height, ABOVE)
    _draw_scale(axes, k, ranks.critical_difference, title)
    for index, (low, high) in enumerate(bars):
        axes.plot((low - 0.05, high + 0.05), (-0.7 - BAR * index,) * 2, "k-", lw=3, solid_capstyle="butt")
    for index, (rank, method) in enumerate(ordered):
        row = index if index < half else k - 1 - index
        end = 1 - GAP * inch if index < half else k + GAP * inch
        _draw_method(
            axes,
            f"{method}  {rank:.2f}" if index < half else f"{rank:.2f}  {method}",
            rank,
            end,
            -first - row,
        )
    return figure


def _label_width(methods: Sequence[str]) -> float:
    """Inches for these labels, their ranks and the gap beside them."""
    return GAP + 0.55 + LETTER * max(map(len, methods), default=0)


def _draw_scale(axes: Axes, k: int, distance: float, title: str) -> None:
    """The line of ranks, above it the critical difference to scale and the title."""
    thin = {"color": "black", "lw": 0.8}
    axes.plot((1, k), (0, 0), **thin)
    for rank in range(1, k + 1):
        axes.plot((rank, rank), (0, 0.35), **thin)
        axes.text(rank, 0.5, str(rank), ha="center", va="bottom", fontsize=FONT)
    axes.plot((1, 1 + distance), (2.0, 2.0), "k|-", lw=1.4, ms=6)
    axes.text(1, 2.25, f"critical difference {distance:.2f}", ha="left", va="bottom", fontsize=FONT)
    axes.text(sum(axes.get_xlim()) / 2, ABOVE - 0.25, title, ha="center", va="top", fontsize=FONT + 1)


def _draw_method(axes: Axes, text: str, rank: float, end: float, y: float) -> None:
    """A line from the rank down to its label at one end of the axis."""
    axes.plot((rank, rank, end), (0, y, y), color="black", lw=0.8)
    left = end < rank
    axes.text(
        end, y, f"{text} " if left else f" {text}", ha="right" if left else "left", va="center", fontsize=FONT
    )


COLUMNS = 4  # of small panels
OTHERS = "#c8c8c8"  # the other methods in a small panel


def figures(analysis: Analysis) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Names, and what draws each figure; none before the first evaluation."""
    if not analysis.shown:
        return
    analysis = _drawable(analysis)
    yield "evaluations", partial(evaluations_figure, analysis)
    grid = time_grid(analysis.whole_runs)
    if grid.size:
        yield "time", partial(time_figure, analysis, grid)
    for quantity in analysis.quantities:
        yield f"quartiles_{file_name(quantity.key)}", partial(quartiles_figure, analysis, quantity)
        if quantity.kind == "value":
            yield f"mean_{file_name(quantity.key)}", partial(mean_figure, analysis, quantity)
    yield "found", partial(found_figure, analysis)
    yield "quantiles", partial(quantiles_figure, analysis)
    for quantity in analysis.quantities:
        for tests in analysis.tests[quantity.key]:
            if tests.ranks is not None:
                seeds = f"{tests.ranks.blocks} seeds"
                title = f"mean rank after {tests.budget} evaluations by {quantity.label}, {seeds}"
                if not tests.ranks.can_separate:
                    title += "; too few to tell any apart"
                name = f"critical_difference_{file_name(quantity.key)}_{tests.budget}"
                yield name, partial(critical_figure, tests.methods, tests.ranks, title)


def _drawable(analysis: Analysis) -> Analysis:
    """The quantities in units that axes can hold, and their names in letters that are no formulas."""

    def scaled(quantity: Quantity) -> Quantity:
        factor, words = magnitude(quantity.values.values())
        unit = f"{quantity.objective.unit}{words}".strip()
        return replace(
            quantity,
            label=figure_text(quantity.label),
            objective=replace(quantity.objective, unit=figure_text(unit)),
            values={method: table / factor for method, table in quantity.values.items()},
        )

    return replace(
        analysis,
        quantities=tuple(map(scaled, analysis.quantities)),
        whole=tuple(map(scaled, analysis.whole)),
    )


def evaluations_figure(analysis: Analysis) -> Figure:
    """Median over seeds of each quantity against evaluations, one panel for each quantity."""
    comparison = analysis.comparison
    figure, axes = style.panels(1, len(analysis.quantities), 3.9)
    for each, quantity in zip(axes, analysis.quantities, strict=True):
        lines = {method: summary(quantity.values[method]).median for method in analysis.shown}
        _draw_lines(each, analysis, np.arange(1.0, comparison.horizon + 1), lines, _places(analysis))
        style.evaluations_axis(each, comparison.budgets, comparison.horizon)
        _value_axis(each, quantity, list(lines.values()))
        style.label(each, "evaluations", f"{quantity.title}\nmedian")
    style.legend(figure, axes[0])
    return figure


def time_figure(analysis: Analysis, grid: Floats) -> Figure:
    """Median over seeds of each quantity against the executor's clock."""
    figure, axes = style.panels(1, len(analysis.quantities), 3.9)
    for each, quantity in zip(axes, analysis.whole, strict=True):
        tables = against_time(quantity, analysis.whole_runs, grid)
        lines = {method: summary(tables[method]).median for method in analysis.shown}
        unit, scale = style.time_axis(each, grid)
        _draw_lines(each, analysis, grid / scale, lines, range(10, grid.size, 25))
        _value_axis(each, quantity, list(lines.values()))
        style.label(each, f"search time ({unit})", f"{quantity.title}\nmedian")
    style.legend(figure, axes[0])
    return figure


def quartiles_figure(analysis: Analysis, quantity: Quantity) -> Figure:
    """Median and quartiles of each method in a panel of its own, the medians of the others behind it."""
    shown, comparison = analysis.shown, analysis.comparison
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = style.panels(rows, columns, 1.75 if rows > 1 else 2.6, sharex=True, sharey=True)
    found = {method: summary(quantity.values[method]) for method in shown}
    points = np.arange(1.0, comparison.horizon + 1)
    for each, method in zip(axes, shown, strict=False):
        _draw_quartiles(each, points, method, found, comparison.random)
        style.fit_title(each, figure_text(method), 0.85 * style.WIDTH / columns)
    style.evaluations_axis(axes[0], _sparse(comparison.budgets), comparison.horizon)
    shown_values = [q for its in found.values() for q in (its.lower, its.median, its.upper)]
    _value_axis(axes[0], quantity, shown_values)
    for hidden in axes[len(shown) :]:
        hidden.set_visible(False)
    for lowest in axes[max(0, len(shown) - columns) : len(shown)]:
        lowest.tick_params(labelbottom=True)
    figure.supxlabel("evaluations", fontsize=style.FONT + 1)
    figure.supylabel(f"{quantity.title}: median, quartiles", fontsize=style.FONT + 1)
    return figure


def mean_figure(analysis: Analysis, quantity: Quantity) -> Figure:
    """Mean over seeds of the running best with its standard error at the budgets (DeepArchitect's plot)."""
    figure, (axes,) = style.panels(1, 1, 4.2)
    points = np.arange(1.0, analysis.comparison.horizon + 1)
    places, look = _places(analysis), _styles(analysis)
    found = {method: summary(quantity.values[method]) for method in analysis.shown}
    _draw_lines(axes, analysis, points, {method: its.mean for method, its in found.items()}, places)
    for index, (method, its) in enumerate(found.items()):
        aside = points[places] * (
            1 + 0.012 * (index - len(found) / 2)
        )  # so that bars do not cover one another
        bars = {"color": look[method]["color"], "elinewidth": 1.0, "capsize": 2, "zorder": 2}
        axes.errorbar(aside, its.mean[places], its.error[places], ls="none", **bars)
    style.evaluations_axis(axes, analysis.comparison.budgets, analysis.comparison.horizon)
    shown = [its.mean for its in found.values()]
    axes.set_ylim(style.span(shown, quantity.objective.direction, 0.05))
    style.label(axes, "evaluations", f"best {quantity.title}\nmean, standard error")
    style.legend(figure, axes)
    return figure


def found_figure(analysis: Analysis) -> Figure:
    """Share of runs that hold the best architecture by validation."""
    figure, (axes,) = style.panels(1, 1, 3.9)
    points = np.arange(1.0, analysis.comparison.horizon + 1)
    lines = {method: 100 * summary(analysis.found[method]).mean for method in analysis.shown}
    _draw_lines(axes, analysis, points, lines, _places(analysis))
    style.evaluations_axis(axes, analysis.comparison.budgets, analysis.comparison.horizon)
    top = max((np.nanmax(line, initial=0.0) for line in lines.values()), default=0.0)
    axes.set_ylim(-0.02 * top, max(5.0, 1.05 * top))
    goal = "the best architecture" if analysis.knows_best else "the best architecture that any run found"
    style.label(axes, "evaluations", f"runs that have found\n{goal} (%)")
    style.legend(figure, axes)
    return figure


def quantiles_figure(analysis: Analysis) -> Figure:
    """Share of a method's candidates with at least such a value of the first objective; failures count."""
    objective, baseline = analysis.comparison.chooser, analysis.comparison.baseline
    figure, (axes,) = style.panels(1, 1, 3.9)
    look = _styles(analysis)
    samples = {
        method: np.concatenate([run.history.values[run.position, 0] for run in analysis.runs[method]])
        for method in analysis.shown
    }
    factor, words = magnitude([*samples.values(), baseline.values[:, 0]])
    samples = {method: values / factor for method, values in samples.items()}
    if len(baseline.values):
        values = np.append(baseline.values[:, 0] / factor, np.full(baseline.failed, np.nan))
        random = {"color": RANDOM_COLOUR, "ls": ":", "lw": 1.6, "label": "random architectures"}
        axes.step(*_shares(values, objective.direction), **random)
    for method, values in samples.items():
        line = {key: look[method][key] for key in ("color", "ls", "lw", "zorder")}
        axes.step(*_shares(values, objective.direction), label=figure_text(method), **line)
    axes.set_xlim(style.span(list(samples.values()), objective.direction, 0.2))
    axes.set_ylim(-2, 102)
    better = "at least" if objective.direction == "maximize" else "at most"
    style.label(axes, f"{quantity_label(objective)}{words}", f"candidates with {better} this (%)")
    style.legend(figure, axes)
    return figure


def _shares(values: Floats, direction: str) -> tuple[Floats, Floats]:
    """Values in order, and in percent how many of all are at least as good; NaN are never."""
    ordered = np.sort(values[~np.isnan(values)])
    better = np.arange(ordered.size, 0, -1) if direction == "maximize" else np.arange(1, ordered.size + 1)
    return ordered, 100 * better / max(values.size, 1)


def _draw_lines(
    axes: Axes, analysis: Analysis, points: Floats, lines: Mapping[str, Floats], places: Sequence[int]
) -> None:
    """One step function for each method, its markers at some places."""
    look = _styles(analysis)
    for method, values in lines.items():
        drawn = np.where(np.isfinite(values), values, np.nan)
        axes.plot(
            points,
            drawn,
            drawstyle="steps-post",
            markevery=list(places),
            label=figure_text(method),
            **look[method],
        )


def _draw_quartiles(
    axes: Axes, points: Floats, method: str, found: Mapping[str, Summary], random: str | None
) -> None:
    """The method in colour over all others."""
    for other, its in found.items():
        if other != method:
            dashed = {"color": RANDOM_COLOUR, "ls": "--", "lw": 1.0} if other == random else {}
            axes.step(points, _finite(its.median), where="post", **{"color": OTHERS, "lw": 0.6, **dashed})
    its = found[method]
    low, high = _finite(its.lower), _finite(its.upper)
    axes.fill_between(points, low, high, step="post", color=COLOURS[0], alpha=0.25, lw=0, zorder=3)
    axes.step(points, _finite(its.median), where="post", color=COLOURS[0], lw=1.8, zorder=4)


def _value_axis(axes: Axes, quantity: Quantity, lines: Sequence[Floats]) -> None:
    if quantity.kind == "regret":
        style.regret_axis(axes, lines)
    else:
        axes.set_ylim(style.span(lines, quantity.objective.direction, 0.05))


def _places(analysis: Analysis) -> list[int]:
    return [budget - 1 for budget in analysis.comparison.budgets]


def _sparse(budgets: Sequence[int]) -> list[int]:
    """Every other budget, the largest one among them: a small panel has no room for more."""
    return sorted(sorted(budgets, reverse=True)[::2])


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)
