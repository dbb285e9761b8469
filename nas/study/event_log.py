"""The append-only event log of one study, `events.jsonl`.

Each line is one JSON object with `event`, `n` (its number, from 0 on through all sessions; logs of before
have none), `time` (unix seconds) and, where there is one, `trial`:

    opened     format, session, seed, space, evaluator, deterministic (what the evaluator says of itself; null
               where it does not), searcher (with uninformed, as in `nas.study.searcher`), hashing,
               hashing_options, cache, budget, baseline, final, fidelity, time_limit, config, versions,
               commit, threads, process; once a session, the latest one counts; accepted: {"evaluator": {was,
               is, kept}} if by the user's word it is another one than before, with the number of evaluations
    that were kept asked      stage, architecture, digest, decisions, fidelity, seed, parent, info,
               resumable; or trial null, stage and exhausted: the searcher gave nothing now, or has nothing
    left hashing    clock, worker, finish; a hash begins, on a virtual clock alone
    hashed     digest, settings, reason, seconds, worker, started, finished; when a worker's hash ended;
               digest null if there is none, for the reason; passing (true) if that may be gone another time;
               worker null if an equal text was hashed before
    cached     outcome (hit | pending | partial | miss), holder (the first of its class), key, dropped (the
               class was forgotten after this hit); key null and reason without a digest; a second time, as a
               miss or partial, if it waited and a holder failed
    started    clock; on a virtual clock also worker and finish, the planned end, with which it is in flight
               again when the study is continued
    evaluated  evaluation, worker, started, finished
    told       cached_from (the trial that was evaluated in its place), clock; search trials only;
               evaluations and values if it was told the mean of several; dropped (true) if it had waited
               and its class was forgotten after its answer
    closed     reason (finished | interrupted | error), message, uninformed (as in `opened`, known better)

This is format 2. In format 1, the platform's own vocabularies, searchers, evaluators and functions are called
by the modules where they lay (`nas.callables.FORMER`); its logs are read and reported, but not continued.

Moments (clock, started, finished) are seconds on the executor's clock, all sessions together.

Only the driver writes, under a lock where there are such. A line reaches the operating system before its
event takes effect, so killing the driver loses nothing that was logged; `closed` alone is also forced to
the disk, so a power failure may cost the last seconds. A torn last line is dropped.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import json
import math
import os
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from io import FileIO
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, NoReturn

import numpy as np

from nas.errors import StoreError, one_line
from nas.evaluation import FIRST_TRIAL, Stage, Status

try:
    import fcntl
except ImportError:  # there is none on Windows
    fcntl = None

FORMAT = 2
FILE_NAME = "events.jsonl"


class EventLog:
    """Appends events to one study's file; each call writes one line."""

    def __init__(self, path: Path, lines: int = 0) -> None:
        """Opens `path`, which has so many lines, for appending; use `create` or `open`."""
        self.path = path
        self._lines = lines
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
            if not path.parent.is_dir():
                raise StoreError(
                    f"{path.parent}: expected a folder for the log, got a file; choose another folder"
                ) from error
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
            content = path.read_bytes()
            complete = _complete_length(content)
            if complete < len(content):
                os.truncate(path, complete)
        except OSError as error:
            raise _unwritable(path, error) from error
        return cls(path, content.count(b"\n", 0, complete))

    def append(self, event: str, **payload: Any) -> dict[str, Any]:
        """Writes one event and returns it; JSON values only, numpy scalars are converted."""
        data = {"event": event, "n": self._lines, "time": round(time.time(), 6), **payload}
        line = encode(data).encode() + b"\n"
        try:
            written = self._file.write(line)
            if written != len(line):  # a full disk; half a line must not stand before a later one
                os.ftruncate(self._file.fileno(), self._file.tell() - (written or 0))
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self._lines += 1
        return data

    def close(self) -> None:
        """Forces everything to the disk; safe to call twice.

        Raises:
            StoreError: the disk failed, or a candidate in this process has closed the file.
        """
        if self._file.closed:
            return
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _unwritable(self.path, error) from error
        finally:
            with contextlib.suppress(OSError):
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
            with contextlib.suppress(OSError):  # a candidate in this process has closed it
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
    except (TypeError, ValueError, RecursionError):
        try:
            return _ENCODER.encode(plain(data))
        except RecursionError:
            raise _unloggable("some that contain themselves or are too deep") from None


