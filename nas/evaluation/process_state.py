"""What a trial may change in its process besides its own objects, and how it is put back: ProcessState.

Candidates and evaluators of one's own share a process with the trials after them, on a worker as in an
inline run. What one of them does to the process must not change the result of the next.
"""

from __future__ import annotations

import _signal  # pyright: ignore[reportMissingImports] - the functions of `signal` without the search for names, which takes most of their time
import builtins
import contextlib
import decimal
import gc
import io
import json
import locale
import logging
import math
import os
import random
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from os import chdir, close, dup, dup2, environ, getcwd, umask
from typing import Any

import numpy as np

try:
    import resource
except ImportError:  # Windows
    resource = None

Restore = Callable[[], str | None]  # puts it back; what stays changed, in words, or None

_SIGNALS = tuple(
    getattr(signal, name)
    for name in (
        *("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGCHLD", "SIGPIPE"),
        *("SIGXCPU", "SIGXFSZ", "SIGTSTP", "SIGCONT", "SIGUSR1", "SIGUSR2"),
    )
    if hasattr(signal, name)
)
_TIMERS = tuple(
    getattr(signal, name)
    for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")
    if hasattr(signal, name)
)
_LIMITS = tuple(
    getattr(resource, name)
    for name in ("RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE")
    if hasattr(resource, name)
)
# the names themselves, as a candidate may put something else in their modules
_handler_of, _set_handler = _signal.getsignal, _signal.signal
_blocked: Any = getattr(_signal, "pthread_sigmask", lambda *_: ())
_timer: Any = getattr(signal, "getitimer", None)
_set_timer: Any = getattr(signal, "setitimer", None)
_get_limit: Any = getattr(resource, "getrlimit", None)
_set_limit: Any = getattr(resource, "setrlimit", None)
_NAMESPACES: tuple[dict[str, Any], ...] = tuple(
    vars(module)  # pyright: ignore[reportArgumentType]
    for module in (builtins, os, time, random, math, json, threading, np.random)
)
_BUILTINS = _NAMESPACES[0]
_SYS: dict[str, Any] = vars(sys)  # pyright: ignore[reportAssignmentType]
_numpy: Any = np.random
_numpy_generator, _set_numpy_generator = _numpy.get_bit_generator, _numpy.set_bit_generator
_seed_numpy = _numpy.seed
_LISTS = ("path", "meta_path", "path_hooks", "argv", "warnoptions")  # of sys, changed in their place
_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
_SIG_BLOCK, _SIG_SETMASK = getattr(signal, "SIG_BLOCK", 0), getattr(signal, "SIG_SETMASK", 0)
_EXEC: dict[str, Any] = {name: getattr(os, name) for name in ("execv", "execve")}
_monotonic = time.monotonic
_known_modules: dict[str, Any] = {}
_spare: list[np.random.MT19937] = []  # generators of trials that ended
_PATIENCE = 0.2  # seconds that a thread which a trial left behind is given to end


class ProcessState:
    """Takes the state of the process, gives the trial random streams of its own, and puts the state back.

        with ProcessState(task.seed) as state:
            evaluation = copy_context().run(evaluate, task)
        state.left  # what could not be put back

    Covered: standard streams and their descriptors, working directory, environment, umask, the global
    generators of random, numpy and torch, torch's settings (default type and device, threads, gradient and
    inference mode, determinism, cuDNN, precision, anomaly detection), decimal context, warnings filters,
    locale, limits of resources, signal handlers, mask and alarm, garbage collection, root logger, built-in
    names and those of `sys`, `os`, `time`, `random`, `math`, `json`, `threading` and `numpy.random`, modules
    that were removed.
    Numpy's error and print settings are kept apart by
    the context that the trial runs in. Attributes of other modules, files and child processes are not.

    Args:
        seed: of the trial; its global random numbers follow from it, and from nothing that ran before.
    """

    __slots__ = ("_restores", "_seed", "left")

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._restores: list[Restore] = []
        self.left: list[str] = []

    def __enter__(self) -> ProcessState:
        self._restores = [take() for take in _ASPECTS]
        _seed_generators(self._seed)
        return self

    def __exit__(self, *_: object) -> None:
        for restore in self._restores:
            try:
                left = restore()
            except Exception as error:
                left = f"{restore.__qualname__.split('.')[0].strip('_')}: {type(error).__name__}"
            if left is not None:
                self.left.append(left)


