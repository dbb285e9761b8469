"""What the cache of a study did, from its log alone: counts, lines for a run, and the files `cache.*`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.evaluation import Fidelity, Stage
from nas.report.figures import COLOURS, MARKERS, RANDOM_COLOUR, UNITS
from nas.report.output import Output, csv_part, figure_parts, figure_text, text_part
from nas.report.records import Run, method_names, study_names, told_apart
from nas.report.results import ResultTable
from nas.report.statistics import deviation, mean
from nas.report.tables import Table, format_duration, format_value
from nas.study import Lookup
from nas.study.record import TrialRow

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NONE = "-"
UNSTATED = "no reason in the log"
LARGEST = 5  # classes that are listed
REASONS = 10  # kinds that are listed
SHOWN = 3  # reasons and classes in the lines of a run
MAX_POINTS = 1000  # of a line in a figure


@dataclass(frozen=True, slots=True)
class CacheCounts:
    """One run, or as many of its look-ups as there are so far."""

    suggestions: int  # that were looked up
    hits: int  # answered by an evaluation that had ended
    waits: int  # equal to a trial in flight, answered or still waiting
    partial_hits: int  # of a class with fewer evaluations than asked for; evaluated themselves
    misses: int  # the first of their class, or the first since it was forgotten or its evaluation failed
    unhashable: int  # without a digest; evaluated without the cache
    promoted: int  # waited for a trial that failed, then looked up again
    dropped: int  # answers after which their class was forgotten
    classes: int  # distinct digests of function and settings, per fidelity
    saved_evaluations: int  # hits and answered waits
    saved_seconds: float  # cost of the evaluations that answered, the first of its class where several did
    evaluation_seconds: float  # cost of all evaluations of the search
    hashed: int  # suggestions that workers hashed, as far as the log says
    hash_seconds: float  # of all these; NaN without any
    hash_seconds_median: float  # of one; NaN without any

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


def counts(lookups: Sequence[Lookup], trials: Mapping[int, Any]) -> CacheCounts:
    """The numbers of these look-ups.

    Args:
        lookups: of a run.
        trials: all search trials of the run by number, with `fidelity`, `cost_seconds` and `cached_from`.
    """
    outcomes = Counter(lookup.outcome for lookup in lookups)
    answers = [holder for lookup in lookups if (holder := answered_by(lookup, trials)) is not None]
    seconds = [lookup.hash_seconds for lookup in lookups if lookup.hash_seconds is not None]
    return CacheCounts(
        suggestions=len(lookups) - outcomes[None],
        hits=outcomes["hit"],
        waits=outcomes["pending"],
        partial_hits=outcomes["partial"],
        misses=outcomes["miss"],
        unhashable=outcomes["unhashable"],
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


def answered_by(lookup: Lookup, trials: Mapping[int, Any]) -> int | None:
    """The trial whose evaluation stands for this one's; None if it has its own or waits for one."""
    told = trials[lookup.trial].cached_from
    if told is not None:  # not always the one it waited for first, which may have failed
        return told
    return lookup.holder if lookup.outcome == "hit" else None


def class_of(lookup: Lookup, trials: Mapping[int, Any]) -> tuple[str, str, Hashable] | None:
    """What its equals share; None before it is looked up and without a digest."""
    if lookup.outcome is None or lookup.functional is None:
        return None
    return lookup.functional, lookup.settings, trials[lookup.trial].fidelity


@dataclass(frozen=True, slots=True)
class CacheClass:
    """Suggestions that the cache took for one."""

    head: str  # kind and first digits of the digests, and the fidelity if it is not the full one
    suggestions: int  # how many
    evaluations: int  # that completed
    value: float  # first objective, as the last of its suggestions was told; NaN before that


@dataclass(frozen=True, slots=True, eq=False)
class CacheHistory:
    """The cache over time, in seconds; of the look-ups, then of the events that cost or saved something."""

    answered: NDArray[np.bool_]  # of each suggestion in the order of look-ups, whether it was a hit or a wait
    clock: Floats  # of the executor at these look-ups, never falling
    spent: Floats  # on evaluation and hashing, after each event
    saved: Floats  # likewise
    hashing: Floats  # spent on hashing alone, likewise

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
class CacheUsage:
    """What the cache did in a run."""

    run: Run
    hashing: str  # name of the hasher
    options: Mapping[str, Any]  # of hasher and cache, as configured
    simulated: bool  # whether seconds are those of a simulated clock
    counts: CacheCounts
    reasons: tuple[tuple[str, int], ...]  # why candidates had no digest, most frequent first, and how many
    largest: tuple[CacheClass, ...]  # at most `LARGEST`, of at least two suggestions
    history: CacheHistory


