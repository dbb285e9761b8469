"""Images and labels as they come: scikit-learn's digits, an .npz file, a folder of images.

Fashion-MNIST, CIFAR-10 and CIFAR-100 through torchvision, which downloads and checks MD5 sums.

torchvision unpacks archives where it finds them and leaves half a file behind when a download breaks
off. So it works in a temporary folder that holds links to the verified archives: a folder that cannot
be written serves as well, and only a complete, verified archive is ever moved into the user's folder.

CIFAR's batches are pickles, which torchvision reads after that MD5 check: the one exception to this
project's rule of unpickling nothing that comes from outside.

The one place that imports torchvision, also where its compiled part is missing.

torchvision without its compiled part (a CUDA build beside a CPU build of torch, for one) registers fake
kernels for two operators that nothing has declared, and its import fails. No data set needs these
operators: declaring them is enough.
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

from nas.errors import EvaluationError, describe_error, one_line
from nas.evaluation import existing, file_path
from nas.training.files import SPLITS, TEST, TRAIN, VALIDATION, check_memory, find_images, read_npy, read_npz
from nas.training.pixels import ImageReader, PixelRange, Scaler, note

_IMAGES = ("images", "image", "x", "data")  # words for them in the names of an .npz file's arrays
_LABELS = ("labels", "label", "y", "targets", "target")
_CLASS_NAMES = "class_names"
_LIKE_A_SPLIT = r"train|(?<![a-z])[xy]?(test|valid|val(?!u))"  # such as trainX or testset, but not values


def _none() -> np.ndarray:
    return np.arange(0)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Labelled images before any split.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64 in 0..classes-1.
        test: positions of the images given as test images; empty when the data have none.
        classes: number of classes.
        class_names: of the classes, in the order of their labels; empty where the data give none.
        validation: positions of the images given as validation images; empty when the data have none.
        pixel_range: values of black and white that all images were scaled from; None where they stayed as
            they were, or were scaled from several ranges.
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
    """One source of (images, labels) for training and, if there is a second pair, for testing."""
    return _of_parts(dict(zip((TRAIN, TEST), parts, strict=False)), classes, class_names)


def _of_parts(
    parts: dict[str, tuple[np.ndarray, np.ndarray]],
    classes: int,
    class_names: tuple[str, ...],
    pixel_range: tuple[float, float] | None = None,
) -> Source:
    """One source of (images, labels) by split."""
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
        raise EvaluationError(
            f"data {path}: expected {' and '.join(shapes)} of one shape, got "
            f"{' and '.join(map(str, shapes.values()))}; scale or cut them to one"
        )
    classes = _classes_of(path, {roles[split, "labels"]: labels for split, (_, labels) in parts.items()})
    names = _names_of(path, arrays.get(_CLASS_NAMES), classes)
    return _of_parts(parts, classes, names, scaler.scaled_from)


def _roles(path: str, names: Sequence[str]) -> dict[tuple[str, str], str]:
    """(split, "images" or "labels") -> the array's name; refuses what is missing or ambiguous."""
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
            raise EvaluationError(
                f"data {path}: expected one array of {role[1]} for {role[0]}, found {roles[role]} and "
                f"{name}; leave one of them out"
            )
        if role in roles:
            raise EvaluationError(
                f"data {path}: expected images and labels either as a whole or by splits, found "
                f"{roles[role]} and {name}; leave one of them out"
            )
        roles[role] = name
    return _complete(path, names, roles, unread)


def _complete(
    path: str, names: Sequence[str], roles: dict[tuple[str, str], str], unread: Sequence[str]
) -> dict[tuple[str, str], str]:
    of_splits = [name for name in unread if re.search(_LIKE_A_SPLIT, name.lower())]
    if of_splits:
        raise EvaluationError(
            f"data {path}: expected arrays named images and labels, with train_, val_ or test_ before them, "
            f'found "{of_splits[0]}"; rename it or leave it out'
        )
    for split in sorted({TRAIN, *(split for split, _ in roles)}, key=(TRAIN, VALIDATION, TEST).index):
        prefix = "" if split == TRAIN else "val_" if split == VALIDATION else "test_"
        for kind in ("images", "labels"):
            if (split, kind) not in roles:
                found = ", ".join(names) or "none"
                raise EvaluationError(
                    f'data {path}: expected an array "{prefix}{kind}", found {found}; add it, or rename the '
                    "one that it is"
                )
    if unread:
        note(f"data {path}: the arrays {', '.join(unread)} are not read")
    return roles


