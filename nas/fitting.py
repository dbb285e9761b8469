"""Whether the parts of a run fit one another: space and evaluator, fidelities and their range, values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nas.errors import ConfigError, NasError
from nas.evaluation import Evaluator, Fidelity, Task
from nas.operators import sample
from nas.searcher import Searcher
from nas.stages import Plan

if TYPE_CHECKING:
    from nas.space import SearchSpace
    from nas.training.outlines import Outline

_SAMPLES = 16  # of a space that are tried before it is refused


def check_fit(space: SearchSpace, evaluator: Evaluator, plan: Plan, fidelities: Sequence[Fidelity]) -> None:
    """Refuses a space none of whose samples fits the evaluator, e.g. because its images are too small.

    An evaluator may have `check(task)`, which raises the reason; that some samples fail is nothing unusual.
    A searcher may have `fidelities`, those it asks for; each must be one that it takes.
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


def check_images(searcher: Searcher, evaluator: Evaluator) -> None:
    """Refuses a searcher that trains on the evaluator's images where there are none."""
    if getattr(searcher, "needs_images", False) and getattr(evaluator, "dataset", None) is None:
        name, got = getattr(searcher, "name", ""), type(evaluator).__name__
        raise ConfigError(
            f'searcher "{name}": expected an evaluator with images to train the supernet on; got {got}; give '
            "searcher.data={dataset: digits} or other images"
        )


def check_values(searcher: Searcher, evaluator: Evaluator | Outline, plan: Plan) -> None:
    """Refuses a searcher that needs a value which evaluations do not have, such as one with a limit on it.

    An evaluator may have `value_names(fidelity)`, the names of all values of a completed evaluation, and a
    searcher `check_values(names)`, which raises the reason.
    """
    known, check = getattr(evaluator, "value_names", None), getattr(searcher, "check_values", None)
    if known is None or check is None:
        return
    for fidelity in getattr(searcher, "fidelities", ()) or (plan.search_fidelity,):
        names = known(fidelity)
        if names is not None:
            check(names)


def check_levels(evaluator: Evaluator | Outline, plan: Plan, fidelities: Sequence[Fidelity]) -> None:
    """Refuses fidelities between the only ones that an evaluator has, its `levels`."""
    levels: Sequence[Fidelity] = getattr(evaluator, "levels", ())
    missing = [fidelity for fidelity in fidelities if fidelity not in levels]
    if not levels or not missing:
        return
    limits = fidelity_range(evaluator, plan)
    within = [level for level in levels if limits is None or level.value <= limits[2]]
    raise ConfigError(
        f"searcher: expected {levels[0].name} of {_listed(within)}, as the evaluator has no others; got "
        f"{_listed(missing)}; choose them: searcher.levels=[{','.join(_listed(within).split(', '))}]"
    )


def _listed(fidelities: Sequence[Fidelity]) -> str:
    return ", ".join(f"{fidelity.value:g}" for fidelity in fidelities)


def fidelity_range(evaluator: Evaluator | Outline, plan: Plan) -> tuple[str, float, float] | None:
    """What a searcher that chooses fidelities chooses from: up to the one of the search, if that is set."""
    if evaluator.fidelity_range is None or plan.search_fidelity is None:
        return evaluator.fidelity_range
    name, low, _ = evaluator.fidelity_range
    return name, low, plan.search_fidelity.value


def search_fidelity(value: float | None, evaluator: Evaluator | Outline) -> Fidelity | None:
    """The search's fidelity, checked against the evaluator's range; None for the full one."""
    if value is None:
        return None
    if evaluator.fidelity_range is None:
        raise ConfigError(f"search.fidelity: null is expected, the evaluator has no fidelity; {value} came")
    name, low, full = evaluator.fidelity_range
    levels: Sequence[Fidelity] = getattr(evaluator, "levels", ())
    if levels and Fidelity(name, value) not in levels:
        raise ConfigError(
            f"search.fidelity: {name} of {_listed(levels)} are expected, as the evaluator has no others; "
            f"{value:g} came; set one of them, or null for {full:g}"
        )
    if not low <= value <= full:
        raise ConfigError(f"search.fidelity: {low:g} to {full:g} {name} are expected, {value:g} came")
    return Fidelity(name, value)
