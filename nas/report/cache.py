"""The numbers of a cache: how its look-ups ended, what they saved, what hashing took.

One run and its cache: Usage, with reasons, the largest classes and the course over time.

Columns of the two tables of a cache: what became of the suggestions, and what that saved.

The cache in tables: a row for each run and, over several seeds, for each method.

What a report says of the cache: lines for a run, and the files `cache.*`.

The figure of a cache: hit rate over suggestions and clock, seconds saved against seconds spent.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np

from nas.evaluation import Fidelity, Stage
from nas.report import (
    COLOURS,
    MARKERS,
    RANDOM_COLOUR,
    UNITS,
    Output,
    ResultTable,
    Run,
    Table,
    csv_part,
    deviation,
    figure_parts,
    figure_text,
    format_duration,
    format_value,
    mean,
    method_names,
    study_names,
    text_part,
    told_apart,
)
from nas.study import HIT, MISS, PARTIAL, PENDING, UNHASHABLE, Lookup, TrialRow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class SearchTrial(Protocol):
    """What the numbers need of a search trial."""

    @property
    def fidelity(self) -> Hashable: ...

    @property
    def cost_seconds(self) -> float: ...

    @property
    def cached_from(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Counts:
    """One run, or as many of its look-ups as there are so far.

    Attributes:
        suggestions: that were looked up.
        hits: answered by an evaluation that had ended.
        waits: equal to a trial in flight, answered or still waiting.
        partial_hits: of a class with fewer evaluations than asked for; evaluated themselves.
        misses: the first of their class, or the first since it was forgotten or its evaluation failed.
        unhashable: without a digest; evaluated without the cache.
        promoted: waited for a trial that failed, then looked up again.
        dropped: answers after which their class was forgotten.
        classes: distinct digests of function and settings, per fidelity.
        saved_evaluations: hits and answered waits.
        saved_seconds: the cost of the evaluation that answered, the first of its class where several did,
            summed over these.
        evaluation_seconds: cost of all evaluations of the search.
        hashed: suggestions that workers hashed, as far as the log says.
        hash_seconds: of all these; NaN without any, as what follows.
        hash_seconds_median: of one.
    """

    suggestions: int
    hits: int
    waits: int
    partial_hits: int
    misses: int
    unhashable: int
    promoted: int
    dropped: int
    classes: int
    saved_evaluations: int
    saved_seconds: float
    evaluation_seconds: float
    hashed: int
    hash_seconds: float
    hash_seconds_median: float

    @property
    def hit_rate(self) -> float:
        """Hits and waits among the suggestions, in percent; NaN without suggestions."""
        return 100 * (self.hits + self.waits) / self.suggestions if self.suggestions else math.nan

    @property
    def hash_share(self) -> float:
        """Seconds of hashing, in percent of those of evaluation; NaN where either is unknown or nothing."""
        return 100 * self.hash_seconds / self.evaluation_seconds if self.evaluation_seconds else math.nan

    def numbers(self) -> dict[str, float]:
        """All of them by name, the two percentages last."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**own, "hit_rate_percent": self.hit_rate, "hash_percent": self.hash_share}


def counts(lookups: Sequence[Lookup], trials: Mapping[int, SearchTrial]) -> Counts:
    """The numbers of these look-ups.

    Args:
        lookups: of a run.
        trials: all search trials of the run by number.
    """
    outcomes = Counter(lookup.outcome for lookup in lookups)
    answers = [found for lookup in lookups if (found := answer(lookup, trials)) is not None]
    seconds = [lookup.hash_seconds for lookup in lookups if lookup.hash_seconds is not None]
    return Counts(
        suggestions=len(lookups) - outcomes[None],
        hits=outcomes[HIT],
        waits=outcomes[PENDING],
        partial_hits=outcomes[PARTIAL],
        misses=outcomes[MISS],
        unhashable=outcomes[UNHASHABLE],
        promoted=sum(lookup.promoted for lookup in lookups),
        dropped=sum(lookup.dropped for lookup in lookups),
        classes=len({key for lookup in lookups if (key := class_of(lookup, trials)) is not None}),
        saved_evaluations=len(answers),
        saved_seconds=sum(trials[holder].cost_seconds for holder in answers),
        evaluation_seconds=sum(trial.cost_seconds for trial in trials.values()),
        hashed=len(seconds),
        hash_seconds=sum(seconds) if seconds else math.nan,
        hash_seconds_median=median(seconds) if seconds else math.nan,
    )


