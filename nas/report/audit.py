"""Two partitions of the same candidates: which classes of one join several of the other, or are split.

The labels of an audit: which hashers give them, and what all parts of it say.

Spread of measured results within classes, beside that of one network trained again and that of all.

A table with one number for each candidate still holds repetitions: candidates that are the same network by
every notion of equality that is known (`replicate`), each trained for itself. Where initial weights and
randomness were drawn alike too, a repetition gives the same number to the last digit and is none. Such
copies are counted once: of the members of a class that have two results in common, one. (Two, because one may
be equal by chance, and because a mean over several seeds may share a run without being equal.)

Searches with a cache under noise: searchers x noise x caches x seeds, and their outcome.

The error study of Gillard et al. 2023 (https://arxiv.org/abs/2302.05433): what the cache answers with is
frozen noise, which a mean of several evaluations (M) or forgetting (F) loosens. All have one budget.

What an audit found: classes of each reading, other counts, spreads of results within classes.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.errors import ConfigError
from nas.evaluation import Evaluation, Objective, Stage, Task, carry_out, exponent_of
from nas.report import Run, deviation, mean, rank_test
from nas.report.cache import usage
from nas.study import read_study

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nas.run.config import Config

    Floats = NDArray[np.float64]
    Numbers = NDArray[np.int64]
    import numpy as np

    from nas.evaluation import Evaluator, Fidelity
    from nas.run.config import AuditSection
    from nas.space import Architecture, SearchSpace


Label = Hashable | None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A class of one partition that holds members of several classes of the other.

    Attributes:
        label: of the class.
        parts: number of members of each class of the other, largest first.
        examples: the first member of each of them, in that order.
    """

    label: Label
    parts: tuple[int, ...]
    examples: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HashAgreement:
    """A partition by a hash beside the exact one.

    Attributes:
        members: candidates that both have a class for.
        unlabelled: candidates that either has none for; they enter no other number.
        hashed: number of classes of the hash.
        exact: number of exact classes.
        joins: classes of the hash with members of several exact ones: false merges.
        splits: exact classes with members in several classes of the hash: missed merges.
        joined_pairs: pairs of members that the hash alone takes for equal.
        split_pairs: pairs that are equal and that the hash tells apart.
        equal_pairs: pairs that are equal.
    """

    members: int
    unlabelled: int
    hashed: int
    exact: int
    joins: tuple[Mismatch, ...]
    splits: tuple[Mismatch, ...]
    joined_pairs: int
    split_pairs: int
    equal_pairs: int

    @property
    def sound(self) -> bool:
        """Whether both are the same partition of all candidates."""
        return not (self.joins or self.splits or self.unlabelled)


def compare(hashed: Sequence[Label], exact: Sequence[Label]) -> HashAgreement:
    """Holds the labels of a hash against the exact ones, candidate by candidate; None: no label."""
    known = [n for n, pair in enumerate(zip(hashed, exact, strict=True)) if None not in pair]
    first = {n: hashed[n] for n in known}
    second = {n: exact[n] for n in known}
    same_hash, same_exact = _pairs(first.values()), _pairs(second.values())
    both = _pairs((first[n], second[n]) for n in known)
    return HashAgreement(
        len(known),
        len(hashed) - len(known),
        len(set(first.values())),
        len(set(second.values())),
        _mixed(first, second),
        _mixed(second, first),
        same_hash - both,
        same_exact - both,
        same_exact,
    )


