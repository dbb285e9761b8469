"""Many methods at once: Friedman's test, critical differences, pairwise tests with Holm's correction.

Friedman's test and Nemenyi's critical difference as Demsar (2006), "Statistical comparisons of classifiers
over multiple data sets" (https://www.jmlr.org/papers/v7/demsar06a.html), equations in brackets; ties are
corrected for, which the paper does not do. Holm (1979), "A simple sequentially rejective multiple test
procedure" (https://www.jstor.org/stable/4615733). Vargha and Delaney (2000), "A critique and improvement of
the CL common language effect size statistics" (https://doi.org/10.3102/10769986025002101): their A12 is
`nas.statistics.superiority`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from nas.statistics import rank_test, superiority

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

ALPHA = 0.05
PERMUTATIONS = 9999


@dataclass(frozen=True, slots=True)
class Friedman:
    """Friedman's test of n blocks and k methods.

    Attributes:
        blocks: n.
        mean_ranks: one for each method; 1 is the best, ties share their mean rank.
        chi_squared: corrected for ties; NaN where all values of each block are equal.
        p_chi_squared: of its approximation by chi-squared with k - 1 degrees of freedom; 1 without ranks.
        f: Iman and Davenport's less conservative statistic (p. 11); inf where all blocks agree.
        p: that of `f` by F with k - 1 and (k - 1)(n - 1) degrees of freedom where n > 10 and k > 5, Demsar's
            rule for such approximations; otherwise by permutations within blocks. 1 without ranks.
        critical_difference: Nemenyi's, at `ALPHA`.
    """

    blocks: int
    mean_ranks: tuple[float, ...]
    chi_squared: float
    p_chi_squared: float
    f: float
    p: float
    critical_difference: float

    @property
    def can_separate(self) -> bool:
        """Whether any two mean ranks can be further apart than the critical difference."""
        return self.critical_difference < len(self.mean_ranks) - 1

    @property
    def smallest_p(self) -> float:
        """The smallest p that so many blocks of so many methods, without ties, can reach."""
        return min(1.0, float(math.factorial(len(self.mean_ranks))) ** (1 - self.blocks))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two methods at one budget; all tests are two-sided.

    Attributes:
        n: number of values of `method`.
        n_other: of `other`.
        a12: probability that a value of `method` is better than one of `other`, ties half.
        p: of the Mann-Whitney test.
        p_holm: corrected for all pairs that were tested together.
    """

    method: str
    other: str
    n: int
    n_other: int
    a12: float
    p: float
    p_holm: float

    @property
    def significant(self) -> bool:
        """Whether they differ at `ALPHA`, all pairs considered."""
        return self.p_holm < ALPHA

    def seen_from(self, method: str) -> Pair:
        """The same pair with `method` first."""
        if method == self.method:
            return self
        return Pair(self.other, self.method, self.n_other, self.n, 1 - self.a12, self.p, self.p_holm)


def ranks_of_rows(losses: ArrayLike) -> Floats:
    """Ranks within each row, 1 for the lowest loss, ties sharing their mean; shape (n, k) as given."""
    losses = np.asarray(losses, float)
    below = (losses[:, None, :] < losses[:, :, None]).sum(axis=2)
    equal = (losses[:, None, :] == losses[:, :, None]).sum(axis=2)
    return below + (equal + 1) / 2


def friedman(losses: ArrayLike) -> Friedman:
    """Whether methods differ, from losses of shape (n blocks, k methods), n and k at least 2, none NaN.

    Raises:
        ValueError: another shape, or NaN.
    """
    losses = np.asarray(losses, float)
    if losses.ndim != 2 or min(losses.shape) < 2 or np.isnan(losses).any():
        raise ValueError(f"friedman: expected at least 2 blocks of 2 methods without NaN; got {losses.shape}")
    from scipy.stats import chi2, f

    (n, k), ranks = losses.shape, ranks_of_rows(losses)
    mean_ranks = ranks.mean(axis=0)
    untied = _untied_share(ranks)
    statistic = friedman_statistic(mean_ranks, n) / untied if untied else math.nan
    corrected = iman_davenport(statistic, n, k)
    return Friedman(
        blocks=n,
        mean_ranks=tuple(mean_ranks.tolist()),
        chi_squared=statistic,
        p_chi_squared=float(chi2.sf(statistic, k - 1)) if untied else 1.0,
        f=corrected,
        p=_p_value(ranks, float(f.sf(corrected, k - 1, (k - 1) * (n - 1)))) if untied else 1.0,
        critical_difference=critical_difference(k, n),
    )


def friedman_statistic(mean_ranks: ArrayLike, blocks: int) -> float:
    """Friedman's chi-squared from mean ranks without ties: 12 n / (k (k + 1)) (sum R^2 - k (k + 1)^2 / 4)."""
    mean_ranks = np.asarray(mean_ranks, float)
    k = mean_ranks.size
    return float(12 * blocks / (k * (k + 1)) * ((mean_ranks**2).sum() - k * (k + 1) ** 2 / 4))


