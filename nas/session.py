"""One run from its configuration to its report: builds the components, drives the study, writes the files."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.config import Config, build, resolved
from nas.errors import ConfigError
from nas.evaluation import Evaluator, Fidelity
from nas.progress import Observer, Progress
from nas.stages import Budget, Plan

if TYPE_CHECKING:
    from nas.cache import Hasher
    from nas.executor import Executor
    from nas.searcher import Searcher
    from nas.space import SearchSpace


@dataclass(frozen=True, slots=True)
class Components:
    """What a configuration names, built."""

    space: SearchSpace
    searcher: Searcher
    evaluator: Evaluator
    executor: Executor
    hasher: Hasher | None
    plan: Plan


def compose(config: Config) -> Components:
    """Builds all components; nothing is started or written.

    Raises:
        NasError: one line for the first thing that is unknown, missing or out of range.
    """
    from algorithms import SEARCHERS
    from cluster import EXECUTORS
    from hashing import HASHERS
    from nas.training import EVALUATORS
    from search_spaces import SPACES

    space = build(SPACES, config.space)
    evaluator = build(EVALUATORS, config.evaluator)
    searcher = build(SEARCHERS, config.searcher, space, evaluator.objectives, seed=config.seed)
    on_ray = config.executor.get("name") == "ray"
    executor = build(EXECUTORS, config.executor, **({"name": config.name} if on_ray else {}))
    hasher = build(HASHERS, config.hashing)
    return Components(space, searcher, evaluator, executor, hasher, _plan(config, evaluator))


def _plan(config: Config, evaluator: Evaluator) -> Plan:
    return Plan(
        seed=config.seed,
        budget=Budget(config.budget.trials, config.budget.seconds),
        baseline=config.baseline.samples,
        final=config.final.seeds,
        search_fidelity=_fidelity(config.search.fidelity, evaluator),
        time_limit=config.trial.time_limit,
    )


def _fidelity(value: float | None, evaluator: Evaluator) -> Fidelity | None:
    """The search's fidelity, checked against the evaluator's range; None for the full one."""
    if value is None:
        return None
    if evaluator.fidelity_range is None:
        raise ConfigError(f"search.fidelity: null is expected, the evaluator has no fidelity; {value} came")
    name, low, full = evaluator.fidelity_range
    if not low <= value <= full:
        raise ConfigError(f"search.fidelity: {low:g} to {full:g} {name} are expected, {value:g} came")
    return Fidelity(name, value)


def carry_out(config: Config, directory: Path) -> int:
    """Runs or previews what the configuration says; the exit status: 0, or 130 after a signal."""
    components = compose(config)
    if config.dry_run:
        from nas.preview import preview

        print(preview(config, components))
        return 0
    created = _claim(directory)
    try:
        return _run(config, components, directory)
    finally:
        if created and not (directory / "events.jsonl").exists():
            shutil.rmtree(directory, ignore_errors=True)  # stopped before anything happened: leave no trace


def _claim(directory: Path) -> bool:
    """Makes the folder and checks that it can be written to; whether it is new."""
    created = not directory.exists()
    probe = directory / ".writable"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"run.dir: a writable folder is expected, {directory}: {reason}") from None
    return created


def _run(config: Config, components: Components, directory: Path) -> int:
    from nas.report import write_report

    from nas.checkpoints import Checkpoints
    from nas.signals import stop_on_signals
    from nas.study import Study

    limit = config.checkpoints.max_mb
    study = Study(
        components.space,
        components.searcher,
        components.evaluator,
        components.executor,
        directory=directory,
        plan=components.plan,
        hasher=components.hasher,
        observers=_observers(config, components),
        checkpoints=Checkpoints(
            directory / "checkpoints",
            keep=config.checkpoints.keep,
            max_bytes=None if limit is None else int(limit * 1e6),
        ),
        config=resolved(config),
        searcher_name=str(config.searcher["name"]),
        searcher_options={key: value for key, value in config.searcher.items() if key != "name"},
    )
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        print("stopping; once more to stop without a report", file=sys.stderr, flush=True)
        study.stop()

    with stop_on_signals(stop):
        study.run()
    _write_config(config, directory)
    report = write_report([directory], directory)
    print(report.text)
    print(f"files: {directory}")
    if stopped:
        print(f"stopped early; the same command with resume={directory} continues")
    return 130 if stopped else 0


def _observers(config: Config, components: Components) -> tuple[Observer, ...]:
    from nas.display import open_display

    observers: list[Observer] = [
        _Announcement(components.executor),
        open_display(components.evaluator.objectives[0]),
    ]
    if config.executor["name"] == "ray":
        from cluster.metrics import MetricsObserver

        observers.append(MetricsObserver(config.name))
    return tuple(observers)


class _Announcement:
    """Prints where the trials run, once the executor is open."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def observe(self, event: Mapping[str, Any], progress: Progress) -> None:  # noqa: ARG002 - the protocol's
        if event["event"] == "opened":
            for line in self._executor.describe():
                print(line, flush=True)

    def close(self) -> None:
        return


def _write_config(config: Config, directory: Path) -> None:
    from omegaconf import OmegaConf

    text = OmegaConf.to_yaml(OmegaConf.create(asdict(config)))
    (directory / "config.yaml").write_text(text, encoding="utf-8")
