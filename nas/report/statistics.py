"""Comparisons with random sampling, intervals, tests, rank agreement, running best.

The comparison is that of Yang et al. (2020), "NAS evaluation is frustratingly hard"
(https://arxiv.org/abs/1912.12522): architectures drawn uniformly from the same space and trained
with the same protocol are the baseline, not the best of them.

Many methods at once are compared by Friedman's test, critical differences and pairwise tests. Friedman's test
and Nemenyi's critical difference as Demsar (2006), "Statistical comparisons of classifiers over multiple data
sets" (https://www.jmlr.org/papers/v7/demsar06a.html), equations in brackets; ties are corrected for, which
the paper does not do. Holm (1979), "A simple sequentially rejective multiple test procedure"
(https://www.jstor.org/stable/4615733). Vargha and Delaney (2000), "A critique and improvement of the CL
common language effect size statistics" (https://doi.org/10.3102/10769986025002101): their A12 is
`nas.report.statistics.superiority`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.evaluation import Objective, exponent_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


ALPHA = 0.05  # level of every test
PERMUTATIONS = 9999
TAILS = (0.025, 0.975)  # of every interval
RESAMPLES = 9999
FEWEST = 3  # values of an interval: of two, every bootstrap interval is their range, right half of the time
TESTED = 2  # values on each side of a test: one alone shows no variation, so a rank means nothing
EXACT_LIMIT = 100  # values in both samples together, up to which the rank test is always exact
_EXACT_WORK = 2e7  # sums and products, up to which it is exact beyond


@dataclass(frozen=True, slots=True)
class Improvement:
    """A method's values beside those of random sampling; positive always means that the method is better.

    Attributes:
        n_method: number of finite values of the method.
        n_random: number of finite values of random sampling.
        mean_method: NaN without values, as all that follows.
        mean_random: likewise.
        std_method: sample standard deviation (n - 1); NaN below two values.
        std_random: likewise.
        relative_improvement: in percent, see `relative_improvement`; NaN where `sign_is_unclear` for the
            mean of random sampling.
        interval: bootstrap 95 % interval of the relative improvement; NaNs without the latter and below
            `FEWEST` values on a side.
        p: of the two-sided rank test; NaN below `TESTED` values on a side.
        smallest_p: the smallest p that samples of these sizes with these ties can reach; also where nothing
            is tested.
        superiority: probability that a value of the method beats one of random sampling, ties half.
        left_out: values that were not finite and are in no number above.
    """

    n_method: int
    n_random: int
    mean_method: float
    mean_random: float
    std_method: float
    std_random: float
    relative_improvement: float
    interval: tuple[float, float]
    p: float
    smallest_p: float
    superiority: float
    left_out: int = 0

    @property
    def descriptive(self) -> bool:
        """Whether both sides have values, but one of them a single one: numbers to look at, and no test."""
        return min(self.n_method, self.n_random) > 0 and math.isnan(self.p)

    def significant(self, alpha: float = ALPHA) -> bool:
        """Whether the rank test rejects equality at level `alpha`; never without a test."""
        return self.p < alpha

    def can_reach(self, alpha: float = ALPHA) -> bool:
        """Whether samples of these sizes, with these ties, are enough for a test to reject at all."""
        return not self.descriptive and self.smallest_p < alpha

    def tested(self, alpha: float = ALPHA) -> str:
        """The test in a cell of a table; what cannot be significant says so."""
        if self.descriptive:
            return f"descriptive (p at least {_number(self.smallest_p)})"
        if math.isnan(self.p):
            return "not compared"
        if self.significant(alpha):
            return format_p(self.p)
        least = "" if self.can_reach(alpha) else f", at least {_number(self.smallest_p)}"
        return f"not significant ({format_p(self.p)}{least})"

    def verdict(self, alpha: float = ALPHA) -> str:
        """One plain sentence without a full stop: the test's answer, its p and both n."""
        sizes = f"n = {self.n_method} and {self.n_random}"
        if self.descriptive:
            return (
                f"described, not tested: a single value on a side says nothing about a method ({sizes}; the "
                f"smallest p that this design can reach is {_number(self.smallest_p)})"
            )
        if math.isnan(self.p):
            return f"not compared ({sizes})"
        if self.significant(alpha):
            word = "better" if self.superiority > 0.5 else "worse"
            against = (self.superiority - 0.5) * self.relative_improvement < 0
            doubt = ", by ranks; the means say the opposite" if against else ""
            return f"{word} than random sampling ({format_p(self.p)}, {sizes}{doubt})"
        if not self.can_reach(alpha):
            return (
                f"not significant: with {sizes} the rank test cannot reach p < {alpha:g}; the smallest p "
                f"that this design can reach is {_number(self.smallest_p)}"
            )
        return f"not significant ({format_p(self.p)}, {sizes})"


