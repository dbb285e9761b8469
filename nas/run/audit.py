"""An audit of a hasher: parts of the space on a launcher, then searches under noise, and one report.

audit.json          the configuration; written first
parts/START.json    labels of some candidates under every hasher; existing files are kept
studies/KIND/SEED/  one search each, an ordinary run
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nas.errors import ConfigError, StoreError, nearest, refusal
from nas.run.compose import (
    build_evaluator,
    build_hasher,
    build_space,
    check_options,
    make_launcher,
    mistakes_at,
)
from nas.run.config import (
    AuditSection,
    BaselineSection,
    CacheSection,
    Config,
    FinalSection,
    of_one_study,
    resolved,
)
from nas.run.folder import held
from nas.run.jobs import Job, JobOutcome, Launcher, carry_out_jobs, exit_status, stop_on_signals
from nas.run.single import StudyJob, ends_of
from nas.space import enumerate_architectures, sample
from nas.study import FILE_NAME, plain, read_json, versions, write_json
from nas.study.record import AUDIT, compared

if TYPE_CHECKING:
    from nas.evaluation import Evaluator
    from nas.space import Architecture, SearchSpace
    from nas.study import Hasher

FORMAT = 1
PARTS = "parts"
STUDIES = "studies"
TABLE = "table"  # name of the evaluator that looks results up
MAX_CANDIDATES = 1_000_000
_SAME = ("space", "hashing", "audit", "seed")  # sections that must be equal when an audit is resumed
_hashers: dict[str, Hasher] = {}  # of this process, for all its jobs


@dataclass(frozen=True, slots=True)
class AuditRun:
    """An audit that can begin; see `nas.run.__main__.Execution`.

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
        with held(folder / AUDIT):
            _check_same(self.config, folder)
            logged = {"versions": dict(versions()), "config": plain(resolved(self.config))}
            write_json(folder / AUDIT, {"format": FORMAT, **logged})
            parts, studies = parts_of(self.config, folder, self.count), study_jobs(self.config, folder)
            left: list[Job] = [part for part in parts if read_part(part) is None]
            left += [job for job in studies if not is_finished(job)]
            failures = 0
            with stop_on_signals(self.launcher.stop, folder) as stop:
                if left:
                    failures = carry_out_jobs(self.launcher, [*parts, *studies], left, "job")
            if stop.called or failures:
                return exit_status(folder, stop.called, f"{failures} jobs")
            return self._report(parts, folder)

    def _report(self, parts: Sequence[AuditPart], folder: Path) -> int:
        from nas.report.audit import AuditedReading, AuditReport

        labels, seconds, reasons = read_parts(parts)
        report = AuditReport(
            config=plain(resolved(self.config)),
            space=self.space,
            architectures=list(candidates(self.config, self.space, 0, self.count)),
            table=self.evaluator,
            readings=[
                AuditedReading(reading.name, *reading.columns, hasher_of(reading.exact).explain)
                for reading in readings_of(self.config)
            ],
            labels=labels,
            seconds=seconds,
            reasons=reasons,
            folders={
                kind: [folder / STUDIES / kind.folder / str(n) for n in range(self.config.audit.seeds)]
                for kind in conditions(self.config.audit)
            },
        )
        written, sound = report.write(folder)
        written.show()
        return written.status if sound else 1


@dataclass(frozen=True, slots=True)
class Reading:
    """What is taken for equal: options that the audited and the exact hasher share.

    Attributes:
        name: "zero=trained, scale=kept".
        audited: section of the audited hasher.
        exact: section of the exact one.
    """

    name: str
    audited: Mapping[str, Any]
    exact: Mapping[str, Any]

    @property
    def columns(self) -> tuple[str, str]:
        """Names of its two columns of labels."""
        return f"hashed, {self.name}", _named("exact", self.exact)