def _names() -> Restore:
    """Built-in names and those of the modules that everything else needs, so first of all."""
    copies = [names.copy() for names in _NAMESPACES]

    def restore() -> None:
        for names, saved in zip(_NAMESPACES, copies, strict=True):
            if names != saved:
                names.update(saved)
        if len(_BUILTINS) > len(copies[0]):  # the other modules may have loaded a part of them since
            for name in _BUILTINS.keys() - copies[0].keys():
                del _BUILTINS[name]

    return restore


def _exits() -> Restore:
    """Makes `os._exit`, called by the trial itself, an exception like that of `sys.exit`, and `os.execv` too.

    They would end an inline run at once, with a status that may say that all is well. Other threads leave
    with them as ever, and children that were forked become other programs.
    """
    leave: Any = os._exit
    owner, thread = os.getpid(), threading.get_ident()

    def is_trial() -> bool:
        return os.getpid() == owner and threading.get_ident() == thread

    def raise_instead(status: int) -> None:
        if is_trial():
            raise SystemExit(status)
        leave(status)

    def refuse_instead(name: str, replace: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(*given: Any, **named: Any) -> Any:
            if is_trial():
                raise RuntimeError(
                    f"os.{name} would replace the process of the run; subprocess.run starts another"
                )
            return replace(*given, **named)

        return refuse

    os._exit = raise_instead  # pyright: ignore[reportAttributeAccessIssue] - `_names` puts it back
    for name, replace in _EXEC.items():  # which the others of that name call
        setattr(os, name, refuse_instead(name, replace))

    def restore() -> None:
        if os.getpid() != owner:  # a child that a trial forked and that did not end: it is no second run
            leave(1)

    return restore


def _system() -> Restore:
    """`sys`: its attributes, its lists, its settings, and the modules that were there."""
    saved, modules = _SYS.copy(), sys.modules
    if len(modules) != len(_known_modules):
        _known_modules.update(modules)
    count = len(modules)
    lists = [saved[name].copy() for name in _LISTS]
    limits = sys.getrecursionlimit(), sys.getswitchinterval(), sys.gettrace(), sys.getprofile()
    digits = sys.get_int_max_str_digits()

    def restore() -> None:
        if saved != _SYS:
            _SYS.update(saved)
            _SYS.pop("tracebacklimit" if "tracebacklimit" not in saved else "", None)
        for name, entries in zip(_LISTS, lists, strict=True):
            if _SYS[name] != entries:
                _SYS[name][:] = entries
        if len(modules) < count:  # a copy for each trial would take longer than all the rest
            for name in _known_modules.keys() - modules.keys():
                modules[name] = _known_modules[name]
        if limits != (sys.getrecursionlimit(), sys.getswitchinterval(), sys.gettrace(), sys.getprofile()):
            sys.setrecursionlimit(limits[0])
            sys.setswitchinterval(limits[1])
            sys.settrace(limits[2])
            sys.setprofile(limits[3])
        if digits != sys.get_int_max_str_digits():
            sys.set_int_max_str_digits(digits)

    return restore


def _streams() -> Restore:
    """Descriptors 0 to 2 and what `sys` writes to; a stream that was closed is opened anew."""
    streams = [_SYS[name] for name, _ in _STREAMS]
    were_open = [not _is_closed(stream) for stream in streams]
    _flush(streams[1])  # what was written before must not end up where a candidate leads the descriptor
    copies = [_duplicate(descriptor) for descriptor in range(3)]

    def restore() -> None:
        if were_open[1] and not _is_closed(streams[1]):
            _flush(streams[1])
        for descriptor, copy in enumerate(copies):
            if copy is not None:
                dup2(copy, descriptor)
                close(copy)
        for descriptor, (name, mode) in enumerate(_STREAMS):
            stream = streams[descriptor]
            if were_open[descriptor] and _is_closed(stream) and copies[descriptor] is not None:
                _reopen(descriptor, name, mode, stream)

    return restore


def _duplicate(descriptor: int) -> int | None:
    try:
        return dup(descriptor)
    except OSError:  # closed from the start, or no descriptor left
        return None


def _is_closed(stream: Any) -> bool:
    try:
        return stream.closed
    except AttributeError:  # None, or something of the user's that only writes
        return False
    except ValueError:  # detached
        return True


def _flush(stream: Any) -> None:
    with contextlib.suppress(Exception):
        stream.flush()


def _reopen(descriptor: int, name: str, mode: str, closed: Any) -> None:
    """Opens a closed stream again: the same object, where it can be, as others write to it too."""
    encoding = getattr(closed, "encoding", None) or "utf-8"
    errors = "backslashreplace" if mode == "w" else "strict"
    stream = open(descriptor, f"{mode}b", closefd=False)  # noqa: SIM115 - it stays open
    if type(closed) is io.TextIOWrapper:
        closed.__init__(stream, encoding, errors, line_buffering=mode == "w")
        return
    opened = io.TextIOWrapper(stream, encoding, errors, line_buffering=mode == "w")
    for attribute in (name, f"__{name}__"):
        if _SYS[attribute] is closed:
            _SYS[attribute] = opened


def _directory() -> Restore:
    try:
        saved = getcwd()
    except OSError:  # it is gone already
        return lambda: None

    def restore() -> str | None:
        with contextlib.suppress(OSError):
            if getcwd() == saved:
                return None
        try:
            chdir(saved)
        except OSError:
            return f"the working directory is gone: {saved}"
        return None

    return restore


def _environment() -> Restore:
    # as bytes: decoding all of it takes ten times as long
    saved: dict[Any, Any] = environ._data.copy()  # type: ignore[attr-defined]

    def restore() -> None:
        if os.environ is not environ:
            os.environ = environ  # noqa: B003 - it is the one that was there
        now: dict[Any, Any] = environ._data  # type: ignore[attr-defined]
        if now == saved:
            return
        decode = environ.decodevalue
        for key in [key for key in now if key not in saved]:
            del environ[decode(key)]
        for key, value in saved.items():
            if now.get(key) != value:
                environ[decode(key)] = decode(value)
        if hasattr(time, "tzset"):
            time.tzset()

    return restore


def _mask_of_files() -> Restore:
    saved = umask(0o077)
    umask(saved)

    def restore() -> None:
        umask(saved)

    return restore


def _generators() -> Restore:
    """Streams of the caller, which go on as if there had been no trial, whatever it draws.

    That of `random` goes on from a number drawn from it: its state takes as long to copy as all the rest.
    """
    after, caller = random.getrandbits(64), _numpy_generator()
    own = _spare.pop() if _spare else np.random.MT19937()
    _set_numpy_generator(own)

    def restore() -> None:
        random.seed(after)
        _set_numpy_generator(caller)
        _spare.append(own)

    return restore


def _seed_generators(seed: int) -> None:
    random.seed(seed)
    _seed_numpy(seed % 2**32)
    torch: Any = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "default_generator"):
        torch.default_generator.manual_seed(seed % 2**63)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed % 2**63)


