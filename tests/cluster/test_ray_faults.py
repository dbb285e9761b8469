"""Trials that hang, crash, take too much memory or cannot be sent, and evaluators that do not load."""

from __future__ import annotations

import os
import re
import signal

import pytest

from nas.errors import EvaluationError
from nas.evaluation import Completed, Status
from tests.cluster.kit import both_modes, by_trial, opened, run, shared, starts, tasks_slowly  # noqa: F401
from tests.cluster.local_ray import local_ray  # noqa: F401
from tests.cluster.stand_ins import DiesOnLoading, Scripted, Unloadable, Unsendable, task

pytestmark = [pytest.mark.usefixtures("local_ray"), pytest.mark.slow]


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
        ended = [executor.wait()[0] for _ in range(2)]  # in either order on a busy machine
    own, general = sorted(ended, key=lambda completed: completed.task.trial)
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
        dead, alive = by_trial(run(executor, ("die",), ("value", 1.0)))
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


def test_leaving_the_interpreter_is_an_error_of_the_trial(shared):  # noqa: F811
    left, next_one = by_trial(run(shared, ("leave",), ("value", 1.0)))
    assert (left.status, left.reason) == (Status.ERROR, "SystemExit: gone")
    assert next_one.ok


def test_evaluations_and_architectures_that_cannot_be_sent_are_errors(shared):  # noqa: F811
    answer, question = by_trial(run(shared, ("unsendable",), ("value", (each for each in ()))))
    assert answer.status is question.status is Status.ERROR
    assert (answer.reason or "").startswith("the evaluation cannot be sent: ")
    assert (question.reason or "").startswith("the task cannot be sent to a worker: TypeError: cannot pickle")


def test_an_evaluator_that_cannot_be_sent_is_one_line():
    with (
        pytest.raises(
            EvaluationError, match=r"^evaluator Unsendable: expected one that can be pickled, got TypeError"
        ) as info,
        opened(Unsendable()),
    ):
        pass
    assert "\n" not in str(info.value)


def test_an_evaluator_that_workers_cannot_load_is_one_line():
    with (
        pytest.raises(
            EvaluationError,
            match=r"expected an evaluator .*, got ModuleNotFoundError: No module named 'only_at_home'; ",
        ) as info,
        opened(Unloadable()),
    ):
        pass
    assert "\n" not in str(info.value)


def test_tasks_report_an_evaluator_that_workers_cannot_load():
    with opened(Unloadable(), mode="tasks") as executor:
        executor.submit(task(0))
        with pytest.raises(EvaluationError, match="expected an evaluator that can be loaded"):
            executor.wait()


@pytest.mark.slow
def test_workers_that_die_while_loading_end_the_run():
    with (
        pytest.raises(
            EvaluationError,
            match="expected workers that start, got 6 failed starts in a row \\(ActorDiedError",
        ),
        opened(DiesOnLoading()),
    ):
        pass


@tasks_slowly
def test_what_a_trial_does_to_its_process_does_not_reach_the_next(mode):
    with opened(mode=mode, workers=1) as executor:
        before = run(executor, ("process",))[0].evaluation.values["score"]
        closed, after = by_trial(run(executor, ("close_streams",), ("process",)))
        assert closed.ok
        assert after.ok
        assert mode == "tasks" or after.values["score"] == before  # the same process, put right again
        for poison in ("leave_thread", "leave_files"):
            left = run(executor, (poison,))[0].evaluation
            replaced = run(executor, ("process",))[0].evaluation
            assert left.ok
            assert replaced.ok
            assert replaced.values["score"] != left.values["score"], poison


@tasks_slowly
def test_a_worker_whose_own_code_raises_is_replaced_and_the_trial_carried_out_again(mode, tmp_path):
    marker = tmp_path / "broken"
    with opened(mode=mode, workers=1, retries=1) as executor:
        broken, clean = by_trial(run(executor, ("break_wrapper", str(marker)), ("value", 2.0)))
    assert marker.exists()
    assert (broken.values, clean.values) == ({"score": 1.0}, {"score": 2.0})
