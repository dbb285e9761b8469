"""What a run would do, without doing it: configuration, space, samples, an estimate of the cost."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from omegaconf import OmegaConf

from nas.config import Config, resolved
from nas.evaluation import Evaluation, Fidelity, Stage, Task
from nas.executor import carry_out
from nas.fitting import search_notes
from nas.hash_jobs import hash_of
from nas.lineup import trials_of
from nas.operators import sample
from nas.searcher import declared

if TYPE_CHECKING:
    from nas.architecture import Architecture
    from nas.campaign import Campaign
    from nas.searcher import Searcher
    from nas.session import Components

SAMPLES = 3
PROBE_LIMIT = 30.0  # seconds that a trial evaluation may take
_QUICK = 0.05  # seconds of an evaluation below which the rest of a study costs more
_SHORT = 50  # evaluations of a study that is run for the estimate


def preview(config: Config, components: Components) -> str:
    """The text that `dry_run=true` prints; a few samples are evaluated at the lowest fidelity for it."""
    space = components.space
    rng = np.random.default_rng(config.seed)
    samples = [sample(space, rng) for _ in range(SAMPLES)]
    lines = [
        OmegaConf.to_yaml(OmegaConf.create(resolved(config))).rstrip(),
        "",
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


def _data(components: Components) -> list[str]:
    """The images of an evaluator that has some, as the platform reads them."""
    from nas.training.data import Dataset

    dataset = getattr(components.evaluator, "dataset", None)
    return [dataset.summary()] if isinstance(dataset, Dataset) else []


def preview_comparison(config: Config, campaign: Campaign) -> str:
    """The text that `dry_run=true` prints of a comparison: methods, numbers of studies, their cost."""
    lineup, trials, baseline = campaign.lineup, config.budget.trials, config.baseline.samples
    studies = len(lineup.methods) * len(lineup.seeds)
    return "\n".join(
        [
            OmegaConf.to_yaml(OmegaConf.create(resolved(config))).rstrip(),
            "",
            f"{len(lineup.methods)} methods: {', '.join(lineup.methods)}",
            f"{studies} studies of {trials or 'any number of'} evaluations, seeds {lineup.seeds[0]} to "
            f"{lineup.seeds[-1]}, and {baseline} random architectures",
            *(_cost_of_studies(config, campaign, trials) if trials else ["cost: no estimate without trials"]),
        ]
    )


def preview_protocol(config: Config, variants: Mapping[str, Components]) -> str:
    """The text that `dry_run=true` prints of a study of protocols: what each variant costs."""
    lines = [OmegaConf.to_yaml(OmegaConf.create(resolved(config))).rstrip(), ""]
    total = 0.0
    for name, components in variants.items():
        unit, trials = _seconds(components, config.seed), components.plan.budget.trials or 0
        if unit is None:
            lines.append(f"variant {name}: {trials} evaluations, but no sample of them completed")
            continue
        total += trials * unit
        lines.append(f"variant {name}: {trials} evaluations of {_duration(unit)}")
    return "\n".join([*lines, f"cost: {_duration(total)} of work in all, shared among the workers"])


def _cost_of_studies(config: Config, campaign: Campaign, trials: int) -> list[str]:
    """An estimate from short studies where an evaluation takes no time, else from a few evaluations."""
    unit = _seconds(campaign.components, config.seed)
    if unit is None:
        return ["cost: no sample could be evaluated, so there is no estimate"]
    lineup, baseline = campaign.lineup, unit * config.baseline.samples
    if unit > _QUICK:
        each = sum(trials_of(config, label) or trials for label in lineup.methods)
        work = unit * each * len(lineup.seeds) + baseline
        return [
            f"cost: {_duration(unit)} an evaluation (mean of {SAMPLES} samples, one worker of this machine)",
            f"  {_duration(work)} of work in all, shared among the workers; the methods' own time on top; at "
            "most that for methods that choose fidelities: every trial counts as a full one here",
        ]
    short = replace(config, budget=replace(config.budget, trials=min(trials, _SHORT)))
    long = [label for label in lineup.methods if _trains_supernet(short, label)]
    per_study = {label: _short_study(short, label) * trials for label in lineup.methods if label not in long}
    return [
        f"cost: {_duration(sum(per_study.values()) * len(lineup.seeds) + baseline)} of work in all, shared "
        f"among the workers; by studies of {short.budget.trials} evaluations, one worker of this machine",
        *(f"  {label}: {_duration(seconds)} a study" for label, seconds in per_study.items()),
        *(f"  {label}: not measured; the training of its supernets comes on top" for label in long),
    ]


def _trains_supernet(config: Config, label: str) -> bool:
    """Whether a study of this method, however short, trains for as long as its options say."""
    from nas.jobs import composed, study_job

    study = study_job(config, label, config.compare.first_seed, Path()).config
    return declared(composed(study).searcher).trains_supernet


def _short_study(config: Config, label: str) -> float:
    """Seconds of a trial, the method's own time included."""
    from nas.jobs import study_job

    with TemporaryDirectory() as folder:
        outcome = study_job(config, label, config.compare.first_seed, Path(folder))()
    return outcome.seconds / (config.budget.trials or 1)