def iman_davenport(chi_squared: float, blocks: int, methods: int) -> float:
    """F = (n - 1) chi2 / (n (k - 1) - chi2); inf where all blocks have the same order."""
    left = blocks * (methods - 1) - chi_squared
    if left <= 1e-9 * blocks * methods:
        return math.inf
    return (blocks - 1) * chi_squared / left


@cache
def critical_difference(methods: int, blocks: int, alpha: float = ALPHA) -> float:
    """Nemenyi's: mean ranks of two methods further apart differ; q_alpha sqrt(k (k + 1) / (6 n)).

    q_alpha is the quantile of the studentized range for infinite degrees of freedom over sqrt(2). With
    ties it is too large, never too small.
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - alpha, methods, math.inf)) / math.sqrt(2)
    return q * math.sqrt(methods * (methods + 1) / (6 * blocks))


def cliques(mean_ranks: Sequence[float], distance: float) -> list[tuple[float, float]]:
    """The bars of a critical-difference diagram: ends of each largest group of ranks within `distance`."""
    ranks = sorted(mean_ranks)
    found: list[tuple[float, float]] = []
    for first in ranks:
        last = max(rank for rank in ranks if rank - first <= distance)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def holm(p_values: ArrayLike) -> Floats:
    """P-values corrected for their number by Holm's step-down procedure; NaN stay and count for nothing."""
    p = np.asarray(p_values, float)
    corrected = np.full(p.shape, math.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(order.size, 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(factors * p[order])) if order.size else []
    return corrected


def pairwise(losses: Mapping[str, Sequence[float] | Floats]) -> tuple[Pair, ...]:
    """All pairs of methods by Mann-Whitney tests with Holm's correction over all of them.

    Unpaired: a seed means nothing to another method, and methods may differ in their numbers of seeds. Where
    equal seeds do make two methods draw the same first architectures, their values are positively
    correlated and the test is cautious. Wilcoxon's signed ranks would drop the many pairs of equal values
    and assume symmetric differences. Unlike differences of mean ranks, the answer on a pair depends on no
    third method but through the correction (Benavoli et al. 2016, https://www.jmlr.org/papers/v17/benavoli16a.html).

    Args:
        losses: of each method, in the order of the pairs; an infinite loss is worse than all others.
    """
    usable = dict(zip(losses, finite_losses(list(losses.values())), strict=True))
    names = list(combinations(usable, 2))
    p_values = [rank_test(usable[a], usable[b])[0] for a, b in names]
    return tuple(
        Pair(
            a,
            b,
            usable[a].size,
            usable[b].size,
            superiority(usable[a], usable[b], direction="minimize"),
            p,
            q,
        )
        for (a, b), p, q in zip(names, p_values, holm(p_values).tolist(), strict=True)
    )


def finite_losses(samples: Sequence[Sequence[float] | Floats]) -> list[Floats]:
    """The places of the losses among all different ones, infinite ones included; NaN are left out.

    Places are in the order of the losses, which is all that ranks depend on, and finite whatever these are.
    """
    arrays = [np.asarray(sample, float) for sample in samples]
    arrays = [array[~np.isnan(array)] for array in arrays]
    different = np.unique(np.concatenate([*arrays, np.empty(0)]))
    return [np.searchsorted(different, array).astype(float) for array in arrays]


def seeds_needed(pairs: int, alpha: float = ALPHA) -> int:
    """The least n with which two samples of n, without ties, can differ after Holm's correction."""
    n = 1
    while not can_differ(n, n, pairs, alpha):
        n += 1
    return n


def can_differ(n: int, n_other: int, pairs: int, alpha: float = ALPHA) -> bool:
    """Whether samples of these sizes, without ties, can differ after Holm's correction for so many pairs."""
    return 2 / math.comb(n + n_other, n) < alpha / max(pairs, 1)


def _p_value(ranks: Floats, approximate: float) -> float:
    """The approximate p where it is apt, else the share of permutations with rank sums as far apart."""
    n, k = ranks.shape
    if n > 10 and k > 5:
        return approximate
    rng = np.random.default_rng(0)
    sums = np.zeros((PERMUTATIONS, k))
    for row in ranks:
        sums += rng.permuted(np.tile(row, (PERMUTATIONS, 1)), axis=1)
    observed = float((ranks.sum(axis=0) ** 2).sum())
    return float((1 + ((sums**2).sum(axis=1) >= observed - 1e-9).sum()) / (PERMUTATIONS + 1))


def _untied_share(ranks: Floats) -> float:
    """1 - sum (t^3 - t) / (n k (k^2 - 1)) over all groups of t ties."""
    n, k = ranks.shape
    ties = sum(
        float((count**3 - count).sum()) for count in (np.unique(row, return_counts=True)[1] for row in ranks)
    )
    share = 1 - ties / (n * k * (k**2 - 1))
    return share if share > 1e-12 else 0.0
