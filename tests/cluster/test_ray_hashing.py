"""Workers on Ray hash: equal candidates train once, whatever hangs or dies is evaluated without the cache."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from nas.algorithms.random_search import RandomSearch
from nas.cluster.actors import ActorPool
from nas.cluster.ray_executor import RayExecutor
from nas.cluster.worker import Worker, WorkerSettings, decode_answer, decode_task, encode_task
from nas.evaluation import Task
from nas.study import Budget, Plan
from nas.study.cache import HashingEvaluator, hashed_of
from tests.cluster.kit import SMALL, tasks_slowly
from tests.cluster.local_ray import local_ray  # noqa: F401
from tests.cluster.stand_ins import Named, Scripted
from tests.study.hashing_kit import Alike, Deadly, alike_study
from tests.study.study_kit import OBJECTIVE, events_of, tiny_space
from tests.study.study_kit import Scripted as ScriptedSearcher

SPACE = tiny_space()
needs_ray = pytest.mark.usefixtures("local_ray")


def outcomes(directory: Path) -> Counter[str]:
    return Counter(event["outcome"] for event in events_of(directory) if event["event"] == "cached")


@needs_ray
@tasks_slowly
def test_a_study_hashes_in_its_workers_and_trains_equal_candidates_once(tmp_path, mode):
    diary = tmp_path / "diary"
    study, *_ = alike_study(
        tmp_path / "run",
        hasher=Alike(sleep=0.05, diary=str(diary)),
        space=SPACE,
        searcher=RandomSearch(SPACE, (OBJECTIVE,), seed=0),
        executor=RayExecutor(mode=mode, **SMALL),
        plan=Plan(seed=1, budget=Budget(trials=12), baseline=1, final=1),
    )
    study.run()
    events = events_of(tmp_path / "run")
    evaluated = [event["trial"] for event in events if event["event"] == "evaluated"]
    assert outcomes(tmp_path / "run")["miss"] == sum(trial < 12 for trial in evaluated) == 2
    processes, texts = zip(*(line.split() for line in diary.read_text().splitlines()), strict=True)
    assert sorted(texts) == ["gelu()", "relu()", "silu()"]
    assert str(os.getpid()) not in processes
    by_workers = [event for event in events if event["event"] == "hashed" and event["worker"]]
    assert {event["worker"].rpartition(":")[2] for event in by_workers} == set(processes)
    assert all(0.05 <= event["seconds"] < 10 for event in by_workers)


@pytest.mark.slow
@needs_ray
@tasks_slowly
def test_a_hash_that_hangs_or_kills_its_worker_is_no_end_of_the_search(tmp_path, mode):
    study, *_ = alike_study(
        tmp_path,
        hasher=Deadly(),
        space=SPACE,
        searcher=ScriptedSearcher(SPACE, ["relu()", "gelu()", "silu()", "relu()"]),
        executor=RayExecutor(mode=mode, retries=0, **SMALL),
        plan=Plan(seed=1, budget=Budget(trials=4), time_limit=1.0),
    )
    study.run()
    hashed = {e["trial"]: (e["digest"], e["reason"]) for e in events_of(tmp_path) if e["event"] == "hashed"}
    assert hashed[0] == hashed[3] == ("test:1:8:relu()", None)
    assert hashed[1] == (None, "timeout: did not stop at its time limit of 1 s and was killed")
    assert hashed[2][0] is None
    assert hashed[2][1].startswith("worker_died: ")
    evaluated = {
        e["trial"]: e["evaluation"]["status"] for e in events_of(tmp_path) if e["event"] == "evaluated"
    }
    assert evaluated == dict.fromkeys((0, 1, 2), "completed")


def test_hash_tasks_travel_as_they_are():
    sent = Task(3, ("x",), hashing=True)  # type: ignore[arg-type]
    assert decode_task(encode_task(sent)) == sent


def test_hashes_do_not_wear_a_worker_out(monkeypatch, capsys):
    monkeypatch.setattr("nas.cluster.worker.load_evaluator", lambda box: box[0])
    worker = Worker([HashingEvaluator(Scripted(), Named(), 0.0)], WorkerSettings(recycle_after=1))
    for _ in range(3):
        answer = decode_answer(worker.run(encode_task(Task(7, Named.of("a"), hashing=True))))  # type: ignore[arg-type]
        assert hashed_of(answer.evaluation).digest == "a"
        assert not answer.retiring
    assert decode_answer(worker.run(encode_task(Task(0, ("value", 1.0))))).retiring  # type: ignore[arg-type]
    assert capsys.readouterr().out.splitlines()[:2] == ["trial 7, hash: started", "trial 7, hash: completed"]


@pytest.mark.slow
@needs_ray
def test_hashes_say_nothing_of_the_length_of_trials():
    """Short trials are queued two at a worker; short hashes are no reason for that."""
    executor = RayExecutor(**SMALL)
    executor.open(HashingEvaluator(Scripted(), Named(), 0.0))
    try:
        for _ in range(4):
            executor.submit(Task(0, Named.of("a"), hashing=True))  # type: ignore[arg-type]
            executor.wait()
        assert isinstance(executor._pool, ActorPool)
        assert executor.capacity == 2
        executor.submit(Task(0, ("value", 1.0)))  # type: ignore[arg-type]
        executor.wait()
        assert executor.capacity == 4
    finally:
        executor.close()
