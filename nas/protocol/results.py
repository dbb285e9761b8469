"""What a study of protocols found: a row for each variant, and how far any two of them agree."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from nas.errors import StoreError
from nas.evaluation import Objective, Stage
from nas.protocol.agreement import Agreement, agreement, smallest_p_of_tau
from nas.report import Run, deviation, failures, fixed, mean

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class VariantRow:
    """The architectures under one variant.

    Attributes:
        name: of the variant.
        changes: the options in which variants differ, with this one's values, e.g. "cutout=4".
        values: of the reported quantity, one for each architecture in order; NaN where there is none.
        agreement: with the first variant; None for that one.
        cost_seconds: of all evaluations, failures included.
    """

    name: str
    changes: str
    values: tuple[float, ...]
    agreement: Agreement | None
    cost_seconds: float

    @property
    def finite(self) -> tuple[float, ...]:
        """The values that are there."""
        return tuple(value for value in self.values if math.isfinite(value))

    @property
    def mean(self) -> float:
        """NaN without values."""
        return mean(self.finite)

    @property
    def std(self) -> float:
        """Sample standard deviation (n - 1); NaN below two values, inf where no float holds it."""
        return deviation(self.finite)


@dataclass(frozen=True, slots=True)
class VariantTable:
    """All variants of one study of protocols.

    Attributes:
        setting: experiment, space and evaluator, in words.
        objective: what is reported.
        architectures: texts under the first variant, in order; another width or depth writes them otherwise.
        rows: in the order in which the variants ran; the first one is what the others are held against.
        pairs: agreement of the variants with these positions, the first one earlier.
        notes: what a reader must know; whole sentences.
        given: how many of the architectures, the first ones, were given, the others drawn; None: all alike.
    """

    setting: str
    objective: Objective
    architectures: tuple[str, ...]
    rows: tuple[VariantRow, ...]
    pairs: Mapping[tuple[int, int], Agreement]
    notes: tuple[str, ...]
    given: int | None = None


def variant_of(run: Run) -> str | None:
    """The variant whose study a run is; None for a run of another kind."""
    variant = run.section("protocol").get("variant")
    return variant if isinstance(variant, str) else None


def _given(run: Run) -> int | None:
    random, trials = run.section("protocol").get("random"), run.section("budget").get("trials")
    if not isinstance(random, int) or not isinstance(trials, int) or not 0 < random <= trials:
        return None
    return trials - random


def variant_tables(runs: Iterable[Run]) -> tuple[VariantTable, ...]:
    """One table for each folder of variants, in the order of the runs.

    Raises:
        StoreError: two variants in one folder evaluated different architectures.
    """
    studies: dict[Any, list[Run]] = defaultdict(list)
    for run in runs:
        studies[run.record.directory.resolve().parent].append(run)
    return tuple(
        _table(sorted(group, key=lambda run: run.record.openings[0]["time"])) for group in studies.values()
    )


def _table(runs: Sequence[Run]) -> VariantTable:
    _check_same_architectures(runs)
    names = [str(variant_of(run)) for run in runs]
    architectures = max((_architectures(run) for run in runs), key=len)
    values = [_values(run, len(architectures)) for run in runs]
    pairs = {(i, j): agreement(values[i], values[j]) for i, j in combinations(range(len(runs)), 2)}
    rows = tuple(
        VariantRow(
            name,
            changes,
            values[index],
            pairs.get((0, index)),
            sum(row.cost_seconds for row in run.ended(Stage.SEARCH)),
        )
        for index, (run, name, changes) in enumerate(zip(runs, names, _changes(runs), strict=True))
    )
    objective = runs[0].record.reported
    notes = tuple(_notes(runs, rows, objective))
    return VariantTable(_setting(runs), objective, architectures, rows, pairs, notes, _given(runs[0]))


def _check_same_architectures(runs: Sequence[Run]) -> None:
    """The n-th trial of each variant must be the same choices, as their values are compared in pairs."""
    seen: dict[int, tuple[str, str]] = {}
    for run in runs:
        for row in run.stages[Stage.SEARCH]:
            taken = row.decisions["decisions"]
            decisions = json.dumps([one[1:2] if isinstance(one, list) else one for one in taken])
            name, expected = seen.setdefault(row.number, (str(variant_of(run)), decisions))
            if decisions != expected:
                raise StoreError(
                    f"{run.record.directory}: expected the architectures of variant {name}; trial "
                    f"{row.number} is another one; give the folder of one study of protocols"
                )


def _architectures(run: Run) -> tuple[str, ...]:
    return tuple(row.architecture for row in run.stages[Stage.SEARCH])


def _values(run: Run, count: int) -> tuple[float, ...]:
    name = run.record.reported.name
    found = {row.number: row.value(name) for row in run.stages[Stage.SEARCH] if row.ok}
    values = (found.get(number) for number in range(count))
    return tuple(math.nan if value is None or not math.isfinite(value) else value for value in values)


def _changes(runs: Sequence[Run]) -> list[str]:
    """What tells the variants apart, from their configurations."""
    flat = [_flat(run) for run in runs]
    keys = sorted({key for options in flat for key in options})
    differing = [key for key in keys if len({json.dumps(options.get(key)) for options in flat}) > 1]
    return [
        ", ".join(
            f"{key.rpartition('.')[2]}={options[key]}" for key in differing if options.get(key) is not None
        )
        for options in flat
    ]


def _flat(run: Run) -> dict[str, Any]:
    """The options that a variant may change, by their path; the seed too."""
    sections = {name: run.section(name) for name in ("space", "evaluator", "search")}
    found = {f"{name}.{key}": value for name, section in sections.items() for key, value in section.items()}
    return {**found, "seed": (run.opened.get("config") or {}).get("seed")}


def _setting(runs: Sequence[Run]) -> str:
    opened = runs[0].opened
    name = runs[0].experiment
    parts = f"space {opened['space']['name']}, evaluator {opened['evaluator']['name']}"
    return f"{name}: {parts}" if name else parts


def _notes(runs: Sequence[Run], rows: Sequence[VariantRow], objective: Objective) -> Iterable[str]:
    count = max(len(row.values) for row in rows)
    yield (
        f"The same {count} architectures under each variant, each trained once; the seed of a training "
        "follows from the variant's seed and the architecture's number: the same under variants of one seed."
    )
    yield from _spread_note(rows, objective)
    if len(rows) > 1:
        yield from _agreement_notes(rows)
    yield "Mean ± sample standard deviation over architectures; n counts architectures, not seeds."
    failed = {str(variant_of(run)): failures(run.ended(Stage.SEARCH)).total() for run in runs}
    if any(failed.values()):
        listed = ", ".join(f"{number} under {name}" for name, number in failed.items() if number)
        yield f"Failed evaluations: {listed}; they enter no figure."
    still = [str(variant_of(run)) for run in runs if (run.record.closed or {}).get("reason") != "finished"]
    if still:
        yield f"Not finished, so preliminary: {', '.join(still)}."
    if len({_data(run) for run in runs}) > 1:
        yield "Variants are on different data: their means do not compare, their ranks may."


def _agreement_notes(rows: Sequence[VariantRow]) -> Iterable[str]:
    yield (
        f"Agreement is with {rows[0].name}, over the architectures that have a value under both: Kendall's "
        "tau-b with the p of its two-sided test, the largest change of rank (ties share their mean rank), "
        "the mean difference with its bootstrap 95 % interval, mean ± standard deviation of the absolute "
        "change of a value, and the largest one."
    )
    fewest = min(row.agreement.n for row in rows[1:] if row.agreement)
    if smallest_p_of_tau(fewest) >= ALPHA:
        yield f"With n = {fewest} no rank correlation can reach p < {ALPHA:g}."


def spread(rows: Sequence[VariantRow], objective: Objective) -> tuple[VariantRow, VariantRow] | None:
    """The variants with the worst and the best mean; None below two that have one."""
    ranked = sorted((row for row in rows if row.finite), key=lambda row: objective.loss(row.mean))
    return (ranked[-1], ranked[0]) if len(ranked) > 1 else None


def _spread_note(rows: Sequence[VariantRow], objective: Objective) -> Iterable[str]:
    ends = spread(rows, objective)
    if ends is not None:
        worst, best = ends
        unit = (
            " percentage points" if objective.unit == "%" else f" {objective.unit}" if objective.unit else ""
        )
        yield (
            f"The means differ by up to {fixed(abs(best.mean - worst.mean), 2)}{unit}, from {worst.name} to "
            f"{best.name}: a gain of a search is to be held against it."
        )


def _data(run: Run) -> str:
    options = run.section("evaluator")
    return json.dumps([options.get("dataset"), options.get("root"), options.get("path")])
