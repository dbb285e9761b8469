from __future__ import annotations

import time

import pytest

from nas.errors import ConfigError, ProtocolError
from nas.evaluation import InlineExecutor, SimulatedExecutor, Status, failure_of
from nas.evaluation.executors import is_out_of_memory
from tests.cluster.stand_ins import Scripted, task


def inline() -> InlineExecutor:
    executor = InlineExecutor()
    executor.open(Scripted())
    return executor


def simulated(workers: int) -> SimulatedExecutor:
    executor = SimulatedExecutor(workers)
    executor.open(Scripted())
    return executor


def test_inline_measures_real_time():
    executor = inline()
    executor.submit(task(0, "sleep", 0.05))
    (completed,) = executor.wait()
    assert 0.05 <= completed.finished - completed.started < 1.0
    assert completed.finished <= executor.now()


def test_inline_lets_the_user_interrupt():
    executor = inline()
    executor.submit(task(0, "raise", KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        executor.wait()


def test_the_cost_of_an_evaluation_that_raised_is_its_time():
    executor = inline()
    executor.submit(task(0, "raise", ValueError("wrong")))
    (completed,) = executor.wait()
    assert 0 <= completed.evaluation.cost_seconds < 1.0


@pytest.mark.parametrize("executor", [InlineExecutor(), SimulatedExecutor()])
def test_closed_executors_say_so(executor):
    with pytest.raises(ProtocolError, match="expected to be open"):
        executor.submit(task(0, "value", 1.0))


def test_simulated_tasks_take_their_cost_on_the_first_free_worker():
    executor = simulated(2)
    for trial, cost in enumerate([5.0, 1.0, 2.0, 4.0]):
        executor.submit(task(trial, "cost", cost))
    ended = [executor.wait()[0] for _ in range(4)]
    assert [(c.task.trial, c.started, c.finished, c.worker) for c in ended] == [
        (1, 0.0, 1.0, "simulated-1"),
        (2, 1.0, 3.0, "simulated-1"),
        (0, 0.0, 5.0, "simulated-0"),
        (3, 3.0, 7.0, "simulated-1"),
    ]
    assert executor.now() == 7.0


def test_simulated_tasks_submitted_later_start_later():
    executor = simulated(2)
    executor.submit(task(0, "cost", 10.0))
    executor.submit(task(1, "cost", 3.0))
    executor.wait()
    executor.submit(task(2, "cost", 1.0))
    (second,) = executor.wait()
    assert (second.task.trial, second.started, second.finished) == (2, 3.0, 4.0)


def test_simulated_ties_end_in_order_of_submission():
    executor = simulated(3)
    for trial in (7, 3, 5):
        executor.submit(task(trial, "cost", 2.0))
    assert [executor.wait()[0].task.trial for _ in range(3)] == [7, 3, 5]


def test_simulated_timeout_moves_the_clock_only():
    executor = simulated(1)
    executor.submit(task(0, "cost", 10.0))
    assert executor.wait(timeout=4.0) == ()
    assert executor.now() == 4.0
    assert executor.wait(timeout=6.0)[0].finished == 10.0


def test_simulated_cost_over_the_limit_is_a_timeout_at_the_limit():
    executor = simulated(1)
    executor.submit(task(0, "cost", 10.0, time_limit=4.0))
    (completed,) = executor.wait()
    assert completed.evaluation.status is Status.TIMEOUT
    assert completed.evaluation.reason == "took 10 simulated seconds, over the limit of 4"
    assert completed.evaluation.cost_seconds == completed.finished == 4.0
    assert completed.evaluation.values == {}


def test_simulated_limits_count_simulated_seconds_only():
    executor = simulated(1)
    executor.submit(task(0, "sleep", 0.05, time_limit=0.01))  # costs 0.001 simulated seconds
    (completed,) = executor.wait()
    assert completed.evaluation.ok


def test_simulated_exceptions_take_no_time_so_that_the_clock_stays_deterministic():
    executor = simulated(1)
    executor.submit(task(0, "raise", ValueError("wrong")))
    executor.wait()
    assert executor.now() == 0.0


def test_simulated_needs_a_worker():
    with pytest.raises(ConfigError, match=r"^executor\.workers: expected at least 1, got 0; raise it$"):
        SimulatedExecutor(0)


@pytest.mark.slow
def test_simulated_bookkeeping_is_linear_in_the_number_of_tasks():
    def seconds(count: int) -> float:
        executor = simulated(8)
        start = time.process_time()
        for trial in range(count):
            executor.submit(task(trial, "cost", float(trial % 7)))
            if trial >= 8:
                executor.wait()
        return time.process_time() - start

    seconds(100)
    assert seconds(8000) < 30 * max(seconds(1000), 1e-3)


OUT_OF_MEMORY = pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
        (type("OutOfMemoryError", (RuntimeError,), {})(), True),
        (ValueError("out of memory"), False),
        (RuntimeError("shape mismatch"), False),
    ],
)


@OUT_OF_MEMORY
def test_out_of_memory_is_told_from_other_errors(error, expected):
    assert is_out_of_memory(error) is expected


@OUT_OF_MEMORY
def test_training_tells_it_in_the_same_way(error, expected):
    assert failure_of(error, 0.0).status is (Status.OUT_OF_MEMORY if expected else Status.ERROR)
