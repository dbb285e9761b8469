"""The report of an audit of a hasher: its classes beside exact ones, measured results, searches under noise.

A table with one number for each candidate still holds repetitions: candidates that are the same network by
every notion of equality that is known (replicates), each trained for itself. Where initial weights and
randomness were drawn alike too, a repetition gives the same number to the last digit and is none. Such
copies are counted once: of the members of a class that have two results in common, one. (Two, because one may
be equal by chance, and because a mean over several seeds may share a run without being equal.)

The searches are the error study of Gillard et al. 2023 (https://arxiv.org/abs/2302.05433): what the cache
answers with is frozen noise, which a mean of several evaluations (M) or forgetting (F) loosens.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nas.evaluation import Stage, Task, carry_out
from nas.report.cache import usage
from nas.report.figures import COLOURS, RANDOM_COLOUR
from nas.report.output import Output, Writer, Written, csv_part, figure_parts, figure_text, text_part
from nas.report.records import Run
from nas.report.statistics import deviation, exponent_of, format_p, mean, rank_test
from nas.report.tables import fixed, latex_grid, markdown_grid, markdown_list, markdown_text
from nas.study.record import read_study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from nas.evaluation import Evaluator
    from nas.space import Architecture, SearchSpace

    Floats = NDArray[np.float64]

ALPHA = 0.05
MOST_EXAMPLES = 5  # of joins and of splits in a reading's text; the CSV has all
AROUND = 12  # characters that examples show around what differs
PAIRS = 20_000  # random pairs of candidates, for the figure
LEAST = 1e-3  # of a difference that is drawn
OTHERS = "Other notions of equality"
WITHIN = "Measured results within classes"
HIT_RATES = "Hit rate in percent after so many trials"
SEARCH_NOTES = (
    "Noise: standard deviation added to the first objective at each evaluation; values are those of the "
    "chosen architecture without it. Mean ± sample standard deviation over seeds, all within one budget. p: "
    "two-sided rank test of the first objective against the first cache under the same searcher and noise, "
    "not corrected for their number; it takes two seeds.",
    "Hit rates of draws that are uniform over architectures, and over classes, are expected values; those of "
    "searches are means over the seeds that are done so far, without noise where that was searched.",
)
DRAWS = (10, 50, 100, 200, 500, 1000, 2000)  # after which hit rates are told


class AuditedReading(NamedTuple):
    """What is taken for equal."""

    name: str  # the options that the audited and the exact hasher share, e.g. "zero=trained, scale=kept"
    hashed: str  # column of the labels by the audited hasher
    exact: str  # column of the labels by the exact one
    explain: Callable[[Architecture], str | None]  # what the exact hasher says of an architecture


class Mismatch(NamedTuple):
    """A class of one partition that holds members of several classes of the other."""

    label: Hashable  # of the class
    parts: tuple[int, ...]  # number of members of each class of the other, largest first
    examples: tuple[int, ...]  # the first member of each of them, in that order


@dataclass(frozen=True, slots=True)
class PartitionComparison:
    """A partition by a hash beside the exact one."""

    members: int  # candidates that both have a class for
    unlabelled: int  # candidates that either has none for; they enter no other number
    hashed: int  # number of classes of the hash
    exact: int  # number of exact classes
    joins: tuple[Mismatch, ...]  # classes of the hash with members of several exact ones: false merges
    splits: tuple[Mismatch, ...]  # exact classes with members in several classes of the hash: missed merges
    joined_pairs: int  # pairs of members that the hash alone takes for equal
    split_pairs: int  # pairs that are equal and that the hash tells apart
    equal_pairs: int  # pairs that are equal

    @property
    def sound(self) -> bool:
        """Whether both are the same partition of all candidates."""
        return not (self.joins or self.splits or self.unlabelled)


def compare_partitions(
    hashed: Sequence[Hashable | None], exact: Sequence[Hashable | None]
) -> PartitionComparison:
    """Holds the labels of a hash against the exact ones, candidate by candidate; None: no label."""
    import pandas as pd

    members = pd.DataFrame({"hashed": hashed, "exact": exact}, dtype=object).dropna()
    grouped: Any = members.reset_index(names="first").groupby(["hashed", "exact"], sort=False)["first"]
    parts = grouped.agg(size="size", first="min").reset_index()
    parts = parts.sort_values(["size", "first"], ascending=[False, True])

    def pairs(*labels: str) -> int:
        sizes = parts.groupby(list(labels))["size"].sum()
        return int((sizes * (sizes - 1) // 2).sum())

    def mixed(label: str) -> tuple[Mismatch, ...]:
        """The classes with members of several others, those with most such others first."""
        several = parts[parts[label].duplicated(keep=False)].groupby(label, sort=False)[["size", "first"]]
        found = [Mismatch(own, tuple(n), tuple(first)) for own, n, first in several.agg(list).itertuples()]
        return tuple(sorted(found, key=lambda mismatch: (-len(mismatch.parts), mismatch.examples)))

    same = pairs("hashed", "exact")
    return PartitionComparison(
        members=len(members),
        unlabelled=len(hashed) - len(members),
        hashed=len(set(members["hashed"])),
        exact=len(set(members["exact"])),
        joins=mixed("hashed"),
        splits=mixed("exact"),
        joined_pairs=pairs("hashed") - same,
        split_pairs=pairs("exact") - same,
        equal_pairs=pairs("exact"),
    )


@dataclass(frozen=True, slots=True)
class ResultSpread:
    """How far results differ; deviations are standard deviations, NaN where there is nothing to compare."""

    members: int  # candidates, exact copies left out
    copies: int  # candidates left out
    classes: int  # with at least two members
    overall: float  # deviation over all candidates, copies included
    within: float  # deviation within classes, pooled: each class's own mean, its degrees of freedom
    median_range: float  # of the classes' ranges
    largest_range: float
    replicate: float  # deviation within replicates, pooled: one network trained again
    replicates: int  # groups of at least two
    extra: float  # deviation between a class's groups of replicates that `replicate` leaves unexplained
    f: float  # mean square between groups of replicates within a class over that within groups
    degrees: tuple[int, int]  # of freedom of its numerator and its denominator
    p: float  # of the permutation test: results change places within each class


def spread(
    values: Sequence[float],
    classes: Sequence[Hashable],
    replicates: Sequence[Hashable],
    *,
    kept: Sequence[int] | None = None,
    permutations: int = 999,
    seed: int = 0,
) -> ResultSpread:
    """Holds the spread within classes against that within replicates.

    Args:
        values: one for each candidate; those that are not finite are left out.
        classes: label of each candidate's class.
        replicates: label of its group of replicates, unique within its class.
        kept: the candidates that are no copies, as of `originals`; all by default.
        permutations: of the test; p is at least 1 / (permutations + 1).
        seed: of the permutations.
    """
    import pandas as pd

    frame: Any = pd.DataFrame({"value": values, "outer": classes, "inner": replicates})
    finite = np.isfinite(np.array(values, float))
    exponent = exponent_of(np.array(values, float))  # so that no square overflows
    frame = frame if kept is None else frame.loc[list(kept)]
    frame = frame[finite[frame.index]]
    x = np.ldexp(frame["value"].to_numpy(float), -exponent)
    outer = frame.groupby("outer", sort=False, dropna=False).ngroup().to_numpy()
    inner = frame.groupby(["outer", "inner"], sort=False, dropna=False).ngroup().to_numpy()

    def whole(number: float) -> float:
        with np.errstate(over="ignore"):
            return float(np.ldexp(number, exponent))

    def pooled(groups: NDArray[Any]) -> float:
        freedom = len(x) - len(np.unique(groups))
        return math.sqrt(_squares(x, groups) / freedom) if freedom else math.nan

    results: Any = pd.Series(x).groupby(outer)
    ranges = (results.max() - results.min())[results.size() > 1]
    extra, f, degrees, p = _between_replicates(x, outer, inner, permutations, np.random.default_rng(seed))
    return ResultSpread(
        members=len(x),
        copies=int(finite.sum()) - len(x),
        classes=len(ranges),
        overall=deviation(values),
        within=whole(pooled(outer)),
        median_range=whole(ranges.median()),
        largest_range=whole(ranges.max()),
        replicate=whole(pooled(inner)),
        replicates=int((np.bincount(inner) > 1).sum()),
        extra=whole(extra),
        f=f,
        degrees=degrees,
        p=p,
    )


def _squares(x: Floats, groups: NDArray[Any]) -> float:
    """Sum of squares around the groups' means."""
    means = np.bincount(groups, x) / np.maximum(1, np.bincount(groups))
    return float(((x - means[groups]) ** 2).sum())


