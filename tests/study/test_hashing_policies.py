"""Studies under the policies of the cache: several evaluations of a class, forgetting, capacity."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nas.evaluation import Evaluation, SimulatedExecutor, Status
from nas.report.cache import usage
from nas.report.comparison.logs import Wanted, read_history
from nas.report.records import Run
from nas.study import CachePolicy
from nas.study.record import read_study
from tests.study.hashing_kit import Alike, alike_study
from tests.study.study_kit import (
    OBJECTIVE,
    FakeEvaluator,
    OvertakingExecutor,
    Scripted,
    events_of,
    short_plan,
    tiny_space,
)

SPACE = tiny_space()


def lines(directory, *kinds):
    return [event for event in events_of(directory) if event["event"] in kinds]


def told(directory):
    return {event["trial"]: event["cached_from"] for event in lines(directory, "told")}


def scripted(*texts):
    return {"space": SPACE, "searcher": Scripted(SPACE, texts), "plan": short_plan(len(texts))}


class Noisy(FakeEvaluator):
    """The accuracy of a trial is ten times its number."""

    def __call__(self, task):
        super().__call__(task)
        value = 10.0 * task.trial
        return Evaluation(Status.COMPLETED, {"accuracy": value, "test_accuracy": value}, 2.0)


@pytest.mark.parametrize("hasher", [Alike(), Alike(in_worker=False)], ids=["worker", "driver"])
def test_several_evaluations_of_a_class_and_their_mean(tmp_path, hasher):
    """Trials 0 to 2 are evaluated with 0, 10, 20; the searcher is told 0, 5, 10, then twice 10."""
    given = scripted("relu()", "gelu()", "relu()", "gelu()", "relu()")
    study, evaluator, _ = alike_study(
        tmp_path, hasher=hasher, evaluator=Noisy(), cache=CachePolicy(evaluations=3), **given
    )
    study.run()
    assert set(evaluator.calls) == {0, 1, 2}
    values = [trial.evaluation.values["accuracy"] for trial in given["searcher"].told]
    assert values == [0.0, 5.0, 10.0, 10.0, 10.0]
    assert [trial.evaluation.cost_seconds for trial in given["searcher"].told] == [2.0, 2.0, 2.0, 0.0, 0.0]
    record = read_study(tmp_path)
    assert [row.value("accuracy") for row in record.trials] == [0.0, 10.0, 20.0, 10.0, 10.0]
    assert [row.told and row.told["accuracy"] for row in record.trials] == [None, 5.0, 10.0, None, None]
    assert [event["outcome"] for event in lines(tmp_path, "cached")] == [
        "miss",
        "partial",
        "partial",
        "hit",
        "hit",
    ]
    assert [event.get("evaluations") for event in lines(tmp_path, "told")] == [None, 2, 3, 3, 3]
    assert record.chosen is not None
    assert record.chosen.number == study._ledger.chosen.number == 2


def test_the_choice_is_by_what_the_searcher_was_told(tmp_path):
    """A lucky 30 in a class whose mean is 15 is no better than a plain 20."""

    class Lucky(FakeEvaluator):
        def __call__(self, task):
            super().__call__(task)
            value = {0: 0.0, 1: 30.0, 2: 20.0}.get(task.trial, 1.0)
            return Evaluation(Status.COMPLETED, {"accuracy": value, "test_accuracy": value}, 2.0)

    given = scripted("relu()", "gelu()", "silu()")
    given["plan"] = short_plan(3, final=1)
    study, *_ = alike_study(tmp_path, evaluator=Lucky(), cache=CachePolicy(evaluations=2), **given)
    study.run()
    record = read_study(tmp_path)
    assert record.chosen is not None
    assert record.chosen.number == study._ledger.chosen.number == 2
    assert [row.architecture for row in record.final] == ["silu()"]


def test_what_was_saved_is_one_number_in_the_display_and_in_the_report(tmp_path):
    """Evaluations of one class cost 1, 2 and 3 s; a hit saves the first one's second."""

    class Dearer(Noisy):
        def __call__(self, task):
            return replace(super().__call__(task), cost_seconds=1.0 + task.trial)

    given = scripted(*["relu()", "gelu()"] * 3)
    study, *_ = alike_study(tmp_path, evaluator=Dearer(), cache=CachePolicy(evaluations=3), **given)
    study.run()
    found = usage(Run.of(read_study(tmp_path)))
    assert found is not None
    assert found.counts.saved_evaluations == 3
    assert found.counts.saved_seconds == study._ledger.seconds_saved == 3.0


def test_a_comparison_chooses_as_the_study_did(tmp_path):
    """By what was told: the mean of 0 and 30 is no better than 20."""

    class Lucky(FakeEvaluator):
        def __call__(self, task):
            super().__call__(task)
            value = {0: 0.0, 1: 30.0, 2: 20.0}.get(task.trial, 1.0)
            return Evaluation(Status.COMPLETED, {"accuracy": value, "test_accuracy": value}, 2.0)

    given = scripted("relu()", "gelu()", "silu()")
    given["plan"] = short_plan(3, final=1)
    study, *_ = alike_study(tmp_path, evaluator=Lucky(), cache=CachePolicy(evaluations=2), **given)
    study.run()
    wanted = Wanted(("accuracy",), OBJECTIVE)
    history = read_history(tmp_path, wanted)
    assert history.values[:, 0].tolist() == [0.0, 15.0, 20.0]
    assert history.final[:, 0].tolist() == [1.0]  # of silu(), the study's choice


def test_as_many_equal_candidates_as_are_needed_are_evaluated_at_the_same_time(tmp_path):
    executor = OvertakingExecutor(4, seed=3)
    study, evaluator, _ = alike_study(
        tmp_path, executor=executor, cache=CachePolicy(evaluations=2), **scripted(*["relu()", "gelu()"] * 6)
    )
    study.run()
    assert len(evaluator.calls) == 2
    holders = {event["cached_from"] for event in lines(tmp_path, "told")}
    assert holders == {
        None,
        min(evaluator.calls, key=[e["trial"] for e in lines(tmp_path, "evaluated")].index),
    }


def test_a_forgotten_class_is_evaluated_again(tmp_path):
    study, evaluator, _ = alike_study(tmp_path, cache=CachePolicy(forget=1.0), **scripted(*["relu()"] * 6))
    study.run()
    assert set(evaluator.calls) == {0, 2, 4}
    assert [(e["outcome"], e["dropped"]) for e in lines(tmp_path, "cached")] == [
        ("miss", False),
        ("hit", True),
    ] * 3


def test_a_class_is_forgotten_with_the_answers_of_those_that_waited_too(tmp_path):
    study, evaluator, _ = alike_study(
        tmp_path, executor=SimulatedExecutor(2), cache=CachePolicy(forget=1.0), **scripted(*["relu()"] * 3)
    )
    study.run()
    dropped = [event["trial"] for event in lines(tmp_path, "told") if event.get("dropped")]
    assert dropped == [1]
    assert set(evaluator.calls) == {0}
    assert len(study._ledger.cache) == 0


def test_the_least_recently_used_class_is_evaluated_again(tmp_path):
    study, evaluator, _ = alike_study(
        tmp_path, cache=CachePolicy(capacity=1), **scripted("relu()", "silu()", "gelu()", "relu()")
    )
    study.run()
    assert set(evaluator.calls) == {0, 1, 2}
    assert told(tmp_path) == {0: None, 1: None, 2: None, 3: 2}
