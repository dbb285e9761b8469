"""Fashion-MNIST, CIFAR-10 and CIFAR-100 through torchvision, which downloads and checks MD5 sums.

torchvision unpacks archives where it finds them and leaves half a file behind when a download breaks
off. So it works in a temporary folder that holds links to the verified archives: a folder that cannot
be written serves as well, and only a complete, verified archive is ever moved into the user's folder.

CIFAR's batches are pickles, which torchvision reads after that MD5 check: the one exception to this
project's rule of unpickling nothing that comes from outside.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from nas.errors import EvaluationError, describe_error, one_line
from nas.training.checks import file_path
from nas.training.sources import Source, joined
from nas.training.torchvision_compat import import_torchvision

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
