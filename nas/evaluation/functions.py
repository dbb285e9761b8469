"""Python functions of the user's as evaluators: their references "module:function", and what they report.

`NoisyEvaluator` adds noise to another evaluator, to study what a search and its cache make of it: Gillard et
al. 2023 (https://arxiv.org/abs/2302.05433) add homoscedastic Gaussian noise to the validation accuracy at
each evaluation.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nas.callables import CALLABLES, FORMER, describe, function_name, load
from nas.errors import ConfigError, EvaluationError, ProtocolError, describe_error, one_line
from nas.evaluation.evaluator import (
    Evaluation,
    Evaluator,
    Fidelity,
    Objective,
    Outline,
    Status,
    Task,
    WrappedEvaluator,
    failure,
    number,
)
from nas.evaluation.executors import failure_of
from nas.faults import check_call, shown
from nas.registry import check_names, given


def load_function(where: str, reference: str | Callable[..., Any]) -> Callable[..., Any]:
    """The callable that "module:function" or one of `CALLABLES` names; a callable stands for itself.

    Raises:
        ConfigError: no such name, module or attribute, or it cannot be called.
    """
    if callable(reference):
        return reference
    text = str(reference)
    if text in FORMER:
        raise ConfigError(f"{where}: expected {FORMER[text]}, as it is called now, got {text}; write that")
    module_name, colon, name = text.partition(":")
    if text not in CALLABLES and not (colon and module_name and name):
        named = ", ".join(CALLABLES)
        raise ConfigError(f'{where}: expected "module:function" or one of {named}; got {reference!r}')
    try:
        loaded = load(CALLABLES.get(text, text))
    except ImportError as error:
        raise ConfigError(f'{where}: cannot import "{module_name}" of "{reference}": {error}') from error
    except AttributeError as error:
        raise ConfigError(f'{where}: module "{module_name}" has no "{name}"') from error
    if not callable(loaded):
        raise ConfigError(f'{where}: "{reference}" is a {type(loaded).__name__} and cannot be called')
    return loaded


def check_takes(where: str, function: Callable[..., Any], shown: str, *given: Any, **named: Any) -> None:
    """Refuses a function that cannot be called in this way; see `nas.faults.check_call`.

    Raises:
        ConfigError: it takes other arguments, or returns no result but a coroutine or a generator.
    """
    try:
        check_call(where, function, shown, *given, **named)
    except ProtocolError as error:
        raise ConfigError(str(error)) from None


def file_path(text: str) -> Path:
    """The path that an option names, with ~ for the home folder; there need not be anything.

    Raises:
        EvaluationError: no system could have such a path, or nobody has that home folder.
    """
    try:
        path = Path(text).expanduser()
        path.exists()
    except (OSError, ValueError, RuntimeError) as error:
        raise EvaluationError(
            f"data {one_line(text)}: expected a path, got one that cannot be ({describe_error(error, 100)}); "
            "give another"
        ) from None
    return path


def objectives_from(where: str, values: Any) -> tuple[Objective, ...]:
    """Objectives from names or from mappings with name, direction and unit; one or a list of them.

    Raises:
        ConfigError: none, one of another form, or two of one name.
    """
    entries = values if isinstance(values, list | tuple) else [values]
    if not entries:
        raise ConfigError(f"{where}: expected at least one objective, got none")
    objectives = tuple(_objective(where, entry) for entry in entries)
    names = [objective.name for objective in objectives]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f'{where}: expected each objective once, got "{twice}" {names.count(twice)} times')
    return objectives


def reported_from(where: str, value: Any, objectives: Sequence[Objective]) -> Objective:
    """The one quantity of the report: the first objective for None; the name of an objective means that one.

    Raises:
        ConfigError: more than one, or one of another form.
    """
    if value is None:
        return objectives[0]
    chosen = objectives_from(where, value)
    if len(chosen) > 1:
        raise ConfigError(f"{where}: expected one quantity, got {', '.join(each.name for each in chosen)}")
    named = [each for each in objectives if each.name == value]
    return (*named, *chosen)[0]


def _objective(where: str, value: Any) -> Objective:
    if isinstance(value, Objective):
        return value
    options = {"name": value} if isinstance(value, str) else value
    names = ("name", "direction", "unit")
    if not isinstance(options, Mapping) or not options.get("name"):
        raise ConfigError(f"{where}: expected a name or a mapping with {', '.join(names)}, got {value!r}")
    check_names(where, options, names, ConfigError)
    texts = given(options, names)
    for name, text in texts.items():
        if not isinstance(text, str):
            raise ConfigError(f"{where}: {name}: expected a text, got {text!r}")
    try:
        return Objective(**texts)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def existing(path: str | Path, kind: str, remedy: str, *, folder: bool = False, what: str = "data") -> Path:
    """The path with `~` replaced, if there is a file (or a folder); pipes and devices are none.

    Args:
        path: as it was given.
        kind: what is expected there, e.g. "an .npz file".
        remedy: ends the message.
        folder: whether a folder is expected.
        what: begins the message.

    Raises:
        EvaluationError: nothing there, something else, or a path that the system refuses.
    """
    try:
        found = Path(path).expanduser()
        if found.is_dir() if folder else found.is_file():
            return found
        got = "found none" if not found.exists() else "found something else"
    except (OSError, RuntimeError, ValueError) as error:  # too long, no permission, "~" of no such user
        got = f"cannot read it: {one_line(error)}"
    raise EvaluationError(f"{what} {path}: expected {kind}, {got}; {remedy}")


_NAME = 'evaluator "function"'
_OPTIONS = ("function", "objectives", "reported", "deterministic")


class FunctionEvaluator(Evaluator):
    """Calls `function(architecture)`, or `function(architecture, seed=...)` if it has a parameter `seed`.

    The function returns a number, the value of the first objective, or a mapping with a number for each
    objective (and any others that are to be kept). What it raises becomes a failed evaluation.

        def count_convolutions(architecture):
            return architecture.text.count("conv")

        evaluator = FunctionEvaluator(count_convolutions)

    Args:
        function: the function itself, or its "module:function".
        objectives: what to search for, the first one decides: names (to maximise), mappings with
            name, direction and unit, or `Objective`s; one or a list.
        reported: the quantity of the report; the first objective by default.
        deterministic: whether the function gives an architecture the same value each time (True) or not
            (False). With None the report does not know, and counts each evaluation as a training.

    Raises:
        ConfigError: a value that none of these can have.
    """

    def __init__(
        self,
        function: str | Callable[..., Any],
        *,
        objectives: Any = "value",
        reported: Any = None,
        deterministic: bool | None = None,
    ) -> None:
        if deterministic not in (None, True, False):
            raise ConfigError(
                f"{_NAME}: deterministic: expected true, false or null; got "
                f"{one_line(repr(deterministic), 80)}; change it"
            )
        self.deterministic = deterministic
        called = load_function(f"{_NAME}: function", function)
        self.function = function
        self.objectives = objectives_from(f"{_NAME}: objectives", objectives)
        self.reported = reported_from(f"{_NAME}: reported", reported, self.objectives)
        self._takes_seed = _has_seed(called)
        seed = {"seed": 0} if self._takes_seed else {}
        check_takes(f"{_NAME}: {function_name(called)}", called, "f(architecture)", None, **seed)
        described = f"{describe(called)}\n{(self.objectives, self.reported)!r}"
        self._fingerprint = hashlib.sha256(described.encode()).hexdigest()

    def fingerprint(self) -> str:
        """Digest of the function's name, code and state; what the function calls is not followed."""
        return self._fingerprint

    def __call__(self, task: Task) -> Evaluation:
        """Calls the function on the architecture of the task.

        Raises:
            EvaluationError: the task has a fidelity, or the function returned neither form.
        """
        if task.fidelity is not None:
            raise EvaluationError(f"{_NAME}: expected no fidelity, got {task.fidelity.name}")
        function = load_function(_NAME, self.function)
        started = time.perf_counter()
        try:
            seed = {"seed": task.seed} if self._takes_seed else {}
            returned = function(task.architecture, **seed)
        except Exception as error:  # the user's code runs here: whatever it raises is data; see `carry_out`
            return failure_of(error, time.perf_counter() - started)
        seconds = time.perf_counter() - started
        values = self._values(returned)
        for name, value in values.items():
            if not math.isfinite(value):
                return failure(Status.DIVERGED, f"{name} is {value}", seconds)
        torch = sys.modules.get("torch")  # if the function used it
        info = {} if torch is None else {"threads": torch.get_num_threads()}
        return Evaluation(Status.COMPLETED, values, seconds, info=info)

    def _values(self, returned: Any) -> dict[str, float]:
        named = returned if isinstance(returned, Mapping) else {self.objectives[0].name: returned}
        wanted = {objective.name for objective in (*self.objectives, self.reported)}
        values = {str(name): number(value) for name, value in named.items()}
        numbers = {name: value for name, value in values.items() if value is not None}
        if not wanted <= numbers.keys() or len(numbers) < len(values):
            raise EvaluationError(
                f"{function_name(load_function(_NAME, self.function))}: expected a number or a mapping "
                f"of numbers with {', '.join(sorted(wanted))}, got {shown(returned)}; return that"
            )
        return numbers


