from __future__ import annotations

import numpy as np
import pytest

from nas.algorithms.random_search import RandomSearch
from nas.errors import ConfigError, EvaluationError
from nas.evaluation import Fidelity, InlineExecutor, SimulatedExecutor, Stage
from nas.space import SearchSpace
from nas.study import Budget, Plan, Suggestion, read_study
from nas.study import state as outlook
from tests.study.study_kit import (
    OBJECTIVE,
    FakeEvaluator,
    OvertakingExecutor,
    Scripted,
    Watcher,
    events_of,
    make_study,
    score,
    short_plan,
    small_space,
    tiny_space,
)


class TestStages:
    def test_search_baseline_and_final_are_all_carried_out(self, tmp_path):
        evaluator = FakeEvaluator()
        make_study(tmp_path, evaluator=evaluator).run()
        record = read_study(tmp_path)
        assert {stage: [row.number for row in record.stage(stage)] for stage in Stage} == {
            Stage.SEARCH: list(range(12)),
            Stage.BASELINE: [10_000_000, 10_000_001, 10_000_002],
            Stage.SUPERNET: [],
            Stage.FINAL: [20_000_000, 20_000_001],
        }
        assert record.closed is not None
        assert record.closed["reason"] == "finished"
        assert all(row.ok for row in record.trials)
        assert len({row.seed for row in record.trials}) == 17

    def test_only_search_trials_use_the_cheap_fidelity(self, tmp_path):
        cheap = Fidelity("epochs", 2)
        evaluator = FakeEvaluator()
        make_study(
            tmp_path,
            evaluator=evaluator,
            plan=Plan(
                seed=1, budget=Budget(trials=3), baseline=1, final=1, search_fidelity=cheap, time_limit=9.0
            ),
        ).run()
        assert {task.stage: task.fidelity for task in evaluator.tasks.values()} == {
            Stage.SEARCH: cheap,
            Stage.BASELINE: None,
            Stage.FINAL: None,
        }
        assert {task.time_limit for task in evaluator.tasks.values()} == {9.0}

    def test_seeds_and_baseline_depend_on_no_timing(self, tmp_path):
        for workers in (1, 4):
            executor = OvertakingExecutor(workers, seed=workers)
            make_study(tmp_path / str(workers), executor=executor).run()
        one, four = (read_study(tmp_path / name) for name in ("1", "4"))
        assert [(r.number, r.seed, r.architecture) for r in one.stage(Stage.BASELINE)] == [
            (r.number, r.seed, r.architecture)
            for r in sorted(four.stage(Stage.BASELINE), key=lambda r: r.number)
        ]
        for row in one.trials:
            expected = np.random.SeedSequence(1, spawn_key=(row.number,)).generate_state(1)[0]
            assert row.seed == expected

    def test_baseline_fills_the_slots_that_the_searcher_leaves(self, tmp_path):
        space = small_space()
        texts = [space.start().take(0).take(1).take(0).take(width).architecture().text for width in range(2)]
        searcher = Scripted(space, [texts[0], None, texts[1]])
        executor = OvertakingExecutor(3, seed=0)
        make_study(
            tmp_path, space=space, searcher=searcher, executor=executor, plan=short_plan(baseline=4)
        ).run()
        asked = [(e["stage"], e["trial"]) for e in events_of(tmp_path) if e["event"] == "asked"]
        assert asked[:4] == [
            ("search", 0),
            ("search", None),
            ("baseline", 10_000_000),
            ("baseline", 10_000_001),
        ]
        assert [trial.number for trial in searcher.told] == [0, 1]

    def test_final_waits_for_the_last_search_trial(self, tmp_path):
        make_study(tmp_path, executor=OvertakingExecutor(4, seed=2)).run()
        events = events_of(tmp_path)
        last_told = max(i for i, e in enumerate(events) if e["event"] == "told")
        first_final = min(i for i, e in enumerate(events) if e.get("stage") == "final")
        assert last_told < first_final

    def test_no_final_without_a_completed_search_trial(self, tmp_path):
        evaluator = FakeEvaluator(fails=lambda task: task.stage is Stage.SEARCH)
        make_study(tmp_path, evaluator=evaluator).run()
        record = read_study(tmp_path)
        assert record.chosen is None
        assert record.stage(Stage.FINAL) == ()
        assert len(record.stage(Stage.BASELINE)) == 3
        assert record.closed is not None
        assert record.closed["reason"] == "finished"

    @pytest.mark.parametrize("workers", [1, 3, 8])
    def test_no_more_than_the_capacity_is_in_flight(self, tmp_path, workers):
        executor = OvertakingExecutor(workers, seed=workers)
        make_study(tmp_path, executor=executor).run()
        assert executor.most == workers


