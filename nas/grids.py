"""Grids of texts as Markdown and LaTeX (booktabs), with what either would read as markup escaped."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from nas.errors import one_line

TEXT_WIDTH = 110
_LONGEST = 20_000  # characters of a text


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
    return [_item(markdown_text(text)) for text in texts]


def _item(text: str) -> str:
    """An item of a list; no line of it begins like another item, a heading or a quotation."""
    item = textwrap.fill(f"- {text}", TEXT_WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    item = re.sub(r"^  (?=(?:[-+#>]|[-=]+$)(?:\s|$))", r"  \\", item, flags=re.MULTILINE)
    return re.sub(r"^(  \d+)(?=[.)](?:\s|$))", r"\1\\", item, flags=re.MULTILINE)


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


_MARKUP = re.compile(
    r"[\\*`$~]"  # emphasis, code, formulas, strokes
    r"|\](?=[(\[:])"  # a link or its target; brackets alone are none
    r"|\b_|_\b(?!_)"  # an underscore inside a word is none
    r"|(?<!\S)#"  # a heading, or its end
    r"|^(?:[-+](?=\s|$)|\d+(?=[.)](?:\s|$)))"  # an item of a list
)


def markdown_text(text: str) -> str:
    """Text that Markdown shows letter by letter: nothing of it is markup, a link or HTML.

    Angle brackets and ampersands are written as entities where HTML could begin, as not all readers of
    Markdown take a backslash before them.
    """
    line = one_line(text, _LONGEST)
    line = re.sub(r"&(?=#?\w+;)", "&amp;", line)
    line = re.sub(r"<(?=\S)", "&lt;", line)
    line = re.sub(r"^>", "&gt;", line)
    return _MARKUP.sub(lambda found: _escaped(found[0]), line)


def _escaped(markup: str) -> str:
    return f"{markup}\\" if markup.isdigit() else f"\\{markup}"


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    **{character: "\\" + character for character in "&%$#_{}"},
}


def latex_text(text: str) -> str:
    """Text that LaTeX prints letter by letter; minus signs are real ones.

    A bracket or an asterisk at the beginning is kept from the end of the line before, which would take it for
    an option of its own, and hyphens from becoming dashes.
    """
    escaped = "".join(_LATEX.get(character, character) for character in one_line(text, _LONGEST))
    escaped = re.sub(r"(?<![\w}-])-(?=\d)", "$-$", escaped)
    escaped = re.sub(r"-(?=-)", "-{}", escaped)
    return re.sub(r"^(?=[\[*])", "{}", escaped)
