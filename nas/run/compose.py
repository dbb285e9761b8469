"""Brings the rooms together: the components that a configuration names, built and checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from nas.errors import ConfigError, NasError
from nas.evaluation import Evaluator, Executor
from nas.registry import Registry, build
from nas.run.config import Config
from nas.space import SearchSpace
from nas.study import (
    Budget,
    CachePolicy,
    Hasher,
    Plan,
    check_levels,
    check_part,
    check_parts,
    check_values,
    fidelity_range,
    for_data_of,
    search_fidelity,
)

if TYPE_CHECKING:
    from nas.evaluation import Outline
    from nas.run.jobs import Launcher
    from nas.study import Searcher


_built: dict[str, Problem] = {}  # the last one of this process; a worker has the same for all its jobs


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


def check_options(config: Config, problem: Problem | None = None) -> Callable[[], Components]:
    """Checks every value that can be checked without data; loads no heavy library for it.

    Args:
        config: of the run.
        problem: space and evaluator of these sections, where they are built already.

    Returns:
        What builds the rest: it reads the evaluator's data, maybe downloads them, and raises NasError too.

    Raises:
        NasError: one line for the first thing that is unknown, missing or out of range.
    """
    from nas.algorithms.shared.wrapping import prepare_searcher
    from nas.evaluation import EVALUATORS

    _check_ranges(config)
    outline = problem.evaluator if problem else EVALUATORS.outline(config.evaluator)
    _plan(config, outline)  # its numbers, before anything is built
    executor, hasher = build_executor(config), build_hasher(config.hashing)
    cache = cache_policy(config)
    space = problem.space if problem else build_space(config.space)
    make_searcher = prepare_searcher(_with_proxy(config), seed=config.seed)

    def fitting_searcher(evaluator: Evaluator | Outline) -> tuple[Searcher, Plan]:
        """Fidelities and limits of the searcher are checked against what the evaluator has."""
        plan = _plan(config, evaluator)
        searcher = make_searcher(space, evaluator.objectives, fidelity_range(evaluator, plan))
        check_levels(evaluator, plan, searcher.fidelities)
        check_values(searcher, evaluator, plan)
        return searcher, plan

    def components() -> Components:
        evaluator = problem.evaluator if problem else build_evaluator(config.evaluator)
        searcher, plan = fitting_searcher(evaluator)
        check_parts(space, searcher, evaluator, plan)
        return Components(space, searcher, evaluator, executor, for_data_of(evaluator, hasher), plan, cache)

    if problem is None and outline is not None:
        fitting_searcher(outline)
    return components


def compose(config: Config, problem: Problem | None = None) -> Components:
    """Builds all components, as `check_options` does; nothing is started or written."""
    return check_options(config, problem)()


def build_executor(config: Config) -> Executor:
    """The executor of a run; raises NasError in one line."""
    from nas.cluster import EXECUTORS

    on_ray = config.executor.get("name") == "ray"
    return _part(Executor, EXECUTORS, config.executor, **({"name": config.name} if on_ray else {}))


def _with_proxy(config: Config) -> Mapping[str, Any]:
    """The searcher's section, with the space that it relaxes in place of that space's options."""
    proxy = config.searcher.get("proxy")
    if proxy is None:
        return config.searcher
    if not isinstance(proxy, Mapping):
        raise ConfigError(
            f"searcher.proxy: expected options of the space in braces, got {proxy!r}; write e.g. "
            "{channels: 16}"
        )
    return {**config.searcher, "proxy": build_space({**config.space, **proxy})}


def build_space(section: Mapping[str, Any]) -> SearchSpace:
    """The space of a section; raises NasError in one line."""
    from nas.search_spaces import SPACES

    return _part(SearchSpace, SPACES, section)


def cache_policy(config: Config) -> CachePolicy:
    """How the cache answers; raises ConfigError in one line."""
    return CachePolicy(**asdict(config.cache))


def build_hasher(section: Mapping[str, Any]) -> Hasher | None:
    """The hasher of a section; raises NasError in one line."""
    from nas.hashing import HASHERS

    return _part(Hasher, HASHERS, section)


def build_evaluator(section: Mapping[str, Any]) -> Evaluator:
    """The evaluator of a section; raises NasError in one line."""
    from nas.evaluation import EVALUATORS

    return _part(Evaluator, EVALUATORS, section)


def _part(kind: type, registry: Registry, section: Mapping[str, Any], **fixed: Any) -> Any:
    """The component that a section names; raises ConfigError if a name of one's own gives another kind."""
    part = build(registry, section, **fixed)
    if part is not None or kind is not Hasher:
        check_part(kind, part, f'{registry.kind} "{section["name"]}"')
    return part


def _check_ranges(config: Config) -> None:
    """What no component checks before it is used."""
    keep, max_mb = config.checkpoints.keep, config.checkpoints.max_mb
    for name, value in (("seed", config.seed), ("checkpoints.keep", keep)):
        if value < 0:
            raise ConfigError(f"{name}: expected 0 or more, got {value}; change it")
    if max_mb is not None and not 0 < max_mb < math.inf:
        raise ConfigError(
            f"checkpoints.max_mb: expected a number above 0, got {max_mb:g}; change it, or null for no bound"
        )


def _plan(config: Config, evaluator: Evaluator | Outline | None) -> Plan:
    """The plan; without an evaluator the search's fidelity is left open."""
    fidelity = None if evaluator is None else search_fidelity(config.search.fidelity, evaluator)
    return Plan(
        seed=config.seed,
        budget=Budget(config.budget.trials, config.budget.seconds),
        baseline=config.baseline.samples,
        final=config.final.seeds,
        search_fidelity=fidelity,
        time_limit=config.trial.time_limit,
    )


def composed(config: Config) -> Components:
    """The components of one of several studies; space and evaluator are those of the one before, if equal."""
    key = repr((config.space, config.evaluator))
    components = compose(config, _built.get(key))
    forget()
    _built[key] = Problem(components.space, components.evaluator)
    return components


def forget() -> None:
    """Lets go of the space and the evaluator that this process keeps."""
    _built.clear()


@contextmanager
def mistakes_at(place: str) -> Iterator[None]:
    """Names the place in the configuration before each mistake that is found meanwhile."""
    try:
        yield
    except NasError as error:
        raise type(error)(f"{place}: {error}") from error


def options_of(section: Mapping[str, Any]) -> dict[str, Any]:
    """What a section holds besides the name."""
    return {key: value for key, value in section.items() if key != "name"}


def make_launcher(config: Config) -> Launcher:
    """Where the studies of a comparison run."""
    from nas.cluster import LAUNCHERS

    section = config.compare
    options: dict[str, Any] = {"name": section.launcher}
    if section.launcher == "ray":
        names = ("workers", "cpus_per_study", "gpus_per_study", "address", "dashboard")
        options |= {name: getattr(section, name) for name in names}
    return build(LAUNCHERS, options)