def _between_replicates(
    x: Floats, outer: NDArray[Any], inner: NDArray[Any], permutations: int, rng: np.random.Generator
) -> tuple[float, float, tuple[int, int], float]:
    """Extra, f, degrees and p of `ResultSpread`, by the variance components of the nested design.

    Of classes with several groups of replicates, at least one of which has several members. For f and p each
    class is scaled to variance 1, so that no class decides alone.
    """
    members = np.bincount(outer)
    groups = np.bincount(outer[np.unique(inner, return_index=True)[1]], minlength=len(members))
    chosen = ((groups > 1) & (members > groups))[outer]
    if not chosen.any():
        return math.nan, math.nan, (0, 0), math.nan
    x = x[chosen]
    outer, inner = (np.unique(labels[chosen], return_inverse=True)[1] for labels in (outer, inner))
    count = int(inner.max()) + 1
    degrees = (count - int(outer.max()) - 1, len(x) - count)
    within = _squares(x, inner) / degrees[1]
    between = (_squares(x, outer) - _squares(x, inner)) / degrees[0]
    sizes, squares = np.bincount(outer), np.bincount(outer, np.bincount(inner)[inner].astype(float))
    typical = (len(x) - float((squares / sizes).sum())) / degrees[0]  # members behind a group's mean
    extra = math.sqrt(max(0.0, (between - within) / typical))

    centred = x - (np.bincount(outer, x) / sizes)[outer]
    deviations = np.sqrt(np.bincount(outer, centred**2) / np.maximum(1, sizes - 1))
    x = centred / np.where(deviations > 0, deviations, 1.0)[outer]  # one without variance stays at 0
    total = _squares(x, outer)

    def ratio(values: Floats) -> float:
        within = _squares(values, inner)
        return (total - within) / degrees[0] / (within / degrees[1]) if within else math.inf

    observed, reached = ratio(x), 0
    place = np.argsort(outer, kind="stable")
    shuffled = np.empty_like(x)
    for _ in range(permutations):
        shuffled[place] = x[np.lexsort((rng.random(len(x)), outer))]
        reached += ratio(shuffled) >= observed * (1 - 1e-12)
    return extra, observed, degrees, (reached + 1) / (permutations + 1)


