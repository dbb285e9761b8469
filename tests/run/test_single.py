from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nas.evaluation import Stage
from nas.run import single
from nas.run.comparison import baseline_job, study_job
from nas.run.compose import composed, forget
from nas.run.config import BudgetSection, CompareSection, Config, FinalSection
from nas.run.single import ends_of
from nas.study import FILE_NAME, OVERHEAD, Lock, Searcher, read_study
from tests.report.report_kit import Log


def length(architecture) -> float:
    return float(len(architecture.text))


def config(**changes) -> Config:
    searchers = {"random": {"name": "random"}, "every": {"name": "exhaustive", "order": "random"}}
    parts = {
        "space": {"name": "nasbench201"},
        "evaluator": {"name": "function", "function": f"{__name__}:length"},
        "executor": {"name": "inline"},
        "hashing": {"name": "none"},
        "budget": BudgetSection(7),
        "final": FinalSection(0),
        "compare": CompareSection(searchers=searchers, first_seed=3),
    }
    return Config(name="toy", seed=99, **{**parts, **changes})


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    forget()
    yield
    forget()


def test_a_study_runs_in_its_folder_with_its_own_seed_and_searcher(tmp_path):
    job = study_job(config(), "every", 4, tmp_path)
    assert job.name == "every/4"
    assert job.folder == tmp_path / "studies/every/4"
    outcome = job()
    assert (outcome.state, outcome.reason) == ("finished", None)
    assert 0 < outcome.seconds < 60
    study = read_study(job.folder)
    assert len(study.stage(Stage.SEARCH)) == len(study.trials) == 7
    assert study.opened["seed"] == 4
    options = {"order": "random"}
    assert study.opened["searcher"] == {"name": "exhaustive", "options": options, "uninformed": "inf"}
    assert study.opened["config"].keys().isdisjoint(("compare", "protocol", "audit"))
    assert json.loads((job.folder / OVERHEAD).read_text())["asks"] == 7


def test_the_random_architectures_are_a_study_without_a_search(tmp_path):
    job = baseline_job(config(), tmp_path)
    assert job.name == "baseline/3"
    assert job().state == "finished"
    study = read_study(tmp_path / "baseline")
    assert [row.stage for row in study.trials] == [Stage.BASELINE] * 8
    assert study.closed is not None


def test_space_and_evaluator_are_built_once_for_all_studies_of_a_process(tmp_path):
    first = composed(study_job(config(), "random", 0, tmp_path).config)
    second = composed(study_job(config(), "every", 1, tmp_path).config)
    assert second.space is first.space
    assert second.evaluator is first.evaluator
    assert second.searcher is not first.searcher
    other = composed(
        study_job(config(space={"name": "nasbench201", "cells": 2}), "random", 0, tmp_path).config
    )
    assert other.space is not first.space
    again = composed(study_job(config(), "random", 0, tmp_path).config)
    assert again.space is not first.space  # one is kept at a time


def test_a_job_continues_what_is_there(tmp_path):
    job = study_job(config(), "random", 0, tmp_path)
    assert job().state == "finished"
    whole = [row.architecture for row in read_study(job.folder).trials]
    log = job.folder / FILE_NAME
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[: len(lines) // 2]))
    assert job().state == "finished"
    study = read_study(job.folder)
    assert [row.architecture for row in study.trials] == whole
    assert study.sessions == 2
    assert json.loads((job.folder / OVERHEAD).read_text())["asks"] == 7


def test_a_stop_leaves_a_study_that_can_be_continued(tmp_path):
    job = study_job(config(), "random", 0, tmp_path)
    assert job(lambda: True).state == "interrupted"
    assert len(read_study(job.folder).trials) < 7
    assert job(lambda: False).state == "finished"


def broken(architecture) -> float:
    raise KeyError("nothing\nhere")


def test_what_fails_is_an_outcome_of_one_line(tmp_path):
    evaluator = {"name": "function", "function": f"{__name__}:broken"}
    outcome = study_job(config(evaluator=evaluator), "random", 0, tmp_path)()
    assert outcome.state == "failed"
    assert outcome.reason is not None
    assert "each of the first 3 ended with " in outcome.reason
    assert "\n" not in outcome.reason
    assert (tmp_path / "studies/random/0" / OVERHEAD).exists()


class Absent(Searcher):
    """A method with a fault of its own."""

    def __init__(self, space, objectives, *, seed):
        return

    def ask(self, count=1):
        raise LookupError("a fault\nof two lines")

    def tell(self, trial):
        return


def test_a_fault_of_a_method_is_shown_where_it_ran(tmp_path, capsys):
    compare = CompareSection(searchers={"absent": {"name": f"{__name__}:Absent"}})
    outcome = study_job(config(compare=compare), "absent", 0, tmp_path)()
    assert outcome.state == "failed"
    assert outcome.reason.startswith(
        "Absent.ask: expected suggestions, got LookupError: a fault of two lines at "
    )
    assert "in ask" in capsys.readouterr().err
    opened, closed = ends_of(tmp_path / "studies/absent/0" / FILE_NAME)
    assert opened["searcher"]["name"] == f"{__name__}:Absent"
    assert closed["reason"] == "error"


def test_the_ends_of_a_log(tmp_path):
    log = tmp_path / FILE_NAME
    assert ends_of(log) == ({}, {})
    kit = Log(tmp_path).opened().opened(session=2).add(event="asked")
    log.write_text(
        "".join(json.dumps({"event": "", **line}, separators=(",", ":")) + "\n" for line in kit.lines)
    )
    assert ends_of(log)[0]["session"] == 2
    assert ends_of(log)[1] == {}
    with log.open("a") as file:
        file.write('{"event":"closed","reason":"finished"}\n')
    assert ends_of(log)[1] == {"event": "closed", "reason": "finished"}
    log.write_text('{"event":"opened","ses')
    assert ends_of(log) == ({}, {})
    log.write_text("")
    assert ends_of(log) == ({}, {})


HOLDER = """
import sys, time
from pathlib import Path
from nas.study import Lock
lock = Lock()
assert lock.take(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(0.6)
"""


def test_a_job_waits_for_a_process_that_is_about_to_end(tmp_path, monkeypatch):
    job = study_job(config(), "random", 0, tmp_path)
    job.folder.mkdir(parents=True)
    log = job.folder / FILE_NAME
    log.touch()
    root = str(Path(single.__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    command = [sys.executable, "-c", HOLDER, str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        began = time.monotonic()
        assert job().state == "finished"
        assert time.monotonic() - began > 0.4


def test_a_job_does_not_wait_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(single, "_PATIENCE", 0.3)
    job = replace(study_job(config(), "random", 0, tmp_path))
    job.folder.mkdir(parents=True)
    (job.folder / FILE_NAME).touch()
    lock = Lock()
    assert lock.take(job.folder / FILE_NAME)
    outcome = job()
    lock.release()
    assert outcome.state == "failed"
    assert outcome.reason is not None
    assert "another process is still at it" in outcome.reason
