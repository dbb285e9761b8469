from __future__ import annotations

import gzip
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.errors import EvaluationError
from nas.training import sources as downloads
from nas.training.sources import read_class
from tests.training.image_files import CifarFiles, content_of, fashion_files, idx, server


@pytest.fixture(scope="module")
def cifar() -> CifarFiles:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (120, 32, 32, 3)).astype(np.uint8)
    return CifarFiles(images, np.arange(120) % 10, batch=20)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def content_of_idx(shape: tuple[int, ...], value: int = 0) -> bytes:
    return gzip.decompress(idx(np.full(shape, value)))


def check_images(source: Any, cifar: CifarFiles) -> None:
    assert np.array_equal(source.images, cifar.images.transpose(0, 3, 1, 2))
    assert source.labels.tolist() == [number % 10 for number in range(120)]
    assert source.test.tolist() == list(range(100, 120))
    assert source.class_names == tuple(f"class {number}" for number in range(10))


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
        f"data {root}: expected cifar-10-python.tar.gz (MD5 {cifar.kind.tgz_md5}), got none"
    )
    assert "the download from 127.0.0.1:9 failed (<urlopen error [Errno 111] Connection refused>)" in message
    assert message.endswith("; put the file there or set evaluator.root")
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
    with pytest.raises(EvaluationError, match=r"got cifar-10-python.tar.gz with another MD5 sum, and the"):
        read_class(cifar.kind, tmp_path, 10)
    assert archive.read_bytes() == b"damaged"


def test_damaged_batches_are_not_unpickled(tmp_path: Path, cifar: CifarFiles) -> None:
    cifar.unpack(tmp_path)
    (tmp_path / cifar.kind.base_folder / "data_batch_3").write_bytes(b"cos\nsystem\n(S'exit 3'\ntR.")
    with pytest.raises(EvaluationError, match=r"expected cifar-10-python.tar.gz .*, got none"):
        read_class(cifar.kind, tmp_path, 10)


def test_a_root_that_cannot_be_written_is_found_before_the_download(
    tmp_path: Path, cifar: CifarFiles
) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(EvaluationError, match=r"failed \(no permission to store a download\)"):
        read_class(cifar.kind, tmp_path / "data", 10)


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
        r"expected FashionMNIST/raw/t10k-labels-idx1-ubyte.gz \(MD5 \w+\), got none, .* put the file there"
    )
    with pytest.raises(EvaluationError, match=expected) as caught:
        read_class(kind, tmp_path, 10)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("images", "labels", "reason"),
    [
        (b"\x00\x00\x08\x03", b"\x00\x00\x08\x03", ""),
        (b"", b"", ""),
        (b"\x00\x00\x77\x03" + bytes(12), b"\x00\x00\x08\x01" + bytes(4), ""),
        (content_of_idx((5, 28, 28)), content_of_idx((4,)), "ValueError: 5 images with 4 labels"),
        (content_of_idx((2, 28, 28)), content_of_idx((2,), 10), r"ValueError: labels beyond 0\.\.9, or none"),
        (content_of_idx((0, 28, 28)), content_of_idx((0,)), "ValueError: "),
    ],
    ids=["short", "empty", "type", "lengths", "labels", "none"],
)
def test_damaged_unpacked_files_are_an_error_in_one_line(
    tmp_path: Path, images: bytes, labels: bytes, reason: str
) -> None:
    kind = fashion_files(tmp_path)
    for file in (tmp_path / "FashionMNIST" / "raw").iterdir():
        file.with_suffix("").write_bytes(images if "images" in file.name else labels)
    expected = (
        f"expected the files of FashionMNIST, got files that cannot be read .*{reason}.*; remove "
        "FashionMNIST/raw/train-images-idx3"
        "-ubyte, .* and keep or add FashionMNIST/raw/train-images-idx3-ubyte.gz, "
    )
    with pytest.raises(EvaluationError, match=expected) as caught:
        read_class(kind, tmp_path, 10)
    assert "\n" not in str(caught.value)


def test_a_path_that_the_system_refuses_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        EvaluationError, match=r"^data ~no_such_user/data: expected a path, got one that cannot be"
    ):
        downloads.read("FashionMNIST", "~no_such_user/data")
    kind = fashion_files(tmp_path)
    for root in ("x" * 5000, "a\0b"):
        with pytest.raises(
            EvaluationError, match=r"^data .*; put the files there or set evaluator.root$"
        ) as caught:
            read_class(kind, tmp_path / root, 10)
        assert "\n" not in str(caught.value)