def originals(results: Sequence[Sequence[float]], classes: Sequence[Hashable]) -> list[int]:
    """The candidates that do not share two results (of one: that one) with an earlier one of their class.

    Args:
        results: several for each candidate, in the same order for all.
        classes: label of each candidate's class.
    """
    import pandas as pd

    frame = pd.DataFrame(results)
    pairs = combinations(list(frame.columns), min(2, frame.shape[1]))
    frame["class"] = classes
    copied = np.any([frame.duplicated(["class", *pair]) for pair in pairs], axis=0)
    return np.flatnonzero(~copied).tolist()


def differences(values: Sequence[float], groups: Sequence[Hashable]) -> Floats:
    """|difference| of a typical pair of each group, ascending: of its first two distinct finite values."""
    import pandas as pd

    frame = pd.DataFrame({"value": values, "group": groups})
    distinct: Any = frame[np.isfinite(frame["value"])].drop_duplicates()
    grouped = distinct.groupby("group", sort=False, dropna=False)
    return np.sort(np.abs(grouped["value"].diff()[grouped.cumcount() == 1].to_numpy(float)))


def expected_hits(sizes: Sequence[int], *, by_class: bool) -> Iterator[tuple[int, float]]:
    """Share of draws, in percent, that fall on a class met before, after each number of `DRAWS`.

    Args:
        sizes: members of each class.
        by_class: draws are uniform over classes, not over members.
    """
    weights = np.ones(len(sizes)) if by_class else np.array(sizes, float)
    weights /= weights.sum()
    for n in DRAWS:
        distinct = float((1.0 - (1.0 - weights) ** n).sum())
        yield n, 100.0 * (1.0 - distinct / n)


