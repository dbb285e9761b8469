"""The folder of a run: chosen, made without a race, and removed again if it has no trials."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from nas.callables import foreign_targets, renamed
from nas.errors import ConfigError, StoreError, one_line, refusal
from nas.run.config import Config, marker_of
from nas.study import (
    AUDIT,
    FILE_NAME,
    KINDS,
    Lock,
    compared,
    folder_at,
    holds_run,
    manifest_of,
    read_events,
    taken,
)

MAX_NAME = 100  # bytes of a name that becomes a folder's or a file's
_SEPARATORS = '/\\:*?"<>|'  # of paths, or not allowed in names, on any of the usual systems


@contextmanager
def run_folder(config: Config, job: int | None = None, *, keep: bool = True) -> Iterator[Path]:
    """The folder to resume, `run.dir` (in a multirun its subfolder for the job), or runs/<name>/<time>.

    A job of a multirun whose subfolder holds a run continues it. If an error ends the run before its first
    trial, new folders are removed.

    Args:
        config: of the run.
        job: number in a multirun.
        keep: False removes new folders in any case, to check only whether they can be made.

    Raises:
        ConfigError: no run of this kind to resume, another run in the folder, a bad name, or a folder that
            cannot be written to.
    """
    marker = marker_of(config)
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
    """The folder, and the folders that were made for it, the innermost first."""
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
            expected, got = "a folder for the runs of a multirun", f"{given}, which holds a single run"
            raise ConfigError(refusal("run.dir", expected, got, "choose another"))
        return given / str(job), _make(given / str(job))
    made = _make(given)
    if holds_run(given):
        got = f"{given}, which holds one"
        remedy = f"add resume={given} to the command to continue it, or choose another"
        raise ConfigError(refusal("run.dir", "a folder without a run", got, remedy))
    return given, made


def resumed_folder(folder: Path, job: int | None) -> tuple[Path, list[Path]]:
    """The folder of the run to continue, and new folders: that of a multirun's job may be new.

    Raises:
        ConfigError: there is no run.
    """
    if holds_run(folder):
        return folder, []
    jobs = jobs_in(folder)
    if job is not None and jobs:  # a subfolder of the multirun
        return folder / str(job), _make(folder / str(job))
    if jobs:
        got = f"{folder}, which holds {', '.join(jobs)} of a multirun"
        remedy = f"give resume={folder / jobs[0]} for that one, or the multirun's whole command for all"
        raise ConfigError(refusal("resume", "the folder of one run", got, remedy))
    got = f"{folder}, which has none" if folder.is_dir() else f"no folder {folder}"
    raise ConfigError(refusal("resume", f"the folder of a run, with {FILE_NAME}", got, "check the path"))


def jobs_in(folder: Path) -> list[str]:
    """Names of the subfolders with runs of a multirun, in order; empty for another folder."""
    try:
        found = [path.name for path in folder.iterdir() if path.name.isdecimal() and holds_run(path)]
    except OSError:
        return []
    return sorted(found, key=int)


def check_folder_name(key: str, name: str) -> None:
    """Raises ConfigError unless a folder can have this name on every system.

    Letters of all scripts, spaces and signs are admitted; separators, leading dots, control characters and
    more than 100 bytes are not.
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
    raise ConfigError(refusal(key, f"{expected}, as it names a folder", got, "choose another"))


def _check_kind(folder: Path, marker: str) -> None:
    """Refuses to continue one kind of run as another, which would mix both in one folder."""
    found = manifest_of(folder)
    name = FILE_NAME if found is None else found.name
    if name != marker:
        remedy = f"give the command of that one with resume={folder}, or choose another run.dir"
        expected = f"{KINDS[marker]}, as the command asks for"
        raise ConfigError(refusal(f"{folder}", expected, KINDS[name], remedy))


def _make(folder: Path) -> list[Path]:
    """Makes the folder; returns the new folders, the innermost first, or none if it existed."""
    missing: list[Path] = []
    try:
        missing += [path for path in (folder, *folder.parents) if not path.exists()]
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except OSError as error:
        if isinstance(error, FileExistsError) and folder.is_dir():
            return []
        for path in missing:  # those that were made before the failure
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
    got = f"{one_line(folder)} ({error.strerror})"
    return ConfigError(refusal("run.dir", "a writable folder", got, "choose another"))


