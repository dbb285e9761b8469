"""The files of an audit: `audit.md`, `.tex`, classes, mismatches and spreads as CSV, and a figure.

Tables of an audit as lines of cells.

Tables of the searches of an audit.

Figures of an audit: classes and differences within them, errors by bits, searches under noise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.report import (
    COLOURS,
    RANDOM_COLOUR,
    Output,
    Writer,
    Written,
    csv_part,
    figure_parts,
    figure_text,
    fixed,
    format_p,
    latex_grid,
    markdown_grid,
    markdown_list,
    markdown_text,
    text_part,
)
from nas.report.audit import DRAWS, AuditedStudy, Findings, Gaps, Labels, expected_hits, find, read_studies

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nas.evaluation import Evaluator
    from nas.report.audit import Mismatch, Reading
    from nas.run.config import Config
    from nas.space import Architecture, SearchSpace
    from nas.study import Hasher


ALPHA = 0.05


def agreement_lines(found: Findings) -> list[list[str]]:
    """One line for each reading; "a class": its architectures, on average."""
    head = ["reading", "classes", "exact classes", "a class", "joins", "splits", "no digest"]
    lines = [[*head, "pairs joined", "pairs split", "hashes/s"]]
    for (reading, agreement), rate in zip(found.readings, found.rates, strict=True):
        equal = max(1, agreement.equal_pairs)
        lines.append(
            [
                reading.name,
                f"{agreement.hashed:,}",
                f"{agreement.exact:,}",
                f"{agreement.members / max(1, agreement.hashed):.3g}",
                f"{len(agreement.joins):,}",
                f"{len(agreement.splits):,}",
                f"{agreement.unlabelled:,}",
                f"{agreement.joined_pairs:,}",
                f"{agreement.split_pairs:,} ({100 * agreement.split_pairs / equal:.2g} %)",
                f"{rate:,.0f}",
            ]
        )
    return lines


def counted_lines(found: Findings) -> list[list[str]]:
    """One line for each other hasher, the candidates themselves first."""
    rows = [["every architecture by itself", found.candidates], *map(list, found.counted.items())]
    return [["notion", "classes"], *([str(label), f"{count:,}"] for label, count in rows)]


def spread_lines(found: Findings) -> list[list[str]]:
    """One line for each reading and quantity."""
    head = ["reading", "quantity", "classes", "range", "std in a class", "std trained again", "std of all"]
    lines = [[*head, "beyond training", "F", "p"]]
    for reading, quantity, s in found.spreads:
        unit = f" {quantity.unit}" if quantity.unit else ""
        lines.append(
            [
                reading.name,
                quantity.name,
                f"{s.classes:,}",
                f"{fixed(s.median_range, 2)} (up to {fixed(s.largest_range, 2)}){unit}",
                fixed(s.within, 3),
                fixed(s.replicate, 3),
                fixed(s.overall, 2),
                fixed(s.extra, 3),
                "-" if math.isnan(s.f) else f"{s.f:.2f} ({s.degrees[0]}, {s.degrees[1]})",
                format_p(s.p),
            ]
        )
    return lines


def spread_notes(found: Findings) -> list[str]:
    """What a reader must know of the spreads; whole sentences."""
    *_, last = (s for *_, s in found.spreads)
    exceeding = [s for *_, s in found.spreads if s.p < ALPHA]
    notes = [
        "Range: median of the classes' ranges, and the largest. Standard deviations are pooled over groups. "
        "Trained again: among architectures that are one network by every other notion here "
        f"({last.replicates:,} such groups), each trained for itself: with one number for each architecture "
        "in the table, these repetitions are its training seeds.",
        "Architectures that share two results with an earlier one of their class "
        f"({last.copies:,} in the last line) were trained from the same initial weights in the same order: "
        "they are copies, counted once.",
        "F compares, inside classes, groups of repetitions with one another, each class scaled to variance "
        "1; p is by permutation within classes. Beyond training: the standard deviation between such groups "
        "that training again does not explain.",
        "Results that are means over several seeds may share a run without being equal, which lets F exceed "
        "1 where classes are right.",
    ]
    if exceeding:
        most = max((s.extra / s.overall for s in exceeding if s.overall > 0), default=math.nan)
        notes.append(
            f"In {len(exceeding)} of {len(found.spreads)} lines classes spread more than training again "
            f"explains (p < {ALPHA:g}), by at most {100 * most:.1f} % of the standard deviation of all."
        )
    else:
        notes.append(f"Nowhere do classes spread more than training again explains (p >= {ALPHA:g}).")
    return notes


NOTES = (
    "Noise: standard deviation added to the first objective at each evaluation; values are those of the "
    "chosen architecture without it. Mean ± sample standard deviation over seeds, all within one budget. p: "
    "two-sided rank test of the first objective against the first cache under the same searcher and noise, "
    "not corrected for their number; it takes two seeds.",
    "Hit rates of draws that are uniform over architectures, and over classes, are expected values; those of "
    "searches are means over the seeds that are done so far, without noise where that was searched.",
)


def study_lines(found: Findings, objectives: tuple[str, str]) -> list[list[str]]:
    """One line for each kind of search.

    Args:
        found: with studies.
        objectives: names of the first objective and of the reported quantity.
    """
    names = [name.replace("_", " ") for name in objectives]
    lines = [["searcher", "noise", "cache", "n", "trials", "evaluations", "hits (%)", *names, "p"]]
    for row in found.studies:
        kind = row.condition
        lines.append(
            [
                *(kind.searcher, f"{kind.noise:g}", kind.cache, str(len(row.outcomes))),
                *(f"{row.mean(name):,.0f}" for name in ("trials", "evaluations")),
                fixed(row.mean("hit_rate"), 1),
                *(
                    f"{fixed(row.mean(name), 2)} ± {fixed(row.std(name), 2)}"
                    for name in ("value", "reported")
                ),
                "" if math.isnan(row.p) else format_p(row.p),
            ]
        )
    return lines


def hit_lines(found: Findings) -> list[list[str]]:
    """One line for each way to draw, the expected ones first."""
    lines = [["drawn by", *map(str, DRAWS)]]
    for label, by_class in (("uniform over architectures", False), ("uniform over classes", True)):
        lines.append([label, *(f"{rate:.1f}" for _, rate in expected_hits(found.sizes, by_class=by_class))])
    least = min(row.condition.noise for row in found.studies)
    for row in found.studies:
        if row.condition.noise == least and any(outcome.course for outcome in row.outcomes):
            lines.append(
                [f"{row.condition.searcher}, {row.condition.cache}", *(_rate(row, n) for n in DRAWS)]
            )
    return lines


def _rate(row: AuditedStudy, draws: int) -> str:
    rates = [outcome.course[draws] for outcome in row.outcomes if draws in outcome.course]
    return f"{float(np.mean(rates)):.1f}" if rates else "-"


def study_frame(found: Findings) -> pd.DataFrame:
    """One row for each search."""
    import pandas as pd

    names = ("trials", "evaluations", "hit_rate", "value", "reported")
    rows = [
        (kind.searcher, kind.noise, kind.cache, seed, *(getattr(outcome, name) for name in names))
        for row in found.studies
        for kind in (row.condition,)
        for seed, outcome in enumerate(row.outcomes)
    ]
    return pd.DataFrame(rows, columns=["searcher", "noise", "cache", "seed", *names])


MOST_EXAMPLES = 5  # of joins and of splits in a reading's text; the CSV has all
_AROUND = 12  # characters that examples show around what differs


@dataclass(frozen=True, slots=True)
class AuditWritten(Written):
    """A report of an audit.

    Attributes:
        sound: whether classes and exact classes agree, if they should.
    """

    sound: bool = True


def write_audit(
    config: Config,
    labels: Labels,
    architectures: Sequence[Architecture],
    space: SearchSpace,
    table: Evaluator | None,
    hasher_of: Callable[[Mapping[str, Any]], Hasher],
    output: Path,
) -> AuditWritten:
    """Writes all files of an audit whose parts are all there; each is replaced as a whole.

    Raises:
        StoreError: the log of a search is missing or damaged.
        ConfigError: `output` cannot be written to.
    """
    searched = read_studies(config, output, space, table) if table is not None else []
    found = find(config, labels, architectures, table, searched)
    names = (table.objectives[0].name, table.reported.name) if table is not None else ("", "")
    report = _Report(config, found, labels, architectures, names, hasher_of)
    writer = Writer(output)
    with np.errstate(over="ignore", invalid="ignore"):  # infinite is said as that
        writer.write(report.contents())
        writer.close()
        text = writer.attempt("text on the screen", report.markdown, "")
    written = writer.written(text)
    sound = found.sound or not config.audit.strict
    return AuditWritten(written.output, written.files, written.text, written.failures, sound)


class _Report:
    def __init__(
        self,
        config: Config,
        found: Findings,
        labels: Labels,
        architectures: Sequence[Architecture],
        objectives: tuple[str, str],
        hasher_of: Callable[[Mapping[str, Any]], Hasher],
    ) -> None:
        self.config = config
        self.hasher_of = hasher_of
        self.objectives = objectives
        self.found = found
        self.labels = labels
        self.architectures = architectures

    def contents(self) -> Iterator[Output]:

        yield text_part("audit.md", self.markdown)
        yield text_part("audit.tex", self.latex)
        yield csv_part("audit_classes.csv", self.classes)
        yield csv_part("audit_mismatches.csv", self.mismatches)
        yield csv_part("audit_spreads.csv", self.spreads)
        if self.found.studies:
            yield csv_part("audit_searches.csv", partial(study_frame, self.found))
        for name, draw in figures(self.config, self.found):
            yield from figure_parts(name, draw)

    def markdown(self) -> str:
        found = self.found
        lines = [f"# {markdown_text(self.title)}", "", markdown_text(self.verdict), ""]
        lines += ["## Classes", "", *markdown_grid(agreement_lines(found)), ""]
        if found.counted:
            lines += ["Other notions of equality", "", *markdown_grid(counted_lines(found)), ""]
        lines += [*markdown_list(self.config.audit.notes), ""] if self.config.audit.notes else []
        if self.labels.reasons:
            reasons = [f"{column}: {reason}" for column, reason in self.labels.reasons.items()]
            lines += ["Why some have no digest, one of them each", "", *markdown_list(reasons), ""]
        for reading, agreement in found.readings if self.config.audit.strict else ():
            for kind, listed in (("joins", agreement.joins), ("splits", agreement.splits)):
                if listed:
                    lines += [f"### {kind.capitalize()}: {markdown_text(reading.name)}", ""]
                    shown = [self.example(reading, mismatch) for mismatch in listed[:MOST_EXAMPLES]]
                    lines += [*markdown_list(shown), ""]
        if found.spreads:
            lines += ["## Measured results within classes", "", *markdown_grid(spread_lines(found)), ""]
            lines += [*markdown_list(spread_notes(found)), ""]
        if found.studies:
            lines += ["## Searches", "", *markdown_grid(study_lines(found, self.objectives)), ""]
            lines += ["Hit rate in percent after so many trials", "", *markdown_grid(hit_lines(found)), ""]
            lines += [*markdown_list(NOTES), ""]
        return "\n".join(lines)

    def latex(self) -> str:
        tables = [latex_grid(f"{self.title}: classes", agreement_lines(self.found), self.config.audit.notes)]
        if self.found.counted:
            tables.append(latex_grid("Other notions of equality", counted_lines(self.found)))
        if self.found.spreads:
            notes = spread_notes(self.found)
            tables.append(latex_grid("Measured results within classes", spread_lines(self.found), notes))
        if self.found.studies:
            tables.append(latex_grid("Searches", study_lines(self.found, self.objectives), NOTES))
            tables.append(latex_grid("Hit rate in percent after so many trials", hit_lines(self.found)))
        return "\n".join(tables)

    @property
    def title(self) -> str:
        return f"{self.config.name}: {self.config.hashing['name']} held against {self.config.audit.exact}"

    @property
    def verdict(self) -> str:
        found = self.found
        wrong = [reading.name for reading, agreement in found.readings if not agreement.sound]
        said = f"{found.candidates:,} architectures; "
        if not wrong:
            return said + "in every reading the classes are the exact ones: none joined, none split."
        return said + f"the classes are not the exact ones in: {'; '.join(wrong)}."

    def example(self, reading: Reading, mismatch: Mismatch) -> str:
        """The parts of a mismatch by their first members: what differs in their texts, and why."""
        texts = [self.architectures[n].text for n in mismatch.examples]
        start = max(0, _common(texts) - _AROUND)
        end = max(0, _common([text[::-1] for text in texts]) - _AROUND)
        said = []
        exact = self.hasher_of(reading.exact)
        for count, n, text in zip(mismatch.parts, mismatch.examples, texts, strict=True):
            core = text[start : len(text) - end][:400]
            meaning = exact.explain(self.architectures[n])
            said.append(f"{count} like ..{core}..{f' = {meaning}' if meaning else ''}")
        return "; ".join(said[:4]) + ("; and others" if len(said) > 4 else "")

    def classes(self) -> pd.DataFrame:
        """One row for each architecture: its decisions, its label in every column."""
        import pandas as pd

        decisions = [json.dumps([d.to_json() for d in a.decisions]) for a in self.architectures]
        return pd.DataFrame({"decisions": decisions, **self.labels.columns})

    def mismatches(self) -> pd.DataFrame:
        """One row for each part of each join and split."""
        import pandas as pd

        rows: list[tuple[Any, ...]] = []
        for reading, agreement in self.found.readings:
            for kind, listed in (("join", agreement.joins), ("split", agreement.splits)):
                for number, mismatch in enumerate(listed):
                    rows += [
                        (reading.name, kind, number, mismatch.label, count, self.architectures[n].text)
                        for count, n in zip(mismatch.parts, mismatch.examples, strict=True)
                    ]
        return pd.DataFrame(rows, columns=["reading", "kind", "number", "class", "members", "example"])

    def spreads(self) -> pd.DataFrame:
        import pandas as pd

        names = ("members", "copies", "classes", "overall", "within", "median_range", "largest_range")
        names = (*names, "replicate", "replicates", "extra", "f", "degrees", "p")
        rows = [
            (reading.name, quantity.name, *(getattr(spread, name) for name in names))
            for reading, quantity, spread in self.found.spreads
        ]
        return pd.DataFrame(rows, columns=["reading", "quantity", *names])


def _common(texts: Sequence[str]) -> int:
    """Length of what all texts begin with."""
    return next(
        (n for n, letters in enumerate(zip(*texts, strict=False)) if len(set(letters)) > 1),
        min(map(len, texts)),
    )


_LEAST = 1e-3  # of a difference that is drawn


def figures(config: Config, found: Findings) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Names, and what draws each figure.

    Classes and spreads; of a study of bits its errors; of searches what they found.
    """
    bits = config.audit.bits
    if bits:
        yield "audit_bits", partial(bits_figure, config, found)
    else:
        yield "audit", partial(audit_figure, found)
    if found.studies:
        yield "audit_searches", partial(searches_figure, found)


