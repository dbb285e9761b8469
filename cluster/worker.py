"""A worker: it loads the evaluator once and runs one trial after another.

The driver and its workers exchange tasks and evaluations as pickled tuples of their fields: Ray's serializer
takes many times as long for such small objects, and pickling the dataclasses ten times.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from nas.cluster.failures import Fault
from nas.errors import describe_error, one_line
from nas.evaluation import Evaluation, Evaluator, Status, Task, carry_out, failure, perform
from nas.faults import named

_task_fields = attrgetter(*(field.name for field in fields(Task)))
_evaluation_fields = attrgetter(*(field.name for field in fields(Evaluation)))

REFUSED = b""  # the answer of a worker that waits for its replacement: the trial did not begin
INTERRUPTED = b"interrupted"  # the answer to a trial that raised KeyboardInterrupt, which ends the run
_FILES = 256  # a worker with this many more open files than before its first trial is replaced


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The settings of a worker.

    Attributes:
        recycle_after: trials after which it asks to be replaced, or None; hashes do not count.
        memory_bytes: host memory that one trial may allocate, or None.
        gpus: GPUs of a trial.
    """

    recycle_after: int | None = None
    memory_bytes: int | None = None
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a worker.

    Attributes:
        evaluation: the outcome.
        seconds: wall time of the work.
        retiring: whether this process takes no further trial.
    """

    evaluation: Evaluation
    seconds: float
    retiring: bool = False


@dataclass(frozen=True, slots=True)
class Greeting:
    """The first message of a worker: its name as "host:process", and why it cannot work or None."""

    worker: str
    fault: str | None = None


class Worker:
    """A process that evaluates; a long-lived Ray actor in mode "actors".

    Args:
        box: the reference of the evaluator in the object store, in a list, so that an error in loading it
            can be reported instead of ending the process.
        settings: see `WorkerSettings`.
    """

    def __init__(self, box: list[Any], settings: WorkerSettings) -> None:
        self._settings = settings
        self._served = 0
        self.retiring = False
        self._evaluator: Evaluator | None = None
        self._fault: str | None = None
        self._files = _open_files()
        try:
            self._evaluator = load_evaluator(box)
            limit_gpu_memory(settings.gpus)
        except BaseException as error:  # reported by `greet`
            if "traceback:" in one_line(error, 10_000).lower():  # of Ray, which includes the traceback
                self._fault = one_line(str(error).strip().splitlines()[-1])
            else:
                self._fault = describe_error(error)

    def greet(self) -> Greeting:
        return Greeting(f"{socket.gethostname()}:{os.getpid()}", self._fault)

    def run(self, payload: bytes) -> bytes:
        """Carries out one task, given and answered as bytes; `REFUSED` once this process retires."""
        if self.retiring:
            return REFUSED
        started = time.monotonic()
        try:
            evaluation = self._evaluate(payload)
        except KeyboardInterrupt:  # to Ray it would be a cancelled call
            return INTERRUPTED
        self.retiring = self._served == self._settings.recycle_after or self._spoiled(evaluation)
        return encode_answer(Answer(evaluation, time.monotonic() - started, self.retiring))

    def _evaluate(self, payload: bytes) -> Evaluation:
        assert self._evaluator is not None, "the driver uses no worker whose greeting names a fault"
        try:
            task = decode_task(payload)
        except Exception as error:  # e.g. an architecture whose module is not importable here
            self._served += 1
            return failure(Status.ERROR, f"the worker cannot read the task: {describe_error(error)}")
        self._served += not task.hashing
        what = f"trial {task.trial}{', hash' * task.hashing}"
        _say(f"{what}: started")
        evaluation = self._guarded(self._evaluator, task)
        if "traceback" in evaluation.info:
            _say(f"{what}: {evaluation.info['traceback']}")
        reason = "" if evaluation.ok else f": {evaluation.reason}"
        _say(f"{what}: {evaluation.status}{reason}")
        return evaluation

    def _guarded(self, evaluator: Evaluator, task: Task) -> Evaluation:
        ended: list[SystemExit] = []

        def limited(task: Task) -> Evaluation:
            try:
                with limited_memory(self._settings.memory_bytes):
                    return perform(evaluator, task)
            except SystemExit as error:
                if hasattr(error, "ray_terminate_msg"):  # raised by Ray, not by the candidate
                    ended.append(error)
                raise

        evaluation = carry_out(limited, task)
        if ended:
            raise ended[0]
        return evaluation

    def _spoiled(self, evaluation: Evaluation) -> bool:
        """Whether later trials need another process, as the trial has changed this one.

        After an error of CUDA its context may raise nothing but errors.
        """
        if "left_behind" in evaluation.info or _open_files() > self._files + _FILES:
            _say("this process is not as it was before the trial; another one takes its place")
            return True
        if not self._settings.gpus or evaluation.ok:
            return False
        return evaluation.status is Status.OUT_OF_MEMORY or "CUDA" in (evaluation.reason or "")


def _say(line: str) -> None:
    """Prints a line to the worker's output, if that is possible."""
    with suppress(OSError, ValueError, AttributeError):  # closed, full, or None
        print(line, flush=True)


