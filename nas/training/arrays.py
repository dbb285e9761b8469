"""Arrays from .npy and .npz files of anyone's: what a file claims is checked before memory is taken.

Nothing is unpickled. What a damaged or hostile file makes zipfile, zlib or numpy raise is one line.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from nas.errors import EvaluationError, describe_error

_GIB = 2**30
_GROUP = "/sys/fs/cgroup"
_ZIP, _NPY = b"PK", b"\x93NUMPY"


def read_npz(path: Path, choose: Callable[[Sequence[str]], Sequence[str]]) -> dict[str, np.ndarray]:
    """The arrays that `choose` picks from the names of all; others are not read.

    Raises:
        EvaluationError: not an .npz file, a damaged one, Python objects, or more than the memory holds.
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
    except Exception as error:  # zipfile, its decompressors and numpy raise ten kinds, by the damage
        raise EvaluationError(
            f"data {path}: expected {kind}, cannot read it: {describe_error(error)}; {remedy}"
        ) from error


def _check_begin(path: Path, file: IO[bytes], magic: bytes, kind: str, remedy: str) -> None:
    begin = file.read(24)
    file.seek(0)
    if begin.startswith(magic):
        return
    known = {_ZIP: "a zip archive, as numpy.savez writes it", _NPY: "a single array, as numpy.save writes it"}
    got = next((text for each, text in known.items() if begin.startswith(each)), None)
    if got is None:
        got = f"one that begins with {begin!r}" if begin else "an empty one"
    raise EvaluationError(f"data {path}: expected {kind}, got {got}; {remedy}")


def _array(where: str, stream: IO[bytes], length: int) -> np.ndarray:
    """The array in a stream of so many bytes; read-only."""
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version in readers:
        try:
            shape, fortran, dtype = readers[version](stream)
        except ValueError as error:
            if "allow_pickle" in str(error):  # numpy's advice for long headers, which would run code
                raise ValueError(f"{where}: its header is longer than those of plain arrays") from None
            raise
    else:
        raise ValueError(f"format {version} of its header, which plain arrays do not have")
    if dtype.hasobject:
        raise EvaluationError(
            f"{where}: expected numbers or texts, got Python objects, which are never unpickled; convert it "
            "to a plain array first, e.g. with numpy.stack or .astype"
        )
    size = math.prod(shape) * dtype.itemsize
    rest = length - stream.tell()
    if size != rest or min(shape, default=0) < 0:
        raise ValueError(f"{where}: its header claims {size} bytes of shape {shape}, {rest} follow")
    # once as it is read and once in the shape and type of the platform
    check_memory(where, 2 * size, "use a smaller part of the data, or a machine with more memory")
    content = stream.read(size)
    if len(content) != size:
        raise EOFError(f"{where}: {size} bytes are expected, {len(content)} follow")
    flat = np.frombuffer(content, dtype) if size else np.empty(math.prod(shape), dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def check_memory(where: str, needed: int, remedy: str) -> None:
    """Raises EvaluationError if this machine does not have so many bytes free."""
    free = free_memory()
    if free is not None and needed > free:
        raise EvaluationError(
            f"{where}: {needed / _GIB:.3g} GiB of memory are needed, {free / _GIB:.3g} GiB are free; {remedy}"
        )


def free_memory() -> int | None:
    """Bytes that are free on this machine and in its container; None where the system does not say."""
    found = [each for each in (_free_of_system(), _free_of_group()) if each is not None]
    return min(found, default=None)


def _free_of_system() -> int | None:
    return _figure("/proc/meminfo", "MemAvailable:", 1024)


def _free_of_group() -> int | None:
    """What the limit of a container leaves (control groups, version 2); files that may go count as free."""
    limit, used = _figure(f"{_GROUP}/memory.max"), _figure(f"{_GROUP}/memory.current")
    if limit is None or used is None:
        return None
    return limit - used + (_figure(f"{_GROUP}/memory.stat", "inactive_file") or 0)


def _figure(path: str, name: str = "", unit: int = 1) -> int | None:
    """The number behind a name at the start of a line; None where there is none."""
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = re.search(rf"^{name}\s*(\d+)", "\n".join(lines), re.MULTILINE)
    return None if found is None else unit * int(found.group(1))
