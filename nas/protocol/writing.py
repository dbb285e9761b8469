"""Results of studies of protocols as Markdown, LaTeX (booktabs) and CSV."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nas.protocol.agreement import Agreement
from nas.protocol.beside import TITLE, beside_grid
from nas.protocol.results import VariantRow, VariantTable
from nas.report import (
    decimals_of,
    fixed,
    format_duration,
    format_p,
    latex_grid,
    markdown_grid,
    markdown_list,
    markdown_text,
)

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "variant",
    "{objective}",
    "max",
    "min",
    "n",
    "tau",
    "rank shift",
    "difference",
    "|change|",
    "largest",
)


def markdown(table: VariantTable) -> str:
    """All tables, what the variants are, and the notes."""
    beside = beside_grid(table, _decimals(table))
    return "\n".join(
        [
            f"### {markdown_text(table.setting)}",
            "",
            *markdown_grid(_lines(table)),
            "",
            *([TITLE, "", *markdown_grid(beside), ""] if beside else []),
            *(
                ["Kendall's tau (n) of each two variants", "", *markdown_grid(_matrix(table)), ""]
                if _has_matrix(table)
                else []
            ),
            *markdown_list([*_variants(table), *table.notes]),
            "",
        ]
    )


def latex(table: VariantTable) -> str:
    """The same for LaTeX."""
    notes = [*(f"{text}." for text in _variants(table)), *table.notes]
    parts = [
        latex_grid(f"The same architectures under several protocols: {table.setting}", _lines(table), notes)
    ]
    if beside := beside_grid(table, _decimals(table)):
        parts.append(latex_grid(f"{TITLE}: {table.setting}", beside))
    if _has_matrix(table):
        parts.append(latex_grid(f"Kendall's tau (n) of each two variants: {table.setting}", _matrix(table)))
    return "\n".join(parts)


def values_table(table: VariantTable) -> pd.DataFrame:
    """One row for each architecture: its number, its text, its value under each variant."""
    import pandas as pd

    columns: dict[str, Any] = {
        "architecture": range(len(table.architectures)),
        "text": table.architectures,
        **{row.name: row.values for row in table.rows},
    }
    return pd.DataFrame(columns, dtype=object)  # texts of any characters


def pairs_table(table: VariantTable) -> pd.DataFrame:
    """One row for each two variants: everything about their agreement."""
    import pandas as pd

    return pd.DataFrame(list(_pairs(table)), columns=list(PAIR_COLUMNS), dtype=object)


PAIR_COLUMNS = (
    *("first", "second", "n", "tau", "p", "largest_rank_shift", "mean_difference", "interval_low"),
    *("interval_high", "mean_change", "std_change", "largest_change"),
)


def _pairs(table: VariantTable) -> Iterator[tuple[Any, ...]]:
    for (i, j), found in table.pairs.items():
        yield (
            *(table.rows[i].name, table.rows[j].name, found.n, found.tau, found.p, found.shift),
            *(found.difference, *found.interval, found.change, found.change_std, found.largest_change),
        )


def _has_matrix(table: VariantTable) -> bool:
    return len(table.rows) > 2


def _lines(table: VariantTable) -> list[list[str]]:
    objective = table.objective
    named = f"{objective.name} ({objective.unit})" if objective.unit else objective.name
    head = [column.format(objective=named) for column in (*COLUMNS, "cost")]
    return [head, *(_line(row, _decimals(table)) for row in table.rows)]


def _line(row: VariantRow, decimals: int) -> list[str]:
    def number(value: float, sign: str = "") -> str:
        return "" if math.isnan(value) else fixed(value, decimals, sign)

    finite = row.finite
    mean = _with_std(row.mean, row.std, decimals) if finite else "-"
    ends = [number(max(finite)), number(min(finite))] if finite else ["", ""]
    cost = format_duration(row.cost_seconds)
    found = row.agreement
    if found is None:
        return [row.name, mean, *ends, str(len(finite)), "", "", "", "", "", cost]
    low, high = found.interval
    interval = "" if math.isnan(low) else f" [{number(low, '+')}, {number(high, '+')}]"
    return [
        *(row.name, mean, *ends, str(len(finite)), _tau(found)),
        f"{found.shift:g} of {found.n}" if not math.isnan(found.shift) else "",
        number(found.difference, "+") + interval,
        _with_std(found.change, found.change_std, decimals) if found.n else "",
        *(number(found.largest_change), cost),
    ]


def _tau(found: Agreement) -> str:
    return "" if math.isnan(found.tau) else f"{found.tau:.2f} ({format_p(found.p)})"


def _with_std(mean: float, std: float, decimals: int) -> str:
    return fixed(mean, decimals) + ("" if math.isnan(std) else f" ± {fixed(std, decimals)}")


def _matrix(table: VariantTable) -> list[list[str]]:
    names = [row.name for row in table.rows]
    lines = [["", *names[1:]]]
    for i, name in enumerate(names[:-1]):
        cells = [_pair_cell(table.pairs[i, j]) if j > i else "" for j in range(1, len(names))]
        lines.append([name, *cells])
    return lines


def _pair_cell(found: Agreement) -> str:
    return f"- ({found.n})" if math.isnan(found.tau) else f"{found.tau:.2f} ({found.n})"


def _variants(table: VariantTable) -> list[str]:
    """What the variants are, one text each without a full stop."""
    return [f"{row.name}: {row.changes}" for row in table.rows if row.changes]


def _decimals(table: VariantTable) -> int:
    """Two digits of the smallest standard deviation, of a percentage at least two decimals."""
    return decimals_of(min((row.std for row in table.rows if row.std > 0), default=0.0), table.objective.unit)
