"""Whole runs in this process, small: what they leave and what they repeat."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import pytest
import yaml

from nas.report import Written
from tests.end_to_end.kit import TINY, command, count, events, files, outcomes

FIELDS = {  # of the lines of a log, as nas/study/event_log.py describes them
    "opened": "format session seed space evaluator deterministic searcher hashing hashing_options cache "
    "budget baseline final fidelity time_limit config versions commit threads process",
    "asked": "trial stage architecture digest decisions fidelity seed parent resumable info",
    "hashed": "trial digest settings reason seconds worker started finished",
    "cached": "trial outcome holder key dropped",
    "started": "trial clock",
    "evaluated": "trial evaluation worker started finished",
    "told": "trial cached_from clock",
    "closed": "reason message uninformed",
}
FILES = (
    "best_so_far.pdf best_so_far.png cache.csv cache.md cache.pdf cache.png cache.tex checkpoints chosen.png "
    "chosen.svg chosen.txt chosen_torch.txt config.yaml events.jsonl final_comparison.pdf "
    "final_comparison.png results.md results.tex trials.csv"
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run's folder and what the command wrote."""
    folder = tmp_path_factory.mktemp("finished")
    return folder / "run", command(f"{TINY} run.dir=run", folder)


@pytest.fixture
def unreported(monkeypatch):
    """Leaves the report out, which takes longer than a tiny run."""

    written = Written(Path("out"), (), "report")
    monkeypatch.setattr("nas.report.write_report", lambda *_: written)


def test_a_run_leaves_its_files_and_nothing_else(finished):
    run, result = finished
    assert result.status == 0
    assert sorted(os.listdir(run)) == FILES.split()
    assert sorted(os.listdir(run.parent)) == ["run"]
    assert all(path.stat().st_size for path in run.rglob("*"))


def test_every_line_of_the_log_has_its_fields(finished):
    run, _ = finished
    lines = events(run)
    assert {line["event"] for line in lines} == set(FIELDS)
    for line in lines:
        assert {"event", "n", "time", *FIELDS[line["event"]].split()} == set(line)
    assert lines[-1]["reason"] == "finished"
    assert sorted(count(run, "evaluated")) == [0, 1, 2, 10_000_000, 10_000_001, 20_000_000, 20_000_001]


def test_the_table_of_trials_has_a_row_for_each(finished):
    run, _ = finished
    with (run / "trials.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 7
    found = outcomes(run)
    for row in rows:
        architecture, status, values = found[int(row["trial"])]
        assert (row["architecture"], row["status"]) == (architecture, status)
        assert float(row["test_accuracy"]) == pytest.approx(values["test_accuracy"])


def test_the_configuration_is_that_of_the_log(finished):
    run, _ = finished
    written = yaml.safe_load((run / "config.yaml").read_text())
    assert written == events(run)[0]["config"]
    assert written["evaluator"]["limit_train"] == 64
    assert "resume" not in written


def test_the_screen_shows_the_tables_of_the_files(finished):
    run, result = finished
    assert (run / "results.md").read_text().strip() in result.out
    assert "inline: one trial at a time in this process" in result.out
    assert result.out.endswith("files: run\n")
    assert r"\toprule" in (run / "results.tex").read_text()


def test_the_weights_are_those_of_the_chosen_network(finished):
    from safetensors import safe_open
    from safetensors.torch import load_file

    from nas.layers import compile_network
    from nas.run.compose import build
    from nas.search_spaces import SPACES

    run, _ = finished
    (path,) = (run / "checkpoints").iterdir()
    text = (run / "chosen.txt").read_text().splitlines()[-1]
    space = build(SPACES, events(run)[0]["config"]["space"])
    network = compile_network(space.parse(text), (1, 8, 8), 10)
    network.load_state_dict(load_file(path))
    with safe_open(path, "pt") as file:
        assert file.metadata()["architecture"] == text
    best = max(
        (values["validation_accuracy"], -trial)
        for trial, (_, _, values) in outcomes(run).items()
        if trial >= 20_000_000
    )
    assert path.name == f"final-{-best[1] - 20_000_000}.safetensors"


def test_the_torch_listing_counts_the_parameters(finished):
    run, _ = finished
    first, *rest = (run / "chosen_torch.txt").read_text().splitlines()
    counted = re.search(r"# parameters = (\d+)", (run / "chosen.txt").read_text())
    assert counted is not None
    assert first.split()[-1].replace(",", "") == counted[1]
    assert any("Conv2d(" in line for line in rest)


def test_the_same_seed_gives_the_same_run_and_another_one_another(tmp_path, unreported):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        line = f"{TINY} searcher=random run.dir={name} seed={seed} baseline.samples=1 final.seeds=1"
        assert command(line, tmp_path).status == 0
    a, b, c = (outcomes(tmp_path / name) for name in "abc")
    assert a == b
    assert not {text for text, _, _ in a.values()} & {text for text, _, _ in c.values()}


def test_a_run_without_a_folder_goes_under_runs(tmp_path, unreported):
    line = f"{TINY} budget.trials=1 baseline.samples=0 final.seeds=0"
    assert [command(line, tmp_path).status for _ in range(2)] == [0, 0]
    runs = [name for name in files(tmp_path) if name.count("/") == 2]
    assert len(runs) == 2  # also within a second
    assert all(re.fullmatch(r"runs/digits/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(_2)?", run) for run in runs)


def test_a_dry_run_shows_everything_and_writes_nothing(tmp_path):
    result = command(f"{TINY} dry_run=true run.dir=run", tmp_path)
    assert result.status == 0
    assert "name: digits\n" in result.out
    assert re.search(r"space macro: [\d,]{6,} derivations", result.out)
    assert result.out.count("  sample: stem(") == 3
    assert re.search(r"cost: \d\.\d\d s an evaluation at 1 epochs", result.out)
    assert files(tmp_path) == []


@pytest.mark.slow
def test_a_multirun_may_be_reported_as_one(tmp_path):
    from nas.report import write_report

    line = f"-m {TINY} budget.trials=1 final.seeds=1 seed=0,1 'run.dir=runs/${{searcher.name}}'"
    assert command(line, tmp_path).status == 0
    parent = tmp_path / "runs/surrogate"
    report = write_report(sorted(parent.iterdir()), tmp_path / "report")
    assert "2 runs" in report.text


def test_a_result_that_is_read_by_a_program_is_plain_json(finished):
    run, _ = finished
    for line in (run / "events.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_reporting_again_gives_the_same_files(finished, tmp_path):
    from nas.report.__main__ import main

    run, _ = finished
    assert main([str(run), "--output", str(tmp_path)]) == 0
    written = set(FILES.split()) - {"checkpoints", "events.jsonl"}
    assert set(os.listdir(tmp_path)) == written
    for name in sorted(written):
        assert (tmp_path / name).read_bytes() == (run / name).read_bytes(), name
