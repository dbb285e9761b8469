"""An audit from its configuration to its report: parts of the space, one launcher, one folder.

audit.json          the configuration; written first
parts/START.json    labels of some candidates under every hasher; what is there is not done again
studies/KIND/SEED/  one search each, an ordinary run
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nas.audit.jobs import Part, columns_of, count_of, hasher_of, read_part
from nas.audit.launching import launch
from nas.audit.studies import is_finished, study_jobs
from nas.config import Config, resolved
from nas.errors import ConfigError, StoreError
from nas.eventlog import Lock, plain, taken
from nas.folder import AUDIT, compared, run_folder
from nas.provenance import versions
from nas.session import build_evaluator, build_space, make_launcher
from nas.timed import write_json

if TYPE_CHECKING:
    from nas.evaluation import Evaluator
    from nas.launcher import Job, Launcher
    from nas.space import SearchSpace

FORMAT = 1
_LOCK = ".lock"
_SAME = ("space", "hashing", "audit", "seed")  # sections that a resumed audit must agree in


def carry_out_audit(config: Config, job: int | None = None) -> int:
    """Runs or previews the audit.

    Args:
        config: with `audit.exact`.
        job: number in a multirun.

    Returns:
        The exit status: 0; 1 if the hash joins, splits or misses anything, or if parts failed; 130 after a
        signal.

    Raises:
        NasError: one line for the first thing that is wrong; nothing is started or written then.
    """
    if config.audit.chunk < 1:
        raise ConfigError(f"audit.chunk: 1 or more is expected, {config.audit.chunk} came")
    space, columns = build_space(config.space), columns_of(config)
    for section in columns.values():
        hasher_of(section)
    count, evaluator, launcher = count_of(config, space), table_of(config), make_launcher(config)
    if study_jobs(config, Path()) and evaluator is None:
        raise ConfigError(
            "audit.searchers: an evaluator that looks results up is expected; evaluator=nasbench201"
        )
    if config.dry_run:
        print(f"{count:,} architectures of {space.name} under {len(columns)} hashers: {'; '.join(columns)}")
        return 0
    with run_folder(config, job) as folder:
        lock = Lock()
        if not lock.take(folder / _LOCK):
            raise taken(folder / AUDIT)
        try:
            _settle(config, folder)
            return _run(config, folder, launcher, (space, evaluator))
        finally:
            lock.release()
            (folder / _LOCK).unlink(missing_ok=True)


def table_of(config: Config) -> Evaluator | None:
    """The evaluator if it looks results up; None for one that trains, whose results an audit does not use."""
    if config.evaluator.get("name") != "table":
        return None
    return build_evaluator(config.evaluator)


def parts_of(config: Config, folder: Path, count: int) -> list[Part]:
    """The parts of an audit of so many candidates."""
    step = config.audit.chunk
    starts = range(0, count, step)
    return [Part(config, start, min(start + step, count), folder.absolute()) for start in starts]


def _settle(config: Config, folder: Path) -> None:
    """Writes the configuration, or checks that the folder's is this one."""
    mine = plain(resolved(config))
    if (folder / AUDIT).exists():
        logged = compared(folder) or {}
        for section in _SAME:
            if logged.get(section) != mine[section]:
                raise StoreError(
                    f"{folder / AUDIT}: expected the section {section} of this command, another one was "
                    "audited here; choose another run.dir"
                )
    write_json(folder / AUDIT, {"format": FORMAT, "versions": dict(versions()), "config": mine})


def _run(
    config: Config, folder: Path, launcher: Launcher, built: tuple[SearchSpace, Evaluator | None]
) -> int:
    from nas.audit.report import write_audit
    from nas.signals import stop_on_signals

    parts = parts_of(config, folder, count_of(config, built[0]))
    studies = study_jobs(config, folder)
    left: list[Job] = [part for part in parts if read_part(part) is None]
    left += [job for job in studies if not is_finished(job)]
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        print("stopping; once more to stop at once", file=sys.stderr, flush=True)
        launcher.stop()

    failures = 0
    if left:
        with stop_on_signals(stop):
            failures = launch(launcher, left, len(parts) + len(studies))
    if stopped or failures:
        what = "stopped early" if stopped else f"{failures} jobs failed"
        print(f"{what}; the same command with resume={folder} continues")
        return 130 if stopped else 1
    written = write_audit(config, parts, *built, folder)
    written.show()
    return written.status if written.sound else 1