def logged_config(folder: Path, *, trust: bool = False) -> Mapping[str, Any]:
    """The logged configuration, by which a folder is continued without its command.

    The folder may be of another author, so its configuration may name registered components, read files and
    write inside the folder, and no more: nothing else is imported, and no cluster is joined.

    Args:
        folder: of a run, a comparison, a study of protocols or an audit.
        trust: whether the user trusts the folder.

    Raises:
        StoreError: there is no configuration, or a damaged log.
        ConfigError: it asks for more than an untrusted folder may.
    """
    if manifest_of(folder):
        config = compared(folder)
    else:
        opened = [event for event in read_events(folder / FILE_NAME) if event["event"] == "opened"]
        if not opened:
            remedy = "give the whole command without resume"
            raise StoreError(refusal(f"{folder / FILE_NAME}", "an opened event first", "none", remedy))
        config = renamed(opened[-1].get("config"))
    if not config:
        remedy = "give the whole command with resume"
        raise StoreError(refusal(f"{folder}", "a log with a configuration", "one without", remedy))
    for place, text in _texts(config):
        if "${" in text:  # the platform resolves them before it logs
            raise ConfigError(
                refusal(
                    f"{folder}: {place}",
                    "a value in a logged configuration",
                    "an interpolation",
                    f"give the run's whole command with resume={folder}",
                )
            )
    if not trust:
        _check_foreign(folder, config)
    return config


def _check_foreign(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuses what an untrusted configuration must not decide."""
    for place, target in foreign_targets(config):
        raise _not_trusted(folder, f"{place} names {target}, which would be imported and run")
    for place, text in _texts(config):
        key = place.rpartition(".")[2]
        if key == "address" and text != "auto":
            raise _not_trusted(folder, f"{place} names a cluster, {text}, whose answers would be run")
        if key == "root" and not (Path(text).exists() or _is_inside(Path(text), Path.cwd())):
            raise _not_trusted(folder, f"{place} names {text}, which would be made for downloads")
    for path in _entries(folder):
        if path.is_symlink() and not _is_inside(path, folder):
            raise _not_trusted(folder, f"{path} leads out of it, to {os.readlink(path)}")
        if not path.is_file() and not path.is_dir() and not path.is_symlink():
            raise _not_trusted(folder, f"{path} is no regular file, and reading it may never end")


def _not_trusted(folder: Path, what: str) -> ConfigError:
    expected = "a folder that can do no harm, as the run's command is not given"
    remedy = f"give the whole command with resume={folder}, or trust=true if you know its author"
    return ConfigError(refusal("resume", expected, f"{folder}, in which {what}", remedy))


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _entries(folder: Path) -> Iterator[Path]:
    """All paths below the folder; links are not followed."""
    for place, folders, files in os.walk(folder):
        yield from (Path(place) / name for name in (*folders, *files))


def _texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """All texts inside JSON values, with their places."""
    if isinstance(value, str):
        yield place, value
    items = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, item in items:
        yield from _texts(item, f"{place}.{key}" if place else str(key))


def has_trials(folder: Path) -> bool:
    """Whether a log in the folder or in those of its studies holds a trial, or an audit a part."""
    if (folder / AUDIT).exists() and any(folder.glob("parts/*.json")):
        return True
    for path in (folder / FILE_NAME, *folder.glob(f"*/{FILE_NAME}"), *folder.glob(f"*/*/*/{FILE_NAME}")):
        with suppress(OSError), path.open("rb") as log:
            if any(b'"event":"asked"' in line for line in log):
                return True
    return False


def _remove(made: list[Path]) -> None:
    shutil.rmtree(made[0], ignore_errors=True)
    with suppress(OSError):  # another run may have used the parent folder
        for parent in made[1:]:
            parent.rmdir()


@contextmanager
def held(manifest: Path) -> Iterator[None]:
    """Within, no other driver on this host can use the folder of the manifest."""
    lock, path = Lock(), manifest.with_name(".lock")
    if not lock.take(path):
        raise taken(manifest)
    try:
        yield
    finally:
        lock.release()
        path.unlink(missing_ok=True)
