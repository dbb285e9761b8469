"""Images and labels before any split: scikit-learn's digits, an .npz file, a folder of images.

Fashion-MNIST, CIFAR-10 and CIFAR-100 through torchvision, which downloads and checks MD5 sums.

torchvision unpacks archives where they are and leaves incomplete files when a download fails. So it works in
a temporary folder with links to the verified archives: the user's folder may be read-only, and only complete,
verified archives are moved into it.

CIFAR's batches are pickles, which torchvision reads after that MD5 check: the one exception to this project's
rule of unpickling no foreign files.

Without its compiled part (such as a CUDA build beside a CPU build of torch) torchvision registers fake
kernels for two undeclared operators, and its import fails. No data set needs these operators: declaring them
is enough.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import shutil
import socket
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from nas.errors import EvaluationError, describe_error, one_line, refusal
from nas.evaluation import existing, file_path
from nas.training.files import SPLITS, TEST, TRAIN, VALIDATION, check_memory, find_images, read_npy, read_npz
from nas.training.pixels import ImageReader, PixelRange, Scaler, note

_IMAGES = ("images", "image", "x", "data")  # words for them in the names of an .npz file's arrays
_LABELS = ("labels", "label", "y", "targets", "target")
_CLASS_NAMES = "class_names"
_LIKE_A_SPLIT = r"train|(?<![a-z])[xy]?(test|valid|val(?!u))"  # such as trainX or testset, but not "values"


def _none() -> np.ndarray:
    return np.arange(0)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Labelled images before any split.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64 in 0..classes-1.
        test: positions of the given test images; empty if there are none.
        classes: number of classes.
        class_names: of the classes, in the order of their labels; empty if the data have none.
        validation: positions of the given validation images; empty if there are none.
        pixel_range: values of black and white from which all images were scaled; None if they were not scaled
            or from several ranges.
    """

    images: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    classes: int
    class_names: tuple[str, ...] = ()
    validation: np.ndarray = field(default_factory=_none)
    pixel_range: tuple[float, float] | None = None


def joined(
    parts: Sequence[tuple[np.ndarray, np.ndarray]], classes: int, class_names: tuple[str, ...] = ()
) -> Source:
    """The source of (images, labels) for training and, if there is a second pair, for testing."""
    return _of_parts(dict(zip((TRAIN, TEST), parts, strict=False)), classes, class_names)


def _of_parts(
    parts: dict[str, tuple[np.ndarray, np.ndarray]],
    classes: int,
    class_names: tuple[str, ...],
    pixel_range: tuple[float, float] | None = None,
) -> Source:
    """The source of (images, labels) by split."""
    images = np.concatenate([images for images, _ in parts.values()])
    labels = np.concatenate([labels for _, labels in parts.values()]).astype(np.int64)
    positions, start = {}, 0
    for split, (_, part) in parts.items():
        positions[split] = np.arange(start, start + len(part))
        start += len(part)
    test, validation = (positions.get(split, _none()) for split in (TEST, VALIDATION))
    images = np.ascontiguousarray(images)
    return Source(images, labels, test, classes, class_names, validation, pixel_range)


def digits() -> Source:
    """scikit-learn's bundled handwritten digits: 1,797 of 8x8, pixels 0..16 (UCI optdigits)."""
    from sklearn.datasets import load_digits

    images, labels = (np.asarray(array) for array in load_digits(return_X_y=True))
    return joined([(images.astype(np.uint8).reshape(-1, 1, 8, 8), labels)], classes=10)


def npz(path: str, limits: PixelRange = PixelRange()) -> Source:  # noqa: B008 - immutable
    """An .npz file with `images` and `labels`, or with those of splits, such as `train_images` and `y_test`.

    A name has a word for images (images, x, data) or labels (labels, y, targets) and, before or after it, one
    for the split (train, val, test or others of `nas.training.files.SPLITS`), if not for training. An array
    `class_names` of (K,) texts names the classes. Images are of (N, H, W), (N, H, W, C) or (N, C, H, W): a
    last axis of 1 or 3 is read as channels, else the second one is; values as `nas.training.pixels` says.
    Labels are whole numbers 0..K-1, (N,) or (N, 1).

    Args:
        path: the file.
        limits: values of black and white.

    Raises:
        EvaluationError: no such file, or another content, in one line.
    """
    file = existing(path, "an .npz file", "set evaluator.root to its path")
    roles: dict[tuple[str, str], str] = {}

    def choose(names: Sequence[str]) -> list[str]:
        roles.update(_roles(path, names))
        return [*roles.values(), *(name for name in names if name == _CLASS_NAMES)]

    arrays = read_npz(file, choose)
    scaler = Scaler(f"data {path}", limits)
    parts = {}
    for split in (TRAIN, VALIDATION, TEST):
        if (split, "images") in roles:
            images_name, labels_name = roles[split, "images"], roles[split, "labels"]
            images = _images(path, images_name, arrays[images_name], scaler)
            parts[split] = images, _labels(path, labels_name, arrays[labels_name], len(images))
    scaler.finish()
    shapes = {roles[split, "images"]: images.shape[1:] for split, (images, _) in parts.items()}
    if len(set(shapes.values())) > 1:
        expected, got = f"{' and '.join(shapes)} of one shape", " and ".join(map(str, shapes.values()))
        raise EvaluationError(refusal(f"data {path}", expected, got, "scale or cut them to one"))
    classes = _classes_of(path, {roles[split, "labels"]: labels for split, (_, labels) in parts.items()})
    names = _names_of(path, arrays.get(_CLASS_NAMES), classes)
    return _of_parts(parts, classes, names, scaler.scaled_from)


