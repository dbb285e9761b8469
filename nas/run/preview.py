"""What a run would do, without doing it: configuration, space, samples, an estimate of the cost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from omegaconf import OmegaConf

from nas.evaluation import Evaluation, Fidelity, Stage, Task, carry_out
from nas.report import format_duration
from nas.run.config import Config, resolved
from nas.space import sample
from nas.study import hash_of, search_notes

if TYPE_CHECKING:
    from nas.run.compose import Components
    from nas.space import Architecture

SAMPLES = 3
PROBE_LIMIT = 30.0  # seconds that a trial evaluation may take


def preview(config: Config, components: Components) -> str:
    """The text that `dry_run=true` prints; a few samples are evaluated at the lowest fidelity for it."""
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
    """The head of a preview: the configuration as YAML, and an empty line."""
    return [OmegaConf.to_yaml(OmegaConf.create(resolved(config))).rstrip(), ""]


def _data(components: Components) -> list[str]:
    """The images of an evaluator that has some, as the platform reads them."""
    from nas.training import Dataset

    dataset = components.evaluator.dataset
    return [dataset.summary()] if isinstance(dataset, Dataset) else []


def evaluation_seconds(components: Components, seed: int) -> float | None:
    """Seconds of this machine for one evaluation at the search's fidelity; None if no sample completes.

    Measured at the lowest fidelity and taken in proportion, within the training's own bound.
    """
    lowest, share, _ = _shares(components)
    rng, seconds = np.random.default_rng(seed), []
    for _ in range(SAMPLES):
        architecture, started = sample(components.space, rng), time.perf_counter()
        if _probe(components, architecture, lowest).ok:
            seconds.append(time.perf_counter() - started)
    return min(float(np.mean(seconds)) * share, components.evaluator.max_seconds) if seconds else None


def _estimate(components: Components, samples: list[Architecture]) -> list[str]:
    """Cost of the planned trials from that of the samples, as lines."""
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
    """What the hasher of a run takes and where, as lines; none without one."""
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
    """The lowest fidelity, and how many times its cost a search trial and a full evaluation have."""
    limits, searched = components.evaluator.fidelity_range, components.plan.search_fidelity
    if limits is None:
        return None, 1.0, 1.0
    name, low, full = limits
    return Fidelity(name, low), (full if searched is None else searched.value) / low, full / low


def _probe(components: Components, architecture: Architecture, fidelity: Fidelity | None) -> Evaluation:
    limit = min(PROBE_LIMIT, components.plan.time_limit or PROBE_LIMIT)
    task = Task(0, architecture, Stage.SEARCH, fidelity, components.plan.seed, limit)
    return carry_out(components.evaluator, task)
