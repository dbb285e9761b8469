"""Studies whose workers hash."""

from __future__ import annotations

from collections import Counter

import pytest

from nas.algorithms.random_search import RandomSearch
from nas.evaluation import Fidelity, InlineExecutor, SimulatedExecutor, Stage
from nas.study import Budget, CachePolicy, Plan, Suggestion, read_study
from tests.study.hashing_kit import Alike, Moody, alike_study
from tests.study.study_kit import (
    OBJECTIVE,
    OvertakingExecutor,
    Scripted,
    Watcher,
    events_of,
    score,
    short_plan,
    small_space,
    tiny_space,
)

SPACE = tiny_space()


def lines(directory, *kinds):
    return [event for event in events_of(directory) if event["event"] in kinds]


def told(directory):
    return {event["trial"]: event["cached_from"] for event in lines(directory, "told")}


def scripted(*texts):
    return {"space": SPACE, "searcher": Scripted(SPACE, texts), "plan": short_plan(len(texts))}


def test_a_study_hashes_looks_up_and_evaluates_in_this_order(tmp_path):
    study, evaluator, hasher = alike_study(tmp_path, **scripted("relu()", "gelu()", "relu()", "silu()"))
    study.run()
    assert hasher.seen == ["relu()", "gelu()", "silu()"]
    assert set(evaluator.calls) == {0, 3}
    assert told(tmp_path) == {0: None, 1: 0, 2: 0, 3: None}
    kinds = [(e["event"], e["trial"]) for e in events_of(tmp_path) if "trial" in e]
    assert kinds[:8] == [
        *[(kind, 0) for kind in ("asked", "hashed", "cached", "started", "evaluated", "told")],
        ("asked", 1),
        ("hashed", 1),
    ]
    first, _, third, _ = lines(tmp_path, "hashed")
    assert (first["digest"], first["settings"], first["reason"]) == ("test:1:8:relu()", "s", None)
    assert first["worker"] == "inline"
    assert first["seconds"] == first["finished"] - first["started"] >= 0
    assert (third["digest"], third["worker"], third["seconds"]) == ("test:1:8:relu()", None, 0.0)
    assert lines(tmp_path, "cached")[0]["key"] == ["test:1:8:relu()", "s"]


def test_hashing_moves_the_virtual_clock_and_takes_a_slot(tmp_path):
    """One worker, 10 s a hash: both hashes and one evaluation; the repeat of a text costs nothing."""
    texts = scripted("relu()", "gelu()", "relu()")
    study, evaluator, _ = alike_study(
        tmp_path, executor=SimulatedExecutor(1), cache=CachePolicy(hash_seconds=10.0), **texts
    )
    watcher = Watcher()
    study.observers = study._journal._observers = [watcher]
    study.run()
    cost = evaluator(evaluator.tasks[0]).cost_seconds
    first, second, third = lines(tmp_path, "hashed")
    assert [(e["started"], e["finished"]) for e in (first, second)] == [
        (0.0, 10.0),
        (10.0 + cost, 20.0 + cost),
    ]
    assert (third["started"], third["finished"], third["seconds"]) == (20.0 + cost, 20.0 + cost, 0.0)
    last = watcher.seen[-1][1]
    assert (last.elapsed, last.hash_seconds) == (20.0 + cost, 20.0)
    assert (last.cache_hits, last.cache_waits, last.cache_misses) == (2, 0, 1)
    assert last.seconds_saved == 2 * cost


def test_a_hash_costs_little_on_a_virtual_clock_unless_it_is_said(tmp_path):
    study, *_ = alike_study(tmp_path, executor=SimulatedExecutor(1), **scripted("relu()"))
    study.run()
    assert [event["seconds"] for event in lines(tmp_path, "hashed")] == [0.01]


def test_hashing_takes_real_time_on_a_real_clock(tmp_path):
    study, *_ = alike_study(tmp_path, hasher=Alike(sleep=0.05), **scripted("relu()"))
    study.run()
    (hashed,) = lines(tmp_path, "hashed")
    assert 0.05 <= hashed["seconds"] < 5


