from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster.ray_executor import RayExecutor
from nas.errors import EvaluationError, ProtocolError
from nas.evaluation import Evaluation, Status
from nas.executor import Completed
from tests.cluster.local_ray import local_ray  # noqa: F401
from tests.cluster.stand_ins import (
    Counted,
    DiesOnLoading,
    Scripted,
    Unloadable,
    Unsendable,
    task,
)

pytestmark = pytest.mark.usefixtures("local_ray")
both_modes = pytest.mark.parametrize("mode", ["actors", "tasks"])
tasks_slowly = pytest.mark.parametrize("mode", ["actors", pytest.param("tasks", marks=pytest.mark.slow)])


SMALL = {"workers": 2, "cpus_per_trial": 0.5}  # two executors fit beside each other


@contextmanager
def opened(evaluator: Any = None, **options: Any) -> Iterator[RayExecutor]:
    with closing(RayExecutor(**{**SMALL, **options})) as executor:
        executor.open(evaluator or Scripted())
        yield executor


@pytest.fixture(scope="module")
def shared(local_ray: None) -> Iterator[RayExecutor]:  # noqa: F811
    """Open, for tests that leave nothing in flight."""
    with opened() as executor:
        yield executor


def run(executor: RayExecutor, *architectures: tuple[Any, ...], **settings: Any) -> list[Completed]:
    for trial, architecture in enumerate(architectures):
        executor.submit(task(trial, *architecture, **settings))
    ended: list[Completed] = []
    while len(ended) < len(architectures):
        ended += executor.wait()
    return ended


def by_trial(ended: list[Completed]) -> list[Evaluation]:
    return [completed.evaluation for completed in sorted(ended, key=lambda c: c.task.trial)]


def starts(diary: Path) -> Counter[int]:
    """How often each trial was started."""
    return Counter(int(line.split()[0]) for line in diary.read_text().splitlines())


@both_modes
def test_a_hanging_trial_is_killed_while_the_others_go_on(mode):
    with opened(mode=mode, time_limit=0.3) as executor:
        hung, *others = by_trial(run(executor, ("hang",), *[("value", 1.0)] * 6))
    assert hung.status is Status.TIMEOUT
    assert hung.reason == "did not stop at its time limit of 0.3 s and was killed"
    assert 0.3 < hung.cost_seconds < 5
    assert all(other.ok for other in others)


@tasks_slowly
def test_the_cooperative_limit_fires_first_and_the_shorter_limit_holds(mode):
    with opened(mode=mode, time_limit=0.2) as executor:
        executor.submit(task(0, "stop_in_time", time_limit=0.1))
        executor.submit(task(1, "stop_in_time"))
        own, general = [executor.wait()[0] for _ in range(2)]
    assert own.evaluation.reason == general.evaluation.reason == "stopped by itself"
    assert (own.evaluation.cost_seconds, own.task.time_limit) == (0.1, 0.1)
    assert (general.evaluation.cost_seconds, general.task.time_limit) == (0.2, None)


@both_modes
def test_a_killed_worker_costs_no_finished_evaluation(mode, tmp_path):
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    with opened(Scripted(str(diary)), mode=mode) as executor:
        done = run(executor, ("process",))
        executor.submit(task(1, "wait_for", str(gate)))
        executor.submit(task(2, "value", 2.0))
        ended: list[Completed] = []
        while not ended or starts(diary)[1] == 0:
            ended += executor.wait(timeout=0.05)
        victim = next(int(line.split()[1]) for line in diary.read_text().splitlines() if line[0] == "1")
        os.kill(victim, signal.SIGKILL)
        gate.touch()
        while len(ended) < 2:
            ended += executor.wait()
    assert all(completed.evaluation.ok for completed in [*done, *ended])
    assert sorted(completed.task.trial for completed in ended) == [1, 2]
    assert starts(diary) == {0: 1, 1: 2, 2: 1}


@tasks_slowly
def test_a_trial_whose_worker_dies_is_tried_again_and_pays_for_both(mode, tmp_path):
    with opened(mode=mode, retries=1) as executor:
        (evaluation,) = by_trial(run(executor, ("die_once", str(tmp_path / "marker"))))
    assert evaluation.ok
    assert evaluation.cost_seconds > 0.001


@tasks_slowly
def test_trials_that_always_kill_their_worker_end_as_such(mode, tmp_path):
    diary = tmp_path / "diary"
    with opened(Scripted(str(diary)), mode=mode, retries=2) as executor:
        dead, alive = by_trial(run(executor, ("exit", 3), ("value", 1.0)))
    assert dead.status is Status.WORKER_DIED
    assert re.fullmatch(r"(ActorDiedError|WorkerCrashedError): .+ \(attempt 3\)", dead.reason or "")
    assert alive.ok
    assert starts(diary) == {0: 3, 1: 1}