def _open_files() -> int:
    """Number of descriptors in use; 0 where it is not known."""
    with suppress(OSError):
        return len(os.listdir("/proc/self/fd"))
    return 0


def run_as_task(box: list[Any], settings: WorkerSettings, payload: bytes) -> Iterator[Any]:
    """One trial as one Ray task: the greeting, once the evaluator is loaded, then the answer."""
    worker = Worker(box, settings)
    yield worker.greet()
    try:
        yield worker.run(payload)
    except Exception as error:  # of the worker itself, such as after a candidate has changed its modules
        worker.retiring = True
        yield Fault(Status.WORKER_DIED, named(error), retry=True)
    if worker.retiring:
        sys.exit()  # else the process would serve other trials


def encode_answer(answer: Answer) -> bytes:
    """The answer as bytes; an evaluation that cannot be pickled is replaced by a failure."""
    try:
        return _dumps((_evaluation_fields(answer.evaluation), answer.seconds, answer.retiring))
    except Exception as error:
        evaluation = failure(Status.ERROR, f"the evaluation cannot be sent: {describe_error(error)}")
        return _dumps((_evaluation_fields(evaluation), answer.seconds, answer.retiring))


def decode_answer(data: bytes) -> Answer:
    """Inverse of `encode_answer`."""
    evaluation, seconds, retiring = pickle.loads(data)  # noqa: S301 - written by a worker of this run
    return Answer(Evaluation(*evaluation), seconds, retiring)


def encode_task(task: Task) -> bytes:
    """The task as bytes that a worker can read.

    Plain pickle refers to classes by name, which fails for classes of a script or a notebook; cloudpickle
    sends such classes along, at many times the cost.

    Raises:
        Exception: whatever the pickling of the architecture raises.
    """
    try:
        data = _dumps(_task_fields(task))
    except Exception:  # a lambda or a local class: cloudpickle decides
        data = b"__main__"
    if b"__main__" not in data:
        return data
    from ray import cloudpickle

    return cloudpickle.dumps(_task_fields(task))  # pyright: ignore[reportPrivateImportUsage]


def decode_task(data: bytes) -> Task:
    """Inverse of `encode_task`."""
    return Task(*pickle.loads(data))  # noqa: S301 - written by the driver of this run


def _dumps(values: Any) -> bytes:
    return pickle.dumps(values, pickle.HIGHEST_PROTOCOL)


def load_evaluator(box: list[Any]) -> Evaluator:
    """The evaluator from the object store; its arrays are read-only views of shared memory."""
    import ray

    return ray.get(box[0])


def limit_gpu_memory(gpus: float) -> None:
    """Limits a process with a fraction of a GPU to that fraction of its memory; Ray only counts fractions."""
    if not 0 < gpus < 1:
        return
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(gpus)


@contextmanager
def limited_memory(extra: int | None) -> Iterator[None]:
    """Within, this process may allocate `extra` bytes more than it has; beyond, it raises MemoryError.

    RLIMIT_DATA counts private writable memory (Linux >= 4.7), but not the shared object store and the address
    space that CUDA reserves, as RLIMIT_AS would.
    """
    if extra is None:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = _private_bytes() + extra
    resource.setrlimit(resource.RLIMIT_DATA, (bound if hard < 0 else min(bound, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _private_bytes() -> int:
    """The present value of what RLIMIT_DATA bounds."""
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmData:"))
    return int(line.split()[1]) * 1024