def usage(run: Run) -> CacheUsage | None:
    """What the cache did; None where no suggestion was hashed or looked up."""
    lookups = run.record.lookups
    if not lookups:
        return None
    trials = {row.number: row for row in run.stages[Stage.SEARCH]}
    reasons = Counter(lookup.reason or UNSTATED for lookup in lookups if lookup.outcome == "unhashable")
    return CacheUsage(
        run=run,
        hashing=str(run.opened.get("hashing", "")),
        options={**(run.opened.get("hashing_options") or {}), **(run.opened.get("cache") or {})},
        simulated=run.section("executor").get("name") == "simulated",
        counts=counts(lookups, trials),
        reasons=tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        largest=_largest_classes(lookups, trials, run.objective.name),
        history=_history(lookups, trials),
    )


def _largest_classes(
    lookups: Sequence[Lookup], trials: Mapping[int, TrialRow], objective: str
) -> tuple[CacheClass, ...]:
    """Those with most suggestions, of equal ones the first; e.g. "network 0f3a9c21/17bd62a0 at epochs=4"."""
    members = [(lookup, key) for lookup in lookups if (key := class_of(lookup, trials)) is not None]
    found = []
    for key, size in Counter(key for _, key in members).most_common(LARGEST):
        if size < 2:
            continue
        evaluations, value = 0, math.nan
        for lookup, its in members:
            row = trials[lookup.trial]
            if its == key and row.ok:
                evaluations += answered_by(lookup, trials) is None
                value = (row.told or row.values or {}).get(objective, math.nan)
        functional, settings, fidelity = key
        kind, colon, rest = functional.partition(":")
        head = f"{kind} " * bool(colon) + (rest if colon else kind).rpartition(":")[2][:8]
        head += f"/{settings.rpartition(':')[2][:8]}" if settings else ""
        head += f" at {fidelity.name}={fidelity.value:g}" if isinstance(fidelity, Fidelity) else ""
        found.append(CacheClass(head, size, evaluations, value))
    return tuple(found)


def _history(lookups: Sequence[Lookup], trials: Mapping[int, TrialRow]) -> CacheHistory:
    asked = [lookup for lookup in lookups if lookup.outcome is not None]
    # moment; 0 for what was spent, which comes before what that saved; seconds spent, saved, and of hashing
    account = [
        (row.finished, 0, row.cost_seconds, 0.0, 0.0)
        for row in trials.values()
        if row.finished is not None and row.cached_from is None
    ]
    for lookup in lookups:
        if lookup.hash_seconds:
            account.append((lookup.clock, 0, lookup.hash_seconds, 0.0, lookup.hash_seconds))
        holder = answered_by(lookup, trials)
        if holder is not None:
            told = trials[lookup.trial].finished
            moment = lookup.clock if told is None else told
            account.append((moment, 1, 0.0, trials[holder].cost_seconds, 0.0))
    sums = np.cumsum(np.array([item[2:] for item in sorted(account)], float).reshape(-1, 3), axis=0)
    return CacheHistory(
        answered=np.array([lookup.is_answered for lookup in asked], bool),
        clock=np.array([lookup.clock for lookup in asked], float),
        spent=sums[:, 0],
        saved=sums[:, 1],
        hashing=sums[:, 2],
    )


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