@dataclass(frozen=True, eq=False)
class AuditReport:
    """What an audit was asked for and what its parts and its searches left; all that follows from these."""

    config: Mapping[str, Any]  # of the run, with the section `audit`
    space: SearchSpace
    architectures: Sequence[Architecture]  # the candidates
    table: Evaluator | None  # that looks up their results
    readings: Sequence[AuditedReading]  # what is compared; with `audit.bits` so many of each hasher in a row
    labels: Mapping[str, Sequence[str | None]]  # "hashed, ..", "exact, .." or "counted, .." -> by candidate
    seconds: Mapping[str, float]  # that these labels took together, on one core
    reasons: Mapping[str, str]  # why a candidate has no label, of one of them
    folders: Mapping[tuple[str, float, str], Sequence[Path]]  # searcher, noise, cache -> searches by seed

    def write(self, output: Path) -> tuple[Written, bool]:
        """Writes all files of an audit whose parts are all there; each is replaced as a whole.

        Returns:
            What was written, and whether classes and exact classes agree, if they should.

        Raises:
            StoreError: the log of a search is missing or damaged.
            ConfigError: `output` cannot be written to.
        """
        _ = self.searches
        writer = Writer(output)
        with np.errstate(over="ignore", invalid="ignore"):  # infinite is said as that
            writer.write(self.contents())
            writer.close()
            text = writer.attempt("text on the screen", self.markdown, "")
        sound = all(found.sound for found in self.compared)
        return writer.written(text), sound or not self.section["strict"]

    @property
    def section(self) -> Mapping[str, Any]:
        return self.config["audit"]

    @property
    def title(self) -> str:
        return f"{self.config['name']}: {self.config['hashing']['name']} held against {self.section['exact']}"

    @cached_property
    def compared(self) -> list[PartitionComparison]:
        """Of each reading."""
        return [compare_partitions(self.labels[one.hashed], self.labels[one.exact]) for one in self.readings]

    @cached_property
    def counted(self) -> dict[str, int]:
        """Number of classes of the hashers that are only counted."""
        return {
            column.removeprefix("counted, "): len(set(labels) - {None})
            for column, labels in self.labels.items()
            if column.startswith("counted, ")
        }

    @cached_property
    def replicates(self) -> list[Hashable]:
        """What is one network by every notion of equality that is not the audited hasher's."""
        known = [labels for column, labels in self.labels.items() if not column.startswith("hashed, ")]
        return list(zip(*known, strict=True))

    @cached_property
    def quantities(self) -> dict[str, tuple[str, list[float]]]:
        """The objectives and the reported quantity at every level of the table: unit, and all values.

        None in a study of bits, which are no reading of what is equal.
        """
        found: dict[str, tuple[str, list[float]]] = {}
        if self.table is None or self.section["bits"]:
            return found
        for level in self.table.levels:
            tasks = (Task(0, each, Stage.SEARCH, level, 0) for each in self.architectures)
            results = [carry_out(self.table, task) for task in tasks]
            suffix = f", {level.value:g} {level.name}" if len(self.table.levels) > 1 else ""
            for objective in (*self.table.objectives, self.table.reported):
                values = [r.values.get(objective.name, math.nan) if r.ok else math.nan for r in results]
                found[f"{objective.name.replace('_', ' ')}{suffix}"] = (objective.unit, values)
        return found

    @cached_property
    def spreads(self) -> pd.DataFrame:
        """One row for each reading and quantity, with the attributes of `ResultSpread`."""
        import pandas as pd

        names = [field.name for field in fields(ResultSpread)]
        test = {"permutations": self.section["permutations"], "seed": self.config["seed"]}
        results = list(zip(*(values for _, values in self.quantities.values()), strict=True))
        rows: list[tuple[Any, ...]] = []
        for reading in self.readings if results else ():
            classes = self.labels[reading.hashed]
            kept = [n for n in originals(results, classes) if classes[n] is not None]
            for quantity, (_, values) in self.quantities.items():
                found = spread(values, classes, self.replicates, kept=kept, **test)
                rows.append((reading.name, quantity, *(getattr(found, name) for name in names)))
        return pd.DataFrame(rows, columns=["reading", "quantity", *names])

    @cached_property
    def searches(self) -> pd.DataFrame:
        """One row for each search: searcher, noise, cache, seed and what it found.

        Columns: `trials` that were told, `evaluations` that were carried out, `hit_rate` in percent (NaN
        without a cache), `value` and `reported` of the chosen architecture without noise, looked up in the
        table, and `course`, the hit rate in percent after each number of `DRAWS` that it reached.
        """
        import pandas as pd

        rows: list[dict[str, Any]] = []
        table: Any = self.table
        for kind, folders in self.folders.items():
            for seed, folder in enumerate(folders):
                run = Run.of(read_study(folder))
                ended, cached = run.ended(Stage.SEARCH), usage(run)
                value = reported = hit_rate = math.nan
                if run.chosen is not None:
                    task = Task(0, self.space.parse(run.chosen.architecture), Stage.SEARCH, None, 0)
                    values = carry_out(table, task).values
                    value, reported = values[table.objectives[0].name], values[table.reported.name]
                course: dict[int, float] = {}
                if cached is not None:
                    hit_rate, rates = cached.counts.hit_rate, cached.history.cumulative().tolist()
                    course = {n: rates[n - 1] for n in DRAWS if n <= len(rates)}
                rows.append(
                    {
                        **dict(zip(("searcher", "noise", "cache"), kind, strict=True)),
                        "seed": seed,
                        "trials": len(ended),
                        "evaluations": sum(row.cached_from is None for row in ended),
                        "hit_rate": hit_rate,
                        "value": value,
                        "reported": reported,
                        "course": course,
                    }
                )
        return pd.DataFrame(rows)

    def contents(self) -> Iterator[Output]:
        """All files."""
        yield text_part("audit.md", self.markdown)
        yield text_part("audit.tex", self.latex)
        yield csv_part("audit_classes.csv", self.classes)
        yield csv_part("audit_mismatches.csv", self.mismatches)
        yield csv_part("audit_spreads.csv", lambda: self.spreads)
        if len(self.searches):
            yield csv_part("audit_searches.csv", lambda: self.searches.drop(columns="course"))
        if self.section["bits"]:
            yield from figure_parts("audit_bits", self.bits_figure)
        else:
            yield from figure_parts("audit", self.classes_figure)
        if len(self.searches):
            yield from figure_parts("audit_searches", self.searches_figure)

    def classes(self) -> pd.DataFrame:
        """One row for each architecture: its decisions, its label in every column."""
        import pandas as pd

        decisions = [json.dumps([d.to_json() for d in a.decisions]) for a in self.architectures]
        return pd.DataFrame({"decisions": decisions, **self.labels})

    def mismatches(self) -> pd.DataFrame:
        """One row for each part of each join and split."""
        import pandas as pd

        rows = [
            (reading.name, kind, number, mismatch.label, count, self.architectures[n].text)
            for reading, found in zip(self.readings, self.compared, strict=True)
            for kind, listed in (("join", found.joins), ("split", found.splits))
            for number, mismatch in enumerate(listed)
            for count, n in zip(mismatch.parts, mismatch.examples, strict=True)
        ]
        return pd.DataFrame(rows, columns=["reading", "kind", "number", "class", "members", "example"])

    def grids(self) -> dict[str, list[list[str]]]:
        """Lines of each table by its heading, the head first."""
        count = len(self.architectures)
        head = ["reading", "classes", "exact classes", "a class", "joins", "splits", "no digest"]
        lines = [[*head, "pairs joined", "pairs split", "hashes/s"]]
        for reading, found in zip(self.readings, self.compared, strict=True):
            share = 100 * found.split_pairs / max(1, found.equal_pairs)
            rate = count / max(1e-9, self.seconds[reading.hashed])
            lines.append(
                [
                    *(reading.name, f"{found.hashed:,}", f"{found.exact:,}"),
                    f"{found.members / max(1, found.hashed):.3g}",  # architectures, on average
                    *(f"{len(found.joins):,}", f"{len(found.splits):,}", f"{found.unlabelled:,}"),
                    *(f"{found.joined_pairs:,}", f"{found.split_pairs:,} ({share:.2g} %)", f"{rate:,.0f}"),
                ]
            )
        grids = {"Classes": lines}
        if self.counted:
            rows = {"every architecture by itself": count, **self.counted}.items()
            grids[OTHERS] = [["notion", "classes"], *([label, f"{number:,}"] for label, number in rows)]
        if len(self.spreads):
            head = ["reading", "quantity", "classes", "range", "std in a class", "std trained again"]
            lines = [[*head, "std of all", "beyond training", "F", "p"]]
            for s in self.spreads.to_dict("records"):
                unit, _ = self.quantities[s["quantity"]]
                deviations = (fixed(s[name], 3) for name in ("within", "replicate"))
                ends = f"{fixed(s['median_range'], 2)} (up to {fixed(s['largest_range'], 2)}) {unit}".rstrip()
                lines.append(
                    [
                        *(s["reading"], s["quantity"], f"{s['classes']:,}", ends, *deviations),
                        *(fixed(s["overall"], 2), fixed(s["extra"], 3)),
                        "-" if math.isnan(s["f"]) else f"{s['f']:.2f} {s['degrees']}",
                        format_p(s["p"]),
                    ]
                )
            grids[WITHIN] = lines
        if len(self.searches):
            grids["Searches"], grids[HIT_RATES] = self.search_grids()
        return grids

    def search_grids(self) -> tuple[list[list[str]], list[list[str]]]:
        """One line for each kind of search; hit rates, the expected ones first."""
        table: Any = self.table
        objectives = [objective.name.replace("_", " ") for objective in (table.objectives[0], table.reported)]
        lines = [["searcher", "noise", "cache", "n", "trials", "evaluations", "hits (%)", *objectives, "p"]]
        rates = [["drawn by", *map(str, DRAWS)]]
        sizes = list(Counter(self.labels[self.readings[0].exact]).values())
        for label, by_class in (("uniform over architectures", False), ("uniform over classes", True)):
            rates.append([label, *(f"{rate:.1f}" for _, rate in expected_hits(sizes, by_class=by_class))])
        firsts: dict[tuple[str, float], list[float]] = {}  # values with the first cache
        groups: Any = self.searches.groupby(["searcher", "noise", "cache"], sort=False)
        for (searcher, noise, cache), found in groups:
            values = found["value"].tolist()
            first = firsts.setdefault((searcher, noise), values)
            trials, evaluations, hit_rate, *chosen = (
                [_over_searches(found[name], of) for of in (mean, deviation)]
                for name in ("trials", "evaluations", "hit_rate", "value", "reported")
            )
            lines.append(
                [
                    *(searcher, f"{noise:g}", cache, str(len(found))),
                    *(f"{trials[0]:,.0f}", f"{evaluations[0]:,.0f}", fixed(hit_rate[0], 1)),
                    *(" ± ".join(fixed(number, 2) for number in pair) for pair in chosen),
                    "" if first is values else format_p(rank_test(values, first)[0]),
                ]
            )
            courses = [course for course in found["course"] if course]
            if noise == self.searches["noise"].min() and courses:
                reached = [[course[n] for course in courses if n in course] for n in DRAWS]
                rates.append(
                    [f"{searcher}, {cache}", *(f"{np.mean(its):.1f}" if its else "-" for its in reached)]
                )
        return lines, rates

    def spread_notes(self) -> list[str]:
        """What a reader must know of the spreads; whole sentences."""
        last, exceeding = self.spreads.iloc[-1], self.spreads[self.spreads["p"] < ALPHA]
        verdict = f"Nowhere do classes spread more than training again explains (p >= {ALPHA:g})."
        if len(exceeding):
            share = 100 * (exceeding["extra"] / exceeding["overall"])[exceeding["overall"] > 0].max()
            verdict = (
                f"In {len(exceeding)} of {len(self.spreads)} lines classes spread more than training again "
                f"explains (p < {ALPHA:g}), by at most {share:.1f} % of the standard deviation of all."
            )
        return [
            "Range: median of the classes' ranges, and the largest. Standard deviations are pooled over "
            "groups. Trained again: among architectures that are one network by every other notion here "
            f"({last['replicates']:,} such groups), each trained for itself: with one number for each "
            "architecture in the table, these repetitions are its training seeds.",
            "Architectures that share two results with an earlier one of their class "
            f"({last['copies']:,} in the last line) were trained from the same initial weights in the same "
            "order: they are copies, counted once.",
            "F compares, inside classes, groups of repetitions with one another, each class scaled to "
            "variance 1; p is by permutation within classes. Beyond training: the standard deviation between "
            "such groups that training again does not explain.",
            "Results that are means over several seeds may share a run without being equal, which lets F "
            "exceed 1 where classes are right.",
            verdict,
        ]

    def markdown(self) -> str:
        grids, compared = self.grids(), list(zip(self.readings, self.compared, strict=True))
        wrong = [one.name for one, found in compared if not found.sound]
        verdict = "in every reading the classes are the exact ones: none joined, none split."
        if wrong:
            verdict = f"the classes are not the exact ones in: {'; '.join(wrong)}."
        lines = [f"# {markdown_text(self.title)}", ""]
        lines += [markdown_text(f"{len(self.architectures):,} architectures; {verdict}"), ""]
        for heading in ("## Classes", OTHERS):
            if (grid := grids.get(heading.removeprefix("## "))) is not None:
                lines += [heading, "", *markdown_grid(grid), ""]
        lines += [*markdown_list(self.section["notes"]), ""] if self.section["notes"] else []
        if self.reasons:
            reasons = [f"{column}: {reason}" for column, reason in self.reasons.items()]
            lines += ["Why some have no digest, one of them each", "", *markdown_list(reasons), ""]
        for reading, found in compared if self.section["strict"] else ():
            for kind, listed in (("Joins", found.joins), ("Splits", found.splits)):
                if listed:
                    shown = [self.example(reading, mismatch) for mismatch in listed[:MOST_EXAMPLES]]
                    lines += [f"### {kind}: {markdown_text(reading.name)}", "", *markdown_list(shown), ""]
        if len(self.spreads):
            lines += [f"## {WITHIN}", "", *markdown_grid(grids[WITHIN]), ""]
            lines += [*markdown_list(self.spread_notes()), ""]
        if len(self.searches):
            lines += ["## Searches", "", *markdown_grid(grids["Searches"]), ""]
            lines += [HIT_RATES, "", *markdown_grid(grids[HIT_RATES]), "", *markdown_list(SEARCH_NOTES), ""]
        return "\n".join(lines)

    def latex(self) -> str:
        """The same tables for LaTeX (booktabs)."""
        notes = {"Classes": self.section["notes"], "Searches": SEARCH_NOTES}
        if len(self.spreads):
            notes[WITHIN] = self.spread_notes()
        captions = {"Classes": f"{self.title}: classes"}
        return "\n".join(
            latex_grid(captions.get(heading, heading), lines, notes.get(heading, ()))
            for heading, lines in self.grids().items()
        )

    def example(self, reading: AuditedReading, mismatch: Mismatch) -> str:
        """The parts of a mismatch by their first members: what differs in their texts, and why."""
        architectures = [self.architectures[n] for n in mismatch.examples]
        texts = [architecture.text for architecture in architectures]

        def beginning(texts: Sequence[str]) -> int:
            """Length of what all begin with, but for `AROUND`."""
            letters = enumerate(zip(*texts, strict=False))
            common = next((n for n, each in letters if len(set(each)) > 1), min(map(len, texts)))
            return max(0, common - AROUND)

        start, end = beginning(texts), beginning([text[::-1] for text in texts])
        said = []
        for count, architecture in zip(mismatch.parts, architectures, strict=True):
            core = architecture.text[start : len(architecture.text) - end][:400]
            meaning = reading.explain(architecture)
            said.append(f"{count} like ..{core}..{f' = {meaning}' if meaning else ''}")
        return "; ".join(said[:4]) + ("; and others" if len(said) > 4 else "")

    def classes_figure(self) -> Figure:
        """Bars of classes on the left; beside it, for each quantity, the distribution of differences."""
        from matplotlib.figure import Figure

        columns = len(self.quantities)
        figure = Figure(figsize=(4.6 + 3.2 * columns, 3.8), layout="constrained")
        grid = figure.add_gridspec(1, 1 + columns, width_ratios=[4.6, *[3.2] * columns])
        axes = figure.add_subplot(grid[0])
        bars = [(label, count, RANDOM_COLOUR) for label, count in self.counted.items()]
        for reading, found in zip(self.readings, self.compared, strict=True):
            bars.append((f"hash: {reading.name}", found.hashed, COLOURS[0]))
            bars.append((f"exact: {reading.name}", found.exact, COLOURS[2]))
        bars.sort(key=lambda bar: (bar[1], bar[0]))
        places = range(len(bars))
        axes.barh(places, [count for _, count, _ in bars], color=[colour for *_, colour in bars], height=0.7)
        axes.set_yticks(places, [figure_text(label) for label, *_ in bars], fontsize=7)
        for place, (_, count, _) in enumerate(bars):
            label: dict[str, Any] = {"xytext": (3, 0), "textcoords": "offset points", "va": "center"}
            axes.annotate(f"{count:,}", (count, place), fontsize=7, **label)
        axes.set_xlim(0, 1.18 * max((count for _, count, _ in bars), default=1))
        axes.set_xlabel(f"classes of {len(self.architectures):,} architectures")
        axes.spines[["top", "right"]].set_visible(False)
        one, two = np.random.default_rng(0).integers(len(self.architectures), size=(2, PAIRS))
        for number, (quantity, (unit, results)) in enumerate(self.quantities.items(), start=1):
            axes = figure.add_subplot(grid[number])
            values: Any = np.array(results, float)
            any_two = np.abs(values[one] - values[two])[one != two]
            within = differences(values, self.labels[self.readings[0].hashed])
            for line, gaps, colour, style in (
                ("any two", np.sort(any_two[np.isfinite(any_two)]), RANDOM_COLOUR, ":"),
                ("one class", within, COLOURS[0], "-"),
                ("trained again", differences(values, self.replicates), COLOURS[1], "--"),
            ):
                if len(gaps):
                    share = np.arange(1, len(gaps) + 1) / len(gaps)
                    drawn = np.maximum(gaps, LEAST)
                    axes.step(drawn, share, style, color=colour, where="post", label=line, lw=1.6)
            axes.set_xscale("log")
            axes.set_ylim(0, 1)
            axes.set_xlabel(f"|difference|{f' ({figure_text(unit)})' if unit else ''}")
            axes.set_title(figure_text(quantity), fontsize=9)
            _tidy(axes)
            if number == 1:
                axes.set_ylabel("share of pairs")
                axes.legend(fontsize=7, frameon=False)
        return figure

    def bits_figure(self) -> Figure:
        """Pairs falsely merged, pairs missed and sizes of classes against bits; a line a hasher."""
        from matplotlib.figure import Figure

        bits = self.section["bits"]
        figure = Figure(figsize=(10.5, 3.6), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        for number, start in enumerate(range(0, len(self.compared), len(bits))):
            name = self.readings[start].name.rpartition("bits=")[0].rstrip(", ")
            chosen = self.compared[start : start + len(bits)]
            unequal = [a.members * (a.members - 1) / 2 - a.equal_pairs for a in chosen]
            joined = [100 * a.joined_pairs / max(1, n) for a, n in zip(chosen, unequal, strict=True)]
            split = [100 * a.split_pairs / max(1, a.equal_pairs) for a in chosen]
            size = [a.members / max(1, a.hashed) for a in chosen]
            style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "lw": 1.4, "ms": 4}
            for axes, values in ((left, joined), (middle, split), (right, size)):
                axes.plot(
                    bits, values, "o-", label=figure_text(name or self.config["hashing"]["name"]), **style
                )
        left.set_yscale("symlog", linthresh=1e-6)
        right.set_yscale("log")
        left.set_ylabel("% of pairs that differ")
        middle.set_ylabel("% of pairs that are equal")
        titles = ("false merges", "missed merges", "architectures a class")
        for axes, title in zip((left, middle, right), titles, strict=True):
            axes.set_title(title, fontsize=9)
            axes.set_xlabel("bits of the mantissa")
            _tidy(axes)
        left.legend(fontsize=7, frameon=False)
        return figure

    def searches_figure(self) -> Figure:
        """The value of the choice without its noise against the noise: a panel a searcher, a line a cache."""
        from matplotlib.figure import Figure

        searchers, caches = (list(self.searches[name].unique()) for name in ("searcher", "cache"))
        figure = Figure(figsize=(0.8 + 3.8 * len(searchers), 3.6), layout="constrained")
        panels = dict(zip(searchers, figure.subplots(1, len(searchers), squeeze=False)[0], strict=True))
        groups: Any = self.searches.groupby(["searcher", "cache"], sort=False)
        for (searcher, cache), found in groups:
            number = caches.index(cache)
            noises = found.groupby("noise", sort=False)["value"]
            places = np.arange(noises.ngroups) + 0.06 * (number - len(caches) / 2)
            errors = [_over_searches(values, deviation) / len(values) ** 0.5 for _, values in noises]
            means = [_over_searches(values, mean) for _, values in noises]
            style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "lw": 1.4, "ms": 4}
            axes = panels[searcher]
            axes.errorbar(places, means, errors, fmt="o-", capsize=2, label=figure_text(cache), **style)
            axes.set_xticks(range(noises.ngroups), [f"{noise:g}" for noise, _ in noises])
        for searcher, axes in panels.items():
            axes.set_title(figure_text(searcher), fontsize=9)
            axes.set_xlabel("standard deviation of the noise")
            axes.set_ylabel("chosen, without noise (mean, s.e.)")
            _tidy(axes)
            axes.legend(fontsize=7, frameon=False)
        return figure


def _over_searches(values: Any, summary: Callable[[Any], float]) -> float:
    """Of all searches of a kind; NaN where one of them has no value."""
    return math.nan if values.isna().any() else summary(values)


def _tidy(axes: Any) -> None:
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
