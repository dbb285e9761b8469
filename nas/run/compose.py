"""Builds and checks the components that a configuration names, and previews a run.

The preview shows configuration, space, samples and an estimate of the cost.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import OmegaConf

from nas.errors import ConfigError, NasError, refusal
from nas.evaluation import Evaluation, Evaluator, Executor, Fidelity, Stage, Task, carry_out
from nas.registry import Registry, build
from nas.report import format_duration
from nas.run.config import Config, resolved
from nas.space import SearchSpace, sample
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
    hash_of,
    search_fidelity,
    search_notes,
)

if TYPE_CHECKING:
    from nas.evaluation import Outline
    from nas.run.jobs import Launcher
    from nas.space import Architecture
    from nas.study import Searcher


_built: dict[str, Problem] = {}  # the last one of this process, for all its jobs


@dataclass(frozen=True, slots=True)
class Components:
    """The components of a run."""

    space: SearchSpace
    searcher: Searcher
    evaluator: Evaluator
    executor: Executor
    hasher: Hasher | None
    plan: Plan
    cache: CachePolicy = field(default_factory=CachePolicy)


@dataclass(frozen=True, slots=True)
class Problem:
    """The space and the evaluator, which are the same for all studies of a comparison."""

    space: SearchSpace
    evaluator: Evaluator


def check_options(config: Config, problem: Problem | None = None) -> Callable[[], Components]:
    """Checks every value that can be checked without data and without heavy imports.

    Args:
        config: of the run.
        problem: space and evaluator of these sections, if they are built already.

    Returns:
        A function that builds the components: it may read or download data, and raises NasError too.

    Raises:
        NasError: one line for the first thing that is unknown, missing or out of range.
    """
    from nas.algorithms.shared.wrapping import prepare_searcher
    from nas.evaluation import EVALUATORS

    _check_ranges(config)
    outline = problem.evaluator if problem else EVALUATORS.outline(config.evaluator)
    _plan(config, outline)  # checks its numbers before anything is built
    executor, hasher = build_executor(config), build_hasher(config.hashing)
    cache = cache_policy(config)
    space = problem.space if problem else build_space(config.space)
    make_searcher = prepare_searcher(_with_proxy(config), seed=config.seed)

    def fitting_searcher(evaluator: Evaluator | Outline) -> tuple[Searcher, Plan]:
        """The searcher, its fidelities and limits checked against those of the evaluator."""
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
    """The searcher's section, with the space that it relaxes instead of that space's options."""
    proxy = config.searcher.get("proxy")
    if proxy is None:
        return config.searcher
    if not isinstance(proxy, Mapping):
        expected = "options of the space in braces"
        raise ConfigError(refusal("searcher.proxy", expected, repr(proxy), "write e.g. {channels: 16}"))
    return {**config.searcher, "proxy": build_space({**config.space, **proxy})}


def build_space(section: Mapping[str, Any]) -> SearchSpace:
    """The space of a section; raises NasError in one line."""
    from nas.search_spaces import SPACES

    return _part(SearchSpace, SPACES, section)


def cache_policy(config: Config) -> CachePolicy:
    """The policy of the cache; raises ConfigError in one line."""
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
    """The component that a section names; raises ConfigError if the user's name gives another kind."""
    part = build(registry, section, **fixed)
    if part is not None or kind is not Hasher:
        check_part(kind, part, f'{registry.kind} "{section["name"]}"')
    return part


def _check_ranges(config: Config) -> None:
    """Checks values that no component checks before it is used."""
    keep, max_mb = config.checkpoints.keep, config.checkpoints.max_mb
    for name, value in (("seed", config.seed), ("checkpoints.keep", keep)):
        if value < 0:
            raise ConfigError(refusal(name, "0 or more", value, "leave it out for the default"))
    if max_mb is not None and not 0 < max_mb < math.inf:
        got, remedy = f"{max_mb:g}", "leave it out for the default, or set null for no bound"
        raise ConfigError(refusal("checkpoints.max_mb", "a number above 0", got, remedy))


def _plan(config: Config, evaluator: Evaluator | Outline | None) -> Plan:
    """The plan; without an evaluator it has no fidelity of the search."""
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
    """The components of one of several studies; space and evaluator of equal sections are reused."""
    key = repr((config.space, config.evaluator))
    components = compose(config, _built.get(key))
    forget()
    _built[key] = Problem(components.space, components.evaluator)
    return components


def forget() -> None:
    """Drops the space and the evaluator that this process keeps."""
    _built.clear()


@contextmanager
def mistakes_at(place: str) -> Iterator[None]:
    """Within, messages of errors begin with the place in the configuration."""
    try:
        yield
    except NasError as error:
        raise type(error)(f"{place}: {error}") from error