def answer(lookup: Lookup, trials: Mapping[int, SearchTrial]) -> int | None:
    """The trial whose evaluation stands for this one's; None if it has its own or waits for one."""
    told = trials[lookup.trial].cached_from
    if told is not None:  # not always the one it waited for first, which may have failed
        return told
    return lookup.holder if lookup.outcome == HIT else None


def class_of(lookup: Lookup, trials: Mapping[int, SearchTrial]) -> tuple[str, str, Hashable] | None:
    """What its equals share; None before it is looked up and without a digest."""
    if lookup.outcome is None or lookup.functional is None:
        return None
    return lookup.functional, lookup.settings, trials[lookup.trial].fidelity


LARGEST = 5  # classes that are listed
UNSTATED = "no reason in the log"


@dataclass(frozen=True, slots=True)
class Group:
    """Suggestions that the cache took for one.

    Attributes:
        head: kind and first digits of the digests, and the fidelity if it is not the full one.
        suggestions: how many.
        evaluations: that completed.
        value: first objective, as the last of its suggestions was told; NaN before that.
    """

    head: str
    suggestions: int
    evaluations: int
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """The cache over time.

    Attributes:
        answered: of each suggestion in the order of the look-ups, whether it was a hit or a wait.
        clock: moments of these look-ups, never falling, in seconds on the executor's clock.
        spent: seconds of evaluation and hashing after each event that changed them or `saved`.
        saved: seconds saved, likewise.
        hashing: seconds of hashing alone, likewise.
    """

    answered: NDArray[np.bool_]
    clock: Floats
    spent: Floats
    saved: Floats
    hashing: Floats

    @property
    def window(self) -> int:
        """Suggestions over which the rolling rate is taken: the twentieth part, at least 10."""
        return max(10, math.ceil(self.answered.size / 20))

    def cumulative(self) -> Floats:
        """Hit rate of all suggestions so far, in percent."""
        return 100 * np.cumsum(self.answered) / np.arange(1, self.answered.size + 1)

    def rolling(self) -> Floats:
        """Hit rate of the last `window` suggestions, in percent; of all so far where there are fewer."""
        total = np.concatenate([[0], np.cumsum(self.answered)])
        ends = np.arange(1, self.answered.size + 1)
        begins = np.maximum(ends - self.window, 0)
        return 100 * (total[ends] - total[begins]) / (ends - begins)


@dataclass(frozen=True, slots=True, eq=False)
class Usage:
    """What the cache did in a run.

    Attributes:
        hashing: name of the hasher.
        options: those of hasher and cache, as configured.
        simulated: whether seconds are those of a simulated clock.
        reasons: why candidates had no digest, most frequent first, with their numbers.
        largest: at most `LARGEST` classes, of at least two suggestions.
    """

    run: Run
    hashing: str
    options: Mapping[str, Any]
    simulated: bool
    counts: Counts
    reasons: tuple[tuple[str, int], ...]
    largest: tuple[Group, ...]
    course: Course


def usage(run: Run) -> Usage | None:
    """What the cache did; None where no suggestion was hashed or looked up."""
    lookups = run.record.lookups
    if not lookups:
        return None
    trials = {row.number: row for row in run.stages[Stage.SEARCH]}
    reasons = Counter(lookup.reason or UNSTATED for lookup in lookups if lookup.outcome == UNHASHABLE)
    return Usage(
        run=run,
        hashing=str(run.opened.get("hashing", "")),
        options=_options(run.opened),
        simulated=run.section("executor").get("name") == "simulated",
        counts=counts(lookups, trials),
        reasons=tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        largest=_largest(lookups, trials, run.objective.name),
        course=_course(lookups, trials),
    )


def _options(opened: Mapping[str, Any]) -> dict[str, Any]:
    return {**(opened.get("hashing_options") or {}), **(opened.get("cache") or {})}