class Unusable(FakeEvaluator):
    """Raises, up to a trial, as evaluators do whose device is not there."""

    def __init__(self, until: int) -> None:
        super().__init__()
        self._until = until

    def __call__(self, task):
        evaluation = super().__call__(task)
        if task.trial < self._until:
            raise EvaluationError("device: expected a GPU, found none")
        return evaluation


class TestFaultsOfTheSetUp:
    @pytest.mark.parametrize("workers", [1, 4])
    def test_a_run_whose_first_evaluations_could_not_be_carried_out_is_given_up(self, tmp_path, workers):
        executor = SimulatedExecutor(workers)
        message = "each of the first 3 ended with EvaluationError: device: expected a GPU, found none; mend"
        study = make_study(tmp_path, evaluator=Unusable(10**9), executor=executor, plan=short_plan(100))
        with pytest.raises(EvaluationError, match=message):
            study.run()
        events = events_of(tmp_path)
        assert sum(event["event"] == "evaluated" for event in events) == 3
        assert events[-1]["reason"] == "error"
        assert message in events[-1]["message"]

    def test_it_goes_on_once_the_fault_is_mended(self, tmp_path):
        with pytest.raises(EvaluationError):
            make_study(tmp_path, evaluator=Unusable(10**9)).run()
        make_study(tmp_path, evaluator=Unusable(0)).run()
        closed = read_study(tmp_path).closed
        assert closed is not None
        assert closed["reason"] == "finished"

    def test_a_single_candidate_that_it_refuses_ends_nothing(self, tmp_path):
        make_study(tmp_path, evaluator=Unusable(2)).run()
        assert sum(not row.ok for row in read_study(tmp_path).stage(Stage.SEARCH)) == 2

    def test_failures_of_candidates_give_nothing_up_but_a_run_without_any_result_says_so(self, tmp_path):
        message = r"nothing completed; all 6 evaluations failed, the last with loss is nan; .*nas\.report"
        for _ in range(2):  # also when it is continued
            study = make_study(
                tmp_path, evaluator=FakeEvaluator(fails=lambda task: True), plan=short_plan(6), hasher=None
            )
            with pytest.raises(EvaluationError, match=message):
                study.run()
        assert [event["reason"] for event in events_of(tmp_path) if event["event"] == "closed"] == [
            "finished"
        ]


