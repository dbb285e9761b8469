"""What a run would do, without doing it: configuration, space, samples, an estimate of the cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from omegaconf import OmegaConf

from nas.config import Config, resolved
from nas.evaluation import Evaluation, Fidelity, Stage, Task
from nas.executor import carry_out
from nas.operators import sample

if TYPE_CHECKING:
    from nas.architecture import Architecture
    from nas.session import Components

SAMPLES = 3
PROBE_LIMIT = 30.0  # seconds that a trial evaluation may take


def preview(config: Config, components: Components) -> str:
    """The text that `dry_run=true` prints; a few samples are evaluated at the lowest fidelity for it."""
    space = components.space
    rng = np.random.default_rng(config.seed)
    samples = [sample(space, rng) for _ in range(SAMPLES)]
    size = space.size()
    lines = [
        OmegaConf.to_yaml(OmegaConf.create(resolved(config))).rstrip(),
        "",
        f"space {space.name}: {'unbounded' if size is None else f'{size:,} derivations'}",
        *(f"  sample: {architecture.text}" for architecture in samples),
        "",
        *_estimate(components, samples),
    ]
    return "\n".join(lines)


def _estimate(components: Components, samples: list[Architecture]) -> list[str]:
    """Cost of the planned trials from that of the samples, as lines."""
    fidelity_range = components.evaluator.fidelity_range
    lowest = None if fidelity_range is None else Fidelity(fidelity_range[0], fidelity_range[1])
    probes = [_probe(components, architecture, lowest) for architecture in samples]
    costs = [probe.cost_seconds for probe in probes if probe.ok]
    lines = [f"  sample failed: {probe.reason}" for probe in probes if not probe.ok]
    if not costs:
        return [*lines, "cost: no sample could be evaluated, so there is no estimate"]
    unit = float(np.mean(costs))
    plan = components.plan
    full = 1.0 if fidelity_range is None else fidelity_range[2] / fidelity_range[1]
    share = (
        full if plan.search_fidelity is None or lowest is None else plan.search_fidelity.value / lowest.value
    )
    search = 0.0 if plan.budget.trials is None else plan.budget.trials * share * unit
    others = (plan.baseline + plan.final) * full * unit
    at = "" if lowest is None else f" at {lowest.value:g} {lowest.name}"
    return [
        *lines,
        f"cost: {unit:.2f} s an evaluation{at} (mean of {len(costs)} samples, one worker of this machine)",
        f"  search {_duration(search)}, baseline and final {_duration(others)} of work in all, "
        "shared among the workers",
        *_time_bound(plan.budget.seconds),
    ]


def _time_bound(seconds: float | None) -> list[str]:
    return [] if seconds is None else [f"  the search stage ends after {_duration(seconds)} at the latest"]


def _probe(components: Components, architecture: Architecture, fidelity: Fidelity | None) -> Evaluation:
    limit = min(PROBE_LIMIT, components.plan.time_limit or PROBE_LIMIT)
    task = Task(0, architecture, Stage.SEARCH, fidelity, components.plan.seed, limit)
    return carry_out(components.evaluator, task)


def _duration(seconds: float) -> str:
    from nas.display import format_duration

    return format_duration(seconds)
