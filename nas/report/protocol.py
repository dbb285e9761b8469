"""How far two ways to evaluate the same architectures agree: ranks, changes, with their numbers.

What a study of protocols found: a row for each variant, and how far any two of them agree.

Results of studies of protocols as Markdown, LaTeX (booktabs) and CSV.

Given architectures beside random ones of the same study: what choosing them was worth, by variant.

Yang et al. 2020, "NAS evaluation is frustratingly hard" (https://arxiv.org/abs/1912.12522), section 3.1: the
relative improvement over the average random architecture, here of published architectures. Each is trained
once, so that the standard deviations hold the noise of training too.

The figure of a study of protocols: values by variant, and ranks under the first and the last one.

The files of studies of protocols.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.errors import StoreError
from nas.evaluation import Objective, Stage, exponent_of
from nas.report import (
    COLOURS,
    Improvement,
    Output,
    Run,
    compare,
    csv_part,
    decimals_of,
    deviation,
    failures,
    figure_parts,
    figure_text,
    fixed,
    format_duration,
    format_p,
    kendall_tau,
    largest_rank_shift,
    latex_grid,
    magnitude,
    markdown_grid,
    markdown_list,
    markdown_text,
    mean,
    mean_interval,
    quantity_label,
    text_part,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MIN_PAIRS = 3  # two have a rank correlation of 1 or -1, whatever they are


@dataclass(frozen=True, slots=True)
class RankAgreement:
    """Two measurements of the same architectures, pair by pair.

    Attributes:
        n: pairs with two finite values; below `MIN_PAIRS` there is no correlation.
        tau: Kendall's tau-b; NaN below `MIN_PAIRS` or where a side is constant.
        p: of the two-sided test of tau = 0, exact for small samples without ties; NaN like `tau`.
        shift: the largest change of rank, ties sharing their mean rank; NaN below `MIN_PAIRS`.
        difference: mean of second - first.
        interval: bootstrap 95 % interval of `difference`; NaNs below three pairs.
        change: mean of |second - first|.
        change_std: its sample standard deviation (n - 1); NaN below two pairs.
        largest_change: the largest |second - first|.
    """

    n: int
    tau: float
    p: float
    shift: float
    difference: float
    interval: tuple[float, float]
    change: float
    change_std: float
    largest_change: float


def agreement(first: Sequence[float], second: Sequence[float]) -> RankAgreement:
    """Compares values that belong together by position; pairs with one that is not finite are left out."""
    pairs = np.array([first, second], float)
    (a, b), n = pairs[:, np.isfinite(pairs).all(axis=0)], int(np.isfinite(pairs).all(axis=0).sum())
    exponent = exponent_of(pairs)
    moved = np.ldexp(b, -exponent) - np.ldexp(a, -exponent)  # which cannot overflow

    def whole(number: float) -> float:
        with np.errstate(over="ignore"):
            return float(np.ldexp(number, exponent))

    low, high = mean_interval(moved)
    changes = np.abs(moved)
    enough = n >= MIN_PAIRS
    return RankAgreement(
        n=n,
        tau=kendall_tau(a, b) if enough else math.nan,
        p=_p_of_tau(a, b) if enough else math.nan,
        shift=largest_rank_shift(a, b) if enough else math.nan,
        difference=whole(mean(moved)),
        interval=(whole(low), whole(high)),
        change=whole(mean(changes)),
        change_std=whole(deviation(changes)),
        largest_change=whole(changes.max()) if n else math.nan,
    )


def smallest_p_of_tau(n: int) -> float:
    """The smallest p that the exact two-sided test of tau = 0 can give with n pairs: 2 / n!."""
    return min(1.0, 2 / math.factorial(n))


def _p_of_tau(a: Any, b: Any) -> float:
    if a.min() == a.max() or b.min() == b.max():
        return math.nan
    from scipy.stats import kendalltau

    result: Any = kendalltau(a, b)
    return float(result.pvalue)


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
    agreement: RankAgreement | None
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
    pairs: Mapping[tuple[int, int], RankAgreement]
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


TITLE = "Given architectures beside random ones"


def beside_random(table: VariantTable) -> dict[str, Improvement]:
    """Variant -> given against random architectures; empty for a study of one kind alone."""
    given = table.given
    if not given:
        return {}
    direction = table.objective.direction
    return {
        row.name: compare(row.values[:given], row.values[given:], direction=direction) for row in table.rows
    }


def beside_grid(table: VariantTable, decimals: int) -> list[list[str]]:
    """Head and lines; none for a study of one kind alone."""
    found = beside_random(table)
    head = ["variant", "given", "random", "RI (%)", "95 % interval", "rank test"]
    return [head, *(_improvement_line(name, each, decimals) for name, each in found.items())] if found else []


def _improvement_line(name: str, found: Improvement, decimals: int) -> list[str]:
    low, high = found.interval
    improvement = found.relative_improvement
    return [
        name,
        _mean(found.mean_method, found.std_method, found.n_method, decimals),
        _mean(found.mean_random, found.std_random, found.n_random, decimals),
        "" if math.isnan(improvement) else fixed(improvement, 2, "+"),
        "" if math.isnan(low) else f"{fixed(low, 2, '+')} to {fixed(high, 2, '+')}",
        found.tested(),
    ]


def _mean(mean: float, std: float, n: int, decimals: int) -> str:
    if not n:
        return "- (0)"
    return f"{fixed(mean, decimals)}{'' if math.isnan(std) else f' ± {fixed(std, decimals)}'} ({n})"


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


def _tau(found: RankAgreement) -> str:
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


def _pair_cell(found: RankAgreement) -> str:
    return f"- ({found.n})" if math.isnan(found.tau) else f"{found.tau:.2f} ({found.n})"


def _variants(table: VariantTable) -> list[str]:
    """What the variants are, one text each without a full stop."""
    return [f"{row.name}: {row.changes}" for row in table.rows if row.changes]


def _decimals(table: VariantTable) -> int:
    """Two digits of the smallest standard deviation, of a percentage at least two decimals."""
    return decimals_of(min((row.std for row in table.rows if row.std > 0), default=0.0), table.objective.unit)


NAME = 30  # letters of a variant
MOST_LINES = 16  # of ranks that have a colour each


def variants_figure(table: VariantTable) -> Figure:
    """On the left a box and the values of each variant, on the right the ranks under two of them."""
    from matplotlib.figure import Figure

    factor, words = magnitude([row.values for row in table.rows])
    objective = replace(table.objective, unit=f"{table.objective.unit}{words}".strip())
    rows = tuple(
        replace(row, name=figure_text(row.name, NAME), values=tuple(value / factor for value in row.values))
        for row in table.rows
    )
    table = replace(table, rows=rows, objective=objective)
    several = len(table.rows) > 1
    width = 4.0 + 0.45 * len(table.rows)
    figure = Figure(figsize=(width + 3.0 * several, 4.2), layout="constrained")
    grid = figure.add_gridspec(1, 2 if several else 1, width_ratios=[width, 3.0] if several else [1])
    _draw_values(figure.add_subplot(grid[0]), table)
    if several:
        _draw_ranks(figure.add_subplot(grid[1]), table)
    return figure


def _draw_values(axes: Axes, table: VariantTable) -> None:
    drawn = [(place, row) for place, row in enumerate(table.rows) if row.finite]
    boxes: dict[str, Any] = {
        "showfliers": False,
        "widths": 0.5,
        "medianprops": {"color": COLOURS[1], "lw": 1.6},
    }
    if drawn:
        axes.boxplot([row.finite for _, row in drawn], positions=[place for place, _ in drawn], **boxes)
    for place, row in drawn:
        spread = np.linspace(-0.18, 0.18, len(row.finite)) if len(row.finite) > 1 else np.zeros(1)
        axes.plot(place + spread, row.finite, "o", color=COLOURS[0], alpha=0.55, ms=4.5, mew=0)
    labels = [f"{row.name}\nn = {len(row.finite)}" for row in table.rows]
    turned = max(len(row.name) for row in table.rows) > 6
    axes.set_xticks(
        range(len(labels)), labels, rotation=35 if turned else 0, ha="right" if turned else "center"
    )
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.set_ylabel(quantity_label(table.objective))
    axes.set_title("box: quartiles and median", fontsize=9)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    _tidy(axes)


def _draw_ranks(axes: Axes, table: VariantTable) -> None:
    """A line for each architecture that has a value under both; rank 1 is the best."""
    first, last = table.rows[0], table.rows[-1]
    pairs = np.array([first.values, last.values], float)
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    ranks = np.array([_ranks([table.objective.loss(value) for value in side]) for side in pairs])
    count = pairs.shape[1]
    for index in range(count):
        colour = COLOURS[index % len(COLOURS)] if count <= MOST_LINES else COLOURS[0]
        axes.plot((0, 1), ranks[:, index], "o-", color=colour, alpha=0.8, lw=1.4, ms=4.5)
    found = table.pairs[0, len(table.rows) - 1]
    tau = "" if math.isnan(found.tau) else f"tau = {found.tau:.2f}, largest shift {found.shift:g}, "
    axes.set_title(f"{tau}n = {found.n}", fontsize=9)
    axes.set_xticks((0, 1), (first.name, last.name))
    axes.set_xlim(-0.25, 1.25)
    if count:
        axes.set_ylim(count + 0.5, 0.5)
        axes.set_yticks(range(1, count + 1))
    axes.set_ylabel("rank")
    _tidy(axes)


def _ranks(losses: list[float]) -> list[float]:
    """From 1, ties sharing their mean."""
    from scipy.stats import rankdata

    return list(rankdata(losses))


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


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
