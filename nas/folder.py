"""The folder of a run: chosen, made without a race, and removed again if nothing happened."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from nas.config import Config
from nas.errors import ConfigError, one_line
from nas.eventlog import FILE_NAME

COMPARISON = "comparison.json"  # in the folder of a comparison of searchers, in place of a log
PROTOCOL = "protocol.json"  # in the folder of a study of protocols
AUDIT = "audit.json"  # in the folder of an audit of a hasher
MAX_NAME = 100  # bytes of a name that becomes a folder's or a file's
_SEPARATORS = '/\\:*?"<>|'  # of paths, or not allowed in names, on any of the usual systems
_KINDS = {
    FILE_NAME: "a run",
    COMPARISON: "a comparison",
    PROTOCOL: "a study of protocols",
    AUDIT: "an audit",
}


@contextmanager
def run_folder(
    config: Config, job: int | None = None, *, marker: str = FILE_NAME, keep: bool = True
) -> Iterator[Path]:
    """The folder to resume, `run.dir` (in a multirun its subfolder for the job), or runs/<name>/<time>.

    A job of a multirun whose subfolder holds a run continues it. If an error ends the run before its first
    trial, what was made here is removed.

    Args:
        config: of the run.
        job: number in a multirun.
        marker: name of the file that a folder of this kind of run holds: a log, or a manifest.
        keep: False removes what was made here in any case, for a check of whether it could be made.

    Raises:
        ConfigError: no run of this kind to resume, a run there already, a name that is no folder's, or a
            folder that cannot be written to.
    """
    folder, made = _place(config, job)
    try:
        if holds_run(folder):
            _check_kind(folder, marker)
        _check_writable(folder)
        yield folder
    except BaseException:
        if made and not has_trials(folder):
            _remove(made)
        raise
    if made and not keep:
        _remove(made)


def _place(config: Config, job: int | None) -> tuple[Path, list[Path]]:
    """The folder, and the folders that were made for it, itself first."""
    if config.resume is not None:
        return resumed_folder(folder_at("resume", config.resume), job)
    if config.run.dir is None:
        check_folder_name("name", config.name)
        base = Path("runs") / config.name / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        tries = (base if number == 1 else base.with_name(f"{base.name}_{number}") for number in count(1))
        return next((folder, made) for folder in tries if (made := _make(folder)))
    given = folder_at("run.dir", config.run.dir)
    if job is not None:
        if holds_run(given):
            raise ConfigError(
                f"run.dir: expected a folder for the runs of a multirun; {given} holds a single run; choose "
                "another"
            )
        return given / str(job), _make(given / str(job))
    made = _make(given)
    if holds_run(given):
        raise ConfigError(
            f"run.dir: expected a folder without a run; {given} holds one already; add resume={given} to the "
            "command to continue it, or choose another"
        )
    return given, made


def resumed_folder(folder: Path, job: int | None) -> tuple[Path, list[Path]]:
    """The folder of the run to continue, and what was made for it: that of a multirun's job may be new.

    Raises:
        ConfigError: there is no run.
    """
    if holds_run(folder):
        return folder, []
    jobs = jobs_in(folder)
    if job is not None and jobs:  # the folder of a multirun stands for its subfolders
        return folder / str(job), _make(folder / str(job))
    if jobs:
        raise ConfigError(
            f"resume: expected the folder of one run; {folder} holds {', '.join(jobs)} of a multirun; "
            f"resume={folder / jobs[0]} continues that one, the multirun's whole command all of them"
        )
    got = f"{folder} has none" if folder.is_dir() else f"there is no folder {folder}"
    raise ConfigError(f"resume: expected the folder of a run, with {FILE_NAME}; {got}; check the path")


def jobs_in(folder: Path) -> list[str]:
    """Names of the subfolders with runs of a multirun, in order; none for another folder."""
    try:
        found = [path.name for path in folder.iterdir() if path.name.isdecimal() and holds_run(path)]
    except OSError:
        return []
    return sorted(found, key=int)


def folder_at(key: str, text: str) -> Path:
    """The folder that a configuration's value names; raises ConfigError for what cannot be a path."""
    if not text.strip() or "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise ConfigError(f"{key}: expected the path of a folder, got {one_line(repr(text))}; give another")
    try:
        path = Path(text).expanduser()
        path.exists()
        return Path(os.path.relpath(path.resolve())) if ".." in path.parts else path
    except (RuntimeError, OSError) as error:  # ~user, and there is none; a name that is too long
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"{key}: expected a path, got {one_line(text, 100)}: {one_line(why)}; give another"
        ) from None


