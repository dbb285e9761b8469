"""A Python function of one's own as an evaluator."""

from __future__ import annotations

import hashlib
import inspect
import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from nas.callables import describe
from nas.errors import ConfigError, EvaluationError
from nas.evaluation import Evaluation, Status, Task, failure
from nas.training.checks import (
    check_names,
    function_name,
    given,
    load_function,
    objectives_from,
    reported_from,
)
from nas.training.failures import failure_of

_NAME = 'evaluator "function"'


class FunctionEvaluator:
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
    """

    def __init__(
        self,
        function: str | Callable[..., Any],
        *,
        objectives: Any = "value",
        reported: Any = None,
    ) -> None:
        called = load_function(f"{_NAME}: function", function)
        self.function = function
        self.objectives = objectives_from(f"{_NAME}: objectives", objectives)
        self.reported = reported_from(f"{_NAME}: reported", reported, self.objectives)
        self._takes_seed = _has_seed(called)
        described = f"{describe(called)}\n{(self.objectives, self.reported)!r}"
        self._fingerprint = hashlib.sha256(described.encode()).hexdigest()

    @property
    def fidelity_range(self) -> tuple[str, float, float] | None:
        return None

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
        except Exception as error:  # the user's code runs here: whatever it raises is data
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
        try:
            values = {str(name): float(value) for name, value in named.items()}
        except (TypeError, ValueError):
            values = {}
        if not wanted <= values.keys():
            raise EvaluationError(
                f"{function_name(load_function(_NAME, self.function))}: expected a number or a mapping "
                f"of numbers with {', '.join(sorted(wanted))}, got {returned!r:.100}"
            )
        return values


def create(**options: Any) -> FunctionEvaluator:
    """The evaluator of these options: function ("module:function"), objectives, reported.

    Raises:
        ConfigError: an unknown option or a bad value, in one line.
    """
    names = ("function", "objectives", "reported")
    check_names(_NAME, options, names, ConfigError)
    if options.get("function") is None:
        raise ConfigError(f'{_NAME}: expected the option function = "module:function", got none')
    return FunctionEvaluator(**given(options, names))


def _has_seed(function: Callable[..., Any]) -> bool:
    try:
        return "seed" in inspect.signature(function).parameters
    except ValueError:  # some built-in functions have no signature
        return False
