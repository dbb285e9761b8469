"""The bound on the seconds of a training: it ends as if its epochs were over, and the best epoch counts."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from nas.errors import ConfigError
from nas.evaluation import EVALUATORS, Status, Task
from nas.layers import TrainSettings
from nas.registry import build
from nas.search_spaces.deepconv import space
from nas.space import sample
from nas.training import Dataset, DeviceData, forked_seed, resident
from nas.training import train as train_module
from nas.training.train import Training, reported_row, start, train

CPU = torch.device("cpu")
STEPS = 4  # of an epoch: 67 training images in batches of 16


@pytest.fixture
def data(stripes: Dataset) -> DeviceData:
    return resident(stripes, stripes.digest(), CPU)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock on which each step of the optimizer takes a second and nothing else takes time."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(train_module, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def trained(
    data: DeviceData, clock: SimpleNamespace, epochs: int = 10, **changes: float | str | bool
) -> Training:
    settings = TrainSettings(lr=0.05, batch_size=16, epochs=10).with_overrides(changes)

    class Slow(torch.optim.SGD):
        def step(self, closure=None):
            clock.now += 1
            return super().step(closure)

    with forked_seed(0, CPU):
        network = nn.Sequential(nn.Flatten(), nn.Linear(32, 3))
        training = start(network, data, settings, 0, lambda weights, its: Slow(weights, lr=its.lr))
        train(training, data, settings, epochs=epochs)
    return training


def test_without_a_bound_all_epochs_are_done(data: DeviceData, clock: SimpleNamespace) -> None:
    assert trained(data, clock).epoch == 10
    assert clock.now == 10 * STEPS


@pytest.mark.parametrize(
    ("seconds", "epochs", "steps"),
    [
        (0.5, 1, 1),  # there is always an epoch to report
        (1.0, 1, 2),
        (2.5, 1, 3),
        (3.5, 1, 4),
        (4.5, 2, 5),
        (10.0, 3, 11),
        (39.5, 10, 40),
        (1000.0, 10, 40),
    ],
)
def test_the_epoch_in_which_the_seconds_pass_ends_early_and_counts(
    data: DeviceData, clock: SimpleNamespace, seconds: float, epochs: int, steps: int
) -> None:
    training = trained(data, clock, max_seconds=seconds)
    assert training.epoch == len(training.curve) == epochs
    assert clock.now == steps
    assert training.curve[-1]["seconds"] == steps
    assert reported_row(training, TrainSettings()) == training.curve[-1]


def test_an_early_end_changes_nothing_before_it(data: DeviceData, clock: SimpleNamespace) -> None:
    whole = trained(data, clock, schedule="constant")
    clock.now = 0.0
    part = trained(data, clock, schedule="constant", max_seconds=9.5)
    assert part.curve[:2] == whole.curve[:2]
    assert part.curve[2]["train_loss"] != whole.curve[2]["train_loss"]
    # two of the four batches: their mean loss is a mean, not half of a sum of four
    assert part.curve[2]["train_loss"] == pytest.approx(whole.curve[2]["train_loss"], rel=0.3)


def test_the_best_epoch_within_the_seconds_is_reported(data: DeviceData, clock: SimpleNamespace) -> None:
    settings = TrainSettings(restore_best=True)
    training = trained(data, clock, max_seconds=22.5, restore_best=True, schedule="plateau")
    best = max(row["validation_accuracy"] for row in training.curve)
    assert reported_row(training, settings)["validation_accuracy"] == best
    assert training.best is not None
    assert all(
        torch.equal(value, training.best[name]) for name, value in training.network.state_dict().items()
    )


def test_a_continued_training_counts_the_seconds_of_its_first_part(
    data: DeviceData, clock: SimpleNamespace
) -> None:
    settings = TrainSettings(lr=0.05, batch_size=16, epochs=10, max_seconds=9.5)
    training = trained(data, clock, epochs=2, max_seconds=9.5)
    assert (training.epoch, clock.now) == (2, 8)
    clock.now = 1000.0  # much later
    with forked_seed(0, CPU):
        train(training, data, settings, epochs=10)
    assert training.epoch == 3
    assert training.curve[-1]["seconds"] == 10


def test_the_protocol_of_deepconv_on_the_digits() -> None:
    """As experiments/evaluator/digits_timed.yaml has it, at a small part of its seconds."""
    section = {"name": "classification", "dataset": "digits", "epochs": 1000, "max_seconds": 0.15}
    evaluator = build(EVALUATORS, section)
    architecture = sample(space(filters=(8,), repeats=(1,)), np.random.default_rng(1))
    evaluation = evaluator(Task(0, architecture))
    assert evaluation.status is Status.COMPLETED
    accuracies = [row["validation_accuracy"] for row in evaluation.curve]
    assert evaluation.values["validation_accuracy"] == max(accuracies)
    assert 1 <= len(accuracies) < 1000
    assert evaluation.curve[-1]["seconds"] >= 0.15


def test_the_bound_is_a_setting_like_others() -> None:
    assert TrainSettings().max_seconds == 0
    with pytest.raises(ConfigError, match=r'"max_seconds": expected a number of at least 0, got -1$'):
        build(EVALUATORS, {"name": "classification", "dataset": "digits", "max_seconds": -1})
    bounded, free = (
        build(EVALUATORS, {"name": "classification", "dataset": "digits", "max_seconds": seconds})
        for seconds in (1, 0)
    )
    assert bounded.fingerprint() != free.fingerprint()