def lines(run: Run) -> list[str]:
    """What the cache did in a run so far; nothing without a cache."""
    found = usage(run)
    if found is None:
        return []
    c, history = found.counts, found.history
    rate = ""
    if c.suggestions:
        rate = f", hit rate {format_percent(c.hit_rate)} %"
        if history.window < c.suggestions:
            recent = format_percent(float(history.rolling()[-1]))
            rate += f", of the last {history.window} {recent} %"
    clock = "simulated, " if found.simulated else ""
    hashing = ""
    if c.hashed:
        middle, share = format_seconds(c.hash_seconds_median), format_percent(c.hash_share)
        hashing = (
            f"; hashing took {format_seconds(c.hash_seconds)}, median {middle}, {share} % of the evaluations"
        )
    said = [
        f"  cache ({found.hashing}): {c.suggestions} looked up: hits {c.hits}, waits {c.waits}, partial "
        f"{c.partial_hits}, misses {c.misses}, unhashable {c.unhashable}{rate}",
        f"  saved {c.saved_evaluations} evaluation{'s' * (c.saved_evaluations != 1)}, "
        f"{format_duration(c.saved_seconds)} ({clock}{format_duration(c.evaluation_seconds)} spent){hashing}",
    ]
    if found.reasons:
        said.append(f"  unhashable: {_listed(found.reasons, SHOWN)}")
    if c.classes:
        objective = found.run.objective
        largest = [
            f"{group.head} {group.suggestions} times "
            f"({format_value(group.value, objective) if group.evaluations else 'not evaluated'})"
            for group in found.largest[:SHOWN]
        ]
        shown = f"the largest: {'; '.join(largest)}" if largest else "none of them twice"
        said.append(f"  classes {c.classes}, {shown}")
    return said


def _listed(reasons: Sequence[tuple[str, int]], most: int) -> str:
    """The most frequent reasons with their numbers, and how many more there are."""
    listed = [f"{number} x {reason}" for reason, number in reasons[:most]]
    more = len(reasons) - len(listed)
    return "; ".join([*listed, *[f"and {more} other reasons"] * (more > 0)])


