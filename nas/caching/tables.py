"""The cache in tables: a row for each run and, over several seeds, for each method."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from nas.caching.cells import (
    LOOKUPS,
    LOOKUPS_NOTES,
    LOOKUPS_TITLE,
    MEANS_NOTE,
    NONE,
    SAVINGS,
    SAVINGS_NOTES,
    SAVINGS_TITLE,
    Column,
    Numbers,
    by_name,
    cells,
    mean_and_std,
)
from nas.caching.usage import Usage, usage
from nas.report import ResultTable, Table, format_value, method_names, study_names, told_apart

if TYPE_CHECKING:
    import pandas as pd

REASONS = 10  # kinds that are listed


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A run, or all runs of a method with one hasher and different seeds.

    Attributes:
        label: of the searcher.
        hashing: of the hasher, with options that tell it from others of that name.
        which: the run among several of its label; empty for the only one.
        study: name of its folder; empty for several.
        usages: of these runs.
    """

    kind: Literal["run", "runs"]
    label: str
    hashing: str
    which: str
    study: str
    usages: tuple[Usage, ...]

    @property
    def title(self) -> str:
        return ", ".join(filter(None, (self.label, self.hashing, self.which)))

    @property
    def numbers(self) -> Numbers:
        """By name, one for each run."""
        return by_name([use.counts.numbers() for use in self.usages])


@dataclass(frozen=True, slots=True, eq=False)
class CacheTable:
    """All runs of one setting that have a cache.

    Attributes:
        setting: the space and the evaluator, in words.
        number: of the result table of this setting, from 1.
    """

    setting: str
    number: int
    rows: tuple[Row, ...]

    @property
    def runs(self) -> list[Row]:
        """Those of a single run."""
        return [row for row in self.rows if row.kind == "run"]


def cache_tables(tables: Sequence[ResultTable]) -> list[CacheTable]:
    """One for each result table with runs that have a cache."""
    found = []
    for number, table in enumerate(tables, start=1):
        labels = method_names(table.runs)
        used = [(use, label) for run, label in zip(table.runs, labels, strict=True) if (use := usage(run))]
        if used:
            found.append(CacheTable(table.setting, number, tuple(_rows(used))))
    return found


def sheets(table: CacheTable) -> list[Table]:
    """Look-ups and savings; the largest classes where there are any."""
    made = [
        _sheet(table, LOOKUPS_TITLE, LOOKUPS, [*LOOKUPS_NOTES, *_told(table)]),
        _sheet(table, SAVINGS_TITLE, SAVINGS, [*SAVINGS_NOTES, *_clocks(table)]),
    ]
    return [*made, *_classes(table)]


def long_table(tables: Sequence[CacheTable]) -> pd.DataFrame:
    """One row for each run, then two for each method over several seeds: the mean and the deviation."""
    import pandas as pd

    records = [record for table in tables for record in _records(table)]
    return pd.DataFrame(records, dtype=object)  # whole numbers stay whole beside means


def _rows(used: Sequence[tuple[Usage, str]]) -> Iterator[Row]:
    hashers = told_apart([(use.hashing, use.options) for use, _ in used])
    studies = study_names(use.run.record.directory for use, _ in used)
    groups: dict[tuple[str, str], list[tuple[Usage, str]]] = defaultdict(list)
    for (use, label), hashing, study in zip(used, hashers, studies, strict=True):
        groups[label, hashing].append((use, study))
    for (label, hashing), runs in groups.items():
        seeds = Counter(use.run.opened["seed"] for use, _ in runs)
        for use, study in runs:
            seed = use.run.opened["seed"]
            which = f"seed {seed}" + (f" ({study})" if seeds[seed] > 1 else "")
            yield Row("run", label, hashing, which if len(runs) > 1 else "", study, (use,))
        if len(seeds) > 1:
            first = {use.run.opened["seed"]: use for use, _ in reversed(runs)}  # of each seed
            its = tuple(first[seed] for seed in seeds)
            yield Row("runs", label, hashing, f"{len(its)} runs", "", its)


def _sheet(table: CacheTable, title: str, columns: Sequence[Column], notes: Sequence[str]) -> Table:
    means = [MEANS_NOTE] * any(row.kind == "runs" for row in table.rows)
    return Table(
        small=True,
        title=f"{title}: {table.setting}",
        header=("run", *(column.head for column in columns)),
        rows=tuple((row.title, *cells(row.numbers, columns)) for row in table.rows),
        notes=(*notes, *means),
    )


def _told(table: CacheTable) -> Iterator[str]:
    """What the columns leave out: promotions, forgotten classes, reasons."""
    for row in table.runs:
        (use,) = row.usages
        if use.counts.promoted:
            yield f"{row.title}: waited for one that failed, so looked up again: {use.counts.promoted}."
        if use.counts.dropped:
            yield f"{row.title}: answers after which their class was forgotten: {use.counts.dropped}."
        if use.reasons:
            listed = [f"{number} x {reason}" for reason, number in use.reasons[:REASONS]]
            more = len(use.reasons) - len(listed)
            rest = [f"and {more} other reasons"] * (more > 0)
            yield f"{row.title}: unhashable: {'; '.join([*listed, *rest])}."


def _clocks(table: CacheTable) -> list[str]:
    simulated = {row.usages[0].simulated for row in table.runs}
    if simulated == {False}:
        return []
    which = "Seconds" if simulated == {True} else "Of runs with the executor simulated, seconds"
    return [f"{which} are those of a simulated clock, those of hashing as cache.hash_seconds charges them."]


def _classes(table: CacheTable) -> list[Table]:
    """The largest classes of the only run, the largest one of each of several."""
    most = None if len(table.runs) == 1 else 1
    groups = [(row, use, group) for row in table.runs for use in row.usages for group in use.largest[:most]]
    if not groups:
        return []
    return [
        Table(
            small=True,
            title=f"Largest classes: {table.setting}",
            header=("run", "class", "suggestions", "evaluations", "value"),
            rows=tuple(
                (
                    row.title,
                    group.head,
                    str(group.suggestions),
                    str(group.evaluations),
                    format_value(group.value, use.run.objective) if group.evaluations else NONE,
                )
                for row, use, group in groups
            ),
            notes=(
                f"Value: {groups[0][1].run.objective.name}, as the last of its suggestions was told. Class: "
                "kind and first digits of its digest, after a stroke those of the training settings.",
            ),
        )
    ]


def _records(table: CacheTable) -> Iterator[dict[str, Any]]:
    for row in table.rows:
        same = {
            "setting": table.setting,
            "method": row.label,
            "hashing": row.hashing,
            "clock": "simulated" if row.usages[0].simulated else "real",
        }
        if row.kind == "run":
            (use,) = row.usages
            own = {"kind": "run", "study": row.study, "seed": use.run.opened["seed"], "runs": 1}
            yield {**own, **same, **use.counts.numbers(), **_facts(use)}
            continue
        found = {name: mean_and_std(values) for name, values in row.numbers.items()}
        for place, kind in enumerate(("mean", "std")):
            own = {"kind": kind, "study": None, "seed": None, "runs": len(row.usages)}
            yield {**own, **same, **{name: pair[place] for name, pair in found.items()}}


def _facts(use: Usage) -> dict[str, Any]:
    """What has no mean."""
    return {
        "largest_class": use.largest[0].head if use.largest else None,
        "largest_class_suggestions": use.largest[0].suggestions if use.largest else None,
        "reasons": "; ".join(f"{number} x {reason}" for reason, number in use.reasons) or None,
    }
