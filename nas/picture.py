"""A picture of an architecture: boxes and arrows of a network, the statements of a program."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nas.blocks import CHARACTER, LINE, PAD, Block, Box, Label
from nas.diagram import diagram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nas.language import Term

FILLS = ("#cfe3f3", "#fbe3c8", "#d3efe4", "#f6d9e6", "#fbf5c4", "#dddcf3", "#e6dfd3", "#d7f0f5")
INK = "#333333"
MARGIN = 0.2
MAX_INCHES = 200.0  # a bitmap may not have more than 2**16 pixels a side


def architecture_figure(term: Term, title: str = "") -> Figure:
    """The picture of a hole-free term, at one inch per inch of the diagram; `savefig` as SVG, PDF or PNG."""
    from matplotlib.figure import Figure

    block = diagram(term)
    lines = textwrap.wrap(title, max(30, int(block.width / CHARACTER)))
    head = len(lines) * LINE + PAD if lines else 0.0
    width = max(block.width, max(map(len, lines), default=0) * CHARACTER) + 2 * MARGIN
    height = block.height + head + 2 * MARGIN
    scale = min(1.0, MAX_INCHES / max(width, height))
    figure = Figure(figsize=(width * scale, height * scale))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    if lines:
        axes.text(MARGIN, MARGIN, "\n".join(lines), va="top", weight="bold", **_font(scale))
    _draw(axes, block, (width - block.width) / 2, MARGIN + head, scale)
    return figure


def _draw(axes: Axes, block: Block, x: float, y: float, scale: float) -> None:
    shapes = block.at(x, y)
    fills = _fills(shape.name for shape in shapes if isinstance(shape, Box))
    for shape in shapes:
        if isinstance(shape, Box):
            _draw_box(axes, shape, fills[shape.name], scale)
        elif isinstance(shape, Label):
            axes.text(shape.x, shape.y, shape.text, ha="right", va="center", color=INK, **_font(scale))
        else:
            head = "-|>,head_width=0.15,head_length=0.3" if shape.arrow else "-"
            _draw_path(axes, shape.points, head, scale)
            if shape.dot:
                axes.plot(*shape.points[0], "o", color=INK, markersize=3 * scale, zorder=2)


def _draw_path(axes: Axes, points: tuple[tuple[float, float], ...], head: str, scale: float) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    style = {"linewidth": 0.8 * scale, "color": INK, "mutation_scale": 14 * scale}
    path = Path(points)
    axes.add_patch(FancyArrowPatch(path=path, arrowstyle=head, zorder=2, shrinkA=0, shrinkB=0, **style))


def _draw_box(axes: Axes, box: Box, fill: str, scale: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    framed = box.kind == "frame"
    face = {"frame": "none", "merge": "white", "listing": "#f7f7f7"}.get(box.kind, fill)
    axes.add_patch(
        FancyBboxPatch(
            (box.x, box.y),
            box.width,
            box.height,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=face,
            edgecolor="#888888" if framed else INK,
            linewidth=(1.6 if box.kind == "ref" else 0.8) * scale,
            linestyle="dashed" if framed else "solid",
            zorder=1 if framed else 3,
        )
    )
    if framed or box.kind == "listing":
        back = {"facecolor": "white", "edgecolor": "none", "pad": 1} if framed else None
        corner = (box.x + PAD / 2, box.y + 0.05)
        axes.text(*corner, box.text, va="top", color=INK, zorder=4, bbox=back, **_font(scale))
    else:
        centre = (box.x + box.width / 2, box.y + box.height / 2)
        axes.text(*centre, box.text, ha="center", va="center", color=INK, zorder=4, **_font(scale))


def _fills(names: Iterable[str]) -> dict[str, str]:
    """One fill for each name, in order of appearance, so that equal operations look equal."""
    return {name: FILLS[index % len(FILLS)] for index, name in enumerate(dict.fromkeys(names))}


def _font(scale: float) -> dict[str, Any]:
    return {"family": "monospace", "fontsize": 8 * scale, "linespacing": 1.15, "parse_math": False}
