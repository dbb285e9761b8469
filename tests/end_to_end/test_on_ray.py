"""Whole runs on a local Ray, as processes: faults of candidates and of workers, what Ray shows."""

from __future__ import annotations

import os
import re
import signal
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.kit import count, events, finish, outcomes, start, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow]

UNRULY = """
import ctypes, os, re, time
import numpy as np

def score(architecture):
    width = int(re.search(r"width=(\\d+)", architecture.text)[1])
    print("width", width, flush=True)
    match width:
        case 1: raise ValueError("this one raises")
        case 2: return float("nan")
        case 3: time.sleep(1000)
        case 4: ctypes.PyDLL(None).sleep(1000)  # never releases the interpreter's lock
        case 5: return np.ones(2**28).sum()  # 2 GiB
        case 6: os._exit(3)
        case 7: ctypes.string_at(0)
        case 8: return "high"
    return width
"""
DIARY = """
import os, time
def score(architecture):
    with open(os.environ["DIARY"], "a") as diary:
        diary.write(f"{architecture.digest()} {os.getpid()}\\n")
    time.sleep(0.5)
    return 1.0
"""


def own(module: str, *, trials: int, dashboard: bool = False) -> str:
    return (
        f"name=own evaluator=function evaluator.function={module}:score searcher=random run.dir=run "
        f"budget.trials={trials} baseline.samples=1 final.seeds=2 executor.num_cpus=2 "
        f"executor.dashboard={str(dashboard).lower()}"
    )


def test_candidates_that_misbehave_are_recorded_while_the_search_goes_on(tmp_path):
    (tmp_path / "unruly.py").write_text(UNRULY)
    widths = ", ".join(map(str, range(1, 13)))
    (tmp_path / "widths.txt").write_text(f"stem(width=oneof({widths})) >> head()")
    line = own("unruly", trials=12).replace("baseline.samples=1", "baseline.samples=0")
    line = line.replace("searcher=random", "searcher=no_repeats")
    line += " space=file space.path=widths.txt trial.time_limit=1"
    result = finish(start(f"{line} executor.memory_per_trial=0.5 executor.retries=0", tmp_path))
    assert result.status == 0, result.err
    found: dict[int, dict[str, Any]] = {}
    texts = {entry["trial"]: entry["architecture"] for entry in events(tmp_path / "run") if "digest" in entry}
    for entry in events(tmp_path / "run"):
        if entry["event"] == "evaluated" and entry["trial"] < 10_000_000:
            width = re.search(r"width=(\d+)", texts[entry["trial"]])
            assert width is not None
            found[int(width[1])] = entry["evaluation"]
    reasons = {
        1: ("error", "ValueError: this one raises"),
        2: ("diverged", "score is nan"),
        3: ("timeout", "did not stop at its time limit of 1"),
        4: ("timeout", "did not stop at its time limit of 1"),
        5: ("out_of_memory", "MemoryError: Unable to allocate 2.00 GiB"),
        6: ("error", "SystemExit: 3"),
        7: ("worker_died", "ActorDiedError: "),
        8: ("error", "EvaluationError: unruly:score: expected a number or a mapping"),
    }
    for width, (status, reason) in reasons.items():
        assert found[width]["status"] == status, found[width]
        assert found[width]["reason"].startswith(reason)
        assert "\n" not in found[width]["reason"]
    assert {width: found[width]["values"] for width in range(9, 13)} == {
        width: {"score": float(width)} for width in range(9, 13)
    }
    assert "search: 12/12 done, 8 failed" in result.out
    assert "Traceback" not in result.err


def test_kill_9_of_a_worker_in_mid_trial_loses_nothing(tmp_path):
    (tmp_path / "diary.py").write_text(DIARY)
    diary = tmp_path / "diary"

    def calls() -> list[list[str]]:
        return [line.split() for line in diary.read_text().splitlines()] if diary.exists() else []

    process = start(f"{own('diary', trials=8)} hashing=none", tmp_path, DIARY=str(diary))
    wait_for(lambda: len(count(tmp_path / "run", "evaluated")) >= 2 and len(calls()) >= 4, process)
    victim, pid = calls()[-1]
    os.kill(int(pid), signal.SIGKILL)
    result = finish(process)
    assert result.status == 0, result.err
    assert len(outcomes(tmp_path / "run")) == 11
    assert {status for _, status, _ in outcomes(tmp_path / "run").values()} == {"completed"}
    assert set(count(tmp_path / "run", "evaluated").values()) == {1}
    again = Counter(digest for digest, _ in calls()) - Counter(
        entry["digest"] for entry in events(tmp_path / "run") if entry["event"] == "asked"
    )
    assert again == {victim: 1}


def test_progress_reaches_the_dashboard_and_prometheus(tmp_path):
    (tmp_path / "diary.py").write_text(DIARY)
    line = f"{own('diary', trials=100, dashboard=True)} hashing=none"
    # the token is made in the home folder
    process = start(line, tmp_path, DIARY=str(tmp_path / "diary"), RAY_AUTH_MODE="token", HOME=str(tmp_path))
    assert process.stdout is not None
    said = ""
    while "what the workers print" not in said:
        said += process.stdout.readline()
    address, logs = (
        re.search(r"dashboard: (http://127\.0\.0\.1:\d+)\n", said),
        re.search(r"print: (.*)\n", said),
    )
    assert address is not None
    assert logs is not None
    assert "which `ray get-auth-token` prints" in said
    (port,) = Path(logs[1]).parent.glob("metrics_export_port_*")

    def exported() -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port.read_text()}/metrics") as answer:
            text = answer.read().decode()
        found = re.findall(r'^ray_(nas_\w+)\{.*study="own".*\} (\S+)$', text, re.MULTILINE)
        values = {name: float(value) for name, value in found}
        return values if "nas_trials_done_total" in values else {}

    metrics = wait_for(exported, process, 40)
    assert metrics["nas_trials_done_total"] >= 1
    assert metrics["nas_best_value"] == 1.0
    assert {"nas_trials_in_flight", "nas_elapsed_seconds", "nas_time_left_seconds"} <= set(metrics)
    with urllib.request.urlopen(address[1]) as page:
        assert page.status == 200
    os.kill(process.pid, signal.SIGTERM)
    assert finish(process, 30).status == 130


def test_the_main_job_at_a_smaller_size(tmp_path):
    line = (
        "+experiment=digits budget.trials=6 baseline.samples=2 final.seeds=2 evaluator.epochs=2 run.dir=run"
    )
    result = finish(start(line, tmp_path))
    assert result.status == 0, result.err
    assert {status for _, status, _ in outcomes(tmp_path / "run").values()} == {"completed"}
    assert len(list((tmp_path / "run/checkpoints").iterdir())) == 1
    workers = {entry["worker"] for entry in events(tmp_path / "run") if entry["event"] == "evaluated"}
    assert all(re.fullmatch(r".+:\d+", worker) for worker in workers)
    assert "surrogate" in (tmp_path / "run/results.md").read_text()
