"""How figures look, and the two of a run: best so far against cost, and the comparison with random sampling.

A method has one line style in all figures, in colours that people with any colour vision tell apart; dashes
and markers differ as well, so that a print in grey will do. The default method is black and thick, random
search grey.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.evaluation import Fidelity, Objective, Stage
from nas.report.output import figure_text
from nas.report.records import Draws, Run, method_names, random_draws, random_sample
from nas.report.results import ResultRow, ResultTable, summary_rows
from nas.report.statistics import best_so_far, expected_best, mean_interval
from nas.report.tables import fixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


# Okabe and Ito's colours, which people with any colour vision tell apart; markers differ as well
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
RANDOM_COLOUR = "#666666"
MAX_POINTS = 3000  # single trials drawn per run
MOST_SECONDS = 1e15  # that are drawn: 30 million years
UNITS = (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


def progress_figure(table: ResultTable) -> Figure:
    """Best value so far of the quantity that the search saw, against the work spent.

    One line per run; the single trials as dots; the random baseline as a band (range and quartiles)
    with the expected best of 1, 2, .. random architectures. Search trials of a lower fidelity than
    the run's highest add cost only. Where no search trial was full, the baseline is that of its curves
    at the highest fidelity of the search; the legend says so, or that the curves do not have it.
    """
    objective = table.runs[0].objective
    curves = [_curve(run) for run in table.runs]
    sample = random_draws(random_sample(table.runs), objective, _highest(table.runs))
    factor, words = magnitude([*(curve.value for curve in curves), sample.values])
    curves = [replace(curve, value=curve.value / factor) for curve in curves]
    sample = replace(sample, values=tuple(value / factor for value in sample.values))
    figure, axes = _axes(f"{quantity_label(objective)}{words}", 4.2)
    end = max((curve.cost[-1] for curve in curves if curve.cost.size), default=0.0)
    unit, scale = _unit(end)
    limits = _draw_random(axes, sample, objective, scale, end)
    methods: dict[str, list[_Curve]] = {}
    for curve, method in zip(curves, method_names(table.runs), strict=True):
        methods.setdefault(method, []).append(curve)
    for index, (method, runs) in enumerate(methods.items()):
        limits += _draw_method(axes, runs, index, method, scale)
    _limit(axes, limits)
    axes.set_xlabel(f"cost of all search evaluations so far ({unit})")
    _finish(axes, bool(limits))
    return figure


def comparison_figure(table: ResultTable) -> Figure:
    """The reported quantity of random sampling and of each method: values, mean and its 95 % interval."""
    rows = summary_rows(table.rows)
    factor, words = magnitude([row.values for row in rows])
    rows = [replace(row, values=tuple(value / factor for value in row.values)) for row in rows]
    figure, axes = _axes("", 1.2 + 0.55 * len(rows))
    for place, row in enumerate(rows):
        _draw_values(axes, row, place)  # random sampling is the first row
    axes.set_yticks(range(len(rows)), [_row_label(row) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(f"{quantity_label(table.objective)}{words}; diamond: mean with 95 % interval")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    if not any(row.values for row in rows):
        _say_empty(axes)
    return figure


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """A run's ended search trials in the order of their ends; `value` is NaN where one does not count."""

    objective: Objective
    cost: Floats
    value: Floats

    @property
    def best(self) -> Floats:
        return best_so_far(self.value, direction=self.objective.direction)


def _curve(run: Run) -> _Curve:
    objective = run.objective
    rows = sorted(run.ended(Stage.SEARCH), key=lambda row: (row.finished or 0.0, row.number))
    highest = _highest([run])
    counted = [row.value(objective.name) if row.ok and row.fidelity == highest else None for row in rows]
    value = np.array([math.nan if v is None or not math.isfinite(v) else v for v in counted], float)
    with np.errstate(over="ignore"):
        cost = np.cumsum([row.cost_seconds for row in rows], dtype=float)
    cost = np.nan_to_num(cost, nan=0.0, posinf=MOST_SECONDS, neginf=0.0).clip(0.0, MOST_SECONDS)
    return _Curve(objective, cost, value)


