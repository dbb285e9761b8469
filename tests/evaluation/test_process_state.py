from __future__ import annotations

import builtins
import decimal
import gc
import locale
import logging
import math
import multiprocessing
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from contextvars import copy_context
from typing import Any

import numpy as np
import pytest
import torch

from nas.evaluation import Evaluation, Executor, InlineExecutor, SimulatedExecutor, Status, Task
from nas.evaluation.process_state import ProcessState
from tests.cluster.stand_ins import Scripted, StandIn, task


def bad_handler(*_: Any) -> None:
    raise AssertionError


def leave_directory() -> None:
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)


def change_builtins() -> None:
    builtins.len = lambda _: 7  # type: ignore[assignment]


def close_streams() -> None:
    sys.stdout.close()
    sys.stderr.close()


def close_descriptors() -> None:
    for descriptor in range(3):
        os.close(descriptor)


def redirect_descriptors() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.close(null)


def replace_streams() -> None:
    sys.stdout = sys.stderr = sys.stdin = None  # type: ignore[assignment]


def set_environment() -> None:
    os.environ["POISON"] = "1"
    os.environ.pop("HOME", None)
    os.environ["PATH"] = ""


def set_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1):
        signal.signal(number, bad_handler)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    signal.setitimer(signal.ITIMER_REAL, 1000.0)


def set_timers() -> None:
    for timer, number in (("PROF", signal.SIGPROF), ("VIRTUAL", signal.SIGVTALRM)):
        signal.signal(number, bad_handler)
        signal.setitimer(getattr(signal, f"ITIMER_{timer}"), 1000.0)


def set_warnings() -> None:
    warnings.simplefilter("error")
    warnings.showwarning = bad_handler  # type: ignore[assignment]


def enter_warnings() -> None:
    warnings.catch_warnings().__enter__()
    warnings.simplefilter("error")


def set_logging() -> None:
    logging.basicConfig(level=logging.DEBUG, force=True)
    logging.disable(logging.CRITICAL)


def set_sys() -> None:
    sys.setrecursionlimit(150)
    sys.path.clear()
    sys.argv[:] = ["poison"]
    sys.meta_path.clear()
    sys.excepthook = bad_handler  # type: ignore[assignment]
    sys.tracebacklimit = 0
    del sys.modules["tempfile"]
    sys.set_int_max_str_digits(1000)


def set_torch() -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_num_threads(3)
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("medium")
    torch.autograd.set_detect_anomaly(True)
    torch.manual_seed(7)


def set_numbers() -> None:
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    np.seterr(all="raise")
    np.set_printoptions(precision=1)
    decimal.getcontext().prec = 2
    decimal.getcontext().rounding = decimal.ROUND_UP


def set_limits() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft // 2, hard))


def set_garbage() -> None:
    gc.disable()
    gc.set_threshold(1, 1, 1)


def detach_streams() -> None:
    sys.stdout.detach()
    sys.stderr.buffer.close()


def change_names() -> None:
    os.getcwd = time.time = random.random = None  # type: ignore[assignment]
    os.environ = {}  # type: ignore[assignment]  # noqa: B003
    math.isfinite = bool  # type: ignore[assignment]
    np.random.seed = np.random.get_bit_generator = None  # type: ignore[assignment]
    builtins.undeclared = 1  # type: ignore[attr-defined]


def set_others() -> None:
    os.umask(0)
    locale.setlocale(locale.LC_ALL, "C")
    tempfile.tempdir = "/nowhere"
    multiprocessing.set_start_method("spawn", force=True)
    socket.setdefaulttimeout(1e-9)


POISONS: dict[str, Callable[[], None]] = {
    name: value
    for name, value in globals().items()
    if callable(value)
    and name.startswith(("leave_", "change_", "detach_", "close_", "redirect_", "replace_", "set_", "enter_"))
}