def _names_of(path: str, names: np.ndarray | None, classes: int) -> tuple[str, ...]:
    if names is None:
        return ()
    if names.dtype.kind not in "US" or names.shape != (classes,):
        raise EvaluationError(
            f"data {path}: expected {_CLASS_NAMES} of {classes} texts, one for each class, got {names.dtype} "
            f"of shape {names.shape}; correct it or leave it out"
        )
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
        shape: (C, H, W) that the images are to have.
        classes: labels are below it.
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
        raise EvaluationError(
            f"data {images_file}: expected images of shape {shape}, as those for training; got "
            f"{images.shape[1:]}"
        )
    if labels.max() >= classes:
        raise EvaluationError(
            f"data {labels_file}: expected labels 0..{classes - 1}, as those for training; got {labels.max()}"
        )
    return np.ascontiguousarray(images), labels


def _classes_of(path: str, labels: dict[str, np.ndarray]) -> int:
    """The number of classes; each of them occurs in the first array."""
    name, first = next(iter(labels.items()))
    classes = int(first.max()) + 1
    present = np.unique(first)
    if len(present) < classes:
        gaps = np.flatnonzero(present != np.arange(len(present)))
        raise EvaluationError(
            f"data {path}: expected labels 0..{classes - 1}, each at least once in {name}; class {gaps[0]} "
            f"has no image; number the classes without gaps, e.g. "
            f"numpy.unique({name}, return_inverse=True)[1]"
        )
    if classes < 2:
        raise EvaluationError(
            f"data {path}: expected images of at least 2 classes, got 1; add images of another class"
        )
    for other, array in labels.items():
        if array.max() >= classes:
            raise EvaluationError(
                f"data {path}: expected labels 0..{classes - 1} in {other}, as in {name}, got {array.max()}; "
                f"add images of class {array.max()} to those for training or leave it out"
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
        raise EvaluationError(
            f"data {path}: expected {name} of shape (N, H, W), (N, H, W, C) or (N, C, H, W), got "
            f"{array.dtype} of shape {array.shape}; {remedy}"
        )
    if array.ndim == 4 and array.shape[3] not in (1, 3) and not _channels_second(*array.shape[1:]):
        of_images = array.shape[2] in (1, 3)  # (H, W, C, N), as in the files of SVHN
        axis, order = ("images", "3, 0, 1, 2") if of_images else ("channels", "0, 3, 1, 2")
        raise EvaluationError(
            f"data {path}: expected {name} of shape (N, H, W), (N, H, W, C) with 1 or 3 channels, or (N, C, "
            f"H, W), got shape {array.shape}; if its last axis is that of {axis}, transpose it: "
            f"{name}.transpose({order})"
        )
    images = scaler(name, array)
    if images.ndim == 3:
        return images[:, None]
    return images.transpose(0, 3, 1, 2) if images.shape[3] in (1, 3) else images


def _channels_second(second: int, third: int, fourth: int) -> bool:
    """Whether these axes are channels, height and width, in this order: square, or of few channels."""
    return third == fourth or second < min(third, fourth)


def _labels(path: str, name: str, array: np.ndarray, count: int) -> np.ndarray:
    """(N,) int64, checked to be whole numbers from 0."""
    expected = f"data {path}: expected {name} of whole numbers from 0 and shape ({count},)"
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2:
        raise EvaluationError(
            f"{expected}, got shape {array.shape}; if its rows are indicators of classes (one-hot), convert "
            f"them: {name}.argmax(1)"
        )
    if array.shape != (count,):
        raise EvaluationError(
            f"{expected}, one for each image, got shape {array.shape}; give each image a label"
        )
    if array.dtype.kind not in "iu":
        whole = array.dtype.kind == "b"
        if array.dtype.kind == "f":
            wrong = array[~np.isfinite(array) | (array != np.rint(array))]
            if len(wrong):
                raise EvaluationError(
                    f"{expected}, got {array.dtype} with values such as {wrong[0]:.6g}; give the number of "
                    "its class for each image, and leave out images that have none"
                )
            whole = True
        remedy = f"{name}.astype(int)" if whole else f"numpy.unique({name}, return_inverse=True)[1]"
        raise EvaluationError(f"{expected}, got {array.dtype}; convert them: {remedy}")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > np.iinfo(np.int64).max:
        raise EvaluationError(
            f"{expected}, got labels from {low} to {high}; number the classes from 0: "
            f"numpy.unique({name}, return_inverse=True)[1]"
        )
    return array.astype(np.int64)


def folder(path: str, image_size: int, limits: PixelRange = PixelRange()) -> Source:  # noqa: B008 - immutable
    """A folder with one subfolder of images per class, or with `train` and `val` or `test` of that form.

    Layouts as `nas.training.files` says, pixels as `nas.training.pixels` does. Grey images stay grey if all
    are, others become RGB.

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
        raise EvaluationError(
            f"data {path}: expected images of one size, got {width}x{height} for {files[0]} and "
            f"{other[1]}x{other[0]} for {files[len(pixels) - 1]}; set evaluator.image_size"
        )


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
    """The module torchvision; every other failure of its import is passed on."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _SYMPTOM not in str(error):
            raise
    _forget_partial_import()
    _declare_operators()
    return importlib.import_module("torchvision")


def _forget_partial_import() -> None:
    # the failed import leaves submodules behind that a second one would find half-initialised
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]


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
    """The data set of torchvision's class `name`, its official test images apart.

    Raises:
        EvaluationError: missing and not to be downloaded, or damaged, in one line.
    """
    kind = getattr(import_torchvision().datasets, name)
    return read_class(kind, file_path(root), _CLASSES[name])