def _unloggable(got: str) -> StoreError:
    return StoreError(
        f"event log: expected numbers, strings, lists and mappings; got {got}; "
        "return JSON values in `info`, `values` and `curve`"
    )


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
    raise _unloggable(type(value).__name__)


def read_lines(path: Path) -> list[bytes]:
    """The complete lines of a log, without their ends; a torn last one is left out with a warning.

    Raises:
        StoreError: no file that can be read, or none of lines.
    """
    content = _content(Path(path))
    complete = _complete_length(content)
    if complete < len(content):
        warnings.warn(
            f"{path}: the last line is torn and is dropped ({len(content) - complete} bytes)", stacklevel=3
        )
    return content[:complete].removeprefix(codecs.BOM_UTF8).splitlines()


def read_events(path: Path, *, clean: bool = False) -> list[dict[str, Any]]:
    """All complete events of a log.

    Args:
        path: of the log.
        clean: as of `LineReader`.

    Raises:
        StoreError: no file, or a damaged line other than a torn last one.
    """
    lines = read_lines(path)
    reader = LineReader(path, lines, clean=clean)
    return [reader.read(index) for index in range(len(lines))]


def read_json(path: Path, what: str = "a file of a run") -> dict[str, Any]:
    """The object in a small file of a run's folder.

    Args:
        path: of the file.
        what: it is, for messages.

    Raises:
        StoreError: there is none that can be read, or it holds no JSON object.
    """
    try:
        data = decode(_content(path, what))
    except (ValueError, RecursionError) as error:
        data = one_line(error, 120) or "no JSON"
    if type(data) is not dict:
        raise StoreError(
            f"{path}: expected {what}; got {one_line(data, 120)}; restore the file, or see whether another "
            "program wrote it"
        )
    return data


def _content(path: Path, what: str = "an event log") -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe or a device would never end
            raise StoreError(f"{path}: expected {what}; got no regular file; is it a study's folder?")
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: expected {what}; {error.strerror}; is it a study's folder?") from error


def _complete_length(content: bytes) -> int:
    """Bytes up to the end of the last line that is whole; all, if what follows is no torn line of a log."""
    end = content.rfind(b"\n") + 1
    last = content.rfind(b"\n", 0, max(end - 1, 0)) + 1
    try:
        decode(content[last:end].removeprefix(codecs.BOM_UTF8) or b"{}")
    except (ValueError, RecursionError):
        end = last
    torn, begin = content[end:].removeprefix(codecs.BOM_UTF8).strip(b"\0\r\n"), b'{"event":'
    is_torn = torn.replace(b" ", b"").startswith(begin) or begin.startswith(torn)
    return end if is_torn else len(content)