def _count(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else f"{value:.1f}"


CacheColumn = tuple[str, str, Callable[[float], str]]  # head, name in `CacheCounts.numbers`, how written
LOOKUPS_TITLE = "Suggestions and the cache"
LOOKUPS = (
    ("suggestions", "suggestions", _count),
    ("hits", "hits", _count),
    ("waits", "waits", _count),
    ("partial", "partial_hits", _count),
    ("misses", "misses", _count),
    ("unhashable", "unhashable", _count),
    ("hit rate (%)", "hit_rate_percent", "{:.1f}".format),
    ("classes", "classes", _count),
)
LOOKUPS_NOTES = (
    "Hits: answered by an evaluation that had ended. Waits: equal to a trial in flight. Partial: equal to "
    "one that had been evaluated, but less often than asked for, so evaluated as well. Misses: the first of "
    "their class, or the first since it was forgotten or its evaluation failed. Unhashable: without a "
    "digest, so evaluated without the cache. Hit rate: hits and waits among all suggestions looked up.",
    "Class: suggestions with equal digests of function and of training settings, at one fidelity.",
)
SAVINGS_TITLE = "What the cache saved and what hashing took"
SAVINGS = (
    ("evaluations saved", "saved_evaluations", _count),
    ("time saved", "saved_seconds", format_duration),
    ("time of evaluation", "evaluation_seconds", format_duration),
    ("hashing", "hash_seconds", format_seconds),
    ("a hash, median", "hash_seconds_median", format_seconds),
    ("of evaluation (%)", "hash_percent", format_percent),
)
SAVINGS_NOTES = (
    "Evaluations saved: hits, and waits that were answered. Time saved: the cost of the evaluation that "
    "answered (of its class's first, where several did), for each of them; work, not time waited for. Time "
    "of evaluation: cost of the search trials that were evaluated. Hashing: by workers, the median of one, "
    "and the share of the time of evaluation; "
    f"{NONE} for hashers so quick that no worker is asked.",
)
MEANS_NOTE = "Several seeds: mean ± sample standard deviation."


def cells(runs: Sequence[Mapping[str, float]], columns: Sequence[CacheColumn]) -> tuple[str, ...]:
    """One cell for each column: the number of a single run, mean ± standard deviation of several.

    Args:
        runs: `CacheCounts.numbers` of each.
        columns: of the table.
    """
    found = []
    for _, name, text in columns:
        values = [numbers[name] for numbers in runs]
        middle, std = mean(values), deviation(values)  # over the runs that have a number
        if math.isnan(middle):
            found.append(NONE)
        elif math.isnan(std):
            found.append(text(middle))
        else:
            text = "{:.1f}".format if text is _count else text
            found.append(f"{text(middle)} ± {text(std)}")
    return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class CacheRow:
    """A run, or all runs of a method with one hasher and different seeds."""

    method: str
    hashing: str  # with options that tell it from others of that name
    which: str  # the run among several of its method; empty for the only one
    study: str | None  # name of its folder; None for several
    usages: tuple[CacheUsage, ...]  # of these runs; of several the first of each seed

    @property
    def title(self) -> str:
        return ", ".join(filter(None, (self.method, self.hashing, self.which)))

    @property
    def numbers(self) -> list[dict[str, float]]:
        """Of each run."""
        return [use.counts.numbers() for use in self.usages]


@dataclass(frozen=True, slots=True, eq=False)
class CacheTable:
    """All runs of one setting that have a cache."""

    setting: str  # the space and the evaluator, in words
    number: int  # of the result table of this setting, from 1
    rows: tuple[CacheRow, ...]  # of each method with one hasher its runs, then several seeds together

    @property
    def runs(self) -> list[tuple[CacheRow, CacheUsage]]:
        """The rows of single runs."""
        return [(row, row.usages[0]) for row in self.rows if row.study is not None]


def cache_tables(tables: Sequence[ResultTable]) -> list[CacheTable]:
    """One for each result table with runs that have a cache."""
    found = []
    for number, table in enumerate(tables, start=1):
        methods = method_names(table.runs)
        used = [(use, method) for run, method in zip(table.runs, methods, strict=True) if (use := usage(run))]
        if not used:
            continue
        hashers = told_apart([(use.hashing, use.options) for use, _ in used])
        studies = study_names(use.run.record.directory for use, _ in used)
        groups: dict[tuple[str, str], list[tuple[CacheUsage, str]]] = {}
        for (use, method), hashing, study in zip(used, hashers, studies, strict=True):
            groups.setdefault((method, hashing), []).append((use, study))
        rows: list[CacheRow] = []
        for (method, hashing), runs in groups.items():
            seeds = Counter(use.run.opened["seed"] for use, _ in runs)
            for use, study in runs:
                seed = use.run.opened["seed"]
                which = f"seed {seed}" + f" ({study})" * (seeds[seed] > 1) if len(runs) > 1 else ""
                rows.append(CacheRow(method, hashing, which, study, (use,)))
            if len(seeds) > 1:
                first = {use.run.opened["seed"]: use for use, _ in reversed(runs)}
                its = tuple(first[seed] for seed in seeds)
                rows.append(CacheRow(method, hashing, f"{len(its)} runs", None, its))
        found.append(CacheTable(table.setting, number, tuple(rows)))
    return found


def sheets(table: CacheTable) -> list[Table]:
    """Look-ups and savings; the largest classes where there are any."""
    told: list[str] = []  # what the columns leave out
    for row, use in table.runs:
        for words, number in (
            ("waited for one that failed, so looked up again", use.counts.promoted),
            ("answers after which their class was forgotten", use.counts.dropped),
            ("unhashable", _listed(use.reasons, REASONS)),
        ):
            told += [f"{row.title}: {words}: {number}."] if number else []
    clocks = []
    simulated = {use.simulated for _, use in table.runs}
    if True in simulated:
        which = "Of runs with the executor simulated, seconds" if False in simulated else "Seconds"
        clocks.append(
            f"{which} are those of a simulated clock, those of hashing as cache.hash_seconds charges them."
        )
    means = [MEANS_NOTE] * any(row.study is None for row in table.rows)
    found = []
    for title, columns, notes in (
        (LOOKUPS_TITLE, LOOKUPS, (*LOOKUPS_NOTES, *told)),
        (SAVINGS_TITLE, SAVINGS, (*SAVINGS_NOTES, *clocks)),
    ):
        header = ("run", *(head for head, *_ in columns))
        rows = tuple((row.title, *cells(row.numbers, columns)) for row in table.rows)
        found.append(Table(f"{title}: {table.setting}", header, rows, notes=(*notes, *means), small=True))
    most = None if len(table.runs) == 1 else 1  # of several runs the largest class each
    groups = [(row, use, group) for row, use in table.runs for group in use.largest[:most]]
    if groups:
        rows = tuple(
            (
                *(row.title, group.head, str(group.suggestions), str(group.evaluations)),
                format_value(group.value, use.run.objective) if group.evaluations else NONE,
            )
            for row, use, group in groups
        )
        note = (
            f"Value: {groups[0][1].run.objective.name}, as the last of its suggestions was told. Class: "
            "kind and first digits of its digest, after a stroke those of the training settings."
        )
        header = ("run", "class", "suggestions", "evaluations", "value")
        found.append(Table(f"Largest classes: {table.setting}", header, rows, notes=(note,), small=True))
    return found


def text(tables: Sequence[CacheTable]) -> str:
    """All tables as Markdown."""
    return "\n".join(sheet.markdown() for table in tables for sheet in sheets(table))


def cache_frame(tables: Sequence[CacheTable]) -> pd.DataFrame:
    """One row for each run, then two for each method over several seeds: the mean and the deviation."""
    import pandas as pd

    records: list[dict[str, Any]] = []
    for table in tables:
        for row in table.rows:
            use, numbers = row.usages[0], row.numbers
            same = {"setting": table.setting, "method": row.method, "hashing": row.hashing}
            same["clock"] = "simulated" if use.simulated else "real"
            if row.study is not None:
                own = {"kind": "run", "study": row.study, "seed": use.run.opened["seed"], "runs": 1}
                largest = use.largest[0] if use.largest else None
                facts = {  # which have no mean
                    "largest_class": largest.head if largest else None,
                    "largest_class_suggestions": largest.suggestions if largest else None,
                    "reasons": _listed(use.reasons, len(use.reasons)) or None,
                }
                records.append({**own, **same, **numbers[0], **facts})
                continue
            for kind, summary in (("mean", mean), ("std", deviation)):
                own = {"kind": kind, "study": None, "seed": None, "runs": len(row.usages)}
                found = {name: summary([one[name] for one in numbers]) for name in numbers[0]}
                records.append({**own, **same, **found})
    return pd.DataFrame(records, dtype=object)  # whole numbers stay whole beside means


def contents(tables: Sequence[ResultTable]) -> Iterator[Output]:
    """The files of all runs with a cache; none without one."""
    found = cache_tables(tables)
    if not found:
        return
    yield text_part("cache.md", partial(text, found))
    yield text_part("cache.tex", lambda: "\n".join(one.latex() for table in found for one in sheets(table)))
    yield csv_part("cache.csv", partial(cache_frame, found))
    for table in found:
        suffix = "" if table.number == 1 else f"_{table.number}"
        yield from figure_parts(f"cache{suffix}", partial(cache_figure, table))


WIDTH = 7.0  # inches, of the figure
FONT = 8.0
LETTER = 0.055  # inches, mean width of a letter
ROLLING: dict[str, Any] = {"ls": "--", "lw": 1.0, "alpha": 0.8}
EQUAL: dict[str, Any] = {"color": RANDOM_COLOUR, "lw": 0.8, "ls": (0, (1, 2))}
HASHING: dict[str, Any] = {"ls": "-.", "lw": 1.2}


def cache_figure(table: CacheTable) -> Figure:
    """Hit rates, cumulative and rolling, and what was saved; of several runs of a method the medians.

    Thin lines are single runs. A median goes as far as the shortest run.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(WIDTH, 6.2), layout="constrained")
    panels = figure.subplot_mosaic([["trials", "clock"], ["saved", "saved"]])
    groups: dict[str, list[CacheHistory]] = {}
    for row, use in table.runs:
        groups.setdefault(figure_text(f"{row.method}, {row.hashing}"), []).append(use.history)
    histories = [history for its in groups.values() for history in its]
    longest = max((float(h.clock[-1]) for h in histories if h.clock.size), default=0.0)
    spent = max((float(h.spent[-1]) for h in histories if h.spent.size), default=0.0)
    (clock_unit, clock_scale), (unit, scale) = (
        next(((name, size) for name, size in UNITS if seconds >= 2 * size), UNITS[-1])
        for seconds in (longest, spent)  # in the largest unit of which there are at least two
    )
    for axes, x, y in (
        (panels["trials"], "suggestions looked up", "hit rate (%)"),
        (panels["clock"], f"clock ({clock_unit})", "hit rate (%)"),
        (panels["saved"], f"spent on evaluation and hashing ({unit})", f"saved ({unit})"),
    ):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=FONT)
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel(x, fontsize=FONT + 1)
        axes.set_ylabel(y, fontsize=FONT + 1)
    for index, (label, its) in enumerate(groups.items()):
        colour = COLOURS[index % len(COLOURS)]
        marked = {"lw": 1.8, "marker": MARKERS[index % len(MARKERS)], "ms": 4, "markevery": 0.11}
        name = label if len(its) == 1 else f"{label}: median of {len(its)} runs"
        asked = [history for history in its if history.answered.size]
        for axes, xs in (
            (panels["trials"], [np.arange(1.0, h.answered.size + 1) for h in asked]),
            (panels["clock"], [h.clock / clock_scale for h in asked]),
        ):
            rates = [(x, h.cumulative()) for x, h in zip(xs, asked, strict=True)]
            rolling = [(x, h.rolling()) for x, h in zip(xs, asked, strict=True)]
            _draw_runs(axes, rates, name, colour, marked)
            _draw_runs(axes, rolling, f"rolling, {label}", colour, ROLLING)
        paid = [history for history in its if history.spent.size]
        saved = [(h.spent / scale, h.saved / scale) for h in paid]
        _draw_runs(panels["saved"], saved, name, colour, marked)
        hashed = [(h.spent / scale, h.hashing / scale) for h in paid if h.hashing[-1] > 0]
        _draw_runs(panels["saved"], hashed, f"hashing, {label}", colour, HASHING)
    for axes in (panels["trials"], panels["clock"]):
        axes.set_ylim(-2, 102)
    low, high = panels["saved"].get_ylim()
    end = spent / scale  # the line on which as much is saved as spent, as far as it is in view
    panels["saved"].plot((0, end), (0, end), scalex=False, scaley=False, **EQUAL)
    panels["saved"].set_ylim(min(low, 0.0), high)
    for axes in figure.axes:
        axes.set_xlim(left=0)
    # the legend: the methods, then what the other lines are
    handles, labels = panels["saved"].get_legend_handles_labels()
    methods = [(h, name) for h, name in zip(handles, labels, strict=True) if not name.startswith("hashing, ")]
    windows = sorted({history.window for history in histories})
    last = f"last {windows[0]}" if len(windows) == 1 else f"last {windows[0]} to {windows[-1]}"
    others = [(ROLLING, f"hit rate of the {last}"), (EQUAL, "as much saved as spent")]
    if len(methods) < len(labels):
        others.insert(1, (HASHING, "spent on hashing"))
    grey = [(Line2D([], [], **{"color": RANDOM_COLOUR, **look}), name) for look, name in others]
    shown = [*methods, *grey]
    columns = max(1, int(WIDTH / (LETTER * max(len(name) for _, name in shown) + 0.55)))
    style: dict[str, Any] = {"fontsize": FONT, "frameon": False, "loc": "outside lower center"}
    figure.legend(*zip(*shown, strict=True), ncols=columns, **style)
    return figure


def _draw_runs(
    axes: Axes, runs: Sequence[tuple[Floats, Floats]], label: str, colour: str, style: Mapping[str, Any]
) -> None:
    """The line of the only run; of several their median, where all have a value; marked, all of them."""

    def thinned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Evenly `MAX_POINTS` of them, the first and the last included."""
        places = np.unique(np.linspace(0, x.size - 1, min(x.size, MAX_POINTS)).round().astype(np.int64))
        return x[places], y[places]

    if not runs:
        return
    x, y = thinned(*runs[0])
    if len(runs) > 1:
        for line in runs if "marker" in style else ():
            axes.step(*thinned(*line), where="post", color=colour, lw=0.6, alpha=0.4)
        first, last = max(x[0] for x, _ in runs), min(x[-1] for x, _ in runs)
        grid = np.unique(np.concatenate([*(x for x, _ in runs), [first, last]]))
        grid = grid[(grid >= first) & (grid <= max(first, last))]
        x, _ = thinned(grid, grid)
        y = np.median([y[np.searchsorted(its, x, side="right") - 1] for its, y in runs], axis=0)
    axes.step(x, y, where="post", label=label, color=colour, **style)