def _torch() -> Restore:
    """Of torch only if something has imported it; what a trial imports is put to torch's own defaults."""
    torch: Any = sys.modules.get("torch")
    known = torch is not None and hasattr(torch, "default_generator")  # else half imported
    saved = _torch_settings(torch) if known else None
    states = _torch_states(torch) if known else None

    def restore() -> str | None:
        torch: Any = sys.modules.get("torch")
        if torch is None or not hasattr(torch, "default_generator"):
            return None
        if states is not None:
            torch.default_generator.set_state(states[0])
            if states[1] is not None:
                torch.cuda.set_rng_state_all(states[1])
        now = _torch_settings(torch)
        wanted = saved or (*_torch_defaults(torch), *now[-2:])
        if now == wanted:
            return None
        for setting, value, current in zip(_torch_setters(torch), wanted, now, strict=True):
            if value != current:
                setting(value)
        inference = "torch's inference mode" if torch.is_inference_mode_enabled() and not wanted[0] else None
        device = "torch's default device" if torch.get_default_device() != wanted[2] else None
        return inference or device

    return restore


def _torch_states(torch: Any) -> tuple[Any, Any]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return torch.default_generator.get_state(), cuda


def _torch_settings(torch: Any) -> tuple[Any, ...]:
    cudnn = torch.backends.cudnn
    return (
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        torch.is_anomaly_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.is_autocast_enabled("cuda"),
        torch._C._get_float32_matmul_precision(),
        (cudnn.enabled, cudnn.benchmark, cudnn.deterministic),
        torch.get_num_threads(),
        torch.cuda.current_device() if torch.cuda.is_initialized() else None,
    )


