"""Layouts of image folders: recognised, or refused with what to do, never taken for something else."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import pytest

from nas.errors import EvaluationError
from nas.training.files import TEST, TRAIN, VALIDATION, find_images


def grown(root: Path, *files: str) -> str:
    """A folder with these files; a name that ends in "/" is an empty folder."""
    for name in files:
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(b"")
    return str(root)


def of(*splits: str, classes: tuple[str, ...] = ("cat", "dog")) -> list[str]:
    return [f"{split}/{name}/{number}.png" for split in splits for name in classes for number in (1, 2)]


def labelled(root: str) -> dict[str, list[tuple[str, int]]]:
    _, splits = find_images(root)
    return {split: [(os.path.relpath(file, root), n) for file, n in part] for split, part in splits.items()}


CLASSES = ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"]


def test_folders_are_classes_in_the_order_of_their_names(tmp_path: Path) -> None:
    root = grown(
        tmp_path, "dog/b.JPG", "dog/a.png", "cat/sub/z.png", "cat/sub-2/y.png", "cat/x.tiff", "10/1.bmp"
    )
    names, splits = find_images(root)
    assert names == ("10", "cat", "dog")
    assert list(splits) == [TRAIN]
    # a folder's images in the order of torchvision's ImageFolder
    assert labelled(root)[TRAIN] == [
        ("10/1.bmp", 0),
        ("cat/x.tiff", 1),
        ("cat/sub/z.png", 1),
        ("cat/sub-2/y.png", 1),
        ("dog/a.png", 2),
        ("dog/b.JPG", 2),
    ]


@pytest.mark.parametrize(
    ("folders", "wanted"),
    [
        (("train", "test"), [TRAIN, TEST]),
        (("train", "val"), [TRAIN, VALIDATION]),
        (("Train", "Valid", "TEST"), [TRAIN, VALIDATION, TEST]),
        (("training", "validation", "testing"), [TRAIN, VALIDATION, TEST]),
    ],
)
def test_splits_are_recognised_by_name(tmp_path: Path, folders: tuple[str, ...], wanted: list[str]) -> None:
    root = grown(tmp_path, *of(*folders))
    names, _ = find_images(root)
    assert names == ("cat", "dog")
    found = labelled(root)
    assert list(found) == wanted
    for split, folder in zip(wanted, folders, strict=True):
        assert found[split] == [(name, n // 2) for n, name in enumerate(of(folder))]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "expected one subfolder of images per class, got no image in it and none in subfolders; put"),
        (["1.png", "2.png"], "got 2 images in it and none in subfolders"),
        (["cat/1.gif", "dog/a.npy"], "got no image in it and none in subfolders; put the images (.jpg"),
        (["cat/1.png"], "expected images of at least 2 classes, got 1, cat; add images of another class"),
        (["all/cat/1.png", "all/dog/1.png"], "got 1, all; set evaluator.root to ROOT/all"),
        (of("all/train", "all/test"), "got 1, all; set evaluator.root to ROOT/all"),
        (of("test"), "expected a folder train beside it, got test alone; set evaluator.root to ROOT/test to "
         "draw all splits from its images"),
        (of("train"), "expected val or test beside train, got train .* set evaluator.root to ROOT/train"),
        (of("val", "test"), "expected a folder train beside it, got test and val alone"),
        ([*of("train", "test"), "bird/1.png"], "got test, train, names of splits, beside bird; move what"),
        ([*CLASSES, "train/1.png"], "got train, names of splits, beside cat, dog; move .* or, if train is "
         "a class, rename its folder, e.g. to train_class"),
        ([*CLASSES, "Test/cat/1.png"], "got Test, names of splits, beside cat, dog"),
        ([*of("train"), "test/1.png", "test/2.png"], "per class in test, got 2 images in none; sort them"),
        (["train/1.png", "val/2.png"], "per class in train, got 1 images in none"),
        (of("train", "val", "valid"), "expected one folder of images for validation, got val and valid;"),
        (of("train", "Train", "test"), "expected one folder of images for train, got Train and train;"),
        ([*of("train", "test"), "test/bird/1.png"],
         "expected the same classes in train and test, got no images of bird in train; add or remove them"),
        ([*of("train"), "test/cat/1.png", "test/bird/2.png"],
         "got no images of dog in test and no images of bird in train; add or remove them"),
        ([*of("train", "test"), "train/bird/1.png", "test/bird/"], "got no images of bird in test"),
        (of("train", "test", classes=("train", "test")), "in ROOT/train, got test, the name of a split;"),
        (of("cat", "dog", classes=("train", "test")), "expected splits above the classes, got test, train "
         "in cat; move the images to test/cat and so on"),
        (of("train2017", "val2017"), "got train2017, val2017, which look like splits; name them train"),
        (of("training_set", "test_set"), "got test_set, training_set, which look like splits"),
        (of("seg_train", "seg_test"), "got seg_test, seg_train, which look like splits; name them train"),
        ([*of("seg_train", "seg_test"), "seg_pred/1.png"], "got seg_test, seg_train, which look like"),
        (["trainset/1.png", "testset/1.png"], "got testset, trainset, which look like splits"),
        (of("split1", "split2"), "got the same folders, cat, dog, in each of split1, split2; if they are "
         "the classes, set evaluator.root to ROOT/split1, or name the folders above them train, val and"),
        (of("train", "eval"), "move what is not part of the data away, name splits train, val and test, or,"),
        (of("all/train/train", "all/test"), "set evaluator.root to ROOT/all"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_any_other_layout_is_refused_with_what_to_do(tmp_path: Path, files: list[str], message: str) -> None:
    root = grown(tmp_path, *files)
    pattern = ".*".join(re.escape(part.replace("ROOT", root)) for part in message.split(".*"))
    with pytest.raises(EvaluationError, match=f"^data {root}: .*{pattern}") as caught:
        find_images(root)
    assert "\n" not in str(caught.value)


def test_a_class_may_have_a_name_that_begins_as_that_of_a_split(tmp_path: Path) -> None:
    names, _ = find_images(grown(tmp_path, "train_station/1.png", "test tube/1.png", "cat/1.png"))
    assert names == ("cat", "test tube", "train_station")


def test_classes_may_have_further_folders_of_one_name(tmp_path: Path) -> None:
    names, _ = find_images(grown(tmp_path, "cat/1.png", "cat/left/2.png", "dog/left/1.png", "dog/2.png"))
    assert names == ("cat", "dog")


def test_what_belongs_to_tools_is_passed_over(tmp_path: Path) -> None:
    junk = [
        ".ipynb_checkpoints/1.png",
        "__MACOSX/cat/._1.png",
        ".git/objects/",
        "@eaDir/1.png",
        "README.md",
        ".DS_Store",
    ]
    inside = [
        "cat/.DS_Store",
        "cat/._1.png",
        "cat/Thumbs.db",
        "cat/.ipynb_checkpoints/1.png",
        "dog/desktop.ini",
    ]
    root = grown(tmp_path, *CLASSES, *junk, *inside)
    assert [name for name, _ in labelled(root)[TRAIN]] == CLASSES


@pytest.mark.parametrize(
    ("files", "note"),
    [
        ([*CLASSES, "bird/", "docs/a.txt"], r"bird, docs in ROOT hold no image of .jpg, .*: left out"),
        ([*CLASSES, "stray.png"], "1 images that are in no folder of ROOT are left out"),
        ([*CLASSES, "cat/notes.txt", "cat/3.gif"], "2 files that are no images are left out, e.g. cat/3.gif"),
        ([*CLASSES, ".bird/1.png"], "1 hidden folders are left out, e.g. .bird"),
        ([*of("train", "test"), "train/bird/", "test/bird/"], "bird in ROOT/train hold no image"),
        ([*of("train", "test"), "train/1.png"], "1 images that are in no folder of ROOT/train are left out"),
        (
            ["raw/cat/1.png", "raw/dog/1.png", "new/cat/1.png"],
            "classes new, raw hold no images but in further fold",
        ),
    ],
)
def test_what_is_left_out_and_could_surprise_is_noted(tmp_path: Path, files: list[str], note: str) -> None:
    root = grown(tmp_path, *files)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        find_images(root)
    assert any(re.search(note.replace("ROOT", root), str(each.message)) for each in caught)
    assert len(caught) <= 2


def test_pipes_broken_links_and_circles_do_not_hang(tmp_path: Path) -> None:
    root = grown(tmp_path, *CLASSES)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    (tmp_path / "cat" / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "cat" / "itself.png").symlink_to("itself.png")
    (tmp_path / "dog" / "up").symlink_to(tmp_path)
    (tmp_path / "bird").symlink_to(tmp_path / "cat")
    with pytest.warns(UserWarning, match="files that are no images are left out, e.g. bird/gone.png"):
        names, splits = find_images(root)
    assert names == ("bird", "cat", "dog")
    assert len(splits[TRAIN]) == 6


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, listdir = grown(tmp_path, *CLASSES), os.listdir

    def refusing(path: Path) -> list[str]:
        if path.name == "dog":
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refusing)
    with pytest.raises(
        EvaluationError,
        match=r"expected folders that .*, got .*/dog \(Permission denied\); check its permissions or",
    ):
        find_images(root)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for name in ("none", "file"):
        with pytest.raises(
            EvaluationError, match=r"expected a folder, found .*; set evaluator.root to its path$"
        ):
            find_images(str(tmp_path / name))


def test_names_of_classes_are_safe_to_show(tmp_path: Path) -> None:
    names, _ = find_images(grown(tmp_path, "a\x1b[31m/1.png", "b\n/1.png"))
    assert names == ("a\\x1b[31m", "b")
