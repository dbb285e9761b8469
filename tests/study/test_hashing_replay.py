"""A study whose workers hash is cut, killed and led through its log again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.evaluation import SimulatedExecutor
from nas.study import FILE_NAME, CachePolicy, read_study
from tests.study.hashing_kit import Alike, Moody, alike_study, full_story, repeating
from tests.study.study_kit import (
    OvertakingExecutor,
    events_of,
    short_plan,
    small_space,
)

ROOT = Path(__file__).resolve().parents[2]
POLICIES = {
    "plain": CachePolicy(),
    "forgetful": CachePolicy(forget=0.5),
    "several": CachePolicy(evaluations=2),
    "all": CachePolicy(evaluations=2, forget=0.5, capacity=1, hash_seconds=2.0),
}


CASES = [(policy, Moody) for policy in POLICIES.values()] + [(POLICIES["all"], Alike)]


@pytest.mark.parametrize(("policy", "hasher"), CASES, ids=[*POLICIES, "all, each hashed"])
def test_a_log_cut_after_any_line_continues_to_the_same_story(tmp_path, policy, hasher):
    whole = tmp_path / "whole"
    study, _, first = repeating(whole, policy, hasher=hasher())
    study.run()
    expected, lines = full_story(whole), (whole / FILE_NAME).read_bytes().splitlines(keepends=True)
    memory = len(study._ledger.cache)
    for cut in range(len(lines) + 1):
        directory = tmp_path / str(cut)
        directory.mkdir()
        (directory / FILE_NAME).write_bytes(b"".join(lines[:cut]))
        known = events_of(directory)
        study, evaluator, second = repeating(directory, policy, hasher=hasher())
        study.run()
        assert full_story(directory) == expected
        assert not {e["trial"] for e in known if e["event"] == "evaluated"} & set(evaluator.calls)
        hashed = sum(e["event"] == "hashed" and e["worker"] is not None for e in known)
        assert len(second.seen) == len(first.seen) - hashed
        assert len(study._ledger.cache) == memory


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    cuts=st.lists(st.floats(0, 1), min_size=1, max_size=3),
    policy=st.sampled_from(list(POLICIES.values())),
)
def test_out_of_order_studies_survive_any_cuts(tmp_path_factory, seed, cuts, policy):
    """Several workers: what was logged stands, nothing finished is repeated, the whole log replays."""
    directory = tmp_path_factory.mktemp("study")
    path = directory / FILE_NAME

    def run(number: int):
        study, evaluator, hasher = repeating(
            directory, policy, OvertakingExecutor(1 + seed % 4, number), Moody()
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*torn and is dropped")
            study.run()
        return study, evaluator, hasher

    run(seed)
    for number, cut in enumerate(cuts):
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * cut)])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*torn and is dropped")
            kept, known = full_story(directory), events_of(directory)
        study, evaluator, hasher = run(seed + number)
        assert full_story(directory)[: len(kept)] == kept
        assert not {e["trial"] for e in known if e["event"] == "evaluated"} & set(evaluator.calls)
        assert set(evaluator.calls.values()) <= {1}
        assert set(Counter(hasher.seen).values()) <= {1}
    check_whole(directory)
    before, ledger = path.read_bytes(), study._ledger
    again, *_ = repeating(directory, policy, OvertakingExecutor(1, seed), Moody())
    again.run()
    assert path.read_bytes() == before
    for name in ("hits", "waits", "misses", "unhashed", "seconds_saved", "hash_seconds", "over"):
        assert getattr(again._ledger, name) == getattr(ledger, name)


def check_whole(directory: Path) -> None:
    events = events_of(directory)
    for kind in ("asked", "hashed", "told"):
        search = [e["trial"] for e in events if e["event"] == kind and (e["trial"] or 0) < 10_000_000]
        assert Counter(trial for trial in search if trial is not None) == Counter(range(14))
    record = read_study(directory)
    assert not record.in_progress
    assert all(row.status is not None for row in record.trials)


def test_the_virtual_clock_of_a_continued_study_is_that_of_an_uninterrupted_one(tmp_path):
    policy = POLICIES["all"]
    study, *_ = repeating(tmp_path / "whole", policy, SimulatedExecutor(1))
    study.run()
    lines = (tmp_path / "whole" / FILE_NAME).read_bytes().splitlines(keepends=True)
    moments = [e["clock"] for e in events_of(tmp_path / "whole") if e["event"] == "told"]
    for cut in range(1, len(lines), 5):
        directory = tmp_path / str(cut)
        directory.mkdir()
        (directory / FILE_NAME).write_bytes(b"".join(lines[:cut]))
        study, *_ = repeating(directory, policy, SimulatedExecutor(1))
        study.run()
        assert [e["clock"] for e in events_of(directory) if e["event"] == "told"] == pytest.approx(moments)


DRIVER = """
import sys
from pathlib import Path
from tests.study.hashing_kit import Alike, repeating
from tests.study.test_hashing_replay import POLICIES

repeating(Path(sys.argv[1]), POLICIES["all"], hasher=Alike(sleep=0.05))[0].run()
"""


def test_kill_9_between_hashes_loses_and_repeats_none(tmp_path):
    policy = POLICIES["all"]
    study, *_ = repeating(tmp_path / "whole", policy)
    study.run()
    directory = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(directory)], env=environment)
    log = directory / FILE_NAME
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_bytes().count(b'"event":"hashed"') >= 1):
        assert driver.poll() is None, "the driver ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    driver.kill()
    driver.wait()
    known = events_of(directory)
    assert known[-1]["event"] != "closed"
    study, _, hasher = repeating(directory, policy)
    study.run()
    assert len(hasher.seen) == 3 - sum(e["event"] == "hashed" and e["worker"] is not None for e in known)
    assert full_story(directory) == full_story(tmp_path / "whole")


def test_unhashed_architectures_of_a_larger_space_survive_too(tmp_path):
    study, *_ = alike_study(tmp_path / "whole", space=small_space(), hasher=Moody(), plan=short_plan(30))
    study.run()
    expected = full_story(tmp_path / "whole")
    lines = (tmp_path / "whole" / FILE_NAME).read_bytes().splitlines(keepends=True)
    assert 0 < study._ledger.unhashed < 30
    for cut in range(3, len(lines), 7):
        directory = tmp_path / str(cut)
        directory.mkdir()
        (directory / FILE_NAME).write_bytes(b"".join(lines[:cut]))
        alike_study(directory, space=small_space(), hasher=Moody(), plan=short_plan(30))[0].run()
        assert full_story(directory) == expected
