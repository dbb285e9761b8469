"""Numbers and durations as people read them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nas.evaluation import Objective

MOST_DECIMALS = 6
_LARGE = 1e15  # from where on leading digits say more than all of them


def fixed(value: float, decimals: int, sign: str = "") -> str:
    """So many decimals, or the leading digits of what these would not show; "-" for NaN.

    Args:
        value: of any size.
        decimals: 0 or more.
        sign: "+" for a sign of positive numbers too.
    """
    if math.isnan(value):
        return "-"
    if math.isinf(value) or abs(value) >= _LARGE:
        return f"{value:{sign}.5g}"
    if decimals >= MOST_DECIMALS and 0 < abs(value) < 10.0**-decimals:
        return f"{value:{sign}.2g}"
    return f"{round(value, decimals) + 0.0:{sign}.{decimals}f}"  # no negative zero


def decimals_of(spread: float, unit: str, digits: int = 2) -> int:
    """Decimals that show so many digits of a spread, of a percentage at least two, from 0 to 6.

    Args:
        spread: above 0; two decimals are given for what is not, or is no number.
        unit: of the numbers.
        digits: of the spread.
    """
    if not 0 < spread < math.inf:
        return 2
    least = 2 if unit == "%" else 0
    return min(MOST_DECIMALS, max(least, digits - 1 - math.floor(math.log10(spread))))


def format_value(value: float | None, objective: Objective) -> str:
    """A value with its unit, five significant digits."""
    return "-" if value is None else f"{value:.5g}{' ' * bool(objective.unit)}{objective.unit}"


def format_duration(seconds: float | None) -> str:
    """Seconds as people read them: "0.4 s", "42 s", "3 min 20 s", "5 h 02 min", "3 d 04 h"."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if abs(seconds) >= _LARGE:
        return f"{seconds / 86400:.3g} d"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, part, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // part:02d} {small}"
    return f"{whole} s"