class LineReader:
    """Parses and checks the lines of one log, in order: JSON, number, fields, and the life of each trial.

    The one place that says what a line may hold, so that readers need not doubt it. Fields that are not
    listed are allowed, and so are logs of before, whose lines have no numbers.

    Args:
        path: of the log, for messages.
        lines: all of them, complete, without ends of lines.
        clean: whether texts come as they can be shown on a terminal (`nas.errors.one_line`).
    """

    def __init__(self, path: Path, lines: Sequence[bytes], *, clean: bool = False) -> None:
        self._path = path
        self._lines = lines
        self._clean = clean
        self._numbered = False
        self._ends: dict[int, str] = {}  # trial -> what its latest end was, "" before any

    def read(self, index: int) -> dict[str, Any]:
        """The event in a line.

        Raises:
            StoreError: the line is damaged, missing, doubled or out of place.
        """
        line = self._lines[index]
        try:
            event = decode(line)
        except (ValueError, RecursionError) as error:
            packed = "a compressed file, unpack it" if line.startswith(b"\x1f\x8b") else one_line(error, 120)
            got = f"; got {packed}" if packed else ""
            raise self._damaged(index, f"a JSON object with an event{got}") from None
        if type(event) is not dict or "event" not in event:
            raise self._damaged(index, "a JSON object with an event")
        if event.get("n", _ABSENT) != index:
            self._check_number(index, event.get("n", _ABSENT))
        else:
            self._numbered = True
        fault = fault_of(event)
        if fault is None and event.get("trial") is not None:
            fault = self._fault_of_life(event)
        if fault is not None:
            raise self._damaged(index, fault)
        if self._clean and (b"\\" in line or not line.isascii()):
            event = _printable(event)
        return event

    def skip(self, index: int, start: int) -> None:
        """Checks the number of a line that is not parsed; it would stand at this place of the line."""
        if self._lines[index].startswith(b'"n":%d,' % index, start):
            self._numbered = True
        elif found := _NUMBER.match(self._lines[index]):
            self._check_number(index, int(found[1]))
        else:
            self._check_number(index, _ABSENT)

    def _check_number(self, index: int, number: Any) -> None:
        """Of a line that does not have its own number."""
        if number is _ABSENT and not self._numbered:
            return  # a log of before
        if number is _ABSENT:
            raise self._damaged(index, f"the number n = {index}; got none")
        if type(number) is not int or number < 0:
            raise self._damaged(index, f"the number n = {index}; got {one_line(number, 40)}")
        wanted = b'"n":%d,' % index
        later = next((k for k, line in enumerate(self._lines) if k > index and wanted in line[:80]), None)
        if number < index:
            what = f"the line is doubled: it stands in line {number + 1} too"
        elif later is not None:
            what = f"the lines are in another order: number {index} stands in line {later + 1}"
        elif number == index + 1:
            what = "a line before it is missing"
        else:
            what = f"{number - index} lines before it are missing"
        raise StoreError(
            f"{self._path}, line {index + 1}: expected the line numbered {index}; got {number}; {what}; "
            "restore the file"
        )

    def _fault_of_life(self, event: Mapping[str, Any]) -> str | None:
        """What contradicts the lines before about the trial of a line."""
        kind, trial, ends = event["event"], event["trial"], self._ends
        if kind == "asked":
            if trial in ends:
                return f"trial {trial} to be asked once; it was asked before"
            ends[trial] = ""
            return None
        end = ends.get(trial)
        if end is None:
            return f"a trial that was asked and is not over; got {trial}"
        if kind == "evaluated":
            if end:
                return f"trial {trial} to end once; it was {end} before"
            ends[trial] = "evaluated"
        elif kind == "told":
            holder = event["cached_from"]
            if end == "told":
                return f"trial {trial} to be told once; it was told before"
            if holder is None and end != "evaluated":
                return f"the evaluation of trial {trial} before it is told"
            if holder is not None and (end or ends.get(holder) not in ("evaluated", "told")):
                return f"an answer of trial {trial} from another that was evaluated; got {holder}"
            ends[trial] = "told"
        elif kind == "cached" and event["holder"] is not None and event["holder"] not in ends:
            return f"a holder that was asked; got {event['holder']}"
        return None

    def _damaged(self, index: int, expected: str) -> StoreError:
        return StoreError(
            f"{self._path}, line {index + 1}: expected {expected}; the line is damaged; restore the file, or "
            "cut it off before this line and continue from there"
        )


class _Absent:
    """Of a field that is not there."""


_ABSENT = _Absent()
_NUMBER = re.compile(rb'\{"event":"[a-z]+","n":(\d{1,18}),')
_DEPTH = 64  # of nested lists and objects; what is deeper breaks what works on it, not only its parser
_LARGE = 1e18  # of moments and seconds
_LARGEST = sys.float_info.max  # of values
_TRIALS = max(FIRST_TRIAL.values()) + 10_000_000

