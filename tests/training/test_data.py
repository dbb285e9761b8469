from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import ConfigError, EvaluationError
from nas.training import DataOptions, Dataset, load
from nas.training.data import split
from nas.training.sources import Source, joined


def source(counts: tuple[int, ...], seed: int = 0) -> Source:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    images = rng.integers(0, 256, (len(labels), 2, 3, 3)).astype(np.uint8)
    return joined([(images, labels)], classes=len(counts))


def shares(data: Dataset, part: np.ndarray) -> np.ndarray:
    return np.bincount(data.labels[part], minlength=data.classes) / len(part)


def test_digits_are_the_bundled_ones() -> None:
    digits = load(DataOptions())
    assert digits.input_shape == (1, 8, 8)
    assert (len(digits.train), len(digits.validation), len(digits.test)) == (1293, 144, 360)
    assert (digits.images.min(), digits.images.max(), digits.classes) == (0, 16, 10)
    assert digits.images[0, 0, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert digits.labels[:10].tolist() == list(range(10))
    assert digits.summary() == (
        "data digits: 1293 images to train, 144 to validate, 360 to test, of 1x8x8; 10 classes: 0, 1, 2, 3, "
        "4, 5, "
        "6, 7, 8, 9"
    )
    assert digits.class_names == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), limit=st.integers(6, 60))
def test_splits_are_disjoint_stratified_and_limited(seed: int, limit: int) -> None:
    options = DataOptions(validation_fraction=0.2, test_fraction=0.25, split_seed=seed, limit_train=limit)
    data = split("x", source((60, 40, 20)), options)
    parts = (data.train, data.validation, data.test)
    assert [len(part) for part in parts] == [limit, 18, 30]
    assert len(np.unique(np.concatenate(parts))) == limit + 18 + 30
    assert shares(data, data.validation) == pytest.approx([1 / 2, 1 / 3, 1 / 6])
    assert shares(data, data.test) == pytest.approx([1 / 2, 1 / 3, 1 / 6])
    assert shares(data, data.train) == pytest.approx([1 / 2, 1 / 3, 1 / 6], abs=1 / limit)