def options_of(section: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a section: all keys but the name."""
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


SAMPLES = 3
PROBE_LIMIT = 30.0  # seconds that a trial evaluation may take


def preview(config: Config, components: Components) -> str:
    """The text that `dry_run=true` prints; it evaluates a few samples at the lowest fidelity."""
    space = components.space
    rng = np.random.default_rng(config.seed)
    samples = [sample(space, rng) for _ in range(SAMPLES)]
    lines = [
        *composition_lines(config),
        f"space {space.name}: {space.size_text()}",
        *(f"  sample: {architecture.text}" for architecture in samples),
        *_data(components),
        "",
        *_hashing(components, samples),
        *_estimate(components, samples),
        *search_notes(
            str(config.searcher.get("name", "")), components.searcher, space, components.plan.budget.trials
        ),
    ]
    return "\n".join(lines)


def composition_lines(config: Config) -> list[str]:
    """The beginning of a preview: the configuration as YAML, and an empty line."""
    return [OmegaConf.to_yaml(OmegaConf.create(resolved(config))).rstrip(), ""]


def _data(components: Components) -> list[str]:
    """A summary of the evaluator's images, if it has any."""
    from nas.training import Dataset

    dataset = components.evaluator.dataset
    return [dataset.summary()] if isinstance(dataset, Dataset) else []


def evaluation_seconds(components: Components, seed: int) -> float | None:
    """Seconds of this machine for one evaluation at the search's fidelity; None if no sample completes.

    It is measured at the lowest fidelity and scaled, up to the evaluator's `max_seconds`.
    """
    lowest, share, _ = _shares(components)
    rng, seconds = np.random.default_rng(seed), []
    for _ in range(SAMPLES):
        architecture, started = sample(components.space, rng), time.perf_counter()
        if _probe(components, architecture, lowest).ok:
            seconds.append(time.perf_counter() - started)
    return min(float(np.mean(seconds)) * share, components.evaluator.max_seconds) if seconds else None


def _estimate(components: Components, samples: list[Architecture]) -> list[str]:
    """Lines on the cost of the planned trials, extrapolated from the samples."""
    lowest, share, full = _shares(components)
    probes = [_probe(components, architecture, lowest) for architecture in samples]
    for probe in probes:
        if probe.ok:
            components.searcher.check_values(probe.values)
    costs = [probe.cost_seconds for probe in probes if probe.ok]
    lines = [f"  sample failed: {probe.reason}" for probe in probes if not probe.ok]
    if not costs:
        return [*lines, "cost: no sample could be evaluated, so there is no estimate"]
    unit = float(np.mean(costs))
    plan = components.plan
    search = 0.0 if plan.budget.trials is None else plan.budget.trials * share * unit
    others = (plan.baseline + plan.final) * full * unit
    at = "" if lowest is None else f" at {lowest.value:g} {lowest.name}"
    lines += [
        f"cost: {unit:.2f} s an evaluation{at} (mean of {len(costs)} samples, one worker of this machine)",
        f"  search {format_duration(search)}, baseline and final {format_duration(others)} of work in all, "
        "shared among the workers",
    ]
    needs, seconds = components.searcher, plan.budget.seconds
    if needs.fidelities:
        listed = ", ".join(f"{fidelity.value:g}" for fidelity in needs.fidelities)
        lines.append(
            f"  search at most that: the searcher chooses among {listed} {needs.fidelities[0].name}, and "
            "every trial counts as a full one here"
        )
    if needs.trains_supernet:
        lines.append("  the training of the supernet comes on top, and counts in the cost of the search")
    if seconds is not None:
        lines.append(f"  the search stage ends after {format_duration(seconds)} at the latest")
    return lines


def _hashing(components: Components, samples: list[Architecture]) -> list[str]:
    """Lines on the time of the hasher and where it runs; none without one."""
    hasher = components.hasher
    if hasher is None:
        return []
    started = time.perf_counter()
    hashes = [hash_of(hasher, architecture) for architecture in samples]
    seconds = (time.perf_counter() - started) / len(samples)
    where = "by the workers" if hasher.in_worker else "by the driver"
    return [
        f"hashing {hasher.name}: {1000 * seconds:.3g} ms a candidate, {where}",
        *(f"  sample without a hash: {hashed.reason}" for hashed in hashes if hashed.digest is None),
    ]


def _shares(components: Components) -> tuple[Fidelity | None, float, float]:
    """The lowest fidelity, and as multiples of its cost that of a search trial and of a full evaluation."""
    limits, searched = components.evaluator.fidelity_range, components.plan.search_fidelity
    if limits is None:
        return None, 1.0, 1.0
    name, low, full = limits
    return Fidelity(name, low), (full if searched is None else searched.value) / low, full / low


def _probe(components: Components, architecture: Architecture, fidelity: Fidelity | None) -> Evaluation:
    limit = min(PROBE_LIMIT, components.plan.time_limit or PROBE_LIMIT)
    task = Task(0, architecture, Stage.SEARCH, fidelity, components.plan.seed, limit)
    return carry_out(components.evaluator, task)