def _highest(runs: Sequence[Run]) -> Fidelity | None:
    """The highest fidelity of their completed search trials; None for the full one, or without any."""
    found = (row.fidelity for run in runs for row in run.stages[Stage.SEARCH] if row.ok)
    return max(found, key=lambda fidelity: fidelity.value if fidelity else math.inf, default=None)


def _draw_method(axes: Axes, runs: Sequence[_Curve], index: int, method: str, scale: float) -> list[float]:
    """One line for a single run; thin lines and their median for several. Returns what must be visible."""
    runs = [run for run in runs if np.isfinite(run.value).any()]
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
    for run in runs:
        usable = np.isfinite(run.value)
        shown = np.flatnonzero(usable)[:: math.ceil(usable.sum() * len(runs) / MAX_POINTS)]
        style: dict[str, Any] = {"color": colour, "alpha": 0.35 / len(runs) ** 0.5, "rasterized": True}
        axes.plot(run.cost[shown] / scale, run.value[shown], marker, ls="none", ms=3, mew=0, **style)
        x, y = _steps(run)
        single = len(runs) == 1
        line: dict[str, Any] = (
            {"lw": 1.8, "label": figure_text(method)} if single else {"lw": 0.8, "alpha": 0.5}
        )
        axes.step(np.append(x, run.cost[-1]) / scale, np.append(y, y[-1]), where="post", color=colour, **line)
        if single:
            axes.plot(x / scale, y, marker, color=colour, markersize=5, mec="white", mew=0.6)
    if len(runs) > 1:
        x, y = _median_best(runs)
        label = f"{figure_text(method)}: median of {len(runs)} runs"
        axes.step(x / scale, y, where="post", color=colour, lw=2.2, label=label)
    return _visible(runs)


def _steps(run: _Curve) -> tuple[Floats, Floats]:
    """Costs at which the running best changed, and what it became."""
    usable = np.isfinite(run.value)
    best = run.best[usable]
    changed = np.diff(best, prepend=math.nan) != 0
    return run.cost[usable][changed], best[changed]


def _median_best(runs: Sequence[_Curve]) -> tuple[Floats, Floats]:
    """Median running best where every run has one, up to the end of the shortest."""
    steps = [_steps(run) for run in runs]
    first, last = max(x[0] for x, _ in steps), min(run.cost[-1] for run in runs)
    grid = np.unique(np.concatenate([*(x for x, _ in steps), [first, last]]))
    grid = grid[(grid >= first) & (grid <= max(first, last))]
    held = [y[np.searchsorted(x, grid, side="right") - 1] for x, y in steps]
    return grid, np.median(held, axis=0)


def _visible(runs: Sequence[_Curve]) -> list[float]:
    """The ends of all runs and what is no outlier below them."""
    if not runs:
        return []
    values = np.concatenate([run.value[np.isfinite(run.value)] for run in runs])
    low, high = np.quantile(values, (0.25, 0.75))
    reach = 1.5 * (high - low)
    inside = values[(values >= low - reach) & (values <= high + reach)]
    return [float(inside.min()), float(inside.max()), *(float(_steps(run)[1][-1]) for run in runs)]


def _draw_random(axes: Axes, sample: Draws, objective: Objective, scale: float, end: float) -> list[float]:
    """Draws the baseline's validation values; returns the values that must be visible."""
    values, fidelity = np.array(sample.values), sample.fidelity
    at = f" at {figure_text(fidelity.name)} = {fidelity.value:g}" if fidelity else ""
    if not values.size:
        if at and sample.completed:
            axes.plot([], [], ls="none", label=f"random sampling: not drawn, no values{at}")
        return []
    low, quarter, median, three, high = np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
    n = values.size
    if n > 1:
        label = f"random sampling{at}: range (n = {n})"
        axes.axhspan(low, high, color=RANDOM_COLOUR, alpha=0.10, lw=0, label=label)
        label = "random sampling: quartiles"
        axes.axhspan(quarter, three, color=RANDOM_COLOUR, alpha=0.22, lw=0, label=label)
    label = "random sampling: median" if n > 1 else f"random sampling{at}: one architecture"
    axes.axhline(median, color=RANDOM_COLOUR, lw=1, ls=":", label=label)
    best = expected_best(values, direction=objective.direction)
    spent = sample.cost_seconds if math.isfinite(sample.cost_seconds) else 0.0
    cost = (np.arange(1, n + 1) * (spent / n)).clip(0.0, MOST_SECONDS)
    seen = cost <= end if end > 0 else cost >= 0
    label = "random sampling: expected best"
    axes.plot(cost[seen] / scale, best[seen], color=RANDOM_COLOUR, lw=1.6, ls="--", label=label)
    reach = 1.5 * (three - quarter)
    return [float(max(low, quarter - reach)), float(min(high, three + reach))]


