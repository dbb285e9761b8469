"""Numbers along their scale, their steps, and the blocks they are drawn in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.language import Number, real
from nas.space import UniformDraws, number_at
from nas.space.operators import share_of, stepped

seeds = st.integers(0, 2**32)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


holes = st.builds(
    lambda low, span, whole, log: Number(
        low if whole else float(low), low + span if whole else float(low + span), whole, log
    ),
    st.integers(1, 50),
    st.integers(1, 10**6),
    st.booleans(),
    st.booleans(),
)


@given(holes, st.floats(0, 1))
def test_shares_and_numbers_are_inverse(number, share):
    value = number_at(number, share)
    assert number.low <= value <= number.high
    assert type(value) is (int if number.integer else float)
    back = share_of(number, value)
    assert 0 <= back <= 1
    again = number_at(number, back)
    assert again == value if number.integer else again == pytest.approx(value, rel=2e-6)


@given(holes, st.floats(0, 0.999), seeds)
def test_steps_leave_the_old_value_and_stay_within_bounds(number, share, seed):
    old = number_at(number, share)
    new = stepped(number, old, UniformDraws(generator(seed)))
    assert new != old
    assert number.low <= new <= number.high
    assert type(new) is type(old)


@pytest.mark.parametrize("bounds", [(1.0, 1.0 + 1e-9), (1e-300, 1e300), (-1e300, 1e300), (5e-324, 1e-323)])
def test_extreme_bounds_are_kept(bounds):
    rng = generator(30)
    for log in (False, True) if bounds[0] > 0 else (False,):
        number = real(*bounds, log=log)
        assert isinstance(number, Number)
        drawn = [number_at(number, float(share)) for share in rng.random(50)]
        assert bounds[0] <= min(drawn) <= max(drawn) <= bounds[1]
        assert stepped(number, bounds[0], UniformDraws(rng)) != bounds[0]


def test_steps_are_normal_along_the_scale():
    number, draw = real(0, 1), UniformDraws(generator(31))
    assert isinstance(number, Number)
    steps = np.array([stepped(number, 0.5, draw) for _ in range(4000)]) - 0.5
    assert abs(steps.mean()) < 4 * 0.2 / np.sqrt(4000)
    assert np.std(steps) == pytest.approx(0.195, abs=0.015)  # 0.2, a little less by reflection at the bounds


def test_draws_are_the_generators_numbers_in_blocks():
    draw, rng = UniformDraws(generator(32)), generator(32)
    drawn = [draw() for _ in range(40)]
    assert sorted(drawn[:32]) == sorted(rng.random(32).tolist())
    assert min(drawn) >= 0
    assert max(drawn) < 1
    assert {draw.index(5) for _ in range(200)} == set(range(5))