class TestEnds:
    def test_seconds_bound_the_search_and_let_it_finish(self, tmp_path):
        executor = SimulatedExecutor(2)
        make_study(
            tmp_path, executor=executor, plan=short_plan(None, seconds=30.0, baseline=2), hasher=None
        ).run()
        rows = read_study(tmp_path).stage(Stage.SEARCH)
        assert all(row.started is not None and row.started < 30.0 for row in rows)
        assert all(row.ok for row in rows)
        assert max(row.finished or 0 for row in rows) >= 30.0

    def test_a_search_that_only_repeats_itself_ends_without_a_limit_on_trials(self, tmp_path, monkeypatch):
        monkeypatch.setattr(outlook, "_MAX_HITS_IN_A_ROW", 20)
        space = tiny_space()
        searcher = RandomSearch(space, (OBJECTIVE,), seed=0)
        executor = SimulatedExecutor(1)
        make_study(
            tmp_path,
            space=space,
            searcher=searcher,
            executor=executor,
            plan=short_plan(None, seconds=1e6, final=1),
        ).run()
        record = read_study(tmp_path)
        assert 20 < len(record.stage(Stage.SEARCH)) < 60
        assert len(record.final) == 1

    @pytest.mark.parametrize("workers", [1, 4])
    def test_a_search_that_ended_by_repeating_itself_does_not_begin_again(
        self, tmp_path, monkeypatch, workers
    ):
        monkeypatch.setattr(outlook, "_MAX_HITS_IN_A_ROW", 20)
        space = SearchSpace("two", "relu() | gelu()")
        make_study(
            tmp_path,
            space=space,
            searcher=RandomSearch(space, (OBJECTIVE,), seed=0),
            executor=SimulatedExecutor(workers),
            plan=short_plan(None, seconds=1000.0, baseline=8, final=8),
        ).run()
        record = read_study(tmp_path)
        stages = [event["stage"] for event in events_of(tmp_path) if event["event"] == "asked"]
        assert "search" not in stages[stages.index("final") :]
        assert len(record.stage(Stage.SEARCH)) < 60
        assert (len(record.stage(Stage.BASELINE)), len(record.final)) == (8, 8)

    def test_stop_ends_in_good_order(self, tmp_path):
        watcher = Watcher(
            lambda event: study.stop() if event["event"] == "told" and event["trial"] == 4 else None
        )
        study = make_study(tmp_path, observers=[watcher])
        study.run()
        record = read_study(tmp_path)
        assert record.closed is not None
        assert record.closed["reason"] == "interrupted"
        assert len(record.trials) == 5
        assert watcher.closed == 1

    def test_interrupt_is_logged_and_raised(self, tmp_path):
        class Interrupted(FakeEvaluator):
            def __call__(self, task):
                if task.trial == 2:
                    raise KeyboardInterrupt
                return super().__call__(task)

        with pytest.raises(KeyboardInterrupt):
            make_study(tmp_path, evaluator=Interrupted()).run()
        assert events_of(tmp_path)[-1]["reason"] == "interrupted"

    def test_executor_that_cannot_open_is_closed_and_logged(self, tmp_path):
        class Unreachable(InlineExecutor):
            closed = False

            def open(self, evaluator):
                raise ConfigError("executor: no cluster there")

            def close(self):
                self.closed = True

        executor = Unreachable()
        with pytest.raises(ConfigError, match="no cluster there"):
            make_study(tmp_path, executor=executor).run()
        assert executor.closed
        assert [e["event"] for e in events_of(tmp_path)] == ["opened", "closed"]


def test_the_choice_is_by_the_objective_that_is_searched(tmp_path):
    space = tiny_space()
    searcher = Scripted(space, ["relu()", "gelu()", "silu()"])
    make_study(tmp_path, space=space, searcher=searcher, plan=short_plan(final=1)).run()
    final = read_study(tmp_path).stage(Stage.FINAL)[0]
    assert final.architecture == max(["relu()", "gelu()", "silu()"], key=score)


def test_suggestions_with_their_own_fidelity_are_evaluated_at_it(tmp_path):
    space = tiny_space()
    searcher = Scripted(space, [])
    low, high = Fidelity("epochs", 1), Fidelity("epochs", 12)
    searcher._script.extend(Suggestion(space.parse("relu()"), fidelity=each) for each in (low, high, low))
    evaluator = FakeEvaluator()
    make_study(tmp_path, space=space, searcher=searcher, evaluator=evaluator, plan=short_plan()).run()
    assert {n: task.fidelity for n, task in evaluator.tasks.items()} == {0: low, 1: high}
