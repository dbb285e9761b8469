"""The figure of a cache: hit rate over suggestions and clock, seconds saved against seconds spent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.caching.tables import CacheTable
from nas.caching.usage import Course
from nas.report import COLOURS, MARKERS, RANDOM_COLOUR, UNITS, figure_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Line = tuple["Floats", "Floats"]
Look = dict[str, Any]
WIDTH = 7.0  # inches
MAX_POINTS = 1000  # of a line
FONT = 8.0
LETTER = 0.055  # inches, mean width of a letter
ROLLING: Look = {"ls": "--", "lw": 1.0, "alpha": 0.8}
EQUAL: Look = {"color": RANDOM_COLOUR, "lw": 0.8, "ls": (0, (1, 2))}
HASHING: Look = {"ls": "-.", "lw": 1.2}


def cache_figure(table: CacheTable) -> Figure:
    """Hit rates, cumulative and rolling, and what was saved; of several runs of a method the medians.

    Thin lines are single runs. A median goes as far as the shortest run.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 6.2), layout="constrained")
    panels = figure.subplot_mosaic([["trials", "clock"], ["saved", "saved"]])
    for each in panels.values():
        _prepare(each)
    groups = _groups(table)
    courses = [course for its in groups.values() for course in its]
    clock = max((float(c.clock[-1]) for c in courses if c.clock.size), default=0.0)
    spent = max((float(c.spent[-1]) for c in courses if c.spent.size), default=0.0)
    clock_unit, clock_scale = _unit(clock)
    unit, scale = _unit(spent)
    for index, (label, its) in enumerate(groups.items()):
        look = {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}
        _draw_rates(panels["trials"], its, look, label, _by_suggestions)
        _draw_rates(panels["clock"], its, look, label, lambda c: c.clock / clock_scale)
        _draw_saved(panels["saved"], its, look, label, scale)
    _name(panels["trials"], "suggestions looked up", "hit rate (%)")
    _name(panels["clock"], f"clock ({clock_unit})", "hit rate (%)")
    _name(panels["saved"], f"spent on evaluation and hashing ({unit})", f"saved ({unit})")
    for each in (panels["trials"], panels["clock"]):
        each.set_ylim(-2, 102)
    _finish(figure, panels["saved"], spent / scale)
    _legend(figure, panels["saved"], courses)
    return figure


def _groups(table: CacheTable) -> dict[str, list[Course]]:
    """The runs of each method and hasher."""
    groups: dict[str, list[Course]] = {}
    for row in table.runs:
        groups.setdefault(figure_text(f"{row.label}, {row.hashing}"), []).append(row.usages[0].course)
    return groups


def _by_suggestions(course: Course) -> Floats:
    return np.arange(1.0, course.answered.size + 1)


def _draw_rates(
    axes: Axes, courses: Sequence[Course], look: Look, label: str, x: Callable[[Course], Floats]
) -> None:
    used = [course for course in courses if course.answered.size]
    _draw(axes, [(x(c), c.cumulative()) for c in used], look, _summed(label, len(courses)))
    _draw_one(axes, [(x(c), c.rolling()) for c in used], f"rolling, {label}", look["color"], ROLLING)


def _draw_saved(axes: Axes, courses: Sequence[Course], look: Look, label: str, scale: float) -> None:
    used = [course for course in courses if course.spent.size]
    _draw(axes, [(c.spent / scale, c.saved / scale) for c in used], look, _summed(label, len(courses)))
    hashed = [(c.spent / scale, c.hashing / scale) for c in used if c.hashing[-1] > 0]
    _draw_one(axes, hashed, f"hashing, {label}", look["color"], HASHING)


def _draw(axes: Axes, lines: Sequence[Line], look: Look, label: str) -> None:
    """A line with marks for a single run; thin lines with their median for several."""
    if len(lines) > 1:
        for line in lines:
            axes.step(*_thinned(*line), where="post", color=look["color"], lw=0.6, alpha=0.4)
    marks = {"marker": look["marker"], "ms": 4, "markevery": 0.11}
    _draw_one(axes, lines, label, look["color"], {"lw": 1.8, **marks})


def _draw_one(axes: Axes, lines: Sequence[Line], label: str, colour: str, style: Look) -> None:
    """The only line, or the median of several."""
    if lines:
        x, y = _median(lines) if len(lines) > 1 else _thinned(*lines[0])
        axes.step(x, y, where="post", label=label, color=colour, **style)


def _median(lines: Sequence[Line]) -> Line:
    """Where all runs have a value."""
    first, last = max(x[0] for x, _ in lines), min(x[-1] for x, _ in lines)
    grid = np.unique(np.concatenate([*(x for x, _ in lines), [first, last]]))
    grid = grid[(grid >= first) & (grid <= max(first, last))]
    grid = grid[_places(grid.size)]
    return grid, np.median([y[np.searchsorted(x, grid, side="right") - 1] for x, y in lines], axis=0)


def _thinned(x: Floats, y: Floats) -> Line:
    places = _places(x.size)
    return x[places], y[places]


def _places(size: int) -> NDArray[np.int64]:
    """All places, or `MAX_POINTS` of them evenly, the first and the last included."""
    return np.unique(np.linspace(0, size - 1, min(size, MAX_POINTS)).round().astype(np.int64))


def _summed(label: str, runs: int) -> str:
    return label if runs == 1 else f"{label}: median of {runs} runs"


def _unit(seconds: float) -> tuple[str, float]:
    """The largest unit of which there are at least two."""
    return next(((name, size) for name, size in UNITS if seconds >= 2 * size), UNITS[-1])


def _prepare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=FONT)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _name(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=FONT + 1)
    axes.set_ylabel(y, fontsize=FONT + 1)


def _finish(figure: Figure, saved: Axes, end: float) -> None:
    """The line on which as much is saved as spent, as far as it is in view."""
    low, high = saved.get_ylim()
    saved.plot((0, end), (0, end), scalex=False, scaley=False, **EQUAL)
    saved.set_ylim(min(low, 0.0), high)
    for each in figure.axes:
        each.set_xlim(left=0)


def _legend(figure: Figure, saved: Axes, courses: Sequence[Course]) -> None:
    """The methods, then what the other lines are."""
    from matplotlib.lines import Line2D

    handles, labels = saved.get_legend_handles_labels()
    methods = [(h, name) for h, name in zip(handles, labels, strict=True) if not name.startswith("hashing, ")]
    windows = sorted({course.window for course in courses})
    last = f"last {windows[0]}" if len(windows) == 1 else f"last {windows[0]} to {windows[-1]}"
    others = [(ROLLING, f"hit rate of the {last}"), (EQUAL, "as much saved as spent")]
    if len(methods) < len(labels):
        others.insert(1, (HASHING, "spent on hashing"))
    grey = [(Line2D([], [], **{"color": RANDOM_COLOUR, **look}), name) for look, name in others]
    shown = [*methods, *grey]
    columns = max(1, int(WIDTH / (LETTER * max(len(name) for _, name in shown) + 0.55)))
    style: Look = {"fontsize": FONT, "frameon": False, "loc": "outside lower center"}
    figure.legend(*zip(*shown, strict=True), ncols=columns, **style)
