from __future__ import annotations

import dataclasses
import random
import time

import numpy as np
import pytest
import torch
from torch import nn

from nas.evaluation import Status
from nas.layers import TrainSettings
from nas.training import Dataset, DeviceData, Stopped, forked_seed, measure, resident
from nas.training import train as train_module
from nas.training.device import Split
from nas.training.train import Training, reported_row, standard_optimizer, start, train

CPU = torch.device("cpu")


@pytest.fixture
def data(stripes: Dataset) -> DeviceData:
    return resident(stripes, stripes.digest(), CPU)


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(32, 3))


def dropout_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(128, 3),
    )


def begin(network: nn.Module, data: DeviceData, settings: TrainSettings, seed: int = 0) -> Training:
    return start(network, data, settings, seed, standard_optimizer)


def trained(data: DeviceData, settings: TrainSettings, seed: int = 0, epochs: int | None = None) -> Training:
    with forked_seed(seed, CPU):
        training = begin(dropout_network(), data, settings, seed)
        train(training, data, settings, epochs=epochs or settings.epochs)
    return training


def weights(training: Training) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in training.network.state_dict().values()]


def test_full_batches_equal_gradient_descent_derived_by_hand(data: DeviceData) -> None:
    settings = TrainSettings(
        lr=0.3, momentum=0.0, weight_decay=0.01, batch_size=10**6, epochs=4, schedule="constant"
    )
    network = nn.Sequential(nn.Flatten(), nn.Linear(32, 3, bias=False))
    nn.init.zeros_(network[1].weight)  # type: ignore[arg-type]
    with forked_seed(0, CPU):
        train(begin(network, data, settings), data, settings, epochs=4)

    images = (data.train.images.double().numpy() - data.mean.double().numpy()) / data.std.double().numpy()
    x, one_hot = images.reshape(len(images), -1), np.eye(3)[data.train.labels.numpy()]
    expected = np.zeros((3, 32))
    for _ in range(4):
        exponential = np.exp(x @ expected.T)
        probabilities = exponential / exponential.sum(1, keepdims=True)
        gradient = (probabilities - one_hot).T @ x / len(x)
        expected -= 0.3 * (gradient + 0.01 * expected)
    assert network[1].weight.detach().numpy() == pytest.approx(expected, abs=1e-5)  # type: ignore[union-attr]


def test_the_rate_follows_the_schedule_step_by_step(data: DeviceData) -> None:
    class Recorder(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    rates: list[float] = []
    settings = TrainSettings(lr=2.0, batch_size=16, epochs=2, warmup_epochs=0.5)
    with forked_seed(0, CPU):
        training = start(linear(), data, settings, 0, lambda parameters, _: Recorder(parameters, lr=9.0))
        train(training, data, settings, epochs=2)
    # 67 training images are 4 batches of 16; two steps of warm-up, then six of the cosine
    assert len(data.train.labels) == 67
    assert rates == pytest.approx([2 / 3, 4 / 3, *(1 + np.cos(np.pi * np.arange(6) / 6))])


def test_it_learns_and_records_a_row_of_finite_numbers_per_epoch(data: DeviceData) -> None:
    training = trained(data, TrainSettings(epochs=12, batch_size=16, lr=0.05))
    assert [row["epoch"] for row in training.curve] == list(range(1, 13))
    assert training.curve[-1]["validation_accuracy"] >= 90.0
    assert training.curve[-1]["train_loss"] < training.curve[0]["train_loss"]
    assert np.isfinite([list(row.values()) for row in training.curve]).all()
    assert np.all(np.diff([row["seconds"] for row in training.curve]) > 0)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_the_seed_alone_decides_and_global_random_state_stays(data: DeviceData, optimizer: str) -> None:
    settings = TrainSettings(optimizer=optimizer, lr=0.01, epochs=2, batch_size=16, flip=True, crop_padding=1)
    first = trained(data, settings, seed=1)
    torch.rand(3)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    again, other = trained(data, settings, seed=1), trained(data, settings, seed=2)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]  # type: ignore[index]  # noqa: NPY002
    assert all(map(torch.equal, weights(first), weights(again)))
    assert not all(map(torch.equal, weights(first), weights(other)))


