"""A Gaussian process over distances between architectures, for surrogate searchers.

Rasmussen and Williams 2006, "Gaussian Processes for Machine Learning": regression by algorithm 2.1,
hyper-parameters by the gradient of equation 5.9, here with normal priors on their logarithms (maximum a
posteriori), since a search begins with a handful of results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST = 150  # results from which hyper-parameters are learnt

_JITTER = 1e-6  # added to the diagonal, in units of the values' variance
_SMALLEST, _LARGEST = -9.0, 6.0  # bounds of all logarithms
_NOISE = (np.log(0.01), 1.5)  # prior of the log variance of the noise: mean and deviation
_RELEVANCE = 0.7  # prior deviation of a group's log rate from that of its kind
_STEPS = 15  # of the optimiser each time; it goes on from where it was


class Hyperparameters(NamedTuple):
    """Of the covariance sum_c w_c exp(-sum_g r_cg d_cg) + s [same result].

    Attributes:
        weights: w_c of each kind, (kinds,).
        rates: r_cg of each kind's groups, (groups,) each.
        noise: s, the variance of a result around its architecture's own value.
    """

    weights: Floats
    rates: tuple[Floats, ...]
    noise: float


class GaussianProcess:
    """Zero-mean regression with the covariance of `Hyperparameters`.

    The distances d_cg are of several kinds c, each a sum over groups g. An exponential of a sum is a product
    of kernels over the groups; in a sum of such products each kind explains a part, even if the others are
    useless. The relevance of each group is learnt (automatic relevance determination), with a prior at the
    average of its kind.

    Values are expected to be standardised: mean 0, variance 1.
    """

    def __init__(self) -> None:
        self._theta: list[
            Floats
        ] = []  # of each kind: log weight, log rate, difference of each group's log rate
        self._noise = _NOISE[0]

    @property
    def is_fitted(self) -> bool:
        return bool(self._theta)

    @property
    def hyperparameters(self) -> Hyperparameters:
        weights = np.exp([theta[0] for theta in self._theta])
        rates = tuple(np.exp(theta[1] + theta[2:]) for theta in self._theta)
        return Hyperparameters(weights, rates, float(np.exp(self._noise)))

    def fit(self, distances: Sequence[Floats], values: Floats) -> None:
        """Learns the hyper-parameters; groups in which no two results differ keep their kind's rate.

        Args:
            distances: for each kind (groups, n, n), between results. A kind may gain groups from one call to
                the next.
            values: (n,), smaller is better.
        """
        from scipy.optimize import minimize

        # if any two results differ in a group, one of them differs from the first
        differing = [np.asarray(d[:, 0].any(axis=1)) for d in distances]
        distances = [d[some] for d, some in zip(distances, differing, strict=True)]
        prior = [_prior(d, len(distances)) for d in distances]
        before = self._theta or [mean[:2] for mean, _ in prior]
        start = [_start(theta, some) for theta, some in zip(before, differing, strict=True)]
        mean = np.concatenate([mean for mean, _ in prior] + [[_NOISE[0]]])
        deviation = np.concatenate([deviation for _, deviation in prior] + [[_NOISE[1]]])
        first = np.concatenate([*start, [self._noise]])
        found = minimize(
            negative_log_posterior,
            first,
            args=(distances, values, (mean, deviation)),
            jac=True,
            method="L-BFGS-B",
            bounds=[(_SMALLEST, _LARGEST)] * len(first),
            options={"maxiter": _STEPS},
        )
        *theta, noise = np.split(found.x, np.cumsum([len(part) for part in start]))
        self._theta = [_all_groups(part, some) for part, some in zip(theta, differing, strict=True)]
        self._noise = float(noise[0])

    def condition(self, distances: Floats, values: Floats) -> Floats:
        """Conditions on results; distances (kinds, n, n) that include the rates, values (n,).

        Returns:
            The posterior means (n,) of the results.
        """
        from scipy.linalg import cho_solve

        covariance = self._covariance(distances)
        noisy = covariance + np.diag(np.full(len(values), np.exp(self._noise) + _JITTER))
        self._factor = np.linalg.cholesky(noisy)
        self._alpha = cho_solve((self._factor, True), values)
        return covariance.T @ self._alpha

    def mean(self, distances: Floats) -> Floats:
        """Posterior means (m,) from distances (kinds, n, m) to the known results."""
        return self._covariance(distances).T @ self._alpha

    def predict(self, distances: Floats) -> tuple[Floats, Floats]:
        """Posterior means and standard deviations without noise, (m,) each, from distances (kinds, n, m)."""
        from scipy.linalg import solve_triangular

        covariance = self._covariance(distances)
        explained = solve_triangular(self._factor, covariance, lower=True, check_finite=False)
        variance = self.hyperparameters.weights.sum() - np.einsum("nm,nm->m", explained, explained)
        return covariance.T @ self._alpha, np.sqrt(np.maximum(variance, 1e-12))

    def _covariance(self, distances: Floats) -> Floats:
        return np.einsum("c,cnm->nm", self.hyperparameters.weights, np.exp(-distances))


def learnt_from(values: Floats, rng: np.random.Generator) -> NDArray[np.intp]:
    """Indices of at most 150 results to learn from: the best 75 and random others if there are more."""
    if len(values) <= MOST:
        return np.arange(len(values))
    order = np.argsort(values, kind="stable")
    rest = rng.choice(order[MOST // 2 :], MOST - MOST // 2, replace=False)
    return np.sort(np.concatenate([order[: MOST // 2], rest]))


def _prior(distances: Floats, kinds: int) -> tuple[Floats, Floats]:
    """Mean and deviation of one kind's logarithms: equal weights, rate 1 / mean distance, equal groups."""
    groups = len(distances)
    typical = max(float(distances.sum(axis=0).mean()), 1e-3)
    mean = np.concatenate([[-np.log(kinds), -np.log(typical)], np.zeros(groups)])
    return mean, np.concatenate([[1.0, 1.0], np.full(groups, _RELEVANCE)])