def _seconds(components: Components, seed: int) -> float | None:
    """Seconds of this machine for one evaluation at the search's fidelity; None if no sample completes.

    Measured at the lowest fidelity and taken in proportion, within the training's own bound.
    """
    lowest, share, _ = _shares(components)
    rng, seconds = np.random.default_rng(seed), []
    for _ in range(SAMPLES):
        architecture, started = sample(components.space, rng), time.perf_counter()
        if _probe(components, architecture, lowest).ok:
            seconds.append(time.perf_counter() - started)
    bound = getattr(getattr(components.evaluator, "settings", None), "max_seconds", 0.0) or math.inf
    return min(float(np.mean(seconds)) * share, bound) if seconds else None


def _estimate(components: Components, samples: list[Architecture]) -> list[str]:
    """Cost of the planned trials from that of the samples, as lines."""
    lowest, share, full = _shares(components)
    probes = [_probe(components, architecture, lowest) for architecture in samples]
    check = getattr(components.searcher, "check_values", None)
    for probe in probes:
        if probe.ok and check is not None:
            check(probe.values)
    costs = [probe.cost_seconds for probe in probes if probe.ok]
    lines = [f"  sample failed: {probe.reason}" for probe in probes if not probe.ok]
    if not costs:
        return [*lines, "cost: no sample could be evaluated, so there is no estimate"]
    unit = float(np.mean(costs))
    plan = components.plan
    search = 0.0 if plan.budget.trials is None else plan.budget.trials * share * unit
    others = (plan.baseline + plan.final) * full * unit
    at = "" if lowest is None else f" at {lowest.value:g} {lowest.name}"
    return [
        *lines,
        f"cost: {unit:.2f} s an evaluation{at} (mean of {len(costs)} samples, one worker of this machine)",
        f"  search {_duration(search)}, baseline and final {_duration(others)} of work in all, "
        "shared among the workers",
        *_fidelity_bound(components.searcher),
        *_supernet(components.searcher),
        *_time_bound(plan.budget.seconds),
    ]


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


def _fidelity_bound(searcher: Searcher) -> list[str]:
    fidelities = declared(searcher).fidelities
    if not fidelities:
        return []
    listed = ", ".join(f"{fidelity.value:g}" for fidelity in fidelities)
    return [
        f"  search at most that: the searcher chooses among {listed} {fidelities[0].name}, and every trial "
        "counts as a full one here"
    ]


def _supernet(searcher: Searcher) -> list[str]:
    if not declared(searcher).trains_supernet:
        return []
    return ["  the training of the supernet comes on top, and counts in the cost of the search"]


def _time_bound(seconds: float | None) -> list[str]:
    return [] if seconds is None else [f"  the search stage ends after {_duration(seconds)} at the latest"]


def _probe(components: Components, architecture: Architecture, fidelity: Fidelity | None) -> Evaluation:
    limit = min(PROBE_LIMIT, components.plan.time_limit or PROBE_LIMIT)
    task = Task(0, architecture, Stage.SEARCH, fidelity, components.plan.seed, limit)
    return carry_out(components.evaluator, task)


def _duration(seconds: float) -> str:
    from nas.formats import format_duration

    return format_duration(seconds)
