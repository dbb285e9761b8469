"""The tables of the cache of each method, and its numbers for each study as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nas.caching.cells import (
    LOOKUPS,
    LOOKUPS_NOTES,
    LOOKUPS_TITLE,
    MEANS_NOTE,
    SAVINGS,
    SAVINGS_NOTES,
    SAVINGS_TITLE,
    Column,
    by_name,
    cells,
)
from nas.comparison.analysis import Analysis
from nas.comparison.sheets import Sheet


def cache_sheets(analysis: Analysis) -> Iterator[Sheet]:
    """What became of the suggestions and what that saved; none where no study has a cache."""
    found = _by_method(analysis)
    if found:
        yield _sheet(found, LOOKUPS_TITLE, LOOKUPS, LOOKUPS_NOTES)
        yield _sheet(found, SAVINGS_TITLE, SAVINGS, SAVINGS_NOTES)


def cache_rows(analysis: Analysis) -> list[list[float | str | None]]:
    """A header, then one row for each study with a cache; none without any."""
    rows: list[list[float | str | None]] = []
    for method, numbers in _by_method(analysis).items():
        for seed, its in numbers.items():
            rows = rows or [["method", "seed", *its]]
            rows.append([method, seed, *its.values()])
    return rows


def _sheet(
    found: Mapping[str, Mapping[int, Mapping[str, float]]],
    title: str,
    columns: Sequence[Column],
    notes: Sequence[str],
) -> Sheet:
    return Sheet(
        title=f"{title}: mean ± standard deviation over seeds",
        header=("method", "seeds", *(column.head for column in columns)),
        rows=tuple(
            (method, str(len(its)), *cells(by_name(list(its.values())), columns))
            for method, its in found.items()
        ),
        notes=(*notes, MEANS_NOTE),
    )


def _by_method(analysis: Analysis) -> dict[str, dict[int, dict[str, float]]]:
    """The numbers of each seed, of methods with any."""
    comparison = analysis.comparison
    found = {
        method: {
            seed: history.cache.numbers()
            for seed, history in zip(comparison.seeds, comparison.histories[method], strict=True)
            if history.cache is not None
        }
        for method in comparison.methods
    }
    return {method: its for method, its in found.items() if its}
