"""The files of a comparison: `comparison.md`, `.tex` and `.csv`, curves, pairwise tests, figures."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from nas.errors import one_line
from nas.report.comparison.analysis import Analysis, analyse
from nas.report.comparison.logs import read_comparison
from nas.report.comparison.notes import explanations, missing, state_line
from nas.report.comparison.tables import (
    cache_csv,
    curves_csv,
    found_sheet,
    pairs_csv,
    runs_csv,
    sheets,
    values_sheet,
    verdicts,
)
from nas.report.output import Output, Writer, Written, figure_parts, text_part
from nas.report.tables import Table, latex_text, markdown_list, markdown_text


def write_comparison(directory: Path | str, output: Path | str | None = None) -> Written:
    """Writes all tables and figures of the comparison in a folder, finished or not.

    Each file is replaced as a whole, never half-written, and by itself: what cannot be made is named in
    `failures` and keeps no other from being written.

    Args:
        directory: of the comparison.
        output: where to write; None for `directory`.

    Raises:
        StoreError: no comparison there, or one of another format.
        ConfigError: `output` cannot be written to.
    """
    writer = Writer(Path(directory if output is None else output))
    with np.errstate(over="ignore", invalid="ignore"):  # infinite is said as that
        analysis = analyse(read_comparison(directory))
        writer.write(_contents(analysis))
        writer.close()
        text = writer.attempt("text on the screen", partial(summary_text, analysis), "")
    return writer.written(text)


def summary_text(analysis: Analysis) -> str:
    """What matters most: the state, the choices, what was found, the default's verdicts, what is missing."""
    lines = [f"{one_line(analysis.comparison.name)}: {state_line(analysis)}", ""]
    lines += [values_sheet(analysis, view.quantities[0], view).markdown() for view in analysis.views]
    lines += [found_sheet(analysis).markdown()]
    lines += [*_in_short(analysis), *missing(analysis)]
    return "\n".join(lines)


def markdown_report(analysis: Analysis, tables: list[Table], figures: list[str]) -> str:
    """The whole report."""
    lines = [f"# {markdown_text(analysis.comparison.name)}: searchers compared", "", state_line(analysis), ""]
    for heading, sentences in (
        ("In short", _in_short(analysis)),
        ("What is missing", missing(analysis)),
    ):
        lines += [f"## {heading}", "", *markdown_list(sentences), ""] if sentences else []
    lines += ["## Tables", "", *(table.markdown() for table in tables)]
    lines += (
        ["## Figures", "", *(f"![{markdown_text(name)}]({name}.png)\n" for name in figures)]
        if figures
        else []
    )
    lines += ["## How to read this", "", *markdown_list(explanations(analysis)), ""]
    return "\n".join(lines)


def latex_report(analysis: Analysis, tables: list[Table]) -> str:
    """All tables, and as comments what qualifies them."""
    said = [*missing(analysis), *explanations(analysis)]
    head = [rf"% {latex_text(line)}" for line in (state_line(analysis), *said)]
    return "\n".join([*head, "", *(table.latex() for table in tables)])


def _in_short(analysis: Analysis) -> list[str]:
    """The default method's verdicts by every quantity."""
    return [
        f"By {quantity.label}: {verdict}"
        for view in analysis.views
        for quantity in view.quantities
        for verdict in verdicts(analysis, quantity, view)
    ]


def _contents(analysis: Analysis) -> Iterator[Output]:
    """All files."""
    from nas.report.comparison.figures import figures

    tables, drawn = list(sheets(analysis)), list(figures(analysis))
    yield text_part("comparison.md", lambda: markdown_report(analysis, tables, [name for name, _ in drawn]))
    yield text_part("comparison.tex", partial(latex_report, analysis, tables))
    yield text_part("comparison.csv", partial(runs_csv, analysis))
    yield text_part("curves.csv", partial(curves_csv, analysis))
    yield text_part("pairwise.csv", partial(pairs_csv, analysis))
    if cached := cache_csv(analysis):
        yield text_part("cache.csv", lambda: cached)
    for name, draw in drawn:
        yield from figure_parts(name, draw)
