"""What runs on a worker: the evaluator, loaded once, and one trial after another.

The driver and its workers exchange tasks and evaluations as pickled tuples of their fields: Ray's own
serializer takes many times as long for such small objects, and that of dataclasses ten times.
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
INTERRUPTED = b"interrupted"  # the answer to a trial that raised KeyboardInterrupt: the run is to end
_FILES = 256  # open files more than at the first trial, with which a worker is replaced


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker has to know besides the evaluator.

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
    """What a worker sends back.

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
    """A worker's first words: its name as "host:process" and why it cannot work, if so."""

    worker: str
    fault: str | None = None


class Worker:
    """A process that evaluates; a long-lived Ray actor in mode "actors".

    Args:
        box: the reference of the evaluator in the object store, in a list, so that a fault in
            loading it can be reported here instead of ending the process.
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
            self._fault = _in_one_line(error)

    def greet(self) -> Greeting:
        return Greeting(f"{socket.gethostname()}:{os.getpid()}", self._fault)

    def run(self, payload: bytes) -> bytes:
        """Carries out one task, given and answered as bytes; `REFUSED` once this process retires."""
        if self.retiring:
            return REFUSED
        started = time.monotonic()
        try:
            evaluation = self._evaluate(payload)
        except KeyboardInterrupt:  # raised as it is, it would count as a call that was cancelled
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
                if hasattr(error, "ray_terminate_msg"):  # Ray ends this process, and not the candidate
                    ended.append(error)
                raise

        evaluation = carry_out(limited, task)
        if ended:
            raise ended[0]
        return evaluation

    def _spoiled(self, evaluation: Evaluation) -> bool:
        """Whether later trials are to have another process: this one is not as it was before the trial.

        After an error of CUDA its context may answer nothing but errors.
        """
        if "left_behind" in evaluation.info or _open_files() > self._files + _FILES:
            _say("this process is not as it was before the trial; another one takes its place")
            return True
        if not self._settings.gpus or evaluation.ok:
            return False
        return evaluation.status is Status.OUT_OF_MEMORY or "CUDA" in (evaluation.reason or "")


def _say(line: str) -> None:
    """Prints it to the worker's own output, which no trial depends on."""
    with suppress(OSError, ValueError, AttributeError):  # closed, full, or None
        print(line, flush=True)


def _open_files() -> int:
    """Number of descriptors in use; 0 where it cannot be seen."""
    with suppress(OSError):
        return len(os.listdir("/proc/self/fd"))
    return 0


def run_as_task(box: list[Any], settings: WorkerSettings, payload: bytes) -> Iterator[Any]:
    """One trial as one Ray task: first the greeting, once the evaluator is loaded, then the answer."""
    worker = Worker(box, settings)
    yield worker.greet()
    try:
        yield worker.run(payload)
    except Exception as error:  # of the worker's own: after a candidate has changed what it works with
        worker.retiring = True
        yield Fault(Status.WORKER_DIED, named(error), retry=True)
    if worker.retiring:
        sys.exit()  # the process would serve other trials as well


def encode_answer(answer: Answer) -> bytes:
    """The answer as bytes; an evaluation that cannot be pickled becomes one that says so."""
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

    Plain pickle refers to classes by name, which fails for what a script or a notebook defines;
    cloudpickle sends such classes along, at many times the cost.

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
    """The evaluator out of the object store; its arrays are read-only views of shared memory."""
    import ray

    return ray.get(box[0])


def _in_one_line(error: BaseException) -> str:
    """Type and message; of what Ray wraps together with its traceback, the last line."""
    if "traceback:" in one_line(error, 10_000).lower():
        return one_line(str(error).strip().splitlines()[-1])
    return describe_error(error)


def limit_gpu_memory(gpus: float) -> None:
    """Keeps a process that has a fraction of a GPU within that fraction of the GPU's memory.

    Ray itself only counts fractions.
    """
    if not 0 < gpus < 1:
        return
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(gpus)


@contextmanager
def limited_memory(extra: int | None) -> Iterator[None]:
    """Lets this process allocate `extra` bytes more than it has; further allocations raise MemoryError.

    RLIMIT_DATA counts private writable memory (Linux >= 4.7), so that neither the shared object
    store nor the address space that CUDA reserves counts, as they would for RLIMIT_AS.
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
    """What RLIMIT_DATA counts at the moment."""
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmData:"))
    return int(line.split()[1]) * 1024
