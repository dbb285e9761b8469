from __future__ import annotations

import pytest

from algorithms.shared.successive_halving import FidelityLevels
from nas.errors import ConfigError

RANGE = ("epochs", 1.0, 81.0)


def values(ladder: FidelityLevels, fidelity_range=RANGE) -> list[float]:
    fidelities = ladder.fidelities("asha", fidelity_range)
    assert {fidelity.name for fidelity in fidelities} == {fidelity_range[0]}
    return [fidelity.value for fidelity in fidelities]


@pytest.mark.parametrize(
    ("ladder", "fidelity_range", "expected"),
    [
        (FidelityLevels((), None, None, 3), ("epochs", 1, 81), [1, 3, 9, 27, 81]),
        (FidelityLevels((), None, None, 4), ("epochs", 1, 256), [1, 4, 16, 64, 256]),
        (FidelityLevels((), None, None, 3), ("epochs", 1, 12), [1, 3, 12]),  # factor 3.46, rounded
        (FidelityLevels((), None, None, 3), ("epochs", 1, 8), [1, 3, 8]),  # 2.83
        (FidelityLevels((), None, None, 3), ("epochs", 1, 2), [1, 2]),
        (FidelityLevels((), 3, 27, 3), ("epochs", 1, 81), [3, 9, 27]),
        (FidelityLevels((), None, None, 2), ("share", 0.25, 1.0), [0.25, 0.5, 1.0]),
        (FidelityLevels((12, 200), None, None, 3), ("epochs", 12, 200), [12, 200]),
    ],
)
def test_levels_rise_by_a_constant_factor_near_eta(ladder, fidelity_range, expected):
    assert values(ladder, fidelity_range) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("ladder", "message"),
    [
        (
            FidelityLevels((1, 99), None, None, 3),
            r"expected 1 to 81 epochs; got 99; change levels, lowest or highest, or ",
        ),
        (FidelityLevels((), 0.5, None, 3), r"expected 1 to 81 epochs; got 0\.5; change levels"),
        (
            FidelityLevels((), None, 100, 3),
            r"expected 1 to 81 epochs; got 100; .*or search\.fidelity where it ends the range$",
        ),
        (
            FidelityLevels((), 9, 3, 3),
            r"expected two or more rising fidelities within 1 to 81 epochs; got 9, 3; ",
        ),
        (
            FidelityLevels((9,), None, None, 3),
            r"expected two or more rising .* got 9; change levels, lowest or high",
        ),
        (FidelityLevels((9, 9), None, None, 3), r"expected two or more rising .* got 9, 9; "),
        (
            FidelityLevels((1, 9), 1, None, 3),
            r"levels: expected alone; got lowest or highest as well; leave",
        ),
        (FidelityLevels(("1", 9), None, None, 3), r"levels: expected numbers; got \['1', 9\]; change it$"),  # type: ignore[arg-type]
        (FidelityLevels((), None, None, 1), r"eta: expected 2 or more; got 1; change it$"),
    ],
)
def test_levels_out_of_range_are_one_line(ladder, message):
    with pytest.raises(ConfigError, match=rf'^searcher "asha": {message}'):
        values(ladder)


def test_an_evaluator_without_fidelity_is_refused():
    with pytest.raises(
        ConfigError, match=r'^searcher "asha": expected an evaluator with a fidelity, such as'
    ):
        FidelityLevels((), None, None, 3).fidelities("asha", None)
