"""Settings of a search: the published defaults, schedules, and what is refused."""

import numpy as np
import pytest

from nas.errors import ConfigError
from nas.supernet import OneShotSettings


def test_defaults_are_the_published_ones():
    settings = OneShotSettings()
    search = (settings.epochs, settings.batch_size, settings.lr, settings.lr_min, settings.momentum)
    assert search == (50, 64, 0.025, 0.001, 0.9)
    assert (settings.weight_decay, settings.grad_clip, settings.train_fraction) == (3e-4, 5.0, 0.5)
    adam = (settings.alpha_lr, settings.alpha_beta1, settings.alpha_beta2, settings.alpha_weight_decay)
    assert adam == (3e-4, 0.5, 0.999, 1e-3)
    augmentation = settings.augmentation(augmentable=True)
    assert (augmentation.crop_padding, augmentation.flip, augmentation.cutout) == (4, True, 0)


def test_images_that_may_not_keep_their_classes_are_augmented_only_when_asked():
    settings = OneShotSettings().augmentation(augmentable=False)
    assert (settings.crop_padding, settings.flip) == (0, False)
    for augmentable in (True, False):
        settings = OneShotSettings(crop_padding=2, flip=False).augmentation(augmentable)
        assert (settings.crop_padding, settings.flip) == (2, False)
    assert OneShotSettings(flip=True).augmentation(augmentable=False).flip


def test_cosine_starts_at_lr_and_would_end_at_lr_min_after_the_last_epoch():
    settings = OneShotSettings()
    assert [settings.rate(epoch) for epoch in (0, 25, 50)] == pytest.approx([0.025, 0.013, 0.001])


@pytest.mark.parametrize(
    ("power", "expected"),
    [(1, (0.02134, 0.0125, 0.00366)), (2, (0.02017, 0.01036, 0.00267)), (10, (0.01705, 0.00601, 0.00111))],
)
def test_cosine_power_has_the_values_computed_for_the_paper(power, expected):
    settings = OneShotSettings(epochs=2000, schedule="cosine_power", power=power, lr_min=1e-8)
    found = [settings.rate(epoch) for epoch in (500, 1000, 1500)]
    np.testing.assert_allclose(found, expected, atol=5e-6)


def test_warm_up_is_linear_and_shortens_the_curve():
    settings = OneShotSettings(epochs=10, warmup_epochs=4, lr=1.0, lr_min=0.0)
    assert [settings.rate(epoch) for epoch in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert settings.rate(7) == pytest.approx(0.5)


def test_progress_goes_from_zero_to_one():
    assert [OneShotSettings(epochs=5).progress(epoch) for epoch in (0, 2, 4)] == [0.0, 0.5, 1.0]
    assert OneShotSettings(epochs=1).progress(0) == 0.0


def test_whole_numbers_pass_as_numbers_and_none_turns_limits_off():
    settings = OneShotSettings(lr=1, limit_steps=np.int64(3), skip_limit=None)
    assert (settings.lr, settings.limit_steps, settings.skip_limit) == (1.0, 3, None)
    assert type(settings.lr) is float
    assert type(settings.limit_steps) is int


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, r'"epochs": expected a number of at least 1, got 0'),
        ({"epochs": None}, r'"epochs": expected .*, got None'),
        ({"lr": "fast"}, r'"lr": expected a number above 0, got \'fast\''),
        ({"flip": 1}, r'"flip": expected true or false, got 1'),
        ({"order": 3}, r'"order": expected a number from 1 to 2, got 3'),
        ({"weighting": "hard"}, r'"weighting": expected one of softmax, .*, got \'hard\''),
        ({"train_fraction": 1.0}, r'"train_fraction": expected a number between 0 and 1, got 1'),
        ({"skip_limit": -1}, r'"skip_limit": expected a number of at least 0, got -1'),
        ({"limit_steps": 0}, r'"limit_steps": expected a number of at least 1, got 0'),
        (
            {"alpha_from": 51},
            r'"alpha_from": expected less than epochs = 50, .*, got 51; lower alpha_from or',
        ),
        ({"alpha_from": 3, "epochs": 3}, r'"alpha_from": expected less than epochs = 3, .*, got 3; lower'),
        ({"warmup_epochs": 51}, r"at most epochs = 50, got 51; lower warmup_epochs or raise epochs"),
        ({"lr_min": 0.1}, r'"lr_min": expected at most lr = 0.025, got 0.1; lower lr_min or raise lr'),
        ({"temperature_min": 11}, r'"temperature_min": expected at most temperature = 10.0, got 11'),
        ({"weighting": "gumbel", "order": 2}, r'"order": expected 1 with weighting "gumbel"'),
        (
            {"weighting": "uniform", "eigenvalue": True},
            r'"eigenvalue": expected false with weighting "uniform"',
        ),
    ],
)
def test_what_is_refused_in_one_line(options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        OneShotSettings(**options)
    assert "\n" not in str(caught.value)