def _roles(path: str, names: Sequence[str]) -> dict[tuple[str, str], str]:
    """(split, "images" or "labels") -> the array's name; refuses missing and ambiguous arrays."""
    roles: dict[tuple[str, str], str] = {}
    unread, plain, named = [], [], []
    for name in names:
        words = name.lower().split("_")
        splits = [SPLITS[word] for word in words if word in SPLITS]
        kinds = ["images" if word in _IMAGES else "labels" for word in words if word in (*_IMAGES, *_LABELS)]
        if len(splits) > 1 or len(kinds) != 1 or len(splits) + len(kinds) != len(words):
            unread += [name] if name != _CLASS_NAMES else []
            continue
        role = (splits[0] if splits else TRAIN), kinds[0]
        (named if splits else plain).append(name)
        if role in roles and (role[0] != TRAIN or bool(splits) == (roles[role] in named)):
            expected, got = f"one array of {role[1]} for {role[0]}", f"{roles[role]} and {name}"
            raise EvaluationError(refusal(f"data {path}", expected, got, "leave one of them out"))
        if role in roles:
            expected, got = "images and labels either as a whole or by splits", f"{roles[role]} and {name}"
            raise EvaluationError(refusal(f"data {path}", expected, got, "leave one of them out"))
        roles[role] = name
    of_splits = [name for name in unread if re.search(_LIKE_A_SPLIT, name.lower())]
    if of_splits:
        expected = "arrays named images and labels, with train_, val_ or test_ before them"
        remedy = "rename it or leave it out"
        raise EvaluationError(refusal(f"data {path}", expected, f'"{of_splits[0]}"', remedy))
    for split in sorted({TRAIN, *(split for split, _ in roles)}, key=(TRAIN, VALIDATION, TEST).index):
        prefix = "" if split == TRAIN else "val_" if split == VALIDATION else "test_"
        for kind in ("images", "labels"):
            if (split, kind) not in roles:
                found = ", ".join(names) or "none"
                remedy = "add it, or give it that name"
                raise EvaluationError(refusal(f"data {path}", f'an array "{prefix}{kind}"', found, remedy))
    if unread:
        note(f"data {path}: the arrays {', '.join(unread)} are not read")
    return roles


def _names_of(path: str, names: np.ndarray | None, classes: int) -> tuple[str, ...]:
    if names is None:
        return ()
    if names.dtype.kind not in "US" or names.shape != (classes,):
        expected = f"{_CLASS_NAMES} of {classes} texts, one for each class"
        got, remedy = f"{names.dtype} of shape {names.shape}", "give one text for each class or leave it out"
        raise EvaluationError(refusal(f"data {path}", expected, got, remedy))
    texts = [
        name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
        for name in names.tolist()
    ]
    return tuple(map(one_line, texts))


def npy_pair(
    images_file: str,
    labels_file: str,
    shape: tuple[int, ...],
    classes: int,
    limits: PixelRange = PixelRange(),  # noqa: B008 - immutable
) -> tuple[np.ndarray, np.ndarray]:
    """Two .npy files, images and labels as in `npz`; (N, C, H, W) uint8 and (N,) int64.

    Args:
        images_file: path.
        labels_file: path.
        shape: (C, H, W) of each image.
        classes: all labels are below it.
        limits: values of black and white.

    Raises:
        EvaluationError: no such files, or another content, in one line.
    """
    arrays = [
        read_npy(existing(file, "an .npy file", f"set evaluator.{option} to its path"))
        for file, option in ((images_file, "extra_images"), (labels_file, "extra_labels"))
    ]
    scaler = Scaler(f"data {images_file}", limits)
    images = _images(images_file, "images", arrays[0], scaler)
    scaler.finish()
    labels = _labels(labels_file, "labels", arrays[1], len(images))
    if images.shape[1:] != shape:
        expected, remedy = f"images of shape {shape}, as those for training", "scale them to that shape"
        raise EvaluationError(refusal(f"data {images_file}", expected, images.shape[1:], remedy))
    if labels.max() >= classes:
        expected = f"labels 0..{classes - 1}, as those for training"
        remedy = "leave out images of other classes"
        raise EvaluationError(refusal(f"data {labels_file}", expected, labels.max(), remedy))
    return np.ascontiguousarray(images), labels


