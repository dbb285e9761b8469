from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import http.server
import io
import pickle
import socket
import tarfile
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from nas.errors import EvaluationError
from nas.evaluation import Status, Task
from nas.training import downloads
from nas.training.classification import create
from nas.training.data import DataOptions, load
from nas.training.downloads import read_class
from nas.training.torchvision_compat import import_torchvision

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


@pytest.fixture(scope="module")
def cifar() -> CifarFiles:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (120, 32, 32, 3)).astype(np.uint8)
    return CifarFiles(images, np.arange(120) % 10, batch=20)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


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


def check_images(source: Any, cifar: CifarFiles) -> None:
    assert np.array_equal(source.images, cifar.images.transpose(0, 3, 1, 2))
    assert source.labels.tolist() == [number % 10 for number in range(120)]
    assert source.test.tolist() == list(range(100, 120))


def test_unpacked_batches_are_read_in_place(tmp_path: Path, cifar: CifarFiles) -> None:
    cifar.unpack(tmp_path)
    before = content_of(tmp_path)
    check_images(read_class(cifar.kind, tmp_path, 10), cifar)
    assert content_of(tmp_path) == before


def test_an_archive_is_unpacked_elsewhere(tmp_path: Path, cifar: CifarFiles) -> None:
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(cifar.archive)
    check_images(read_class(cifar.kind, tmp_path, 10), cifar)
    assert content_of(tmp_path) == ["cifar-10-python.tar.gz"]


def test_a_download_is_checked_kept_and_not_repeated(
    tmp_path: Path, cifar: CifarFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "file.tar.gz").write_bytes(cifar.archive)
    root = tmp_path / "a" / "data"
    with server(tmp_path / "web") as address:
        monkeypatch.setattr(cifar.kind, "url", f"{address}/file.tar.gz")
        check_images(read_class(cifar.kind, root, 10), cifar)
    assert content_of(root) == ["cifar-10-python.tar.gz"]
    check_images(read_class(cifar.kind, root, 10), cifar)  # the server is gone


def test_a_download_of_another_content_leaves_nothing(
    tmp_path: Path, cifar: CifarFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "file.tar.gz").write_bytes(cifar.archive[:-100])
    with server(tmp_path / "web") as address:
        monkeypatch.setattr(cifar.kind, "url", f"{address}/file.tar.gz")
        with pytest.raises(
            EvaluationError, match=r"download from 127\.0\.0\.1:\d+ failed \(File not found or"
        ):
            read_class(cifar.kind, tmp_path / "data", 10)
    assert content_of(tmp_path) == ["web", "web/file.tar.gz"]


def test_without_network_and_files_the_error_says_what_to_put_where(
    tmp_path: Path, cifar: CifarFiles
) -> None:
    root = tmp_path / "data"
    with pytest.raises(EvaluationError) as caught:
        read_class(cifar.kind, root, 10)
    message = str(caught.value)
    assert message.startswith(
        f"data {root}: expected cifar-10-python.tar.gz (MD5 {cifar.kind.tgz_md5}), found none"
    )
    assert "the download from 127.0.0.1:9 failed (<urlopen error [Errno 111] Connection refused>)" in message
    assert message.endswith("; put the file there or set root")
    assert "\n" not in message
    assert content_of(tmp_path) == []