def format_p(p: float) -> str:
    """A p-value as papers print it, e.g. "p = 0.032" or "p < 0.001"."""
    if math.isnan(p):
        return "no p"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}" if p < 0.1 else f"p = {p:.2f}"


def _number(p: float) -> str:
    """As `format_p` without the letter, e.g. "0.032" or "< 0.001"."""
    return format_p(p).removeprefix("p ").removeprefix("= ")


def compare(
    method: ArrayLike, random: ArrayLike, *, direction: str = "maximize", seed: int = 0
) -> Improvement:
    """Everything that the report says of a method against random sampling.

    Args:
        method: values of the method, one per seed or run.
        random: values of uniformly sampled architectures, one each.
        direction: "maximize" or "minimize".
        seed: of the bootstrap.
    """
    a, b = _finite(method), _finite(random)
    p, smallest_p = rank_test(a, b)
    unclear = sign_is_unclear(b, seed=seed)
    return Improvement(
        n_method=a.size,
        n_random=b.size,
        mean_method=mean(a),
        mean_random=mean(b),
        std_method=deviation(a),
        std_random=deviation(b),
        relative_improvement=math.nan if unclear else relative_improvement(a, b, direction=direction),
        interval=bootstrap_interval(a, b, direction=direction, seed=seed),
        p=p,
        smallest_p=smallest_p,
        superiority=superiority(a, b, direction=direction),
        left_out=np.size(method) + np.size(random) - a.size - b.size,
    )


def relative_improvement(method: ArrayLike, random: ArrayLike, *, direction: str = "maximize") -> float:
    """Relative improvement over random sampling in percent (Yang et al. 2020, section 3.1).

    RI = 100 (mean_method - mean_random) / |mean_random|, with the sign turned for minimised
    quantities, so that positive is better. The paper has positive means only, for which the bars
    change nothing. NaN where a sample is empty or the mean of random sampling is 0.
    """
    a, b = _rescaled(_finite(method), _finite(random))
    return float(_improvement(mean(a), mean(b), _sign(direction)))


def bootstrap_interval(
    method: ArrayLike, random: ArrayLike, *, direction: str = "maximize", seed: int = 0
) -> tuple[float, float]:
    """Bootstrap 95 % interval of the relative improvement: percentiles, both samples resampled.

    Small samples make it too narrow, as every plain bootstrap: with 8 values on each side it covered
    the truth in 90 % of 600 simulations with normal and in 89 % with skewed (gamma) values; BCa did no
    better (91 % and 87 %). NaNs below `FEWEST` values on a side, and where the means of random sampling that
    divide do not have one sign.
    """
    a, b = _rescaled(_finite(method), _finite(random))
    if min(a.size, b.size) < FEWEST:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    means_a, means_b = _resampled_means(a, rng), _resampled_means(b, rng)
    if means_b.min() <= 0 <= means_b.max():
        return math.nan, math.nan
    return _quantiles(_improvement(means_a, means_b, _sign(direction)))


def mean_interval(values: ArrayLike, *, seed: int = 0) -> tuple[float, float]:
    """Bootstrap 95 % interval of a mean, by percentiles; NaNs below `FEWEST` values."""
    a = _finite(values)
    if a.size < FEWEST:
        return math.nan, math.nan
    if a.min() == a.max():
        return float(a[0]), float(a[0])
    exponent = exponent_of(a)
    low, high = _quantiles(_resampled_means(np.ldexp(a, -exponent), np.random.default_rng(seed)))
    return float(np.ldexp(low, exponent)), float(np.ldexp(high, exponent))


def mean(values: ArrayLike) -> float:
    """Of the finite values, whatever their size; NaN without any."""
    a = _finite(values)
    if not a.size:
        return math.nan
    if a.min() == a.max():  # what rounding of their sum would blur
        return float(a[0])
    exponent = exponent_of(a)
    return float(np.ldexp(np.ldexp(a, -exponent).mean(), exponent))


def deviation(values: ArrayLike) -> float:
    """Sample standard deviation (n - 1) of the finite values; NaN below two, inf where no float holds it."""
    a = _finite(values)
    if a.size < 2:
        return math.nan
    if a.min() == a.max():
        return 0.0
    exponent = exponent_of(a)
    with np.errstate(over="ignore"):
        return float(np.ldexp(np.ldexp(a, -exponent).std(ddof=1), exponent))


