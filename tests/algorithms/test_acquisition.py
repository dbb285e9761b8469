import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from algorithms.acquisition import incumbent_order, log_expected_improvement, normal_scores, scalarized


@pytest.mark.parametrize(("mean", "deviation", "best"), [(0.0, 1.0, 0.5), (2.0, 0.7, 0.5), (-1.0, 2.0, 0.0)])
def test_expected_improvement_equals_its_integral(mean, deviation, best):
    def integrand(f):
        return (
            (best - f) * math.exp(-0.5 * ((f - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
        )

    expected = quad(integrand, mean - 12 * deviation, best)[0]
    found = log_expected_improvement(np.array([mean]), np.array([deviation]), best)
    assert math.exp(found[0]) == pytest.approx(expected, rel=1e-8)


def test_the_logarithm_stays_exact_where_the_expectation_underflows():
    """At z = -40, log(pdf + z cdf) = -800 - log(sqrt(2 pi)) - 2 log 40 + log(1 - 3 / 40^2 + ...)."""
    found = log_expected_improvement(np.array([40.0]), np.array([1.0]), 0.0)[0]
    expected = -800 - 0.5 * math.log(2 * math.pi) - 2 * math.log(40) + math.log1p(-3 / 1600 + 15 / 1600**2)
    assert found == pytest.approx(expected, abs=1e-6)


@given(st.floats(-5000, 50), st.floats(1e-6, 10))
def test_it_grows_with_the_promise(z, further):
    """Finite everywhere, and strictly higher for a lower mean, over the joints of the three forms too."""
    lower = z + max(further, 1e-6 * abs(z))
    worse, better = log_expected_improvement(np.array([-z, -lower]), np.ones(2), 0.0)
    assert np.isfinite([worse, better]).all()
    assert worse < better


def test_normal_scores_by_hand():
    """Ranks 2, 1 and two failures that share 3.5, of four: quantiles at 0.375, 0.125, 0.75."""
    found = normal_scores(np.array([5.0, -1.0, math.inf, math.inf]))
    np.testing.assert_allclose(found, [-0.31864, -1.15035, 0.67449, 0.67449], atol=1e-5)


def test_scores_do_not_depend_on_the_unit():
    losses = np.random.default_rng(0).normal(size=20)
    np.testing.assert_allclose(normal_scores(losses), normal_scores(np.exp(3 * losses) - 7))


def test_the_best_come_first():
    assert incumbent_order(np.array([3.0, 1.0, 2.0, 1.0]), most=3).tolist() == [1, 3, 2]


def test_scalarised_losses_respect_domination_and_keep_failures_last():
    rng = np.random.default_rng(0)
    losses = np.array([[1.0, 1.0], [2.0, 2.0], [1.5, 3.0], [math.inf, 0.0]])
    for _ in range(20):
        found = scalarized(losses, rng)
        assert found[0] < min(found[1:])
        assert found[3] == math.inf


def test_the_weights_reach_both_ends_of_a_front():
    rng = np.random.default_rng(0)
    front = np.array([[float(i), 10.0 - i] for i in range(11)])
    best = {int(np.argmin(scalarized(front, rng))) for _ in range(200)}
    assert {0, 10} <= best
    assert len(best) > 5
