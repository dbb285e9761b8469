from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from nas.errors import StoreError
from nas.study import versions
from nas.study.provenance import check_not_running, commit, commit_of
from tests.study.study_kit import events_of, make_study, small_space


def test_the_first_event_says_what_determined_the_study(tmp_path):
    make_study(tmp_path, config={"name": "digits", "seed": 1}, searcher_name="evolution").run()
    opened = events_of(tmp_path)[0]
    space = small_space()
    assert opened["space"] == {
        "name": "small",
        "fingerprint": space.fingerprint(),
        "text": str(space),
        "vocabulary": "network",
    }
    assert opened["evaluator"]["objectives"] == [{"name": "accuracy", "direction": "maximize", "unit": "%"}]
    assert opened["evaluator"]["reported"]["name"] == "test_accuracy"
    assert opened["searcher"] == {"name": "evolution", "options": {}, "uninformed": 4}
    assert opened["deterministic"] is None, "the evaluator does not say"
    assert opened["baseline"] == {"samples": 3, "sampler": "uniform over options"}
    assert opened["budget"] == {"trials": 12, "seconds": None}
    assert opened["config"] == {"name": "digits", "seed": 1}
    assert (opened["format"], opened["seed"], opened["hashing"], opened["session"]) == (2, 1, "text", 1)


def test_versions_are_those_installed():
    import numpy as np

    assert versions()["python"] == platform.python_version()
    assert versions()["numpy"] == np.__version__


def test_commit_is_a_hash_or_unknown():
    found = commit()
    assert found is None or len(found.removesuffix("+changes")) == 40


def test_changed_and_untracked_sources_count_as_changes(tmp_path):
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True)

    def changed() -> bool:
        found = commit_of(tmp_path)
        assert found is not None
        return found.endswith("+changes")

    assert commit_of(tmp_path) is None
    git("init")
    (tmp_path / "tracked.py").write_text("")
    (tmp_path / ".gitignore").write_text("runs/\n")
    git("add", ".")
    git("commit", "-m", "first")
    (tmp_path / "results.csv").write_text("")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "ignored.py").write_text("")
    assert not changed()
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "new.py").write_text("")
    assert changed()
    (tmp_path / "package" / "new.py").unlink()
    assert not changed()
    (tmp_path / "tracked.py").write_text("changed = True\n")
    assert changed()


LOG = Path("run/events.jsonl")
on_linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def session(*later: str, **changes: object) -> list[dict]:
    """Events of a session of this process, seen as another one's, and what came after it was opened."""
    with Path("/proc/self/stat").open() as stat:
        born = int(stat.read().rpartition(")")[2].split()[19])
    process = {"host": socket.gethostname(), "pid": os.getpid(), "born": born, **changes}
    return [{"event": "opened", "process": process}, *({"event": event} for event in later)]


@on_linux
def test_a_run_whose_driver_is_alive_is_not_continued(monkeypatch):
    events = session("asked")
    check_not_running(events, LOG)  # by itself it may be
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with pytest.raises(
        StoreError, match=rf"^run/events\.jsonl: .*; process {events[0]['process']['pid']} is"
    ):
        check_not_running(events, LOG)


@on_linux
@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"born": 1}, {"pid": 2**22 + 1}, {"born": None}])
def test_a_driver_that_is_gone_or_elsewhere_is_no_obstacle(monkeypatch, change):
    events = session("asked", **change)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    check_not_running(events, LOG)


@on_linux
def test_an_ended_session_is_no_obstacle(monkeypatch):
    events = session("asked", "closed")
    monkeypatch.setattr(os, "getpid", lambda: 1)
    check_not_running(events, LOG)
    check_not_running([{"event": "opened"}, {"event": "asked"}], LOG)  # a log from before this was kept


@on_linux
def test_a_killed_process_that_nobody_has_waited_for_is_gone():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    born = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
    events = session("asked", pid=child.pid, born=born)
    with pytest.raises(StoreError, match="expected a run that has ended"):
        check_not_running(events, LOG)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended and is kept as a zombie
    check_not_running(events, LOG)
    child.communicate()
