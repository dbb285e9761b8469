"""What a report says of the cache: lines for a run, and the files `cache.*`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from nas.caching.cells import format_percent, format_seconds
from nas.caching.tables import CacheTable, cache_tables, long_table, sheets
from nas.caching.usage import Group, Usage, usage
from nas.report import (
    Output,
    ResultTable,
    Run,
    csv_part,
    figure_parts,
    format_duration,
    format_value,
    text_part,
)

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
    from nas.caching.figure import cache_figure

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