def test_measure_is_the_accuracy_in_percent_and_the_mean_loss(
    data: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "EVALUATION_BATCH", 7)  # 30 images: an incomplete last batch
    network = linear()
    accuracy, loss = measure(network, data, data.test)
    with torch.no_grad():
        logits = network(data.normalized(data.test.images))
    assert accuracy == pytest.approx(100 * (logits.argmax(1) == data.test.labels).double().mean().item())
    assert loss == pytest.approx(nn.functional.cross_entropy(logits, data.test.labels).item())


def test_gradients_are_clipped_to_the_norm(data: DeviceData) -> None:
    settings = TrainSettings(
        lr=1.0, momentum=0.0, weight_decay=0.0, grad_clip=1e-3, epochs=1, schedule="constant"
    )
    network = linear()
    before = torch.cat([parameter.detach().flatten().clone() for parameter in network.parameters()])
    with forked_seed(0, CPU):
        train(begin(network, data, settings), data, settings, epochs=1)  # one step: 67 images, batch of 67
    after = torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
    assert (after - before).norm().item() == pytest.approx(1e-3, rel=1e-2)


def test_a_loss_that_is_not_finite_stops_with_diverged(data: DeviceData) -> None:
    settings = TrainSettings(lr=1e38, epochs=3, batch_size=16)
    with pytest.raises(Stopped, match=r"^(training|validation) loss not finite in epoch 1$") as caught:
        trained(data, settings)
    assert caught.value.status is Status.DIVERGED


def test_a_weight_that_is_not_finite_stops_with_diverged(data: DeviceData) -> None:
    network = linear()
    network.register_parameter("unused", nn.Parameter(torch.tensor([1.0, float("inf")])))
    training = begin(network, data, TrainSettings(epochs=1))
    with forked_seed(0, CPU), pytest.raises(Stopped, match=r"^weights not finite in epoch 1$"):
        train(training, data, TrainSettings(epochs=1), epochs=1)
    assert training.curve == []


def test_the_deadline_stops_with_timeout(data: DeviceData) -> None:
    training = begin(linear(), data, TrainSettings(epochs=1))
    with forked_seed(0, CPU), pytest.raises(Stopped, match=r"^over the time limit in epoch 1$") as caught:
        train(training, data, TrainSettings(epochs=1), epochs=1, deadline=time.perf_counter())
    assert caught.value.status is Status.TIMEOUT


def test_stop_patience_ends_a_training_that_does_not_improve(data: DeviceData) -> None:
    settings = TrainSettings(lr=1e-12, epochs=50, stop_patience=3, momentum=0.0, batch_size=16)
    training = begin(linear(), data, settings)
    with forked_seed(0, CPU):
        train(training, data, settings, epochs=50)
    assert (training.epoch, training.plateau.best_epoch) == (4, 1)


def test_reported_row_is_the_last_or_the_best_with_its_weights(data: DeviceData) -> None:
    last = TrainSettings(epochs=8, batch_size=16, lr=1.0)
    best = last.with_overrides({"restore_best": True})
    draws = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (50, 2, 4, 4), generator=draws, dtype=torch.uint8)
    data = dataclasses.replace(data, validation=Split(noise, torch.randint(0, 3, (50,), generator=draws)))
    training = trained(data, best, seed=3)
    accuracies = [row["validation_accuracy"] for row in training.curve]
    assert accuracies[-1] < max(accuracies)  # on noise the last epoch is no better than others
    assert reported_row(training, last) is training.curve[-1]
    assert measure(training.network, data, data.validation)[0] == accuracies[-1]
    assert reported_row(training, best)["epoch"] == accuracies.index(max(accuracies)) + 1
    assert measure(training.network, data, data.validation)[0] == max(accuracies)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_it_learns_as_on_the_cpu(stripes: Dataset) -> None:
    cuda = torch.device("cuda", torch.cuda.current_device())
    data, settings = (
        resident(stripes, stripes.digest(), cuda),
        TrainSettings(epochs=12, batch_size=16, lr=0.05),
    )
    before = torch.cuda.get_rng_state(cuda)
    with forked_seed(0, cuda):
        training = begin(dropout_network(), data, settings)
        train(training, data, settings, epochs=12)
    assert training.curve[-1]["validation_accuracy"] >= 90.0
    assert next(training.network.parameters()).dtype is torch.float32
    assert torch.equal(torch.cuda.get_rng_state(cuda), before)
