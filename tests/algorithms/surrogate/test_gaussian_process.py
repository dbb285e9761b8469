# pyright: reportIncompatibleMethodOverride=false, reportArgumentType=false
import numpy as np
import pytest

from nas.algorithms.surrogate.gaussian_process import (
    MOST,
    GaussianProcess,
    learnt_from,
    negative_log_posterior,
)


def by_group(a, b):
    """Two kinds of distances between rows of 12 features: six groups of one feature, and one of six."""
    apart = np.abs(a[:, None] - b[None]).transpose(2, 0, 1)
    return [apart[:6], apart[6:].sum(0, keepdims=True)]


def scaled(process, a, b):
    """Distances (kinds, n, m) with the learnt rates in them."""
    rates = process.hyperparameters.rates
    return np.stack([np.einsum("g,gnm->nm", rate, d) for rate, d in zip(rates, by_group(a, b), strict=True)])


@pytest.fixture
def data():
    rng = np.random.default_rng(3)
    x = rng.integers(0, 2, size=(60, 12)).astype(float)
    y = x @ rng.normal(size=12) + x[:, 0] * x[:, 7]
    return x, (y - y.mean()) / y.std()


def learnt(x, y):
    process = GaussianProcess()
    assert not process.is_fitted
    process.fit(by_group(x, x), y)
    process.condition(scaled(process, x, x), y)
    return process


def test_posterior_equals_that_of_scikit_learn(data):
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Kernel

    x, y = data
    process = learnt(x[:40], y[:40])
    weights, _, noise = process.hyperparameters

    class Additive(Kernel):
        """The same covariance, for an implementation of somebody else's."""

        def __init__(self):
            super().__init__()

        def __call__(self, X, Y=None, eval_gradient=False):  # noqa: N803 - their names
            assert not eval_gradient
            d = scaled(process, X, X if Y is None else Y)
            return sum(weight * np.exp(-each) for weight, each in zip(weights, d, strict=True))

        def diag(self, X):  # noqa: N803
            return np.full(len(X), weights.sum())

        def is_stationary(self):
            return True

    theirs = GaussianProcessRegressor(Additive(), alpha=noise + 1e-6, optimizer=None)
    expected = theirs.fit(x[:40], y[:40]).predict(x[40:], return_std=True)
    mean, deviation = process.predict(scaled(process, x[:40], x[40:]))
    np.testing.assert_allclose(mean, expected[0], atol=1e-9)
    np.testing.assert_allclose(deviation, expected[1], atol=1e-6)
    np.testing.assert_allclose(process.mean(scaled(process, x[:40], x[40:])), mean)


def test_gradient_equals_finite_differences(data):
    x, y = data
    d = by_group(x, x)
    # of each kind a weight, a rate and six groups or one, then the noise
    mean = np.concatenate([[-0.7, -1.1], np.zeros(6), [-0.7, -1.4, 0.0], [-4.0]])
    prior = (mean, np.concatenate([[1.0, 1.0], np.full(6, 0.5), [1.0, 1.0, 0.5], [1.5]]))
    theta = prior[0] + 0.4 * np.random.default_rng(0).normal(size=len(prior[0]))
    gradient = negative_log_posterior(theta, d, y, prior)[1]
    for i in range(len(theta)):
        step = np.eye(len(theta))[i] * 1e-5
        above, below = (negative_log_posterior(theta + s * step, d, y, prior)[0] for s in (1, -1))
        assert gradient[i] == pytest.approx((above - below) / 2e-5, rel=1e-4, abs=1e-6)


def test_learning_predicts_better_than_the_prior(data):
    x, y = data
    process = learnt(x[:40], y[:40])
    error = np.square(process.mean(scaled(process, x[:40], x[40:])) - y[40:]).mean()
    assert error < 0.5 * np.square(y[40:]).mean()


def test_a_useless_kind_gets_little_weight_and_a_useless_group_a_low_rate():
    """Values depend on the first three features alone."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2, size=(120, 12)).astype(float)
    y = x[:, 0] * 3 + x[:, 1] * 2 - x[:, 2] * 2 + 3 * x[:, 0] * x[:, 2]
    weights, rates, _ = learnt(x, (y - y.mean()) / y.std()).hyperparameters
    assert weights[0] > 3 * weights[1]
    assert min(rates[0][:3]) > 2 * max(rates[0][3:])


def test_groups_may_become_more(data):
    """What was learnt of the others stays where the optimiser begins."""
    x, y = data
    process = GaussianProcess()
    process.fit([d[:4] if len(d) > 1 else d for d in by_group(x[:20], x[:20])], y[:20])
    process.fit(by_group(x, x), y)
    assert [len(rate) for rate in process.hyperparameters.rates] == [6, 1]


def test_a_group_without_differences_keeps_the_rate_of_its_kind(data):
    x, y = data
    same = [np.concatenate([d, np.zeros_like(d[:1])]) for d in by_group(x, x)]
    process = GaussianProcess()
    process.fit(same, y)
    for (common, *apart), rates in zip(
        ([theta[1], *theta[2:]] for theta in process._theta), process.hyperparameters.rates, strict=True
    ):
        assert apart[-1] == pytest.approx(0, abs=1e-6)
        assert rates[-1] == pytest.approx(np.exp(common), rel=1e-5)


def test_hyper_parameters_are_learnt_from_a_bounded_number_of_results_and_the_best_among_them():
    values = np.random.default_rng(0).permutation(500).astype(float)
    chosen = learnt_from(values, np.random.default_rng(0))
    assert len(chosen) == len(set(chosen)) == MOST
    assert set(np.flatnonzero(values < MOST // 2)) <= set(chosen)
    assert learnt_from(values[:MOST], np.random.default_rng(0)).tolist() == list(range(MOST))