def test_a_trial_that_raises_is_never_tried_again(tmp_path):
    diary = tmp_path / "diary"
    with opened(Scripted(str(diary)), retries=5) as executor:
        run(executor, ("raise", ValueError("wrong")))
    assert starts(diary) == {0: 1}


@tasks_slowly
def test_memory_is_bounded_for_each_trial(mode):
    with opened(mode=mode, memory_per_trial=0.5) as executor:
        evaluations = by_trial(
            run(executor, ("allocate", 1.0), ("allocate", 0.1), ("allocate", 1.0), ("value", 1.0))
        )
    assert [evaluation.status for evaluation in evaluations] == [
        Status.OUT_OF_MEMORY,
        Status.COMPLETED,
        Status.OUT_OF_MEMORY,
        Status.COMPLETED,
    ]
    assert (evaluations[0].reason or "").startswith("MemoryError: Unable to allocate 1.00 GiB")


def test_leaving_the_interpreter_is_an_error_of_the_trial(shared):
    left, next_one = by_trial(run(shared, ("leave",), ("value", 1.0)))
    assert (left.status, left.reason) == (Status.ERROR, "SystemExit: gone")
    assert next_one.ok


def test_evaluations_and_architectures_that_cannot_be_sent_are_errors(shared):
    answer, question = by_trial(run(shared, ("unsendable",), ("value", (each for each in ()))))
    assert answer.status is question.status is Status.ERROR
    assert (answer.reason or "").startswith("the evaluation cannot be sent: ")
    assert (question.reason or "").startswith("the task cannot be sent to a worker: TypeError: cannot pickle")


def test_architectures_of_local_classes_can_be_sent(shared):
    class Local:
        value = 3.0

    (evaluation,) = by_trial(run(shared, ("attribute", Local())))
    assert evaluation.values == {"score": 3.0}


@both_modes
def test_the_evaluator_is_pickled_once_for_all_workers(mode):
    Counted.pickled = 0
    evaluator = Counted()
    with opened(evaluator, mode=mode) as executor:
        evaluations = by_trial(run(executor, *[()] * 8))
    assert Counted.pickled == 1
    # read-only views of one copy in shared memory: `writeable` is 0
    assert {e.values["score"] for e in evaluations} == {float(evaluator.data.sum())}


def test_an_evaluator_that_cannot_be_sent_is_one_line():
    with (
        pytest.raises(
            EvaluationError, match=r"^evaluator Unsendable: cannot be sent to workers: TypeError"
        ) as info,
        opened(Unsendable()),
    ):
        pass
    assert "\n" not in str(info.value)


def test_an_evaluator_that_workers_cannot_load_is_one_line():
    with (
        pytest.raises(
            EvaluationError,
            match=r"cannot load the evaluator: ModuleNotFoundError: No module named 'only_at_home'; ",
        ) as info,
        opened(Unloadable()),
    ):
        pass
    assert "\n" not in str(info.value)


def test_tasks_report_an_evaluator_that_workers_cannot_load():
    with opened(Unloadable(), mode="tasks") as executor:
        executor.submit(task(0))
        with pytest.raises(EvaluationError, match="cannot load the evaluator"):
            executor.wait()


@pytest.mark.slow
def test_workers_that_die_while_loading_end_the_run():
    with (
        pytest.raises(EvaluationError, match="workers fail while they start, 6 in a row: ActorDiedError"),
        opened(DiesOnLoading()),
    ):
        pass


def test_workers_are_recycled_after_the_stated_number_of_trials():
    with opened(recycle_after=2, workers=1, max_in_flight=4) as executor:
        evaluations = by_trial(run(executor, *[("process",)] * 6))
    processes = Counter(evaluation.values["score"] for evaluation in evaluations)
    assert sorted(processes.values()) == [2, 2, 2]


def test_trials_do_not_wait_behind_a_long_one(shared, tmp_path):
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


def test_short_trials_are_queued_ahead_and_long_ones_are_not(shared):
    run(shared, *[("value", 1.0)] * 12)
    assert shared.capacity == 4
    run(shared, *[("sleep", 0.8)] * 4)
    assert shared.capacity == 2


def test_wait_returns_after_its_timeout(shared):
    shared.submit(task(0, "sleep", 1.0))
    start = time.monotonic()
    assert shared.wait(timeout=0.1) == ()
    assert time.monotonic() - start < 0.9
    assert len(shared.wait()) == 1


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


def test_it_opens_once(shared):
    with pytest.raises(ProtocolError, match=r"expected a closed executor, got an open one"):
        shared.open(Scripted())