def _draw_values(axes: Axes, row: ResultRow, place: int) -> None:
    """Values spread over the upper half of the row, below them their mean with its interval."""
    if not row.values:
        return
    index = (place - 1) % len(COLOURS)
    colour, marker = (COLOURS[index], MARKERS[index]) if place else (RANDOM_COLOUR, "o")
    spread = np.linspace(-0.28, 0.0, len(row.values)) if len(row.values) > 1 else np.full(1, -0.14)
    axes.plot(row.values, place + spread, marker, color=colour, alpha=0.5, markersize=5, mew=0)
    low, high = mean_interval(row.values)
    if not math.isnan(low):
        axes.plot((low, high), (place + 0.24,) * 2, color=colour, lw=2)
    axes.plot(row.mean, place + 0.24, "D", color=colour, markersize=6.5, mec="white", mew=0.8, zorder=4)


def _row_label(row: ResultRow) -> str:
    label = f"{figure_text(row.label)} (n = {len(row.values)})"
    found = row.comparison
    if found is None or math.isnan(found.relative_improvement):
        return label
    star = "" if found.significant() else ", described" if found.descriptive else ", not significant"
    return f"{label}\nRI {fixed(found.relative_improvement, 2, '+')} %{star}"


def _axes(ylabel: str, height: float) -> tuple[Figure, Axes]:
    """One pair of axes on a figure of its own: nothing global, no window."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylabel(ylabel)
    axes.set_axisbelow(True)
    return figure, axes


def _finish(axes: Axes, drawn: bool) -> None:
    axes.set_xlim(left=0)
    axes.grid(color="#dddddd", linewidth=0.6)
    if not drawn:
        _say_empty(axes)
    elif axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False, loc="best")


def _say_empty(axes: Axes) -> None:
    axes.text(0.5, 0.5, "no completed trial yet", transform=axes.transAxes, ha="center", color=RANDOM_COLOUR)


def _limit(axes: Axes, values: Sequence[float]) -> None:
    """Leaves outliers out of view, so that one bad candidate does not flatten all curves."""
    if values:
        low, high = min(values), max(values)
        margin = 0.06 * (high - low) or abs(high) * 0.01 or 1.0
        axes.set_ylim(low - margin, high + margin)


def magnitude(samples: Iterable[Sequence[float] | Floats]) -> tuple[float, str]:
    """What to divide values by that no axis holds, with words for its label; 1 and none for others."""
    sizes = np.abs(np.concatenate([*(np.asarray(sample, float).ravel() for sample in samples), np.empty(0)]))
    largest = float(sizes[np.isfinite(sizes)].max(initial=0.0))
    if largest == 0 or 1e-100 <= largest <= 1e100:
        return 1.0, ""
    exponent = max(-300, math.floor(math.log10(largest)))
    return 10.0**exponent, f" / 1e{exponent}"


def _unit(seconds: float) -> tuple[str, float]:
    """The largest unit of which there are at least two."""
    return next(((name, size) for name, size in UNITS if seconds >= 2 * size), UNITS[-1])


def quantity_label(objective: Objective) -> str:
    """Name and unit as words of an axis."""
    name = figure_text(objective.name.replace("_", " "))
    return f"{name} ({figure_text(objective.unit)})" if objective.unit else name


Style = dict[str, Any]
WIDTH = 7.2  # inches: two columns of a paper
FONT = 8.0
LETTER = 0.066  # inches, mean width of a letter
_DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "d")


def styles(methods: Sequence[str], default: str | None, random: str | None) -> dict[str, Style]:
    """Keyword arguments of a line for each method."""
    found: dict[str, Style] = {}
    index = 0
    for method in methods:
        if method == default:
            found[method] = {"color": "black", "ls": "-", "lw": 2.2, "marker": "*", "ms": 8, "zorder": 5}
        elif method == random:
            found[method] = {
                "color": RANDOM_COLOUR,
                "ls": "--",
                "lw": 1.6,
                "marker": "x",
                "ms": 5,
                "zorder": 4,
            }
        else:
            colour, dash = COLOURS[index % len(COLOURS)], _DASHES[index // len(COLOURS) % len(_DASHES)]
            marker = _MARKERS[index % len(_MARKERS)]
            found[method] = {"color": colour, "ls": dash, "lw": 1.3, "marker": marker, "ms": 4, "zorder": 3}
            index += 1
    return found


def panels(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of its own, nothing global, with so many panels, row by row; `height` of each in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, rows * height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, **options)
    axes = list(grid.flat)
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(labelsize=FONT)
        each.grid(color="#dddddd", linewidth=0.5)
        each.set_axisbelow(True)
    return figure, axes


def label(axes: Axes, x: str = "", y: str = "", title: str = "") -> None:
    """Names the axes at a legible size."""
    axes.set_xlabel(x, fontsize=FONT + 1)
    axes.set_ylabel(y, fontsize=FONT + 1)
    axes.set_title(title, fontsize=FONT + 1)


def legend(figure: Figure, axes: Axes) -> None:
    """One legend for all panels, below them, in as many columns as fit; its entries are those of `axes`."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        columns = max(1, int(WIDTH / (LETTER * max(map(len, labels)) + 0.55)))
        look: Style = {"fontsize": FONT, "frameon": False, "handlelength": 3.0, "columnspacing": 1.2}
        figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(labels)), **look)


