"""Images and labels as they come: scikit-learn's digits, an .npz file, a folder of images."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.errors import EvaluationError
from nas.training.checks import file_path
from nas.training.torchvision_compat import import_torchvision


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Labelled images before any split.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64 in 0..classes-1.
        test: positions of the images that came as test images; empty when the data have none.
        classes: number of classes.
    """

    images: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    classes: int


def joined(parts: Sequence[tuple[np.ndarray, np.ndarray]], classes: int) -> Source:
    """One source of (images, labels) for training and, if there is a second pair, for testing."""
    images = np.concatenate([images for images, _ in parts])
    labels = np.concatenate([labels for _, labels in parts]).astype(np.int64)
    test = np.arange(len(parts[0][0]), len(images)) if len(parts) > 1 else np.arange(0)
    return Source(np.ascontiguousarray(images), labels, test, classes)


def digits() -> Source:
    """scikit-learn's bundled handwritten digits: 1,797 of 8x8, pixels 0..16 (UCI optdigits)."""
    from sklearn.datasets import load_digits

    images, labels = (np.asarray(array) for array in load_digits(return_X_y=True))
    return joined([(images.astype(np.uint8).reshape(-1, 1, 8, 8), labels)], classes=10)


def npz(path: str) -> Source:
    """An .npz file with `images`, `labels` and, for fixed test images, `test_images`, `test_labels`.

    Images are uint8 of (N, H, W), (N, H, W, C) or (N, C, H, W): a last axis of 1 or 3 is read as
    channels, otherwise the second one is. Labels are whole numbers 0..K-1.

    Raises:
        EvaluationError: no such file, or another content, in one line.
    """
    arrays = _read_npz(file_path(path))
    pairs = [("images", "labels")]
    if "test_images" in arrays or "test_labels" in arrays:
        pairs.append(("test_images", "test_labels"))
    for name in (name for pair in pairs for name in pair):
        if name not in arrays:
            found = ", ".join(arrays) or "none"
            raise EvaluationError(f'data {path}: expected an array "{name}", found {found}; add it')
    parts = [(_images(path, i, arrays[i]), _labels(path, j, arrays[j], arrays[i])) for i, j in pairs]
    if len({images.shape[1:] for images, _ in parts}) > 1:
        shapes = " and ".join(str(images.shape[1:]) for images, _ in parts)
        raise EvaluationError(f"data {path}: expected images and test_images of one shape, got {shapes}")
    return joined(parts, _classes_of(path, [labels for _, labels in parts]))


