"""One run from its configuration to its report: builds the components, drives the study, writes the files."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.checkpoints import Checkpoints
from nas.config import Config, build, prepare, resolved
from nas.errors import ConfigError, EvaluationError, NasError
from nas.evaluation import Evaluator, Fidelity, Task
from nas.folder import has_trials, run_folder
from nas.operators import sample
from nas.progress import Observer, Progress
from nas.stages import Budget, Plan

if TYPE_CHECKING:
    from nas.cache import Hasher
    from nas.executor import Executor
    from nas.searcher import Searcher
    from nas.space import SearchSpace
    from nas.study import Study

_SAMPLES = 16  # of a space that are tried before it is refused


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

    _check_ranges(config)
    space = _checked(build(SPACES, config.space), config.space, "space", "start", "parse", "fingerprint")
    on_ray = config.executor.get("name") == "ray"
    executor = build(EXECUTORS, config.executor, **({"name": config.name} if on_ray else {}))
    _checked(executor, config.executor, "executor", "capacity", "open", "submit", "wait")
    hasher = build(HASHERS, config.hashing)
    make_searcher = prepare(SEARCHERS, config.searcher, 2, seed=config.seed)
    evaluator = build(EVALUATORS, config.evaluator)  # reads its data, maybe downloads them: after the others
    _checked(evaluator, config.evaluator, "evaluator", "objectives", "fingerprint", "__call__")
    searcher = _checked(
        make_searcher(space, evaluator.objectives), config.searcher, "searcher", "ask", "tell"
    )
    plan = _plan(config, evaluator)
    _check_fit(space, evaluator, plan)
    return Components(space, searcher, evaluator, executor, hasher, plan)


def _check_fit(space: SearchSpace, evaluator: Evaluator, plan: Plan) -> None:
    """Refuses a space none of whose samples fits the evaluator, e.g. because its images are too small.

    An evaluator may have `check(task)`, which raises the reason; that some samples fail is nothing unusual.
    """
    check = getattr(evaluator, "check", None)
    if check is None:
        return
    rng = np.random.default_rng(plan.seed)
    reasons: list[NasError] = []
    for number in range(_SAMPLES):
        try:
            check(Task(number, sample(space, rng), fidelity=plan.search_fidelity))
        except NasError as error:
            reasons.append(error)
        else:
            return
    raise ConfigError(f"space {space.name}: none of {_SAMPLES} samples fits the evaluator; {reasons[0]}")


def _checked(part: Any, section: Mapping[str, Any], kind: str, *needed: str) -> Any:
    """The component itself; raises ConfigError if what a name of one's own gave is none of this kind."""
    if not all(name in dir(part) for name in needed):
        listed = ", ".join(needed)
        got = type(part).__name__
        raise ConfigError(f'{kind} "{section["name"]}": something with {listed} is expected, a {got} came')
    return part


def _check_ranges(config: Config) -> None:
    """What no component checks before it is used."""
    keep, max_mb = config.checkpoints.keep, config.checkpoints.max_mb
    for name, value in (("seed", config.seed), ("checkpoints.keep", keep)):
        if value < 0:
            raise ConfigError(f"{name}: 0 or more is expected, {value} came")
    if max_mb is not None and not 0 < max_mb < math.inf:
        raise ConfigError(f"checkpoints.max_mb: a number above 0 is expected, {max_mb:g} came")


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


def carry_out(config: Config, job: int | None = None) -> int:
    """Runs or previews what the configuration says; the exit status: 0, or 130 after a signal.

    Args:
        config: of the run.
        job: number in a multirun.
    """
    components = compose(config)
    if config.dry_run:
        from nas.preview import preview

        print(preview(config, components))
        return 0
    with run_folder(config, job) as folder:
        return _run(config, components, folder)


def _run(config: Config, components: Components, folder: Path) -> int:
    from nas.signals import stop_on_signals

    study = _study(config, components, folder)
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        print("stopping; once more to stop without a report", file=sys.stderr, flush=True)
        study.stop()

    with stop_on_signals(stop):
        try:
            study.run()
        except EvaluationError:  # of the set-up, found out by trials: they are reported before it is said
            if has_trials(folder):
                _report(folder)
            raise
    _report(folder)
    if stopped:
        print(f"stopped early; the same command with resume={folder} continues")
    return 130 if stopped else 0


def _report(folder: Path) -> None:
    from nas.report import write_report

    print(write_report([folder], folder).text)
    print(f"files: {folder}")


def _study(config: Config, components: Components, folder: Path) -> Study:
    from nas.study import Study

    limit = config.checkpoints.max_mb
    checkpoints = Checkpoints(
        folder / "checkpoints",
        keep=config.checkpoints.keep,
        max_bytes=None if limit is None else int(limit * 1e6),
    )
    return Study(
        components.space,
        components.searcher,
        components.evaluator,
        components.executor,
        directory=folder,
        plan=components.plan,
        hasher=components.hasher,
        observers=_observers(config, components),
        checkpoints=checkpoints,
        config=resolved(config),
        searcher_name=str(config.searcher["name"]),
        searcher_options={key: value for key, value in config.searcher.items() if key != "name"},
    )


def _observers(config: Config, components: Components) -> tuple[Observer, ...]:
    from nas.display import open_display

    observers: list[Observer] = [
        _Opening(components.executor),
        open_display(components.evaluator.objectives[0]),
    ]
    if config.executor["name"] == "ray":
        from cluster.metrics import MetricsObserver

        observers.append(MetricsObserver(config.name))
    return tuple(observers)


class _Opening:
    """Prints where the trials run, once the executor is open."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def observe(self, event: Mapping[str, Any], progress: Progress) -> None:  # noqa: ARG002 - the protocol's
        if event["event"] != "opened":
            return
        for line in self._executor.describe():
            print(line, flush=True)

    def close(self) -> None:
        return


def to_yaml(config: Mapping[str, Any]) -> str:
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(dict(config)))
