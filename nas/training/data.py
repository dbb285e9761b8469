"""Image data as plain arrays: the Dataset value, its splits, and loading by name.

Shapes: N images, C channels, H, W pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from nas.errors import ConfigError, EvaluationError, refusal
from nas.registry import SettingRule, check_fields, one_of, within
from nas.training import sources
from nas.training import sources as downloads
from nas.training.pixels import PixelRange, note

_TEST_SPLIT_SEED = 0  # fixed, so that test images are the same whatever the seed of the validation split
_LARGEST = 1e30  # value of a pixel that may be stated
_CHUNK = 1024  # images whose pixels are summed at a time
_AUGMENTABLE = ("fashion_mnist", "cifar10", "cifar100")  # not digits; of the user's images it is not known


@dataclass(frozen=True, slots=True)
class DataOptions:
    """The data and their splits.

    Raises:
        ConfigError: a value of the wrong type or out of range, in one line.
    """

    dataset: str = "digits"  # a name of DATASETS
    root: str = "data"  # folder of the data; for "npz" the file itself
    validation_fraction: float = 0.1  # of the images that are not for testing, stratified by class
    test_fraction: float = 0.2  # of all images, if the data have no test images
    limit_train: int = 0  # training images to keep, stratified by class; 0: all
    split_seed: int = 0  # seed of the validation split and of the images kept
    image_size: int = 0  # pixels: height and width to which a folder's images are scaled; 0: as they are
    # value of black in the user's images; both 0: by their type (`nas.training.pixels`)
    pixel_min: float = 0.0
    pixel_max: float = 0.0  # value of white
    # .npy file of second test images of the same classes, such as CIFAR-10.1; "": none
    extra_images: str = ""
    extra_labels: str = ""  # .npy file of their labels

    def __post_init__(self) -> None:
        fraction = SettingRule("a number above 0 and below 1", lambda value: 0 < value < 1)
        rules = {
            "dataset": one_of(*DATASETS),
            "validation_fraction": fraction,
            "test_fraction": fraction,
            "limit_train": within(0),
            "split_seed": within(0, 2**32 - 1),
            "image_size": within(0, 2**14),
            "pixel_min": within(-_LARGEST, _LARGEST),
            "pixel_max": within(-_LARGEST, _LARGEST),
        }
        check_fields("data option", self, rules, ConfigError)
        if (self.pixel_min or self.pixel_max) and not self.pixel_min < self.pixel_max:
            expected = f"a number above pixel_min = {self.pixel_min:g}"
            remedy = "set both to the values of black and white, or neither"
            raise ConfigError(refusal('data option "pixel_max"', expected, f"{self.pixel_max:g}", remedy))
        if bool(self.extra_images) != bool(self.extra_labels):
            given = f"extra_images={self.extra_images!r}, extra_labels={self.extra_labels!r}"
            expected = "both files of second test images or none"
            raise ConfigError(refusal("data options", expected, given, "give both or leave both out"))

    @property
    def limits(self) -> PixelRange:
        return PixelRange(self.pixel_min, self.pixel_max)


DATASETS: dict[str, Callable[[DataOptions], sources.Source]] = {
    "digits": lambda _: sources.digits(),
    "fashion_mnist": lambda options: downloads.read("FashionMNIST", options.root),
    "cifar10": lambda options: downloads.read("CIFAR10", options.root),
    "cifar100": lambda options: downloads.read("CIFAR100", options.root),
    "npz": lambda options: sources.npz(options.root, options.limits),
    "folder": lambda options: sources.folder(options.root, options.image_size, options.limits),
}


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Images with labels, split into three; read-only arrays, so that workers can share them.

    Attributes:
        name: e.g. "digits".
        images: (N, C, H, W) uint8, raw pixel values.
        labels: (N,) int64 in 0..classes-1.
        train: (N_train,) int64 positions of the training images; the three splits are disjoint.
        validation: the same of the validation images.
        test: the same of the test images.
        classes: number of classes.
        mean: mean pixel value of each channel over the training images.
        std: standard deviation of the same; 1 where it would be 0.
        extra: second test images and their labels, as `images` and `labels`; None without such.
        class_names: of the classes, in the order of their labels; "0", "1", ... if the data have none.
        pixel_range: values of black and white from which all images were scaled; None if they were not scaled
            or from several ranges.
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
    pixel_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.class_names:
            object.__setattr__(self, "class_names", tuple(map(str, range(self.classes))))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    @property
    def augmentable(self) -> bool:
        """Whether slightly shifted and mirrored images are known to keep their class."""
        return self.name in _AUGMENTABLE

    def summary(self) -> str:
        """One line on the numbers of images in each split, their shape and the classes."""
        counts = [len(part) for part in (self.train, self.validation, self.test)]
        names = ", ".join(self.class_names[:10]) + (", ..." if self.classes > 10 else "")
        return (
            f"data {self.name}: {counts[0]} images to train, {counts[1]} to validate, {counts[2]} to test, "
            f"of {'x'.join(map(str, self.input_shape))}; {self.classes} classes: {names}"
        )

    def digest(self) -> str:
        """Identity of pixels, labels and splits (hex)."""
        digest = hashlib.sha256(repr((self.classes, self.images.shape)).encode())
        for array in (self.images, self.labels, self.train, self.validation, self.test, *(self.extra or ())):
            digest.update(len(array).to_bytes(8, "little"))
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def load(options: DataOptions) -> Dataset:
    """Reads and splits the data; missing ones of torchvision are downloaded.

    Raises:
        EvaluationError: data that are missing, cannot be read or are too few, in one line.
    """
    data = split(options.dataset, DATASETS[options.dataset](options), options)
    if not options.extra_images:
        return data
    files = options.extra_images, options.extra_labels
    extra = sources.npy_pair(*files, data.input_shape, data.classes, options.limits)
    for array in extra:
        array.setflags(write=False)
    return replace(data, extra=extra)


def split(name: str, source: sources.Source, options: DataOptions) -> Dataset:
    """The data set of these images; random splits are stratified by class."""
    test, validation = source.test, source.validation
    given = np.concatenate([test, validation])
    train = np.setdiff1d(np.arange(len(source.labels)), given)
    if not len(test):
        train, test = _part(name, source.labels, train, options.test_fraction, _TEST_SPLIT_SEED)
        if len(given):
            note(
                f'data "{name}": no test images are given beside the {len(validation)} for validation, '
                f"so that {len(test)} of those for training are held out to report on "
                f"(evaluator.test_fraction = {options.test_fraction:g}); "
                "to report on those for validation instead, name them test"
            )
    if not len(validation):
        train, validation = _part(name, source.labels, train, options.validation_fraction, options.split_seed)
    if options.limit_train > len(train):
        expected = f"limit_train of at most {len(train)} training images"
        remedy = "lower it, or leave it out for all of them"
        raise EvaluationError(refusal(f'data "{name}"', expected, options.limit_train, remedy))
    if 0 < options.limit_train < len(train):
        left_out = len(train) - options.limit_train
        train, _ = _part(name, source.labels, train, left_out, options.split_seed)
    _note_constant(name, source)
    arrays = (source.images, source.labels, train, validation, test)
    for array in arrays:
        array.setflags(write=False)
    mean, std = _moments(source.images, train)
    class_names = source.class_names or tuple(map(str, range(source.classes)))
    return Dataset(
        name, *arrays, source.classes, mean, std, class_names=class_names, pixel_range=source.pixel_range
    )


def _part(
    name: str, labels: np.ndarray, pool: np.ndarray, second: float | int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two sorted parts of the pool, stratified by class: the second is a fraction or a count."""
    from sklearn.model_selection import train_test_split

    numbers, counts = np.unique(labels[pool], return_counts=True)
    if len(counts) and counts.min() < 2:
        expected = f"enough images of every class to split {len(pool)} of them, at least 2"
        got, remedy = f"1 of label {numbers[counts.argmin()]}", "add images of it, or leave the class out"
        raise EvaluationError(refusal(f'data "{name}"', expected, got, remedy))
    try:
        first, rest = train_test_split(pool, test_size=second, stratify=labels[pool], random_state=seed)
    except ValueError as error:  # a part of fewer images than classes
        of = f"a fraction of {second:g}" if isinstance(second, float) else f"{second}"
        raise EvaluationError(
            refusal(
                f'data "{name}"',
                f"enough images of every class to split {len(pool)} of them into parts of at least "
                f"{len(counts)} images, one of each class",
                f"{of} for one part",
                "add images, or set evaluator.validation_fraction, test_fraction or limit_train to fit",
            )
        ) from error
    return np.sort(first), np.sort(rest)


def _note_constant(name: str, source: sources.Source) -> None:
    """Notes classes of which nothing can be learnt: each image has one colour, or all are equal."""
    flat = np.empty(len(source.images), bool)
    for start in range(0, len(flat), _CHUNK):
        part = source.images[start : start + _CHUNK]
        flat[start : start + _CHUNK] = (part == part[:, :, :1, :1]).all(axis=(1, 2, 3))
    if source.images[0, 0].size == 1:  # images of one pixel are of one colour on purpose
        flat[:] = False
    if flat.all():
        note(f'data "{name}": every image is of one colour; check what the files hold and how they are read')
        return
    class_names = source.class_names or tuple(map(str, range(source.classes)))
    for label, class_name in enumerate(class_names):
        mine = np.flatnonzero(source.labels == label)
        if flat[mine].all():
            note(
                f'data "{name}": every image of class {class_name} is of one colour; check what its '
                "files hold"
            )
        elif len(mine) > 1 and all(
            np.array_equal(source.images[mine[0]], source.images[each]) for each in mine[1:]
        ):
            note(f'data "{name}": all {len(mine)} images of class {class_name} are the same; check its files')


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
