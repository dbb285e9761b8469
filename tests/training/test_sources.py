from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.errors import EvaluationError
from nas.training import DataOptions, load
from nas.training import files as arrays
from nas.training.pixels import PixelRange
from nas.training.sources import folder, npz

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 5, 4, 3)).astype(np.uint8)  # (N, H, W, C)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def saved(tmp_path: Path, **content: np.ndarray) -> str:
    np.savez(tmp_path / "own.npz", **content)  # type: ignore[arg-type]
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
    content = {"images": IMAGES, "labels": LABELS, "test_images": IMAGES[:2], "test_labels": LABELS[:2]}
    source = npz(saved(tmp_path, **content))
    assert source.test.tolist() == [6, 7]
    assert np.array_equal(source.images[6:], source.images[:2])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": IMAGES}, 'expected an array "labels", got images; add it, or give'),
        (
            {"images": IMAGES / 1.0, "labels": LABELS},
            "expected values of float64 from 0 to 1, got 0 to 255, first in",
        ),
        (
            {"images": IMAGES[0, 0], "labels": LABELS},
            r"got uint8 of shape \(4, 3\); reshape them, e.g. images.resh",
        ),
        (
            {"images": IMAGES[None, None], "labels": LABELS},
            r"of shape \(1, 1, 6, 5, 4, 3\); convert them first$",
        ),
        (
            {"images": IMAGES[:0], "labels": LABELS[:0]},
            r"expected images of shape .* got uint8 of shape \(0, 5, 4,",
        ),
        (
            {"images": np.zeros((6, 9, 9, 4), np.uint8), "labels": LABELS},
            r"got shape \(6, 9, 9, 4\); .*images.transpose",
        ),
        (
            {"images": np.zeros((6, 9, 9, 13), np.uint8), "labels": LABELS},
            r"got shape \(6, 9, 9, 13\); if its last",
        ),
        ({"images": np.zeros((6, 9, 8, 5), np.uint8), "labels": LABELS}, r"images.transpose\(0, 3, 1, 2\)$"),
        (
            {"images": IMAGES, "labels": LABELS[:5]},
            r"shape \(6,\), one for each image, got shape \(5,\); give",
        ),
        (
            {"images": IMAGES, "labels": LABELS - 1},
            "got labels from -1 to 1; number the classes from 0: numpy",
        ),
        ({"images": IMAGES, "labels": LABELS / 1.0}, r"got float64; convert them: labels.astype\(int\)$"),
        (
            {"images": IMAGES, "labels": LABELS + 0.25},
            "got float64 with values such as 0.25; give the number of its class",
        ),
        (
            {"images": IMAGES, "labels": np.where(LABELS > 0, LABELS, np.nan)},
            "got float64 with values such as nan; .* leave out images without one$",
        ),
        (
            {"images": np.zeros((9, 9, 3, 6), np.uint8), "labels": LABELS},
            r"if its last axis is that of images, transpose it: images.transpose\(3, 0, 1, 2\)$",
        ),
        (
            {"images": IMAGES[:0], "labels": LABELS[:0]},
            "got uint8 of shape .*; give at least one image, of at least one pixel$",
        ),
        ({"images": IMAGES, "labels": LABELS > 0}, r"got bool; convert them: labels.astype\(int\)$"),
        (
            {"images": IMAGES, "labels": np.array(list("abcabc"))},
            r"got <U1; convert them: numpy.unique\(labels, re",
        ),
        (
            {"images": IMAGES, "labels": np.eye(3)[LABELS]},
            r"got shape \(6, 3\); .*\(one-hot\).*: labels.argmax\(1",
        ),
        (
            {"images": IMAGES, "labels": LABELS + 1},
            r"expected labels 0\.\.3, .* got no image of class 0; number the",
        ),
        ({"images": IMAGES, "labels": LABELS * 2}, r"expected labels 0\.\.4, .* got no image of class 1"),
        (
            {"images": IMAGES, "labels": LABELS * 5 * 10**13},
            r"expected labels 0\.\.10{14}, .* got no image of class 1; number the classes without gaps",
        ),
        ({"images": IMAGES, "labels": np.full(6, 2**64 - 1, np.uint64)}, f"got labels from {2**64 - 1} to"),
        (
            {"images": IMAGES, "labels": LABELS * 0},
            "expected images of at least 2 classes, got 1; add images of an",
        ),
        (
            {"images": IMAGES, "labels": LABELS, "test_images": IMAGES[:2], "test_labels": LABELS[:2] + 3},
            r"expected labels 0\.\.2 in test_labels, as in labels, got 4; add images of class 4 to",
        ),
        (
            {"images": IMAGES, "labels": LABELS, "test_images": IMAGES[:2]},
            'expected an array "test_labels"',
        ),
        (
            {"images": IMAGES, "labels": LABELS, "test_images": IMAGES[:2, 1:], "test_labels": LABELS[:2]},
            r"images and test_images of one shape, got \(3, 5, 4\) and \(3, 4, 4\); scale or cut them",
        ),
        ({"images": IMAGES, "labels": np.array([{}] * 6)}, "got Python objects, which are never unpickled"),
        (
            {"images": IMAGES, "x": IMAGES, "y": LABELS},
            "one array of images for train, got images and x; leave",
        ),
        (
            {"images": IMAGES, "labels": LABELS, "y_train": LABELS},
            "either as a whole or by splits, got labels and",
        ),
        (
            {"images": IMAGES, "labels": LABELS, "y_val": LABELS},
            'expected an array "val_images", got images, ',
        ),
        (
            {"x_test": IMAGES, "y_test": LABELS},
            'expected an array "images", got x_test, y_test; add it, or give',
        ),
        (
            {"images": IMAGES, "labels": LABELS, "values": LABELS, "testSet": IMAGES},
            'got "testSet"; rename it or',
        ),
        (
            {"images": IMAGES, "labels": LABELS, "class_names": np.array(["a"])},
            "expected class_names of 3 texts",
        ),
        (
            {"images": IMAGES, "labels": LABELS, "class_names": LABELS[:3]},
            "class_names of 3 texts, .* got int64",
        ),
    ],
)
def test_npz_names_the_fault_in_one_line(tmp_path: Path, content: dict, message: str) -> None:
    path = saved(tmp_path, **content)
    with pytest.raises(EvaluationError, match=f"^data {path}.*: .*{message}") as caught:
        npz(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        (("x_train", "y_train"), ("x_val", "y_val"), ("x_test", "y_test")),
        (("train_images", "train_labels"), ("val_images", "val_labels"), ("test_images", "test_labels")),
        (("X", "Y"), ("valid_data", "valid_targets"), ("image_testing", "label_testing")),
    ],
)
def test_npz_takes_splits_from_the_names_of_arrays(
    tmp_path: Path, train: tuple[str, str], validation: tuple[str, str], test: tuple[str, str]
) -> None:
    content = {}
    for (images, labels), part in ((test, slice(4, 6)), (train, slice(0, 6)), (validation, slice(0, 3))):
        content |= {images: IMAGES[part], labels: LABELS[part, None]}  # (N, 1) as in MedMNIST
    source = npz(saved(tmp_path, **content, class_names=np.array(["a", "b\n", "\x1b[1m"])))
    assert source.validation.tolist() == [6, 7, 8]
    assert source.test.tolist() == [9, 10]
    assert source.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 1, 2]
    assert np.array_equal(source.images[9:], IMAGES[4:].transpose(0, 3, 1, 2))
    assert source.class_names == ("a", "b", "\\x1b[1m")