def _classes_of(path: str, labels: dict[str, np.ndarray]) -> int:
    """The number of classes, each of which occurs in the first array."""
    name, first = next(iter(labels.items()))
    classes = int(first.max()) + 1
    present = np.unique(first)
    if len(present) < classes:
        gaps = np.flatnonzero(present != np.arange(len(present)))
        expected = f"labels 0..{classes - 1}, each at least once in {name}"
        got = f"no image of class {gaps[0]}"
        remedy = f"number the classes without gaps, e.g. numpy.unique({name}, return_inverse=True)[1]"
        raise EvaluationError(refusal(f"data {path}", expected, got, remedy))
    if classes < 2:
        raise EvaluationError(
            refusal(f"data {path}", "images of at least 2 classes", "1", "add images of another class")
        )
    for other, array in labels.items():
        if array.max() >= classes:
            raise EvaluationError(
                refusal(
                    f"data {path}",
                    f"labels 0..{classes - 1} in {other}, as in {name}",
                    array.max(),
                    f"add images of class {array.max()} to those for training or leave it out",
                )
            )
    return classes


def _images(path: str, name: str, array: np.ndarray, scaler: Scaler) -> np.ndarray:
    """(N, C, H, W) uint8."""
    if array.ndim not in (3, 4) or not array.size:
        remedy = "convert them first"
        if array.ndim == 2:
            remedy = f"reshape them, e.g. {name}.reshape(-1, height, width)"
        elif not array.size:
            remedy = "give at least one image, of at least one pixel"
        expected = f"{name} of shape (N, H, W), (N, H, W, C) or (N, C, H, W)"
        got = f"{array.dtype} of shape {array.shape}"
        raise EvaluationError(refusal(f"data {path}", expected, got, remedy))
    if array.ndim == 4 and array.shape[3] not in (1, 3) and not _channels_second(*array.shape[1:]):
        of_images = array.shape[2] in (1, 3)  # (H, W, C, N), as in the files of SVHN
        axis, order = ("images", "3, 0, 1, 2") if of_images else ("channels", "0, 3, 1, 2")
        raise EvaluationError(
            refusal(
                f"data {path}",
                f"{name} of shape (N, H, W), (N, H, W, C) with 1 or 3 channels, or (N, C, H, W)",
                f"shape {array.shape}",
                f"if its last axis is that of {axis}, transpose it: {name}.transpose({order})",
            )
        )
    images = scaler(name, array)
    if images.ndim == 3:
        return images[:, None]
    return images.transpose(0, 3, 1, 2) if images.shape[3] in (1, 3) else images


def _channels_second(second: int, third: int, fourth: int) -> bool:
    """Whether these axes are channels, height and width, in this order: square, or of few channels."""
    return third == fourth or second < min(third, fourth)


def _labels(path: str, name: str, array: np.ndarray, count: int) -> np.ndarray:
    """(N,) int64; raises EvaluationError unless they are whole numbers from 0."""

    def refused(got: str, remedy: str) -> EvaluationError:
        expected = f"{name} of whole numbers from 0 and shape ({count},), one for each image"
        return EvaluationError(refusal(f"data {path}", expected, got, remedy))

    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2:
        remedy = f"if its rows are indicators of classes (one-hot), convert them: {name}.argmax(1)"
        raise refused(f"shape {array.shape}", remedy)
    if array.shape != (count,):
        raise refused(f"shape {array.shape}", "give each image a label")
    if array.dtype.kind not in "iu":
        whole = array.dtype.kind == "b"
        if array.dtype.kind == "f":
            wrong = array[~np.isfinite(array) | (array != np.rint(array))]
            if len(wrong):
                remedy = "give the number of its class for each image, and leave out images without one"
                raise refused(f"{array.dtype} with values such as {wrong[0]:.6g}", remedy)
            whole = True
        converted = f"{name}.astype(int)" if whole else f"numpy.unique({name}, return_inverse=True)[1]"
        raise refused(f"{array.dtype}", f"convert them: {converted}")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > np.iinfo(np.int64).max:
        remedy = f"number the classes from 0: numpy.unique({name}, return_inverse=True)[1]"
        raise refused(f"labels from {low} to {high}", remedy)
    return array.astype(np.int64)