Fields = Mapping[str, tuple[type, ...]]
_TEXT, _TEXT_OR_NONE, _OBJECT, _LIST, _TRUTH, _WHOLE = (
    (str,),
    (str, NoneType),
    (dict,),
    (list,),
    (bool,),
    (int,),
)
_NUM, _NUM_OR_NONE, _WHOLE_OR_NONE = (int, float), (int, float, NoneType), (int, NoneType)


def _optional(kinds: tuple[type, ...]) -> tuple[type, ...]:
    return (*kinds, _Absent)


_FIELDS: Mapping[str, Fields] = {
    "opened": {
        "time": _NUM,
        "session": _optional(_WHOLE),
        "seed": _WHOLE,
        "space": _OBJECT,
        "evaluator": _OBJECT,
        "searcher": _OBJECT,
        "hashing": _TEXT,
        "hashing_options": _optional(_OBJECT),
        "cache": _optional((dict, NoneType)),
        "budget": _OBJECT,
        "baseline": _OBJECT,
        "final": _OBJECT,
        "fidelity": (dict, NoneType),
        "time_limit": _optional(_NUM_OR_NONE),
        "config": _optional((dict, NoneType)),
        "versions": _optional(_OBJECT),
        "commit": _optional(_TEXT_OR_NONE),
        "process": _optional((dict, NoneType)),
        "accepted": _optional(_OBJECT),
        "threads": _optional(_OBJECT),
    },
    "opened.space": {
        "name": _TEXT,
        "fingerprint": _TEXT,
        "text": _optional(_TEXT),
        "vocabulary": _optional(_TEXT_OR_NONE),
    },
    "opened.evaluator": {
        "name": _TEXT,
        "fingerprint": _TEXT,
        "objectives": _LIST,
        "reported": _OBJECT,
        "input_shape": _optional(_LIST),
        "num_classes": _optional(_WHOLE),
    },
    "opened.searcher": {"name": _TEXT, "options": _OBJECT},
    "opened.budget": {"trials": _WHOLE_OR_NONE, "seconds": _optional(_NUM_OR_NONE)},
    "opened.baseline": {"samples": _WHOLE, "sampler": _TEXT},
    "opened.final": {"seeds": _WHOLE},
    "opened.process": {"host": _TEXT, "pid": _WHOLE, "born": _WHOLE_OR_NONE},
    "objective": {"name": _TEXT, "direction": _TEXT, "unit": _optional(_TEXT)},
    "nothing": {"time": _NUM, "exhausted": _TRUTH},
    "asked": {
        "time": _NUM,
        "trial": _WHOLE,
        "stage": _TEXT,
        "architecture": _TEXT,
        "digest": _TEXT,
        "decisions": _OBJECT,
        "fidelity": (dict, NoneType),
        "seed": _WHOLE,
        "parent": _WHOLE_OR_NONE,
        "info": _OBJECT,
        "resumable": _optional(_TRUTH),
    },
    "hashing": {"time": _NUM, "trial": _WHOLE, "clock": _NUM, "worker": _TEXT, "finish": _NUM},
    "hashed": {
        "time": _NUM,
        "trial": _WHOLE,
        "digest": _TEXT_OR_NONE,
        "settings": _TEXT_OR_NONE,
        "reason": _TEXT_OR_NONE,
        "seconds": _NUM,
        "worker": _TEXT_OR_NONE,
        "started": _NUM,
        "finished": _NUM,
        "passing": _optional(_TRUTH),
    },
    "cached": {
        "time": _NUM,
        "trial": _WHOLE,
        "outcome": _TEXT,
        "holder": _WHOLE_OR_NONE,
        "key": (list, NoneType),
        "dropped": _optional(_TRUTH),
        "reason": _optional(_TEXT_OR_NONE),
    },
    "started": {
        "time": _NUM,
        "trial": _WHOLE,
        "clock": _NUM,
        "worker": _optional(_TEXT_OR_NONE),
        "finish": _optional(_NUM_OR_NONE),
    },
    "evaluated": {
        "time": _NUM,
        "trial": _WHOLE,
        "evaluation": _OBJECT,
        "worker": _TEXT_OR_NONE,
        "started": _NUM,
        "finished": _NUM,
    },
    "evaluation": {
        "status": _TEXT,
        "values": _OBJECT,
        "cost_seconds": (int, float, str),
        "reason": _TEXT_OR_NONE,
        "curve": _LIST,
        "info": _OBJECT,
        "checkpoint": _TEXT_OR_NONE,
    },
    "told": {
        "time": _NUM,
        "trial": _WHOLE,
        "cached_from": _WHOLE_OR_NONE,
        "clock": _NUM,
        "evaluations": _optional(_WHOLE),
        "values": _optional(_OBJECT),
        "dropped": _optional(_TRUTH),
    },
    "closed": {"time": _NUM, "reason": _optional(_TEXT), "message": _optional(_TEXT_OR_NONE)},
}
_MOMENTS = ("time", "clock", "finish", "started", "finished", "seconds")
_ITEMS = {
    kind: tuple((name, frozenset(kinds), name in _MOMENTS) for name, kinds in fields.items())
    for kind, fields in _FIELDS.items()
}
_EVENTS = frozenset(
    ("opened", "asked", "hashing", "hashed", "cached", "started", "evaluated", "told", "closed")
)
_FIRST = {stage.value: number for stage, number in FIRST_TRIAL.items()}
_WORDS: Mapping[str, frozenset[str]] = {
    "stage": frozenset(stage.value for stage in Stage),
    "status": frozenset(status.value for status in Status),
    "outcome": frozenset(("hit", "pending", "partial", "miss")),
    "direction": frozenset(("maximize", "minimize")),
    "number": frozenset(("nan", "inf", "-inf")),
}