def test_the_seed_moves_validation_but_never_test_images() -> None:
    first, again, other = (split("x", source((60, 40)), DataOptions(split_seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.validation, again.validation)
    assert not np.array_equal(first.validation, other.validation)
    assert np.array_equal(first.test, other.test)
    assert first.digest() == again.digest() != other.digest()


def test_given_test_images_stay_the_test_images() -> None:
    given_test = np.array([3, 5, 8])
    plain = source((30, 30))
    data = split("x", Source(plain.images, plain.labels, given_test, 2), DataOptions())
    assert data.test.tolist() == [3, 5, 8]
    assert len(data.train) + len(data.validation) == 57


def test_moments_are_those_of_the_training_images_alone() -> None:
    data = split("x", source((700, 700)), DataOptions())  # more than one chunk
    pixels = data.images[data.train].astype(np.float64)
    assert len(data.train) == 1008
    assert data.mean == pytest.approx(pixels.mean(axis=(0, 2, 3)))
    assert data.std == pytest.approx(pixels.std(axis=(0, 2, 3)))


def test_a_constant_channel_has_deviation_one() -> None:
    plain = source((30, 30))
    images = plain.images.copy()
    images[:, 1] = 7
    data = split("x", Source(images, plain.labels, plain.test, 2), DataOptions())
    assert (data.mean[1], data.std[1]) == (7.0, 1.0)


def test_digest_depends_on_every_pixel_and_label_and_arrays_cannot_be_written() -> None:
    plain = source((30, 30))
    digests = {split("x", plain, DataOptions()).digest()}
    for change in ("images", "labels"):
        arrays = {"images": plain.images.copy(), "labels": plain.labels.copy()}
        arrays[change][0] ^= 1
        digests.add(
            split("x", Source(arrays["images"], arrays["labels"], plain.test, 2), DataOptions()).digest()
        )
    assert len(digests) == 3
    with pytest.raises(ValueError, match="read-only"):
        split("x", plain, DataOptions()).images[0] = 0


def test_given_validation_images_stay_those_and_test_images_come_from_those_for_training() -> None:
    plain = source((30, 30))
    given = np.array([3, 5, 8, 11])
    both = Source(plain.images, plain.labels, np.array([0, 1]), 2, validation=given)
    data = split("x", both, DataOptions())
    assert (data.validation.tolist(), data.test.tolist()) == ([3, 5, 8, 11], [0, 1])
    assert len(data.train) == 54
    with pytest.warns(
        UserWarning, match=r'^data "x": no test images are given beside the 4 for validation, so that 14 of'
    ):
        data = split(
            "x",
            Source(plain.images, plain.labels, plain.test, 2, validation=given),
            DataOptions(test_fraction=0.25),
        )
    assert data.validation.tolist() == [3, 5, 8, 11]
    assert (len(data.train), len(data.test)) == (42, 14)
    assert len(np.unique(np.concatenate([data.train, data.validation, data.test]))) == 60


def test_images_of_one_colour_or_all_alike_are_noted() -> None:
    plain = source((30, 30))
    flat = np.broadcast_to(np.arange(60, dtype=np.uint8)[:, None, None, None], plain.images.shape).copy()
    of_one = np.where((plain.labels == 1)[:, None, None, None], flat, plain.images)
    alike = np.where((plain.labels == 1)[:, None, None, None], plain.images[:1], plain.images)
    names = ("cat", "dog")
    for images, expected in (
        (flat, "every image is of one colour; check"),
        (of_one, "every image of class dog is of one colour; check"),
        (alike, "all 30 images of class dog are the same; check"),
    ):
        with pytest.warns(UserWarning, match=f'^data "x": {expected}') as caught:
            split("x", Source(images, plain.labels, plain.test, 2, names), DataOptions())
        assert len(caught) == 1
    pixels = np.arange(60, dtype=np.uint8).reshape(60, 1, 1, 1)
    split("x", Source(pixels, plain.labels, plain.test, 2, names), DataOptions())  # without a note


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((30, 1), "at least 2, got 1 of label 1; add images of it, or leave the class out$"),
        (
            (2, 2),
            "into parts of at least 2 images, one of each class, got a fraction of 0.2 for one part; add",
        ),
    ],
)
def test_too_few_images_of_a_class_are_an_error_in_one_line(counts: tuple[int, int], message: str) -> None:
    with pytest.raises(EvaluationError, match=r'^data "x": expected enough images of every class') as caught:
        split("x", source(counts), DataOptions())
    assert re.search(message, str(caught.value))
    assert "\n" not in str(caught.value)


def test_a_limit_above_the_number_of_training_images_is_an_error() -> None:
    expected = '^data "x": expected limit_train of at most 43 training images, got 44; lower it'
    with pytest.raises(EvaluationError, match=expected):
        split("x", source((30, 30)), DataOptions(limit_train=44))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("dataset", "mnist", "one of digits, fashion_mnist, cifar10, cifar100, npz, folder, got 'mnist'"),
        ("validation_fraction", 0.0, "a number above 0 and below 1, got 0.0"),
        ("test_fraction", 1, "a number above 0 and below 1, got 1"),
        ("limit_train", -1, "a number of at least 0, got -1"),
        ("split_seed", 2**32, f"a number from 0 to {2**32 - 1}, got {2**32}"),
        ("root", 3, "a text, got 3"),
        ("image_size", 10**9, "a number from 0 to 16384, got 1000000000"),
        ("pixel_max", float("inf"), "a number from -1e+30 to 1e+30, got inf"),
    ],
)
def test_bad_option_is_named_with_what_is_expected(name: str, value: object, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DataOptions(**{name: value})  # type: ignore[arg-type]
    assert str(caught.value) == f'data option "{name}": expected {expected}'


@pytest.mark.parametrize("limits", [(0.0, -1.0), (1.0, 0.0), (5.0, 5.0)])
def test_white_is_above_black(limits: tuple[float, float]) -> None:
    expected = (
        r'^data option "pixel_max": expected a number above pixel_min = .*; set both to the values of black'
    )
    with pytest.raises(ConfigError, match=expected):
        DataOptions(pixel_min=limits[0], pixel_max=limits[1])