def readings_of(config: Config) -> tuple[Reading, ...]:
    """All combinations of the listed options; `audit.bits` for the audited hasher alone.

    The other audited hashers have no shared options: they are held against the first exact reading.

    Raises:
        ConfigError: an option without a list of values.
    """
    section, options = config.audit, config.audit.readings
    for option, values in options.items():
        if not isinstance(values, list | tuple) or not values:
            raise ConfigError(
                refusal(f"audit.readings.{option}", "a list of values", f"{values!r}", "write it as [a, b]")
            )
    combinations = [dict(zip(options, values, strict=True)) for values in product(*options.values())]
    axis = [{"bits": bits} for bits in section.bits] or [{}]
    found = [
        Reading(
            name=_named("", {**shared, **own}),
            audited={**config.hashing, **shared, **own},
            exact={"name": section.exact, **shared},
        )
        for shared in combinations
        for own in axis
    ]
    first = {"name": section.exact, **combinations[0]}
    found += [
        Reading(_named(label, own), {**audited, **own}, first)
        for label, audited in section.beside.items()
        for own in axis
    ]
    return tuple(found)


def _named(head: str, options: Mapping[str, Any]) -> str:
    """`head, zero=trained, bits=8`; `default` of nothing."""
    stated = [f"{key}={value}" for key, value in options.items() if key != "name"]
    return ", ".join(filter(None, [head, *stated])) or "default"


def columns_of(config: Config) -> dict[str, Mapping[str, Any]]:
    """Name of each column of labels -> section of its hasher."""
    columns: dict[str, Mapping[str, Any]] = {}
    for reading in readings_of(config):
        columns |= dict(zip(reading.columns, (reading.audited, reading.exact), strict=True))
    return columns | {f"counted, {label}": section for label, section in config.audit.counted.items()}


class SearchCondition(NamedTuple):
    """What the searches of one kind have in common."""

    searcher: str
    noise: float
    cache: str

    @property
    def folder(self) -> str:
        return f"{self.searcher}_noise{self.noise:g}_{self.cache}".replace("/", "-").replace(" ", "")


def conditions(section: AuditSection) -> tuple[SearchCondition, ...]:
    """All of them, noise outermost: searches with equal noise share a table in their process."""
    found = product(section.noise, section.searchers, section.caches)
    return tuple(SearchCondition(searcher, noise, cache) for noise, searcher, cache in found)


def prepare_audit(config: Config) -> AuditRun:
    """Checks and builds everything once.

    Args:
        config: with `audit.exact`.

    Raises:
        NasError: one line for the first thing that is wrong; nothing is started or written then.
    """
    if config.audit.chunk < 1:
        raise ConfigError(
            refusal("audit.chunk", "1 or more", config.audit.chunk, "leave it out for the default")
        )
    for label, section in {**config.audit.beside, **config.audit.counted}.items():
        if not isinstance(section, Mapping):
            raise ConfigError(
                refusal(f"audit, {label}", "a hasher's section", repr(section), "give its name and options")
            )
    launcher, jobs = make_launcher(config), study_jobs(config, Path())
    if jobs and config.evaluator.get("name") != TABLE:
        expected, got = "an evaluator that looks results up", str(config.evaluator.get("name"))
        raise ConfigError(refusal("audit.searchers", expected, got, "set evaluator=nasbench201"))
    for job in {job.group: job for job in jobs}.values():
        with mistakes_at(f"audit.searchers, {job.group}"):
            check_options(replace(job.config, evaluator=config.evaluator))
    space = build_space(config.space)
    for section in columns_of(config).values():
        hasher_of(section)
    table = build_evaluator(config.evaluator) if config.evaluator.get("name") == TABLE else None
    return AuditRun(config, space, table, launcher, count_of(config, space))


def parts_of(config: Config, folder: Path, count: int) -> list[AuditPart]:
    """The parts of an audit of `count` candidates."""
    step = config.audit.chunk
    starts = range(0, count, step)
    return [AuditPart(config, start, min(start + step, count), folder.absolute()) for start in starts]


