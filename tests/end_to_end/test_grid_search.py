"""The differentiable grid search as users run it: trained for real, killed, resumed, refused."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.end_to_end.kit import command, count, events, outcomes, start, wait_for

FIRST = 30_000_000
JOB = (
    "name=grid space=hypercuboid space.channels=[4,8] space.layers=1 searcher=hypercuboid evaluator=digits "
    "executor=inline hashing=none searcher.epochs=4 searcher.warmup_epochs=1 searcher.alpha_lr=0.05 "
    "searcher.flip=false searcher.crop_padding=1 searcher.limit_steps=3 evaluator.epochs=1 "
    "baseline.samples=1 final.seeds=1 run.dir=run"
)


def works(run: Path) -> dict[int, object]:
    """Work -> what it would choose, and its losses."""
    return {
        event["trial"]: (
            event["evaluation"]["info"]["decisions"],
            [(row["train_loss"], row["entropy"]) for row in event["evaluation"]["curve"]],
        )
        for event in events(run)
        if event["event"] == "evaluated" and event["trial"] >= FIRST
    }


@pytest.mark.slow
def test_kill_9_ends_bit_for_bit_as_an_uninterrupted_search(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    result = command(JOB, whole)
    assert result.status == 0, result.err
    process = start(JOB, killed)
    wait_for(lambda: len(count(killed / "run", "evaluated")) >= 2, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    result = command(f"{JOB} resume=run", killed, may_warn=".*torn")
    assert result.status == 0, result.err
    assert len(works(whole / "run")) == 4
    assert works(killed / "run") == works(whole / "run")
    assert outcomes(killed / "run") == outcomes(whole / "run")
    asked = {event["trial"]: event for event in events(whole / "run") if event["event"] == "asked"}
    assert asked[0]["decisions"] == works(whole / "run")[FIRST + 3][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "space=nasbench201_small",
            "expected a chain of independent choices, to be searched as a layered",
        ),
        ("searcher.selection=argmax", '"selection": expected longest_path or top_down or bottom_up'),
    ],
)
def test_what_cannot_be_searched_is_said_in_one_line(change, message, tmp_path):
    shape = "space=hypercuboid space.channels=[4,8] space.layers=1 "
    line = JOB.replace(shape, "") if change.startswith("space=") else JOB
    result = command(f"{line} {change} dry_run=true", tmp_path)
    assert result.status == 2
    assert message in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