def test_arrays_of_other_names_are_noted_and_not_read(tmp_path: Path) -> None:
    path = saved(tmp_path, images=IMAGES, labels=LABELS, ids=LABELS, weights=LABELS)
    with pytest.warns(UserWarning, match=rf"^data {path}: the arrays ids, weights are not read$"):
        assert npz(path).classes == 3


def test_npz_scales_values_by_the_rule_for_all_images(tmp_path: Path) -> None:
    wanted = IMAGES.transpose(0, 3, 1, 2)
    with pytest.warns(UserWarning, match="pixels of float32, .* are scaled from 0..1 to 0..255$"):
        found = npz(saved(tmp_path, images=(IMAGES / 255).astype(np.float32), labels=LABELS))
    assert np.array_equal(found.images, wanted)
    with pytest.warns(UserWarning, match="pixels of int64, .* are scaled from 0..255 to 0..255$"):
        found = npz(saved(tmp_path, images=IMAGES.astype(int), labels=LABELS), PixelRange(0, 255))
    assert np.array_equal(found.images, wanted)


def test_many_channels_are_read_where_they_can_only_be_the_second_axis(tmp_path: Path) -> None:
    for shape in ((6, 13, 9, 9), (6, 64, 8, 8), (6, 4, 9, 7), (6, 2, 5, 6)):
        source = npz(saved(tmp_path, images=np.ones(shape, np.uint8), labels=LABELS))
        assert source.images.shape == shape


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


