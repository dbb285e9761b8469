from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.errors import EvaluationError
from nas.training.data import DataOptions, load
from nas.training.sources import folder, npz

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 5, 4, 3)).astype(np.uint8)  # (N, H, W, C)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def saved(tmp_path: Path, **arrays: np.ndarray) -> str:
    np.savez(tmp_path / "own.npz", **arrays)  # type: ignore[arg-type]
    return str(tmp_path / "own.npz")


def test_npz_reads_channels_last_first_and_none(tmp_path: Path) -> None:
    last = npz(saved(tmp_path, images=IMAGES, labels=LABELS))
    first = npz(saved(tmp_path, images=IMAGES.transpose(0, 3, 1, 2), labels=LABELS))
    grey = npz(saved(tmp_path, images=IMAGES[..., 0], labels=LABELS.astype(np.uint8)))
    assert np.array_equal(last.images, IMAGES.transpose(0, 3, 1, 2))
    assert np.array_equal(first.images, last.images)
    assert np.array_equal(grey.images[:, 0], IMAGES[..., 0])
    assert (grey.labels.dtype, grey.classes, len(grey.test)) == (np.int64, 3, 0)


def test_npz_keeps_its_test_images_apart(tmp_path: Path) -> None:
    arrays = {"images": IMAGES, "labels": LABELS, "test_images": IMAGES[:2], "test_labels": LABELS[:2]}
    source = npz(saved(tmp_path, **arrays))
    assert source.test.tolist() == [6, 7]
    assert np.array_equal(source.images[6:], source.images[:2])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": IMAGES}, 'expected an array "labels", found images; add it$'),
        ({"images": IMAGES / 255, "labels": LABELS}, "expected images of uint8 .* got float64 of shape"),
        ({"images": IMAGES[0, 0], "labels": LABELS}, r"expected images of uint8 .* of shape \(4, 3\)"),
        ({"images": np.zeros((6, 9, 9, 4), np.uint8), "labels": LABELS}, r"of shape \(6, 9, 9, 4\); convert"),
        ({"images": IMAGES, "labels": LABELS[:5]}, r"expected labels of whole numbers .* \(6,\), got int64"),
        ({"images": IMAGES, "labels": LABELS - 1}, "expected labels of whole numbers from 0"),
        ({"images": IMAGES, "labels": LABELS * 2}, r"expected labels 0\.\.4, .* class 1 has no image"),
        (
            {"images": IMAGES, "labels": LABELS * 5 * 10**13},
            r"expected labels 0\.\.10{14}, .* class 1 has no image; number the classes without gaps$",
        ),
        ({"images": IMAGES, "labels": np.full(6, 2**64 - 1, np.uint64)}, "expected labels of whole numbers"),
        ({"images": IMAGES, "labels": LABELS * 0}, "expected images of at least 2 classes, got 1$"),
        (
            {"images": IMAGES, "labels": LABELS, "test_images": IMAGES[:2], "test_labels": LABELS[:2] + 3},
            r"expected labels 0\.\.4, .* class 3 has no image",
        ),
        (
            {"images": IMAGES, "labels": LABELS, "test_images": IMAGES[:2]},
            'expected an array "test_labels"',
        ),
        (
            {"images": IMAGES, "labels": LABELS, "test_images": IMAGES[:2, 1:], "test_labels": LABELS[:2]},
            r"images and test_images of one shape, got \(3, 5, 4\) and \(3, 4, 4\)$",
        ),
        ({"images": IMAGES, "labels": np.array([{}] * 6)}, "expected an .npz file of plain arrays; .*pickle"),
    ],
)
def test_npz_names_the_fault_in_one_line(tmp_path: Path, arrays: dict, message: str) -> None:
    path = saved(tmp_path, **arrays)
    with pytest.raises(EvaluationError, match=f"^data {path}: .*{message}") as caught:
        npz(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 broken", b"\x93NUMPY\x01\x00"], ids=["empty", "zip", "npy"]
)
def test_npz_of_another_content_is_an_error_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    with pytest.raises(EvaluationError, match=r"expected an .npz file of plain arrays; cannot read it: "):
        npz(str(path))