def _start(theta: Floats, some: NDArray[np.bool_]) -> Floats:
    """One kind's logarithms for some of its groups, which may be more than before."""
    apart = np.zeros(len(some))
    apart[: len(theta) - 2] = theta[2:]
    return np.concatenate([theta[:2], apart[some]])


def _all_groups(theta: Floats, some: NDArray[np.bool_]) -> Floats:
    """Inverse of `_start`; other groups have the rate of their kind."""
    apart = np.zeros(len(some))
    apart[some] = theta[2:]
    return np.concatenate([theta[:2], apart])


def negative_log_posterior(
    theta: Floats, distances: Sequence[Floats], values: Floats, prior: tuple[Floats, Floats]
) -> tuple[float, Floats]:
    """The value, up to a constant, and its gradient.

    Args:
        theta: of each kind log weight, log rate and each group's difference from it; then log noise.
        distances: for each kind (groups, n, n).
        values: (n,).
        prior: means and standard deviations of theta.
    """
    from scipy.linalg import solve_triangular

    n, noise = len(values), np.exp(theta[-1])
    split = np.cumsum([2 + len(d) for d in distances])[:-1]
    blocks = np.split(theta[:-1], split)
    rates = [np.exp(block[1] + block[2:]) for block in blocks]
    parts = [
        np.exp(block[0] - (rate @ d.reshape(len(d), n * n)).reshape(n, n))
        for block, rate, d in zip(blocks, rates, distances, strict=True)
    ]
    factor = np.linalg.cholesky(sum(parts, start=(noise + _JITTER) * np.eye(n)))
    half = solve_triangular(factor, np.eye(n), lower=True, check_finite=False)
    inverse = half.T @ half
    alpha = inverse @ values
    slope = 0.5 * (inverse - np.outer(alpha, alpha))  # of the loss in the covariance
    away = (theta - prior[0]) / prior[1]
    loss = 0.5 * values @ alpha + np.log(np.diag(factor)).sum() + 0.5 * away @ away
    gradient = []
    for part, rate, d in zip(parts, rates, distances, strict=True):
        share = slope * part
        by_group = -rate * (d.reshape(len(d), n * n) @ share.ravel())
        gradient += [[share.sum(), by_group.sum()], by_group]
    gradient.append([noise * np.trace(slope)])
    return float(loss), np.concatenate(gradient) + away / prior[1]
