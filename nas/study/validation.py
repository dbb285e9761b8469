"""Whether the parts of a study fit one another: space, evaluator, fidelities and range, values, images."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nas.errors import ConfigError, NasError, ProtocolError
from nas.evaluation import Evaluator, Executor, Fidelity, Objective, Outline, Task
from nas.faults import check_call, own_code, shown
from nas.language import Define, Op
from nas.registry import Component, check_spelling, home_of
from nas.space import SearchSpace, sample
from nas.study.cache import Hasher
from nas.study.plan import Plan
from nas.study.searcher import Searcher

_SAMPLES = 16  # of a space that are tried before it is refused


def check_parts(space: SearchSpace, searcher: Searcher, evaluator: Evaluator, plan: Plan) -> None:
    """Refuses parts of a study that do not fit one another, before any work is spent; starts nothing.

    Raises:
        NasError: one line for the first thing that does not fit.
    """
    _check_search_fidelity(evaluator, plan)
    check_levels(evaluator, plan, searcher.fidelities)
    check_fit(space, evaluator, plan, searcher.fidelities)
    check_values(searcher, evaluator, plan)
    searcher.check_images(evaluator.dataset)


def check_part(kind: type, part: Any, where: str) -> None:
    """Refuses what is no part of this kind, before anything is done with it.

    Args:
        kind: its class, such as `Searcher`.
        part: an object of the user's.
        where: begins the message.

    Raises:
        ConfigError: a class in place of an object, an object of another class, methods that take other
            arguments, or an attribute of the object whose name is a misspelt hook.
    """
    if isinstance(part, type):
        name = part.__name__
        raise ConfigError(
            f"{where}: expected a {home_of(kind)}, got the class {name} itself; give {name}(...)"
        )
    if not isinstance(part, kind):
        raise ConfigError(f"{where}: expected a {home_of(kind)}, got {shown(part)}; {_remedy(kind, part)}")
    if issubclass(kind, Component):
        _check_hooks(f"{where} {type(part).__name__}", part, kind)
    if isinstance(part, Evaluator):
        _check_facts(where, part)


def _check_hooks(where: str, part: Any, kind: type[Component]) -> None:
    """Refuses a part that lacks an attribute or has a misspelt one, or whose methods take other arguments."""
    known = vars(kind)
    for name in inspect.get_annotations(kind):
        if name not in known and name not in dir(part):
            raise ConfigError(
                f"{where}: expected the attribute {name}, got none; write {name} = VALUE in its class"
            )
    own = vars(part)
    classes = [each for each in type(part).__mro__ if each not in kind.__mro__]
    check_spelling(where, own, {*own, *(name for each in classes for name in vars(each))}, kind)
    for name, hook in known.items():
        if inspect.isfunction(hook) and (name == "__call__" or not name.startswith("_")):
            parameters = list(inspect.signature(hook).parameters)[1:]
            call, given = f"{name}({', '.join(parameters)})", [None] * len(parameters)
            try:
                check_call(f"{where}.{name}", getattr(part, name), call, *given)
            except ProtocolError as error:
                raise ConfigError(str(error)) from None


def _remedy(kind: type, part: Any) -> str:
    """What to do about something that is no part of this kind."""
    hooks = kind.__abstractmethods__ if issubclass(kind, Component) else frozenset[str]()
    if hooks and hooks <= set(dir(type(part))):  # it is one but for its class
        return f"inherit from it: class {type(part).__name__}({kind.__name__})"
    if kind is Evaluator and callable(part):
        return "nas.FunctionEvaluator(FUNCTION) makes one of a function of the architecture"
    if kind is Evaluator and not isinstance(part, str) and "__getitem__" in dir(part):
        return "data alone are none; nas.training.classification.ClassificationEvaluator trains on them"
    return f"give {_MADE[kind]}" if kind in _MADE else f"give an object with {', '.join(sorted(hooks))}"


_MADE = {  # by which most parts of these kinds are made
    SearchSpace: 'SearchSpace("NAME", EXPRESSION)',
    Searcher: "one such as nas.algorithms.random_search.RandomSearch(space, evaluator.objectives, seed=0)",
    Evaluator: "nas.FunctionEvaluator(FUNCTION)",
    Executor: "nas.InlineExecutor()",
    Hasher: "one such as nas.hashing.canonical.CanonicalHasher(), or None for no cache",
}


def _check_facts(where: str, evaluator: Evaluator) -> None:
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
    dataset = evaluator.dataset
    if dataset is not None and not {"input_shape", "classes"} <= set(dir(dataset)):
        raise ConfigError(
            f"{where}: expected `dataset` to be a nas.training.data.Dataset or None, got {shown(dataset)}; "
            "give the attribute of other data another name"
        )


def check_fit(space: SearchSpace, evaluator: Evaluator, plan: Plan, fidelities: Sequence[Fidelity]) -> None:
    """Refuses a space none of whose samples fits the evaluator, e.g. because its images are too small.

    That some samples fail is nothing unusual. The fidelities are those that the searcher asks for; see
    `check_levels`.
    """
    if type(evaluator).check is Evaluator.check:  # all fit; a space may even be too narrow to be sampled
        return
    rng = np.random.default_rng(plan.seed)
    reasons: list[NasError] = []
    for number in range(_SAMPLES):
        architecture = sample(space, rng)
        try:
            evaluator.check(Task(number, architecture, fidelity=plan.search_fidelity))
        except NasError as error:
            reasons.append(error)
            continue
        for fidelity in fidelities:
            try:
                evaluator.check(Task(number, architecture, fidelity=fidelity))
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
    start, lines = searcher.uninformed, list[str]()
    if trials is not None and start is not None and not math.isinf(start) and trials <= start:
        lines.append(
            f'searcher "{name}": it asks for its first {start:.0f} trials without knowing any result, and '
            f"budget.trials={trials} ends there, so this is random search; give more than {start:.0f} "
            "trials, or choose options with a shorter start"
        )
    root = space.expression.body if isinstance(space.expression, Define) else space.expression
    if searcher.trains_supernet and isinstance(root, Op) and root.name == "train" and root.attributes:
        settings = ", ".join(setting for setting, _ in root.attributes)
        lines.append(
            f'searcher "{name}": train(...) of the space sets {settings} for its architectures alone; the '
            "supernet is trained with the searcher's own settings; set those for it"
        )
    return lines


def check_values(searcher: Searcher, evaluator: Evaluator | Outline, plan: Plan) -> None:
    """Refuses a searcher that needs a value which evaluations do not have, such as one with a limit on it."""
    for fidelity in searcher.fidelities or (plan.search_fidelity,):
        names = evaluator.value_names(fidelity)
        if names is not None:
            searcher.check_values(names)


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
    """The hasher for the evaluator's data, if there are such."""
    dataset = evaluator.dataset
    if hasher is None or dataset is None:
        return hasher
    return hasher.for_data(tuple(dataset.input_shape), dataset.classes)


def check_levels(evaluator: Evaluator | Outline, plan: Plan, fidelities: Sequence[Fidelity]) -> None:
    """Refuses fidelities between the only ones that an evaluator has, its `levels`."""
    levels = evaluator.levels
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
    levels = evaluator.levels
    if levels and Fidelity(name, value) not in levels:
        raise ConfigError(
            f"search.fidelity: expected {name} of {_listed(levels)}, as the evaluator has no others, "
            f"got {value:g}; set one of them, or null for {full:g}"
        )
    if not low <= value <= full:
        remedy = f"set one of them, or let the evaluator have more {name}"
        raise ConfigError(f"search.fidelity: expected {low:g} to {full:g} {name}, got {value:g}; {remedy}")
    return Fidelity(name, value)
