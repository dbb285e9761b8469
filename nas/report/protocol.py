"""Studies of a training protocol: the same architectures under several variants of it.

Yang et al. 2020, "NAS evaluation is frustratingly hard" (https://arxiv.org/abs/1912.12522), sections 3 to 5,
in general form: ablations of training tricks, repetition with other seeds, proxies of another depth, and
given architectures beside random ones of the same study.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.errors import StoreError, refusal
from nas.evaluation import Objective, Stage
from nas.report.figures import COLOURS, magnitude, quantity_label
from nas.report.output import Output, csv_part, figure_parts, figure_text, text_part
from nas.report.records import Run, failures
from nas.report.statistics import (
    compare,
    deviation,
    exponent_of,
    format_p,
    kendall_tau,
    largest_rank_shift,
    mean,
    mean_interval,
)
from nas.report.tables import (
    decimals_of,
    fixed,
    format_duration,
    latex_grid,
    markdown_grid,
    markdown_list,
    markdown_text,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

ALPHA = 0.05
MIN_PAIRS = 3  # two have a rank correlation of 1 or -1, whatever they are
NAME = 30  # letters of a variant in the figure
MOST_LINES = 16  # of ranks that have a colour each


@dataclass(frozen=True, slots=True)
class PairedAgreement:
    """Two measurements of the same architectures, pair by pair; NaN where there is nothing to say."""

    n: int  # pairs with two finite values; below `MIN_PAIRS` there is no correlation
    tau: float  # Kendall's tau-b; NaN where a side is constant, too
    p: float  # of the two-sided test of tau = 0, exact for small samples without ties
    shift: float  # the largest change of rank, ties sharing their mean rank
    difference: float  # mean of second - first
    interval: tuple[float, float]  # bootstrap 95 % interval of `difference`, from three pairs on
    change: float  # mean of |second - first|
    change_std: float  # its sample standard deviation (n - 1)
    largest_change: float  # the largest |second - first|


def agreement(first: Sequence[float], second: Sequence[float]) -> PairedAgreement:
    """Compares values that belong together by position; pairs with one that is not finite are left out."""
    pairs = np.array([first, second], float)
    a, b = pairs[:, np.isfinite(pairs).all(axis=0)]
    exponent = exponent_of(pairs)
    moved = np.ldexp(b, -exponent) - np.ldexp(a, -exponent)  # which cannot overflow
    changes = np.abs(moved)
    with np.errstate(over="ignore"):
        low, high, difference, change, change_std, largest = (
            float(np.ldexp(number, exponent))
            for number in (
                *(*mean_interval(moved), mean(moved), mean(changes), deviation(changes)),
                changes.max() if a.size else math.nan,
            )
        )
    tau = p = shift = math.nan
    if a.size >= MIN_PAIRS:
        tau, shift = kendall_tau(a, b), largest_rank_shift(a, b)
        if a.min() < a.max() and b.min() < b.max():
            from scipy.stats import kendalltau

            test: Any = kendalltau(a, b)
            p = float(test.pvalue)
    return PairedAgreement(a.size, tau, p, shift, difference, (low, high), change, change_std, largest)


def smallest_p_of_tau(n: int) -> float:
    """The smallest p that the exact two-sided test of tau = 0 can give with n pairs: 2 / n!."""
    return min(1.0, 2 / math.factorial(n))


@dataclass(frozen=True, slots=True)
class VariantRow:
    """The architectures under one variant."""

    name: str  # of the variant
    changes: str  # the options in which variants differ, with this one's values, e.g. "cutout=4"
    values: tuple[float, ...]  # of the reported quantity, by architecture; NaN where there is none
    agreement: PairedAgreement | None  # with the first variant; None for that one
    cost_seconds: float  # of all evaluations, failures included

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
    """All variants of one study of protocols."""

    setting: str  # experiment, space and evaluator, in words
    objective: Objective  # what is reported
    architectures: tuple[str, ...]  # under the first variant; another width or depth writes them otherwise
    rows: tuple[VariantRow, ...]  # as the variants ran; the first one is what the others are held against
    pairs: Mapping[tuple[int, int], PairedAgreement]  # of the variants with these positions, rising
    notes: tuple[str, ...]  # what a reader must know; whole sentences
    given: int | None = None  # how many, the first ones, were given and the others drawn; None: all alike


def variant_of(run: Run) -> str | None:
    """The variant whose study a run is; None for a run of another kind."""
    variant = run.section("protocol").get("variant")
    return variant if isinstance(variant, str) else None


def variant_tables(runs: Iterable[Run]) -> tuple[VariantTable, ...]:
    """One table for each folder of variants, in the order of the runs.

    Raises:
        StoreError: two variants in one folder evaluated different architectures.
    """
    studies: dict[Any, list[Run]] = {}
    for run in runs:
        studies.setdefault(run.record.directory.resolve().parent, []).append(run)
    return tuple(
        _table(sorted(group, key=lambda run: run.record.openings[0]["time"])) for group in studies.values()
    )


def _table(runs: Sequence[Run]) -> VariantTable:
    seen: dict[int, tuple[str, str]] = {}
    for run in runs:  # the n-th trial of each must be the same choices, as their values are compared in pairs
        for row in run.stages[Stage.SEARCH]:
            taken = row.decisions["decisions"]
            decisions = json.dumps([one[1:2] if isinstance(one, list) else one for one in taken])
            name, expected = seen.setdefault(row.number, (str(variant_of(run)), decisions))
            if decisions != expected:
                where, wanted = str(run.record.directory), f"the architectures of variant {name}"
                remedy = "give the folder of one study of protocols"
                raise StoreError(refusal(where, wanted, f"another one in trial {row.number}", remedy))
    longest = max((run.stages[Stage.SEARCH] for run in runs), key=len)
    architectures = tuple(row.architecture for row in longest)
    objective = runs[0].record.reported
    values = []
    for run in runs:
        found = {row.number: row.value(objective.name) for row in run.stages[Stage.SEARCH] if row.ok}
        measured = (found.get(number) for number in range(len(architectures)))
        values.append(tuple(v if v is not None and math.isfinite(v) else math.nan for v in measured))
    pairs = {(i, j): agreement(values[i], values[j]) for i, j in combinations(range(len(runs)), 2)}
    rows = tuple(
        VariantRow(
            str(variant_of(run)),
            changes,
            values[index],
            pairs.get((0, index)),
            sum(row.cost_seconds for row in run.ended(Stage.SEARCH)),
        )
        for index, (run, changes) in enumerate(zip(runs, _changes(runs), strict=True))
    )
    opened, name = runs[0].opened, runs[0].experiment
    setting = f"space {opened['space']['name']}, evaluator {opened['evaluator']['name']}"
    random, trials = runs[0].section("protocol").get("random"), runs[0].section("budget").get("trials")
    given = None
    if isinstance(random, int) and isinstance(trials, int) and 0 < random <= trials:
        given = trials - random
    return VariantTable(
        setting=f"{name}: {setting}" if name else setting,
        objective=objective,
        architectures=architectures,
        rows=rows,
        pairs=pairs,
        notes=tuple(_notes(runs, rows, objective)),
        given=given,
    )


def _changes(runs: Sequence[Run]) -> list[str]:
    """What tells the variants apart, from their configurations: the options that a variant may change."""
    flat: list[dict[str, Any]] = []
    for run in runs:
        sections = {name: run.section(name) for name in ("space", "evaluator", "search")}
        its = {f"{name}.{key}": value for name, options in sections.items() for key, value in options.items()}
        flat.append({**its, "seed": (run.opened.get("config") or {}).get("seed")})
    keys = sorted({key for options in flat for key in options})
    differing = [key for key in keys if len({json.dumps(options.get(key)) for options in flat}) > 1]
    return [
        ", ".join(
            f"{key.rpartition('.')[2]}={options[key]}" for key in differing if options.get(key) is not None
        )
        for options in flat
    ]


def worst_and_best(rows: Sequence[VariantRow], objective: Objective) -> tuple[VariantRow, VariantRow] | None:
    """The variants with the worst and the best mean; None below two that have one."""
    ranked = sorted((row for row in rows if row.finite), key=lambda row: objective.loss(row.mean))
    return (ranked[-1], ranked[0]) if len(ranked) > 1 else None


def _notes(runs: Sequence[Run], rows: Sequence[VariantRow], objective: Objective) -> Iterator[str]:
    count = max(len(row.values) for row in rows)
    yield (
        f"The same {count} architectures under each variant, each trained once; the seed of a training "
        "follows from the variant's seed and the architecture's number: the same under variants of one seed."
    )
    ends = worst_and_best(rows, objective)
    if ends is not None:
        worst, best = ends
        unit = {"%": " percentage points", "": ""}.get(objective.unit, f" {objective.unit}")
        yield (
            f"The means differ by up to {fixed(abs(best.mean - worst.mean), 2)}{unit}, from {worst.name} to "
            f"{best.name}: a gain of a search is to be held against it."
        )
    if len(rows) > 1:
        yield (
            f"Agreement is with {rows[0].name}, over the architectures that have a value under both: "
            "Kendall's tau-b with the p of its two-sided test, the largest change of rank (ties share their "
            "mean rank), the mean difference with its bootstrap 95 % interval, mean ± standard deviation of "
            "the absolute change of a value, and the largest one."
        )
        fewest = min(row.agreement.n for row in rows[1:] if row.agreement)
        if smallest_p_of_tau(fewest) >= ALPHA:
            yield f"With n = {fewest} no rank correlation can reach p < {ALPHA:g}."
    yield "Mean ± sample standard deviation over architectures; n counts architectures, not seeds."
    failed = {str(variant_of(run)): failures(run.ended(Stage.SEARCH)).total() for run in runs}
    if any(failed.values()):
        listed = ", ".join(f"{number} under {name}" for name, number in failed.items() if number)
        yield f"Failed evaluations: {listed}; they enter no figure."
    still = [str(variant_of(run)) for run in runs if (run.record.closed or {}).get("reason") != "finished"]
    if still:
        yield f"Not finished, so preliminary: {', '.join(still)}."
    data = ([run.section("evaluator").get(key) for key in ("dataset", "root", "path")] for run in runs)
    if len(set(map(json.dumps, data))) > 1:
        yield "Variants are on different data: their means do not compare, their ranks may."


def _grids(table: VariantTable) -> Iterator[tuple[str, list[list[str]]]]:
    """Title and lines, the head first, of the variants, of given beside random ones, and of all taus."""
    smallest = min((row.std for row in table.rows if row.std > 0), default=0.0)
    decimals = decimals_of(smallest, table.objective.unit)

    def number(value: float, sign: str = "") -> str:
        return "" if math.isnan(value) else fixed(value, decimals, sign)

    def with_std(middle: float, std: float) -> str:
        return fixed(middle, decimals) + ("" if math.isnan(std) else f" ± {fixed(std, decimals)}")

    unit = f" ({table.objective.unit})" if table.objective.unit else ""
    head = ["variant", f"{table.objective.name}{unit}", "max", "min", "n", "tau", "rank shift"]
    lines = [[*head, "difference", "|change|", "largest", "cost"]]
    for row in table.rows:
        finite, found = row.finite, row.agreement
        line = [row.name, "-", "", "", "0"]
        if finite:
            line = [row.name, with_std(row.mean, row.std), number(max(finite)), number(min(finite))]
            line.append(str(len(finite)))
        if found is None:
            line += [""] * 5
        else:
            low, high = (number(end, "+") for end in found.interval)
            line += [
                "" if math.isnan(found.tau) else f"{found.tau:.2f} ({format_p(found.p)})",
                "" if math.isnan(found.shift) else f"{found.shift:g} of {found.n}",
                number(found.difference, "+") + (f" [{low}, {high}]" if low else ""),
                with_std(found.change, found.change_std) if found.n else "",
                number(found.largest_change),
            ]
        lines.append([*line, format_duration(row.cost_seconds)])
    yield "The same architectures under several protocols", lines
    if table.given:  # relative improvement over the average random architecture, trained once like each
        lines = [["variant", "given", "random", "RI (%)", "95 % interval", "rank test"]]
        for row in table.rows:
            sides = row.values[: table.given], row.values[table.given :]
            found = compare(*sides, direction=table.objective.direction)
            improvement, (low, high) = found.relative_improvement, found.interval
            means = (
                (found.mean_method, found.std_method, found.n_method),
                (found.mean_random, found.std_random, found.n_random),
            )
            lines.append(
                [
                    row.name,
                    *(f"{with_std(middle, std)} ({n})" if n else "- (0)" for middle, std, n in means),
                    "" if math.isnan(improvement) else fixed(improvement, 2, "+"),
                    "" if math.isnan(low) else f"{fixed(low, 2, '+')} to {fixed(high, 2, '+')}",
                    found.tested(),
                ]
            )
        yield "Given architectures beside random ones", lines
    if len(table.rows) > 2:
        lines = [["", *(row.name for row in table.rows[1:])]]
        for i, row in enumerate(table.rows[:-1]):
            cells = ["" for _ in range(i)]
            for j in range(i + 1, len(table.rows)):
                found = table.pairs[i, j]
                cells.append(f"{'-' if math.isnan(found.tau) else f'{found.tau:.2f}'} ({found.n})")
            lines.append([row.name, *cells])
        yield "Kendall's tau (n) of each two variants", lines


def markdown(table: VariantTable) -> str:
    """All tables, what the variants are, and the notes."""
    (_, variants), *others = _grids(table)
    text = [f"### {markdown_text(table.setting)}", "", *markdown_grid(variants), ""]
    for title, lines in others:
        text += [title, "", *markdown_grid(lines), ""]
    changes = [f"{row.name}: {row.changes}" for row in table.rows if row.changes]
    return "\n".join([*text, *markdown_list([*changes, *table.notes]), ""])


def latex(table: VariantTable) -> str:
    """The same for LaTeX (booktabs)."""
    notes = [*(f"{row.name}: {row.changes}." for row in table.rows if row.changes), *table.notes]
    grids = enumerate(_grids(table))
    return "\n".join(
        latex_grid(f"{title}: {table.setting}", lines, () if number else notes)
        for number, (title, lines) in grids
    )


def values_table(table: VariantTable) -> pd.DataFrame:
    """One row for each architecture: its number, its text, its value under each variant."""
    import pandas as pd

    columns: dict[str, Any] = {"architecture": range(len(table.architectures)), "text": table.architectures}
    columns |= {row.name: row.values for row in table.rows}
    return pd.DataFrame(columns, dtype=object)  # texts of any characters


def pairs_table(table: VariantTable) -> pd.DataFrame:
    """One row for each two variants: everything about their agreement."""
    import pandas as pd

    names = ("first", "second", "n", "tau", "p", "largest_rank_shift", "mean_difference", "interval_low")
    names = (*names, "interval_high", "mean_change", "std_change", "largest_change")
    rows = [
        (
            *(table.rows[i].name, table.rows[j].name, found.n, found.tau, found.p, found.shift),
            *(found.difference, *found.interval, found.change, found.change_std, found.largest_change),
        )
        for (i, j), found in table.pairs.items()
    ]
    return pd.DataFrame(rows, columns=list(names), dtype=object)


def variants_figure(table: VariantTable) -> Figure:
    """On the left a box and the values of each variant, on the right the ranks under two of them."""
    from matplotlib.figure import Figure
    from scipy.stats import rankdata

    factor, words = magnitude([row.values for row in table.rows])
    names = [figure_text(row.name, NAME) for row in table.rows]
    several = len(names) > 1
    width = 4.0 + 0.45 * len(names)
    figure = Figure(figsize=(width + 3.0 * several, 4.2), layout="constrained")
    grid = figure.add_gridspec(1, 2 if several else 1, width_ratios=[width, 3.0] if several else [1])
    axes = figure.add_subplot(grid[0])
    finite = [[value / factor for value in row.finite] for row in table.rows]
    drawn = [place for place, values in enumerate(finite) if values]
    if drawn:
        style: dict[str, Any] = {"medianprops": {"color": COLOURS[1], "lw": 1.6}, "widths": 0.5}
        axes.boxplot([finite[place] for place in drawn], positions=drawn, showfliers=False, **style)
    for place in drawn:
        count = len(finite[place])
        spread = np.linspace(-0.18, 0.18, count) if count > 1 else np.zeros(1)
        axes.plot(place + spread, finite[place], "o", color=COLOURS[0], alpha=0.55, ms=4.5, mew=0)
    labels = [f"{name}\nn = {len(values)}" for name, values in zip(names, finite, strict=True)]
    turned = max(map(len, names)) > 6
    style = {"rotation": 35, "ha": "right"} if turned else {"rotation": 0, "ha": "center"}
    axes.set_xticks(range(len(labels)), labels, **style)
    axes.set_xlim(-0.6, len(labels) - 0.4)
    unit = f"{table.objective.unit}{words}".strip()
    axes.set_ylabel(quantity_label(replace(table.objective, unit=unit)))
    axes.set_title("box: quartiles and median", fontsize=9)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    if several:  # a line for each architecture that has a value under both; rank 1 is the best
        axes = figure.add_subplot(grid[1])
        pairs = np.array([table.rows[0].values, table.rows[-1].values], float) / factor
        pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
        count = pairs.shape[1]
        ranks = np.array([rankdata([table.objective.loss(value) for value in side]) for side in pairs])
        for index in range(count):
            colour = COLOURS[index % len(COLOURS)] if count <= MOST_LINES else COLOURS[0]
            axes.plot((0, 1), ranks[:, index], "o-", color=colour, alpha=0.8, lw=1.4, ms=4.5)
        found = table.pairs[0, len(table.rows) - 1]
        tau = "" if math.isnan(found.tau) else f"tau = {found.tau:.2f}, largest shift {found.shift:g}, "
        axes.set_title(f"{tau}n = {found.n}", fontsize=9)
        axes.set_xticks((0, 1), (names[0], names[-1]))
        axes.set_xlim(-0.25, 1.25)
        if count:
            axes.set_ylim(count + 0.5, 0.5)
            axes.set_yticks(range(1, count + 1))
        axes.set_ylabel("rank")
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
    return figure


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