def folder(path: str, image_size: int, limits: PixelRange = PixelRange()) -> Source:  # noqa: B008 - immutable
    """A folder with one subfolder of images per class, or with `train` and `val` or `test` of that form.

    See `nas.training.files` for layouts and `nas.training.pixels` for pixels. Grey images stay grey if all
    are grey, else they become RGB.

    Args:
        path: the folder.
        image_size: pixels, height and width to scale to; 0 when all images have one size.
        limits: values of black and white.

    Raises:
        EvaluationError: no such folder, another layout, unreadable or differing images, in one line.
    """
    names, splits = find_images(path)
    files = [file for part in splits.values() for file, _ in part]
    read = ImageReader(f"data {path}", limits)
    pixels = []
    for number, file in enumerate(files):
        pixels.append(read(file, image_size))
        if number in (0, 100):  # the first may be small, or grey
            needed = 3 * len(files) * max(array.size for array in pixels)  # each, stacked and as (N, C, H, W)
            check_memory(f"data {path}: {len(files)} images", needed, "set a smaller evaluator.image_size")
        _check_size(path, pixels, files)
    read.finish()
    images = _stack(pixels)
    parts, start = {}, 0
    for split, part in splits.items():
        labels = np.array([label for _, label in part], np.int64)
        parts[split] = images[start : start + len(part)], labels
        start += len(part)
    return _of_parts(parts, len(names), names, read.scaled_from)


def _check_size(path: str, pixels: list[np.ndarray], files: Sequence[object]) -> None:
    """Raises EvaluationError if the last of these images has another size than the first."""
    (height, width), other = pixels[0].shape[:2], pixels[-1].shape[:2]
    if other != (height, width):
        got = f"{width}x{height} for {files[0]} and {other[1]}x{other[0]} for {files[len(pixels) - 1]}"
        raise EvaluationError(refusal(f"data {path}", "images of one size", got, "set evaluator.image_size"))


def _stack(pixels: list[np.ndarray]) -> np.ndarray:
    """(N, C, H, W) of images of one size; grey ones are repeated to RGB if any image has colour."""
    if all(array.ndim == 2 for array in pixels):
        return np.stack(pixels)[:, None]
    colour = [array if array.ndim == 3 else np.repeat(array[:, :, None], 3, axis=2) for array in pixels]
    return np.stack(colour).transpose(0, 3, 1, 2)


