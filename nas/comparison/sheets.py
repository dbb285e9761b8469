"""A table of text as Markdown and as LaTeX (booktabs): Sheet."""

from __future__ import annotations

from dataclasses import dataclass

from nas.grids import latex_grid, markdown_grid, markdown_list, markdown_text

Cells = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table; the first column is aligned to the left, the others to the right.

    Attributes:
        title: without a full stop.
        header: one cell a column.
        rows: of as many cells as the header.
        foot: likewise, below the rows.
        bold: (row, column) of cells in bold face.
        notes: whole sentences below the table.
    """

    title: str
    header: Cells
    rows: tuple[Cells, ...]
    foot: tuple[Cells, ...] = ()
    bold: frozenset[tuple[int, int]] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> list[Cells]:
        """All of them, the header first."""
        return [self.header, *self.rows, *self.foot]


def markdown(sheet: Sheet) -> str:
    """A heading, the table with aligned columns, and the notes as a list."""
    grid = markdown_grid(sheet.lines, sorted(sheet.bold))
    notes = [*markdown_list(sheet.notes), ""] if sheet.notes else []
    return "\n".join([f"### {markdown_text(sheet.title)}", "", *grid, "", *notes])


def latex(sheet: Sheet) -> str:
    r"""A `table` in small print; needs \usepackage{booktabs} only."""
    lines = latex_grid(sheet.title, sheet.lines, sheet.notes, sorted(sheet.bold)).split("\n")
    lines[lines.index(r"\centering")] += r"\footnotesize\setlength{\tabcolsep}{4pt}"
    if sheet.foot:
        lines.insert(lines.index(r"\midrule") + 1 + len(sheet.rows), r"\midrule")
    return "\n".join(lines)
