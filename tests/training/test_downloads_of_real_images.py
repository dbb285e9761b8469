"""Real images in the official formats, from their files to a trained network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from nas.evaluation import Status, Task
from nas.training import DataOptions, load
from nas.training.classification import create
from tests.training.image_files import DATASETS, CifarFiles


def test_the_real_fashion_mnist(shared_data: Path) -> None:
    data = load(DataOptions(dataset="fashion_mnist", root=str(shared_data), limit_train=5000))
    assert (data.images.shape, len(data.train), len(data.validation), len(data.test)) == (
        (70000, 1, 28, 28),
        5000,
        6000,
        10000,
    )
    assert np.bincount(data.labels[data.test]).tolist() == [1000] * 10
    assert data.labels[:4].tolist() == [9, 0, 0, 3]  # ankle boot, T-shirt, T-shirt, dress


def small_network(architecture: Any, shape: tuple[int, ...], classes: int, *, seed: int) -> nn.Module:
    layers = (nn.Conv2d(shape[0], 16, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(256, classes))


def test_real_colour_images_in_cifar_format_are_loaded_and_trained_on(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch, make_task: Callable[..., Task]
) -> None:
    with np.load(shared_data / "cifar10_4000.npz") as archive:
        images, labels = archive["images"], archive["labels"]
    files = CifarFiles(images, labels, batch=666)
    files.unpack(tmp_path)
    monkeypatch.setattr(DATASETS, "CIFAR10", files.kind)
    data = {"dataset": "cifar10", "root": str(tmp_path), "limit_train": 2000}
    augmentation = {"crop_padding": 4, "flip": True, "cutout": 8}
    evaluator = create(**data, **augmentation, epochs=3, batch_size=64, lr=0.02, compiler=small_network)
    dataset = evaluator.dataset
    assert np.array_equal(dataset.images, images[:3996].transpose(0, 3, 1, 2))
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [2000, 333, 666]
    evaluation = evaluator(make_task())
    assert evaluation.status is Status.COMPLETED
    assert evaluation.values["test_accuracy"] > 18.0  # chance is 10
    assert evaluation.curve[-1]["train_loss"] < evaluation.curve[0]["train_loss"]