def _torch_defaults(torch: Any) -> tuple[Any, ...]:
    """As torch begins, but for the number of threads and the GPU, which depend on the machine."""
    plain = (False, torch.float32, torch.device("cpu"), True, (False, False), False, False, False)
    return (*plain, "highest", (True, False, False))


def _torch_setters(torch: Any) -> tuple[Callable[[Any], Any], ...]:
    def set_device(device: Any) -> None:
        torch.set_default_device(None if device == torch.device("cpu") else device)

    def set_determinism(values: tuple[bool, bool]) -> None:
        torch.use_deterministic_algorithms(values[0], warn_only=values[1])

    def set_cudnn(values: tuple[bool, bool, bool]) -> None:
        cudnn = torch.backends.cudnn
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic = values

    def set_gpu(device: int | None) -> None:
        if device is not None:
            torch.cuda.set_device(device)

    return (
        lambda _: None,  # inference mode has no setter
        torch.set_default_dtype,
        set_device,
        torch.set_grad_enabled,
        set_determinism,
        torch.autograd.set_detect_anomaly,
        lambda enabled: torch.set_autocast_enabled("cpu", enabled),
        lambda enabled: torch.set_autocast_enabled("cuda", enabled),
        torch.set_float32_matmul_precision,
        set_cudnn,
        torch.set_num_threads,
        set_gpu,
    )


def _arithmetic() -> Restore:
    saved = decimal.getcontext().copy()

    def restore() -> None:
        decimal.setcontext(saved)

    return restore


def _warnings() -> Restore:
    filters, entries, show = warnings.filters, warnings.filters[:], warnings.showwarning

    def restore() -> None:
        warnings.showwarning = show
        if warnings.filters is filters and filters == entries:
            return
        warnings.resetwarnings()  # so that what was decided by the other filters is forgotten
        warnings.filters = filters  # pyright: ignore[reportAttributeAccessIssue]
        filters[:] = entries  # pyright: ignore[reportIndexIssue]

    return restore


def _language() -> Restore:
    saved = locale.setlocale(locale.LC_ALL)

    def restore() -> None:
        if locale.setlocale(locale.LC_ALL) != saved:
            locale.setlocale(locale.LC_ALL, saved)

    return restore


def _limits() -> Restore:
    if _get_limit is None:
        return lambda: None
    saved = [_get_limit(kind) for kind in _LIMITS]

    def restore() -> str | None:
        for kind, limit in zip(_LIMITS, saved, strict=True):
            if _get_limit(kind) != limit:
                try:
                    _set_limit(kind, limit)
                except ValueError:  # the hard limit may be lowered, not raised
                    return "a limit of resources"
        return None

    return restore