def fault_of(event: Mapping[str, Any]) -> str | None:
    """What an event should be and is not, in words that follow "expected"; None if it is sound."""
    kind = event["event"]
    if type(kind) is not str or kind not in _EVENTS:
        return f"one of the events {', '.join(sorted(_EVENTS))}; got {one_line(repr(kind), 60)}"
    if kind == "opened":
        return _fault_of_opened(event)
    if kind == "asked" and event.get("trial", _ABSENT) is None:
        return _fault_of_fields("asked", "nothing", event)
    fault = _fault_of_fields(kind, kind, event)
    if fault is not None or kind == "closed":
        return fault
    trial = event["trial"]
    if not 0 <= trial < _TRIALS:
        return f"a trial from 0 to {_TRIALS - 1}; got {one_line(trial, 40)}"
    if kind == "told":
        values = event.get("values")
        return _fault_of_trial("cached_from", event["cached_from"]) or (
            None if values is None else _fault_of_numbers("values", values)
        )
    if kind == "evaluated":
        return fault_of_evaluation(event["evaluation"])
    if kind == "asked":
        return _fault_of_asked(event)
    if kind == "cached":
        return _fault_of_cached(event)
    return None


def _fault_of_fields(where: str, kind: str, data: Mapping[str, Any]) -> str | None:
    get = data.get
    for name, kinds, is_moment in _ITEMS[kind]:
        value = get(name, _ABSENT)
        if type(value) not in kinds:
            return _wrong(f"{where}: {name}", _FIELDS[kind][name], value)
        if is_moment and value is not None and value is not _ABSENT and not -_LARGE < value < _LARGE:
            return f"{where}: {name} to be a number of seconds; got {one_line(value, 40)}"
    return None


def _wrong(what: str, kinds: Sequence[type], value: Any) -> str:
    names = {str: "a text", dict: "an object", list: "a list", bool: "true or false", int: "a whole number"}
    names |= {float: "a number", NoneType: "null"}
    listed = " or ".join(
        names[kind] for kind in kinds if kind in names and (kind is not int or float not in kinds)
    )
    got = "nothing" if value is _ABSENT else one_line(repr(value), 60)
    return f"{what} to be {listed}; got {got}"


