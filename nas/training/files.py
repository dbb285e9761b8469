"""Arrays from untrusted .npy and .npz files, whose headers are checked before memory is allocated.

Nothing is unpickled. The exceptions of zipfile, zlib and numpy for damaged files become one line.

Folders of images: their classes and splits, and files that are not part of the data.

Two layouts are known: one folder of images per class, and folders `train` with `val` or `test` or both that
hold such folders. Ambiguous layouts are refused.
"""

from __future__ import annotations

import math
import os
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from nas.errors import EvaluationError, describe_error, one_line, refusal
from nas.evaluation import existing
from nas.training.pixels import note

_GIB = 2**30
_GROUP = "/sys/fs/cgroup"
_ZIP, _NPY = b"PK", b"\x93NUMPY"


def read_npz(path: Path, choose: Callable[[Sequence[str]], Sequence[str]]) -> dict[str, np.ndarray]:
    """The arrays that `choose` selects from all names; others are not read.

    Raises:
        EvaluationError: not an .npz file, a damaged one, Python objects, or too little memory.
    """

    def parse(file: IO[bytes]) -> dict[str, np.ndarray]:
        _check_begin(path, file, _ZIP, "an .npz file", "write it with numpy.savez_compressed")
        with zipfile.ZipFile(file) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if len(members) < len(archive.infolist()):
                raise ValueError("two of its arrays have one name")
            arrays = {}
            for name in choose(tuple(members)):
                with archive.open(members[name]) as stream:
                    arrays[name] = _array(f'data {path}, array "{name}"', stream, members[name].file_size)
            return arrays

    return _parsed(path, "an .npz file of plain arrays", parse, "write it with numpy.savez_compressed")


def read_npy(path: Path) -> np.ndarray:
    """The array of an .npy file.

    Raises:
        EvaluationError: as `read_npz` does.
    """

    def parse(file: IO[bytes]) -> np.ndarray:
        _check_begin(path, file, _NPY, "an .npy file", "write it with numpy.save")
        return _array(f"data {path}", file, path.stat().st_size)

    return _parsed(path, "an .npy file of a plain array", parse, "write it with numpy.save")


def _parsed(path: Path, kind: str, parse: Callable[[IO[bytes]], Any], remedy: str) -> Any:
    try:
        with path.open("rb") as file:
            return parse(file)
    except EvaluationError:
        raise
    except Exception as error:  # zipfile, its decompressors and numpy raise many types
        got = f"a file that cannot be read ({describe_error(error)})"
        raise EvaluationError(refusal(f"data {path}", kind, got, remedy)) from error


def _check_begin(path: Path, file: IO[bytes], magic: bytes, kind: str, remedy: str) -> None:
    begin = file.read(24)
    file.seek(0)
    if begin.startswith(magic):
        return
    known = {_ZIP: "a zip archive, as numpy.savez writes it", _NPY: "a single array, as numpy.save writes it"}
    got = next((text for each, text in known.items() if begin.startswith(each)), None)
    if got is None:
        got = f"one that begins with {begin!r}" if begin else "an empty one"
    raise EvaluationError(refusal(f"data {path}", kind, got, remedy))


