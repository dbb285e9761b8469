from __future__ import annotations

import pytest

from nas.layers import TrainSettings
from nas.training import cosine, cosine_power
from nas.training.schedules import Plateau, rate_factor


def test_cosine_has_its_known_values() -> None:
    assert [cosine(step, 12) for step in (0, 4, 6, 8, 12, 13)] == pytest.approx([1, 0.75, 0.5, 0.25, 0, 0])


def test_cosine_power_lies_between_a_cosine_and_a_power() -> None:
    assert [cosine_power(step, 12, 4.0) for step in (0, 6, 12, 13)] == pytest.approx([1, 1 / 3, 0, 0])
    heights = [cosine_power(step, 12, 1.0) for step in range(13)]
    assert heights == [cosine(step, 12) for step in range(13)]
    assert heights == pytest.approx([cosine_power(step, 12, 1.0 + 1e-9) for step in range(13)])


def test_cosine_power_needs_no_lower_rate_and_none_above_the_highest() -> None:
    to_zero = TrainSettings(schedule="cosine_power", epochs=4)
    assert [rate_factor(to_zero, step, 1, Plateau()) for step in (0, 4)] == [1.0, 0.0]
    level = TrainSettings(schedule="cosine_power", epochs=4, lr=0.1, lr_min=1.0)
    assert [rate_factor(level, step, 1, Plateau()) for step in range(5)] == [1.0] * 5


def test_warm_up_to_the_end_under_every_schedule() -> None:
    for schedule in ("cosine", "cosine_power", "plateau", "constant"):
        settings = TrainSettings(schedule=schedule, epochs=3, warmup_epochs=3.0)
        assert rate_factor(settings, 2, 1, Plateau()) == 3 / 4


def test_rate_factor_warms_up_linearly_and_then_follows_the_cosine() -> None:
    settings = TrainSettings(epochs=3, warmup_epochs=1.0)
    factors = [rate_factor(settings, step, 3, Plateau()) for step in range(9)]
    assert factors[:3] == pytest.approx([1 / 4, 2 / 4, 3 / 4])
    assert factors[3:] == pytest.approx([cosine(step, 6) for step in range(6)])


def test_rate_factor_of_constant_and_plateau_is_that_of_the_decays() -> None:
    decayed = Plateau(factor=0.25)
    assert rate_factor(TrainSettings(schedule="constant"), 70, 10, Plateau()) == 1.0
    assert rate_factor(TrainSettings(schedule="plateau"), 70, 10, decayed) == 0.25
    assert rate_factor(TrainSettings(schedule="plateau", warmup_epochs=10.0), 0, 10, decayed) == 0.25 / 101


def test_plateau_decays_after_every_patience_of_epochs_without_improvement() -> None:
    settings = TrainSettings(schedule="plateau", rate_mult=0.5, rate_patience=2, epochs=99)
    state, factors = Plateau(), []
    for accuracy in (50, 50, 40, 30, 50, 60, 60, 59):
        state = state.after(accuracy, settings)
        factors.append(state.factor)
    # epochs 2, 3 wait and decay; 4, 5 again (an equal accuracy is no improvement); 6 improves; 7, 8 wait
    assert factors == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]
    assert (state.best, state.best_epoch, state.epoch) == (60, 6, 8)


def test_plateau_stops_at_the_lowest_rate() -> None:
    settings = TrainSettings(schedule="plateau", lr=0.1, lr_min=0.04, rate_mult=0.5, rate_patience=1)
    state = Plateau().after(50, settings)
    factors = [(state := state.after(50, settings)).factor for _ in range(3)]
    assert factors == pytest.approx([0.5, 0.4, 0.4])


def test_other_schedules_do_not_decay_but_count() -> None:
    state = Plateau()
    for _ in range(9):
        state = state.after(10, TrainSettings(rate_patience=2))
    assert (state.factor, state.best_epoch, state.epoch) == (1.0, 1, 9)


def test_exhausted_after_stop_patience_epochs_and_never_for_zero() -> None:
    settings = TrainSettings(stop_patience=2)
    assert [Plateau(50, 3, epoch).exhausted(settings) for epoch in (3, 4, 5)] == [False, False, True]
    assert not Plateau(50, 3, 99).exhausted(TrainSettings(stop_patience=0))
