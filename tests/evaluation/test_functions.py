from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.errors import CompileError, ConfigError, EvaluationError
from nas.evaluation import Fidelity, FunctionEvaluator, Objective, Status, Task
from nas.evaluation.functions import create

MakeTask = Callable[..., Task]


def length(architecture: Any) -> int:
    return len(architecture.text)


def seeded(architecture: Any, seed: int) -> dict[str, float]:
    return {"score": len(architecture.text) + seed / 10, "cost": 2, "extra": 1}


def test_a_number_is_the_value_of_the_objective(make_task: MakeTask) -> None:
    evaluator = FunctionEvaluator(length)
    evaluation = evaluator(make_task("four"))
    assert (evaluation.status, evaluation.values) == (Status.COMPLETED, {"value": 4.0})
    assert evaluator.objectives == (Objective("value"),)
    assert evaluator.reported == Objective("value")
    assert evaluator.fidelity_range is None


def test_a_mapping_has_a_value_for_each_objective_and_the_seed_is_passed(make_task: MakeTask) -> None:
    cost = Objective("cost", "minimize", "s")
    evaluator = FunctionEvaluator(seeded, objectives=["score", cost], reported="extra")
    assert evaluator(make_task("four", seed=5)).values == {"score": 4.5, "cost": 2.0, "extra": 1.0}
    assert (evaluator.objectives[1], evaluator.reported.name) == (cost, "extra")


def test_it_is_configured_by_a_reference_and_travels_by_pickle(
    make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_own_metric.py").write_text("def metric(architecture):\n    return {'score': 3}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    evaluator = create(function="my_own_metric:metric", objectives=["score"], reported=None)
    arrived = pickle.loads(pickle.dumps(evaluator))
    assert arrived(make_task()).values == {"score": 3.0}
    assert arrived.fingerprint() == evaluator.fingerprint()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("bad"), Status.ERROR),
        (CompileError("root: bad"), Status.INVALID),
        (MemoryError(), Status.OUT_OF_MEMORY),
    ],
)
def test_what_the_function_raises_is_recorded(make_task: MakeTask, error: Exception, status: Status) -> None:
    def raises(architecture: Any) -> float:
        raise error

    assert FunctionEvaluator(raises)(make_task()).status is status


def test_a_value_that_is_not_finite_is_a_failure(make_task: MakeTask) -> None:
    evaluation = FunctionEvaluator(lambda architecture: float("nan"))(make_task())
    assert (evaluation.status, evaluation.reason) == (Status.DIVERGED, "value is nan")


@pytest.mark.parametrize("returned", [None, "high", {"other": 1.0}, {"value": None}])
def test_another_form_of_result_is_an_error_that_names_the_function(
    make_task: MakeTask, returned: Any
) -> None:
    expected = r"expected a number or a mapping of numbers with value, got "
    with pytest.raises(EvaluationError, match=expected) as caught:
        FunctionEvaluator(lambda architecture: returned)(make_task())
    assert "test_functions" in str(caught.value)


def test_a_fidelity_is_refused(make_task: MakeTask) -> None:
    with pytest.raises(EvaluationError, match=r"expected no fidelity, got epochs$"):
        FunctionEvaluator(length)(make_task(fidelity=Fidelity("epochs", 1)))


def test_the_fingerprint_is_that_of_source_and_objectives() -> None:
    evaluators = (
        FunctionEvaluator(length),
        FunctionEvaluator(seeded),
        FunctionEvaluator(length, objectives="score"),
        FunctionEvaluator(len),
    )
    assert len({evaluator.fingerprint() for evaluator in evaluators}) == 4
    assert FunctionEvaluator(length).fingerprint() == evaluators[0].fingerprint()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, '^evaluator "function": expected the option function = "module:function", got none$'),
        ({"function": "no_colon"}, '^evaluator "function": function: expected "module:function"'),
        ({"function": "math:sqrt", "objectives": []}, "objectives: expected at least one objective"),
        ({"function": "math:sqrt", "objectives": 3}, "objectives: expected a name or a mapping .* got 3$"),
        ({"function": "math:sqrt", "reported": ["a", "b"]}, "reported: expected one quantity, got a, b$"),
    ],
)
def test_bad_options_are_errors_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create(**options)
