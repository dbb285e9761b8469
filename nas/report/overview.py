"""Methods by data sets: relative improvements of several result tables in one (Yang et al. 2020, table 1).

Each cell is a row of its own result table, against random sampling of the same space, data and protocol:
nothing is pooled over columns. Holm's correction is over all cells that are tested.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nas.evaluation import Objective
from nas.report.records import Run, judged_by, method_names
from nas.report.results import ALPHA, ResultRow, ResultTable, summary_rows
from nas.report.statistics import Improvement, holm
from nas.report.tables import fixed, latex_grid, markdown_grid, markdown_list

if TYPE_CHECKING:
    import pandas as pd

HEADING = "Relative improvement over random sampling (%), methods by data sets"
MEANS = "From random sampling to the method: mean ± sample standard deviation (n)"


@dataclass(frozen=True, slots=True)
class OverviewCell:
    """One method on one data set.

    Attributes:
        row: of its result table.
        random: random sampling of the same table.
        comparison: that of `row`.
        corrected_p: of the rank test, corrected over the whole overview; NaN without a test.
    """

    row: ResultRow
    random: ResultRow
    comparison: Improvement
    corrected_p: float = math.nan

    @property
    def significant(self) -> bool:
        """Whether the corrected test rejects equality; never without a test."""
        return self.corrected_p < ALPHA


@dataclass(frozen=True, slots=True)
class Overview:
    """Several result tables as one.

    Attributes:
        columns: labels of the settings on which methods were judged.
        objectives: what is reported there.
        methods: labels of the rows.
        cells: by (method, column); a method need not be in every column.
    """

    columns: tuple[str, ...]
    objectives: tuple[Objective, ...]
    methods: tuple[str, ...]
    cells: Mapping[tuple[str, str], OverviewCell]


def overview(tables: Sequence[ResultTable]) -> Overview | None:
    """The overview; None where all tables are about the same evaluator, so that there is no second column."""
    keys = [_judged_by(table) for table in tables]
    distinct = list(dict.fromkeys(keys))
    if len(distinct) < 2:
        return None
    labels = dict(zip(distinct, _labels([tables[keys.index(key)].runs[0] for key in distinct]), strict=True))
    spaces = {run.opened["space"]["fingerprint"] for table in tables for run in table.runs}
    found: dict[tuple[str, str], OverviewCell] = {}
    for table, key, names in zip(tables, keys, _names_of_methods(tables), strict=True):
        random = table.rows[0]
        for row in summary_rows(table.rows):
            if row.comparison is not None:
                name = names[row.method] if len(spaces) == 1 else f"{_space(table)}: {names[row.method]}"
                found[name, labels[key]] = OverviewCell(row, random, row.comparison)
    corrected = holm([cell.comparison.p for cell in found.values()])
    cells = {
        place: OverviewCell(cell.row, cell.random, cell.comparison, float(p))
        for (place, cell), p in zip(found.items(), corrected, strict=True)
    }
    objectives = tuple(tables[keys.index(key)].objective for key in distinct)
    methods = tuple(dict.fromkeys(method for method, _ in cells))
    return Overview(tuple(labels.values()), objectives, methods, cells)


def markdown(view: Overview) -> str:
    """Both tables with their notes."""
    return "\n".join(
        [
            f"## {HEADING}",
            "",
            *markdown_grid(_improvements(view), _bold(view)),
            "",
            *markdown_list(_notes(view)),
            "",
            f"{MEANS}:",
            "",
            *markdown_grid(_means(view)),
            "",
        ]
    )


def latex(view: Overview) -> str:
    """Both tables for LaTeX."""
    improvements = latex_grid(HEADING, _improvements(view), _notes(view), _bold(view))
    return improvements + latex_grid(MEANS, _means(view))


def long_table(view: Overview) -> pd.DataFrame:
    """One row for each cell, with everything that the tables show."""
    import pandas as pd

    return pd.DataFrame(list(_records(view)), dtype=object)  # texts of any characters


def _judged_by(table: ResultTable) -> str:
    """What a column is: the evaluator with its data and protocol, and the sampler of the baseline."""
    return judged_by(table.runs[0])


def _labels(runs: Sequence[Run]) -> list[str]:
    """A distinct name for each column: the experiment's or, where that is not enough, with what differs."""
    names = [run.experiment or run.opened["evaluator"]["name"] for run in runs]
    options = [run.section("evaluator") for run in runs]
    labels = []
    for index, name in enumerate(names):
        alike = [other for other in range(len(names)) if names[other] == name]
        differing = [
            key
            for key in sorted({key for other in alike for key in options[other]})
            if len({json.dumps(options[other].get(key)) for other in alike}) > 1
        ]
        stated = ", ".join(f"{key}={options[index].get(key)}" for key in differing)
        labels.append(f"{name} ({stated})" if stated else name)
    # what no configuration tells apart, such as data that changed, is told by its fingerprint
    return [
        label if labels.count(label) == 1 else f"{label} {run.opened['evaluator']['fingerprint'][:8]}"
        for label, run in zip(labels, runs, strict=True)
    ]


