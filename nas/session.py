"""One run from its configuration to its report: builds the components, drives the study, writes the files."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.cache_policy import CachePolicy
from nas.checkpoints import Checkpoints
from nas.config import Config, build, resolved
from nas.errors import ConfigError, EvaluationError
from nas.evaluation import Evaluator
from nas.fitting import (
    check_fit,
    check_images,
    check_values,
    fidelity_range,
    search_fidelity,
    uninformed_search,
)
from nas.folder import has_trials, run_folder
from nas.progress import Observer, Progress
from nas.stages import Budget, Plan

if TYPE_CHECKING:
    from nas.cache import Hasher
    from nas.executor import Executor
    from nas.launcher import Launcher
    from nas.searcher import Searcher
    from nas.space import SearchSpace
    from nas.study import Study


@dataclass(frozen=True, slots=True)
class Components:
    """What a configuration names, built."""

    space: SearchSpace
    searcher: Searcher
    evaluator: Evaluator
    executor: Executor
    hasher: Hasher | None
    plan: Plan
    cache: CachePolicy = field(default_factory=CachePolicy)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is searched and how it is judged; the same for all studies of a comparison."""

    space: SearchSpace
    evaluator: Evaluator


def compose(config: Config, problem: Problem | None = None) -> Components:
    """Builds all components; nothing is started or written.

    Args:
        config: of the run.
        problem: space and evaluator of these sections, where they are built already.

    Raises:
        NasError: one line for the first thing that is unknown, missing or out of range.
    """
    from algorithms.wrapping import prepare_searcher
    from cluster import EXECUTORS
    from nas.training import EVALUATORS

    _check_ranges(config)
    space = problem.space if problem else build_space(config.space)
    on_ray = config.executor.get("name") == "ray"
    executor = build(EXECUTORS, config.executor, **({"name": config.name} if on_ray else {}))
    _checked(executor, config.executor, "executor", "capacity", "open", "submit", "wait")
    hasher = build_hasher(config.hashing)  # refuses its options before data are read
    cache = cache_policy(config)
    make_searcher = prepare_searcher(_with_proxy(config), seed=config.seed)
    # reads its data, maybe downloads them: after the others
    evaluator = problem.evaluator if problem else build(EVALUATORS, config.evaluator)
    _checked(evaluator, config.evaluator, "evaluator", "objectives", "fingerprint", "__call__")
    plan = _plan(config, evaluator)
    searcher = make_searcher(space, evaluator.objectives, fidelity_range(evaluator, plan))
    check_fit(space, evaluator, plan, getattr(searcher, "fidelities", ()))
    check_values(searcher, evaluator, plan)
    check_images(searcher, evaluator)
    return Components(space, searcher, evaluator, executor, for_data_of(evaluator, hasher), plan, cache)


def _with_proxy(config: Config) -> Mapping[str, Any]:
    """The searcher's section, with the space that it relaxes in place of that space's options."""
    proxy = config.searcher.get("proxy")
    if proxy is None:
        return config.searcher
    if not isinstance(proxy, Mapping):
        raise ConfigError(
            "searcher.proxy: options of the space in braces are expected, e.g. {channels: 16}; "
            f"{proxy!r} came"
        )
    return {**config.searcher, "proxy": build_space({**config.space, **proxy})}


def build_space(section: Mapping[str, Any]) -> SearchSpace:
    """The space of a section; raises NasError in one line."""
    from search_spaces import SPACES

    return _checked(build(SPACES, section), section, "space", "start", "parse", "fingerprint")


def cache_policy(config: Config) -> CachePolicy:
    """How the cache answers; raises ConfigError in one line."""
    return CachePolicy(**asdict(config.cache))


def build_hasher(section: Mapping[str, Any]) -> Hasher | None:
    """The hasher of a section; raises NasError in one line."""
    from hashing import HASHERS

    hasher = build(HASHERS, section)
    return None if hasher is None else _checked(hasher, section, "hashing", "name", "in_worker", "hash")


