"""Whether the parts of a study fit one another: space, evaluator, fidelities and range, values, images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nas.errors import ConfigError, NasError
from nas.evaluation import Evaluator, Fidelity, Task
from nas.operators import sample
from nas.searcher import Searcher, declared
from nas.stages import Plan

if TYPE_CHECKING:
    from nas.cache import Hasher
    from nas.space import SearchSpace

_SAMPLES = 16  # of a space that are tried before it is refused


def check_parts(space: SearchSpace, searcher: Searcher, evaluator: Evaluator, plan: Plan) -> None:
    """Refuses parts of a study that do not fit one another, before any work is spent; starts nothing.

    Raises:
        NasError: one line for the first thing that does not fit.
    """
    needs = declared(searcher)
    _check_search_fidelity(evaluator, plan)
    check_fit(space, evaluator, plan, needs.fidelities)
    _check_values(searcher, evaluator, plan)
    needs.check_images(getattr(evaluator, "dataset", None))


def check_fit(space: SearchSpace, evaluator: Evaluator, plan: Plan, fidelities: Sequence[Fidelity]) -> None:
    """Refuses a space none of whose samples fits the evaluator, e.g. because its images are too small.

    An evaluator may have `check(task)`, which raises the reason; that some samples fail is nothing unusual.
    The fidelities are those that the searcher asks for; each must be one that the evaluator has.
    """
    _check_levels(evaluator, plan, fidelities)
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


def _check_values(searcher: Searcher, evaluator: Evaluator, plan: Plan) -> None:
    """Refuses a searcher that needs a value which evaluations do not have, such as one with a limit on it.

    An evaluator may have `value_names(fidelity)`, the names of all values of a completed evaluation.
    """
    known, needs = getattr(evaluator, "value_names", None), declared(searcher)
    if known is None:
        return
    for fidelity in needs.fidelities or (plan.search_fidelity,):
        needs.check_values(known(fidelity))


def _check_search_fidelity(evaluator: Evaluator, plan: Plan) -> None:
    """Refuses a fidelity of the search that the evaluator does not have."""
    fidelity, known = plan.search_fidelity, evaluator.fidelity_range
    if fidelity is None:
        return
    if known is not None and fidelity.name != known[0]:
        raise ConfigError(
            f'search.fidelity: expected one of {known[0]}; got "{fidelity.name}"; write '
            f'Fidelity("{known[0]}", {fidelity.value:g})'
        )
    search_fidelity(fidelity.value, evaluator)


def for_data_of(evaluator: Evaluator, hasher: Hasher | None) -> Hasher | None:
    """The hasher for the evaluator's data, if there are such and it has `for_data(shape, classes)`."""
    dataset, for_data = getattr(evaluator, "dataset", None), getattr(hasher, "for_data", None)
    if for_data is None or not hasattr(dataset, "input_shape"):
        return hasher
    return for_data(tuple(dataset.input_shape), dataset.classes)  # type: ignore[union-attr]


def _check_levels(evaluator: Evaluator, plan: Plan, fidelities: Sequence[Fidelity]) -> None:
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
    levels: Sequence[Fidelity] = getattr(evaluator, "levels", ())
    if levels and Fidelity(name, value) not in levels:
        raise ConfigError(
            f"search.fidelity: {name} of {_listed(levels)} are expected, as the evaluator has no others; "
            f"{value:g} came; set one of them, or null for {full:g}"
        )
    if not low <= value <= full:
        remedy = f"set one of them, or let the evaluator have more {name}"
        raise ConfigError(
            f"search.fidelity: {low:g} to {full:g} {name} are expected, {value:g} came; {remedy}"
        )
    return Fidelity(name, value)
