"""Comparisons of searchers that were interrupted: nothing finished is lost or repeated."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal

import pytest

from tests.end_to_end.comparison_kit import (
    INLINE,
    LOGS,
    ON_RAY,
    calls,
    place,
    told,
    unreported,
)
from tests.end_to_end.kit import command, count, files, finish, start, wait_for

__all__ = ["place", "unreported"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_an_interrupted_comparison_is_continued_to_the_same_end(share, place, unreported):
    assert command(INLINE, place).status == 0
    run, whole = place / "run", told(place / "run")
    before = calls(place)
    shutil.rmtree(run / "studies/evolution/1")
    (run / "studies/random/1/overhead.json").unlink()  # killed between the log's end and this file
    log = run / "studies/evolution/0/events.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    kept = int(len(lines) * share)
    log.write_bytes(b"".join(lines[:kept]) + lines[kept][: len(lines[kept]) // 2])
    left = 12 - len(count(log.parent, "evaluated"))
    result = command("resume=run trust=true", place, may_warn=".*torn")
    assert result.status == 0, result.err
    assert told(run) == whole
    assert calls(place) - before == 12 + left
    overhead = json.loads(log.with_name("overhead.json").read_text())
    assert overhead["asks"] == 12  # those of the replay count, none twice


def test_a_finished_comparison_is_only_reported(place, unreported):
    assert command(INLINE, place).status == 0
    before = {name: (place / "run" / name).read_bytes() for name in LOGS}
    for line in ("resume=run trust=true", f"{INLINE} resume=run"):
        result = command(line, place)
        assert (result.status, result.err) == (0, "")
        assert result.out == "report\nfiles: run\n"
    assert {name: (place / "run" / name).read_bytes() for name in LOGS} == before


def test_more_seeds_methods_and_evaluations_continue_a_finished_comparison(place, unreported):
    assert command(INLINE, place).status == 0
    first = told(place / "run")
    more = f"{INLINE} compare.seeds=3 budget.trials=15 +searcher@compare.searchers.other=random"
    assert command(f"{more} resume=run", place).status == 0
    found = told(place / "run")
    assert len(found) == 1 + 3 * 3
    assert all(first[name].items() <= found[name].items() for name in first)
    assert all(len(trials) == 15 for name, trials in found.items() if name != LOGS[0])
    manifest = json.loads((place / "run/comparison.json").read_text())
    assert (manifest["methods"], manifest["seeds"]) == (["random", "evolution", "other"], [0, 1, 2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("compare.searchers.evolution.sample=2", r"evolution/0/events\.jsonl: searcher: expected .*sample"),
        ("hashing=text", r"events\.jsonl: hashing: expected 'none', as logged; got 'text'"),
        ("evaluator.objectives=cost", r"events\.jsonl: evaluator: expected"),
    ],
)
def test_a_comparison_of_something_else_is_not_continued(change, message, place, unreported):
    assert command(INLINE, place).status == 0
    before = {name: (place / "run" / name).read_bytes() for name in files(place / "run") if "." in name}
    other = INLINE.replace("hashing=none", "") if change.startswith("hashing") else INLINE
    assert re.search(message, command(f"{other} {change} resume=run", place).message)
    assert before == {name: (place / "run" / name).read_bytes() for name in before}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.slow
def test_a_signal_ends_an_inline_comparison_in_a_report(number, place, unreported):
    process = start(INLINE, place, SECONDS="0.05")
    wait_for(lambda: calls(place) > 20, process)
    os.kill(process.pid, number)
    result = finish(process, 30)
    assert result.status == 130
    assert "stopping; once more to stop without a report\n" in result.err
    assert "stopped early; the same command with resume=run continues" in result.out
    assert "Traceback" not in result.err
    assert command("resume=run trust=true", place).status == 0
    assert sorted(told(place / "run")) == sorted(LOGS)
    assert calls(place) == 4 * 12 + 5


@pytest.mark.slow
def test_two_drivers_do_not_share_a_comparison(place, unreported):
    process = start(INLINE, place, SECONDS="0.1")
    wait_for(lambda: calls(place) > 3, process)
    message = command("resume=run trust=true", place, may_warn=".*torn").message
    assert message.startswith(
        "StoreError: run/comparison.json: expected a run that has ended; another process"
    )
    process.kill()
    process.communicate()


@pytest.mark.ray
@pytest.mark.slow
def test_kill_9_of_the_driver_loses_and_repeats_nothing(place, unreported):
    process = start(ON_RAY, place, SECONDS="0.1")
    wait_for(lambda: calls(place) > 25, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    result = finish(start("resume=run trust=true", place))
    assert result.status == 0, result.err
    assert sorted(told(place / "run")) == sorted(LOGS)
    for name in LOGS:
        assert set(count((place / "run" / name).parent, "evaluated").values()) == {1}
    assert 53 <= calls(place) <= 53 + 2  # what was under way in two workers
    whole = command(INLINE.replace("run.dir=run", "run.dir=whole"), place)
    assert whole.status == 0, whole.err
    assert told(place / "run") == told(place / "whole")


@pytest.mark.ray
@pytest.mark.slow
def test_kill_9_of_a_worker_costs_one_attempt(place):
    process = start(ON_RAY, place, SECONDS="0.1")
    wait_for(lambda: calls(place) > 20, process)
    os.kill(int((place / "diary").read_text().split()[-1]), signal.SIGKILL)
    result = finish(process)
    assert result.status == 0, result.err
    assert re.search(r"study \S+: .*; once more", result.err)
    assert sorted(told(place / "run")) == sorted(LOGS)
    assert 53 <= calls(place) <= 54


@pytest.mark.ray
@pytest.mark.slow
def test_ctrl_c_ends_a_comparison_on_ray_in_a_report(place, unreported):
    process = start(ON_RAY, place, SECONDS="0.2")
    wait_for(lambda: calls(place) > 20, process)
    os.killpg(process.pid, signal.SIGINT)
    result = finish(process, 60)
    assert result.status == 130
    assert "Traceback" not in result.err
    assert "stopped early; the same command with resume=run continues" in result.out
    assert finish(start("resume=run trust=true", place)).status == 0
    assert sorted(told(place / "run")) == sorted(LOGS)


@pytest.mark.slow
def test_a_repaired_evaluator_keeps_the_finished_studies_if_the_user_says_so(place):
    assert command(INLINE, place).status == 0
    log = place / "run/studies/evolution/0/events.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[: len(lines) // 2]))
    whole, before = told(place / "run"), calls(place)
    (place / "toy.py").write_text((place / "toy.py").read_text().replace("- 0.01 *", "- 0.02 *"))
    message = command(f"{INLINE} resume=run", place).message
    assert "add accept=evaluator if it was repaired and its finished trials are to stay" in message
    result = command(f"{INLINE} resume=run accept=evaluator", place)
    assert result.status == 0, result.err
    assert calls(place) - before == 12 - len(lines_of(lines[: len(lines) // 2], b"evaluated"))
    kept = {
        name: trials
        for name, trials in told(place / "run").items()
        if name != "studies/evolution/0/events.jsonl"
    }
    assert kept.items() <= whole.items()
    assert "The evaluator changed between studies or sessions, which accept=evaluator allowed" in result.out


def lines_of(lines, kind):
    return [line for line in lines if line.startswith(b'{"event":"%s"' % kind)]