def _fault_of_trial(name: str, trial: int | None) -> str | None:
    if trial is None or 0 <= trial < _TRIALS:
        return None
    return f"{name} to be the number of a trial or null; got {one_line(trial, 40)}"


def _fault_of_word(name: str, word: str) -> str | None:
    if word in _WORDS[name]:
        return None
    return f"{name} to be one of {', '.join(sorted(_WORDS[name]))}; got {one_line(repr(word), 60)}"


def _fault_of_numbers(name: str, values: Mapping[str, Any]) -> str | None:
    for key, value in values.items():
        if type(value) is float:
            continue
        if (type(value) is int and -_LARGEST <= value <= _LARGEST) or (
            type(value) is str and value in _WORDS["number"]
        ):
            continue
        return f"{name}: {one_line(key, 40)} to be a number; got {one_line(repr(value), 60)}"
    return None


def _fault_of_fidelity(fidelity: Mapping[str, Any] | None) -> str | None:
    if fidelity is None:
        return None
    name, value = fidelity.get("name"), fidelity.get("value")
    if type(name) is str and type(value) in (int, float) and -_LARGE < value < _LARGE:  # type: ignore[operator]
        return None
    return f"a fidelity with its name and a number; got {one_line(fidelity, 60)}"


def _fault_of_asked(event: Mapping[str, Any]) -> str | None:
    trial, seed, stage = event["trial"], event["seed"], event["stage"]
    first = _FIRST.get(stage)
    if first is None:
        return _fault_of_word("stage", stage)
    if not first <= trial < first + 10_000_000:
        return f"a number of the stage {stage}, from {first} on; got trial {trial}"
    if not 0 <= seed < 2**64:
        return f"a seed from 0 to 2**64 - 1; got {one_line(seed, 40)}"
    if type(event["decisions"].get("decisions")) is not list:
        return (
            'decisions to be {"space": ..., "decisions": [...]}' + f"; got {one_line(event['decisions'], 60)}"
        )
    return _fault_of_trial("parent", event["parent"]) or _fault_of_fidelity(event["fidelity"])


def _fault_of_cached(event: Mapping[str, Any]) -> str | None:
    key = event["key"]
    if key is not None and (len(key) != 2 or type(key[0]) is not str or type(key[1]) is not str):
        return f"key to be two texts or null; got {one_line(key, 60)}"
    return _fault_of_word("outcome", event["outcome"]) or _fault_of_trial("holder", event["holder"])


def fault_of_evaluation(data: Mapping[str, Any]) -> str | None:
    """As `fault_of`, of the evaluation in a line."""
    fault = _fault_of_fields("evaluation", "evaluation", data)
    if fault is not None:
        return fault
    if data["status"] not in _WORDS["status"]:
        return _fault_of_word("status", data["status"])
    fault = _fault_of_numbers("values", data["values"])
    if fault is None and type(data["cost_seconds"]) is not float:
        fault = _fault_of_numbers("evaluation", {"cost_seconds": data["cost_seconds"]})
    for row in data["curve"]:
        if fault is not None:
            return fault
        if type(row) is not dict:
            return _wrong("curve: each row", _OBJECT, row)
        fault = _fault_of_numbers("curve", row)
    return fault