def sign_is_unclear(values: ArrayLike, *, seed: int = 0) -> bool:
    """Whether resampled means are 0 or differ in sign: a ratio to the mean has no meaning then."""
    a = _finite(values)
    if not a.size or not a.min() <= 0 <= a.max():
        return False
    means = _resampled_means(np.ldexp(a, -exponent_of(a)), np.random.default_rng(seed))
    return bool(means.min() <= 0 <= means.max())


def rank_test(a: ArrayLike, b: ArrayLike) -> tuple[float, float]:
    """Two-sided Mann-Whitney U test: p, and the smallest p that these sizes and ties allow.

    Exact up to 100 values in both samples together, and beyond where one of them is small, with ties too:
    the distribution of the rank sum over all splits of the pooled values, |W - E W| at least as large as
    observed. Otherwise the normal approximation with ties and continuity corrected. The first is NaN below
    `TESTED` values on a side: a single one shows no variation, so its rank is a description. Both are NaN if
    a sample is empty.
    """
    a, b = _finite(a), _finite(b)
    if min(a.size, b.size) == 0:
        return math.nan, math.nan
    if a.size > b.size:
        a, b = b, a
    pooled = np.concatenate([a, b])
    if pooled.min() == pooled.max():
        p, smallest = 1.0, 1.0
    elif pooled.size <= EXACT_LIMIT or pooled.size**2 * a.size**2 <= _EXACT_WORK:
        p, smallest = _exact_rank_test(pooled, a.size)
    else:
        from scipy.stats import mannwhitneyu

        ordered = np.sort(pooled)
        sides = ((a, b), (ordered[: a.size], ordered[a.size :]), (ordered[-a.size :], ordered[: -a.size]))
        p, *ends = (float(mannwhitneyu(*pair, method="asymptotic").pvalue) for pair in sides)
        smallest = min(ends)
    return math.nan if a.size < TESTED else p, smallest


def _exact_rank_test(pooled: Floats, size: int) -> tuple[float, float]:
    """Of the first `size` values against the others: p, and the smallest p."""
    doubled = np.rint(2 * ranked(pooled)).astype(np.int64)
    # how many subsets of `size` doubled ranks have each sum; exact to float precision
    counts = np.zeros((size + 1, int(np.sort(doubled)[-size:].sum()) + 1))
    counts[0, 0] = 1.0
    for rank in doubled:
        counts[1:, rank:] += counts[:-1, : counts.shape[1] - rank]
    counts = counts[size]
    expected = size * (doubled.size + 1)  # of the doubled rank sum
    distance = np.abs(np.arange(counts.size) - expected)
    observed, farthest = abs(int(doubled[:size].sum()) - expected), distance[counts > 0].max()
    p, smallest = (min(1.0, counts[distance >= far].sum() / counts.sum()) for far in (observed, farthest))
    return float(p), float(smallest)


def superiority(method: ArrayLike, random: ArrayLike, *, direction: str = "maximize") -> float:
    """Probability that a value of the method beats one of random sampling, ties counted half."""
    a, b = _sign(direction) * _finite(method), _sign(direction) * _finite(random)
    if min(a.size, b.size) == 0:
        return math.nan
    rank_sum = ranked(np.concatenate([a, b]))[: a.size].sum()
    return float((rank_sum - a.size * (a.size + 1) / 2) / (a.size * b.size))


def kendall_tau(a: Sequence[float], b: Sequence[float]) -> float:
    """Kendall's tau-b of two paired measurements; NaN below two pairs or if one side is constant."""
    if len(a) < 2 or min(a) == max(a) or min(b) == max(b):
        return math.nan
    from scipy.stats import kendalltau

    result: Any = kendalltau(a, b)
    return float(result.statistic)


def largest_rank_shift(a: Sequence[float], b: Sequence[float]) -> float:
    """Largest change of rank between two paired measurements; ties share their mean rank."""
    return float(np.abs(ranked(a) - ranked(b)).max()) if len(a) else math.nan


def best_so_far(values: ArrayLike, *, direction: str = "maximize") -> Floats:
    """Running best, of the length of `values`; NaN entries are failures, NaN before the first success."""
    values = np.asarray(values, float)
    running = np.fmax if direction == "maximize" else np.fmin
    return running.accumulate(values) if values.size else values


