from __future__ import annotations

import pytest

from nas.algorithms.shared.successive_halving import fidelity_levels
from nas.errors import ConfigError

RANGE = ("epochs", 1.0, 81.0)


def values(levels, lowest, highest, eta, fidelity_range=RANGE) -> list[float]:
    fidelities = fidelity_levels("asha", fidelity_range, eta, levels=levels, lowest=lowest, highest=highest)
    assert {fidelity.name for fidelity in fidelities} == {fidelity_range[0]}
    return [fidelity.value for fidelity in fidelities]


@pytest.mark.parametrize(
    ("options", "fidelity_range", "expected"),
    [
        (((), None, None, 3), ("epochs", 1, 81), [1, 3, 9, 27, 81]),
        (((), None, None, 4), ("epochs", 1, 256), [1, 4, 16, 64, 256]),
        (((), None, None, 3), ("epochs", 1, 12), [1, 3, 12]),  # factor 3.46, rounded
        (((), None, None, 3), ("epochs", 1, 8), [1, 3, 8]),  # 2.83
        (((), None, None, 3), ("epochs", 1, 2), [1, 2]),
        (((), 3, 27, 3), ("epochs", 1, 81), [3, 9, 27]),
        (((), None, None, 2), ("share", 0.25, 1.0), [0.25, 0.5, 1.0]),
        (((12, 200), None, None, 3), ("epochs", 12, 200), [12, 200]),
    ],
)
def test_levels_rise_by_a_constant_factor_near_eta(options, fidelity_range, expected):
    assert values(*options, fidelity_range) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ((1, 99), None, None, 3),
            r"expected 1 to 81 epochs, got 99; keep levels, lowest and highest in that range, or ",
        ),
        (((), 0.5, None, 3), r"expected 1 to 81 epochs, got 0\.5; keep levels"),
        (
            ((), None, 100, 3),
            r"expected 1 to 81 epochs, got 100; .*or widen it with search\.fidelity$",
        ),
        (
            ((), 9, 3, 3),
            r"expected two or more rising fidelities within 1 to 81 epochs, got 9, 3; ",
        ),
        (
            ((9,), None, None, 3),
            r"expected two or more rising .* got 9; give rising levels",
        ),
        (((9, 9), None, None, 3), r"expected two or more rising .* got 9, 9; "),
        (
            ((1, 9), 1, None, 3),
            r"levels: expected levels alone, got lowest or highest as well; leave",
        ),
        (
            (("1", 9), None, None, 3),
            r"levels: expected numbers, got \['1', 9\]; leave it out",
        ),
        (((), None, None, 1), r"eta: expected 2 or more, got 1; leave it out for the default$"),
    ],
)
def test_levels_out_of_range_are_one_line(options, message):
    with pytest.raises(ConfigError, match=rf'^searcher "asha": {message}'):
        values(*options)


def test_an_evaluator_without_fidelity_is_refused():
    with pytest.raises(
        ConfigError, match=r'^searcher "asha": expected an evaluator with a fidelity, such as'
    ):
        fidelity_levels("asha", None, 3)
