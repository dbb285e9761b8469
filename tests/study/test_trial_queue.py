from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nas.algorithms.random_search import RandomSearch
from nas.errors import ProtocolError
from nas.evaluation import Evaluation, SimulatedExecutor, Stage, Status
from nas.study import Hashed, Hasher, read_study
from tests.study.study_kit import (
    OBJECTIVE,
    FakeEvaluator,
    OvertakingExecutor,
    Scripted,
    events_of,
    make_study,
    short_plan,
    story,
    tiny_space,
)


class TestSearcherSide:
    def test_empty_ask_is_logged_once_and_repeated_after_the_next_tell(self, tmp_path):
        space = tiny_space()
        searcher = Scripted(space, ["relu()", None, None, "gelu()"])
        # the second None comes with nothing in flight, but after a tell
        study = make_study(
            tmp_path, space=space, searcher=searcher, plan=short_plan(), executor=SimulatedExecutor(2)
        )
        with pytest.raises(
            ProtocolError, match=r"Scripted.ask: expected a suggestion, as every trial was told"
        ):
            study.run()
        assert [s[:2] for s in story(tmp_path) if s[0] == "asked"] == [("asked", n) for n in (0, None, None)]
        closed = events_of(tmp_path)[-1]
        assert (closed["event"], closed["reason"]) == ("closed", "error")
        assert closed["message"].startswith("ProtocolError: Scripted.ask")

    def test_search_finished_ends_the_search_stage(self, tmp_path):
        space = tiny_space()
        make_study(tmp_path, space=space, searcher=Scripted(space, ["relu()", "gelu()"])).run()
        record = read_study(tmp_path)
        assert [len(record.stage(stage)) for stage in Stage] == [2, 3, 2, 0]

    def test_more_suggestions_than_asked_for_are_an_error(self, tmp_path):
        class Greedy(Scripted):
            def ask(self, count=1):
                return (*super().ask(), *super().ask())

        space = tiny_space()
        study = make_study(tmp_path, space=space, searcher=Greedy(space, ["relu()", "gelu()"]))
        with pytest.raises(ProtocolError, match="expected at most 1 suggestion, got 2"):
            study.run()

    def test_failed_trials_are_told_and_the_search_goes_on(self, tmp_path):
        space = tiny_space()
        searcher = Scripted(space, ["relu()", "gelu()", "silu()"])
        evaluator = FakeEvaluator(fails=lambda task: task.trial == 1)
        make_study(tmp_path, space=space, searcher=searcher, evaluator=evaluator, plan=short_plan()).run()
        told = {trial.number: trial.evaluation.status for trial in searcher.told if trial.evaluation}
        assert told == {0: Status.COMPLETED, 1: Status.DIVERGED, 2: Status.COMPLETED}

    def test_a_searcher_that_raises_closes_the_log_and_is_not_hidden(self, tmp_path):
        class Broken(Scripted):
            def tell(self, trial):
                raise ZeroDivisionError("a fault of the method")

        space = tiny_space()
        with pytest.raises(
            ProtocolError, match=r"ZeroDivisionError: a fault of the method at .*test_trial_queue.py"
        ):
            make_study(tmp_path, space=space, searcher=Broken(space, ["relu()"])).run()
        assert "ZeroDivisionError: a fault of the method" in events_of(tmp_path)[-1]["message"]

    def test_what_a_searcher_is_told_has_plain_numbers(self, tmp_path):
        class Numpy(FakeEvaluator):
            def __call__(self, task):
                values = {"accuracy": np.float32(0.1), "test_accuracy": np.float64(0.2)}
                return Evaluation(Status.COMPLETED, values, info={"n": np.int64(3)})

        space = tiny_space()
        searcher = Scripted(space, ["relu()"])
        make_study(tmp_path, space=space, searcher=searcher, evaluator=Numpy(), plan=short_plan()).run()
        evaluation = searcher.told[0].evaluation
        assert evaluation is not None
        assert {type(value) for value in evaluation.values.values()} == {float}
        assert type(evaluation.info["n"]) is int