def expected_best(values: ArrayLike, *, direction: str = "maximize") -> Floats:
    """Expected best of 1, 2, .., n draws without replacement from n values: what random search gets.

    Unbiased for each number of draws (Tang et al. 2020, https://arxiv.org/abs/2004.13705); it says
    nothing beyond n draws.
    """
    ordered = np.sort(_sign(direction) * _finite(values))
    n = ordered.size
    best = np.empty(n)
    weights = np.full(n, 1 / n) if n else best  # P(the i-th smallest is the best of k draws)
    for k in range(1, n + 1):
        best[k - 1] = weights @ ordered
        if k < n:
            weights = weights * np.arange(1 - k, n + 1 - k).clip(0) * (k + 1) / (k * (n - k))
    return _sign(direction) * best


def ranked(values: ArrayLike) -> Floats:
    """Ranks from 1 along the last axis, ties sharing their mean."""
    from scipy.stats import rankdata

    return rankdata(values, axis=-1)


def _resampled_means(values: Floats, rng: np.random.Generator) -> Floats:
    return values[rng.integers(values.size, size=(RESAMPLES, values.size))].mean(axis=1)


def _improvement(method: Floats | float, random: Floats | float, sign: int) -> Floats:
    """Infinite where no float holds it."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        random = np.where(np.equal(random, 0), np.nan, random)
        return sign * 100 * (np.asarray(method) - random) / np.abs(random)


def _quantiles(values: Floats) -> tuple[float, float]:
    """The ends of an interval; infinite where infinite values enter."""
    low, high = np.quantile(np.clip(values, -1e300, 1e300), TAILS).tolist()
    return tuple(end if abs(end) < 1e300 else math.copysign(math.inf, end) for end in (low, high))  # type: ignore[return-value]


def _rescaled(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Both samples divided by one power of two, exactly; ratios of them stay as they are."""
    exponent = exponent_of(np.concatenate([a, b]))
    return np.ldexp(a, -exponent), np.ldexp(b, -exponent)


def _sign(direction: str) -> int:
    return 1 if Objective("value", direction).direction == "maximize" else -1


def _finite(values: ArrayLike) -> Floats:
    values = np.asarray(values, float).ravel()
    return values[np.isfinite(values)]


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


def friedman(losses: ArrayLike) -> Friedman:
    """Whether methods differ, from losses of shape (n blocks, k methods), n and k at least 2, none NaN.

    Raises:
        ValueError: another shape, or NaN.
    """
    losses = np.asarray(losses, float)
    if losses.ndim != 2 or min(losses.shape) < 2 or np.isnan(losses).any():
        raise ValueError(f"friedman: expected at least 2 blocks of 2 methods without NaN; got {losses.shape}")
    from scipy.stats import chi2, f

    (n, k), ranks = losses.shape, ranked(losses)
    mean_ranks = ranks.mean(axis=0)
    tied = sum(float((t**3 - t).sum()) for t in (np.unique(row, return_counts=True)[1] for row in ranks))
    untied = 1 - tied / (n * k * (k**2 - 1))  # a share; 0 where all values of each block are equal
    statistic = friedman_statistic(mean_ranks, n) / untied if untied > 1e-12 else math.nan
    corrected = iman_davenport(statistic, n, k)
    if math.isnan(statistic):
        p = 1.0
    elif n > 10 and k > 5:
        p = float(f.sf(corrected, k - 1, (k - 1) * (n - 1)))
    else:  # the share of permutations within blocks with rank sums as far apart
        rng, sums = np.random.default_rng(0), np.zeros((PERMUTATIONS, k))
        for row in ranks:
            sums += rng.permuted(np.tile(row, (PERMUTATIONS, 1)), axis=1)
        observed = float((ranks.sum(axis=0) ** 2).sum())
        p = float((1 + ((sums**2).sum(axis=1) >= observed - 1e-9).sum()) / (PERMUTATIONS + 1))
    return Friedman(
        blocks=n,
        mean_ranks=tuple(mean_ranks.tolist()),
        chi_squared=statistic,
        p_chi_squared=1.0 if math.isnan(statistic) else float(chi2.sf(statistic, k - 1)),
        f=corrected,
        p=p,
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
    return math.inf if left <= 1e-9 * blocks * methods else (blocks - 1) * chi_squared / left


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
    pairs = list(combinations(usable, 2))
    p_values = [rank_test(usable[a], usable[b])[0] for a, b in pairs]
    found = []
    for (a, b), p, p_holm in zip(pairs, p_values, holm(p_values).tolist(), strict=True):
        a12 = superiority(usable[a], usable[b], direction="minimize")
        found.append(Pair(a, b, usable[a].size, usable[b].size, a12, p, p_holm))
    return tuple(found)


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