def _array(where: str, stream: IO[bytes], length: int) -> np.ndarray:
    """The array in a stream of `length` bytes; read-only."""
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version in readers:
        try:
            shape, fortran, dtype = readers[version](stream)
        except ValueError as error:
            if "allow_pickle" in str(error):  # numpy advises it for long headers, but it would run code
                raise ValueError(f"{where}: its header is longer than those of plain arrays") from None
            raise
    else:
        raise ValueError(f"format {version} of its header, which plain arrays do not have")
    if dtype.hasobject:
        got = "Python objects, which are never unpickled"
        remedy = "convert it to a plain array first, e.g. with numpy.stack or .astype"
        raise EvaluationError(refusal(where, "numbers or texts", got, remedy))
    size = math.prod(shape) * dtype.itemsize
    rest = length - stream.tell()
    if size != rest or min(shape, default=0) < 0:
        raise ValueError(f"{where}: its header claims {size} bytes of shape {shape}, {rest} follow")
    # once as it is read, and once as the platform's array
    check_memory(where, 2 * size, "use a smaller part of the data, or a machine with more memory")
    content = stream.read(size)
    if len(content) != size:
        raise EOFError(f"{where}: {size} bytes are expected, {len(content)} follow")
    flat = np.frombuffer(content, dtype) if size else np.empty(math.prod(shape), dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def check_memory(where: str, needed: int, remedy: str) -> None:
    """Raises EvaluationError if this machine does not have `needed` bytes free."""
    free = free_memory()
    if free is not None and needed > free:
        expected, got = f"{needed / _GIB:.3g} GiB of free memory", f"{free / _GIB:.3g} GiB"
        raise EvaluationError(refusal(where, expected, got, remedy))


def free_memory() -> int | None:
    """Bytes that are free on this machine and in its container; None if the system does not report them."""
    found = [_figure("/proc/meminfo", "MemAvailable:", 1024)]
    limit, used = _figure(f"{_GROUP}/memory.max"), _figure(f"{_GROUP}/memory.current")
    if limit is not None and used is not None:  # control groups, version 2; cached files count as free
        found.append(limit - used + (_figure(f"{_GROUP}/memory.stat", "inactive_file") or 0))
    return min((each for each in found if each is not None), default=None)


def _figure(path: str, name: str = "", unit: int = 1) -> int | None:
    """The number after a name at the start of a line; None if there is none."""
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = re.search(rf"^{name}\s*(\d+)", "\n".join(lines), re.MULTILINE)
    return None if found is None else unit * int(found.group(1))


TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = {  # words for them, in lower case
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
    "testing": TEST,
}
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # as torchvision's
_OF_TOOLS = (  # folders that are no classes
    *(".git", ".svn", ".hg", ".ipynb_checkpoints", ".cache", ".thumbnails", ".idea", ".vscode", ".DS_Store"),
    *("__MACOSX", "__pycache__", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information"),
)
_FILES_OF_TOOLS = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True, slots=True)
class Found:
    """The contents of one folder.

    Attributes:
        path: the folder.
        images: in the order of their folders, then of their names, as torchvision's.
        folders: path of a folder, this one included -> names of the folders directly in it.
        others: files that are no images.
        hidden: hidden folders that are not those of known tools.
    """

    path: Path
    images: tuple[Path, ...]
    folders: Mapping[Path, tuple[str, ...]]
    others: tuple[Path, ...]
    hidden: tuple[Path, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the folders directly in it."""
        return self.folders[self.path]

    @property
    def loose(self) -> int:
        """Number of images directly in it."""
        return sum(image.parent == self.path for image in self.images)

    def parts(self) -> dict[str, Found]:
        """The contents of each folder directly in it."""
        depth = len(self.path.parts)
        images: dict[str, list[Path]] = {name: [] for name in self.names}
        for image in self.images:
            if len(image.parts) > depth + 1:
                images[image.parts[depth]].append(image)
        return {
            name: Found(self.path / name, tuple(each), self.folders, (), ()) for name, each in images.items()
        }


def find_images(path: str) -> tuple[tuple[str, ...], dict[str, list[tuple[Path, int]]]]:
    """Names of the classes, and split -> files with their labels; all in `train` if there are no splits.

    Raises:
        EvaluationError: no such folder, or one of another or of an ambiguous layout, in one line.
    """
    root = existing(path, "a folder", "set evaluator.root to its path", folder=True)
    where = f"data {path}"
    found = _below(where, root)
    parts = found.parts()
    full = {name: part for name, part in parts.items() if part.images}
    if not full:
        loose = f"{found.loose} images" if found.loose else "no image"
        got = f"{loose} in it and none in subfolders"
        remedy = f"put the images ({', '.join(EXTENSIONS)}) of each class into a folder of its name"
        raise EvaluationError(refusal(where, "one subfolder of images per class", got, remedy))
    _note_left_out(where, found, [name for name in parts if name not in full])
    _note_others(where, found)
    splits = [name for name in full if name.lower() in SPLITS]
    if splits:
        return _of_splits(where, full, splits)
    names = _checked_classes(where, full)
    return tuple(map(one_line, names)), {TRAIN: _labelled(full, names)}


def _of_splits(
    where: str, full: dict[str, Found], splits: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, list[tuple[Path, int]]]]:
    others = [name for name in full if name not in splits]
    flat = [name for name in splits if full[name].loose == len(full[name].images)]
    if others or flat:
        a_class = f"if {splits[0]} is a class, rename its folder, e.g. to {splits[0]}_class"
        if others:
            got = f"{_listed(splits)}, names of splits, beside {_listed(others)}"
            remedy = f"move what is not part of the data away, name splits train, val and test, or, {a_class}"
            raise EvaluationError(refusal(where, "either splits or classes", got, remedy))
        expected = f"one subfolder of images per class in {flat[0]}"
        got = f"{len(full[flat[0]].images)} images in none"
        a_class = a_class.replace(splits[0], flat[0])
        remedy = f"sort them into folders of their classes, or move {flat[0]} away; {a_class}"
        raise EvaluationError(refusal(where, expected, got, remedy))
    named: dict[str, str] = {}  # split -> name of its folder
    for name in splits:
        before = named.setdefault(SPLITS[name.lower()], name)
        if before != name:
            raise EvaluationError(
                refusal(
                    where,
                    f"one folder of images for {SPLITS[name.lower()]}",
                    f"{before} and {name}",
                    "merge them or move one away",
                )
            )
    if TRAIN not in named or len(named) == 1:
        beside = "val or test beside train" if TRAIN in named else "a folder train beside it"
        alone = " and ".join(splits)
        raise EvaluationError(
            refusal(
                where,
                beside,
                f"{alone} alone",
                f"set evaluator.root to {full[splits[0]].path} to draw all splits from its images",
            )
        )
    classes: dict[str, dict[str, Found]] = {}
    for split, name in named.items():
        every = full[name].parts()
        classes[split] = {each: one for each, one in every.items() if one.images}
        _note_left_out(where, full[name], [each for each in every if not every[each].images])
    names = _checked_classes(where, classes[TRAIN])
    for split in (VALIDATION, TEST):
        if split in named and list(classes[split]) != names:
            found = list(classes[split])
            lacking, more = [n for n in names if n not in found], [n for n in found if n not in names]
            differences = [
                f"no images of {_listed(gone)} in {folder}"
                for folder, gone in ((named[split], lacking), (named[TRAIN], more))
                if gone
            ]
            expected = f"the same classes in {named[TRAIN]} and {named[split]}"
            got = " and ".join(differences)
            raise EvaluationError(refusal(where, expected, got, "add or remove them"))
    files = {split: _labelled(classes[split], names) for split in (TRAIN, VALIDATION, TEST) if split in named}
    return tuple(map(one_line, names)), files


def _labelled(classes: dict[str, Found], names: Sequence[str]) -> list[tuple[Path, int]]:
    return [(image, label) for label, name in enumerate(names) for image in classes[name].images]


def _checked_classes(where: str, classes: dict[str, Found]) -> list[str]:
    """The names of the classes, in order; refuses names of splits and other levels of folders."""
    names = list(classes)
    if len(names) < 2:
        only = classes[names[0]]
        remedy = (
            f"set evaluator.root to {only.path}" if len(only.names) > 1 else "add images of another class"
        )
        raise EvaluationError(refusal(where, "images of at least 2 classes", f"1, {names[0]}", remedy))
    alike = [name for name in names if name.lower() in SPLITS]
    if alike:
        raise EvaluationError(
            refusal(
                where,
                f"names of classes in {classes[alike[0]].path.parent}",
                f"{alike[0]}, the name of a split",
                f"if it is a class, rename its folder, e.g. to {alike[0]}_class",
            )
        )
    splits = _like_splits(names)
    if splits:
        raise EvaluationError(
            refusal(
                where,
                "classes",
                f"{_listed(splits)}, which look like splits",
                "name them train, val and test and move others away, or rename them if they are classes",
            )
        )
    for name, one in classes.items():
        inner = [each for each in one.names if each.lower() in SPLITS]
        if inner:
            raise EvaluationError(
                refusal(
                    where,
                    "splits above the classes",
                    f"{_listed(inner)} in {name}",
                    f"move the images to {SPLITS[inner[0].lower()]}/{name} and so on",
                )
            )
    _check_deeper(where, classes)
    return names


def _like_splits(names: Sequence[str]) -> list[str]:
    """All names if each begins with a word for a split; else names that differ in it alone, as seg_train."""
    if all(re.split(r"[^a-z]", name.lower())[0] in SPLITS for name in names):
        return list(names)
    words = "|".join(sorted(SPLITS, key=len, reverse=True))
    alike: dict[str, list[str]] = {}
    for name in names:
        for found in re.finditer(words, name.lower()):
            alike.setdefault(f"{name[: found.start()]}*{name[found.end() :]}".lower(), []).append(name)
    return next((each for each in alike.values() if len(each) > 1), [])


def _check_deeper(where: str, classes: dict[str, Found]) -> None:
    """Notes classes whose images are all in inner folders; refuses the same folders in each class."""
    if not all(one.names and not one.loose for one in classes.values()):
        return
    names = list(classes)
    inner = [{name for name, part in one.parts().items() if part.images} for one in classes.values()]
    first = classes[names[0]]
    if len(inner[0]) > 1 and all(each == inner[0] for each in inner):
        got = f"the same folders, {_listed(sorted(inner[0]))}, in each of {_listed(names)}"
        remedy = (
            f"if they are the classes, set evaluator.root to {first.path}, or name the folders above them "
            "train, val and test; if they are parts of classes, move their images up into the folders of the "
            "classes"
        )
        raise EvaluationError(refusal(where, "one subfolder of images per class", got, remedy))
    note(
        f"{where}: the classes {_listed(names)} hold no images but in further folders, such as "
        f"{_listed(first.names)}; if these are the classes, set evaluator.root to one of the former"
    )


def _note_left_out(where: str, found: Found, empty: Sequence[str]) -> None:
    if empty:
        note(f"{where}: {_listed(empty)} in {found.path} hold no image of {', '.join(EXTENSIONS)}: left out")
    if found.loose:
        note(f"{where}: {found.loose} images that are in no folder of {found.path} are left out")


def _note_others(where: str, found: Found) -> None:
    others = [file for file in found.others if file.parent != found.path]
    for files, kind in ((others, "files that are no images"), (found.hidden, "hidden folders")):
        if files:
            note(f"{where}: {len(files)} {kind} are left out, e.g. {files[0].relative_to(found.path)}")


def _below(where: str, root: Path) -> Found:
    """All images; links are followed, but not in circles; hidden files and folders of tools are skipped."""
    images: dict[Path, list[Path]] = {}
    others: list[Path] = []
    hidden: list[Path] = []
    folders: dict[Path, tuple[str, ...]] = {}
    waiting: list[tuple[Path, frozenset[str]]] = [(root, frozenset())]
    while waiting:
        folder, above = waiting.pop()
        place = os.path.realpath(folder)
        inner: list[str] = []
        for name in () if place in above else _entries(where, folder):
            path = folder / name
            if os.path.isdir(path):
                if name.startswith("."):
                    hidden.append(path)
                else:
                    inner.append(name)
            elif name.startswith(".") or name.lower() in _FILES_OF_TOOLS:
                continue
            elif name.lower().endswith(EXTENSIONS) and os.path.isfile(path):  # neither pipe nor broken link
                images.setdefault(folder, []).append(path)
            else:
                others.append(path)
        folders[folder] = tuple(inner)
        waiting += [(folder / name, above | {place}) for name in inner]
    # as torchvision sorts them: the order decides which images are drawn for validation
    ordered = [image for folder in sorted(images, key=str) for image in images[folder]]
    return Found(root, tuple(ordered), folders, tuple(sorted(others)), tuple(sorted(hidden)))


def _entries(where: str, folder: Path) -> list[str]:
    try:
        return [name for name in sorted(os.listdir(folder)) if name not in _OF_TOOLS]
    except OSError as error:
        got, remedy = f"{folder} ({error.strerror})", "check its permissions or move it away"
        raise EvaluationError(refusal(where, "folders that can be read", got, remedy)) from error


def _listed(names: Sequence[str]) -> str:
    more = len(names) - 6
    return ", ".join(names[:6]) + (f" and {more} more" if more > 0 else "")