def check_folder_name(key: str, name: str) -> None:
    """Raises ConfigError unless the name is one that a single folder can have on every system.

    Letters of all scripts, spaces and signs are fine; what separates folders, hides them, breaks lines or is
    longer than 100 bytes is not.
    """
    if any(c in _SEPARATORS or not c.isprintable() for c in name):
        expected = f"a name without {_SEPARATORS} and control characters"
    elif not name.strip() or name[0] in ".~- " or name[-1] in ". ":
        expected = "a name that begins and ends with a letter, a digit or _"
    elif len(name.encode()) > MAX_NAME:
        expected = f"a name of at most {MAX_NAME} bytes"
    else:
        return
    got = one_line(repr(name))
    raise ConfigError(f"{key}: expected {expected}, as it names a folder; got {got}; choose another")


def _check_kind(folder: Path, marker: str) -> None:
    """Refuses to continue one kind of run as another, which would leave both in one folder."""
    found = manifest_of(folder)
    name = FILE_NAME if found is None else found.name
    if name != marker:
        raise ConfigError(
            f"{folder}: expected {_KINDS[marker]}, as the command is one; the folder holds {_KINDS[name]}; "
            f"give the command of that one with resume={folder}, or choose another run.dir"
        )


def _make(folder: Path) -> list[Path]:
    """Makes the folder; the folders that were made for it, itself first, or none if it was there."""
    missing: list[Path] = []
    try:
        missing += [path for path in (folder, *folder.parents) if not path.exists()]
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except OSError as error:
        if isinstance(error, FileExistsError) and folder.is_dir():
            return []
        for path in missing:  # those that were made before the one that could not be
            with suppress(OSError):
                path.rmdir()
        raise _unwritable(folder, error) from None
    return missing


def _check_writable(folder: Path) -> None:
    probe = folder / ".writable"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"run.dir: expected a writable folder; {one_line(folder)} is none ({error.strerror}); choose another"
    )


def holds_run(folder: Path) -> bool:
    """Whether a run, a comparison, a study of protocols or an audit has settled in the folder."""
    return any(os.path.exists(folder / name) for name in _KINDS)


def manifest_of(folder: Path) -> Path | None:
    """The file of a comparison, a study of protocols or an audit that says what it is, if there is one."""
    names = (COMPARISON, PROTOCOL, AUDIT)
    return next((folder / name for name in names if os.path.isfile(folder / name)), None)


def compared(folder: Path) -> Mapping[str, Any] | None:
    """The configuration in the folder's manifest; None if that is damaged."""
    try:
        return json.loads((manifest_of(folder) or folder).read_text(encoding="utf-8"))["config"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def has_trials(folder: Path) -> bool:
    """Whether a log in the folder, or in those of a comparison's studies, holds a trial; an audit, a part."""
    if (folder / AUDIT).exists() and any(folder.glob("parts/*.json")):
        return True
    for path in (folder / FILE_NAME, *folder.glob(f"*/{FILE_NAME}"), *folder.glob(f"*/*/*/{FILE_NAME}")):
        with suppress(OSError), path.open("rb") as log:
            if any(b'"event":"asked"' in line for line in log):
                return True
    return False


def _remove(made: list[Path]) -> None:
    shutil.rmtree(made[0], ignore_errors=True)
    with suppress(OSError):  # another run may have settled beside it
        for parent in made[1:]:
            parent.rmdir()
