import os
import re
import subprocess
import sys

import pytest

from nas.report.__main__ import main
from tests.report.report_kit import Log, finished_run
from tests.report.test_report import FILES


def test_the_command_prints_the_table_and_writes_into_the_run(tmp_path, capsys):
    directory = finished_run(tmp_path / "run")
    assert main([str(directory)]) == 0
    out = capsys.readouterr().out
    assert "regularized_evolution, seed 0: finished" in out
    assert "| random sampling" in out
    assert out.endswith(f"files: {directory}\n")
    assert {path.name for path in directory.iterdir()} == {*FILES, "events.jsonl"}


def test_the_command_takes_a_folder_of_runs_and_an_output(tmp_path, capsys):
    for seed in range(2):
        finished_run(tmp_path / "runs" / str(seed), seed=seed)
    assert main([str(tmp_path / "runs"), "--output", str(tmp_path / "out")]) == 0
    assert "regularized_evolution, 2 runs" in capsys.readouterr().out
    assert (tmp_path / "out/results.md").exists()


def test_several_runs_go_to_a_folder_named_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runs = [str(finished_run(tmp_path / str(seed), seed=seed)) for seed in range(2)]
    assert main(runs) == 0
    assert capsys.readouterr().out.endswith("files: report\n")
    assert (tmp_path / "report/results.md").exists()


def test_a_torn_last_line_is_noted(tmp_path, capsys):
    directory = finished_run(tmp_path)
    with (directory / "events.jsonl").open("a") as file:
        file.write('{"event": "as')
    assert main([str(directory)]) == 0
    assert "note: " in capsys.readouterr().err


def absent(tmp_path):
    return [tmp_path / "absent"], r"StoreError: .*absent: expected the folder of a run; there is none"


def without_log(tmp_path):
    return [tmp_path], r"StoreError: .*events.jsonl: expected an event log"


def foreign_json(tmp_path):
    (tmp_path / "events.jsonl").write_text('{"event": "opened", "study": 1}\n')
    return [tmp_path], r"StoreError: .*line 1: expected a format from 1 to 2; got None; continue it with the"


def foreign_text(tmp_path):
    (tmp_path / "events.jsonl").write_text("hello\nworld\n")
    return [tmp_path], r"StoreError: .*events.jsonl.* expected"


def foreign_bytes(tmp_path):
    (tmp_path / "events.jsonl").write_bytes(bytes(range(256)) * 3)
    return [tmp_path], r"StoreError: .*events.jsonl.* expected"


def damaged_trial(tmp_path):
    log = Log(tmp_path).opened()
    log.asked("search", 0, seed=None, fidelity=7)
    log.write()
    return [tmp_path], r"StoreError: .*line 2: expected asked: fidelity to be an object or null; got 7"


def unwritable(tmp_path):
    directory = finished_run(tmp_path / "run")
    return [directory, "--output", directory / "events.jsonl"], r"ConfigError: .*cannot write the report; "


@pytest.mark.parametrize(
    "case", [absent, without_log, foreign_json, foreign_text, foreign_bytes, damaged_trial, unwritable]
)
def test_bad_input_gives_one_line_and_status_2(tmp_path, capsys, case):
    arguments, message = case(tmp_path)
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert re.match(message, err)


def test_the_module_runs_as_a_command(tmp_path):
    command = [sys.executable, "-m", "nas.report", str(tmp_path / "absent")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("StoreError: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_reader_that_has_enough_is_no_fault(tmp_path):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "nas.report", str(finished_run(tmp_path))]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "results.md").exists()
