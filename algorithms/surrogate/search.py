"""Surrogate search, the default: a Gaussian process over encodings, its acquisition climbed by mutation.

Bayesian optimisation (Jones et al. 1998) as used in neural architecture search: results on a few
architectures predict the others (White et al. 2021, BANANAS, https://arxiv.org/abs/1910.11858; Ru et al.
2021, https://arxiv.org/abs/2006.07556), and the most promising one is found by mutation of the best, since
random candidates of a large space are all poor. Each part is chosen for searches of tens to hundreds of
evaluations in any space:

- the model is a sum of kernels, exponentials of distances between decisions, ordered values, counts of
  primitives and structure (`distances`), its hyper-parameters learnt (`gaussian_process`);
- losses become normal scores, the quantiles of a standard normal at their ranks (Salinas et al. 2020,
  https://arxiv.org/abs/1909.13595): both architectures that learn nothing and the last tenths of a percent
  are resolved, and neither unit nor outliers matter; failures share the worst rank;
- acquisition is expected improvement, computed as its logarithm (Ament et al. 2023,
  https://arxiv.org/abs/2310.20708), over the least posterior mean of the results, so that one lucky
  measurement does not become the target;
- candidates are mutations and crossovers of the incumbents and random architectures, the best of which are
  mutated further while that helps; the best unused ones remain candidates;
- trials in flight count with their posterior means (kriging believer, Ginsbourger et al. 2010);
- several objectives are reduced to one at each ask, by a Chebyshev norm with random weights (Knowles 2006,
  ParEGO);
- no architecture is proposed twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from nas.algorithms.shared.method import SearchMethod, check_range, loss_of
from nas.algorithms.surrogate.candidates import Candidate, Candidates
from nas.algorithms.surrogate.distances import DistanceCache, Distances, grown
from nas.algorithms.surrogate.gaussian_process import GaussianProcess, learnt_from
from nas.errors import ConfigError, refusal
from nas.evaluation import Objective
from nas.space import sample
from nas.study import SearchFinished, Suggestion, Trial

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from threadpoolctl import ThreadpoolController

    from nas.space import SearchSpace

    Floats = NDArray[np.float64]
_CLIMBS = 4  # rounds in which the best candidates are mutated further
_REFIT = 15  # hyper-parameters are learnt again after 1/15 more results
_AUGMENTATION = 0.05  # weight of the sum in ParEGO's norm (Knowles 2006, equation 2)


class SurrogateSearch(SearchMethod[Candidate]):
    """Suggests what a Gaussian process expects to improve most on the results.

    Args:
        space: of any kind.
        objectives: the first one, or all of them, see `pareto`.
        seed: of all randomness.
        initial: random architectures before the model decides; at least 2.
        pareto: search for the best trade-offs of all objectives instead of the best of the first.

    Raises:
        ConfigError: too few initial architectures, or a trade-off of a single objective.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        seed: int,
        initial: int = 5,
        pareto: bool = False,
    ) -> None:
        check_range("surrogate", "initial", initial, 2, what="architectures")
        if pareto and len(objectives) < 2:
            got = f"an evaluator of {len(objectives)}"
            remedy = "add one to evaluator.objectives or set pareto=false"
            raise ConfigError(refusal('searcher "surrogate": pareto', "two objectives or more", got, remedy))
        super().__init__(space, objectives if pareto else objectives[:1], seed=seed)
        _one_thread()
        self._initial = initial
        self._distances = Distances(space, sample(space, np.random.default_rng(seed)))
        self._candidates = Candidates(space, self._distances, self._rng)
        self._process = GaussianProcess()
        self._fitted_at = 0
        self._told: list[Candidate] = []
        self._losses: list[tuple[float, ...]] = []
        self._cache = DistanceCache(self._distances)

    @property
    def uninformed(self) -> int:
        """Its random start, which is longer if too few of these trials complete."""
        return self._initial

    def _suggest(self) -> Suggestion:
        with _one_thread().limit(limits=1):
            candidate = self._propose()
        if candidate is None:
            raise SearchFinished
        self._in_flight.add(candidate)
        return candidate.suggestion()

    def _take(self, trial: Trial, remembered: Candidate) -> None:
        candidate = remembered
        if trial.architecture.digest() != candidate.architecture.digest():  # as in an older log
            candidate = self._candidates.coded(trial.architecture)
        self._losses.append(tuple(loss_of(trial, objective) for objective in self._objectives))
        self._told.append(candidate._replace(trial=trial.number))

    def _propose(self) -> Candidate | None:
        completed = sum(np.isfinite(losses).all() for losses in self._losses)
        if completed < 2 or len(self._told) + len(self._in_flight) < self._initial:
            return self._candidates.random() or self._candidates.any_left()
        losses = np.array(self._losses)
        values = normal_scores(losses[:, 0] if losses.shape[1] == 1 else scalarized(losses, self._rng))
        self._learn(values)
        pool = self._candidates.gather([self._told[i] for i in incumbent_order(values)])
        scores = self._scores(pool)
        for _ in range(_CLIMBS):
            further = self._candidates.near([pool[i] for i in np.argsort(-scores, kind="stable")])
            if not further:
                break
            before = scores.max()
            pool, scores = pool + further, np.concatenate([scores, self._scores(further)])
            if scores.max() <= before:
                break
        if not pool:
            return self._candidates.any_left()
        return self._candidates.take(pool, scores)

    def _learn(self, values: NDArray[np.float64]) -> None:
        """Takes all results, with believed ones of trials in flight, and sometimes new hyper-parameters."""
        n, known = len(values), [each.code for each in self._told]
        if n >= self._fitted_at + 1 + self._fitted_at // _REFIT or len(self._objectives) > 1:
            chosen = learnt_from(values, self._rng)
            self._process.fit(self._distances.by_group([known[i] for i in chosen]), values[chosen])
            self._cache.rescale(self._process.hyperparameters.rates)
            self._fitted_at = n
        self._cache.know(known)
        means = self._process.condition(self._cache.between, values)
        self._best = float(means.min())
        if self._in_flight:
            across = self._cache.trust([each.code for each in self._in_flight.remembered()])
            believed = self._process.mean(across[:, :n])
            between = grown(self._cache.between, across)
            self._process.condition(between, np.concatenate([values, believed]))

    def _scores(self, candidates: Sequence[Candidate]) -> NDArray[np.float64]:
        if not candidates:
            return np.zeros(0)
        digests = [each.architecture.digest() for each in candidates]
        across = self._cache.to(digests, [each.code for each in candidates])
        return log_expected_improvement(*self._process.predict(across), self._best)


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
    """Log E[max(best - f, 0)] of normal predictions, exact even where the expectation underflows.

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


@cache
def _one_thread() -> ThreadpoolController:
    """Limits linear algebra to one thread: on matrices this small, several threads slow each other down.

    On two cores an ask took three times as long with two. The libraries are imported here, as the limit does
    not apply to those that are loaded later.
    """
    from threadpoolctl import ThreadpoolController

    for module in ("linalg", "optimize", "sparse", "spatial.distance", "special", "stats"):
        import_module(f"scipy.{module}")
    return ThreadpoolController().select(user_api="blas")
