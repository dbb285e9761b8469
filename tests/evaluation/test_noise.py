from __future__ import annotations

import numpy as np
import pytest

from nas.errors import ConfigError
from nas.evaluation import Stage, Task
from nas.evaluation.functions import NoisyEvaluator
from nas.search_spaces import nasbench201
from nas.space import sample

SECTION = {"name": "function", "function": "tests.evaluation.test_noise:values", "objectives": ["score"]}


def values(architecture: object) -> dict[str, float]:
    return {"score": 70.0, "other": 3.0}


def results(std: float, trials: int) -> list[dict[str, float]]:
    architecture = sample(nasbench201.space(), np.random.default_rng(0))
    evaluator = NoisyEvaluator(evaluator=SECTION, std=std)
    tasks = [Task(n, architecture, Stage.SEARCH, None, n) for n in range(trials)]
    return [dict(evaluator(task).values) for task in tasks]


def test_noise_is_gaussian_on_the_first_objective_and_follows_from_the_seed() -> None:
    found = results(2.0, 2000)
    scores = np.array([row["score"] for row in found])
    assert scores.mean() == pytest.approx(70, abs=0.2)  # 4.5 standard errors
    assert scores.std() == pytest.approx(2, abs=0.15)
    assert {row["other"] for row in found} == {3.0}
    assert found == results(2.0, 2000)


def test_without_a_deviation_nothing_is_added() -> None:
    assert results(0, 3) == [{"score": 70.0, "other": 3.0}] * 3


def test_it_is_another_evaluator_for_each_deviation() -> None:
    made = [NoisyEvaluator(evaluator=SECTION, std=std) for std in (0.0, 1.0, 2.0)]
    assert len({evaluator.fingerprint() for evaluator in made}) == 3
    assert {evaluator.objectives[0].name for evaluator in made} == {"score"}


def test_mistakes_are_told_in_one_line() -> None:
    with pytest.raises(
        ConfigError, match=r'^evaluator "noise": std: expected a number of at least 0; got -1'
    ):
        NoisyEvaluator(evaluator=SECTION, std=-1)
    with pytest.raises(ConfigError, match=r'^evaluator "noise": evaluator: expected a section with a name'):
        NoisyEvaluator(evaluator="table", std=1.0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r'^evaluator "nothing" is not registered'):
        NoisyEvaluator(evaluator={"name": "nothing"}, std=1.0)