def _check_same(config: Config, folder: Path) -> None:
    """Raises StoreError if the folder holds another audit."""
    if not (folder / AUDIT).exists():
        return
    mine, logged = plain(resolved(config)), compared(folder) or {}
    for section in _SAME:
        if logged.get(section) != mine[section]:
            expected = f"an audit with the section {section} of this command"
            remedy = "choose another run.dir"
            raise StoreError(refusal(f"{folder / AUDIT}", expected, "one with another section", remedy))


def study_jobs(config: Config, folder: Path) -> list[StudyJob]:
    """One job for each condition and seed.

    Raises:
        ConfigError: searchers without caches, noise or seeds, or values that are no sections.
    """
    section = config.audit
    if not section.searchers:
        return []
    if not section.caches or not section.noise or section.seeds < 1:
        expected = "audit.caches, audit.noise and audit.seeds of at least 1 beside them"
        got = f"{len(section.caches)} caches, {len(section.noise)} levels of noise, {section.seeds} seeds"
        raise ConfigError(refusal("audit.searchers", expected, got, "give all three, or no searchers"))
    wrong = [std for std in section.noise if not 0 <= std < math.inf]
    if wrong:
        remedy = "leave negative ones out"
        raise ConfigError(refusal("audit.noise", "standard deviations of 0 or more", f"{wrong[0]:g}", remedy))
    for label, changes in section.caches.items():
        if not isinstance(changes, Mapping) or set(changes) - {"hashing", "cache"}:
            where, remedy = f"audit.caches.{label}", "give these two alone"
            raise ConfigError(refusal(where, "sections hashing and cache", repr(changes), remedy))
        for key, own in changes.items():
            if not isinstance(own, Mapping):
                where = f"audit.caches.{label}.{key}"
                raise ConfigError(refusal(where, "a section of keys", repr(own), "write it as {key: value}"))
        known = [option.name for option in fields(CacheSection)]
        unknown = [option for option in changes.get("cache", {}) if option not in known]
        if unknown:
            where, remedy = f"audit.caches.{label}.cache", nearest(unknown[0], known, "leave it out")
            raise ConfigError(refusal(where, f"one of {', '.join(known)}", unknown[0], remedy))
    for label, searcher in section.searchers.items():
        if not isinstance(searcher, Mapping):
            where, remedy = f"audit.searchers.{label}", "give its name and options"
            raise ConfigError(refusal(where, "a searcher's section", repr(searcher), remedy))
    return [
        StudyJob(condition.folder, own, folder.absolute() / STUDIES / condition.folder / str(own.seed))
        for condition in conditions(section)
        for own in (_own(config, condition, seed) for seed in range(section.seeds))
    ]


def _own(config: Config, condition: SearchCondition, seed: int) -> Config:
    section, std = config.audit, condition.noise
    noisy = {"name": "noise", "evaluator": dict(config.evaluator), "std": std} if std else config.evaluator
    changes: Mapping[str, Any] = section.caches[condition.cache]
    return of_one_study(
        config,
        seed=seed,
        searcher=dict(section.searchers[condition.searcher]),
        evaluator=noisy,
        hashing=dict(changes.get("hashing", config.hashing)),
        cache=CacheSection(**changes.get("cache", {})),
        baseline=BaselineSection(0),
        final=FinalSection(0),
    )


def is_finished(job: StudyJob) -> bool:
    """Whether an earlier session finished the study."""
    return ends_of(job.folder / FILE_NAME)[1].get("reason") == "finished"


def count_of(config: Config, space: SearchSpace) -> int:
    """Number of candidates.

    Raises:
        ConfigError: the space has too many to list, and no sample is asked for.
    """
    if config.audit.sample is not None:
        if config.audit.sample < 1:
            remedy = "leave it out to audit every architecture"
            raise ConfigError(refusal("audit.sample", "1 or more", config.audit.sample, remedy))
        return config.audit.sample
    size = space.size_within(MAX_CANDIDATES)
    if size is None:
        had = space.size_text().replace("unbounded", "an unbounded space").removesuffix(" derivations")
        expected = f"at most {MAX_CANDIDATES:,} architectures to audit one by one"
        raise ConfigError(refusal("space", expected, had, "set audit.sample"))
    return size