def _fault_of_opened(event: Mapping[str, Any]) -> str | None:
    if type(event.get("format")) is not int or not 1 <= event["format"] <= FORMAT:
        versions = event.get("versions")
        wrote = versions.get("nas-platform", "unknown") if type(versions) is dict else "unknown"
        return (
            f"a format from 1 to {FORMAT}; got {one_line(repr(event.get('format')), 40)}; continue it with "
            f"the version that wrote it: {one_line(wrote, 40)}"
        )
    fault = _fault_of_fields("opened", "opened", event)
    for name in ("space", "evaluator", "searcher", "budget", "baseline", "final", "process"):
        if fault is None and event.get(name) is not None:
            fault = _fault_of_fields(f"opened: {name}", f"opened.{name}", event[name])
    if fault is not None:
        return fault
    evaluator = event["evaluator"]
    if not evaluator["objectives"]:
        return "opened: evaluator: at least one of objectives; got none"
    for objective in (*evaluator["objectives"], evaluator["reported"]):
        if type(objective) is not dict:
            return _wrong("opened: each objective", _OBJECT, objective)
        fault = _fault_of_fields("opened: objective", "objective", objective)
        fault = fault or _fault_of_word("direction", objective["direction"])
        if fault is not None:
            return fault
    if not all(type(side) is int and 0 < side < 2**31 for side in evaluator.get("input_shape", ())):
        return (
            f"opened: input_shape to be whole numbers above 0; got {one_line(evaluator['input_shape'], 60)}"
        )
    for part, fact in event.get("accepted", {}).items():
        if type(fact) is not dict or [type(fact.get(name)) for name in ("was", "is", "kept")] != [
            list,
            list,
            int,
        ]:
            return f"opened: accepted: {one_line(part, 40)} to say what was and is; got {one_line(fact, 60)}"
    counts = (event["seed"], event["baseline"]["samples"], event["final"]["seeds"], event["budget"]["trials"])
    if not all(count is None or 0 <= count < 2**63 for count in counts):
        return (
            f"opened: seed, samples, seeds and trials to be whole numbers from 0; got {one_line(counts, 90)}"
        )
    seconds = {"seconds": event["budget"].get("seconds"), "time_limit": event.get("time_limit")}
    known = {name: value for name, value in seconds.items() if value is not None}
    return _fault_of_numbers("opened", known) or _fault_of_fidelity(event["fidelity"])


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name}, which is no number in JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object; Python's own parser would keep the last of two values without a word."""
    data = dict(pairs)
    if len(data) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{one_line(twice, 40)} twice in one object")
    return data


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_unique)
_SCAN: Any = _DECODER.scan_once  # type: ignore[attr-defined]
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def decode(line: bytes) -> Any:
    """The JSON of a line or of a file of a run's folder, whoever wrote it; the inverse of `encode`.

    Raises:
        ValueError: it is none, or lists and objects are nested too deep to work with.
        RecursionError: likewise.
    """
    if line.count(b"[") + line.count(b"{") > _DEPTH and _too_deep(line):
        raise ValueError(f"lists in lists, more than {_DEPTH} deep")
    text = line.decode().strip()
    try:
        data, end = _SCAN(text, 0)
    except StopIteration:
        raise ValueError from None
    if end < len(text):
        raise ValueError(f"more after it: {one_line(text[end:], 40)}")
    return data


def _too_deep(line: bytes) -> bool:
    """Whether lists and objects are nested too deep; brackets inside texts count where they pair up."""
    brackets = line.translate(None, _NOT_BRACKETS)
    for _ in range(_DEPTH):
        if len(brackets) <= 2 * _DEPTH:
            return False
        inner = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(inner) == len(brackets):
            return False  # not paired: no JSON, or brackets in texts; the parser has its own bound
        brackets = inner
    return len(brackets) > 0


def _printable(value: Any) -> Any:
    """The value with texts that are safe to show; ends of lines stay."""
    if type(value) is str:
        return value if value.isprintable() else "\n".join(map(_escaped, value.split("\n")))
    if type(value) is dict:
        return {_printable(key): _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if type(value) is list else value


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def taken(path: Path) -> StoreError:
    """The error of continuing what another driver on this host writes."""
    return StoreError(
        f"{path}: expected a run that has ended; another process is still at it; end that one first, or see "
        "its state with python -m nas.report"
    )


def _unwritable(path: Path, error: OSError) -> StoreError:
    if error.errno == errno.EBADF:
        return StoreError(
            f"{path}: cannot write the log, as something in this process has closed its file; continue "
            "with the same command and resume on executor=ray, which keeps trials apart"
        )
    return StoreError(f"{path}: cannot write the log; {error.strerror}; free it or choose another run.dir")