def for_data_of(evaluator: Evaluator, hasher: Hasher | None) -> Hasher | None:
    """The hasher for the evaluator's data, if there are such and it has `for_data(shape, classes)`."""
    dataset, for_data = getattr(evaluator, "dataset", None), getattr(hasher, "for_data", None)
    if for_data is None or not hasattr(dataset, "input_shape"):
        return hasher
    return for_data(tuple(dataset.input_shape), dataset.classes)  # type: ignore[union-attr]


def build_evaluator(section: Mapping[str, Any]) -> Evaluator:
    """The evaluator of a section; raises NasError in one line."""
    from nas.training import EVALUATORS

    evaluator = build(EVALUATORS, section)
    return _checked(evaluator, section, "evaluator", "objectives", "fingerprint", "__call__")


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
        search_fidelity=search_fidelity(config.search.fidelity, evaluator),
        time_limit=config.trial.time_limit,
    )


def carry_out(config: Config, job: int | None = None) -> int:
    """Runs or previews what the configuration says; the exit status.

    0, 1 if an output of the report is missing, 130 after a signal.

    Args:
        config: of the run.
        job: number in a multirun.
    """
    if config.compare.searchers:
        from nas.campaign import carry_out_campaign

        return carry_out_campaign(config, job)
    if config.protocol.variants:
        from nas.protocol.running import carry_out_protocol

        return carry_out_protocol(config, job)
    if config.audit.exact is not None:
        from nas.audit.running import carry_out_audit

        return carry_out_audit(config, job)
    components = compose(config)
    if config.dry_run:
        from nas.preview import preview

        print(preview(config, components))
        return 0
    with run_folder(config, job) as folder:
        return _run(config, components, folder)


def _run(config: Config, components: Components, folder: Path) -> int:
    from nas.signals import stop_on_signals

    study = make_study(config, components, folder, make_observers(config, components))
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        print("stopping; once more to stop without a report", file=sys.stderr, flush=True)
        study.stop()

    for line in uninformed_search(str(config.searcher["name"]), components.searcher, config.budget.trials):
        print(f"note: {line}", file=sys.stderr, flush=True)
    with stop_on_signals(stop):
        try:
            study.run()
        except EvaluationError:  # of the set-up, found out by trials: they are reported before it is said
            if has_trials(folder):
                _report(folder)
            raise
    status = _report(folder)
    if stopped:
        print(f"stopped early; the same command with resume={folder} continues")
    return 130 if stopped else status


def _report(folder: Path) -> int:
    """Writes and prints it; 0, or 1 if some output of it is missing."""
    from nas.report import write_report

    report = write_report([folder], folder)
    report.show()
    return report.status


def make_study(
    config: Config, components: Components, folder: Path, observers: Sequence[Observer] = ()
) -> Study:
    """The study of these components, to be recorded in the folder."""
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
        cache=components.cache,
        observers=observers,
        checkpoints=checkpoints,
        config=resolved(config),
        searcher_name=str(config.searcher["name"]),
        searcher_options=options_of(config.searcher),
        hasher_options=options_of(config.hashing),
    )


def options_of(section: Mapping[str, Any]) -> dict[str, Any]:
    """What a section holds besides the name."""
    return {key: value for key, value in section.items() if key != "name"}


def make_launcher(config: Config) -> Launcher:
    """Where the studies of a comparison run."""
    from cluster import LAUNCHERS

    section = config.compare
    options: dict[str, Any] = {"name": section.launcher}
    if section.launcher == "ray":
        names = ("workers", "cpus_per_study", "gpus_per_study", "address", "dashboard")
        options |= {name: getattr(section, name) for name in names}
    return build(LAUNCHERS, options)


def make_observers(config: Config, components: Components) -> tuple[Observer, ...]:
    """What shows a run while it goes on."""
    from nas.display import open_display

    display = open_display(components.evaluator.objectives[0])
    observers: list[Observer] = [_Opening(components.executor), display]
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
