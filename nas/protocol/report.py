"""The files of studies of protocols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nas.output import image
from nas.protocol.figures import variants_figure
from nas.protocol.results import VariantTable
from nas.protocol.writing import latex, markdown, pairs_table, values_table


def contents(tables: Sequence[VariantTable]) -> Iterator[tuple[str, bytes]]:
    """Names and contents; those of a second table and so on are numbered."""
    if tables:
        yield "protocol.md", "\n".join(map(markdown, tables)).encode()
        yield "protocol.tex", "\n".join(map(latex, tables)).encode()
    for number, table in enumerate(tables, start=1):
        suffix = "" if number == 1 else f"_{number}"
        for name, frame in (("values", values_table(table)), ("pairs", pairs_table(table))):
            yield f"protocol_{name}{suffix}.csv", frame.to_csv(index=False, lineterminator="\r\n").encode()
        figure = variants_figure(table)
        yield f"protocol{suffix}.png", image(figure, "png")
        yield f"protocol{suffix}.pdf", image(figure, "pdf")