@pytest.mark.parametrize("executor", [SimulatedExecutor(4), OvertakingExecutor(4, seed=1)])
def test_equal_candidates_in_flight_train_once_and_equal_texts_are_hashed_once(tmp_path, executor):
    watcher = Watcher()
    study, evaluator, hasher = alike_study(
        tmp_path,
        space=SPACE,
        searcher=RandomSearch(SPACE, (OBJECTIVE,), seed=0),
        executor=executor,
        plan=short_plan(20),
        observers=[watcher],
    )
    study.run()
    outcomes = Counter(event["outcome"] for event in lines(tmp_path, "cached"))
    assert len(evaluator.calls) == outcomes["miss"] == 2
    assert watcher.seen[-1][1].cache_waits == outcomes["pending"] > 0
    assert sorted(hasher.seen) == ["gelu()", "relu()", "silu()"]
    assert len(lines(tmp_path, "hashed")) == len(told(tmp_path)) == 20


def test_a_searcher_that_repeats_itself_does_not_use_up_its_budget_during_one_hash(tmp_path):
    executor = OvertakingExecutor(3, seed=0)
    study, *_ = alike_study(tmp_path, executor=executor, **scripted(*["relu()"] * 30))
    study.run()
    kinds = [event["event"] for event in events_of(tmp_path)]
    assert kinds[: kinds.index("hashed")].count("asked") == 1 + 3


def test_hashes_are_no_evaluations(tmp_path):
    watcher = Watcher()
    study, evaluator, _ = alike_study(tmp_path, executor=SimulatedExecutor(2), observers=[watcher])
    study.run()
    assert len(evaluator.calls) == len(lines(tmp_path, "evaluated")) == len(lines(tmp_path, "started"))
    assert max(progress.in_flight for _, progress in watcher.seen) == 2
    for event, progress in watcher.seen:
        if event["event"] == "hashed":
            assert progress.done + progress.in_flight < 17
    last = watcher.seen[-1][1]
    assert (last.done, last.total, last.failed, last.in_flight) == (17, 17, 0, 0)
    assert last.cache_hits + last.cache_misses == 12


def test_baseline_and_final_are_neither_hashed_nor_looked_up(tmp_path):
    plan = Plan(seed=1, budget=Budget(trials=9), baseline=5, final=4)
    searcher = RandomSearch(SPACE, (OBJECTIVE,), seed=0)
    study, evaluator, hasher = alike_study(tmp_path, space=SPACE, searcher=searcher, plan=plan)
    study.run()
    stages = Counter(task.stage for task in evaluator.tasks.values())
    assert stages == {Stage.SEARCH: 2, Stage.BASELINE: 5, Stage.FINAL: 4}
    assert len(hasher.seen) == 3
    assert all(event["trial"] < 9 for event in lines(tmp_path, "hashed", "cached"))


def test_what_cannot_be_hashed_is_evaluated_without_the_cache(tmp_path):
    study, evaluator, hasher = alike_study(
        tmp_path, hasher=Moody(), **scripted("silu()", "silu()", "relu()", "gelu()")
    )
    study.run()
    assert set(evaluator.calls) == {0, 1, 2}
    assert hasher.seen.count("silu()") == 1
    hashed, cached = lines(tmp_path, "hashed"), lines(tmp_path, "cached")
    assert [(e["digest"], e["reason"]) for e in hashed[:2]] == [(None, "hidden randomness")] * 2
    assert [(e["outcome"], e["key"], e["holder"], e["reason"]) for e in cached[:2]] == [
        ("miss", None, None, "hidden randomness")
    ] * 2


