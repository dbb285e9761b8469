"""A comparison of searchers from its configuration to its report: many studies, one launcher, one folder.

comparison.json                 what is compared; written first
baseline/                       one study of random architectures
studies/METHOD/SEED/            one study each, an ordinary run that can be resumed by itself
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.comparison.reading import FORMAT, MANIFEST
from nas.config import Config, resolved
from nas.errors import ConfigError, NasError
from nas.eventlog import FILE_NAME, Lock, plain, taken
from nas.fitting import search_notes
from nas.jobs import Outcome, StudyJob, baseline_job, composed, ends_of, forget, study_job
from nas.lineup import Lineup, doubt_of, lineup_of, optimum_of, reference_of
from nas.provenance import check_same_study, hashing_facts, opening, versions
from nas.session import (
    accepted_parts,
    build_hasher,
    cache_policy,
    check_options,
    make_launcher,
    options_of,
)
from nas.tally import Tally, open_board
from nas.timed import OVERHEAD, write_json

if TYPE_CHECKING:
    from nas.launcher import Launcher, Update
    from nas.session import Components

_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Campaign:
    """A comparison that can begin.

    Attributes:
        config: as composed.
        lineup: methods, seeds and budgets.
        components: of the study of random architectures; space and evaluator are those of all studies.
        launcher: where the studies run.
        doubts: what to know before it starts, one line each.
    """

    config: Config
    lineup: Lineup
    components: Components
    launcher: Launcher
    doubts: tuple[str, ...]

    def check(self, folder: Path) -> None:
        _finished(self, all_jobs(self, folder))

    def preview(self) -> str:
        from nas.preview import preview_comparison

        _say_doubt(self)
        return preview_comparison(self.config, self)

    def run(self, folder: Path) -> int:
        """Runs or continues all studies; the exit status: 0, 1 if studies failed, 130 after a signal."""
        with _held(folder):
            return _run(self, folder)


def prepare_campaign(config: Config) -> Campaign:
    """Checks and builds everything once, each method's searcher included.

    Raises:
        NasError: one line, that of a searcher with its label.
    """
    config = replace(config, searcher={})  # it is not used
    lineup = lineup_of(config)
    if config.executor.get("name") == "ray":
        raise ConfigError(
            "executor: expected inline or simulated in a comparison, whose studies run side by side on "
            "Ray themselves, got ray; add executor=inline"
        )
    launcher = make_launcher(config)
    forget()  # a study of before may have had other files of the same name
    baseline = baseline_job(config, Path()).config
    check_options(baseline)
    studies = {label: study_job(config, label, lineup.seeds[0], Path()).config for label in lineup.methods}
    for label, study in studies.items():  # all of them before the data are read
        with _of_method(label):
            check_options(study)
    doubt = doubt_of(lineup)
    doubts = [] if doubt is None else [doubt]
    for label, study in studies.items():
        with _of_method(label):
            parts = composed(study)
        doubts += search_notes(label, parts.searcher, parts.space, study.budget.trials)
    components = composed(baseline)
    reference_of(config, components.evaluator)
    return Campaign(config, lineup, components, launcher, tuple(doubts))


@contextmanager
def _of_method(label: str) -> Iterator[None]:
    """Mistakes in the sections of a method name its place in the configuration."""
    try:
        yield
    except NasError as error:
        raise type(error)(f"compare.searchers.{label}: {error}") from error


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keeps a second driver on this host away from the folder."""
    lock = Lock()
    if not lock.take(folder / _LOCK):
        raise taken(folder / MANIFEST)
    try:
        yield
    finally:
        lock.release()
        (folder / _LOCK).unlink(missing_ok=True)


def manifest(campaign: Campaign) -> dict[str, Any]:
    """What `comparison.json` holds."""
    config, lineup, evaluator = campaign.config, campaign.lineup, campaign.components.evaluator
    limits, reference = evaluator.fidelity_range, reference_of(config, evaluator)
    return {
        "format": FORMAT,
        "name": config.name,
        "methods": list(lineup.methods),
        "seeds": list(lineup.seeds),
        "budgets": list(lineup.budgets),
        "objectives": [asdict(objective) for objective in evaluator.objectives],
        "reported": asdict(evaluator.reported),
        "fidelity_range": None if limits is None else list(limits),
        "optimum": optimum_of(evaluator, reference),
        "reference": reference,
        "default": lineup.default,
        "config": plain(resolved(config)),
        "versions": dict(versions()),
    }