@pytest.mark.filterwarnings("ignore:.*of one colour")
def test_folder_with_splits_keeps_them_apart(tmp_path: Path) -> None:
    write_images(tmp_path / "train")
    write_images(tmp_path / "test")
    options = DataOptions(dataset="folder", root=str(tmp_path), validation_fraction=0.2)
    data = load(options)
    assert data.test.tolist() == list(range(20, 40))
    assert (len(data.train), len(data.validation)) == (16, 4)
    write_images(tmp_path / "VALID")
    data = load(options)
    assert [part.tolist() for part in (data.train, data.validation, data.test)] == [
        list(range(20)),
        list(range(20, 40)),
        list(range(40, 60)),
    ]
    shutil.rmtree(tmp_path / "test")
    with pytest.warns(
        UserWarning, match=r"no test images are given beside the 20 for validation, so that 4 of those for"
    ):
        data = load(options)
    assert data.validation.tolist() == list(range(20, 40))
    assert (len(data.train), len(data.test), data.test.max() < 20) == (16, 4, True)


def test_sixteen_bits_keep_classes_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, level in (("bright", 40000), ("dark", 2000)):
        (tmp_path / name).mkdir()
        for number in range(8):
            pixels = (rng.random((16, 16)) * 1000 + level).astype(np.uint16)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    with pytest.warns(UserWarning, match="pixels of uint16, .* are scaled from 0..65535 to 0..255$"):
        source = folder(str(tmp_path), 0)
    assert source.images.shape == (16, 1, 16, 16)
    assert source.images[source.labels == 0].mean() == pytest.approx(40500 / 257, abs=0.1)
    assert source.images[source.labels == 1].mean() == pytest.approx(2500 / 257, abs=0.1)


def test_folder_names_the_fault_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        EvaluationError, match=r"expected a folder, found none; set evaluator.root to its path$"
    ):
        folder(str(tmp_path / "none"), 0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        EvaluationError, match=r"expected one subfolder of images per class, got no image in it"
    ):
        folder(str(tmp_path / "empty"), 0)
    write_images(tmp_path / "sizes")
    Image.new("L", (9, 8)).save(tmp_path / "sizes" / "cat" / "9.png")
    expected = (
        r"images of one size, got 4x5 for .*bird/0.png and 9x8 for .*cat/9.png; set evaluator.image_size$"
    )
    with pytest.raises(EvaluationError, match=expected):
        folder(str(tmp_path / "sizes"), 0)
    (tmp_path / "sizes" / "cat" / "9.png").write_bytes(b"no image")
    with pytest.raises(
        EvaluationError,
        match=r"9.png: expected an image, got a file that cannot be read \(.*; remove or replace",
    ):
        folder(str(tmp_path / "sizes"), 0)


def test_a_folder_of_one_class_is_an_error(tmp_path: Path) -> None:
    write_images(tmp_path)
    shutil.rmtree(tmp_path / "cat")
    with pytest.raises(
        EvaluationError, match=r"of at least 2 classes, got 1, bird; add images of another class$"
    ):
        folder(str(tmp_path), 0)


def test_images_that_exceed_the_memory_are_refused_after_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path)
    monkeypatch.setattr(arrays, "free_memory", lambda: 10_000)
    assert folder(str(tmp_path), 0).images.nbytes == 20 * 60
    with pytest.raises(
        EvaluationError,
        match=r"20 images: expected .* GiB of free memory, got .*; set a smaller evaluator.image_size$",
    ):
        folder(str(tmp_path), 16)