def observed() -> dict[str, Any]:
    """What a trial sees of its process."""
    sys.stdout.write("")
    sys.stderr.write("")
    names = ("float64", "meta")
    return {
        "directory": os.getcwd(),
        "environment": dict(os.environ),
        "descriptors": [(os.fstat(number).st_dev, os.fstat(number).st_ino) for number in range(3)],
        "closed": [sys.stdout.closed, sys.stderr.closed],
        "umask": (old := os.umask(0), os.umask(old))[0],
        "random": (random.random(), float(np.random.random())),  # noqa: NPY002
        "torch": (torch.rand(1).item(), torch.get_default_dtype(), torch.get_num_threads(), *names),
        "modes": (torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()),
        "warn": torch.is_deterministic_algorithms_warn_only_enabled(),
        "backends": (torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()),
        "anomaly": torch.is_anomaly_enabled(),
        "numpy": (np.geterr(), np.get_printoptions()["precision"]),
        "decimal": (decimal.getcontext().prec, decimal.getcontext().rounding),
        "filters": list(warnings.filters),
        "shows": warnings.showwarning,
        "locale": locale.setlocale(locale.LC_ALL),
        "recursion": sys.getrecursionlimit(),
        "digits": sys.get_int_max_str_digits(),
        "sys": (list(sys.path), list(sys.argv), list(sys.meta_path), sys.excepthook),
        "limit": hasattr(sys, "tracebacklimit"),
        "module": "tempfile" in sys.modules,
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "handlers": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGALRM, signal.SIGPROF)],
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "timers": [signal.getitimer(timer)[0] > 0 for timer in range(3)],
        "gc": (gc.isenabled(), gc.get_threshold()),
        "logging": (logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
        "temporary": tempfile.tempdir,
        "method": multiprocessing.get_start_method(allow_none=True),
        "timeout": socket.getdefaulttimeout(),
        "builtins": (len([]), hasattr(builtins, "undeclared"), math.isfinite(1e999), np.random.seed),
    }


class Poisoned(StandIn):
    """Trial 1 does something to its process; the others note what they see."""

    def __init__(self, poison: Callable[[], None] | None, *, raises: bool = False) -> None:
        self.poison = poison
        self.raises = raises
        self.seen: list[dict[str, Any]] = []

    def __call__(self, task: Task) -> Evaluation:
        if task.trial == 1 and self.poison is not None:
            self.poison()
            if self.raises:
                raise ValueError("poisoned")
        elif task.trial != 1:
            self.seen.append(observed())
        return Evaluation(Status.COMPLETED, {"score": 1.0}, 0.001)


@contextmanager
def own_streams() -> Iterator[None]:
    """Streams on the descriptors that a test may close; pytest sets its own for each phase."""
    streams = sys.stdin, sys.stdout, sys.stderr
    descriptors = [os.dup(number) for number in range(3)]
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)


def seen_after(executor: Executor, poison: Callable[[], None] | None, **how: Any) -> dict[str, Any]:
    """What the trial sees that follows one with the poison, its seed being the same each time."""
    evaluator = Poisoned(poison, **how)
    with closing(executor):
        executor.open(evaluator)
        for trial in range(3):
            executor.submit(task(trial, seed=11 * trial))
            (completed,) = executor.wait()
            assert (completed.evaluation.status is Status.COMPLETED) == (trial != 1 or not how.get("raises"))
    return evaluator.seen[-1]


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("make", [InlineExecutor, SimulatedExecutor])
@pytest.mark.parametrize("name", POISONS)
def test_what_a_trial_does_to_its_process_does_not_reach_the_next(name, make, raises):
    with own_streams():
        clean = seen_after(make(), None)
        assert seen_after(make(), POISONS[name], raises=raises) == clean
        print("still", file=sys.stdout, flush=True)
        print("written", file=sys.stderr, flush=True)


def test_random_numbers_of_a_trial_follow_from_its_seed_and_those_of_the_caller_go_on():
    def drawn(seed: int) -> tuple[float, float, float]:
        with ProcessState(seed):
            return random.random(), float(np.random.random()), torch.rand(1).item()  # noqa: NPY002

    def of_caller(trials: int, draws: int) -> tuple[float, float]:
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        for trial in range(trials):
            with ProcessState(trial):
                for _ in range(draws):
                    random.random(), np.random.random()  # noqa: NPY002
        return random.random(), float(np.random.random())  # noqa: NPY002

    assert drawn(5) == drawn(5) != drawn(6)
    assert of_caller(3, 0) == of_caller(3, 5)
    assert of_caller(0, 0)[1] == of_caller(3, 5)[1]


