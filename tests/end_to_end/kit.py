"""The command line for tests: in this process, where seconds count, or as a process of its own."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
# The main job at a fiftieth of its size: tens of milliseconds a trial.
TINY_JOB = (
    "+experiment=digits executor=inline budget.trials=3 baseline.samples=2 final.seeds=2 "
    "evaluator.epochs=1 +evaluator.limit_train=64 evaluator.warmup_epochs=0"
)
TINY = f"{TINY_JOB} space.depth=1"


@dataclass(frozen=True)
class Result:
    """What a command left: its exit status and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The one line of a command that was refused."""
        assert self.status == 2, f"status {self.status}\n{self.out}\n{self.err}"
        assert self.out == ""
        # of a key that a test gives once more
        lines = [
            line for line in self.err.splitlines() if not re.fullmatch(r"note: .* is overridden by .*", line)
        ]
        assert len(lines) == 1, self.err
        return lines[0]


def command(line: str, folder: Path, *, may_warn: str = "(?!)") -> Result:
    """Runs `python -m nas.run LINE` in this process, with `folder` as the working directory.

    Args:
        line: quoted as for a shell.
        folder: also the place of modules of one's own.
        may_warn: pattern of warnings that are shown as usual; others are errors in tests.
    """
    from nas.run.__main__ import main

    out, err, status, before = StringIO(), StringIO(), 0, set(sys.modules)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings("default", message=may_warn)
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["nas.run", *shlex.split(line)])
        patch.setattr(sys, "path", list(sys.path))
        patch.setenv("HYDRA_FULL_ERROR", "1")  # so that it is put back
        with redirect_stdout(out), redirect_stderr(err):
            try:
                main()
            except SystemExit as end:
                status = end.code
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
            del sys.modules[name]  # another test's module may have the same name
    assert isinstance(status, int)
    return Result(status, out.getvalue(), err.getvalue())


def start(
    line: str, folder: Path, program: Sequence[str] = ("-m", "nas.run"), **environment: str
) -> subprocess.Popen[str]:
    """Starts `python -m nas.run LINE`, or another program, as a process that leads a process group."""
    return subprocess.Popen(
        [sys.executable, *program, *shlex.split(line)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], seconds: float = 120) -> Result:
    """Waits for a process; one that does not end in time is killed and fails the test."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _give_up(process, f"no end after {seconds} s")
    return Result(process.returncode, out, err)


def wait_for(condition: Callable[[], T], process: subprocess.Popen[str], seconds: float = 60) -> T:
    """The first true value of a condition on what a process does."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        if process.poll() is not None or time.monotonic() > until:
            _give_up(process, "what was waited for did not happen")
        time.sleep(0.01)
    return value


def _give_up(process: subprocess.Popen[str], why: str) -> NoReturn:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    out, err = process.communicate()
    pytest.fail(f"{why}; status {process.returncode}\n{out}\n{err}")


def files(folder: Path) -> list[str]:
    """Everything in a folder, to any depth; compiled modules of one's own aside."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return sorted(name for name in found if "__pycache__" not in name)


def events(run: Path) -> list[dict[str, Any]]:
    """The whole lines of a run's log."""
    log = run / "events.jsonl"
    content = log.read_bytes() if log.exists() else b""
    return [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]


def count(run: Path, event: str) -> Counter[int]:
    """Trial -> number of its events of one kind."""
    return Counter(entry["trial"] for entry in events(run) if entry["event"] == event)


def outcomes(run: Path) -> dict[int, tuple[str, Any, Any]]:
    """Trial -> (architecture, status, values): what a run found, whatever the time it took."""
    asked = (entry for entry in events(run) if entry["event"] == "asked" and entry["trial"] is not None)
    texts = {entry["trial"]: entry["architecture"] for entry in asked}
    return {
        entry["trial"]: (
            texts[entry["trial"]],
            entry["evaluation"]["status"],
            entry["evaluation"]["values"],
        )
        for entry in events(run)
        if entry["event"] == "evaluated"
    }
