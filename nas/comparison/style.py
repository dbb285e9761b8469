"""How the figures of a comparison look: one line style for each method, legible and the same in all of them.

Colours are those of `nas.figures`, which people with any colour vision tell apart; dashes and markers differ
as well, so that a print in grey will do. The default method is black and thick, random search grey.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.comparison.reading import Comparison
from nas.figures import COLOURS, RANDOM_COLOUR, UNITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Style = dict[str, Any]
WIDTH = 7.2  # inches: two columns of a paper
FONT = 8.0
LETTER = 0.066  # inches, mean width of a letter
_DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "d")


def styles(comparison: Comparison) -> dict[str, Style]:
    """Keyword arguments of a line for each method."""
    found: dict[str, Style] = {}
    index = 0
    for method in comparison.methods:
        if method == comparison.default:
            found[method] = {"color": "black", "ls": "-", "lw": 2.2, "marker": "*", "ms": 8, "zorder": 5}
        elif method == comparison.random:
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
