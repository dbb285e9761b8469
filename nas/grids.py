"""Grids of texts as Markdown and LaTeX (booktabs), with what either would read as markup escaped."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

TEXT_WIDTH = 110


def markdown_grid(lines: Sequence[Sequence[str]], bold: Sequence[tuple[int, int]] = ()) -> list[str]:
    """A table whose first line is its head, aligned for a terminal too; the first column to the left.

    Args:
        lines: of equal length, at least the head.
        bold: (line, column) of cells in bold, lines counted from 0 below the head.
    """
    cells = [[markdown_text(cell).replace("|", r"\|") for cell in line] for line in lines]
    for line, column in bold:
        cells[line + 1][column] = f"**{cells[line + 1][column]}**"
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    rows = ["| " + " | ".join(map(_aligned, line, widths, range(len(widths)))) + " |" for line in cells]
    rule = "|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|"
    return [rows[0], rule, *rows[1:]]


def markdown_list(texts: Sequence[str]) -> list[str]:
    """Texts as items of a list, filled to the width of a page."""
    return [
        textwrap.fill(f"- {markdown_text(text)}", TEXT_WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        for text in texts
    ]


def latex_grid(
    caption: str,
    lines: Sequence[Sequence[str]],
    notes: Sequence[str] = (),
    bold: Sequence[tuple[int, int]] = (),
) -> str:
    r"""A table whose first line is its head, with notes below; needs \usepackage{booktabs} only.

    Args:
        caption: without a full stop.
        lines: as for `markdown_grid`.
        notes: whole sentences.
        bold: as for `markdown_grid`.
    """
    cells = [[latex_text(cell) for cell in line] for line in lines]
    for line, column in bold:
        cells[line + 1][column] = rf"\textbf{{{cells[line + 1][column]}}}"
    head, *rows = [" & ".join(line) + r" \\" for line in cells]
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{latex_text(caption)}.}}",
            rf"\begin{{tabular}}{{l{'r' * (len(cells[0]) - 1)}}}",
            r"\toprule",
            head,
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\par\medskip\begin{minipage}{\linewidth}\footnotesize",
            *(rf"\par {latex_text(note)}" for note in notes),
            r"\end{minipage}",
            r"\end{table}",
            "",
        ]
    )


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column == 0 else cell.rjust(width)


def markdown_text(text: str) -> str:
    """Text with what Markdown would read as markup escaped; an underscore inside a word is none."""
    return re.sub(r"([\\*`]|<(?=\S)|\b_|_\b(?!_))", r"\\\1", " ".join(text.split()))


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "±": r"$\pm$",
    **{character: "\\" + character for character in "&%$#_{}"},
}


def latex_text(text: str) -> str:
    """Text with all characters that mean something to LaTeX escaped; minus signs are real ones."""
    escaped = "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
    return re.sub(r"(?<![\w}-])-(?=\d)", "$-$", escaped)
