from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nas.errors import EvaluationError
from nas.layers import TrainSettings


def test_with_overrides_replaces_only_what_is_named() -> None:
    settings = TrainSettings(epochs=3)
    changed = settings.with_overrides({"lr": 0.5, "flip": True})
    assert (changed.lr, changed.flip, changed.epochs) == (0.5, True, 3)
    assert settings.with_overrides({}) is settings
    assert dataclasses.replace(changed, lr=settings.lr, flip=False) == settings


def test_numbers_take_the_type_of_their_field() -> None:
    settings = TrainSettings().with_overrides({"lr": 1, "epochs": np.int64(4)})
    assert type(settings.lr) is float
    assert type(settings.epochs) is int


def test_unknown_setting_lists_the_names() -> None:
    with pytest.raises(
        EvaluationError, match=r'unknown option "rate"; options: optimizer, lr, .*cutout'
    ) as caught:
        TrainSettings().with_overrides({"rate": 1})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("optimizer", "lion", "one of sgd, adam, adamw, got 'lion'"),
        ("lr", 0.0, "a number above 0, got 0.0"),
        ("lr", float("nan"), "a number above 0, got nan"),
        ("lr", float("inf"), "a number above 0, got inf"),
        ("lr", "0.1", "a number above 0, got '0.1'"),
        ("lr", True, "a number above 0, got True"),
        ("momentum", 1.0, "a number from 0 up to, not including, 1, got 1.0"),
        ("batch_size", 0, "a number of at least 1, got 0"),
        ("batch_size", 16.5, "a number of at least 1, got 16.5"),
        ("epochs", None, "a number of at least 1, got None"),
        ("schedule", 1, "one of cosine, cosine_power, plateau, constant, got 1"),
        ("rate_power", 0.5, "a number of at least 1, got 0.5"),
        ("rate_mult", 1.0, "a number between 0 and 1, got 1.0"),
        ("label_smoothing", 1.5, "a number from 0 to 1, got 1.5"),
        ("restore_best", 1, "true or false, got 1"),
        ("cutout", -1, "a number of at least 0, got -1"),
        ("warmup_epochs", 11.0, "at most epochs = 10, got 11.0; lower warmup_epochs or raise epochs"),
    ],
)
def test_bad_value_is_named_with_what_is_expected(name: str, value: object, expected: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        TrainSettings().with_overrides({name: value})
    assert str(caught.value) == f'training setting "{name}": expected {expected}'


def test_every_field_has_a_plain_type() -> None:
    assert {type(field.default) for field in dataclasses.fields(TrainSettings)} <= {int, float, str, bool}
