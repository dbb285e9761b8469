"""The files of a comparison: `comparison.md`, `.tex` and `.csv`, curves, pairwise tests, figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nas.comparison.analysis import Analysis, analyse
from nas.comparison.export import cache_csv, curves_csv, pairs_csv, runs_csv
from nas.comparison.notes import explanations, missing, state_line
from nas.comparison.reading import read_comparison
from nas.comparison.sheets import Sheet, latex, markdown
from nas.comparison.tables import found_sheet, sheets, values_sheet, verdicts
from nas.grids import latex_text, markdown_list, markdown_text
from nas.output import image, replace


class Written(NamedTuple):
    """What a terminal shows, and the paths of all files."""

    text: str
    files: tuple[Path, ...]


def write_comparison(directory: Path | str, output: Path | str | None = None) -> Written:
    """Writes all tables and figures of the comparison in a folder, finished or not.

    Each file is replaced as a whole, never half-written.

    Args:
        directory: of the comparison.
        output: where to write; None for `directory`.

    Raises:
        StoreError: no comparison there, or one of another format.
        ConfigError: `output` cannot be written to.
    """
    analysis = analyse(read_comparison(directory))
    output = Path(directory if output is None else output)
    files = []
    for name, content in _contents(analysis):
        replace(output / name, content)
        files.append(output / name)
    return Written(summary_text(analysis), tuple(files))


def summary_text(analysis: Analysis) -> str:
    """What matters most: the state, the choices, what was found, the default's verdicts, what is missing."""
    lines = [f"{analysis.comparison.name}: {state_line(analysis)}", ""]
    lines += [markdown(values_sheet(analysis, view.quantities[0], view)) for view in analysis.views]
    lines += [markdown(found_sheet(analysis))]
    lines += [*_in_short(analysis), *missing(analysis)]
    return "\n".join(lines)


def markdown_report(analysis: Analysis, tables: list[Sheet], figures: list[str]) -> str:
    """The whole report."""
    lines = [f"# {markdown_text(analysis.comparison.name)}: searchers compared", "", state_line(analysis), ""]
    for heading, sentences in (
        ("In short", _in_short(analysis)),
        ("What is missing", missing(analysis)),
    ):
        lines += [f"## {heading}", "", *markdown_list(sentences), ""] if sentences else []
    lines += ["## Tables", "", *map(markdown, tables)]
    lines += (
        ["## Figures", "", *(f"![{markdown_text(name)}]({name}.png)\n" for name in figures)]
        if figures
        else []
    )
    lines += ["## How to read this", "", *markdown_list(explanations(analysis)), ""]
    return "\n".join(lines)


def latex_report(analysis: Analysis, tables: list[Sheet]) -> str:
    """All tables, and as comments what qualifies them."""
    said = [*missing(analysis), *explanations(analysis)]
    head = [rf"% {latex_text(line)}" for line in (state_line(analysis), *said)]
    return "\n".join([*head, "", *map(latex, tables)])


def _in_short(analysis: Analysis) -> list[str]:
    """The default method's verdicts by every quantity."""
    return [
        f"By {quantity.label}: {verdict}"
        for view in analysis.views
        for quantity in view.quantities
        for verdict in verdicts(analysis, quantity, view)
    ]


def _contents(analysis: Analysis) -> Iterator[tuple[str, bytes]]:
    """Names and contents of all files."""
    from nas.comparison.figures import figures

    tables, drawn = list(sheets(analysis)), []
    yield "comparison.csv", runs_csv(analysis).encode()
    yield "curves.csv", curves_csv(analysis).encode()
    yield "pairwise.csv", pairs_csv(analysis).encode()
    if cached := cache_csv(analysis):
        yield "cache.csv", cached.encode()
    for name, figure in figures(analysis):
        drawn.append(name)
        yield f"{name}.png", image(figure, "png")
        yield f"{name}.pdf", image(figure, "pdf")
    yield "comparison.tex", latex_report(analysis, tables).encode()
    yield "comparison.md", markdown_report(analysis, tables, drawn).encode()
