"""Figures of an audit: classes and differences within them, errors by bits, searches under noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.audit.findings import Findings, Gaps
from nas.report import COLOURS, RANDOM_COLOUR, figure_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nas.run.config import Config

_LEAST = 1e-3  # of a difference that is drawn


def figures(config: Config, found: Findings) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Names, and what draws each figure.

    Classes and spreads; of a study of bits its errors; of searches what they found.
    """
    bits = config.audit.bits
    if bits:
        yield "audit_bits", partial(bits_figure, config, found)
    else:
        yield "audit", partial(audit_figure, found)
    if found.studies:
        yield "audit_searches", partial(searches_figure, found)


def bits_figure(config: Config, found: Findings) -> Figure:
    """Pairs falsely merged and missed against bits, on the left; classes on the right; a line a hasher."""
    from matplotlib.figure import Figure

    bits = config.audit.bits
    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    titles = ("false merges", "missed merges", "architectures a class")
    for number in range(0, len(found.readings), len(bits)):
        chosen = found.readings[number : number + len(bits)]
        label = chosen[0][0].name.rpartition("bits=")[0].rstrip(", ") or str(config.hashing["name"])
        agreements = [agreement for _, agreement in chosen]
        pairs = [a.members * (a.members - 1) / 2 - a.equal_pairs for a in agreements]
        series = (
            [100 * a.joined_pairs / max(1, unequal) for a, unequal in zip(agreements, pairs, strict=True)],
            [100 * a.split_pairs / max(1, a.equal_pairs) for a in agreements],
            [a.members / max(1, a.hashed) for a in agreements],
        )
        colour = COLOURS[(number // len(bits)) % len(COLOURS)]
        for axes, values in zip((left, middle, right), series, strict=True):
            axes.plot(bits, values, "o-", color=colour, label=figure_text(label), lw=1.4, ms=4)
    left.set_yscale("symlog", linthresh=1e-6)
    right.set_yscale("log")
    left.set_ylabel("% of pairs that differ")
    middle.set_ylabel("% of pairs that are equal")
    for axes, title in zip((left, middle, right), titles, strict=True):
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("bits of the mantissa")
        _tidy(axes)
    left.legend(fontsize=7, frameon=False)
    return figure


def searches_figure(found: Findings) -> Figure:
    """The value of the choice without its noise against the noise: a panel a searcher, a line a cache."""
    from matplotlib.figure import Figure

    searchers = list(dict.fromkeys(row.condition.searcher for row in found.studies))
    caches = list(dict.fromkeys(row.condition.cache for row in found.studies))
    figure = Figure(figsize=(0.8 + 3.8 * len(searchers), 3.6), layout="constrained")
    for axes, searcher in zip(figure.subplots(1, len(searchers), squeeze=False)[0], searchers, strict=True):
        for number, cache in enumerate(caches):
            wanted = (searcher, cache)
            rows = [r for r in found.studies if (r.condition.searcher, r.condition.cache) == wanted]
            places = [place + 0.06 * (number - len(caches) / 2) for place in range(len(rows))]
            errors = [row.std("value") / max(1, len(row.outcomes)) ** 0.5 for row in rows]
            means = [row.mean("value") for row in rows]
            style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "lw": 1.4, "ms": 4}
            axes.errorbar(places, means, errors, fmt="o-", capsize=2, label=figure_text(cache), **style)
            axes.set_xticks(range(len(rows)), [f"{row.condition.noise:g}" for row in rows])
        axes.set_title(figure_text(searcher), fontsize=9)
        axes.set_xlabel("standard deviation of the noise")
        axes.set_ylabel("chosen, without noise (mean, s.e.)")
        _tidy(axes)
        axes.legend(fontsize=7, frameon=False)
    return figure


def _tidy(axes: Axes) -> None:
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def audit_figure(found: Findings) -> Figure:
    """Bars of classes on the left; beside it, for each quantity, the distribution of differences."""
    from matplotlib.figure import Figure

    columns = 1 + len(found.gaps)
    figure = Figure(figsize=(4.6 + 3.2 * len(found.gaps), 3.8), layout="constrained")
    grid = figure.add_gridspec(1, columns, width_ratios=[4.6, *[3.2] * len(found.gaps)])
    _draw_classes(figure.add_subplot(grid[0]), found)
    for number, gaps in enumerate(found.gaps, start=1):
        _draw_gaps(figure.add_subplot(grid[number]), gaps, legend=number == 1)
    return figure


def _draw_classes(axes: Axes, found: Findings) -> None:
    bars = [(f"hash: {reading.name}", agreement.hashed, COLOURS[0]) for reading, agreement in found.readings]
    bars += [(f"exact: {reading.name}", agreement.exact, COLOURS[2]) for reading, agreement in found.readings]
    bars += [(label, count, RANDOM_COLOUR) for label, count in found.counted.items()]
    bars.sort(key=lambda bar: (bar[1], bar[0]))
    places = range(len(bars))
    axes.barh(places, [count for _, count, _ in bars], color=[colour for *_, colour in bars], height=0.7)
    axes.set_yticks(places, [figure_text(label) for label, *_ in bars], fontsize=7)
    for place, (_, count, _) in enumerate(bars):
        label: dict[str, Any] = {"xytext": (3, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(f"{count:,}", (count, place), fontsize=7, **label)
    axes.set_xlim(0, 1.18 * max((count for _, count, _ in bars), default=1))
    axes.set_xlabel(f"classes of {found.candidates:,} architectures")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_gaps(axes: Axes, gaps: Gaps, *, legend: bool) -> None:
    lines = (
        ("any two", gaps.overall, RANDOM_COLOUR, ":"),
        ("one class", gaps.within, COLOURS[0], "-"),
        ("trained again", gaps.replicate, COLOURS[1], "--"),
    )
    for label, values, colour, style in lines:
        if len(values):
            share = np.arange(1, len(values) + 1) / len(values)
            drawn = np.maximum(values, _LEAST)
            axes.step(drawn, share, style, color=colour, where="post", label=label, lw=1.6)
    axes.set_xscale("log")
    axes.set_ylim(0, 1)
    axes.set_xlabel(f"|difference|{f' ({figure_text(gaps.quantity.unit)})' if gaps.quantity.unit else ''}")
    axes.set_title(figure_text(gaps.quantity.name), fontsize=9)
    _tidy(axes)
    if legend:
        axes.set_ylabel("share of pairs")
        axes.legend(fontsize=7, frameon=False)
