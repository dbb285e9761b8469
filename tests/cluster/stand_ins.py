"""Evaluators for the tests of executors; importable by workers.

`Task.architecture` is a tuple here: an instruction and its arguments.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.evaluation import Evaluation, Evaluator, Objective, Status, Task, failure
from nas.study import Hashed, Hasher

SCORE = Objective("score")


class StandIn(Evaluator):
    objectives = (SCORE,)
    reported = SCORE
    fidelity_range = None

    def fingerprint(self) -> str:
        return type(self).__name__


@dataclass
class Scripted(StandIn):
    """Carries out instructions; each start leaves a line "trial process" in `diary`."""

    diary: str | None = None

    def __call__(self, task: Task) -> Evaluation:
        if self.diary is not None:
            with open(self.diary, "a") as diary:
                diary.write(f"{task.trial} {os.getpid()}\n")
        instruction, *arguments = task.architecture  # type: ignore[misc]
        return getattr(self, f"do_{instruction}")(task, *arguments)

    def do_value(self, task: Task, value: float) -> Evaluation:
        return done(value)

    def do_attribute(self, task: Task, holder: Any) -> Evaluation:
        return done(holder.value)

    def do_cost(self, task: Task, seconds: float) -> Evaluation:
        return Evaluation(Status.COMPLETED, {"score": 1.0}, seconds)

    def do_sleep(self, task: Task, seconds: float) -> Evaluation:
        time.sleep(seconds)
        return done(seconds)

    def do_fail(self, task: Task, status: str, reason: str) -> Evaluation:
        return failure(Status(status), reason, 1.5)

    def do_raise(self, task: Task, error: Exception) -> Evaluation:
        raise error

    def do_raise_group(self, task: Task) -> Evaluation:
        raise BaseExceptionGroup("several", [SystemExit(0), ValueError("one of them")])

    def do_raise_unprintable(self, task: Task) -> Evaluation:
        class UnprintableError(RuntimeError):
            def __str__(self) -> str:
                raise ValueError("no text")

        raise UnprintableError(lambda: None)  # which cannot be pickled either

    def do_warn(self, task: Task) -> Evaluation:
        warnings.simplefilter("error")
        warnings.warn("by a candidate", stacklevel=1)
        raise AssertionError("not reached")

    def do_recurse(self, task: Task) -> Evaluation:
        return self.do_recurse(task)

    def do_nothing(self, task: Task) -> Any:
        return None

    def do_give(self, task: Task, fields: dict[str, Any]) -> Evaluation:
        return Evaluation(**{"status": Status.COMPLETED, **fields})

    def do_unsendable(self, task: Task) -> Evaluation:
        return Evaluation(Status.COMPLETED, {}, info={"function": lambda: None})

    def do_leave(self, task: Task) -> Evaluation:
        sys.exit("gone")

    def do_exit(self, task: Task, code: int) -> Evaluation:
        os._exit(code)

    def do_die(self, task: Task) -> Evaluation:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("not reached")

    def do_die_once(self, task: Task, marker: str) -> Evaluation:
        if not Path(marker).exists():
            Path(marker).touch()
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGKILL)
        return done(1.0)

    def do_wait_for(self, task: Task, path: str) -> Evaluation:
        while not Path(path).exists():
            time.sleep(0.01)
        return done(1.0)

    def do_stop_in_time(self, task: Task) -> Evaluation:
        assert task.time_limit is not None
        time.sleep(task.time_limit)
        return failure(Status.TIMEOUT, "stopped by itself", task.time_limit)

    def do_hang(self, task: Task) -> Evaluation:
        ctypes.PyDLL(None).sleep(1000)  # a call into C that never releases the interpreter's lock
        raise AssertionError("not reached")

    def do_allocate(self, task: Task, gigabytes: float) -> Evaluation:
        return done(float(np.ones(int(gigabytes * 2**27)).sum()))

    def do_close_streams(self, task: Task) -> Evaluation:
        sys.stdout.close()
        os.close(1)
        os.close(2)
        os.chdir("/")
        return done(1.0)

    def do_leave_thread(self, task: Task) -> Evaluation:
        threading.Thread(target=time.sleep, args=(20.0,)).start()
        return done(float(os.getpid()))

    def do_leave_files(self, task: Task) -> Evaluation:
        self.files = [os.open(os.devnull, os.O_RDONLY) for _ in range(300)]
        return done(float(os.getpid()))

    def do_break_wrapper(self, task: Task, marker: str) -> Evaluation:
        from nas.cluster import worker

        if not Path(marker).exists():
            Path(marker).touch()
            worker.encode_answer = None  # type: ignore[assignment]  # what comes after the evaluation raises
        return done(1.0)

    def do_process(self, task: Task) -> Evaluation:
        return done(float(os.getpid()))


def done(value: float) -> Evaluation:
    return Evaluation(Status.COMPLETED, {"score": value}, 0.001)


class Named(Hasher):
    """Hashes what `of` makes by its name; raises where that is empty."""

    name = "named"
    in_worker = True

    @staticmethod
    def of(name: str) -> tuple[str, ...]:
        return ("named", name)

    def hash(self, architecture: Any) -> Hashed:
        if not architecture[1]:
            raise ValueError("no name")
        return Hashed(architecture[1], "s")


class Counted(StandIn):
    """Counts how often it is pickled in this process, and carries an array."""

    pickled = 0

    def __init__(self) -> None:
        self.data = np.arange(1_000_000, dtype=np.float64)

    def __getstate__(self) -> dict[str, Any]:
        Counted.pickled += 1
        return self.__dict__

    def __call__(self, task: Task) -> Evaluation:
        return done(float(self.data.sum()) + float(self.data.flags.writeable))


class Unsendable(StandIn):
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __call__(self, task: Task) -> Evaluation:
        return done(0.0)


class Unloadable(StandIn):
    """Can be sent, but not read by another process."""

    def __init__(self) -> None:
        self.home = os.getpid()

    def __setstate__(self, state: dict[str, Any]) -> None:
        if os.getpid() != state["home"]:
            raise ModuleNotFoundError("No module named 'only_at_home'")
        self.__dict__ = state

    def __call__(self, task: Task) -> Evaluation:
        return done(0.0)


class DiesOnLoading(StandIn):
    """Takes every process with it that loads it."""

    def __init__(self) -> None:
        self.home = os.getpid()

    def __setstate__(self, state: dict[str, Any]) -> None:
        if os.getpid() != state["home"]:
            os._exit(7)
        self.__dict__ = state

    def __call__(self, task: Task) -> Evaluation:
        return done(0.0)


def task(trial: int, *architecture: Any, **settings: Any) -> Task:
    return Task(trial, architecture, **settings)  # type: ignore[arg-type]