def test_npz_that_is_one_array_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", IMAGES)
    with pytest.raises(EvaluationError, match=r"expected an .npz file of plain arrays; cannot read it: "):
        npz(str(tmp_path / "own.npy"))


def test_missing_npz_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(
        EvaluationError, match=r"expected an .npz file, found none; set evaluator.root to its path$"
    ):
        npz(str(tmp_path / "none.npz"))


def write_images(root: Path, mode: str = "RGB", size: tuple[int, int] = (4, 5)) -> None:
    for label, name in enumerate(("bird", "cat")):
        (root / name).mkdir(parents=True)
        for number in range(10):
            Image.new(mode, size, color=10 * label + number).save(root / name / f"{number}.png")


def test_folder_takes_classes_from_subfolders_and_keeps_grey(tmp_path: Path) -> None:
    write_images(tmp_path, mode="L")
    source = folder(str(tmp_path), image_size=0)
    assert source.images.shape == (20, 1, 5, 4)
    assert source.images[:, 0, 0, 0].tolist() == list(range(20))
    assert source.labels.tolist() == [0] * 10 + [1] * 10
    assert (source.classes, len(source.test)) == (2, 0)
    assert source.class_names == ("bird", "cat")


def test_folder_scales_and_turns_grey_to_colour_where_any_image_has_colour(tmp_path: Path) -> None:
    write_images(tmp_path, mode="L")
    Image.new("RGB", (9, 9), color=(1, 2, 3)).save(tmp_path / "cat" / "9.png")
    source = folder(str(tmp_path), image_size=6)
    assert source.images.shape == (20, 3, 6, 6)
    assert source.images[19, :, 0, 0].tolist() == [1, 2, 3]
    assert source.images[3, :, 0, 0].tolist() == [3, 3, 3]


def test_folder_with_train_and_test_keeps_them_apart(tmp_path: Path) -> None:
    write_images(tmp_path / "train")
    write_images(tmp_path / "test")
    data = load(DataOptions(dataset="folder", root=str(tmp_path), validation_fraction=0.2))
    assert data.test.tolist() == list(range(20, 40))
    assert (len(data.train), len(data.validation)) == (16, 4)


def test_folder_names_the_fault_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        EvaluationError, match=r"expected a folder, found none; set evaluator.root to its path$"
    ):
        folder(str(tmp_path / "none"), 0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        EvaluationError, match=r"expected one subfolder of images per class; Couldn't find any"
    ):
        folder(str(tmp_path / "empty"), 0)
    write_images(tmp_path / "sizes")
    Image.new("L", (9, 8)).save(tmp_path / "sizes" / "cat" / "9.png")
    expected = "expected images of one size, got 4x5 for 0.png and 9x8 for 9.png; set evaluator.image_size$"
    with pytest.raises(EvaluationError, match=expected):
        folder(str(tmp_path / "sizes"), 0)
    (tmp_path / "sizes" / "cat" / "9.png").write_bytes(b"no image")
    with pytest.raises(
        EvaluationError, match=r"9.png: expected an image; cannot read it: .*; remove or replace"
    ):
        folder(str(tmp_path / "sizes"), 0)


def test_a_folder_of_one_class_is_an_error(tmp_path: Path) -> None:
    write_images(tmp_path)
    shutil.rmtree(tmp_path / "cat")
    with pytest.raises(EvaluationError, match=r"expected images of at least 2 classes, got 1$"):
        folder(str(tmp_path), 0)


def test_folder_with_other_classes_in_test_is_an_error(tmp_path: Path) -> None:
    write_images(tmp_path / "train")
    write_images(tmp_path / "test")
    (tmp_path / "test" / "cat").rename(tmp_path / "test" / "dog")
    with pytest.raises(
        EvaluationError, match="the same classes in train and test, got bird, cat and bird, dog"
    ):
        folder(str(tmp_path), 0)