def read_class(kind: Any, root: Path, classes: int) -> Source:
    """The data set of a class of torchvision's, CIFAR10 or MNIST or one derived from them."""
    with warnings.catch_warnings():
        # CIFAR's pickles give the alignment of a dtype as a number: NumPy 2.4.0 to 2.4.4 warn of that
        warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
        # tarfile before Python 3.14 asks for the filter that torchvision does not pass
        warnings.simplefilter("ignore", DeprecationWarning)
        if _unpacked(kind, root):
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
    """The files that hold the whole data set: path under root -> MD5 sum."""
    if hasattr(kind, "resources"):
        return {f"{kind.__name__}/raw/{file}": md5 for file, md5 in kind.resources}
    return {kind.filename: kind.tgz_md5}


def _unpacked_names(kind: Any) -> dict[str, str | None]:
    """The files that torchvision reads: path under root -> MD5 sum, where one is published."""
    if hasattr(kind, "resources"):
        return {file.removesuffix(".gz"): None for file in archives(kind)}
    batches = [*kind.train_list, *kind.test_list, [kind.meta["filename"], kind.meta["md5"]]]
    return {f"{kind.base_folder}/{file}": md5 for file, md5 in batches}


def _unpacked(kind: Any, root: Path) -> bool:
    return all(_sound(root / file, md5) for file, md5 in _unpacked_names(kind).items())


def _sound(file: Path, md5: str | None) -> bool:
    try:
        return import_torchvision().datasets.utils.check_integrity(str(file), md5)
    except OSError as error:
        raise EvaluationError(
            f"data {file}: cannot read it: {error.strerror}; check its permissions"
        ) from error


def _link_archives(kind: Any, root: Path, workplace: Path) -> list[str]:
    """Links to the sound archives; the others are returned as missing.

    A damaged one gets no link: torchvision would write its download through it.
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
    """Has torchvision download what is missing, check MD5 sums and unpack."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_SECONDS)  # torchvision's downloads have no time limit of their own
    try:
        kind(str(workplace), train=False, download=True)
    except (OSError, RuntimeError, EOFError) as error:  # URLError and time-outs are OSErrors
        reason = one_line(error) or type(error).__name__
        raise EvaluationError(_missing(kind, root, missing, reason)) from error
    finally:
        socket.setdefaulttimeout(before)


def _missing(kind: Any, root: Path, missing: list[str], reason: str) -> str:
    if not missing:
        return f"data {root.absolute()}: cannot unpack {', '.join(archives(kind))}: {reason}"
    damaged = [file for file in missing if os.path.exists(root / file)]
    state = f"found {', '.join(damaged)} with another MD5 sum" if damaged else "found none"
    wanted = ", ".join(f"{file} (MD5 {md5})" for file, md5 in archives(kind).items() if file in missing)
    url = getattr(kind, "url", None) or kind.mirrors[0]
    return (
        f"data {root.absolute()}: expected {wanted}, {state}, and the download from "
        f"{urlsplit(url).netloc} failed ({reason}); put the file{'s'[: len(missing) > 1]} there or "
        f"set evaluator.root"
    )


def _arrays(kind: Any, root: Path, classes: int) -> Source:
    try:
        parts = [kind(str(root), train=train) for train in (True, False)]
        arrays = [_checked(np.asarray(part.data), np.asarray(part.targets), classes) for part in parts]
        return joined(arrays, classes, tuple(parts[0].classes))
    except Exception as error:  # unpacked files of MNIST's format have no MD5 sum: parsers raise ten kinds
        raise EvaluationError(
            f"data {root.absolute()}: expected the files of {kind.__name__}, cannot read them: "
            f"{describe_error(error)}; remove {', '.join(_unpacked_names(kind))} and keep or add "
            f"{', '.join(archives(kind))}"
        ) from error


def _checked(images: np.ndarray, labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    if len(images) != len(labels):
        raise ValueError(f"{len(images)} images with {len(labels)} labels")
    if not len(labels) or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels beyond 0..{classes - 1}, or none")
    return _channels_first(images), labels


def _channels_first(images: np.ndarray) -> np.ndarray:
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


def _keep(root: Path, workplace: Path, downloaded: list[str]) -> None:
    """Moves downloaded archives into the user's folder, each in one step once it is complete."""
    for file in downloaded:
        target = root / file
        part = target.with_name(target.name + ".part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(workplace / file, part)
            os.replace(part, target)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise EvaluationError(f"data {target}: cannot store the download: {error.strerror}") from error