def create(**options: Any) -> FunctionEvaluator:
    """The evaluator of these options: function ("module:function"), objectives, reported, deterministic.

    Raises:
        ConfigError: an unknown option or a bad value, in one line.
    """
    outline(**options)
    return FunctionEvaluator(**given(options, _OPTIONS))


def outline(**options: Any) -> Outline:
    """What is known of such an evaluator before its function is imported.

    Raises:
        ConfigError: an unknown option or a bad value, in one line.
    """
    check_names(_NAME, options, _OPTIONS, ConfigError)
    if options.get("function") is None:
        raise ConfigError(f'{_NAME}: expected the option function = "module:function", got none')
    chosen = given(options, ("objectives",))
    objectives = objectives_from(f"{_NAME}: objectives", chosen.get("objectives", "value"))
    reported_from(f"{_NAME}: reported", options.get("reported"), objectives)
    return Outline(objectives)


def _has_seed(function: Callable[..., Any]) -> bool:
    try:
        return "seed" in inspect.signature(function).parameters
    except ValueError:  # some built-in functions have no signature
        return False


_NOISY = 'evaluator "noise"'
_STREAM = 0x6E6F6973  # so that the noise is not the training's own randomness


class NoisyEvaluator(WrappedEvaluator):
    """Another evaluator whose first objective comes with Gaussian noise; the other values stay as they are.

    The noise of a trial follows from its seed. Curves are left out, which would show the value without it.

    Args:
        evaluator: section of the other evaluator.
        std: standard deviation, in the objective's unit.

    Raises:
        ConfigError: no section, or a standard deviation that is not a number of at least 0.
    """

    def __init__(self, *, evaluator: Mapping[str, Any], std: float) -> None:
        from nas.evaluation.evaluator import EVALUATORS
        from nas.registry import build

        if not isinstance(evaluator, Mapping):
            raise ConfigError(f"{_NOISY}: evaluator: expected a section with a name; got {evaluator!r}")
        if isinstance(std, bool) or not isinstance(std, int | float) or not 0 <= std < math.inf:
            raise ConfigError(f"{_NOISY}: std: expected a number of at least 0; got {std!r}")
        super().__init__(build(EVALUATORS, evaluator))
        self._std = float(std)
        if std > 0 and self.reported.name == self.objectives[0].name:
            self.deterministic = False
        self.dataset = None  # so that a hasher does not adapt to it, and logged digests stay as they are

    def fingerprint(self) -> str:
        return hashlib.sha256(f"noise {self._std!r} {self.inner.fingerprint()}".encode()).hexdigest()

    def values_of(self, quantity: Objective, fidelity: Fidelity | None = None) -> None:  # noqa: ARG002
        """Nobody knows what the noise makes of them."""
        return

    def __call__(self, task: Task) -> Evaluation:
        evaluation = self.inner(task)
        name = self.objectives[0].name
        if not evaluation.ok or name not in evaluation.values:
            return evaluation
        drawn = self._std * np.random.default_rng((task.seed, _STREAM)).normal()
        values = {**evaluation.values, name: evaluation.values[name] + float(drawn)}
        return replace(evaluation, values=values, curve=())