def _pairs(labels: object) -> int:
    return sum(count * (count - 1) // 2 for count in Counter(labels).values())  # type: ignore[arg-type]


def _mixed(classes: Mapping[int, Label], others: Mapping[int, Label]) -> tuple[Mismatch, ...]:
    """The classes with members of several others, those with most such others first."""
    parts: dict[Label, dict[Label, list[int]]] = defaultdict(lambda: defaultdict(list))
    for member, label in classes.items():
        parts[label][others[member]].append(member)
    found = []
    for label, inside in parts.items():
        if len(inside) > 1:
            ordered = sorted(inside.values(), key=lambda part: (-len(part), part[0]))
            found.append(Mismatch(label, tuple(map(len, ordered)), tuple(part[0] for part in ordered)))
    return tuple(sorted(found, key=lambda mismatch: (-len(mismatch.parts), mismatch.examples)))


@dataclass(frozen=True, slots=True)
class Reading:
    """What is taken for equal: options that the audited and the exact hasher share.

    Attributes:
        name: "zero=trained, scale=kept".
        audited: section of the audited hasher.
        exact: section of the exact one.
    """

    name: str
    audited: Mapping[str, Any]
    exact: Mapping[str, Any]

    @property
    def columns(self) -> tuple[str, str]:
        """Names of its two columns of labels."""
        return f"hashed, {self.name}", _named("exact", self.exact)


def readings_of(config: Config) -> tuple[Reading, ...]:
    """All combinations of the listed options; `audit.bits` for the audited hasher alone.

    Raises:
        ConfigError: an option without a list of values.
    """
    section, options = config.audit, config.audit.readings
    for option, values in options.items():
        if not isinstance(values, list | tuple) or not values:
            raise ConfigError(f"audit.readings.{option}: expected a list of values, got {values!r}")
    found = []
    for values in product(*options.values()):
        shared = dict(zip(options, values, strict=True))
        for bits in section.bits or [None]:
            own = {} if bits is None else {"bits": bits}
            exact = {"name": section.exact, **shared}
            name = _named("", {**shared, **own})
            found.append(Reading(name, {**config.hashing, **shared, **own}, exact))
    return (*found, *_beside(config))


def _beside(config: Config) -> Iterator[Reading]:
    """The other audited hashers, which have no shared options: held against the first exact reading."""
    section = config.audit
    shared = {option: values[0] for option, values in section.readings.items()}
    for label, audited in section.beside.items():
        for bits in section.bits or [None]:
            own = {} if bits is None else {"bits": bits}
            exact = {"name": section.exact, **shared}
            yield Reading(_named(label, own), {**audited, **own}, exact)


def _named(head: str, options: Mapping[str, Any]) -> str:
    """`head, zero=trained, bits=8`; `default` of nothing."""
    stated = [f"{key}={value}" for key, value in options.items() if key != "name"]
    return ", ".join(filter(None, [head, *stated])) or "default"


def columns_of(config: Config) -> dict[str, Mapping[str, Any]]:
    """Name of each column of labels -> section of its hasher."""
    columns: dict[str, Mapping[str, Any]] = {}
    for reading in readings_of(config):
        columns |= dict(zip(reading.columns, (reading.audited, reading.exact), strict=True))
    return columns | {f"counted, {label}": section for label, section in config.audit.counted.items()}


@dataclass(frozen=True, slots=True)
class Labels:
    """What all parts say.

    Attributes:
        columns: name -> a label, or None, for each candidate.
        seconds: name -> time that its labels took together, on one core.
        reasons: name -> why a candidate has no label, of one of them.
    """

    columns: Mapping[str, Sequence[str | None]]
    seconds: Mapping[str, float]
    reasons: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Spread:
    """How far results differ.

    Attributes:
        members: candidates, exact copies left out.
        copies: candidates left out.
        classes: with at least two members.
        overall: standard deviation over all candidates, copies included.
        within: standard deviation within classes, pooled (each class's own mean, its degrees of freedom).
        median_range: of the classes' ranges, and `largest_range`.
        replicate: standard deviation within replicates, pooled: one network trained again.
        replicates: groups of at least two.
        extra: standard deviation between the means of a class's groups of replicates beyond what
            `replicate` explains (variance components of the nested design; 0 where it explains all).
        f: mean square between groups of replicates within a class over that within groups; each class is
            scaled to variance 1 first, so that no class decides alone.
        degrees: of freedom of its numerator and its denominator.
        p: of the permutation test: results change places within each class. NaN without groups to compare.
    """

    members: int
    copies: int
    classes: int
    overall: float
    within: float
    median_range: float
    largest_range: float
    replicate: float
    replicates: int
    extra: float
    f: float
    degrees: tuple[int, int]
    p: float


def spread(
    values: Sequence[float],
    classes: Sequence[Hashable],
    replicates: Sequence[Hashable],
    *,
    kept: Sequence[int] | None = None,
    permutations: int = 999,
    seed: int = 0,
) -> Spread:
    """Holds the spread within classes against that within replicates.

    Args:
        values: one for each candidate; those that are not finite are left out.
        classes: label of each candidate's class.
        replicates: label of its group of replicates, unique within its class.
        kept: the candidates that are no copies, as of `originals`; all by default.
        permutations: of the test; p is at least 1 / (permutations + 1).
        seed: of the permutations.
    """
    everything = [n for n, value in enumerate(values) if math.isfinite(value)]
    kept = everything if kept is None else [n for n in kept if math.isfinite(values[n])]
    exponent = exponent_of(np.array(values, float))  # so that no square overflows
    x = np.ldexp(np.array([values[n] for n in kept], float), -exponent)

    def whole(number: float) -> float:
        with np.errstate(over="ignore"):
            return float(np.ldexp(number, exponent))

    outer = _numbers([classes[n] for n in kept])
    inner = _numbers([(classes[n], replicates[n]) for n in kept])
    ranges = _ranges(x, outer)
    within, replicate = _pooled(x, outer), _pooled(x, inner)
    f, degrees, p = _test(x, outer, inner, permutations, np.random.default_rng(seed))
    return Spread(
        len(x),
        len(everything) - len(x),
        len(ranges),
        deviation([values[n] for n in everything]),
        whole(within),
        whole(float(np.median(ranges))) if len(ranges) else math.nan,
        whole(float(np.max(ranges))) if len(ranges) else math.nan,
        whole(replicate),
        int((np.bincount(inner) > 1).sum()),
        whole(_extra(x, outer, inner)),
        f,
        degrees,
        p,
    )


def originals(results: Sequence[Sequence[float]], classes: Sequence[Hashable]) -> list[int]:
    """The candidates that do not share two results (of one: that one) with an earlier one of their class.

    Args:
        results: several for each candidate, in the same order for all.
        classes: label of each candidate's class.
    """
    seen: set[Hashable] = set()
    kept = []
    for n, (row, label) in enumerate(zip(results, classes, strict=True)):
        placed = list(enumerate(row))
        keys = [(label, *pair) for pair in combinations(placed, min(2, len(placed)))]
        if seen.isdisjoint(keys):
            kept.append(n)
        seen.update(keys)
    return kept


def differences(values: Sequence[float], groups: Sequence[Hashable]) -> Floats:
    """|difference| of a typical pair of each group: of its first two distinct finite values."""
    first: dict[Hashable, float] = {}
    found: dict[Hashable, float] = {}
    for value, group in zip(values, groups, strict=True):
        if math.isfinite(value) and group not in found and first.setdefault(group, value) != value:
            found[group] = abs(value - first[group])
    return np.sort(np.array(list(found.values()), float))


def _numbers(labels: Sequence[Hashable]) -> Numbers:
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(label, len(known)) for label in labels], np.int64)