def test_a_hash_has_a_time_limit_of_its_own(tmp_path):
    plan = Plan(seed=1, budget=Budget(trials=2), time_limit=8.0)
    study, evaluator, _ = alike_study(
        tmp_path,
        space=SPACE,
        searcher=Scripted(SPACE, ["relu()", "gelu()"]),
        plan=plan,
        executor=SimulatedExecutor(1),
        cache=CachePolicy(hash_seconds=10.0),
    )
    study.run()
    assert [event["reason"] for event in lines(tmp_path, "hashed")] == [
        "timeout: took 10 simulated seconds, over the limit of 8"
    ] * 2
    assert set(evaluator.calls) == {0, 1}
    assert all(row.ok for row in read_study(tmp_path).trials)


@pytest.mark.parametrize("workers", [1, 3])
def test_an_equal_text_is_hashed_again_after_a_reason_that_may_pass(tmp_path, workers):
    """Each hash of 10 s is over the limit; kept, that would leave an equal text without one."""
    plan = Plan(seed=1, budget=Budget(trials=3), time_limit=8.0)
    study, *_ = alike_study(
        tmp_path,
        space=SPACE,
        searcher=Scripted(SPACE, ["relu()"] * 3),
        plan=plan,
        executor=SimulatedExecutor(workers),
        cache=CachePolicy(hash_seconds=10.0),
    )
    study.run()
    hashed = lines(tmp_path, "hashed")
    assert len(hashed) == 3
    assert all(event["worker"] is not None and event["passing"] for event in hashed)
    assert study._ledger.memo.get(tiny_space().parse("relu()").digest()) is None


def test_the_first_who_waits_is_evaluated_when_the_holder_fails(tmp_path):
    """Trial 2 has the text of trial 0 and is looked up as soon as that is hashed, before trial 1."""
    study, evaluator, _ = alike_study(
        tmp_path,
        fails=lambda task: task.trial == 0,
        executor=SimulatedExecutor(3),
        **scripted("relu()", "gelu()", "relu()"),
    )
    study.run()
    assert told(tmp_path) == {0: None, 1: 2, 2: None}
    assert set(evaluator.calls) == {0, 2}
    assert [(e["trial"], e["outcome"], e["holder"]) for e in lines(tmp_path, "cached")] == [
        (0, "miss", None),
        (2, "pending", 0),
        (1, "pending", 0),
        (2, "miss", None),
    ]


def test_a_score_at_one_fidelity_answers_for_no_other(tmp_path):
    low, high = Fidelity("epochs", 1), Fidelity("epochs", 12)
    searcher = Scripted(SPACE, [])
    searcher._script.extend(
        Suggestion(SPACE.parse(text), fidelity=each)
        for text, each in (("relu()", low), ("gelu()", high), ("gelu()", low))
    )
    study, evaluator, hasher = alike_study(tmp_path, space=SPACE, searcher=searcher, plan=short_plan(3))
    study.run()
    assert {n: task.fidelity for n, task in evaluator.tasks.items()} == {0: low, 1: high}
    assert hasher.seen == ["relu()", "gelu()"]


def test_an_interrupted_hash_is_done_again(tmp_path):
    class Interrupted(Alike):
        def digest(self, text):
            raise KeyboardInterrupt

    study, *_ = alike_study(tmp_path, hasher=Interrupted(), **scripted("relu()", "gelu()"))
    with pytest.raises(KeyboardInterrupt):
        study.run()
    assert not lines(tmp_path, "hashed")
    alike_study(tmp_path, **scripted("relu()", "gelu()"))[0].run()
    assert told(tmp_path) == {0: None, 1: 0}


def test_the_small_space_saves_what_it_repeats(tmp_path):
    """The classes of 12 trials, counted by hand: as many evaluations as different digests."""
    study, evaluator, hasher = alike_study(tmp_path, space=small_space(), executor=InlineExecutor())
    study.run()
    rows = read_study(tmp_path).stage(Stage.SEARCH)
    classes = {hasher.digest(row.architecture).digest for row in rows}
    assert sum(task.stage is Stage.SEARCH for task in evaluator.tasks.values()) == len(classes) < 12
    for row in rows:
        holder = row.number if row.cached_from is None else row.cached_from
        assert row.value("accuracy") == score(rows[holder].architecture)
