"""The figure of a study of protocols: values by variant, and ranks under the first and the last one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.protocol.results import VariantTable
from nas.report import COLOURS, figure_text, magnitude, quantity_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = 30  # letters of a variant
MOST_LINES = 16  # of ranks that have a colour each


def variants_figure(table: VariantTable) -> Figure:
    """On the left a box and the values of each variant, on the right the ranks under two of them."""
    from matplotlib.figure import Figure

    factor, words = magnitude([row.values for row in table.rows])
    objective = replace(table.objective, unit=f"{table.objective.unit}{words}".strip())
    rows = tuple(
        replace(row, name=figure_text(row.name, NAME), values=tuple(value / factor for value in row.values))
        for row in table.rows
    )
    table = replace(table, rows=rows, objective=objective)
    several = len(table.rows) > 1
    width = 4.0 + 0.45 * len(table.rows)
    figure = Figure(figsize=(width + 3.0 * several, 4.2), layout="constrained")
    grid = figure.add_gridspec(1, 2 if several else 1, width_ratios=[width, 3.0] if several else [1])
    _draw_values(figure.add_subplot(grid[0]), table)
    if several:
        _draw_ranks(figure.add_subplot(grid[1]), table)
    return figure


def _draw_values(axes: Axes, table: VariantTable) -> None:
    drawn = [(place, row) for place, row in enumerate(table.rows) if row.finite]
    boxes: dict[str, Any] = {
        "showfliers": False,
        "widths": 0.5,
        "medianprops": {"color": COLOURS[1], "lw": 1.6},
    }
    if drawn:
        axes.boxplot([row.finite for _, row in drawn], positions=[place for place, _ in drawn], **boxes)
    for place, row in drawn:
        spread = np.linspace(-0.18, 0.18, len(row.finite)) if len(row.finite) > 1 else np.zeros(1)
        axes.plot(place + spread, row.finite, "o", color=COLOURS[0], alpha=0.55, ms=4.5, mew=0)
    labels = [f"{row.name}\nn = {len(row.finite)}" for row in table.rows]
    turned = max(len(row.name) for row in table.rows) > 6
    axes.set_xticks(
        range(len(labels)), labels, rotation=35 if turned else 0, ha="right" if turned else "center"
    )
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.set_ylabel(quantity_label(table.objective))
    axes.set_title("box: quartiles and median", fontsize=9)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    _tidy(axes)


def _draw_ranks(axes: Axes, table: VariantTable) -> None:
    """A line for each architecture that has a value under both; rank 1 is the best."""
    first, last = table.rows[0], table.rows[-1]
    pairs = np.array([first.values, last.values], float)
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    ranks = np.array([_ranks([table.objective.loss(value) for value in side]) for side in pairs])
    count = pairs.shape[1]
    for index in range(count):
        colour = COLOURS[index % len(COLOURS)] if count <= MOST_LINES else COLOURS[0]
        axes.plot((0, 1), ranks[:, index], "o-", color=colour, alpha=0.8, lw=1.4, ms=4.5)
    found = table.pairs[0, len(table.rows) - 1]
    tau = "" if math.isnan(found.tau) else f"tau = {found.tau:.2f}, largest shift {found.shift:g}, "
    axes.set_title(f"{tau}n = {found.n}", fontsize=9)
    axes.set_xticks((0, 1), (first.name, last.name))
    axes.set_xlim(-0.25, 1.25)
    if count:
        axes.set_ylim(count + 0.5, 0.5)
        axes.set_yticks(range(1, count + 1))
    axes.set_ylabel("rank")
    _tidy(axes)


def _ranks(losses: list[float]) -> list[float]:
    """From 1, ties sharing their mean."""
    from scipy.stats import rankdata

    return list(rankdata(losses))


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
