"""How the benchmarks measure and print: medians of repeats, beside what is asked for."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence


def seconds_of(work: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of each of the repeats, after one that is not counted."""
    work()
    return [timed(work) for _ in range(repeats)]


def timed(work: Callable[[], object]) -> float:
    """Seconds on the wall."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def line(label: str, values: Sequence[float], unit: str, against: str = "") -> str:
    """One figure: the median, and the range of all repeats."""
    low, middle, high = min(values), statistics.median(values), max(values)
    spread = f"({_number(low)} to {_number(high)}, n={len(values)})"
    return f"  {label:34} {_number(middle):>9} {unit:10} {spread:32} {against}".rstrip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