def test_a_silent_server_is_given_up(
    tmp_path: Path, cifar: CifarFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "_TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(cifar.kind, "url", f"http://127.0.0.1:{silent.getsockname()[1]}/file.tar.gz")
        with pytest.raises(EvaluationError, match=r"failed \(timed out\)"):
            read_class(cifar.kind, tmp_path, 10)
    assert socket.getdefaulttimeout() is None
    assert content_of(tmp_path) == []


def test_a_damaged_archive_is_named_and_left_alone(tmp_path: Path, cifar: CifarFiles) -> None:
    archive = tmp_path / "cifar-10-python.tar.gz"
    archive.write_bytes(b"damaged")
    with pytest.raises(EvaluationError, match=r"found cifar-10-python.tar.gz with another MD5 sum, and the"):
        read_class(cifar.kind, tmp_path, 10)
    assert archive.read_bytes() == b"damaged"


def test_damaged_batches_are_not_unpickled(tmp_path: Path, cifar: CifarFiles) -> None:
    cifar.unpack(tmp_path)
    (tmp_path / cifar.kind.base_folder / "data_batch_3").write_bytes(b"cos\nsystem\n(S'exit 3'\ntR.")
    with pytest.raises(EvaluationError, match=r"expected cifar-10-python.tar.gz .*, found none"):
        read_class(cifar.kind, tmp_path, 10)


def test_a_root_that_cannot_be_written_is_found_before_the_download(
    tmp_path: Path, cifar: CifarFiles
) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(EvaluationError, match=r"failed \(no permission to store a download\)"):
        read_class(cifar.kind, tmp_path / "data", 10)


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


def test_gz_files_are_read_without_writing_beside_them(tmp_path: Path) -> None:
    kind = fashion_files(tmp_path)
    before = content_of(tmp_path)
    source = read_class(kind, tmp_path, 10)
    assert source.images.shape == (70, 1, 28, 28)
    assert source.labels[50:].tolist() == [number % 10 for number in range(20)]
    assert source.test.tolist() == list(range(50, 70))
    assert content_of(tmp_path) == before


def test_one_missing_gz_file_is_named_alone(tmp_path: Path) -> None:
    kind = fashion_files(tmp_path)
    (tmp_path / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").unlink()
    expected = (
        r"expected FashionMNIST/raw/t10k-labels-idx1-ubyte.gz \(MD5 \w+\), found none, .* put the file there"
    )
    with pytest.raises(EvaluationError, match=expected) as caught:
        read_class(kind, tmp_path, 10)
    assert "\n" not in str(caught.value)


def test_unreadable_unpacked_files_are_an_error_in_one_line(tmp_path: Path) -> None:
    kind = fashion_files(tmp_path)
    for file in (tmp_path / "FashionMNIST" / "raw").iterdir():
        file.with_suffix("").write_bytes(b"\x00\x00\x08\x03")
    with pytest.raises(EvaluationError, match=r"expected the files of FashionMNIST, cannot read them: "):
        read_class(kind, tmp_path, 10)


def test_the_real_fashion_mnist(shared_data: Path) -> None:
    data = load(DataOptions(dataset="fashion_mnist", root=str(shared_data), limit_train=5000))
    assert (data.images.shape, len(data.train), len(data.validation), len(data.test)) == (
        (70000, 1, 28, 28),
        5000,
        6000,
        10000,
    )
    assert np.bincount(data.labels[data.test]).tolist() == [1000] * 10
    assert data.labels[:4].tolist() == [9, 0, 0, 3]  # ankle boot, T-shirt, T-shirt, dress


def small_network(architecture: Any, shape: tuple[int, ...], classes: int, *, seed: int) -> nn.Module:
    layers = (nn.Conv2d(shape[0], 16, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(256, classes))


def test_real_colour_images_in_cifar_format_are_loaded_and_trained_on(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch, make_task: Callable[..., Task]
) -> None:
    with np.load(shared_data / "cifar10_4000.npz") as archive:
        images, labels = archive["images"], archive["labels"]
    files = CifarFiles(images, labels, batch=666)
    files.unpack(tmp_path)
    monkeypatch.setattr(DATASETS, "CIFAR10", files.kind)
    data = {"dataset": "cifar10", "root": str(tmp_path), "limit_train": 2000}
    augmentation = {"crop_padding": 4, "flip": True, "cutout": 8}
    evaluator = create(**data, **augmentation, epochs=3, batch_size=64, lr=0.02, compiler=small_network)
    dataset = evaluator.dataset
    assert np.array_equal(dataset.images, images[:3996].transpose(0, 3, 1, 2))
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [2000, 333, 666]
    evaluation = evaluator(make_task())
    assert evaluation.status is Status.COMPLETED
    assert evaluation.values["test_accuracy"] > 18.0  # chance is 10
    assert evaluation.curve[-1]["train_loss"] < evaluation.curve[0]["train_loss"]
