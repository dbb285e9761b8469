"""The environment in which Ray starts: import path, interface, messages, signals."""

from __future__ import annotations

import os
import signal
import site
import sys
import sysconfig
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def import_paths() -> list[str]:
    """Folders from which this process imports, without those of Python's installation."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    own = {*(sysconfig.get_path(name) for name in names), *site.getsitepackages(), site.getusersitepackages()}
    installed = {os.path.realpath(path) for path in own}
    folders = dict.fromkeys(os.path.abspath(path) for path in sys.path if os.path.isdir(path or "."))

    def is_installed(path: str) -> bool:
        return any(path == folder or path.startswith(folder + os.sep) for folder in installed)

    return [path for path in folders if not is_installed(os.path.realpath(path))]


@contextmanager
def inherited_import_path() -> Iterator[None]:
    """Processes that are started within can import what this one can."""
    with _set(PYTHONPATH=os.pathsep.join(import_paths())):
        yield


@contextmanager
def threads_of_workers(number: int) -> Iterator[None]:
    """Processes that are started within compute with this number of threads (OpenMP, BLAS, torch)."""
    with _set(OMP_NUM_THREADS=str(number)):
        yield


@contextmanager
def loopback_only() -> Iterator[None]:
    """Within, a local Ray that is started or joined listens with all ports on the loopback interface only.

    Ray does so by default on macOS and Windows. Its switch is read when Ray is imported.
    """
    from ray._private import ray_constants

    before = getattr(ray_constants, "ENABLE_RAY_CLUSTER", None)
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        with _set(RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0"):
            yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _set(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def quiet(log_to_driver: bool) -> Iterator[None]:
    """Within, Ray prints no advice and no reports of dead workers, which are results here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry unless the user wants it
    show_worker_logs(log_to_driver)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def show_worker_logs(show: bool) -> None:
    """Shows or hides messages of workers and of Ray itself; `log_to_driver` acts on the former only."""
    from ray._private import worker

    if hasattr(worker, "_worker_logs_enabled"):
        worker._worker_logs_enabled = show


@contextmanager
def kept_sigterm() -> Iterator[None]:
    """Restores the caller's handler of SIGTERM, which Ray replaces."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        ours = handler not in (None, signal.SIG_DFL)
        if ours and threading.current_thread() is threading.main_thread():
            with suppress(ValueError):  # a handler that was not set from Python
                signal.signal(signal.SIGTERM, handler)
