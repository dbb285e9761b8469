"""Files of arrays as they come from anywhere: read, or refused in one line before memory is taken."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nas.errors import EvaluationError
from nas.evaluation import existing
from nas.training import files as arrays
from nas.training import free_memory
from nas.training.files import read_npy, read_npz

NUMBERS = np.arange(6, dtype=np.uint8).reshape(2, 3)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def claiming(shape: str, content: bytes = b"") -> bytes:
    """An .npy file whose header says this shape of float64."""
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head) + 1) + head + b"\n" + content


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def everything(path: Path) -> dict[str, np.ndarray]:
    return read_npz(path, lambda names: names)


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_arrays_come_back_whatever_their_order_type_and_compression(tmp_path: Path, method: int) -> None:
    wanted = {
        "c": NUMBERS,
        "fortran": np.asfortranarray(NUMBERS * 2.5),
        "big": NUMBERS.astype(">i4"),
        "texts": np.array(["a", "bc"]),
        "none": np.zeros((0, 4)),
        "one": np.array(7),
    }
    path = zipped(tmp_path / "a.npz", {f"{name}.npy": npy(array) for name, array in wanted.items()}, method)
    found = everything(path)
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)


def test_only_what_is_chosen_is_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.npz", {"good.npy": npy(NUMBERS), "bad.npy": b"nothing"})
    assert list(read_npz(path, lambda names: [name for name in names if name == "good"])) == ["good"]


def flagged(path: Path, offset: int, value: int) -> Path:
    """Both headers of the first member with another flag or method."""
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\x01\x02")
    for place in (6 + offset, central + 8 + offset):
        content[place : place + 2] = struct.pack("<H", value)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"a.npy": claiming("(1000, 380000000)")},
            r"header claims 3040000000000 bytes of shape .*, 0 follow\); wr",
        ),
        (
            {"a.npy": claiming("(-2, -3)", bytes(48))},
            r"header claims 48 bytes of shape \(-2, -3\), 48 follow",
        ),
        ({"a.npy": npy(NUMBERS)[:-2]}, "header claims 6 bytes .*, 4 follow"),
        ({"a.npy": npy(NUMBERS) + b"xy"}, "header claims 6 bytes .*, 8 follow"),
        ({"a.npy": b"id,label\n1,2\n"}, "magic string is not correct"),
        ({"a.npy": claiming("([" * 3000)}, "cannot be read"),
        ({"a.npy": claiming("(" * 20_000)}, r"its header is longer than those of plain arrays\); write it"),
        ({"a.npy": npy(np.array([{}, {}]))}, 'array "a": expected numbers or texts, got Python objects'),
        ({"data.pkl": b"x"}, "magic string is not correct|EOF"),
    ],
    ids=["huge", "negative", "short", "long", "text", "brackets", "long header", "objects", "pickle"],
)
def test_a_damaged_archive_is_refused_in_one_line(tmp_path: Path, members: dict, message: str) -> None:
    path = zipped(tmp_path / "a.npz", members)
    with pytest.raises(EvaluationError, match=f"^data {path}.*{message}") as caught:
        everything(path)
    assert "\n" not in str(caught.value)
    assert "allow_pickle" not in str(caught.value)


@pytest.mark.parametrize(("offset", "value", "message"), [(0, 1, "encrypted"), (2, 99, "compression method")])
def test_encrypted_and_oddly_compressed_members_are_refused(
    tmp_path: Path, offset: int, value: int, message: str
) -> None:
    path = flagged(zipped(tmp_path / "a.npz", {"a.npy": npy(NUMBERS)}), offset, value)
    with pytest.raises(
        EvaluationError, match=rf"cannot be read \(.*{message}.*; write it with numpy.savez_comp"
    ):
        everything(path)


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.npz", {"a.npy": npy(NUMBERS)}, zipfile.ZIP_STORED)
    content = path.read_bytes()
    path.write_bytes(content.replace(NUMBERS.tobytes(), b"\x00\x01\x02\x03\x04\x06"))
    with pytest.raises(EvaluationError, match="Bad CRC-32"):
        everything(path)


def test_what_exceeds_the_memory_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.npz", {"a.npy": npy(np.zeros(3 * 2**20, np.uint8))})
    assert len(everything(path)["a"]) == 3 * 2**20
    monkeypatch.setattr(arrays, "free_memory", lambda: 2**21)
    expected = r"array \"a\": expected 0.00586 GiB of free memory, got 0.00195 GiB; use a smaller part"
    with pytest.raises(EvaluationError, match=expected):
        everything(path)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"id,label\n1,2\n", r"got one that begins with b'id,label\\n1,2\\n'"),
        (b"", "got an empty one"),
        (npy(NUMBERS), "got a single array, as numpy.save writes it"),
        (b"\x1f\x8b\x08\x00", "got one that begins with b'"),
    ],
    ids=["csv", "empty", "npy", "gzip"],
)
def test_another_kind_of_file_is_named(tmp_path: Path, content: bytes, got: str) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(
        EvaluationError, match=f"expected an .npz file, {got}.*; write it with numpy.savez_comp"
    ):
        everything(path)


def test_an_npy_file_is_read_and_an_archive_in_its_place_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(npy(NUMBERS))
    assert np.array_equal(read_npy(path), NUMBERS)
    zipped(path, {"a.npy": npy(NUMBERS)})
    with pytest.raises(
        EvaluationError, match=r"expected an .npy file, got a zip archive, .*; write it with numpy"
    ):
        read_npy(path)


@pytest.mark.parametrize("path", ["none.npz", "~no_such_user/a.npz", "a\0b", "x" * 5000, "/dev/null", "."])
def test_a_path_that_is_no_file_is_one_line(path: str) -> None:
    with pytest.raises(
        EvaluationError, match=r"^data .*: expected an .npz file, .*; set evaluator.root to its path$"
    ):
        existing(path, "an .npz file", "set evaluator.root to its path")


def test_the_limit_of_a_container_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(arrays, "_GROUP", str(tmp_path))
    facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    available = 1024 * int(facts["MemAvailable"].split()[0])
    assert free_memory() == pytest.approx(available, rel=0.2)
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("600000\n")
    assert free_memory() == 400_000
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 100000\nslab 7\n")
    assert free_memory() == 500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert (free_memory() or 0) > 500_000