_SYMPTOM = "operator torchvision::nms does not exist"
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def import_torchvision() -> ModuleType:
    """The module torchvision; raises the errors of other failed imports."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _SYMPTOM not in str(error):
            raise
    # the failed import leaves half-initialised submodules behind
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    _declare_operators()
    return importlib.import_module("torchvision")


@functools.cache  # a declaration lives as long as its library object
def _declare_operators() -> Any:
    from torch.library import Library

    library = Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    return library


_TIMEOUT_SECONDS = 30.0  # of silence on a connection
_CLASSES = {"FashionMNIST": 10, "CIFAR10": 10, "CIFAR100": 100}


def read(name: str, root: str) -> Source:
    """The data set of torchvision's class `name`, with its official test images.

    Raises:
        EvaluationError: data that are damaged, or missing and cannot be downloaded, in one line.
    """
    kind = getattr(import_torchvision().datasets, name)
    return read_class(kind, file_path(root), _CLASSES[name])


def read_class(kind: Any, root: Path, classes: int) -> Source:
    """The data set of a class of torchvision: CIFAR10, MNIST or one derived from them."""
    with warnings.catch_warnings():
        # CIFAR's pickles give the alignment of a dtype as a number: NumPy 2.4.0 to 2.4.4 warn about that
        warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
        # tarfile before Python 3.14 asks for a filter, which torchvision does not pass
        warnings.simplefilter("ignore", DeprecationWarning)
        if all(_sound(root / file, md5) for file, md5 in _unpacked_names(kind).items()):
            return _arrays(kind, root, classes)
        with tempfile.TemporaryDirectory(prefix="unpack-") as path:
            workplace = Path(path)
            missing = _link_archives(kind, root, workplace)
            if missing and not _writable(root):
                raise EvaluationError(_missing(kind, root, missing, "no permission to store a download"))
            _unpack(kind, root, workplace, missing)
            source = _arrays(kind, workplace, classes)
            _keep(root, workplace, missing)
            return source


def archives(kind: Any) -> dict[str, str]:
    """The archives of the whole data set: path under root -> MD5 sum."""
    if hasattr(kind, "resources"):
        return {f"{kind.__name__}/raw/{file}": md5 for file, md5 in kind.resources}
    return {kind.filename: kind.tgz_md5}


def _unpacked_names(kind: Any) -> dict[str, str | None]:
    """The files that torchvision reads: path under root -> MD5 sum, or None if none is published."""
    if hasattr(kind, "resources"):
        return {file.removesuffix(".gz"): None for file in archives(kind)}
    batches = [*kind.train_list, *kind.test_list, [kind.meta["filename"], kind.meta["md5"]]]
    return {f"{kind.base_folder}/{file}": md5 for file, md5 in batches}


def _sound(file: Path, md5: str | None) -> bool:
    try:
        return import_torchvision().datasets.utils.check_integrity(str(file), md5)
    except OSError as error:
        expected, remedy = "a file that can be read", "check its permissions"
        raise EvaluationError(refusal(f"data {file}", expected, error.strerror, remedy)) from error


def _link_archives(kind: Any, root: Path, workplace: Path) -> list[str]:
    """Links the sound archives and returns the others as missing.

    A damaged one is not linked, as torchvision would write its download through the link.
    """
    missing = []
    for file, md5 in archives(kind).items():
        if not _sound(root / file, md5):
            missing.append(file)
            continue
        link = workplace / file
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((root / file).absolute())
    return missing


def _writable(root: Path) -> bool:
    existing = next(
        folder for folder in (root.absolute(), *root.absolute().parents) if os.path.exists(folder)
    )
    return existing.is_dir() and os.access(existing, os.W_OK)


def _unpack(kind: Any, root: Path, workplace: Path, missing: list[str]) -> None:
    """Lets torchvision download missing archives, check MD5 sums and unpack."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_SECONDS)  # torchvision's downloads have no time limit
    try:
        kind(str(workplace), train=False, download=True)
    except (OSError, RuntimeError, EOFError) as error:  # URLError and time-outs are OSErrors
        reason = one_line(error) or type(error).__name__
        raise EvaluationError(_missing(kind, root, missing, reason)) from error
    finally:
        socket.setdefaulttimeout(before)


def _missing(kind: Any, root: Path, missing: list[str], reason: str) -> str:
    where = f"data {root.absolute()}"
    if not missing:
        expected, remedy = f"{', '.join(archives(kind))} to be unpacked", "free space for temporary files"
        return refusal(where, expected, reason, remedy)
    damaged = [file for file in missing if os.path.exists(root / file)]
    state = f"{', '.join(damaged)} with another MD5 sum" if damaged else "none"
    wanted = ", ".join(f"{file} (MD5 {md5})" for file, md5 in archives(kind).items() if file in missing)
    url = getattr(kind, "url", None) or kind.mirrors[0]
    got = f"{state}, and the download from {urlsplit(url).netloc} failed ({reason})"
    remedy = f"put the file{'s'[: len(missing) > 1]} there or set evaluator.root"
    return refusal(where, wanted, got, remedy)


def _arrays(kind: Any, root: Path, classes: int) -> Source:
    try:
        parts = [kind(str(root), train=train) for train in (True, False)]
        arrays = [_checked(np.asarray(part.data), np.asarray(part.targets), classes) for part in parts]
        return joined(arrays, classes, tuple(parts[0].classes))
    except Exception as error:  # unpacked files of MNIST's format have no MD5 sum: parsers raise many types
        where, expected = f"data {root.absolute()}", f"the files of {kind.__name__}"
        got = f"files that cannot be read ({describe_error(error)})"
        unpacked, kept = ", ".join(_unpacked_names(kind)), ", ".join(archives(kind))
        remedy = f"remove {unpacked} and keep or add {kept}"
        raise EvaluationError(refusal(where, expected, got, remedy)) from error


def _checked(images: np.ndarray, labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    if len(images) != len(labels):
        raise ValueError(f"{len(images)} images with {len(labels)} labels")
    if not len(labels) or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels beyond 0..{classes - 1}, or none")
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2), labels


def _keep(root: Path, workplace: Path, downloaded: list[str]) -> None:
    """Moves downloaded archives into the user's folder, each atomically."""
    for file in downloaded:
        target = root / file
        part = target.with_name(target.name + ".part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(workplace / file, part)
            os.replace(part, target)
        except OSError as error:
            part.unlink(missing_ok=True)
            expected, remedy = "a place for the download", "check the folder and its free space"
            raise EvaluationError(refusal(f"data {target}", expected, error.strerror, remedy)) from error
