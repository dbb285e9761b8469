"""Spread of measured results within classes, beside that of one network trained again and that of all.

A table with one number for each candidate still holds repetitions: candidates that are the same network by
every notion of equality that is known (`replicate`), each trained for itself. Where initial weights and
randomness were drawn alike too, a repetition gives the same number to the last digit and is none. Such
copies are counted once: of the members of a class that have two results in common, one. (Two, because one may
be equal by chance, and because a mean over several seeds may share a run without being equal.)
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from nas.evaluation import exponent_of
from nas.report import deviation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Spread:
    """How far results differ.

    Attributes:
        members: candidates, exact copies left out.
        copies: candidates left out.
        classes: with at least two members.
        overall: standard deviation over all candidates, copies included.
        within: standard deviation within classes, pooled (each class's own mean, its degrees of freedom).
        median_range: of the classes' ranges, and `largest_range`.
        replicate: standard deviation within replicates, pooled: one network trained again.
        replicates: groups of at least two.
        extra: standard deviation between the means of a class's groups of replicates beyond what
            `replicate` explains (variance components of the nested design; 0 where it explains all).
        f: mean square between groups of replicates within a class over that within groups; each class is
            scaled to variance 1 first, so that no class decides alone.
        degrees: of freedom of its numerator and its denominator.
        p: of the permutation test: results change places within each class. NaN without groups to compare.
    """

    members: int
    copies: int
    classes: int
    overall: float
    within: float
    median_range: float
    largest_range: float
    replicate: float
    replicates: int
    extra: float
    f: float
    degrees: tuple[int, int]
    p: float


def spread(
    values: Sequence[float],
    classes: Sequence[Hashable],
    replicates: Sequence[Hashable],
    *,
    kept: Sequence[int] | None = None,
    permutations: int = 999,
    seed: int = 0,
) -> Spread:
    """Holds the spread within classes against that within replicates.

    Args:
        values: one for each candidate; those that are not finite are left out.
        classes: label of each candidate's class.
        replicates: label of its group of replicates, unique within its class.
        kept: the candidates that are no copies, as of `originals`; all by default.
        permutations: of the test; p is at least 1 / (permutations + 1).
        seed: of the permutations.
    """
    everything = [n for n, value in enumerate(values) if math.isfinite(value)]
    kept = everything if kept is None else [n for n in kept if math.isfinite(values[n])]
    exponent = exponent_of(np.array(values, float))  # so that no square overflows
    x = np.ldexp(np.array([values[n] for n in kept], float), -exponent)

    def whole(number: float) -> float:
        with np.errstate(over="ignore"):
            return float(np.ldexp(number, exponent))

    outer = _numbers([classes[n] for n in kept])
    inner = _numbers([(classes[n], replicates[n]) for n in kept])
    ranges = _ranges(x, outer)
    within, replicate = _pooled(x, outer), _pooled(x, inner)
    f, degrees, p = _test(x, outer, inner, permutations, np.random.default_rng(seed))
    return Spread(
        len(x),
        len(everything) - len(x),
        len(ranges),
        deviation([values[n] for n in everything]),
        whole(within),
        whole(float(np.median(ranges))) if len(ranges) else math.nan,
        whole(float(np.max(ranges))) if len(ranges) else math.nan,
        whole(replicate),
        int((np.bincount(inner) > 1).sum()),
        whole(_extra(x, outer, inner)),
        f,
        degrees,
        p,
    )


def originals(results: Sequence[Sequence[float]], classes: Sequence[Hashable]) -> list[int]:
    """The candidates that do not share two results (of one: that one) with an earlier one of their class.

    Args:
        results: several for each candidate, in the same order for all.
        classes: label of each candidate's class.
    """
    seen: set[Hashable] = set()
    kept = []
    for n, (row, label) in enumerate(zip(results, classes, strict=True)):
        placed = list(enumerate(row))
        keys = [(label, *pair) for pair in combinations(placed, min(2, len(placed)))]
        if seen.isdisjoint(keys):
            kept.append(n)
        seen.update(keys)
    return kept


def differences(values: Sequence[float], groups: Sequence[Hashable]) -> Floats:
    """|difference| of a typical pair of each group: of its first two distinct finite values."""
    first: dict[Hashable, float] = {}
    found: dict[Hashable, float] = {}
    for value, group in zip(values, groups, strict=True):
        if math.isfinite(value) and group not in found and first.setdefault(group, value) != value:
            found[group] = abs(value - first[group])
    return np.sort(np.array(list(found.values()), float))


def _numbers(labels: Sequence[Hashable]) -> Numbers:
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(label, len(known)) for label in labels], np.int64)


def _squares(x: Floats, groups: Numbers) -> float:
    """Sum of squares around the groups' means."""
    counts = np.bincount(groups)
    means = np.bincount(groups, x) / np.maximum(1, counts)
    return float(((x - means[groups]) ** 2).sum())


def _pooled(x: Floats, groups: Numbers) -> float:
    freedom = len(x) - len(np.unique(groups))
    return math.sqrt(_squares(x, groups) / freedom) if freedom else math.nan


def _ranges(x: Floats, groups: Numbers) -> Floats:
    """Largest minus smallest value of each group of two and more."""
    order = np.argsort(groups, kind="stable")
    bounds = np.flatnonzero(np.diff(groups[order], prepend=-1))
    if not len(bounds):
        return np.array([])
    widths = np.maximum.reduceat(x[order], bounds) - np.minimum.reduceat(x[order], bounds)
    return widths[np.bincount(groups)[np.unique(groups)] > 1]


def _comparable(outer: Numbers, inner: Numbers) -> NDArray[np.bool_]:
    """Members of classes with several groups of replicates, at least one of which has several members."""
    members = np.bincount(outer)
    groups = np.bincount(outer[np.unique(inner, return_index=True)[1]], minlength=len(members))
    return ((groups > 1) & (members > groups))[outer]


def _extra(x: Floats, outer: Numbers, inner: Numbers) -> float:
    chosen = _comparable(outer, inner)
    if not chosen.any():
        return math.nan
    x, outer, inner = x[chosen], outer[chosen], inner[chosen]
    sizes = np.bincount(inner)[np.unique(inner)]
    groups, classes = len(sizes), len(np.unique(outer))
    within = _squares(x, inner) / (len(x) - groups)
    between = (_squares(x, outer) - _squares(x, inner)) / (groups - classes)
    squares = np.bincount(outer, np.bincount(inner)[inner].astype(float))  # sum of squared sizes, by class
    totals = np.bincount(outer)
    share = float((squares[totals > 0] / totals[totals > 0]).sum())
    typical = (len(x) - share) / (groups - classes)  # members behind a group's mean
    return math.sqrt(max(0.0, (between - within) / typical))


def _test(
    x: Floats, outer: Numbers, inner: Numbers, permutations: int, rng: np.random.Generator
) -> tuple[float, tuple[int, int], float]:
    chosen = _comparable(outer, inner)
    if not chosen.any():
        return math.nan, (0, 0), math.nan
    outer, inner = _numbers(outer[chosen].tolist()), _numbers(inner[chosen].tolist())
    x = _scaled(x[chosen], outer)
    groups, classes = int(inner.max()) + 1, int(outer.max()) + 1
    degrees = (groups - classes, len(x) - groups)
    total = _squares(x, outer)
    place = np.argsort(outer, kind="stable")

    def ratio(values: Floats) -> float:
        within = _squares(values, inner)
        return (total - within) / degrees[0] / (within / degrees[1]) if within else math.inf

    observed, reached = ratio(x), 0
    shuffled = np.empty_like(x)
    for _ in range(permutations):
        shuffled[place] = x[np.lexsort((rng.random(len(x)), outer))]
        reached += ratio(shuffled) >= observed * (1 - 1e-12)
    return observed, degrees, (reached + 1) / (permutations + 1)


def _scaled(x: Floats, groups: Numbers) -> Floats:
    """Values with mean 0 and variance 1 in each group; one without variance stays at 0."""
    counts = np.bincount(groups)
    centred = x - (np.bincount(groups, x) / counts)[groups]
    deviations = np.sqrt(np.bincount(groups, centred**2) / np.maximum(1, counts - 1))
    return centred / np.where(deviations > 0, deviations, 1.0)[groups]
