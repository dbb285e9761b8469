from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from nas.errors import ConfigError
from nas.run.config import CompareSection, Config, RunSection
from nas.run.folder import has_trials, run_folder
from nas.study import COMPARISON, compared

OPENED = '{"event":"opened"}\n'
ASKED = '{"event":"asked","trial":0}\n'


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(folder: str | None = None, resume: str | None = None) -> Config:
    return Config(name="mine", run=RunSection(folder), resume=resume)


def test_runs_of_one_second_have_folders_of_their_own(workplace):
    with run_folder(config()) as first, run_folder(config()) as second, run_folder(config()) as third:
        assert len({first, second, third}) == 3
        assert {path.parent.as_posix() for path in (first, second, third)} == {"runs/mine"}
    assert len(os.listdir("runs/mine")) == 3


def test_a_run_in_a_multirun_has_a_subfolder():
    with run_folder(config("all"), job=0) as first, run_folder(config("all"), job=1) as second:
        assert (first.as_posix(), second.as_posix()) == ("all/0", "all/1")


class Fault(Exception):
    """Ends a run."""


def fail(config: Config, log: str | None = None) -> None:
    """A run that leaves this log and ends in an error."""
    with run_folder(config) as folder:
        if log is not None:
            (folder / "events.jsonl").write_text(log)
        raise Fault


def test_a_folder_with_other_files_is_used_and_kept():
    os.makedirs("mine/deeper")
    with pytest.raises(Fault):
        fail(config("mine"))
    assert os.listdir("mine") == ["deeper"]


@pytest.mark.parametrize("log", [None, "", OPENED])
def test_an_error_before_the_first_trial_removes_what_was_made(log):
    os.mkdir("a")
    with pytest.raises(Fault):
        fail(config("a/b/c"), log)
    assert os.listdir(".") == ["a"]
    assert os.listdir("a") == []


def test_neighbours_are_kept():
    with run_folder(config()) as folder, pytest.raises(Fault):
        fail(config())
    assert os.listdir("runs/mine") == [folder.name]


def test_an_error_after_the_first_trial_keeps_the_run():
    with pytest.raises(Fault):
        fail(config("a/b"), OPENED + ASKED)
    assert os.listdir("a/b") == ["events.jsonl"]


def test_a_run_is_resumed_where_it_is_and_never_removed():
    resumed = config("elsewhere", resume="a")
    with pytest.raises(
        ConfigError,
        match=r"^resume: expected the folder of a run, with events\.jsonl, got no folder a; ",
    ):
        fail(resumed)
    os.mkdir("a")
    with pytest.raises(ConfigError, match=r", got a, which has none; check"):
        fail(resumed)
    (Path("a") / "events.jsonl").touch()
    with pytest.raises(Fault):
        fail(resumed, OPENED)
    assert os.listdir(".") == ["a"]
    assert os.listdir("a") == ["events.jsonl"]


def test_a_run_is_not_written_over():
    with run_folder(config("a")) as folder:
        (folder / "events.jsonl").write_text(OPENED + ASKED)
    with pytest.raises(
        ConfigError,
        match=r"^run\.dir: expected a folder without a run, got a, which holds one; add resume=a to",
    ):
        fail(config("a"))


def test_the_home_folder_may_be_abbreviated(monkeypatch, workplace):
    monkeypatch.setenv("HOME", str(workplace))
    with run_folder(config("~/here")) as folder:
        assert folder == workplace / "here"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused():
    os.mkdir("closed")
    os.chmod("closed", 0o500)
    for folder in ("closed", "closed/below"):
        with pytest.raises(ConfigError, match=rf"^run\.dir: expected a writable folder, got {folder} \(Per"):
            fail(config(folder))
    shutil.rmtree("closed")


def test_a_comparison_counts_as_a_run(workplace):
    with run_folder(config("mine")) as folder:
        (folder / COMPARISON).write_text('{"config": {"name": "mine"}}')
    with pytest.raises(ConfigError, match="which holds one"), run_folder(config("mine")):
        pass
    with pytest.raises(
        ConfigError, match=r"^mine: expected a run, as the command asks for, got a comparison"
    ):
        fail(config(resume="mine"))
    compared_run = replace(config(resume="mine"), compare=CompareSection(searchers={"a": {}}))
    with run_folder(compared_run) as folder:
        assert compared(folder) == {"name": "mine"}
    (folder / COMPARISON).write_text('{"config')
    assert compared(folder) is None


@pytest.mark.parametrize("log", ["baseline", "studies/random/0"])
def test_the_trials_of_a_comparison_keep_its_folder(log):
    def fails(content: str) -> None:
        with run_folder(config("mine")) as folder:
            (folder / log).mkdir(parents=True)
            (folder / log / "events.jsonl").write_text(content)
            assert has_trials(folder) is (ASKED in content)
            raise Fault

    for content, kept in ((OPENED, False), (OPENED + ASKED, True)):
        with pytest.raises(Fault):
            fails(content)
        assert Path("mine").exists() is kept
