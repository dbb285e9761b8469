"""The driver is killed for good and started again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from nas.errors import StoreError
from nas.study import FILE_NAME, Lock
from tests.study.study_kit import FakeEvaluator, events_of, make_study, story

ROOT = Path(__file__).resolve().parents[2]
DRIVER = """
import sys, time
from pathlib import Path
from tests.study import study_kit

class FakeEvaluator(study_kit.FakeEvaluator):
    def __call__(self, task):
        time.sleep(0.02)
        return super().__call__(task)

study_kit.make_study(Path(sys.argv[1]), evaluator=FakeEvaluator()).run()
"""


def test_kill_9_of_the_driver_loses_and_repeats_no_finished_evaluation(tmp_path):
    make_study(tmp_path / "whole").run()
    directory = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(directory)], env=environment)
    log = directory / FILE_NAME
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_bytes().count(b'"event":"evaluated"') >= 5):
        assert driver.poll() is None, "the driver ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    with pytest.MonkeyPatch.context() as patch:  # two that start together do not see each other's process
        patch.setattr("nas.study.study.check_not_running", lambda events, path: None)
        patch.setattr("nas.study.study.read_events", lambda path: [])
        patch.setattr(
            "nas.study.study.Replay.run", lambda replay, events: pytest.fail("what still grows was read")
        )
        with pytest.raises(StoreError, match="expected a run that has ended; another process is still at it"):
            make_study(directory).run()
    driver.kill()
    driver.wait()
    finished = Counter(event["trial"] for event in events_of(directory) if event["event"] == "evaluated")
    assert 5 <= len(finished) < 17
    evaluator = FakeEvaluator()
    make_study(directory, evaluator=evaluator).run()
    assert not set(finished) & set(evaluator.calls)
    assert story(directory) == story(tmp_path / "whole")


FORKING = """
import os, sys, time
from pathlib import Path
from nas.study import Lock

lock = Lock()
assert lock.take(Path(sys.argv[1]))
if os.fork() == 0:
    print("child", flush=True)  # it runs, so what follows a fork is done
    sys.stdin.read()
else:
    time.sleep(60)
"""


def test_a_forked_child_that_outlives_a_killed_driver_does_not_keep_its_lock(tmp_path):
    path = tmp_path / FILE_NAME
    path.touch()
    command = [sys.executable, "-c", FORKING, str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "child\n"
        assert not Lock().take(path)
        driver.kill()
        driver.wait()
        lock = Lock()
        assert lock.take(path)  # the child still waits for the end of its input
        lock.release()