def all_jobs(campaign: Campaign, folder: Path) -> list[StudyJob]:
    """The random architectures first, then seed by seed, so that methods stay level if it is interrupted."""
    config, lineup = campaign.config, campaign.lineup
    first = [baseline_job(config, folder)] if config.baseline.samples else []
    return [
        *first,
        *(study_job(config, method, seed, folder) for seed in lineup.seeds for method in lineup.methods),
    ]


def _run(campaign: Campaign, folder: Path) -> int:
    from nas.signals import stop_on_signals

    jobs = all_jobs(campaign, folder)
    done = _finished(campaign, jobs)
    write_json(folder / MANIFEST, manifest(campaign))
    left = [job for job in jobs if job.name not in done]
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        print("stopping; once more to stop without a report", file=sys.stderr, flush=True)
        campaign.launcher.stop()

    failures: list[str] = []
    if left:
        _say_doubt(campaign)
        with stop_on_signals(stop):
            failures = _launch(campaign.launcher, jobs, left)
    status = _report(folder)
    if stopped:
        print(f"stopped early; the same command with resume={folder} continues")
    elif failures:
        print(f"{len(failures)} studies failed; the same command with resume={folder} tries them again")
    return 130 if stopped else 1 if failures else status


def _say_doubt(campaign: Campaign) -> None:
    for doubt in campaign.doubts:
        print(f"warning: {doubt}", file=sys.stderr, flush=True)


def _launch(launcher: Launcher, jobs: Sequence[StudyJob], left: Sequence[StudyJob]) -> list[str]:
    """Runs what is left of the jobs; the failures, one line each."""
    failures: list[str] = []
    waiting = {job.name for job in left}
    with closing(launcher):
        launcher.open()
        for line in launcher.describe():
            print(line, flush=True)
        tally = Tally(launcher.workers)
        for job in jobs:
            tally.plan(job.method, done=job.name not in waiting)
        with closing(open_board(tally)) as board:
            for update in launcher.run(left):
                failure = _count(tally, update)
                if failure is not None:
                    board.note(failure)
                if failure is not None and update.ended:
                    failures.append(failure)
                board.show()
    return failures


def _count(tally: Tally, update: Update) -> str | None:
    """Enters an update; the line of a failure, or of the loss of a process."""
    job = update.job
    assert isinstance(job, StudyJob)
    if not update.ended:
        if update.fault is None:
            tally.start(job.method)
            return None
        return f"study {job.name}: {update.fault}; once more"
    outcome = update.result or Outcome("failed", update.fault, 0.0)
    tally.end(job.method, outcome.seconds, outcome.state)
    if outcome.state == "failed":
        return f"study {job.name} failed: {outcome.reason}"
    return f"study {job.name} ended before it was finished" if outcome.state == "interrupted" else None


def _finished(campaign: Campaign, jobs: Sequence[StudyJob]) -> set[str]:
    """The jobs that earlier sessions finished as they are planned now.

    Raises:
        StoreError: a folder holds a study of something else.
    """
    return {job.name for job in jobs if _is_finished(campaign.components, job)}


def _is_finished(components: Components, job: StudyJob) -> bool:
    log = job.folder / FILE_NAME
    if not log.exists():
        return False
    opened, closed = ends_of(log)
    if not opened:
        return False
    mine = _opening(components, job.config)
    check_same_study(opened, mine, log, accepted_parts(job.config))
    planned = all(opened[part] == mine[part] for part in ("budget", "baseline", "final"))
    return planned and closed.get("reason") == "finished" and (job.folder / OVERHEAD).exists()


def _opening(components: Components, config: Config) -> Mapping[str, Any]:
    """What the log of a study begins with, if it is this one."""
    budget = replace(components.plan.budget, trials=config.budget.trials, seconds=config.budget.seconds)
    baseline, final = config.baseline.samples, config.final.seeds
    plan = replace(components.plan, seed=config.seed, budget=budget, baseline=baseline, final=final)
    return {
        **opening(components.space, components.evaluator, plan),
        "searcher": {"name": config.searcher["name"], "options": plain(options_of(config.searcher))},
        **hashing_facts(build_hasher(config.hashing), options_of(config.hashing), cache_policy(config)),
    }


def _report(folder: Path) -> int:
    """Writes and prints it; 0, or 1 if some output of it is missing."""
    from nas.comparison import write_comparison

    try:
        written = write_comparison(folder)
    except NasError as error:  # too little is done yet
        print(f"no report yet: {error}\nfiles: {folder}", file=sys.stderr)
        return 0
    written.show()
    return written.status