def _squares(x: Floats, groups: Numbers) -> float:
    """Sum of squares around the groups' means."""
    counts = np.bincount(groups)
    means = np.bincount(groups, x) / np.maximum(1, counts)
    return float(((x - means[groups]) ** 2).sum())


def _pooled(x: Floats, groups: Numbers) -> float:
    freedom = len(x) - len(np.unique(groups))
    return math.sqrt(_squares(x, groups) / freedom) if freedom else math.nan


def _ranges(x: Floats, groups: Numbers) -> Floats:
    """Largest minus smallest value of each group of two and more."""
    order = np.argsort(groups, kind="stable")
    bounds = np.flatnonzero(np.diff(groups[order], prepend=-1))
    if not len(bounds):
        return np.array([])
    widths = np.maximum.reduceat(x[order], bounds) - np.minimum.reduceat(x[order], bounds)
    return widths[np.bincount(groups)[np.unique(groups)] > 1]


def _comparable(outer: Numbers, inner: Numbers) -> NDArray[np.bool_]:
    """Members of classes with several groups of replicates, at least one of which has several members."""
    members = np.bincount(outer)
    groups = np.bincount(outer[np.unique(inner, return_index=True)[1]], minlength=len(members))
    return ((groups > 1) & (members > groups))[outer]


