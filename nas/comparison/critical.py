"""The diagram of critical differences (Demsar 2006, figure 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nas.comparison.style import FONT, LETTER, WIDTH
from nas.output import figure_text
from nas.ranking import Friedman, cliques

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 0.19  # inches from one label to the next
ABOVE = 4.6  # rows above the axis
BAR = 0.55  # rows from one bar to the next
TICK = 0.24  # inches from one rank to the next at least
GAP = 0.2  # inches from an end of the axis to the labels


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
