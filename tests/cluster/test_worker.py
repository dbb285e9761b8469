from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nas.cluster import worker
from nas.cluster.worker import REFUSED, Answer, Greeting, Worker, WorkerSettings
from nas.evaluation import Evaluation, Fidelity, Stage, Status, Task
from nas.evaluation.executors import is_out_of_memory
from tests.cluster.stand_ins import Scripted, task


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Worker]:
    """Workers in this process."""
    monkeypatch.setattr(worker, "load_evaluator", lambda box: box[0])
    monkeypatch.setattr(worker, "limit_gpu_memory", lambda gpus: None)
    return lambda **settings: Worker([Scripted()], WorkerSettings(**settings))


def answer(process: Worker, *architecture: Any, trial: int = 0) -> Answer:
    return worker.decode_answer(process.run(worker.encode_task(task(trial, *architecture))))


def test_what_a_trial_prints_stands_between_lines_with_its_number(make, capsys):
    process = make()
    answer(process, "value", 1.0, trial=17)
    answer(process, "raise", ValueError("wrong"), trial=18)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "trial 17: started",
        "trial 17: completed",
        "trial 18: started",
        "trial 18: Traceback (most recent call last):",
    ]
    assert lines[-1] == "trial 18: error: ValueError: wrong"


@pytest.mark.parametrize(
    ("architecture", "gpus", "retiring"),
    [
        (("raise", RuntimeError("CUDA error: device-side assert triggered")), 1, True),
        (("fail", "error", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED, CUDA 13"), 0.5, True),
        (("raise", RuntimeError("CUDA out of memory")), 1, True),
        (("raise", ValueError("wrong shape")), 1, False),
        (("value", 1.0), 1, False),
        (("raise", MemoryError()), 0, False),
    ],
)
def test_a_process_whose_cuda_context_is_in_doubt_retires(make, architecture, gpus, retiring):
    assert answer(make(gpus=gpus), *architecture).retiring is retiring


def test_a_retiring_process_refuses_further_trials(make):
    process = make(recycle_after=2)
    assert not answer(process, "value", 1.0).retiring
    assert answer(process, "value", 1.0).retiring
    assert process.run(worker.encode_task(task(2, "value", 1.0))) == REFUSED


def test_a_task_that_cannot_be_read_is_an_error(make):
    payload = worker.encode_task(task(0, "value", 1.0)).replace(b"nas.evaluation", b"nas.evolution!")
    evaluation = worker.decode_answer(make().run(payload)).evaluation
    assert evaluation.status is Status.ERROR
    assert (evaluation.reason or "").startswith("the worker cannot read the task: ModuleNotFoundError")


def test_tasks_and_answers_arrive_as_they_were_sent():
    sent = Task(3, ("x",), Stage.FINAL, Fidelity("epochs", 4), 17, 2.5, "from", "to")  # type: ignore[arg-type]
    assert worker.decode_task(worker.encode_task(sent)) == sent
    evaluation = Evaluation(Status.DIVERGED, {"a": 1.0}, 2.0, "nan", ({"epoch": 1},), {"n": 2}, "path")
    given = Answer(evaluation, 0.5, True)
    assert worker.decode_answer(worker.encode_answer(given)) == given


def test_classes_of_the_users_script_travel_with_the_task(monkeypatch):
    class Network:
        pass

    Network.__module__, Network.__qualname__ = "__main__", "Network"
    monkeypatch.setattr(sys.modules["__main__"], "Network", Network, raising=False)
    payload = worker.encode_task(Task(0, Network()))  # type: ignore[arg-type]
    monkeypatch.delattr(sys.modules["__main__"], "Network")
    assert type(worker.decode_task(payload).architecture).__name__ == "Network"


def test_a_task_gives_its_greeting_before_its_answer(make, monkeypatch):
    greeting, data = worker.run_as_task(
        [Scripted()], WorkerSettings(), worker.encode_task(task(0, "value", 1.0))
    )
    assert isinstance(greeting, Greeting)
    assert greeting.fault is None
    assert worker.decode_answer(data).evaluation == Evaluation(Status.COMPLETED, {"score": 1.0}, 0.001)


def test_faults_in_loading_are_reported_in_one_line(monkeypatch):
    def broken(box: list[Any]) -> Any:
        raise RuntimeError(
            "System error: no\ntraceback: Traceback ...\nModuleNotFoundError: No module named 'x'\n"
        )

    monkeypatch.setattr(worker, "load_evaluator", broken)
    assert Worker([], WorkerSettings()).greet().fault == "ModuleNotFoundError: No module named 'x'"


def test_memory_is_bounded_while_a_trial_runs_and_free_afterwards():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(MemoryError), worker.limited_memory(2**28):
        np.ones(2**27)  # 1 GB
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    with worker.limited_memory(2**28):
        assert np.ones(2**23).sum() == 2**23  # 64 MB
    with worker.limited_memory(None):
        assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_torch_tells_that_memory_ran_out():
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as info, worker.limited_memory(2**28):
        torch.ones(2**28)
    assert is_out_of_memory(info.value)


@pytest.mark.parametrize(("gpus", "expected"), [(0.25, [0.25]), (1, []), (0, [])])
def test_a_fraction_of_a_gpu_bounds_its_memory(gpus, expected, monkeypatch):
    fractions: list[float] = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.set_per_process_memory_fraction", fractions.append)
    worker.limit_gpu_memory(gpus)
    assert fractions == expected
