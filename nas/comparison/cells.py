"""What stands in the cells of the tables: numbers, quartiles, numbers of runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

NONE = "-"
MIXED = " (mixed)"  # behind the label of a method of several fidelities


def fixed(value: float, decimals: int) -> str:
    """So many decimals; `NONE` for NaN."""
    if math.isnan(value):
        return NONE
    value = round(value, decimals) + 0.0  # no negative zero
    return f"{value:.{decimals}f}" if math.isfinite(value) else "inf" if value > 0 else "-inf"


def spread(values: Sequence[float], decimals: int) -> str:
    """Median [lower quartile, upper quartile] of these three, ascending."""
    low, median, high = (fixed(value, decimals) for value in values)
    return median if median == NONE else f"{median} [{low}, {high}]"


def counted(cell: str, n: int, seeds: int) -> str:
    """The cell with the number of its runs where not all seeds got there."""
    return cell if n >= seeds or cell == NONE else f"{cell} (n {n})"


def decimals_of(medians: Sequence[float], unit: str) -> int:
    """Two for percentages; otherwise as many as show two digits of the range."""
    finite = [value for value in medians if math.isfinite(value)]
    reach = max(finite, default=0.0) - min(finite, default=0.0)
    if unit == "%" or reach <= 0:
        return 2
    return min(6, max(0, 2 - math.floor(math.log10(reach))))
