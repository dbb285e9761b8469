"""The files of studies of protocols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from nas.protocol.figures import variants_figure
from nas.protocol.results import VariantTable
from nas.protocol.writing import latex, markdown, pairs_table, values_table
from nas.report import Output, csv_part, figure_parts, text_part


def contents(tables: Sequence[VariantTable]) -> Iterator[Output]:
    """All files; those of a second table and so on are numbered."""
    if tables:
        yield text_part("protocol.md", lambda: "\n".join(map(markdown, tables)))
        yield text_part("protocol.tex", lambda: "\n".join(map(latex, tables)))
    for number, table in enumerate(tables, start=1):
        suffix = "" if number == 1 else f"_{number}"
        yield csv_part(f"protocol_values{suffix}.csv", partial(values_table, table))
        yield csv_part(f"protocol_pairs{suffix}.csv", partial(pairs_table, table))
        yield from figure_parts(f"protocol{suffix}", partial(variants_figure, table))
