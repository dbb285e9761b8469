"""Tables of a report: `Table` as Markdown and LaTeX (booktabs), results, and all trials in one long table.

Whatever Markdown or LaTeX would read as markup is escaped. Numbers and durations are written as people read
them.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nas.errors import one_line
from nas.report.output import encoded
from nas.report.records import study_names
from nas.report.results import ALPHA, ResultRow, ResultTable, summary_rows
from nas.report.statistics import Improvement
from nas.study import Lookup, StudyRecord, TrialRow

if TYPE_CHECKING:
    import pandas as pd

    from nas.evaluation import Objective


MOST_DECIMALS = 6
_LARGE = 1e15  # from where on leading digits say more than all of them


def fixed(value: float, decimals: int, sign: str = "") -> str:
    """So many decimals, or the leading digits of what these would not show; "-" for NaN.

    Args:
        value: of any size.
        decimals: 0 or more.
        sign: "+" for a sign of positive numbers too.
    """
    if math.isnan(value):
        return "-"
    if math.isinf(value) or abs(value) >= _LARGE:
        return f"{value:{sign}.5g}"
    if decimals >= MOST_DECIMALS and 0 < abs(value) < 10.0**-decimals:
        return f"{value:{sign}.2g}"
    return f"{round(value, decimals) + 0.0:{sign}.{decimals}f}"  # no negative zero


def decimals_of(spread: float, unit: str, digits: int = 2) -> int:
    """Decimals that show so many digits of a spread, of a percentage at least two, from 0 to 6.

    Args:
        spread: above 0; two decimals are given for what is not, or is no number.
        unit: of the numbers.
        digits: of the spread.
    """
    if not 0 < spread < math.inf:
        return 2
    least = 2 if unit == "%" else 0
    return min(MOST_DECIMALS, max(least, digits - 1 - math.floor(math.log10(spread))))


def format_value(value: float | None, objective: Objective) -> str:
    """A value with its unit, five significant digits."""
    return "-" if value is None else f"{value:.5g}{' ' * bool(objective.unit)}{objective.unit}"


def format_duration(seconds: float | None) -> str:
    """Seconds as people read them: "0.4 s", "42 s", "3 min 20 s", "5 h 02 min", "3 d 04 h"."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if abs(seconds) >= _LARGE:
        return f"{seconds / 86400:.3g} d"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, part, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // part:02d} {small}"
    return f"{whole} s"


TEXT_WIDTH = 110
_LONGEST = 20_000  # characters of a text


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts; the first column is aligned to the left, the others to the right.

    Attributes:
        title: without a full stop.
        header: one cell a column.
        rows: of as many cells as the header.
        foot: likewise, below the rows.
        bold: (row, column) of cells in bold face.
        notes: whole sentences below the table.
        small: whether LaTeX prints it in small type.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    foot: tuple[tuple[str, ...], ...] = ()
    bold: frozenset[tuple[int, int]] = frozenset()
    notes: tuple[str, ...] = ()
    small: bool = False

    @property
    def lines(self) -> list[tuple[str, ...]]:
        """All of them, the header first."""
        return [self.header, *self.rows, *self.foot]

    def markdown(self) -> str:
        """A heading, the table with aligned columns, and the notes as a list."""
        notes = [*markdown_list(self.notes), ""] if self.notes else []
        grid = markdown_grid(self.lines, sorted(self.bold))
        return "\n".join([f"### {markdown_text(self.title)}", "", *grid, "", *notes])

    def latex(self) -> str:
        r"""A `table`; needs \usepackage{booktabs} only."""
        lines = latex_grid(self.title, self.lines, self.notes, sorted(self.bold)).split("\n")
        if self.small:
            lines[lines.index(r"\centering")] += r"\footnotesize\setlength{\tabcolsep}{4pt}"
        if self.foot:
            lines.insert(lines.index(r"\midrule") + 1 + len(self.rows), r"\midrule")
        return "\n".join(lines)


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


FIRST_COLUMNS = ("study", "trial", "stage", "architecture", "digest", "seed", "fidelity", "status", "reason")
LAST_COLUMNS = ("cost_seconds", "started", "finished", "cached_from", "parent", "worker", "checkpoint")
CACHE_COLUMNS = ("functional_digest", "settings_digest", "cache_outcome", "hash_seconds")  # with a cache
COLUMNS = ("method", "{objective}", "RI (%)", "95 % interval", "rank test", "trials", "cost")


def trials_table(records: Sequence[StudyRecord]) -> pd.DataFrame:
    """All trials of all runs, one row each, in the order in which they were asked.

    Columns: those of `FIRST_COLUMNS`, one for each measured value (objectives, the reported one, others
    by name), those of `LAST_COLUMNS`, of `CACHE_COLUMNS` if any run has a cache, then the evaluator's facts
    that are plain values, by name.
    Times are seconds on the executor's clock; empty where there is none. `nas.report` writes it as
    CSV.
    """
    import pandas as pd

    values, facts = _value_names(records), _fact_names(records)
    names = study_names(record.directory for record in records)
    cached = CACHE_COLUMNS if any(record.lookups for record in records) else ()
    rows = []
    for record, name in zip(records, names, strict=True):
        lookups = {lookup.trial: lookup for lookup in record.lookups}
        for row in record.trials:
            looked_up = _cache_cells(lookups.get(row.number)) if cached else ()
            rows.append((*_cells(name, row, values), *looked_up, *_fact_cells(row, facts)))
    columns = [*FIRST_COLUMNS, *values, *LAST_COLUMNS, *cached, *facts]
    by_column = list(zip(*rows, strict=True)) or [()] * len(columns)
    return pd.DataFrame(
        {
            _encodable(column): pd.Series(list(map(_encodable, cells)), dtype=_kind(cells))
            for column, cells in zip(columns, by_column, strict=True)
        }
    )