def bits_figure(config: Config, found: Findings) -> Figure:
    """Pairs falsely merged and missed against bits, on the left; classes on the right; a line a hasher."""
    from matplotlib.figure import Figure

    bits = config.audit.bits
    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    titles = ("false merges", "missed merges", "architectures a class")
    for number in range(0, len(found.readings), len(bits)):
        chosen = found.readings[number : number + len(bits)]
        label = chosen[0][0].name.rpartition("bits=")[0].rstrip(", ") or str(config.hashing["name"])
        agreements = [agreement for _, agreement in chosen]
        pairs = [a.members * (a.members - 1) / 2 - a.equal_pairs for a in agreements]
        series = (
            [100 * a.joined_pairs / max(1, unequal) for a, unequal in zip(agreements, pairs, strict=True)],
            [100 * a.split_pairs / max(1, a.equal_pairs) for a in agreements],
            [a.members / max(1, a.hashed) for a in agreements],
        )
        colour = COLOURS[(number // len(bits)) % len(COLOURS)]
        for axes, values in zip((left, middle, right), series, strict=True):
            axes.plot(bits, values, "o-", color=colour, label=figure_text(label), lw=1.4, ms=4)
    left.set_yscale("symlog", linthresh=1e-6)
    right.set_yscale("log")
    left.set_ylabel("% of pairs that differ")
    middle.set_ylabel("% of pairs that are equal")
    for axes, title in zip((left, middle, right), titles, strict=True):
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("bits of the mantissa")
        _tidy(axes)
    left.legend(fontsize=7, frameon=False)
    return figure


def searches_figure(found: Findings) -> Figure:
    """The value of the choice without its noise against the noise: a panel a searcher, a line a cache."""
    from matplotlib.figure import Figure

    searchers = list(dict.fromkeys(row.condition.searcher for row in found.studies))
    caches = list(dict.fromkeys(row.condition.cache for row in found.studies))
    figure = Figure(figsize=(0.8 + 3.8 * len(searchers), 3.6), layout="constrained")
    for axes, searcher in zip(figure.subplots(1, len(searchers), squeeze=False)[0], searchers, strict=True):
        for number, cache in enumerate(caches):
            wanted = (searcher, cache)
            rows = [r for r in found.studies if (r.condition.searcher, r.condition.cache) == wanted]
            places = [place + 0.06 * (number - len(caches) / 2) for place in range(len(rows))]
            errors = [row.std("value") / max(1, len(row.outcomes)) ** 0.5 for row in rows]
            means = [row.mean("value") for row in rows]
            style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "lw": 1.4, "ms": 4}
            axes.errorbar(places, means, errors, fmt="o-", capsize=2, label=figure_text(cache), **style)
            axes.set_xticks(range(len(rows)), [f"{row.condition.noise:g}" for row in rows])
        axes.set_title(figure_text(searcher), fontsize=9)
        axes.set_xlabel("standard deviation of the noise")
        axes.set_ylabel("chosen, without noise (mean, s.e.)")
        _tidy(axes)
        axes.legend(fontsize=7, frameon=False)
    return figure


def _tidy(axes: Axes) -> None:
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def audit_figure(found: Findings) -> Figure:
    """Bars of classes on the left; beside it, for each quantity, the distribution of differences."""
    from matplotlib.figure import Figure

    columns = 1 + len(found.gaps)
    figure = Figure(figsize=(4.6 + 3.2 * len(found.gaps), 3.8), layout="constrained")
    grid = figure.add_gridspec(1, columns, width_ratios=[4.6, *[3.2] * len(found.gaps)])
    _draw_classes(figure.add_subplot(grid[0]), found)
    for number, gaps in enumerate(found.gaps, start=1):
        _draw_gaps(figure.add_subplot(grid[number]), gaps, legend=number == 1)
    return figure


def _draw_classes(axes: Axes, found: Findings) -> None:
    bars = [(f"hash: {reading.name}", agreement.hashed, COLOURS[0]) for reading, agreement in found.readings]
    bars += [(f"exact: {reading.name}", agreement.exact, COLOURS[2]) for reading, agreement in found.readings]
    bars += [(label, count, RANDOM_COLOUR) for label, count in found.counted.items()]
    bars.sort(key=lambda bar: (bar[1], bar[0]))
    places = range(len(bars))
    axes.barh(places, [count for _, count, _ in bars], color=[colour for *_, colour in bars], height=0.7)
    axes.set_yticks(places, [figure_text(label) for label, *_ in bars], fontsize=7)
    for place, (_, count, _) in enumerate(bars):
        label: dict[str, Any] = {"xytext": (3, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(f"{count:,}", (count, place), fontsize=7, **label)
    axes.set_xlim(0, 1.18 * max((count for _, count, _ in bars), default=1))
    axes.set_xlabel(f"classes of {found.candidates:,} architectures")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_gaps(axes: Axes, gaps: Gaps, *, legend: bool) -> None:
    lines = (
        ("any two", gaps.overall, RANDOM_COLOUR, ":"),
        ("one class", gaps.within, COLOURS[0], "-"),
        ("trained again", gaps.replicate, COLOURS[1], "--"),
    )
    for label, values, colour, style in lines:
        if len(values):
            share = np.arange(1, len(values) + 1) / len(values)
            drawn = np.maximum(values, _LEAST)
            axes.step(drawn, share, style, color=colour, where="post", label=label, lw=1.6)
    axes.set_xscale("log")
    axes.set_ylim(0, 1)
    axes.set_xlabel(f"|difference|{f' ({figure_text(gaps.quantity.unit)})' if gaps.quantity.unit else ''}")
    axes.set_title(figure_text(gaps.quantity.name), fontsize=9)
    _tidy(axes)
    if legend:
        axes.set_ylabel("share of pairs")
        axes.legend(fontsize=7, frameon=False)