def candidates(config: Config, space: SearchSpace, start: int, stop: int) -> Iterator[Architecture]:
    """The candidates with these numbers: all of the space in its order, or random ones."""
    if config.audit.sample is None:
        yield from islice(enumerate_architectures(space), start, stop)
        return
    for number in range(start, stop):
        yield sample(space, np.random.default_rng((config.seed, number)))


@dataclass(frozen=True, slots=True)
class AuditPart:
    """Labels of the candidates from `start` to before `stop`, to be written to the folder's parts.

    Attributes:
        folder: of the audit, absolute.
    """

    config: Config
    start: int
    stop: int
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.start}-{self.stop - 1}"

    @property
    def group(self) -> str:
        return PARTS

    @property
    def path(self) -> Path:
        return self.folder / PARTS / f"{self.start:07}.json"

    def __call__(self, stopping: Callable[[], bool] | None = None) -> JobOutcome:
        """Writes the file."""
        began = time.monotonic()
        chosen = list(candidates(self.config, build_space(self.config.space), self.start, self.stop))
        labels, seconds, reasons = {}, {}, {}
        for column, section in columns_of(self.config).items():
            if stopping is not None and stopping():
                return JobOutcome("interrupted", None, time.monotonic() - began)
            hasher, started = hasher_of(section), time.perf_counter()
            hashed = [hasher.hash(architecture) for architecture in chosen]
            seconds[column] = round(time.perf_counter() - started, 6)
            labels[column] = [f"{h.digest} {h.settings}".rstrip() if h.digest else None for h in hashed]
            missing = [h.reason or "no reason given" for h in hashed if not h.digest]
            if missing:
                reasons[column] = missing[0]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        data = {"start": self.start, "stop": self.stop, "seconds": seconds, "reasons": reasons}
        write_json(self.path, {**data, "labels": labels})
        return JobOutcome("finished", None, time.monotonic() - began)


def hasher_of(section: Mapping[str, Any]) -> Hasher:
    """The hasher of a section, made once in this process.

    Raises:
        ConfigError: an unknown name, bad options, or no hasher.
    """
    key = repr(sorted(section.items()))
    if key not in _hashers:
        hasher = build_hasher(section)
        if hasher is None:
            raise ConfigError(refusal("hashing", "a hasher in an audit", "none", "add hashing=functional"))
        _hashers[key] = hasher
    return _hashers[key]


def read_parts(
    parts: Sequence[AuditPart],
) -> tuple[dict[str, list[str | None]], dict[str, float], dict[str, str]]:
    """All files together: labels of each column, its seconds, and a reason where a candidate has no label.

    Raises:
        StoreError: one is missing or damaged.
    """
    columns: dict[str, list[str | None]] = {}
    seconds: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for part in parts:
        data = read_part(part)
        if data is None:
            expected, got = f"the labels of candidates {part.name}", "a missing or damaged file"
            raise StoreError(refusal(f"{part.path}", expected, got, "resume the audit"))
        for column, labels in data["labels"].items():
            columns.setdefault(column, []).extend(labels)
            seconds[column] = seconds.get(column, 0.0) + data["seconds"][column]
        reasons |= data["reasons"]
    return columns, seconds, reasons


def read_part(part: AuditPart) -> dict[str, Any] | None:
    """A part's file; None if it is missing, damaged or of another part."""
    try:
        data = read_json(part.path)
        whole = (data["start"], data["stop"]) == (part.start, part.stop) and set(data["labels"]) == set(
            columns_of(part.config)
        )
        return data if whole else None
    except (StoreError, KeyError, TypeError):
        return None
