"""What stands in the cells of the tables: numbers, quartiles, numbers of runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nas.formats import decimals_of, fixed

NONE = "-"  # as of `nas.formats.fixed`
MIXED = " (mixed)"  # behind the label of a method of several fidelities


def spread(values: Sequence[float], decimals: int) -> str:
    """Median [lower quartile, upper quartile] of these three, ascending; the median if it is alone."""
    low, median, high = (fixed(value, decimals) for value in values)
    return median if NONE in (low, median) else f"{median} [{low}, {high}]"


def counted(cell: str, n: int, seeds: int) -> str:
    """The cell with the number of its runs where not all seeds got there."""
    return cell if n >= seeds or cell == NONE else f"{cell} (n {n})"


def decimals_for(medians: Sequence[float], unit: str) -> int:
    """Two for percentages; otherwise as many as show three digits of the range."""
    finite = [value for value in medians if math.isfinite(value)]
    reach = max(finite, default=0.0) - min(finite, default=0.0)
    return 2 if unit == "%" else decimals_of(reach, unit, 3)
