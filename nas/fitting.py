"""Whether the parts of a study fit one another: space, evaluator, fidelities and range, values, images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.errors import ConfigError, NasError, ProtocolError
from nas.evaluation import Evaluator, Fidelity, Objective, Task
from nas.faults import check_call, own_code, shown
from nas.operators import sample
from nas.searcher import Searcher, declared
from nas.stages import Plan
from nas.term import Define, Op

if TYPE_CHECKING:
    from nas.cache import Hasher
    from nas.evaluation import Outline
    from nas.space import SearchSpace

_SAMPLES = 16  # of a space that are tried before it is refused


def check_parts(space: SearchSpace, searcher: Searcher, evaluator: Evaluator, plan: Plan) -> None:
    """Refuses parts of a study that do not fit one another, before any work is spent; starts nothing.

    Raises:
        NasError: one line for the first thing that does not fit.
    """
    needs = declared(searcher)
    _check_search_fidelity(evaluator, plan)
    check_levels(evaluator, plan, needs.fidelities)
    check_fit(space, evaluator, plan, needs.fidelities)
    check_values(searcher, evaluator, plan)
    needs.check_images(getattr(evaluator, "dataset", None))


_CALLS: dict[str, dict[str, tuple[str, tuple[Any, ...]] | None]] = {  # what a part has, and how it is called
    "space": {"name": None, "start": None, "parse": None, "fingerprint": ("fingerprint()", ())},
    "searcher": {"ask": ("ask(count)", (1,)), "tell": ("tell(trial)", (None,))},
    "evaluator": {
        "objectives": None,
        "reported": None,
        "fidelity_range": None,
        "fingerprint": ("fingerprint()", ()),
        "__call__": ("evaluator(task)", (None,)),
    },
    "executor": {
        "capacity": None,
        "open": ("open(evaluator)", (None,)),
        "submit": ("submit(task)", (None,)),
        "wait": ("wait(timeout)", (None,)),
        "now": ("now()", ()),
        "close": ("close()", ()),
        "describe": ("describe()", ()),
    },
    "hasher": {"name": None, "in_worker": None, "hash": ("hash(architecture)", (None,))},
    "observer": {"observe": ("observe(event, progress)", (None, None)), "close": ("close()", ())},
}

_MADE = {  # by which most parts of these kinds are made
    "space": 'SearchSpace("NAME", EXPRESSION)',
    "searcher": "one such as algorithms.random_search.RandomSearch(space, evaluator.objectives, seed=0)",
    "executor": "one such as nas.InlineExecutor()",
    "hasher": "one such as hashing.canonical.CanonicalHasher(), or None for no cache",
}


def check_part(kind: str, part: Any, where: str | None = None) -> None:
    """Refuses what is no part of this kind, before anything is done with it.

    Args:
        kind: "space", "searcher", "evaluator", "executor", "hasher" or "observer".
        part: an object of the user's.
        where: begins the message; the kind itself by default.

    Raises:
        ConfigError: a class in place of an object, something that lacks what the kind has, or methods that
            take other arguments.
    """
    where = where or kind
    needed = _CALLS[kind]
    listed = ", ".join(needed)
    if isinstance(part, type):
        name = part.__name__
        raise ConfigError(
            f"{where}: expected an object with {listed}, got the class {name} itself; give {name}(...)"
        )
    known = dir(part)
    missing = [name for name in needed if name not in known]
    if missing:
        remedy = f"give what has {', '.join(missing)} as well"
        if kind in _MADE and len(missing) == len(needed):
            remedy = f"give {_MADE[kind]}"
        if kind == "evaluator" and callable(part):
            remedy = "nas.FunctionEvaluator(FUNCTION) makes one of a function of the architecture"
        elif kind == "evaluator" and "__getitem__" in known and not isinstance(part, str):
            remedy = "data alone are none; nas.training.classification.ClassificationEvaluator trains on them"
        raise ConfigError(f"{where}: expected an object with {listed}, got {shown(part)}; {remedy}")
    for name, call in needed.items():
        if call is not None:
            try:
                check_call(f"{where} {type(part).__name__}.{name}", getattr(part, name), call[0], *call[1])
            except ProtocolError as error:
                raise ConfigError(str(error)) from None
    if kind == "evaluator":
        _check_objectives(where, part)


def _check_objectives(where: str, evaluator: Any) -> None:
    with own_code(where, "its objectives", kind=ConfigError):
        objectives, reported = evaluator.objectives, evaluator.reported
    listed = isinstance(objectives, list | tuple) and objectives
    if not listed or not all(isinstance(each, Objective) for each in objectives):
        raise ConfigError(
            f"{where}: expected `objectives` to be a tuple of nas.Objective, the first one decides; got "
            f'{shown(objectives)}; write objectives = (Objective("value", "maximize"),)'
        )
    if not isinstance(reported, Objective):
        raise ConfigError(
            f"{where}: expected `reported` to be one nas.Objective, got {shown(reported)}; "
            "write reported = objectives[0]"
        )


def check_fit(space: SearchSpace, evaluator: Evaluator, plan: Plan, fidelities: Sequence[Fidelity]) -> None:
    """Refuses a space none of whose samples fits the evaluator, e.g. because its images are too small.

    An evaluator may have `check(task)`, which raises the reason; that some samples fail is nothing unusual.
    The fidelities are those that the searcher asks for; see `check_levels`.
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


