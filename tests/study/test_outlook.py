from __future__ import annotations

from nas.evaluation import SimulatedExecutor
from nas.study import read_study
from tests.study.study_kit import (
    FakeEvaluator,
    OvertakingExecutor,
    Watcher,
    events_of,
    make_study,
    short_plan,
)


class TestProgress:
    def test_counts_follow_the_events(self, tmp_path):
        watcher = Watcher()
        evaluator = FakeEvaluator(fails=lambda task: task.trial == 3)
        make_study(
            tmp_path, evaluator=evaluator, executor=OvertakingExecutor(3, seed=4), observers=[watcher]
        ).run()
        logged = events_of(tmp_path)
        assert [event["event"] for event, _ in watcher.seen] == [event["event"] for event in logged]
        done = [progress.done for _, progress in watcher.seen]
        assert done == sorted(done)
        stages = [progress.stage for _, progress in watcher.seen]
        assert stages == sorted(stages, key=["search", "baseline", "final"].index)
        last = watcher.seen[-1][1]
        cached = sum(e["event"] == "told" and e["cached_from"] is not None for e in logged)
        assert (last.done, last.total, last.in_flight, last.failed) == (17, 17, 0, 1)
        assert last.cache_hits == cached
        chosen = read_study(tmp_path).chosen
        assert chosen is not None
        assert (last.best, last.best_trial) == (chosen.value("accuracy"), chosen.number)
        assert last.time_left == 0

    def test_time_left_is_unknown_first_and_then_falls_with_the_clock(self, tmp_path):
        watcher = Watcher()
        make_study(
            tmp_path,
            executor=SimulatedExecutor(1),
            observers=[watcher],
            plan=short_plan(None, seconds=50.0),
            hasher=None,
        ).run()
        first, last = watcher.seen[0][1], watcher.seen[-1][1]
        assert first.time_left is None
        assert first.total is None
        assert last.time_left == 0
        assert last.total == last.done
        for _, progress in watcher.seen:
            if progress.time_left is not None and progress.stage == "search":
                assert progress.time_left <= max(0.0, 50.0 - progress.elapsed) + 1e-9
