"""An audit from its configuration to its report: parts of the space, one launcher, one folder.

audit.json          the configuration; written first
parts/START.json    labels of some candidates under every hasher; what is there is not done again
studies/KIND/SEED/  one search each, an ordinary run
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.audit.jobs import Part, candidates, count_of, hasher_of, read_part, read_parts
from nas.audit.labels import columns_of
from nas.audit.launching import launch
from nas.audit.studies import NOISE, STUDIES, Condition, conditions
from nas.config import AuditSection, BaselineSection, CacheSection, Config, FinalSection, RunSection, resolved
from nas.errors import ConfigError, NasError, StoreError
from nas.eventlog import FILE_NAME, Lock, plain, taken
from nas.jobs import StudyJob, ends_of
from nas.provenance import versions
from nas.session import build_evaluator, build_space, check_options, make_launcher
from nas.store import AUDIT, compared
from nas.timed import write_json

if TYPE_CHECKING:
    from nas.evaluation import Evaluator
    from nas.launcher import Job, Launcher
    from nas.space import SearchSpace

FORMAT = 1
TABLE = "table"  # name of the evaluator that looks results up
_LOCK = ".lock"
_SAME = ("space", "hashing", "audit", "seed")  # sections that a resumed audit must agree in


@dataclass(frozen=True, slots=True)
class Audit:
    """An audit that can begin; see `nas.kinds.Execution`.

    Attributes:
        config: as composed.
        space: whose architectures are hashed.
        evaluator: that looks results up; None for one that trains.
        launcher: where the parts run.
        count: of architectures.
    """

    config: Config
    space: SearchSpace
    evaluator: Evaluator | None
    launcher: Launcher
    count: int

    def check(self, folder: Path) -> None:
        _check_same(self.config, folder)

    def preview(self) -> str:
        columns = columns_of(self.config)
        return (
            f"{self.count:,} architectures of {self.space.name} under {len(columns)} hashers: "
            f"{'; '.join(columns)}"
        )

    def run(self, folder: Path) -> int:
        """Runs or continues the audit.

        Returns:
            The exit status: 0; 1 if the hash joins, splits or misses anything, or if parts failed; 130 after
            a signal.
        """
        lock = Lock()
        if not lock.take(folder / _LOCK):
            raise taken(folder / AUDIT)
        try:
            _check_same(self.config, folder)
            manifest = {
                "format": FORMAT,
                "versions": dict(versions()),
                "config": plain(resolved(self.config)),
            }
            write_json(folder / AUDIT, manifest)
            return _run(self.config, folder, self.launcher, (self.space, self.evaluator))
        finally:
            lock.release()
            (folder / _LOCK).unlink(missing_ok=True)


def prepare_audit(config: Config) -> Audit:
    """Checks and builds everything once.

    Args:
        config: with `audit.exact`.

    Raises:
        NasError: one line for the first thing that is wrong; nothing is started or written then.
    """
    if config.audit.chunk < 1:
        raise ConfigError(f"audit.chunk: expected 1 or more, got {config.audit.chunk}")
    for label, section in {**config.audit.beside, **config.audit.counted}.items():
        if not isinstance(section, Mapping):
            raise ConfigError(f"audit, {label}: expected a hasher's section, got {section!r}")
    launcher, jobs = make_launcher(config), study_jobs(config, Path())
    if jobs and config.evaluator.get("name") != TABLE:
        raise ConfigError(
            "audit.searchers: an evaluator that looks results up is expected; evaluator=nasbench201"
        )
    for job in {job.method: job for job in jobs}.values():
        try:
            check_options(replace(job.config, evaluator=config.evaluator))
        except NasError as error:
            raise type(error)(f"audit.searchers, {job.method}: {error}") from error
    space = build_space(config.space)
    for section in columns_of(config).values():
        hasher_of(section)
    return Audit(config, space, table_of(config), launcher, count_of(config, space))


def table_of(config: Config) -> Evaluator | None:
    """The evaluator if it looks results up; None for one that trains, whose results an audit does not use."""
    if config.evaluator.get("name") != TABLE:
        return None
    return build_evaluator(config.evaluator)


def parts_of(config: Config, folder: Path, count: int) -> list[Part]:
    """The parts of an audit of so many candidates."""
    step = config.audit.chunk
    starts = range(0, count, step)
    return [Part(config, start, min(start + step, count), folder.absolute()) for start in starts]


def _check_same(config: Config, folder: Path) -> None:
    """Raises StoreError if the folder holds the audit of something else."""
    if not (folder / AUDIT).exists():
        return
    mine, logged = plain(resolved(config)), compared(folder) or {}
    for section in _SAME:
        if logged.get(section) != mine[section]:
            raise StoreError(
                f"{folder / AUDIT}: expected the section {section} of this command, another one was audited "
                "here; choose another run.dir"
            )


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
    space, table = built
    labels, architectures = read_parts(parts), list(candidates(config, space, 0, parts[-1].stop))
    written = write_audit(config, labels, architectures, space, table, hasher_of, folder)
    written.show()
    return written.status if written.sound else 1


def study_jobs(config: Config, folder: Path) -> list[StudyJob]:
    """One job for each condition and seed.

    Raises:
        ConfigError: searchers without caches, noise or seeds, or sections that are none.
    """
    section = config.audit
    if not section.searchers:
        return []
    if not section.caches or not section.noise or section.seeds < 1:
        raise ConfigError(
            "audit.searchers: caches, noise and at least one of audit.seeds are expected beside"
        )
    wrong = [std for std in section.noise if not 0 <= std < math.inf]
    if wrong:
        raise ConfigError(f"audit.noise: expected standard deviations of 0 or more, got {wrong[0]:g}")
    for label, changes in section.caches.items():
        if not isinstance(changes, Mapping) or set(changes) - {"hashing", "cache"}:
            raise ConfigError(f"audit.caches.{label}: expected sections hashing and cache, got {changes!r}")
        for key, own in changes.items():
            if not isinstance(own, Mapping):
                raise ConfigError(f"audit.caches.{label}.{key}: expected a section of keys, got {own!r}")
        known = [option.name for option in fields(CacheSection)]
        unknown = [option for option in changes.get("cache", {}) if option not in known]
        if unknown:
            raise ConfigError(
                f"audit.caches.{label}.cache: expected one of {', '.join(known)}, got {unknown[0]}"
            )
    for label, searcher in section.searchers.items():
        if not isinstance(searcher, Mapping):
            raise ConfigError(f"audit.searchers.{label}: expected a searcher's section, got {searcher!r}")
    return [
        StudyJob(condition.folder, own, folder.absolute() / STUDIES / condition.folder / str(own.seed))
        for condition in conditions(section)
        for own in (_own(config, condition, seed) for seed in range(section.seeds))
    ]


def _own(config: Config, condition: Condition, seed: int) -> Config:
    section, std = config.audit, condition.noise
    noisy = {"name": NOISE, "evaluator": dict(config.evaluator), "std": std} if std else config.evaluator
    changes: Mapping[str, Any] = section.caches[condition.cache]
    return replace(
        config,
        seed=seed,
        searcher=dict(section.searchers[condition.searcher]),
        evaluator=noisy,
        hashing=dict(changes.get("hashing", config.hashing)),
        cache=CacheSection(**changes.get("cache", {})),
        baseline=BaselineSection(0),
        final=FinalSection(0),
        audit=AuditSection(),
        run=RunSection(),
        resume=None,
    )


def is_finished(job: StudyJob) -> bool:
    """Whether an earlier session finished it."""
    return ends_of(job.folder / FILE_NAME)[1].get("reason") == "finished"