def test_an_alarm_of_the_caller_goes_on():
    signal.setitimer(signal.ITIMER_REAL, 1000.0)
    try:
        with ProcessState(0):
            signal.alarm(0)
        assert 990 < signal.getitimer(signal.ITIMER_REAL)[0] <= 1000
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def test_a_running_thread_is_told_and_one_that_ends_is_not():
    stop = threading.Event()
    for daemon, left in ((False, ["a running thread"]), (True, [])):
        with ProcessState(0) as state:
            threading.Thread(target=stop.wait, daemon=daemon).start()
        assert state.left == left
    with ProcessState(0) as state:
        threading.Thread(target=time.sleep, args=(0.02,)).start()
    assert state.left == []
    stop.set()


def test_threads_of_a_pool_that_wait_for_work_are_no_fault_and_those_at_work_are():
    stop = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        with ProcessState(0) as state:
            assert list(pool.map(abs, range(9))) == list(range(9))
        assert state.left == []
        with ProcessState(0) as state:
            pool.submit(lambda: ThreadPoolExecutor(1).submit(stop.wait)).result()
        assert state.left == ["a running thread"]
        stop.set()


def test_an_inline_run_says_what_a_trial_left_behind():
    stop = threading.Event()

    class Threaded(Scripted):
        def __call__(self, task: Task) -> Evaluation:
            threading.Thread(target=stop.wait).start()
            return super().__call__(task)

    with closing(InlineExecutor()) as executor:
        executor.open(Threaded())
        executor.submit(task(0, "value", 1.0))
        with pytest.warns(UserWarning, match="a trial left a running thread behind"):
            (completed,) = executor.wait()
    stop.set()
    assert completed.evaluation.info == {"left_behind": ["a running thread"]}


def test_torch_that_a_trial_imports_is_left_with_its_defaults():
    code = (
        "from nas.evaluation.process_state import ProcessState\n"
        "with ProcessState(0):\n"
        "    import torch; torch.set_default_dtype(torch.float64); torch.set_grad_enabled(False)\n"
        "assert torch.get_default_dtype() is torch.float32 and torch.is_grad_enabled()"
    )
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0


def test_it_takes_microseconds():
    def seconds() -> float:
        began = time.perf_counter()
        for seed in range(50):
            with ProcessState(seed):
                copy_context().run(int)
        return (time.perf_counter() - began) / 50

    assert min(seconds() for _ in range(10)) < 1e-3  # far above what it is, as machines differ


@pytest.mark.parametrize("make", [InlineExecutor, SimulatedExecutor])
def test_a_trial_that_leaves_the_process_or_forks_it_fails_or_goes_on_alone(tmp_path, make):
    marker = tmp_path / "child"

    class Leaves(StandIn):
        def __call__(self, task: Task) -> Evaluation:
            if task.trial == 0:
                os._exit(0)
            if task.trial == 3:
                assert os.spawnlp(os.P_WAIT, "true", "true") == 0
                os.execlp("true", "true")
            if task.trial == 1 and (child := os.fork()):
                os.waitpid(child, 0)
            elif task.trial == 1:
                marker.write_text(str(os.getpid()))
                raise ValueError("of the child")
            return Evaluation(Status.COMPLETED, {"score": 1.0})

    with closing(make()) as executor:
        executor.open(Leaves())
        ended = []
        for trial in range(4):
            executor.submit(task(trial))
            ended += executor.wait()
    *reasons, last = (completed.evaluation.reason for completed in ended)
    assert reasons == ["SystemExit: 0", None, None]
    assert last is not None
    assert last.startswith("RuntimeError: os.exec")
    assert int(marker.read_text()) != os.getpid()  # and it has ended, as this is reached once