def npy_pair(
    images_file: str, labels_file: str, shape: tuple[int, ...], classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two .npy files, images and labels as in `npz`; (N, C, H, W) uint8 and (N,) int64.

    Args:
        images_file: path.
        labels_file: path.
        shape: (C, H, W) that the images are to have.
        classes: labels are below it.

    Raises:
        EvaluationError: no such files, or another content, in one line.
    """
    images = _images(images_file, "images", _read_npy(file_path(images_file)))
    labels = _labels(labels_file, "labels", _read_npy(file_path(labels_file)), images)
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


def _read_npy(path: Path) -> np.ndarray:
    if not path.is_file():
        raise EvaluationError(f"data {path}: expected an .npy file, found none; set its path")
    try:
        with path.open("rb") as file:
            array = np.load(file, allow_pickle=False)
            if isinstance(array, np.ndarray):
                return array
            raise ValueError("it is an archive of several arrays")
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise EvaluationError(
            f"data {path}: expected an .npy file of a plain array; cannot read it: {_line(error)}; "
            f"write it with numpy.save"
        ) from error


def _classes_of(path: str, labels: Sequence[np.ndarray]) -> int:
    """The number of classes; each of them occurs in the first array."""
    classes = int(max(array.max() for array in labels)) + 1
    present = np.unique(labels[0])
    if len(present) < classes:
        gaps = np.flatnonzero(present != np.arange(len(present)))
        raise EvaluationError(
            f"data {path}: expected labels 0..{classes - 1}, each at least once among the labels; "
            f"class {gaps[0] if len(gaps) else len(present)} has no image; number the classes without gaps"
        )
    return _at_least_two(path, classes)


def _at_least_two(path: str, classes: int) -> int:
    if classes < 2:
        raise EvaluationError(f"data {path}: expected images of at least 2 classes, got {classes}")
    return classes


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise EvaluationError(
            f"data {path}: expected an .npz file, found none; set evaluator.root to its path"
        )
    try:
        with path.open("rb") as file:  # numpy leaves a file that it opened and cannot read to the collector
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it holds a single array, as numpy.save writes it")
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise EvaluationError(
            f"data {path}: expected an .npz file of plain arrays; cannot read it: {_line(error)}; "
            f"write it with numpy.savez_compressed"
        ) from error


def _images(path: str, name: str, array: np.ndarray) -> np.ndarray:
    unclear = array.ndim == 4 and array.shape[3] in (2, 4) and array.shape[1] > 4
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or not array.size or unclear:
        raise EvaluationError(
            f"data {path}: expected {name} of uint8 and shape (N, H, W), (N, H, W, C) or (N, C, H, W), "
            f"got {array.dtype} of shape {array.shape}; convert them first"
        )
    if array.ndim == 3:
        return array[:, None]
    return array.transpose(0, 3, 1, 2) if array.shape[3] in (1, 3) else array


def _labels(path: str, name: str, array: np.ndarray, images: np.ndarray) -> np.ndarray:
    whole = np.issubdtype(array.dtype, np.integer) and array.shape == (len(images),)
    labels = array.astype(np.int64) if whole else array  # unsigned ones beyond int64 turn negative
    if not whole or labels.min() < 0:
        raise EvaluationError(
            f"data {path}: expected {name} of whole numbers from 0 and shape ({len(images)},), "
            f"got {array.dtype} of shape {array.shape}; convert them first"
        )
    return labels


def folder(path: str, image_size: int) -> Source:
    """A folder with one subfolder of images per class, or with `train` and `test` of that form.

    Files as torchvision's ImageFolder finds them; grey images stay grey if all are, others become RGB.

    Args:
        path: the folder.
        image_size: pixels, height and width to scale to; 0 when all images have one size.

    Raises:
        EvaluationError: no such folder, no images, unreadable or differing ones, in one line.
    """
    root = file_path(path)
    if not root.is_dir():
        raise EvaluationError(f"data {path}: expected a folder, found none; set evaluator.root to its path")
    has_test = (root / "train").is_dir() and (root / "test").is_dir()
    indexed = [_index(root / part) for part in (("train", "test") if has_test else ("",))]
    names = indexed[0].classes
    if any(part.classes != names for part in indexed):
        raise EvaluationError(
            f"data {path}: expected the same classes in train and test, got {_classes(indexed)}"
        )
    classes = _at_least_two(path, len(names))
    files = [Path(file) for part in indexed for file, _ in part.samples]
    images = _stack(path, [_pixels(file, image_size) for file in files], files)
    labels = np.array([label for part in indexed for _, label in part.samples], np.int64)
    first = len(indexed[0].samples)
    return Source(images, labels, np.arange(first, len(files)) if has_test else np.arange(0), classes)


def _index(path: Path) -> Any:
    datasets = import_torchvision().datasets
    try:
        return datasets.ImageFolder(str(path))
    except FileNotFoundError as error:
        raise EvaluationError(
            f"data {path}: expected one subfolder of images per class; {_line(error)}"
        ) from error


def _classes(indexed: Sequence[Any]) -> str:
    return " and ".join(", ".join(part.classes) for part in indexed)


def _pixels(file: Path, image_size: int) -> np.ndarray:
    """(H, W) of a grey image, (H, W, 3) of any other."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as opened:
            image = opened.convert("L" if opened.mode in ("1", "L") else "RGB")
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise EvaluationError(
            f"data {file}: expected an image; cannot read it: {_line(error)}; remove or replace it"
        ) from error
    if image_size:
        image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _stack(path: str, pixels: list[np.ndarray], files: list[Path]) -> np.ndarray:
    """(N, C, H, W) of images of one size; grey ones are repeated to RGB if any image has colour."""
    height, width = pixels[0].shape[:2]
    for file, array in zip(files, pixels, strict=True):
        if array.shape[:2] != (height, width):
            raise EvaluationError(
                f"data {path}: expected images of one size, got {width}x{height} for {files[0].name} and "
                f"{array.shape[1]}x{array.shape[0]} for {file.name}; set "
                f"evaluator.image_size"
            )
    if all(array.ndim == 2 for array in pixels):
        return np.stack(pixels)[:, None]
    colour = [array if array.ndim == 3 else np.repeat(array[:, :, None], 3, axis=2) for array in pixels]
    return np.ascontiguousarray(np.stack(colour).transpose(0, 3, 1, 2))


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
