"""Image data as plain arrays: the Dataset value, its splits, and loading by name.

Shapes: N images, C channels, H, W pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from nas.errors import ConfigError, EvaluationError
from nas.training import downloads, sources
from nas.training.checks import Rule, check_fields, one_of, within

_TEST_SPLIT_SEED = 0  # fixed, so that test images are the same whatever the seed of the validation split
_CHUNK = 1024  # images whose pixels are summed at a time


@dataclass(frozen=True, slots=True)
class DataOptions:
    """Which data, and how they are split.

    Raises:
        ConfigError: a value of the wrong type or out of range, in one line.
    """

    dataset: str = "digits"  # a name of DATASETS
    root: str = "data"  # folder of the data; for "npz" the file itself
    validation_fraction: float = 0.1  # of the images that are not for testing, stratified by class
    test_fraction: float = 0.2  # of all images, where the data come without test images
    limit_train: int = 0  # training images to keep, stratified by class; 0: all
    split_seed: int = 0  # seed of the validation split and of the images kept
    image_size: int = 0  # pixels: height and width to which a folder's images are scaled; 0: as they are
    extra_images: str = (
        ""  # .npy file of second test images of the same classes, such as CIFAR-10.1; "": none
    )
    extra_labels: str = ""  # .npy file of their labels

    def __post_init__(self) -> None:
        fraction = Rule("a number above 0 and below 1", lambda value: 0 < value < 1)
        rules = {
            "dataset": one_of(*DATASETS),
            "validation_fraction": fraction,
            "test_fraction": fraction,
            "limit_train": within(0),
            "split_seed": within(0, 2**32 - 1),
            "image_size": within(0),
        }
        check_fields("data option", self, rules, ConfigError)
        if bool(self.extra_images) != bool(self.extra_labels):
            given = f"extra_images={self.extra_images!r}, extra_labels={self.extra_labels!r}"
            raise ConfigError(f"data options: expected both files of second test images or none, got {given}")


DATASETS: dict[str, Callable[[DataOptions], sources.Source]] = {
    "digits": lambda _: sources.digits(),
    "fashion_mnist": lambda options: downloads.read("FashionMNIST", options.root),
    "cifar10": lambda options: downloads.read("CIFAR10", options.root),
    "cifar100": lambda options: downloads.read("CIFAR100", options.root),
    "npz": lambda options: sources.npz(options.root),
    "folder": lambda options: sources.folder(options.root, options.image_size),
}


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Images with labels, split into three; read-only arrays, so that workers can share them.

    Attributes:
        name: e.g. "digits".
        images: (N, C, H, W) uint8, raw pixel values.
        labels: (N,) int64 in 0..classes-1.
        train: (N_train,) int64 positions of the training images; the three splits are disjoint.
        validation: the same for those that choose.
        test: the same for those that report.
        classes: number of classes.
        mean: mean pixel value of each channel over the training images.
        std: standard deviation of the same; 1 where it would be 0.
        extra: second test images and their labels, as `images` and `labels`; None without such.
        class_names: of the classes, in order; their numbers where the data have no names.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    extra: tuple[np.ndarray, np.ndarray] | None = None
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.class_names:
            object.__setattr__(self, "class_names", tuple(map(str, range(self.classes))))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def digest(self) -> str:
        """Identity of pixels, labels and splits (hex)."""
        digest = hashlib.sha256(repr((self.classes, self.images.shape)).encode())
        for array in (self.images, self.labels, self.train, self.validation, self.test, *(self.extra or ())):
            digest.update(len(array).to_bytes(8, "little"))
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def load(options: DataOptions) -> Dataset:
    """Reads the data, downloads them if they are of torchvision and missing, and splits them.

    Raises:
        EvaluationError: data that are missing, cannot be read or are too few, in one line.
    """
    data = split(options.dataset, DATASETS[options.dataset](options), options)
    if not options.extra_images:
        return data
    extra = sources.npy_pair(options.extra_images, options.extra_labels, data.input_shape, data.classes)
    for array in extra:
        array.setflags(write=False)
    return replace(data, extra=extra)


def split(name: str, source: sources.Source, options: DataOptions) -> Dataset:
    """The data set of these images; classes keep their shares in every split drawn here."""
    everything = np.arange(len(source.labels))
    test, rest = source.test, np.setdiff1d(everything, source.test)
    if not len(test):
        rest, test = _part(name, source.labels, everything, options.test_fraction, _TEST_SPLIT_SEED)
    train, validation = _part(name, source.labels, rest, options.validation_fraction, options.split_seed)
    if options.limit_train > len(train):
        raise EvaluationError(
            f'data "{name}": expected limit_train of at most {len(train)} training images, '
            f"got {options.limit_train}"
        )
    if 0 < options.limit_train < len(train):
        left_out = len(train) - options.limit_train
        train, _ = _part(name, source.labels, train, left_out, options.split_seed)
    arrays = (source.images, source.labels, train, validation, test)
    for array in arrays:
        array.setflags(write=False)
    mean, std = _moments(source.images, train)
    return Dataset(name, *arrays, source.classes, mean, std)


def _part(
    name: str, labels: np.ndarray, pool: np.ndarray, second: float | int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The pool in two parts, sorted: the second a fraction or a count, both with all classes' shares."""
    from sklearn.model_selection import train_test_split

    try:
        first, rest = train_test_split(pool, test_size=second, stratify=labels[pool], random_state=seed)
    except ValueError as error:
        raise EvaluationError(
            f'data "{name}": expected enough images of every class to split {len(pool)} of them; {error}'
        ) from error
    return np.sort(first), np.sort(rest)


def _moments(images: np.ndarray, train: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, exact sums over chunks."""
    channels = images.shape[1]
    total, squares = np.zeros(channels), np.zeros(channels)
    for start in range(0, len(train), _CHUNK):
        pixels = images[train[start : start + _CHUNK]].astype(np.float64)
        total += pixels.sum(axis=(0, 2, 3))
        squares += np.square(pixels).sum(axis=(0, 2, 3))
    count = len(train) * images.shape[2] * images.shape[3]
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - np.square(mean), 0.0))
    std[std == 0] = 1.0
    return tuple(mean.tolist()), tuple(std.tolist())
