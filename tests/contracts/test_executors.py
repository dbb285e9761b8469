"""What every registered executor promises."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from nas.cluster import EXECUTORS
from nas.errors import ConfigError, ProtocolError
from nas.evaluation import Completed, Executor, Status, Task
from nas.study import Hashed
from nas.study.cache import HashingEvaluator, hashed_of
from tests.cluster.kit import run
from tests.cluster.local_ray import local_ray  # noqa: F401
from tests.cluster.stand_ins import Counted, Named, Scripted, task

REFUSED = "EvaluationError: "  # how an evaluator's own fault is worded
# options of an executor that needs some to be tested; others are tested as they are
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "simulated": [{"workers": 1}, {"workers": 3}],
    # half of the two CPUs each, for two of them are open at a time
    "ray": [{"mode": mode, "workers": 2, "cpus_per_trial": 0.5} for mode in ("actors", "tasks")],
}
CASES = [(name, options) for name in EXECUTORS.names() for options in OPTIONS.get(name, [{}])]


def parameter(name: str, options: dict[str, Any]) -> Any:
    marks = [pytest.mark.slow] * (options.get("mode") == "tasks")  # a process for each trial
    return pytest.param((name, options), id="-".join(map(str, [name, *options.values()])), marks=marks)


@pytest.fixture(scope="module", params=[parameter(*case) for case in CASES])
def make(request: pytest.FixtureRequest) -> Callable[[], Executor]:
    name, options = request.param
    if name == "ray":
        request.getfixturevalue("local_ray")
    return lambda: EXECUTORS.get(name)(**options)


@pytest.fixture(scope="module")
def executor(make: Callable[[], Executor]) -> Iterator[Executor]:
    """Open; shared by the tests that leave nothing in flight."""
    with closing(make()) as executor:
        executor.open(Scripted())
        yield executor


def test_every_task_comes_back_once_however_many_are_submitted(executor):
    count = 4 * executor.capacity + 3
    ended = run(executor, *[("value", float(trial)) for trial in range(count)])
    assert sorted(completed.task.trial for completed in ended) == list(range(count))
    assert all(c.evaluation.values == {"score": float(c.task.trial)} for c in ended)
    with pytest.raises(ProtocolError, match="expected at least one task in flight"):
        executor.wait()


def test_tasks_come_back_as_submitted_in_order_of_ending(executor):
    sent = [task(trial, "value", 1.0, seed=trial, save_to="x") for trial in range(5)]
    before = executor.now()
    for each in sent:
        executor.submit(each)
    ended: list[Completed] = []
    while len(ended) < 5:
        ended += executor.wait()
    assert sorted((completed.task for completed in ended), key=lambda each: each.trial) == sent
    finished = [completed.finished for completed in ended]
    assert finished == sorted(finished)
    assert all(0 <= c.started <= c.finished for c in ended)
    assert before <= finished[0]
    assert finished[-1] <= executor.now()
    assert all(completed.worker for completed in ended)


@pytest.mark.parametrize(
    ("architecture", "status", "reason"),
    [
        (("raise", ValueError("first\nsecond")), Status.ERROR, "ValueError: first second"),
        (("raise", MemoryError("full")), Status.OUT_OF_MEMORY, "MemoryError: full"),
        (
            ("raise", RuntimeError("CUDA out of memory")),
            Status.OUT_OF_MEMORY,
            "RuntimeError: CUDA out of memory",
        ),
        (("unknown",), Status.ERROR, "AttributeError: 'Scripted' object has no attribute 'do_unknown'"),
        (("nothing",), Status.ERROR, "EvaluationError: the evaluator returned NoneType, not an Evaluation"),
        (("fail", "diverged", "loss is nan"), Status.DIVERGED, "loss is nan"),
        (("raise", SystemExit()), Status.ERROR, "SystemExit: None"),
        (("raise", SystemExit("gone\nfor good")), Status.ERROR, "SystemExit: gone for good"),
        (("exit", 3), Status.ERROR, "SystemExit: 3"),
        (("raise", GeneratorExit()), Status.ERROR, "GeneratorExit: no message"),
        (("raise", BaseException("base")), Status.ERROR, "BaseException: base"),
        (("raise", asyncio.CancelledError()), Status.ERROR, "CancelledError: no message"),
        (("raise", StopIteration(3)), Status.ERROR, "StopIteration: 3"),
        (("raise_group",), Status.ERROR, "BaseExceptionGroup: several (2 sub-exceptions)"),
        (
            ("raise_unprintable",),
            Status.ERROR,
            "UnprintableError: <UnprintableError that cannot be printed: ValueError>",
        ),
        (("warn",), Status.ERROR, "UserWarning: by a candidate"),
        (("recurse",), Status.ERROR, "RecursionError: maximum recursion depth exceeded"),
        (
            ("give", {"values": {"score": None}}),
            Status.ERROR,
            f"{REFUSED}values: score: expected a number, got None",
        ),
        (
            ("give", {"values": {"score": "9"}}),
            Status.ERROR,
            f"{REFUSED}values: score: expected a number, got '9'",
        ),
        (
            ("give", {"values": {"score": 1j}}),
            Status.ERROR,
            f"{REFUSED}values: score: expected a number, got 1j",
        ),
        (("give", {"values": [1.0]}), Status.ERROR, f"{REFUSED}values: expected numbers by name, got [1.0]"),
        (
            ("give", {"cost_seconds": float("nan")}),
            Status.ERROR,
            f"{REFUSED}cost_seconds: expected a number, got nan",
        ),
        (
            ("give", {"cost_seconds": None}),
            Status.ERROR,
            f"{REFUSED}cost_seconds: expected a number, got None",
        ),
        (
            ("give", {"status": "completed"}),
            Status.ERROR,
            f"{REFUSED}status: expected a nas.Status, got 'completed'",
        ),
        (("give", {"info": [1]}), Status.ERROR, f"{REFUSED}info: expected a mapping, got [1]"),
    ],
)
def test_failures_are_evaluations(executor, architecture, status, reason):
    bad, good = sorted(run(executor, architecture, ("value", 1.0)), key=lambda c: c.task.trial)
    assert (bad.evaluation.status, bad.evaluation.reason) == (status, reason)
    assert good.evaluation.ok


def test_hashes_are_asked_for_like_evaluations_and_fail_like_them(make):
    with closing(make()) as executor:
        executor.open(HashingEvaluator(Scripted(), Named(), seconds=0.25))
        architectures = [Named.of("a"), ("value", 1.0), Named.of("b"), Named.of(""), Named.of("a")]
        for trial, architecture in enumerate(architectures):
            executor.submit(Task(trial, architecture, hashing=trial != 1))  # type: ignore[arg-type]
        ended: list[Completed] = []
        while len(ended) < 5:
            ended += executor.wait()
    found = [
        hashed_of(each.evaluation) for each in sorted(ended, key=lambda c: c.task.trial) if each.task.hashing
    ]
    assert found == [
        Hashed("a", "s"),
        Hashed("b", "s"),
        Hashed(None, "", "ValueError: no name"),
        Hashed("a", "s"),
    ]
    (evaluated,) = (each.evaluation for each in ended if not each.task.hashing)
    assert evaluated.values == {"score": 1.0}
    assert all(0 <= each.started <= each.finished and each.worker for each in ended)


@pytest.mark.slow
@pytest.mark.parametrize(
    "value", [1, True, np.float32(1.0), np.array([1.0]), torch.tensor(1.0, requires_grad=True), Fraction(1)]
)
def test_values_are_plain_numbers_whatever_library_they_come_from(executor, value):
    (completed,) = run(executor, ("give", {"values": {"score": value}, "cost_seconds": np.float64(0.5)}))
    assert completed.evaluation.values == {"score": 1.0}
    assert type(completed.evaluation.values["score"]) is type(completed.evaluation.cost_seconds) is float


def test_a_trial_that_interrupts_ends_the_run(make):
    with closing(make()) as executor:
        executor.open(Scripted())
        with pytest.raises(KeyboardInterrupt):
            run(
                executor, ("raise", KeyboardInterrupt())
            )  # a simulated clock evaluates what is submitted at once


def test_the_evaluators_own_cost_is_kept(executor):
    (completed,) = run(executor, ("fail", "diverged", "loss is nan"))
    assert completed.evaluation.cost_seconds == 1.5


def test_data_travels_with_the_evaluator(make):
    evaluator = Counted()
    Counted.pickled = 0
    with closing(make()) as executor:
        executor.open(evaluator)
        ended = run(executor, *[()] * 6)
    expected = float(evaluator.data.sum())
    assert all(c.evaluation.values["score"] in (expected, expected + 1) for c in ended)
    assert Counted.pickled <= 1


def test_close_abandons_work_and_may_be_repeated(make):
    executor = make()
    executor.close()
    executor.open(Scripted())
    executor.submit(task(0, "value", 1.0))
    executor.close()
    executor.close()
    with pytest.raises(ProtocolError, match="before open\\(\\) or after close\\(\\)"):
        executor.submit(task(1, "value", 1.0))


@pytest.mark.slow
def test_an_executor_opens_again_with_an_empty_line(make):
    executor = make()
    executor.open(Scripted())
    executor.submit(task(0, "value", 1.0))
    executor.close()
    with closing(executor):
        executor.open(Scripted())
        (completed,) = run(executor, ("value", 2.0))
    assert completed.evaluation.values == {"score": 2.0}


def test_it_describes_itself(executor):
    lines = executor.describe()
    assert lines
    assert all(line and "\n" not in line for line in lines)


def test_outcomes_are_plain_values(executor):
    (completed,) = run(executor, ("value", 1.0))
    assert pickle.loads(pickle.dumps(completed)) == completed


@pytest.mark.parametrize("name", EXECUTORS.names())
def test_unknown_options_are_refused(name):
    with pytest.raises((ConfigError, TypeError), match="wokers"):
        EXECUTORS.get(name)(wokers=1)
