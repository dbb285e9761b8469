"""The append-only event log of one study, `events.jsonl`.

Each line is one JSON object with `event`, `time` (unix seconds) and, where there is one, `trial`:

    opened     format, session, seed, space, evaluator, searcher, hashing, hashing_options, cache, budget,
               baseline, final, fidelity, time_limit, config, versions, commit, process; once a session, the
               latest one counts
    asked      stage, architecture, digest, decisions, fidelity, seed, parent, info, resumable; or trial null,
               stage and exhausted: the searcher gave nothing now, or has nothing left
    hashed     digest, settings, reason, seconds, worker, started, finished; when a worker's hash ended;
               digest null if there is none, for the reason; passing (true) if that may be gone another time;
               worker null if an equal text was hashed before
    cached     outcome (hit | pending | partial | miss), holder (the first of its class), key, dropped (the
               class was forgotten after this hit); key null and reason without a digest; a second time, as a
               miss or partial, if it waited and a holder failed
    started    clock
    evaluated  evaluation, worker, started, finished
    told       cached_from (the trial that was evaluated in its place), clock; search trials only;
               evaluations and values if it was told the mean of several; dropped (true) if it had waited
               and its class was forgotten after its answer
    closed     reason (finished | interrupted | error), message

Moments (clock, started, finished) are seconds on the executor's clock, all sessions together.

Only the driver writes, under a lock where there are such. A line reaches the operating system before its
event takes effect, so killing the driver loses nothing that was logged; `closed` alone is also forced to
the disk, so a power failure may cost the last seconds. A torn last line is dropped.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import time
import warnings
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nas.errors import StoreError

try:
    import fcntl
except ImportError:  # there is none on Windows
    fcntl = None

FORMAT = 1
FILE_NAME = "events.jsonl"


class EventLog:
    """Appends events to one study's file; each call writes one line."""

    def __init__(self, path: Path) -> None:
        """Opens `path` for appending; use `create` or `open`."""
        self.path = path
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise _unwritable(path, error) from error

    @classmethod
    def create(cls, directory: Path) -> EventLog:
        """A new log; raises StoreError if there is one already or the folder cannot be written."""
        path = Path(directory) / FILE_NAME
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(exist_ok=False)
        except FileExistsError as error:
            raise StoreError(
                f"{path}: expected no log; one exists; run again to continue it, or choose another folder"
            ) from error
        except OSError as error:
            raise _unwritable(path, error) from error
        return cls(path)

    @classmethod
    def open(cls, directory: Path) -> EventLog:
        """An existing log, to be continued; a torn last line is cut off first."""
        path = Path(directory) / FILE_NAME
        try:
            complete = _complete_length(path.read_bytes())
            if complete < path.stat().st_size:
                os.truncate(path, complete)
        except OSError as error:
            raise _unwritable(path, error) from error
        return cls(path)

    def append(self, event: str, **payload: Any) -> dict[str, Any]:
        """Writes one event and returns it; JSON values only, numpy scalars are converted."""
        data = {"event": event, "time": round(time.time(), 6), **payload}
        line = encode(data).encode() + b"\n"
        try:
            written = self._file.write(line)
            if written != len(line):  # a full disk; half a line must not stand before a later one
                os.ftruncate(self._file.fileno(), self._file.tell() - (written or 0))
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise _unwritable(self.path, error) from error
        return data

    def close(self) -> None:
        """Forces everything to the disk; safe to call twice."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()


class Lock:
    """Keeps a second driver on this host away from a log; the kernel lets go however the process ends."""

    _held: ClassVar[set[FileIO]] = set()

    def __init__(self) -> None:
        self._file: FileIO | None = None

    def take(self, path: Path) -> bool:
        """False if another has it; True as well where the file cannot be opened or locked."""
        if self._file is not None or fcntl is None:
            return True
        with contextlib.suppress(OSError):
            file = path.open("ab", buffering=0)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.close()
                return not isinstance(error, BlockingIOError)
            self._file = file
            Lock._held.add(file)
        return True

    def release(self) -> None:
        """Safe to call twice."""
        if self._file is not None:
            Lock._held.discard(self._file)
            self._file.close()
            self._file = None

    @staticmethod
    def _leave_to_parent() -> None:
        for file in Lock._held:
            file.close()  # of this copy alone
        Lock._held.clear()


if hasattr(os, "register_at_fork"):  # a forked child that outlives a killed driver must not block a resume
    os.register_at_fork(after_in_child=Lock._leave_to_parent)


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def encode(data: Any) -> str:
    """Compact JSON of one line; numbers that are not finite become "nan", "inf" or "-inf"."""
    try:
        return _ENCODER.encode(data)
    except (TypeError, ValueError):
        return _ENCODER.encode(plain(data))


def plain(value: Any) -> Any:
    """`value` in JSON types only: numpy converted, numbers that are not finite as strings.

    Raises:
        StoreError: a value that has no JSON form.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if value is None or isinstance(value, str | int):
        return value
    raise StoreError(
        f"event log: expected numbers, strings, lists and mappings; got {type(value).__name__}; "
        "return JSON values in `info`, `values` and `curve`"
    )


def read_events(path: Path) -> list[dict[str, Any]]:
    """All complete events of a log.

    Raises:
        StoreError: no file, or a damaged line other than the last.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise StoreError(
            f"{path}: expected an event log; {error.strerror}; is it a study's folder?"
        ) from error
    complete = _complete_length(content)
    if complete < len(content):
        warnings.warn(
            f"{path}: the last line is torn and is dropped ({len(content) - complete} bytes)", stacklevel=2
        )
    lines = content[:complete].splitlines()
    return [_parse(line, path, number) for number, line in enumerate(lines, start=1)]


def _parse(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict) or "event" not in event:
        raise StoreError(
            f"{path}, line {number}: expected a JSON object with an event; the line is damaged; restore the "
            "file, or cut it off before this line and continue from there"
        )
    return event


def _complete_length(content: bytes) -> int:
    """Bytes up to the end of the last line that is whole."""
    end = content.rfind(b"\n") + 1
    last = content.rfind(b"\n", 0, max(end - 1, 0)) + 1
    try:
        json.loads(content[last:end] or b"{}")
    except ValueError:
        return last
    return end


def taken(path: Path) -> StoreError:
    """The error of continuing what another driver on this host writes."""
    return StoreError(
        f"{path}: expected a run that has ended; another process is still at it; end that one first, or see "
        "its state with python -m nas.report"
    )


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: cannot write the log; {error.strerror}; free it or choose another run.dir")