def _extra(x: Floats, outer: Numbers, inner: Numbers) -> float:
    chosen = _comparable(outer, inner)
    if not chosen.any():
        return math.nan
    x, outer, inner = x[chosen], outer[chosen], inner[chosen]
    sizes = np.bincount(inner)[np.unique(inner)]
    groups, classes = len(sizes), len(np.unique(outer))
    within = _squares(x, inner) / (len(x) - groups)
    between = (_squares(x, outer) - _squares(x, inner)) / (groups - classes)
    squares = np.bincount(outer, np.bincount(inner)[inner].astype(float))  # sum of squared sizes, by class
    totals = np.bincount(outer)
    share = float((squares[totals > 0] / totals[totals > 0]).sum())
    typical = (len(x) - share) / (groups - classes)  # members behind a group's mean
    return math.sqrt(max(0.0, (between - within) / typical))


def _test(
    x: Floats, outer: Numbers, inner: Numbers, permutations: int, rng: np.random.Generator
) -> tuple[float, tuple[int, int], float]:
    chosen = _comparable(outer, inner)
    if not chosen.any():
        return math.nan, (0, 0), math.nan
    outer, inner = _numbers(outer[chosen].tolist()), _numbers(inner[chosen].tolist())
    x = _scaled(x[chosen], outer)
    groups, classes = int(inner.max()) + 1, int(outer.max()) + 1
    degrees = (groups - classes, len(x) - groups)
    total = _squares(x, outer)
    place = np.argsort(outer, kind="stable")

    def ratio(values: Floats) -> float:
        within = _squares(values, inner)
        return (total - within) / degrees[0] / (within / degrees[1]) if within else math.inf

    observed, reached = ratio(x), 0
    shuffled = np.empty_like(x)
    for _ in range(permutations):
        shuffled[place] = x[np.lexsort((rng.random(len(x)), outer))]
        reached += ratio(shuffled) >= observed * (1 - 1e-12)
    return observed, degrees, (reached + 1) / (permutations + 1)


def _scaled(x: Floats, groups: Numbers) -> Floats:
    """Values with mean 0 and variance 1 in each group; one without variance stays at 0."""
    counts = np.bincount(groups)
    centred = x - (np.bincount(groups, x) / counts)[groups]
    deviations = np.sqrt(np.bincount(groups, centred**2) / np.maximum(1, counts - 1))
    return centred / np.where(deviations > 0, deviations, 1.0)[groups]


STUDIES = "studies"
DRAWS = (10, 50, 100, 200, 500, 1000, 2000)  # after which hit rates are told