def _largest(lookups: Sequence[Lookup], trials: Mapping[int, TrialRow], objective: str) -> tuple[Group, ...]:
    """The classes with most suggestions, of equal ones the first."""
    members = [(lookup, key) for lookup in lookups if (key := class_of(lookup, trials)) is not None]
    sizes = [(key, n) for key, n in Counter(key for _, key in members).most_common(LARGEST) if n > 1]
    evaluations = dict.fromkeys((key for key, _ in sizes), 0)
    values = dict.fromkeys(evaluations, math.nan)
    for lookup, key in members:
        row = trials[lookup.trial]
        if key in values and row.ok:
            evaluations[key] += answer(lookup, trials) is None
            values[key] = (row.told or row.values or {}).get(objective, math.nan)
    return tuple(Group(_head(*key), size, evaluations[key], values[key]) for key, size in sizes)


def _head(functional: str, settings: str, fidelity: Hashable) -> str:
    """E.g. "network 0f3a9c21 at epochs=4", with "/" and the settings where there are any."""
    kind, colon, rest = functional.partition(":")
    digits = (rest if colon else kind).rpartition(":")[2][:8]
    beside = f"/{settings.rpartition(':')[2][:8]}" if settings else ""
    at = f" at {fidelity.name}={fidelity.value:g}" if isinstance(fidelity, Fidelity) else ""
    return f"{kind} {digits}{beside}{at}" if colon else f"{digits}{beside}{at}"


def _course(lookups: Sequence[Lookup], trials: Mapping[int, TrialRow]) -> Course:
    asked = [lookup for lookup in lookups if lookup.outcome is not None]
    # what was spent at a moment comes before what that saved
    account = [(row.finished, 0, row.cost_seconds, 0.0, 0.0) for row in trials.values() if _is_own(row)]
    for lookup in lookups:
        if lookup.hash_seconds:
            account.append((lookup.clock, 0, lookup.hash_seconds, 0.0, lookup.hash_seconds))
        holder = answer(lookup, trials)
        if holder is not None:
            told = trials[lookup.trial].finished
            moment = lookup.clock if told is None else told
            account.append((moment, 1, 0.0, trials[holder].cost_seconds, 0.0))
    sums = np.cumsum(np.array([item[2:] for item in sorted(account)], float).reshape(-1, 3), axis=0)
    return Course(
        answered=np.array([lookup.is_answered for lookup in asked], bool),
        clock=np.array([lookup.clock for lookup in asked], float),
        spent=sums[:, 0],
        saved=sums[:, 1],
        hashing=sums[:, 2],
    )


def _is_own(row: TrialRow) -> bool:
    """Whether it ended by an evaluation of its own."""
    return row.finished is not None and row.cached_from is None


NONE = "-"
Numbers = Mapping[str, Sequence[float]]  # of `Counts.numbers`, one for each run


def format_seconds(seconds: float) -> str:
    """As `format_duration`, with milli- and microseconds, as most hashes take no longer."""
    if math.isnan(seconds) or seconds >= 0.9995 or seconds == 0:
        return format_duration(seconds)
    return f"{seconds * 1e3:.3g} ms" if seconds >= 0.9995e-3 else f"{seconds * 1e6:.3g} us"


def format_percent(percent: float) -> str:
    """One decimal; two digits of what is smaller than 1 %."""
    if math.isnan(percent):
        return NONE
    return f"{percent:.1f}" if percent >= 1 or percent == 0 else f"{percent:.2g}"


