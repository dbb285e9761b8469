"""Columns of the two tables of a cache: what became of the suggestions, and what that saved."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from nas.report import deviation, format_duration, mean

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
