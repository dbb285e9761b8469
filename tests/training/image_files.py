"""Files in the formats of CIFAR-10 and Fashion-MNIST with other images, and a web server that has them."""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import http.server
import io
import pickle
import tarfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nas.training.sources import import_torchvision

DATASETS = import_torchvision().datasets


def old_dtype() -> np.dtype:
    """What NumPy 2.4.0 to 2.4.4 do when they read the dtype of a pickle as old as CIFAR's."""
    warnings.warn("dtype(): align should be passed as boolean", np.exceptions.VisibleDeprecationWarning, 2)
    return np.dtype(np.uint8)


class OldPickler(pickle.Pickler):
    """Writes arrays whose dtype is read with a warning."""

    def reducer_override(self, obj: Any) -> Any:
        return (old_dtype, ()) if isinstance(obj, np.dtype) else NotImplemented


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def pickled(value: object) -> bytes:
    stream = io.BytesIO()
    OldPickler(stream, protocol=2).dump(value)
    return stream.getvalue()


def tar_of(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


class CifarFiles:
    """CIFAR-10's own format with other images: files, archive, and torchvision's class for their sums."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, batch: int) -> None:
        self.images = images
        rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
        names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
        self.files = {"batches.meta": pickled({"label_names": [f"class {number}" for number in range(10)]})}
        for number, name in enumerate(names):
            part = slice(number * batch, (number + 1) * batch)
            self.files[name] = pickled({"data": rows[part], "labels": labels[part].tolist()})
        sums = [[name, md5(content)] for name, content in self.files.items()]
        folder = DATASETS.CIFAR10.base_folder
        self.archive = tar_of({f"{folder}/{name}": content for name, content in self.files.items()})
        members = {
            "train_list": sums[1:6],
            "test_list": sums[6:],
            "meta": {"filename": "batches.meta", "key": "label_names", "md5": sums[0][1]},
            "tgz_md5": md5(self.archive),
            "url": "http://127.0.0.1:9/cifar-10-python.tar.gz",  # nothing listens there
        }
        self.kind = type("OwnCIFAR10", (DATASETS.CIFAR10,), members)

    def unpack(self, root: Path) -> None:
        folder = root / self.kind.base_folder
        folder.mkdir(parents=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """A web server on the loopback interface that serves the folder; its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    ) as web:
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{web.server_port}"
        finally:
            web.shutdown()
            thread.join()


def content_of(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(head + array.astype(np.uint8).tobytes())


def fashion_files(root: Path) -> Any:
    """Fashion-MNIST's own format with 50 + 20 other images, and torchvision's class for their sums."""
    rng = np.random.default_rng(0)
    contents = []
    for count in (50, 20):
        contents += [idx(rng.integers(0, 256, (count, 28, 28))), idx(np.arange(count) % 10)]
    names = [name for name, _ in DATASETS.FashionMNIST.resources]
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in zip(names, contents, strict=True):
        (raw / name).write_bytes(content)
    resources = [(name, md5(content)) for name, content in zip(names, contents, strict=True)]
    members = {"resources": resources, "mirrors": ["http://127.0.0.1:9/"]}
    return type("FashionMNIST", (DATASETS.FashionMNIST,), members)
