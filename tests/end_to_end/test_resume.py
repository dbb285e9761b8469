"""What survives the end of a driver, however it came: nothing finished is lost or repeated."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from nas.report import Run, Written
from nas.report.report import state
from nas.study import read_study
from tests.end_to_end.kit import TINY, command, count, events, files, finish, outcomes, start, wait_for

JOB = f"{TINY} budget.trials=12 run.dir=run"
FIRST_WORDS = "stopping; once more to stop without a report\n"
# Each call leaves a line "text process" in `diary`, then takes its time.
SLOW = """
import os, time
def score(architecture):
    with open(os.environ["DIARY"], "a") as diary:
        diary.write(f"{architecture.digest()} {os.getpid()}\\n")
    time.sleep(float(os.environ.get("SECONDS", "0.1")))
    return len(architecture.text)
"""
SLOW_JOB = (
    "name=slow evaluator=function evaluator.function=slow:score searcher=random budget.trials=12 "
    "baseline.samples=2 final.seeds=2 hashing=none run.dir=run"
)


@pytest.fixture
def unreported(monkeypatch):
    """Leaves the report out, which takes longer than a tiny run."""

    written = Written(Path("out"), (), "report")
    monkeypatch.setattr("nas.report.write_report", lambda *_: written)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert command(JOB, folder).status == 0
    return folder / "run"


def cut(whole: Path, run: Path, share: float) -> None:
    """A run killed in the middle of writing: the beginning of another's log, up to half a line."""
    lines = (whole / "events.jsonl").read_bytes().splitlines(keepends=True)
    kept = int(len(lines) * share)
    run.mkdir()
    (run / "events.jsonl").write_bytes(b"".join(lines[:kept]) + lines[kept][: len(lines[kept]) // 2])
    shutil.copytree(whole / "checkpoints", run / "checkpoints", dirs_exist_ok=True)


def table(run: Path) -> list[list[str]]:
    """The table of trials without what differs from run to run: costs and moments."""
    with (run / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept = ("trial", "stage", "status", "seed", "digest", "architecture", "parent", "test_accuracy")
    return sorted([row.get(name, "") for name in kept] for row in rows)


@pytest.mark.parametrize(
    "share",
    [0.81, *(pytest.param(share, marks=pytest.mark.slow) for share in (0.05, 0.37, 0.999))],
)
def test_a_torn_log_is_continued_to_the_same_end(share, uninterrupted, tmp_path, unreported):
    cut(uninterrupted, tmp_path / "run", share)
    before = outcomes(tmp_path / "run")
    result = command(f"{JOB} resume=run", tmp_path, may_warn=".*torn")
    assert result.status == 0, result.err
    assert outcomes(tmp_path / "run") == outcomes(uninterrupted)
    assert set(count(tmp_path / "run", "evaluated").values()) == {1}
    assert before.items() <= outcomes(tmp_path / "run").items()
    sessions = [entry["session"] for entry in events(tmp_path / "run") if entry["event"] == "opened"]
    assert sessions == [1, 2]


@pytest.mark.slow
def test_a_torn_line_is_noted_in_one_line(uninterrupted, tmp_path, unreported):
    cut(uninterrupted, tmp_path / "run", 0.5)
    result = command("resume=run", tmp_path, may_warn=".*torn")
    noted = [line for line in result.err.splitlines() if line.startswith("note:")]
    assert len(noted) == 1
    assert "run/events.jsonl: the last line is torn and is dropped" in noted[0]


def test_the_folder_alone_is_enough_to_resume(uninterrupted, tmp_path):
    cut(uninterrupted, tmp_path / "run", 0.4)
    result = command("resume=run", tmp_path, may_warn=".*torn")
    assert result.status == 0, result.err
    assert outcomes(tmp_path / "run") == outcomes(uninterrupted)
    assert table(tmp_path / "run") == table(uninterrupted)
    assert [name for name in files(tmp_path) if not name.startswith("run")] == []


@pytest.mark.slow
def test_a_finished_run_is_only_reported(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted, tmp_path / "run")
    before = (tmp_path / "run/events.jsonl").read_bytes()
    (tmp_path / "run/results.md").unlink()
    for line in ("resume=run", f"{JOB} resume=run"):
        result = command(line, tmp_path)
        assert result.status == 0
        assert "finished" in result.out
    assert (tmp_path / "run/events.jsonl").read_bytes() == before
    assert (tmp_path / "run/results.md").exists()


@pytest.mark.slow
def test_a_larger_budget_continues_a_finished_run(uninterrupted, tmp_path, unreported):
    shutil.copytree(uninterrupted, tmp_path / "run")
    assert command(f"{JOB} resume=run budget.trials=14 baseline.samples=3", tmp_path).status == 0
    assert command(f"{JOB} run.dir=whole budget.trials=14 baseline.samples=3", tmp_path).status == 0
    searched = {trial: found for trial, found in outcomes(tmp_path / "run").items() if trial < 20_000_000}
    whole = {trial: found for trial, found in outcomes(tmp_path / "whole").items() if trial < 20_000_000}
    assert searched == whole
    assert set(count(tmp_path / "run", "evaluated").values()) == {1}


@pytest.mark.parametrize(
    ("change", "beginning"),
    [
        ("space.depth=2", "space: expected ['macro', '"),
        ("searcher=random", "searcher: expected ['surrogate', {"),
        ("searcher.initial=3", "searcher: expected ['surrogate', {"),
        ("seed=1", "seed: expected 0, as logged; got 1; "),
        ("evaluator.lr=0.2", "evaluator: expected ['ClassificationEvaluator', '"),
        ("search.fidelity=1", "fidelity: expected None, as logged; got {'name': 'epochs', 'value': 1.0}; "),
        ("hashing=none", "hashing: expected 'functional', as logged; got 'none'; "),
        ("cache.forget=0.5", "cache: expected {'evaluations': 1, 'forget': 0.0, 'capacity': 100000, "),
    ],
)
def test_a_log_of_another_study_is_not_continued(change, beginning, uninterrupted, tmp_path):
    cut(uninterrupted, tmp_path / "run", 0.4)
    before = (tmp_path / "run/events.jsonl").read_bytes()
    result = command(f"{JOB} resume=run {change}", tmp_path, may_warn=".*torn")
    assert result.status == 2
    assert result.err.splitlines()[-1].startswith(f"StoreError: run/events.jsonl: {beginning}")
    assert (tmp_path / "run/events.jsonl").read_bytes() == before


@pytest.mark.slow
def test_a_log_that_cannot_grow_ends_the_run_in_one_line(uninterrupted, tmp_path, unreported):
    (tmp_path / "small.py").write_text(
        "import resource, runpy, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "runpy.run_module('nas.run', run_name='__main__', alter_sys=True)\n"
    )
    result = finish(start(JOB, tmp_path, program=["small.py"]))
    assert result.status == 2
    assert result.err.splitlines()[-1].startswith("StoreError: run/events.jsonl: cannot write the log; ")
    assert "Traceback" not in result.err
    assert command(f"{JOB} resume=run", tmp_path).status == 0
    assert outcomes(tmp_path / "run") == outcomes(uninterrupted)


@pytest.mark.parametrize("executor", ["inline", pytest.param("ray", marks=pytest.mark.ray)])
@pytest.mark.slow
def test_kill_9_of_the_driver_loses_and_repeats_nothing(executor, tmp_path, monkeypatch):
    (tmp_path / "slow.py").write_text(SLOW)
    diary, line = tmp_path / "diary", f"{SLOW_JOB} executor={executor}"
    line += " executor.dashboard=false" if executor == "ray" else ""
    run = tmp_path / "run"
    process = start(line, tmp_path, DIARY=str(diary))
    wait_for(lambda: len(count(run, "evaluated")) >= 5, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done, in_flight = outcomes(run), count(run, "started") - count(run, "evaluated")
    if executor == "ray":
        result = finish(start(f"{line} resume=run", tmp_path, DIARY=str(diary)))
    else:
        monkeypatch.setenv("DIARY", str(diary))
        result = command(f"{line} resume=run", tmp_path, may_warn=".*torn")
    assert result.status == 0, result.err
    assert len(outcomes(run)) == 16
    assert set(count(run, "evaluated").values()) == {1}
    assert done.items() <= outcomes(run).items()
    assert 16 <= len(diary.read_text().splitlines()) <= 16 + len(in_flight)
    assert len(table(run)) == 16


@pytest.mark.slow
def test_kill_9_ends_in_the_table_of_an_uninterrupted_run(uninterrupted, tmp_path):
    process = start(JOB, tmp_path)
    wait_for(lambda: len(count(tmp_path / "run", "evaluated")) >= 4, process)
    process.kill()
    process.communicate()
    assert command("resume=run", tmp_path, may_warn=".*torn").status == 0
    assert table(tmp_path / "run") == table(uninterrupted)


@pytest.mark.parametrize("executor", ["inline", pytest.param("ray", marks=pytest.mark.ray)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.slow
def test_a_signal_ends_in_a_report_and_the_run_can_be_resumed(number, executor, tmp_path, unreported):
    (tmp_path / "slow.py").write_text(SLOW)
    line = f"{SLOW_JOB} executor={executor}"
    line += " executor.dashboard=false" if executor == "ray" else ""
    process = start(line, tmp_path, DIARY=str(tmp_path / "diary"))
    wait_for(lambda: count(tmp_path / "run", "evaluated"), process)
    # a terminal sends Ctrl-C to all processes of the group, a scheduler SIGTERM to the first
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    result = finish(process, 30)
    assert result.status == 130
    assert FIRST_WORDS in result.err
    assert "Traceback" not in result.err
    assert "stopped early; the same command with resume=run continues" in result.out
    assert "random sampling" in (tmp_path / "run/results.md").read_text()
    assert events(tmp_path / "run")[-1]["reason"] == "interrupted"
    (tmp_path / "slow.py").write_text(SLOW.replace("time.sleep", "float"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIARY", str(tmp_path / "diary"))
        resumed = command(f"{SLOW_JOB} executor=inline resume=run", tmp_path)
    assert resumed.status == 2  # the function's source is another one
    (tmp_path / "slow.py").write_text(SLOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIARY", str(tmp_path / "diary"))
        patch.setenv("SECONDS", "0")
        resumed = command(f"{SLOW_JOB} executor=inline resume=run", tmp_path)
    assert resumed.status == 0, resumed.err
    assert set(count(tmp_path / "run", "evaluated").values()) == {1}
    assert len(outcomes(tmp_path / "run")) == 16


def test_a_second_interrupt_ends_the_run_at_once(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    process = start(f"{SLOW_JOB} executor=inline", tmp_path, DIARY=str(tmp_path / "diary"), SECONDS="100")
    wait_for((tmp_path / "diary").exists, process)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while process.stderr.readline() != FIRST_WORDS:
        pass
    process.send_signal(signal.SIGINT)
    result = finish(process, 10)
    assert result.status == 130
    assert "Traceback" not in result.err
    assert events(tmp_path / "run")[-1]["reason"] == "interrupted"


@pytest.mark.slow
def test_an_interrupt_ends_a_multirun(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    line = f"-m {SLOW_JOB} executor=inline seed=0,1,2"
    process = start(line, tmp_path, DIARY=str(tmp_path / "diary"))
    wait_for(lambda: count(tmp_path / "run/0", "evaluated"), process)
    os.killpg(process.pid, signal.SIGINT)
    assert finish(process, 20).status == 130
    assert os.listdir(tmp_path / "run") == ["0"]


@pytest.mark.slow
def test_a_run_that_goes_on_is_not_resumed_and_shows_its_state(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    line = f"{SLOW_JOB} executor=inline"
    process = start(line, tmp_path, DIARY=str(tmp_path / "diary"), SECONDS="0.3")
    wait_for(lambda: len(count(tmp_path / "run", "evaluated")) >= 2, process)
    refused = command(f"{line} resume=run", tmp_path, may_warn=".*torn")
    assert refused.status == 2
    assert refused.err.splitlines()[-1].startswith(
        f"StoreError: run/events.jsonl: expected a run that has ended; process {process.pid} is still at it; "
    )
    shown = state(Run.of(read_study(tmp_path / "run")))
    assert "in progress or killed, search stage; last event" in shown
    process.kill()
    process.communicate()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIARY", str(tmp_path / "diary"))
        patch.setenv("SECONDS", "0")
        assert command(f"{line} resume=run", tmp_path, may_warn=".*torn").status == 0
    assert json.loads((tmp_path / "run/events.jsonl").read_text().splitlines()[-1])["reason"] == "finished"