def _count(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else f"{value:.1f}"


def _rate(percent: float) -> str:
    return f"{percent:.1f}"


class Column(NamedTuple):
    """One number in a table: head, name in `Counts.numbers`, how it is written."""

    head: str
    name: str
    text: Callable[[float], str]


LOOKUPS = (
    Column("suggestions", "suggestions", _count),
    Column("hits", "hits", _count),
    Column("waits", "waits", _count),
    Column("partial", "partial_hits", _count),
    Column("misses", "misses", _count),
    Column("unhashable", "unhashable", _count),
    Column("hit rate (%)", "hit_rate_percent", _rate),
    Column("classes", "classes", _count),
)
SAVINGS = (
    Column("evaluations saved", "saved_evaluations", _count),
    Column("time saved", "saved_seconds", format_duration),
    Column("time of evaluation", "evaluation_seconds", format_duration),
    Column("hashing", "hash_seconds", format_seconds),
    Column("a hash, median", "hash_seconds_median", format_seconds),
    Column("of evaluation (%)", "hash_percent", format_percent),
)
LOOKUPS_TITLE = "Suggestions and the cache"
SAVINGS_TITLE = "What the cache saved and what hashing took"
LOOKUPS_NOTES = (
    "Hits: answered by an evaluation that had ended. Waits: equal to a trial in flight. Partial: equal to "
    "one that had been evaluated, but less often than asked for, so evaluated as well. Misses: the first of "
    "their class, or the first since it was forgotten or its evaluation failed. Unhashable: without a "
    "digest, so evaluated without the cache. Hit rate: hits and waits among all suggestions looked up.",
    "Class: suggestions with equal digests of function and of training settings, at one fidelity.",
)
SAVINGS_NOTES = (
    "Evaluations saved: hits, and waits that were answered. Time saved: the cost of the evaluation that "
    "answered (of its class's first, where several did), for each of them; work, not time waited for. Time "
    "of evaluation: cost of the search trials that were evaluated. Hashing: by workers, the median of one, "
    "and the share of the time of evaluation; "
    f"{NONE} for hashers so quick that no worker is asked.",
)
MEANS_NOTE = "Several seeds: mean ± sample standard deviation."


def cells(numbers: Numbers, columns: Sequence[Column]) -> tuple[str, ...]:
    """One cell for each column: the number of a single run, mean ± standard deviation of several."""
    return tuple(_cell(numbers[column.name], column.text) for column in columns)


def mean_and_std(values: Sequence[float]) -> tuple[float, float]:
    """Over the runs that have a number; NaN without any, and for the deviation below two."""
    return mean(values), deviation(values)


def by_name(runs: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Numbers of runs as columns."""
    return {name: [numbers[name] for numbers in runs] for name in (runs[0] if runs else ())}


def _cell(values: Sequence[float], text: Callable[[float], str]) -> str:
    middle, std = mean_and_std(values)
    if math.isnan(middle):
        return NONE
    if math.isnan(std):
        return text(middle)
    return f"{middle:.1f} ± {std:.1f}" if text is _count else f"{text(middle)} ± {text(std)}"


REASONS = 10  # kinds that are listed


@dataclass(frozen=True, slots=True, eq=False)
class CacheRow:
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
    rows: tuple[CacheRow, ...]

    @property
    def runs(self) -> list[CacheRow]:
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
    return [*made, *_class_tables(table)]


def long_table(tables: Sequence[CacheTable]) -> pd.DataFrame:
    """One row for each run, then two for each method over several seeds: the mean and the deviation."""
    import pandas as pd

    records = [record for table in tables for record in _records(table)]
    return pd.DataFrame(records, dtype=object)  # whole numbers stay whole beside means


def _rows(used: Sequence[tuple[Usage, str]]) -> Iterator[CacheRow]:
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
            yield CacheRow("run", label, hashing, which if len(runs) > 1 else "", study, (use,))
        if len(seeds) > 1:
            first = {use.run.opened["seed"]: use for use, _ in reversed(runs)}  # of each seed
            its = tuple(first[seed] for seed in seeds)
            yield CacheRow("runs", label, hashing, f"{len(its)} runs", "", its)


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


def _class_tables(table: CacheTable) -> list[Table]:
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


SHOWN = 3  # reasons and classes in the lines of a run


def lines(run: Run) -> list[str]:
    """What the cache did in a run so far; nothing without a cache."""
    found = usage(run)
    if found is None:
        return []
    return [_looked_up(found), _saved(found), *_unhashable(found), *_classes(found)]


def text(tables: Sequence[CacheTable]) -> str:
    """All tables as Markdown."""
    return "\n".join(sheet.markdown() for table in tables for sheet in sheets(table))


def contents(tables: Sequence[ResultTable]) -> Iterator[Output]:
    """The files of all runs with a cache; none without one."""
    found = cache_tables(tables)
    if not found:
        return
    yield text_part("cache.md", partial(text, found))
    yield text_part("cache.tex", lambda: "\n".join(one.latex() for table in found for one in sheets(table)))
    yield csv_part("cache.csv", partial(long_table, found))
    for table in found:
        suffix = "" if table.number == 1 else f"_{table.number}"
        yield from figure_parts(f"cache{suffix}", partial(cache_figure, table))


def _looked_up(found: Usage) -> str:
    c, course = found.counts, found.course
    parts = [
        *(f"hits {c.hits}", f"waits {c.waits}", f"partial {c.partial_hits}", f"misses {c.misses}"),
        f"unhashable {c.unhashable}",
    ]
    rate = ""
    if c.suggestions:
        recent = f", of the last {course.window} {format_percent(float(course.rolling()[-1]))} %"
        overall = f", hit rate {format_percent(c.hit_rate)} %"
        rate = overall + recent * (course.window < c.suggestions)
    return f"  cache ({found.hashing}): {c.suggestions} looked up: {', '.join(parts)}{rate}"


def _saved(found: Usage) -> str:
    c = found.counts
    clock = "simulated, " if found.simulated else ""
    spent = f"{format_duration(c.saved_seconds)} ({clock}{format_duration(c.evaluation_seconds)} spent)"
    said = f"  saved {c.saved_evaluations} evaluation{'s' * (c.saved_evaluations != 1)}, {spent}"
    if not c.hashed:
        return said
    share = format_percent(c.hash_share)
    median = f"median {format_seconds(c.hash_seconds_median)}"
    return f"{said}; hashing took {format_seconds(c.hash_seconds)}, {median}, {share} % of the evaluations"


def _unhashable(found: Usage) -> list[str]:
    if not found.reasons:
        return []
    listed = [f"{number} x {reason}" for reason, number in found.reasons[:SHOWN]]
    more = len(found.reasons) - len(listed)
    return [f"  unhashable: {'; '.join([*listed, *[f'and {more} other reasons'] * (more > 0)])}"]


def _classes(found: Usage) -> list[str]:
    number = found.counts.classes
    if not number:
        return []
    largest = "; ".join(_class(group, found) for group in found.largest[:SHOWN])
    return [f"  classes {number}, " + (f"the largest: {largest}" if largest else "none of them twice")]


def _class(group: Group, found: Usage) -> str:
    value = format_value(group.value, found.run.objective) if group.evaluations else "not evaluated"
    return f"{group.head} {group.suggestions} times ({value})"


Line = tuple["Floats", "Floats"]
Look = dict[str, Any]
WIDTH = 7.0  # inches
MAX_POINTS = 1000  # of a line
FONT = 8.0
LETTER = 0.055  # inches, mean width of a letter
ROLLING: Look = {"ls": "--", "lw": 1.0, "alpha": 0.8}
EQUAL: Look = {"color": RANDOM_COLOUR, "lw": 0.8, "ls": (0, (1, 2))}
HASHING: Look = {"ls": "-.", "lw": 1.2}


def cache_figure(table: CacheTable) -> Figure:
    """Hit rates, cumulative and rolling, and what was saved; of several runs of a method the medians.

    Thin lines are single runs. A median goes as far as the shortest run.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 6.2), layout="constrained")
    panels = figure.subplot_mosaic([["trials", "clock"], ["saved", "saved"]])
    for each in panels.values():
        _prepare(each)
    groups = _groups(table)
    courses = [course for its in groups.values() for course in its]
    clock = max((float(c.clock[-1]) for c in courses if c.clock.size), default=0.0)
    spent = max((float(c.spent[-1]) for c in courses if c.spent.size), default=0.0)
    clock_unit, clock_scale = _unit(clock)
    unit, scale = _unit(spent)
    for index, (label, its) in enumerate(groups.items()):
        look = {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}
        _draw_rates(panels["trials"], its, look, label, _by_suggestions)
        _draw_rates(panels["clock"], its, look, label, lambda c: c.clock / clock_scale)
        _draw_saved(panels["saved"], its, look, label, scale)
    _name(panels["trials"], "suggestions looked up", "hit rate (%)")
    _name(panels["clock"], f"clock ({clock_unit})", "hit rate (%)")
    _name(panels["saved"], f"spent on evaluation and hashing ({unit})", f"saved ({unit})")
    for each in (panels["trials"], panels["clock"]):
        each.set_ylim(-2, 102)
    _finish(figure, panels["saved"], spent / scale)
    _legend(figure, panels["saved"], courses)
    return figure


