"""The folder of a run: chosen, made without a race, and removed again if nothing happened."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from nas.config import Config
from nas.errors import ConfigError
from nas.eventlog import FILE_NAME

COMPARISON = "comparison.json"  # in the folder of a comparison of searchers, in place of a log
PROTOCOL = "protocol.json"  # in the folder of a study of protocols
AUDIT = "audit.json"  # in the folder of an audit of a hasher


@contextmanager
def run_folder(config: Config, job: int | None = None) -> Iterator[Path]:
    """The folder to resume, `run.dir` (in a multirun its subfolder for the job), or runs/<name>/<time>.

    If an error ends the run before its first trial, what was made here is removed.

    Args:
        config: of the run.
        job: number in a multirun.

    Raises:
        ConfigError: no run to resume, a run there already, or a folder that cannot be written to.
    """
    folder, made = _resumed(config.resume) if config.resume is not None else _new(config, job)
    try:
        _check_writable(folder)
        yield folder
    except BaseException:
        if made and not has_trials(folder):
            _remove(made)
        raise


def _resumed(resume: str) -> tuple[Path, list[Path]]:
    folder = Path(resume).expanduser()
    if not holds_run(folder):
        raise ConfigError(f"resume: a run's folder with {FILE_NAME} is expected, {folder} has none")
    return folder, []


def _new(config: Config, job: int | None) -> tuple[Path, list[Path]]:
    if config.run.dir is None:
        base = Path("runs") / config.name / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        tries = (base if number == 1 else base.with_name(f"{base.name}_{number}") for number in count(1))
        return next((folder, made) for folder in tries if (made := _make(folder)))
    given = Path(config.run.dir).expanduser()
    folder = given if job is None else given / str(job)
    made = _make(folder)
    if holds_run(folder):
        raise ConfigError(f"run.dir: {folder} holds a run already; resume={folder} continues it")
    return folder, made


def _make(folder: Path) -> list[Path]:
    """Makes the folder; the folders that were made for it, itself first, or none if it was there."""
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except OSError as error:
        if isinstance(error, FileExistsError) and folder.is_dir():
            return []
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
        f"run.dir: a writable folder is expected, {folder} is none ({error.strerror}); choose another"
    )


def holds_run(folder: Path) -> bool:
    """Whether a run, a comparison, a study of protocols or an audit has settled in the folder."""
    return any((folder / name).exists() for name in (FILE_NAME, COMPARISON, PROTOCOL, AUDIT))


def manifest_of(folder: Path) -> Path | None:
    """The file of a comparison, a study of protocols or an audit that says what it is, if there is one."""
    names = (COMPARISON, PROTOCOL, AUDIT)
    return next((folder / name for name in names if (folder / name).is_file()), None)


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