def _signals() -> Restore:
    """Handlers, blocked signals and timers. Only the main thread may set handlers, and so change them."""
    handlers = [_handler_of(number) for number in _SIGNALS]
    blocked = _blocked(_SIG_BLOCK, ())
    timers, began = [_timer(kind) for kind in _TIMERS], _monotonic()

    def restore() -> None:
        for kind, (left, interval) in zip(_TIMERS, timers, strict=True):
            now = _timer(kind)[0]
            if left == 0.0 != now:
                _set_timer(kind, 0.0)
            elif left and not now:  # the caller's timer was switched off
                _set_timer(kind, max(left - (_monotonic() - began), 1e-3), interval)
        for number, handler in zip(_SIGNALS, handlers, strict=True):
            if _handler_of(number) is not handler and handler is not None and _in_main_thread():
                _set_handler(number, handler)
        if blocked != _blocked(_SIG_BLOCK, ()):
            _blocked(_SIG_SETMASK, blocked)

    return restore


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _odds_and_ends() -> Restore:
    """Garbage collection, root logger, folder for temporary files, and how processes are started."""
    root, manager = logging.root, logging.root.manager
    collects, thresholds = gc.isenabled(), gc.get_threshold()
    handlers, level, disabled = root.handlers[:], root.level, manager.disable
    folder = tempfile.tempdir

    def restore() -> None:
        if gc.isenabled() != collects:
            (gc.enable if collects else gc.disable)()
        if gc.get_threshold() != thresholds:
            gc.set_threshold(*thresholds)
        if root.handlers != handlers:
            root.handlers[:] = handlers
        if root.level != level:
            root.setLevel(level)
        if manager.disable != disabled:
            logging.disable(disabled)
        tempfile.tempdir = folder

    return restore


def _processes() -> Restore:
    """How multiprocessing starts processes and how long sockets wait, once something has imported them."""
    module: Any = sys.modules.get("multiprocessing")
    saved = None if module is None else module.get_start_method(allow_none=True)
    sockets: Any = sys.modules.get("socket")
    timeout = None if sockets is None else sockets.getdefaulttimeout()

    def restore() -> None:
        module: Any = sys.modules.get("multiprocessing")
        sockets: Any = sys.modules.get("socket")
        if sockets is not None and sockets.getdefaulttimeout() != timeout:
            sockets.setdefaulttimeout(timeout)
        if module is not None and module.get_start_method(allow_none=True) != saved:
            module.set_start_method(saved, force=True)

    return restore


def _threads() -> Restore:
    """Threads cannot be ended from outside; those that are to end with the process are no one's harm.

    Neither are those of a pool which wait for work: one that an evaluator keeps is made by its first trial.
    """
    known = threading.enumerate()

    def restore() -> str | None:
        until = None
        for thread in threading.enumerate():
            if thread in known or thread.daemon:
                continue
            until = until or _monotonic() + _PATIENCE
            while thread.is_alive() and not _waits_for_work(thread):
                if _monotonic() > until:
                    return "a running thread"
                thread.join(_PATIENCE / 20)
        return None

    return restore


def _waits_for_work(thread: threading.Thread) -> bool:
    """Whether it is one of a `ThreadPoolExecutor` with nothing to do: what it calls leaves no frame then."""
    pools: Any = sys.modules.get("concurrent.futures.thread")
    frame = sys._current_frames().get(thread.ident or 0)
    return pools is not None and frame is not None and frame.f_code is pools._worker.__code__


_ASPECTS = (
    _names,
    _exits,
    _system,
    _streams,
    _environment,
    _directory,
    _mask_of_files,
    _generators,
    _torch,
    _arithmetic,
    _warnings,
    _language,
    _limits,
    _signals,
    _odds_and_ends,
    _processes,
    _threads,
)