def _names_of_methods(tables: Sequence[ResultTable]) -> Iterator[dict[str, str]]:
    """For each table: the name of a method there -> its name among the methods of all tables."""
    everywhere = iter(method_names([run for table in tables for run in table.runs]))
    for table in tables:
        here = method_names(table.runs)
        yield dict(zip(here, [next(everywhere) for _ in here], strict=True))


def _space(table: ResultTable) -> str:
    return str(table.runs[0].opened["space"]["name"])


def _head(view: Overview) -> list[str]:
    named = [
        f"{column}: {objective.name}" + (f" ({objective.unit})" if objective.unit else "")
        for column, objective in zip(view.columns, view.objectives, strict=True)
    ]
    return ["method", *named]


def _improvements(view: Overview) -> list[list[str]]:
    lines = [["method", *view.columns]]
    for method in view.methods:
        lines.append([method, *(_improvement(view.cells.get((method, column))) for column in view.columns)])
    return lines


def _improvement(cell: OverviewCell | None) -> str:
    if cell is None:
        return ""
    found = cell.comparison
    sizes = f"(n = {found.n_method}, {found.n_random})"
    if math.isnan(found.relative_improvement):
        return f"- {sizes}"
    low, high = found.interval
    interval = "" if math.isnan(low) else f" [{fixed(low, 2, '+')}, {fixed(high, 2, '+')}]"
    return f"{fixed(found.relative_improvement, 2, '+')}{interval}{'*' * cell.significant} {sizes}"


def _means(view: Overview) -> list[list[str]]:
    lines = [_head(view)]
    for method in view.methods:
        cells = [view.cells.get((method, column)) for column in view.columns]
        lines.append(
            [
                method,
                *("" if cell is None else f"{_mean(cell.random)} to {_mean(cell.row)}" for cell in cells),
            ]
        )
    return lines


def _mean(row: ResultRow) -> str:
    if not row.values:
        return "- (0)"
    std = "" if math.isnan(row.std) else f" ± {fixed(row.std, 2)}"
    return f"{fixed(row.mean, 2)}{std} ({len(row.values)})"


def _bold(view: Overview) -> list[tuple[int, int]]:
    """Cells that the corrected test calls better."""
    return [
        (line, 1 + column)
        for line, method in enumerate(view.methods)
        for column, name in enumerate(view.columns)
        if (cell := view.cells.get((method, name))) and cell.significant and cell.comparison.superiority > 0.5
    ]


def _notes(view: Overview) -> list[str]:
    tested = sum(not math.isnan(cell.comparison.p) for cell in view.cells.values())
    found = [
        "RI with its bootstrap 95 % interval (too narrow at small n) and the n of the method and of random "
        "sampling; each cell is against random sampling of the same space, data and protocol.",
        f"An asterisk marks a two-sided Mann-Whitney rank test with p < {ALPHA:g} after Holm's correction "
        f"over {tested} {'cell' if tested == 1 else 'cells'}; bold: better by that test.",
    ]
    single = [
        f"{method} on {column}" for (method, column), cell in view.cells.items() if cell.row.kind == "run"
    ]
    if single:
        found.append(
            f"One search only, so that n counts retrainings of its choice: {', '.join(single)}. Elsewhere n "
            "counts searches with different seeds."
        )
    short = [cell.comparison for cell in view.cells.values() if cell.comparison.smallest_p * tested >= ALPHA]
    if short:
        found.append(
            f"In {len(short)} of {tested} cells even the smallest p that the samples allow, times the number "
            f"of cells, is not below {ALPHA:g}: more searches or samples are needed there."
        )
    return found


def _records(view: Overview) -> Iterator[dict[str, Any]]:
    for (method, column), cell in view.cells.items():
        found = cell.comparison
        yield {
            "method": method,
            "setting": column,
            "kind": cell.row.kind,
            "n_random": found.n_random,
            "mean_random": found.mean_random,
            "std_random": found.std_random,
            "n_method": found.n_method,
            "mean_method": found.mean_method,
            "std_method": found.std_method,
            "relative_improvement": found.relative_improvement,
            "interval_low": found.interval[0],
            "interval_high": found.interval[1],
            "p": found.p,
            "p_holm": cell.corrected_p,
        }