def _groups(table: CacheTable) -> dict[str, list[Course]]:
    """The runs of each method and hasher."""
    groups: dict[str, list[Course]] = {}
    for row in table.runs:
        groups.setdefault(figure_text(f"{row.label}, {row.hashing}"), []).append(row.usages[0].course)
    return groups


def _by_suggestions(course: Course) -> Floats:
    return np.arange(1.0, course.answered.size + 1)


def _draw_rates(
    axes: Axes, courses: Sequence[Course], look: Look, label: str, x: Callable[[Course], Floats]
) -> None:
    used = [course for course in courses if course.answered.size]
    _draw(axes, [(x(c), c.cumulative()) for c in used], look, _summed(label, len(courses)))
    _draw_one(axes, [(x(c), c.rolling()) for c in used], f"rolling, {label}", look["color"], ROLLING)


def _draw_saved(axes: Axes, courses: Sequence[Course], look: Look, label: str, scale: float) -> None:
    used = [course for course in courses if course.spent.size]
    _draw(axes, [(c.spent / scale, c.saved / scale) for c in used], look, _summed(label, len(courses)))
    hashed = [(c.spent / scale, c.hashing / scale) for c in used if c.hashing[-1] > 0]
    _draw_one(axes, hashed, f"hashing, {label}", look["color"], HASHING)


