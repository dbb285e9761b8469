"""How far two ways to evaluate the same architectures agree: ranks, changes, with their numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.evaluation import exponent_of
from nas.report import deviation, kendall_tau, largest_rank_shift, mean, mean_interval

MIN_PAIRS = 3  # two have a rank correlation of 1 or -1, whatever they are


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two measurements of the same architectures, pair by pair.

    Attributes:
        n: pairs with two finite values; below `MIN_PAIRS` there is no correlation.
        tau: Kendall's tau-b; NaN below `MIN_PAIRS` or where a side is constant.
        p: of the two-sided test of tau = 0, exact for small samples without ties; NaN like `tau`.
        shift: the largest change of rank, ties sharing their mean rank; NaN below `MIN_PAIRS`.
        difference: mean of second - first.
        interval: bootstrap 95 % interval of `difference`; NaNs below three pairs.
        change: mean of |second - first|.
        change_std: its sample standard deviation (n - 1); NaN below two pairs.
        largest_change: the largest |second - first|.
    """

    n: int
    tau: float
    p: float
    shift: float
    difference: float
    interval: tuple[float, float]
    change: float
    change_std: float
    largest_change: float


def agreement(first: Sequence[float], second: Sequence[float]) -> Agreement:
    """Compares values that belong together by position; pairs with one that is not finite are left out."""
    pairs = np.array([first, second], float)
    (a, b), n = pairs[:, np.isfinite(pairs).all(axis=0)], int(np.isfinite(pairs).all(axis=0).sum())
    exponent = exponent_of(pairs)
    moved = np.ldexp(b, -exponent) - np.ldexp(a, -exponent)  # which cannot overflow

    def whole(number: float) -> float:
        with np.errstate(over="ignore"):
            return float(np.ldexp(number, exponent))

    low, high = mean_interval(moved)
    changes = np.abs(moved)
    enough = n >= MIN_PAIRS
    return Agreement(
        n=n,
        tau=kendall_tau(a, b) if enough else math.nan,
        p=_p_of_tau(a, b) if enough else math.nan,
        shift=largest_rank_shift(a, b) if enough else math.nan,
        difference=whole(mean(moved)),
        interval=(whole(low), whole(high)),
        change=whole(mean(changes)),
        change_std=whole(deviation(changes)),
        largest_change=whole(changes.max()) if n else math.nan,
    )


def smallest_p_of_tau(n: int) -> float:
    """The smallest p that the exact two-sided test of tau = 0 can give with n pairs: 2 / n!."""
    return min(1.0, 2 / math.factorial(n))


def _p_of_tau(a: Any, b: Any) -> float:
    if a.min() == a.max() or b.min() == b.max():
        return math.nan
    from scipy.stats import kendalltau

    result: Any = kendalltau(a, b)
    return float(result.pvalue)