@dataclass(frozen=True, slots=True)
class Condition:
    """What the searches of one kind have in common."""

    searcher: str
    noise: float
    cache: str

    @property
    def folder(self) -> str:
        return f"{self.searcher}_noise{self.noise:g}_{self.cache}".replace("/", "-").replace(" ", "")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One search.

    Attributes:
        trials: that were told.
        evaluations: that were carried out.
        hit_rate: in percent; NaN without a cache.
        value: of the chosen architecture, without noise: the first objective.
        reported: likewise, the reported quantity.
        course: hit rate in percent after each number of `DRAWS` that it reached.
    """

    trials: int
    evaluations: int
    hit_rate: float
    value: float
    reported: float
    course: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class AuditedStudy:
    """The searches of one condition.

    Attributes:
        p: of the two-sided rank test of `value` against the first cache under the same searcher and noise;
            NaN for that one.
    """

    condition: Condition
    outcomes: tuple[Outcome, ...]
    p: float

    def mean(self, name: str) -> float:
        return mean(self._values(name))

    def std(self, name: str) -> float:
        """Sample standard deviation (n - 1); NaN below two."""
        return deviation(self._values(name))

    def _values(self, name: str) -> list[float]:
        """Of all searches; none where one of them has none."""
        values = [getattr(outcome, name) for outcome in self.outcomes]
        return [] if any(map(math.isnan, values)) else values


def conditions(section: AuditSection) -> tuple[Condition, ...]:
    """All of them, noise outermost: searches with equal noise share a table in their process."""
    found = product(section.noise, section.searchers, section.caches)
    return tuple(Condition(searcher, noise, cache) for noise, searcher, cache in found)


def read_studies(config: Config, folder: Path, space: SearchSpace, table: Evaluator) -> list[AuditedStudy]:
    """What all searches found, values without noise looked up in the table."""
    found: dict[Condition, tuple[Outcome, ...]] = {}
    for condition in conditions(config.audit):
        parent = folder / STUDIES / condition.folder
        runs = (Run.of(read_study(parent / str(seed))) for seed in range(config.audit.seeds))
        found[condition] = tuple(_outcome(run, space, table) for run in runs)
    return [AuditedStudy(condition, outcomes, _p(condition, found)) for condition, outcomes in found.items()]


def _p(condition: Condition, found: Mapping[Condition, Sequence[Outcome]]) -> float:
    first = next(c for c in found if (c.searcher, c.noise) == (condition.searcher, condition.noise))
    if first == condition:
        return math.nan
    return rank_test(*([outcome.value for outcome in found[c]] for c in (condition, first)))[0]


def _outcome(run: Run, space: SearchSpace, table: Evaluator) -> Outcome:
    rows = run.ended(Stage.SEARCH)
    cached = usage(run)
    value = reported = math.nan
    if run.chosen is not None:
        task = Task(0, space.parse(run.chosen.architecture), Stage.SEARCH, None, 0)
        values = carry_out(table, task).values
        value, reported = values[table.objectives[0].name], values[table.reported.name]
    course = [] if cached is None else cached.course.cumulative().tolist()
    return Outcome(
        len(rows),
        sum(row.cached_from is None for row in rows),
        math.nan if cached is None else cached.counts.hit_rate,
        value,
        reported,
        {n: course[n - 1] for n in DRAWS if n <= len(course)},
    )


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


PAIRS = 20_000  # random pairs of candidates, for the figure


@dataclass(frozen=True, slots=True)
class MeasuredQuantity:
    """One measured result of every candidate.

    Attributes:
        name: "test_accuracy, 200 epochs".
        unit: "" for none.
        values: NaN where there is none.
    """

    name: str
    unit: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Gaps:
    """|difference| of one pair of each group, ascending: of a class, of replicates, of any two candidates."""

    quantity: MeasuredQuantity
    within: NDArray[np.float64]
    replicate: NDArray[np.float64]
    overall: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that the report says.

    Attributes:
        candidates: how many there are.
        readings: with the agreement of each.
        rates: hashes a second on one core, by reading.
        counted: number of classes of the other hashers, by label.
        spreads: by reading and quantity, in their order.
        gaps: of the first reading.
        studies: searches under noise.
        sizes: members of each exact class of the first reading.
    """

    candidates: int
    readings: Sequence[tuple[Reading, HashAgreement]]
    rates: Sequence[float]
    counted: Mapping[str, int]
    spreads: Sequence[tuple[Reading, MeasuredQuantity, Spread]]
    gaps: Sequence[Gaps]
    studies: Sequence[AuditedStudy]
    sizes: Sequence[int]

    @property
    def sound(self) -> bool:
        """Whether no reading has a join, a split or a candidate without a digest."""
        return all(agreement.sound for _, agreement in self.readings)