def evaluations_axis(axes: Axes, budgets: Sequence[int], horizon: int) -> None:
    """A logarithmic axis marked at the budgets, from the first evaluation to the last."""
    ticks = sorted({1, *(budget for budget in budgets if budget <= horizon)})
    axes.set_xscale("log")
    axes.set_xlim(1, max(horizon, 2))
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()


def fit_title(axes: Axes, words: str, width: float) -> None:
    """A title of one or two lines, broken at an underscore, that is no wider than so many inches."""
    lines = [words]
    if LETTER * (FONT + 1) / FONT * len(words) > width:
        breaks = [index + 1 for index, letter in enumerate(words) if letter in "_- "]
        middle = min(breaks, key=lambda place: abs(place - len(words) / 2), default=len(words))
        lines = [words[:middle], words[middle:]]
    longest = max(map(len, lines))
    size = min(FONT + 1, FONT * width / (LETTER * longest)) if longest else FONT + 1
    axes.set_title("\n".join(filter(None, lines)), fontsize=size)


def time_axis(axes: Axes, grid: Floats) -> tuple[str, float]:
    """A logarithmic axis over the moments; the name of its unit and the seconds in it."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    unit, scale = next(((name, size) for name, size in UNITS if grid[-1] >= 2 * size), UNITS[-1])
    axes.set_xscale("log")
    axes.set_xlim(grid[0] / scale, grid[-1] / scale)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()
    return unit, scale


def regret_axis(axes: Axes, lines: Sequence[Floats]) -> None:
    """A logarithmic axis down to the smallest positive value of the lines, linear from there to 0."""
    from matplotlib.ticker import FuncFormatter

    values = np.concatenate([*lines, np.empty(0)])
    positive = values[np.isfinite(values) & (values > 0)]
    if not positive.size:
        return
    high = float(positive.max())
    low = max(float(positive.min()), high / 1e4)
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    steps = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    start = max(step for step in steps if step <= 1.001 * low)
    axes.set_yscale("symlog", linthresh=start, linscale=0.25)
    axes.set_yticks([0.0, *(step for step in steps if start <= step <= 1.2 * high)])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()
    axes.set_ylim(-0.2 * start, 1.2 * high)


def span(lines: Sequence[Floats], direction: str, left_out: float) -> tuple[float, float] | None:
    """The range of all values without the worst share of them, so that outliers flatten no curve."""
    values = np.concatenate([*lines, np.empty(0)])
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    ends = (left_out, 1.0) if direction == "maximize" else (0.0, 1 - left_out)
    low, high = np.quantile(values, ends).tolist()
    margin = 0.06 * (high - low) or abs(high) * 0.01 or 1.0
    return low - margin, high + margin
