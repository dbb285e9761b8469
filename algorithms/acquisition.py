"""What surrogate searchers compute from losses and predictions: scores and expected improvement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_AUGMENTATION = 0.05  # weight of the sum in ParEGO's norm (Knowles 2006, equation 2)


def normal_scores(losses: Floats) -> Floats:
    """Quantiles of the standard normal at the ranks of the losses, ties averaged; +inf ranks last."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    return ndtri((rankdata(losses) - 0.5) / len(losses))


def incumbent_order(values: Floats, most: int = 10) -> NDArray[np.intp]:
    """Indices of the best, best first; the earlier one at equal values."""
    return np.argsort(values, kind="stable")[:most]


def scalarized(losses: Floats, rng: np.random.Generator) -> Floats:
    """One loss (n,) out of several (n, objectives), by random weights (Knowles 2006, ParEGO, equation 2).

    Objectives count by their ranks, in [0, 1], where ParEGO scales them between their extremes, which one
    outlier would decide. A row with a loss that is not finite gives +inf.
    """
    from scipy.stats import rankdata

    usable = np.isfinite(losses).all(axis=1)
    weights = rng.dirichlet(np.ones(losses.shape[1]))
    found = np.full(len(losses), np.inf)
    ranks = (rankdata(losses[usable], axis=0) - 0.5) / max(1, usable.sum())
    weighted = ranks * weights
    found[usable] = weighted.max(axis=1) + _AUGMENTATION * weighted.sum(axis=1)
    return found


def log_expected_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    """Log E[max(best - f, 0)] of normal predictions, exact where the expectation itself underflows.

    With z = (best - mean) / deviation it is log deviation + log(pdf(z) + z cdf(z)), written so that nothing
    cancels for z << 0 (Ament et al. 2023, equation 9).
    """
    from scipy.special import erfcx, ndtr

    z = (best - mean) / deviation
    log_density = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    near = np.maximum(z, -1.0)
    direct = np.log(np.exp(-0.5 * near**2) / np.sqrt(2 * np.pi) + near * ndtr(near))
    middle = np.clip(z, -1e3, -1.0)
    ratio = np.sqrt(np.pi / 2) * erfcx(-middle / np.sqrt(2))  # cdf(z) / pdf(z)
    with np.errstate(divide="ignore"):
        tail = log_density + np.log1p(np.minimum(middle * ratio, -0.0))
    far = log_density - 2 * np.log(np.abs(np.minimum(z, -1.0)))
    return np.log(deviation) + np.where(z > -1, direct, np.where(z > -1e3, tail, far))
