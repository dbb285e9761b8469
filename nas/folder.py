"""The folder of a run: chosen, made without a race, and removed again if nothing happened."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path

from nas.config import Config
from nas.errors import ConfigError
from nas.eventlog import FILE_NAME


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
    if not (folder / FILE_NAME).is_file():
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
    if (folder / FILE_NAME).exists():
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


def has_trials(folder: Path) -> bool:
    """Whether the log in the folder holds a trial."""
    with suppress(OSError), (folder / FILE_NAME).open("rb") as log:
        return any(b'"event":"asked"' in line for line in log)
    return False


def _remove(made: list[Path]) -> None:
    shutil.rmtree(made[0], ignore_errors=True)
    with suppress(OSError):  # another run may have settled beside it
        for parent in made[1:]:
            parent.rmdir()