def _draw(axes: Axes, lines: Sequence[Line], look: Look, label: str) -> None:
    """A line with marks for a single run; thin lines with their median for several."""
    if len(lines) > 1:
        for line in lines:
            axes.step(*_thinned(*line), where="post", color=look["color"], lw=0.6, alpha=0.4)
    marks = {"marker": look["marker"], "ms": 4, "markevery": 0.11}
    _draw_one(axes, lines, label, look["color"], {"lw": 1.8, **marks})


def _draw_one(axes: Axes, lines: Sequence[Line], label: str, colour: str, style: Look) -> None:
    """The only line, or the median of several."""
    if lines:
        x, y = _median(lines) if len(lines) > 1 else _thinned(*lines[0])
        axes.step(x, y, where="post", label=label, color=colour, **style)


def _median(lines: Sequence[Line]) -> Line:
    """Where all runs have a value."""
    first, last = max(x[0] for x, _ in lines), min(x[-1] for x, _ in lines)
    grid = np.unique(np.concatenate([*(x for x, _ in lines), [first, last]]))
    grid = grid[(grid >= first) & (grid <= max(first, last))]
    grid = grid[_places(grid.size)]
    return grid, np.median([y[np.searchsorted(x, grid, side="right") - 1] for x, y in lines], axis=0)


def _thinned(x: Floats, y: Floats) -> Line:
    places = _places(x.size)
    return x[places], y[places]


def _places(size: int) -> NDArray[np.int64]:
    """All places, or `MAX_POINTS` of them evenly, the first and the last included."""
    return np.unique(np.linspace(0, size - 1, min(size, MAX_POINTS)).round().astype(np.int64))


def _summed(label: str, runs: int) -> str:
    return label if runs == 1 else f"{label}: median of {runs} runs"


def _unit(seconds: float) -> tuple[str, float]:
    """The largest unit of which there are at least two."""
    return next(((name, size) for name, size in UNITS if seconds >= 2 * size), UNITS[-1])


def _prepare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=FONT)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _name(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=FONT + 1)
    axes.set_ylabel(y, fontsize=FONT + 1)


def _finish(figure: Figure, saved: Axes, end: float) -> None:
    """The line on which as much is saved as spent, as far as it is in view."""
    low, high = saved.get_ylim()
    saved.plot((0, end), (0, end), scalex=False, scaley=False, **EQUAL)
    saved.set_ylim(min(low, 0.0), high)
    for each in figure.axes:
        each.set_xlim(left=0)


def _legend(figure: Figure, saved: Axes, courses: Sequence[Course]) -> None:
    """The methods, then what the other lines are."""
    from matplotlib.lines import Line2D

    handles, labels = saved.get_legend_handles_labels()
    methods = [(h, name) for h, name in zip(handles, labels, strict=True) if not name.startswith("hashing, ")]
    windows = sorted({course.window for course in courses})
    last = f"last {windows[0]}" if len(windows) == 1 else f"last {windows[0]} to {windows[-1]}"
    others = [(ROLLING, f"hit rate of the {last}"), (EQUAL, "as much saved as spent")]
    if len(methods) < len(labels):
        others.insert(1, (HASHING, "spent on hashing"))
    grey = [(Line2D([], [], **{"color": RANDOM_COLOUR, **look}), name) for look, name in others]
    shown = [*methods, *grey]
    columns = max(1, int(WIDTH / (LETTER * max(len(name) for _, name in shown) + 0.55)))
    style: Look = {"fontsize": FONT, "frameon": False, "loc": "outside lower center"}
    figure.legend(*zip(*shown, strict=True), ncols=columns, **style)