def search_notes(name: str, searcher: Searcher, space: SearchSpace, trials: int | None) -> list[str]:
    """Lines on what a fresh searcher will not do with this space and budget, to be said before the run.

    One where the budget ends before its first decision that rests on a result; one where the space fixes
    training settings that a supernet is not trained with.

    Args:
        name: of the searcher, for the lines.
        searcher: fresh.
        space: that it searches.
        trials: the budget; None without one.
    """
    needs, lines = declared(searcher), list[str]()
    start = needs.uninformed
    if trials is not None and start is not None and not math.isinf(start) and trials <= start:
        lines.append(
            f'searcher "{name}": it asks for its first {start:.0f} trials without knowing any result, and '
            f"budget.trials={trials} ends there, so this is random search; give more than {start:.0f} "
            "trials, or choose options with a shorter start"
        )
    root = space.expression.body if isinstance(space.expression, Define) else space.expression
    if needs.trains_supernet and isinstance(root, Op) and root.name == "train" and root.attributes:
        settings = ", ".join(setting for setting, _ in root.attributes)
        lines.append(
            f'searcher "{name}": train(...) of the space sets {settings} for its architectures alone; the '
            "supernet is trained with the searcher's own settings; set those for it"
        )
    return lines


def check_values(searcher: Searcher, evaluator: Evaluator | Outline, plan: Plan) -> None:
    """Refuses a searcher that needs a value which evaluations do not have, such as one with a limit on it.

    An evaluator may have `value_names(fidelity)`, the names of all values of a completed evaluation.
    """
    known, needs = getattr(evaluator, "value_names", None), declared(searcher)
    if known is None:
        return
    for fidelity in needs.fidelities or (plan.search_fidelity,):
        names = known(fidelity)
        if names is not None:
            needs.check_values(names)


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
        raise ConfigError(f"search.fidelity: expected null, as the evaluator has no fidelity, got {value}")
    name, low, full = evaluator.fidelity_range
    levels: Sequence[Fidelity] = getattr(evaluator, "levels", ())
    if levels and Fidelity(name, value) not in levels:
        raise ConfigError(
            f"search.fidelity: expected {name} of {_listed(levels)}, as the evaluator has no others, "
            f"got {value:g}; set one of them, or null for {full:g}"
        )
    if not low <= value <= full:
        remedy = f"set one of them, or let the evaluator have more {name}"
        raise ConfigError(f"search.fidelity: expected {low:g} to {full:g} {name}, got {value:g}; {remedy}")
    return Fidelity(name, value)