class TestCache:
    def test_duplicates_in_flight_are_evaluated_once(self, tmp_path):
        evaluator = FakeEvaluator()
        space = tiny_space()
        searcher = RandomSearch(space, (OBJECTIVE,), seed=0)
        executor = OvertakingExecutor(4, seed=1)
        make_study(
            tmp_path,
            space=space,
            searcher=searcher,
            evaluator=evaluator,
            executor=executor,
            plan=short_plan(20),
        ).run()
        outcomes = Counter(e["outcome"] for e in events_of(tmp_path) if e["event"] == "cached")
        assert len(evaluator.calls) == 3
        assert outcomes["miss"] == 3
        assert outcomes["pending"] > 0
        assert outcomes["hit"] > 0
        assert sum(e["event"] == "told" for e in events_of(tmp_path)) == 20

    def test_first_who_waits_is_evaluated_when_the_holder_fails(self, tmp_path):
        space = tiny_space()
        searcher = Scripted(space, ["relu()", "relu()", "relu()", "gelu()"])
        evaluator = FakeEvaluator(fails=lambda task: task.trial == 0)
        executor = SimulatedExecutor(2)
        make_study(
            tmp_path,
            space=space,
            searcher=searcher,
            evaluator=evaluator,
            executor=executor,
            plan=short_plan(),
        ).run()
        assert set(evaluator.calls) == {0, 1, 3}
        told = {trial.number: (trial.evaluation.status.value, trial.cached_from) for trial in searcher.told}  # type: ignore[union-attr]
        assert told == {
            0: ("diverged", None),
            1: ("completed", None),
            2: ("completed", 1),
            3: ("completed", None),
        }
        cached = [
            (e["trial"], e["outcome"], e["holder"]) for e in events_of(tmp_path) if e["event"] == "cached"
        ]
        assert cached == [
            (0, "miss", None),
            (1, "pending", 0),
            (2, "pending", 0),
            (1, "miss", None),
            (3, "miss", None),
        ]

    def test_cached_trials_cost_nothing(self, tmp_path):
        space = tiny_space()
        searcher = Scripted(space, ["relu()", "relu()"])
        make_study(tmp_path, space=space, searcher=searcher, plan=short_plan()).run()
        costs = [trial.evaluation.cost_seconds for trial in searcher.told if trial.evaluation]
        assert costs[0] > 0
        assert costs[1] == 0

    def test_baseline_and_final_never_come_from_the_cache(self, tmp_path):
        space = tiny_space()
        evaluator = FakeEvaluator()
        searcher = RandomSearch(space, (OBJECTIVE,), seed=0)
        make_study(
            tmp_path,
            space=space,
            searcher=searcher,
            evaluator=evaluator,
            plan=short_plan(9, baseline=5, final=4),
        ).run()
        assert Counter(task.stage for task in evaluator.tasks.values()) == {
            Stage.SEARCH: 3,
            Stage.BASELINE: 5,
            Stage.FINAL: 4,
        }

    def test_without_hasher_everything_is_evaluated(self, tmp_path):
        space = tiny_space()
        evaluator = FakeEvaluator()
        searcher = Scripted(space, ["relu()", "relu()"])
        make_study(
            tmp_path, space=space, searcher=searcher, evaluator=evaluator, plan=short_plan(), hasher=None
        ).run()
        assert set(evaluator.calls) == {0, 1}
        assert not [e for e in events_of(tmp_path) if e["event"] == "cached"]

    def test_what_has_no_hash_is_evaluated(self, tmp_path):
        class Shy(Hasher):
            name = "shy"
            in_worker = False

            def hash(self, architecture):
                return (
                    Hashed(None, reason="it draws\nnumbers")
                    if "relu" in architecture.text
                    else Hashed("same")
                )

        space = tiny_space()
        evaluator = FakeEvaluator()
        searcher = Scripted(space, ["relu()", "relu()", "gelu()", "silu()"])
        make_study(
            tmp_path, space=space, searcher=searcher, evaluator=evaluator, plan=short_plan(), hasher=Shy()
        ).run()
        assert set(evaluator.calls) == {0, 1, 2}
        first = next(e for e in events_of(tmp_path) if e["event"] == "cached")
        assert (first["key"], first["outcome"], first["reason"]) == (None, "miss", "it draws numbers")
