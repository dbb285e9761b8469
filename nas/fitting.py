"""Whether the parts of a run fit one another: space and evaluator, fidelities and their range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nas.errors import ConfigError, NasError
from nas.evaluation import Evaluator, Fidelity, Task
from nas.operators import sample
from nas.stages import Plan

if TYPE_CHECKING:
    from nas.space import SearchSpace

_SAMPLES = 16  # of a space that are tried before it is refused


def check_fit(space: SearchSpace, evaluator: Evaluator, plan: Plan, fidelities: Sequence[Fidelity]) -> None:
    """Refuses a space none of whose samples fits the evaluator, e.g. because its images are too small.

    An evaluator may have `check(task)`, which raises the reason; that some samples fail is nothing unusual.
    A searcher may have `fidelities`, those it asks for; each must be one that the evaluator has.
    """
    check = getattr(evaluator, "check", None)
    if check is None:
        return
    rng = np.random.default_rng(plan.seed)
    reasons: list[NasError] = []
    for number in range(_SAMPLES):
        architecture = sample(space, rng)
        try:
            check(Task(number, architecture, fidelity=plan.search_fidelity))
        except NasError as error:
            reasons.append(error)
            continue
        for fidelity in fidelities:
            try:
                check(Task(number, architecture, fidelity=fidelity))
            except NasError as error:
                raise ConfigError(f"searcher: expected fidelities that the evaluator has; {error}") from None
        return
    raise ConfigError(f"space {space.name}: none of {_SAMPLES} samples fits the evaluator; {reasons[0]}")


def fidelity_range(evaluator: Evaluator, plan: Plan) -> tuple[str, float, float] | None:
    """What a searcher that chooses fidelities chooses from: up to the one of the search, if that is set."""
    if evaluator.fidelity_range is None or plan.search_fidelity is None:
        return evaluator.fidelity_range
    name, low, _ = evaluator.fidelity_range
    return name, low, plan.search_fidelity.value


def search_fidelity(value: float | None, evaluator: Evaluator) -> Fidelity | None:
    """The search's fidelity, checked against the evaluator's range; None for the full one."""
    if value is None:
        return None
    if evaluator.fidelity_range is None:
        raise ConfigError(f"search.fidelity: null is expected, the evaluator has no fidelity; {value} came")
    name, low, full = evaluator.fidelity_range
    if not low <= value <= full:
        raise ConfigError(f"search.fidelity: {low:g} to {full:g} {name} are expected, {value:g} came")
    return Fidelity(name, value)
