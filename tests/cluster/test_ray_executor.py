from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from nas.cluster.ray_executor import RayExecutor
from nas.errors import ProtocolError
from nas.evaluation import Completed
from tests.cluster.kit import both_modes, by_trial, opened, run, shared, starts  # noqa: F401
from tests.cluster.local_ray import local_ray  # noqa: F401
from tests.cluster.stand_ins import Counted, Scripted, task

pytestmark = pytest.mark.usefixtures("local_ray")


def test_architectures_of_local_classes_can_be_sent(shared):  # noqa: F811
    class Local:
        value = 3.0

    (evaluation,) = by_trial(run(shared, ("attribute", Local())))
    assert evaluation.values == {"score": 3.0}


@pytest.mark.slow
@both_modes
def test_the_evaluator_is_pickled_once_for_all_workers(mode):
    Counted.pickled = 0
    evaluator = Counted()
    with opened(evaluator, mode=mode) as executor:
        evaluations = by_trial(run(executor, *[()] * 8))
    assert Counted.pickled == 1
    # read-only views of one copy in shared memory: `writeable` is 0
    assert {e.values["score"] for e in evaluations} == {float(evaluator.data.sum())}


@pytest.mark.slow
def test_workers_are_recycled_after_the_stated_number_of_trials():
    with opened(recycle_after=2, workers=1, max_in_flight=4) as executor:
        evaluations = by_trial(run(executor, *[("process",)] * 6))
    processes = Counter(evaluation.values["score"] for evaluation in evaluations)
    assert sorted(processes.values()) == [2, 2, 2]


def test_trials_do_not_wait_behind_a_long_one(shared, tmp_path):  # noqa: F811
    gate = tmp_path / "gate"
    run(shared, *[("value", 1.0)] * 8)  # short trials: from now on two at each worker
    shared.submit(task(0, "wait_for", str(gate)))
    for trial in range(1, 8):
        shared.submit(task(trial, "value", 1.0))
    ended: list[Completed] = []
    while len(ended) < 7:
        ended += shared.wait()
    assert {completed.task.trial for completed in ended} == set(range(1, 8))
    gate.touch()
    assert shared.wait()[0].task.trial == 0


@pytest.mark.slow
def test_a_busy_driver_neither_kills_nor_repeats_what_has_ended(tmp_path):
    diary = tmp_path / "diary"
    with opened(Scripted(str(diary)), time_limit=0.1) as executor:
        run(executor, *[("value", 1.0)] * 4)
        for trial in range(10, 14):
            executor.submit(task(trial, "value", 1.0))
        time.sleep(1.3)  # as in a slow searcher: longer than the time limit and its grace
        ended: list[Completed] = []
        while len(ended) < 4:
            ended += executor.wait()
    assert all(completed.evaluation.ok for completed in ended)
    assert set(starts(diary).values()) == {1}


@pytest.mark.slow
def test_short_trials_are_queued_ahead_and_long_ones_are_not(shared):  # noqa: F811
    run(shared, *[("value", 1.0)] * 12)
    assert shared.capacity == 4
    run(shared, *[("sleep", 0.8)] * 4)
    assert shared.capacity == 2


def test_wait_returns_after_its_timeout(shared):  # noqa: F811
    shared.submit(task(0, "sleep", 1.0))
    start = time.monotonic()
    assert shared.wait(timeout=0.1) == ()
    assert time.monotonic() - start < 0.9
    assert len(shared.wait()) == 1


@pytest.mark.slow
@both_modes
def test_close_does_not_wait_for_running_trials(mode, tmp_path):
    diary = tmp_path / "diary"
    executor = RayExecutor(mode=mode)
    executor.open(Scripted(str(diary)))
    executor.submit(task(0, "hang"))
    while not diary.exists():
        assert executor.wait(timeout=0.05) == ()
    process = int(diary.read_text().split()[1])
    start = time.monotonic()
    executor.close()
    while alive(process):
        assert time.monotonic() - start < 5
        time.sleep(0.02)


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_it_opens_once(shared):  # noqa: F811
    with pytest.raises(ProtocolError, match=r"expected a closed executor, got an open one"):
        shared.open(Scripted())
