"""A second test set from two .npy files: read, measured, part of the identity, and refused in one line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from nas.errors import ConfigError, EvaluationError
from nas.evaluation import Task
from nas.layers import TrainSettings
from nas.training import DataOptions, Dataset, load
from nas.training.classification import ClassificationEvaluator, create
from nas.training.sources import npy_pair
from nas.training.trial import EXTRA

SHAPE = (3, 5, 4)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3)).astype(np.uint8)  # (N, H, W, C)
LABELS = np.array([0, 1, 2, 0, 1, 2], np.int32)


def saved(folder: Path, images: Any = IMAGES, labels: Any = LABELS) -> tuple[str, str]:
    files = folder / "images.npy", folder / "labels.npy"
    for file, array in zip(files, (images, labels), strict=True):
        np.save(file, array)
    return str(files[0]), str(files[1])


def test_channels_last_is_read_as_channels_first(tmp_path: Path) -> None:
    images, labels = npy_pair(*saved(tmp_path), SHAPE, 3)
    assert np.array_equal(images, IMAGES.transpose(0, 3, 1, 2))
    assert images.flags.c_contiguous
    assert labels.dtype == np.int64
    assert labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.astype(float), LABELS, r"images.npy: expected values of float64 from 0 to 1, got 0 to 255"),
        (IMAGES[:, :4], LABELS, r"images.npy: expected images of shape \(3, 5, 4\), .*, got \(3, 4, 4\)"),
        (IMAGES, LABELS[:5], r"labels.npy: expected labels of .* shape \(6,\), one for each image, got"),
        (IMAGES, LABELS + 1, r"labels.npy: expected labels 0..2, as those for training, got 3"),
        (
            IMAGES,
            LABELS - 1,
            r"labels.npy: expected labels of whole numbers from 0.*, got labels from -1 to 1",
        ),
    ],
)
def test_the_fault_is_named_in_one_line(tmp_path: Path, images: Any, labels: Any, message: str) -> None:
    with pytest.raises(EvaluationError, match=message) as caught:
        npy_pair(*saved(tmp_path, images, labels), SHAPE, 3)
    assert "\n" not in str(caught.value)


def test_files_that_are_none_or_would_run_code_are_refused(tmp_path: Path) -> None:
    images, labels = saved(tmp_path)
    with pytest.raises(EvaluationError, match=r"nothing.npy: expected an .npy file, found none"):
        npy_pair(str(tmp_path / "nothing.npy"), labels, SHAPE, 3)
    np.save(labels, np.array([{"a": 1}] * 6, dtype=object), allow_pickle=True)
    with pytest.raises(EvaluationError, match=r"labels.npy: expected numbers or texts, got Python objects"):
        npy_pair(images, labels, SHAPE, 3)
    with Path(labels).open("wb") as file:
        np.savez(file, a=LABELS)
    with pytest.raises(EvaluationError, match=r"labels.npy: expected an .npy file, got a zip archive"):
        npy_pair(images, labels, SHAPE, 3)
    Path(images).write_bytes(b"\x93NUMPY\x01")
    with pytest.raises(EvaluationError, match=r"images.npy: expected an .npy file of a plain array"):
        npy_pair(images, labels, SHAPE, 3)


def test_one_file_alone_is_no_test_set() -> None:
    with pytest.raises(
        ConfigError, match="expected both files of second test images or none, got extra_images="
    ):
        DataOptions(extra_images="x.npy")


def digits(tmp_path: Path) -> tuple[Dataset, Dataset]:
    """The digits, and the same with 40 of their test images as a second test set."""
    plain = load(DataOptions())
    given = plain.test[:40]
    files = saved(tmp_path, plain.images[given, 0], plain.labels[given])
    return plain, load(DataOptions(extra_images=files[0], extra_labels=files[1]))


def test_identity_changes_with_the_second_test_set_only(tmp_path: Path) -> None:
    plain, more = digits(tmp_path)
    assert plain.extra is None
    assert load(DataOptions()).digest() == plain.digest() != more.digest()
    other = replace(more, extra=(more.extra[0], more.extra[1][::-1].copy()))  # type: ignore[index]
    assert len({each.digest() for each in (plain, more, other)}) == 3
    digest = hashlib.sha256(repr((10, (1797, 1, 8, 8))).encode())  # as before there were second test sets
    for array in (plain.images, plain.labels, plain.train, plain.validation, plain.test):
        digest.update(len(array).to_bytes(8, "little"))
        digest.update(array.tobytes())
    assert plain.digest() == digest.hexdigest()


def linear(candidate: Any, shape: tuple[int, int, int], classes: int, *, seed: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes))


def test_it_is_measured_beside_the_test_images(tmp_path: Path, make_task: Callable[..., Task]) -> None:
    plain, more = digits(tmp_path)
    settings = TrainSettings(epochs=2, batch_size=64, lr=0.05)
    one, two = (
        ClassificationEvaluator(data, settings, device="cpu", compiler=linear) for data in (plain, more)
    )
    expected, found = one(make_task()).values, two(make_task()).values
    assert tuple(found) == two.value_names(None) == (*one.value_names(None), EXTRA)
    assert {name: value for name, value in found.items() if name != EXTRA} == expected
    assert found[EXTRA] % 2.5 == 0.0  # a share of 40 images
    assert found[EXTRA] > 50.0
    assert one.fingerprint() != two.fingerprint()


def test_the_evaluator_takes_both_as_options(tmp_path: Path) -> None:
    digits(tmp_path)
    files = {"extra_images": str(tmp_path / "images.npy"), "extra_labels": str(tmp_path / "labels.npy")}
    assert create(dataset="digits", epochs=1, **files).dataset.extra is not None
    assert create(dataset="digits", epochs=1, extra_images=None, extra_labels=None).dataset.extra is None