def markdown(table: ResultTable) -> str:
    """The results as a Markdown table, aligned for a terminal too, with verdicts and notes."""
    return _table(table, table.setting, verdicts(table)).markdown()


def latex(table: ResultTable) -> str:
    r"""The results as a LaTeX table; needs \usepackage{booktabs} only."""
    caption = f"Comparison with random sampling: {table.setting}"
    return _table(table, caption, [f"{text}." for text in verdicts(table)]).latex()


def _table(table: ResultTable, title: str, said: Sequence[str]) -> Table:
    return Table(
        title=title,
        header=tuple(_header(table)),
        rows=tuple(tuple(_cells_of(row, _decimals(row, table))) for row in table.rows),
        bold=frozenset((index, 1) for index, row in enumerate(table.rows) if row.bold),
        notes=(*said, *table.notes),
    )


def verdicts(table: ResultTable) -> list[str]:
    """What the rank test says of each method, one sentence each without a full stop."""
    rows = summary_rows(table.rows)
    return [f"{_subject(row)}: {_verdict(row, row.comparison)}" for row in rows if row.comparison]


def _verdict(row: ResultRow, comparison: Improvement) -> str:
    doubt = ", if its equal values are trainings of their own" if row.doubtful else ""
    return f"{comparison.verdict(ALPHA)}{doubt}"


def _subject(row: ResultRow) -> str:
    return f"{row.label}, the choice of this run" if row.kind == "run" else row.label


def _encodable(cell: Any) -> Any:
    """Texts as UTF-8 holds them, which is what pandas takes."""
    return encoded(cell).decode() if isinstance(cell, str) else cell


def _kind(cells: Sequence[Any]) -> str | None:
    """The dtype of a column: whole numbers stay whole where some are missing; None for pandas' own choice."""
    kinds = {type(cell) for cell in cells} - {type(None)}
    if kinds == {int} and all(abs(cell) < 2**63 for cell in cells if cell is not None):
        return "Int64"
    return "object" if kinds <= {int} else None


def _value_names(records: Sequence[StudyRecord]) -> list[str]:
    declared = [o.name for record in records for o in (*record.objectives, record.reported)]
    found = {name for record in records for row in record.trials for name in row.values or ()}
    return list(dict.fromkeys([*declared, *sorted(found)]))


def _fact_names(records: Sequence[StudyRecord]) -> list[str]:
    taken = {*FIRST_COLUMNS, *LAST_COLUMNS, *CACHE_COLUMNS, *_value_names(records)}
    found = {
        name
        for record in records
        for row in record.trials
        for name, value in (row.evaluation_info or {}).items()
        if isinstance(value, str | int | float)
    }
    return sorted(found - taken)


def _cells(study: str, row: TrialRow, values: Sequence[str]) -> tuple[Any, ...]:
    fidelity = row.fidelity and f"{row.fidelity.name}={row.fidelity.value:g}"
    measured = row.values or {}
    return (
        *(study, row.number, row.stage.value, row.architecture, row.digest, row.seed, fidelity),
        *(row.status and row.status.value, row.reason),
        *(measured.get(name) for name in values),
        *(
            row.cost_seconds,
            row.started,
            row.finished,
            row.cached_from,
            row.parent,
            row.worker,
            row.checkpoint,
        ),
    )


def _cache_cells(lookup: Lookup | None) -> tuple[Any, ...]:
    if lookup is None:
        return (None,) * len(CACHE_COLUMNS)
    return lookup.functional, lookup.settings or None, lookup.outcome, lookup.hash_seconds


def _fact_cells(row: TrialRow, facts: Sequence[str]) -> tuple[Any, ...]:
    info = row.evaluation_info or {}
    return tuple(info.get(name) for name in facts)


def _header(table: ResultTable) -> list[str]:
    objective = table.objective
    named = f"{objective.name} ({objective.unit})" if objective.unit else objective.name
    return [column.format(objective=named) for column in COLUMNS]


def _cells_of(row: ResultRow, decimals: int) -> list[str]:
    trials, cost = str(row.trials), format_duration(row.cost_seconds)
    if row.comparison is None:
        return [row.label, _mean_text(row, decimals), "", "", "", trials, cost]
    c = row.comparison
    low, high = c.interval
    interval = "" if math.isnan(low) else f"{fixed(low, 2, '+')} to {fixed(high, 2, '+')}"
    improvement = "" if math.isnan(c.relative_improvement) else fixed(c.relative_improvement, 2, "+")
    return [row.label, _mean_text(row, decimals), improvement, interval, c.tested(ALPHA), trials, cost]


def _mean_text(row: ResultRow, decimals: int) -> str:
    """Mean ± standard deviation (n)."""
    n = len(row.values)
    if not n:
        return "- (0)"
    deviation = "" if n == 1 else f" ± {fixed(row.std, decimals)}"
    return f"{fixed(row.mean, decimals)}{deviation} ({n})"


def _decimals(row: ResultRow, table: ResultTable) -> int:
    """As many as show two digits of the row's standard deviation, of a percentage at least two.

    A row without one takes the middle one of the table.
    """
    spreads = sorted(other.std for other in table.rows if other.std > 0)
    middle = spreads[(len(spreads) - 1) // 2] if spreads else 0.0
    return decimals_of(row.std if row.std > 0 else middle, table.objective.unit)