def find(
    config: Config,
    labels: Labels,
    architectures: Sequence[Architecture],
    table: Evaluator | None,
    studies: Sequence[AuditedStudy] = (),
) -> Findings:
    """Works out all findings from the labels."""
    readings = [(reading, _agreement(reading, labels)) for reading in readings_of(config)]
    counted = {
        column.removeprefix("counted, "): len(set(found) - {None})
        for column, found in labels.columns.items()
        if column.startswith("counted, ")
    }
    rates = [len(architectures) / max(1e-9, labels.seconds[reading.columns[0]]) for reading, _ in readings]
    measured = table is not None and not config.audit.bits  # bits are no reading of what is equal
    quantities = quantities_of(table, architectures) if table is not None and measured else []
    replicates = _replicates(labels)
    spreads = list(_spreads(config, labels, quantities, replicates))
    gaps = [_gaps(quantity, labels, readings[0][0], replicates) for quantity in quantities]
    sizes = list(Counter(labels.columns[readings[0][0].columns[1]]).values())
    return Findings(len(architectures), readings, rates, counted, spreads, gaps, studies, sizes)


def quantities_of(table: Evaluator, architectures: Sequence[Architecture]) -> list[MeasuredQuantity]:
    """The objectives and the reported quantity at every level of a table."""
    asked: dict[str, Objective] = {o.name: o for o in (*table.objectives, table.reported)}
    found = []
    for level in table.levels:
        results = [_evaluate(table, architecture, level) for architecture in architectures]
        suffix = f", {level.value:g} {level.name}" if len(table.levels) > 1 else ""
        for name, objective in asked.items():
            values = [result.values.get(name, math.nan) if result.ok else math.nan for result in results]
            found.append(MeasuredQuantity(f"{name.replace('_', ' ')}{suffix}", objective.unit, values))
    return found


def _evaluate(table: Evaluator, architecture: Architecture, level: Fidelity) -> Evaluation:
    return carry_out(table, Task(0, architecture, Stage.SEARCH, level, 0))


def _agreement(reading: Reading, labels: Labels) -> HashAgreement:
    hashed, exact = (labels.columns[column] for column in reading.columns)
    return compare(hashed, exact)


def _replicates(labels: Labels) -> list[Hashable]:
    """One network by every notion of equality here that does not come from the audited hasher."""
    known = [found for column, found in labels.columns.items() if not column.startswith("hashed, ")]
    return list(zip(*known, strict=True))


def _spreads(
    config: Config, labels: Labels, quantities: Sequence[MeasuredQuantity], replicates: Sequence[Hashable]
) -> Any:
    results = list(zip(*(quantity.values for quantity in quantities), strict=True))
    for reading in readings_of(config) if quantities else ():
        classes = labels.columns[reading.columns[0]]
        kept = [n for n in originals(results, classes) if classes[n] is not None]
        for quantity in quantities:
            found = spread(
                quantity.values,
                classes,
                replicates,
                kept=kept,
                permutations=config.audit.permutations,
                seed=config.seed,
            )
            yield reading, quantity, found


def _gaps(
    quantity: MeasuredQuantity, labels: Labels, reading: Reading, replicates: Sequence[Hashable]
) -> Gaps:
    import numpy as np

    values = np.array(quantity.values, float)
    rng = np.random.default_rng(0)
    pairs = rng.integers(len(values), size=(2, PAIRS))
    overall = np.abs(values[pairs[0]] - values[pairs[1]])[pairs[0] != pairs[1]]
    return Gaps(
        quantity,
        differences(quantity.values, labels.columns[reading.columns[0]]),
        differences(quantity.values, replicates),
        np.sort(overall[np.isfinite(overall)]),
    )
