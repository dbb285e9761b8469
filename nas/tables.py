"""Tables of a report: all trials in one long table, and results as Markdown and LaTeX (booktabs)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nas.caching.lookups import Lookup
from nas.formats import decimals_of, fixed, format_duration
from nas.grids import latex_grid, markdown_grid, markdown_list, markdown_text
from nas.output import encoded
from nas.records import study_names
from nas.results import ALPHA, ResultTable, Row, summary_rows
from nas.statistics import Improvement
from nas.store import StudyRecord, TrialRow

if TYPE_CHECKING:
    import pandas as pd

FIRST_COLUMNS = ("study", "trial", "stage", "architecture", "digest", "seed", "fidelity", "status", "reason")
LAST_COLUMNS = ("cost_seconds", "started", "finished", "cached_from", "parent", "worker", "checkpoint")
CACHE_COLUMNS = ("functional_digest", "settings_digest", "cache_outcome", "hash_seconds")  # with a cache
COLUMNS = ("method", "{objective}", "RI (%)", "95 % interval", "rank test", "trials", "cost")


def trials_table(records: Sequence[StudyRecord]) -> pd.DataFrame:
    """All trials of all runs, one row each, in the order in which they were asked.

    Columns: those of `FIRST_COLUMNS`, one for each measured value (objectives, the reported one, others
    by name), those of `LAST_COLUMNS`, of `CACHE_COLUMNS` if any run has a cache, then the evaluator's facts
    that are plain values, by name.
    Times are seconds on the executor's clock; empty where there is none. `nas.report` writes it as CSV.
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
    lines = [_header(table), *(_cells_of(row, _decimals(row, table)) for row in table.rows)]
    grid = markdown_grid(lines, [(index, 1) for index, row in enumerate(table.rows) if row.bold])
    said = markdown_list([*verdicts(table), *table.notes])
    return "\n".join([f"### {markdown_text(table.setting)}", "", *grid, "", *said, ""])


def latex(table: ResultTable) -> str:
    r"""The results as a LaTeX table; needs \usepackage{booktabs} only."""
    return latex_grid(
        f"Improvement with random sampling: {table.setting}",
        [_header(table), *(_cells_of(row, _decimals(row, table)) for row in table.rows)],
        [*(f"{text}." for text in verdicts(table)), *table.notes],
        [(index, 1) for index, row in enumerate(table.rows) if row.bold],
    )


def verdicts(table: ResultTable) -> list[str]:
    """What the rank test says of each method, one sentence each without a full stop."""
    rows = summary_rows(table.rows)
    return [f"{_subject(row)}: {_verdict(row, row.comparison)}" for row in rows if row.comparison]


def _verdict(row: Row, comparison: Improvement) -> str:
    doubt = ", if its equal values are trainings of their own" if row.doubtful else ""
    return f"{comparison.verdict(ALPHA)}{doubt}"


def _subject(row: Row) -> str:
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


def _cells_of(row: Row, decimals: int) -> list[str]:
    trials, cost = str(row.trials), format_duration(row.cost_seconds)
    if row.comparison is None:
        return [row.label, _mean_text(row, decimals), "", "", "", trials, cost]
    c = row.comparison
    low, high = c.interval
    interval = "" if math.isnan(low) else f"{fixed(low, 2, '+')} to {fixed(high, 2, '+')}"
    improvement = "" if math.isnan(c.relative_improvement) else fixed(c.relative_improvement, 2, "+")
    return [row.label, _mean_text(row, decimals), improvement, interval, c.tested(ALPHA), trials, cost]


def _mean_text(row: Row, decimals: int) -> str:
    """Mean ± standard deviation (n)."""
    n = len(row.values)
    if not n:
        return "- (0)"
    deviation = "" if n == 1 else f" ± {fixed(row.std, decimals)}"
    return f"{fixed(row.mean, decimals)}{deviation} ({n})"


def _decimals(row: Row, table: ResultTable) -> int:
    """As many as show two digits of the row's standard deviation, of a percentage at least two.

    A row without one takes the middle one of the table.
    """
    spreads = sorted(other.std for other in table.rows if other.std > 0)
    middle = spreads[(len(spreads) - 1) // 2] if spreads else 0.0
    return decimals_of(row.std if row.std > 0 else middle, table.objective.unit)
