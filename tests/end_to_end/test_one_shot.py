"""Searches on a supernet as users run them: trained for real, killed, resumed, reported."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from nas.report import write_report
from tests.end_to_end.kit import command, count, events, outcomes, start, wait_for

FIRST = 30_000_000
JOB = (
    "name=cells space=nasbench201_small searcher=darts evaluator=digits executor=inline hashing=none "
    "searcher.epochs=4 searcher.flip=false searcher.crop_padding=1 searcher.limit_steps=3 evaluator.epochs=1 "
    "baseline.samples=1 final.seeds=1 run.dir=run"
)
SINGLE_PATH = JOB.replace(
    "searcher=darts", "searcher=single_path searcher.evaluations=4 searcher.epochs_per_work=2"
)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    result = command(JOB, folder)
    assert result.status == 0, result.err
    return folder / "run"


def works(run: Path) -> dict[int, tuple[Any, Any]]:
    """Work -> what it would choose, and its curve without seconds."""
    found = {}
    for event in events(run):
        if event["event"] == "evaluated" and event["trial"] >= FIRST:
            curve = [{k: v for k, v in row.items() if k != "seconds"} for row in event["evaluation"]["curve"]]
            found[event["trial"]] = (event["evaluation"]["info"]["decisions"], curve)
    return found


@pytest.mark.slow
def test_darts_trains_chooses_and_reports(uninterrupted):
    assert len(works(uninterrupted)) == 4
    last = works(uninterrupted)[FIRST + 3][0]
    asked = {entry["trial"]: entry for entry in events(uninterrupted) if entry["event"] == "asked"}
    assert asked[0]["decisions"] == last
    assert asked[0]["info"]["origin"] == "darts"
    text = write_report([uninterrupted], uninterrupted).text
    assert "supernet: 4 done, 0 failed" in text
    assert "search: 1/" in text
    assert not list(uninterrupted.glob("checkpoints/supernet*"))


@pytest.mark.slow
def test_kill_9_ends_bit_for_bit_as_an_uninterrupted_search(uninterrupted, tmp_path):
    run = tmp_path / "run"
    process = start(JOB, tmp_path)
    wait_for(lambda: len(count(run, "evaluated")) >= 2, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = works(run)
    result = command(f"{JOB} resume=run", tmp_path, may_warn=".*torn")
    assert result.status == 0, result.err
    assert set(count(run, "evaluated").values()) == {1}
    assert before.items() <= works(run).items()
    assert works(run) == works(uninterrupted)
    assert outcomes(run) == outcomes(uninterrupted)


@pytest.mark.slow
def test_single_path_ranks_by_inherited_weights(tmp_path):
    result = command(SINGLE_PATH, tmp_path)
    assert result.status == 0, result.err
    run = tmp_path / "run"
    texts = {entry["trial"]: entry.get("architecture") for entry in events(run) if entry["event"] == "asked"}
    shared = {
        entry["trial"]: entry["evaluation"]["values"]["shared_accuracy"]
        for entry in events(run)
        if entry["event"] == "evaluated" and "shared_accuracy" in entry["evaluation"]["values"]
    }
    assert len(shared) == 4
    assert texts[0] == texts[max(shared, key=lambda number: (shared[number], -number))]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "space=update_rule",
            'searcher "darts": supernet of update_rule at root: expected a network, got ',
        ),
        ("space=deepconv_small", "as a setting is no operation, got a choice; fix its value"),
        ("searcher.data={dataset: nothing}", "dataset"),
        ("searcher.proxy={channels: 5}", None),
        ("+searcher.order=3", "order"),
    ],
)
def test_what_cannot_be_searched_is_said_in_one_line(change, message, tmp_path):
    line = JOB.replace("space=nasbench201_small ", "") if change.startswith("space=") else JOB
    result = command(f"{line} '{change}' dry_run=true", tmp_path)
    if message is None:
        assert result.status == 0, result.err
        return
    assert result.status == 2
    assert message in result.err.splitlines()[-1]
    assert "Traceback" not in result.err


def test_a_table_has_no_images_for_a_supernet(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("arch_str,c10_valid_12,c10_test_12,c10_valid_200,c10_test_200,c10_epoch_runtime_s\n")
    result = command(
        f"name=t space=nasbench201 searcher=darts evaluator=nasbench201 evaluator.path={table} hashing=none "
        "executor=inline run.dir=run",
        tmp_path,
    )
    assert result.status == 2
    assert "Traceback" not in result.err


def test_a_dry_run_of_a_comparison_trains_no_supernet(tmp_path):
    (tmp_path / "own.py").write_text("def score(architecture): return 1.0\n")
    settings = "name: darts, epochs: 1000000, data: {dataset: digits}"
    line = (
        "name=mine executor=inline space=nasbench201_small evaluator=function evaluator.function=own:score "
        "hashing=none final.seeds=0 compare.seeds=5 compare.launcher=inline budget.trials=4 dry_run=true "
        f"+searcher@compare.searchers.random=random '+compare.searchers.darts={{{settings}}}'"
    )
    result = command(line, tmp_path)
    assert result.status == 0, result.err
    assert "  random: " in result.out
    assert "  darts: not measured; the training of its supernets comes on top" in result.out
