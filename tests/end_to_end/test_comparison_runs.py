"""Comparisons of searchers as commands: what they leave, what they refuse, on Ray and in this process."""

from __future__ import annotations

import json
import re
import time

import pytest

from nas.study import read_study
from tests.end_to_end.comparison_kit import (
    INLINE,
    LOGS,
    ON_RAY,
    calls,
    found_in,
    logs,
    place,
    refused,
    told,
    unreported,
)
from tests.end_to_end.kit import command, events, files, finish, start

__all__ = ["place", "unreported"]


def test_every_method_has_a_study_for_each_seed(place, unreported):
    result = command(INLINE, place)
    assert result.status == 0, result.err
    run = place / "run"
    assert sorted(logs(run)) == sorted(LOGS)
    assert [name for name in files(run) if name.count("/") == 0 and "." in name] == ["comparison.json"]
    for name in LOGS[1:]:
        study = read_study((run / name).parent)
        assert len(study.trials) == 12
        assert not study.in_progress
        overhead = json.loads((run / name).with_name("overhead.json").read_text())
        assert overhead["asks"] == len(overhead["ask_seconds"]) == 12
        assert 0 < overhead["tell_seconds"] < 1
        assert 0 < sum(overhead["ask_seconds"]) < 1
    baseline = read_study(run / "baseline")
    assert [row.stage.value for row in baseline.trials] == ["baseline"] * 5
    assert calls(place) == 4 * 12 + 5
    assert "report\nfiles: run\n" in result.out
    assert "5/5 studies done, 0 running, 0 failed" in result.err


def test_the_manifest_says_what_is_compared(place, unreported):
    assert command(f"{INLINE} compare.default=evolution compare.first_seed=7", place).status == 0
    manifest = json.loads((place / "run/comparison.json").read_text())
    config, versions = manifest.pop("config"), manifest.pop("versions")
    score = {"name": "score", "direction": "maximize", "unit": ""}
    assert manifest == {
        "format": 1,
        "name": "toy",
        "methods": ["random", "evolution"],
        "seeds": [7, 8],
        "budgets": [4, 12],
        "objectives": [score],
        "reported": score,
        "fidelity_range": None,
        "optimum": {},
        "reference": {},
        "default": "evolution",
    }
    assert config["compare"]["searchers"]["evolution"]["population"] == 10
    assert versions["numpy"]


def test_methods_share_seeds_and_a_study_is_an_ordinary_run(place, unreported):
    assert command(INLINE, place).status == 0
    seeds = {event["seed"] for name in LOGS[1:] for event in events((place / "run" / name).parent)[:1]}
    assert seeds == {0, 1}
    line = INLINE.split(" compare.seeds")[0]
    alone = f"{line} baseline.samples=0 searcher=regularized_evolution_10 seed=1 run.dir=alone"
    assert command(alone, place).status == 0
    assert found_in(place / "alone") == found_in(place / "run/studies/evolution/1")
    again = command("resume=run/studies/evolution/1 trust=true", place)
    assert (again.status, again.out) == (0, "report\nfiles: run/studies/evolution/1\n")


@pytest.mark.slow
def test_the_report_of_a_comparison(place):
    result = command(INLINE, place)
    assert result.status == 0, result.err
    assert "evolution" in result.out
    assert "Traceback" not in result.err
    found = files(place / "run")
    assert [name for name in found if name.endswith(".md")]
    assert [name for name in found if name.endswith(".csv")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "compare.skip=[evolutoin]",
            "compare.skip: expected one of random, evolution, got evolutoin; did you mean evolution?",
        ),
        ("compare.seeds=0", "compare.seeds: expected 1 or more, got 0"),
        (
            "compare.only=[random] compare.skip=[random]",
            "compare: expected at least one of random, evolution to run, got none; name one in",
        ),
        ("executor.name=ray", "executor: expected inline or simulated in a comparison"),
        (
            "searcher=random",
            "got searcher=random",
        ),
        ("+searcher.population=3", "got +searcher.population=3"),
        ("compare.searchers.evolution.sample=20", "compare.searchers.evolution: "),
        (
            "compare.searchers.evolution.size=20",
            'evolution: searcher "regularized_evolution": has no option "size"',
        ),
        (
            "+compare.searchers.mine=tpe",
            "compare.searchers.mine: expected a searcher's section, got 'tpe'",
        ),
        ("+compare.searchers.mine.name=tpx", 'compare.searchers.mine: searcher "tpx" is not registered'),
        ("compare.launcher=slurm", 'launcher "slurm" is not registered; registered: inline, ray'),
        ("compare.launcher=ray compare.workers=0", "compare.workers: expected 1 or more, got 0"),
        ("compare.launcher=ray compare.cpus_per_study=-1", "compare.cpus_per_study: expected 0 or more"),
        ("+compare.reference.speed=1", "compare.reference: expected one of score, got speed"),
        ("evaluator.function=toy:missing", 'evaluator "function": function: module "toy" has no "missing"'),
        (
            "'evaluator.objectives=[score,speed]'",
            "compare.reference: expected a number for each of score, speed, for the hyper",
        ),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(change, message, place):
    assert message in refused(f"{INLINE} {change}", place)


def test_a_searcher_that_refuses_the_space_is_found_before_anything_runs(place):
    (place / "toy.txt").write_text("stem(width=8) >> dropout(rate=real(0.1, 0.5)) >> head()")
    line = f"{INLINE} +searcher@compare.searchers.every=exhaustive"
    message = refused(line, place)
    assert "compare.searchers.every: " in message
    assert calls(place) == 0


def test_a_limit_on_what_nobody_reports_is_found_before_anything_runs(tmp_path):
    line = "+experiment=digits_compare compare.launcher=inline run.dir=run"
    limit = "+searcher@compare.searchers.limited=nsga2 +compare.searchers.limited.limits.foo=3"
    message = command(f"{line} {limit}", tmp_path).message
    assert message.startswith(
        'ConfigError: compare.searchers.limited: searcher "nsga2": limits: expected values that are reported '
        "(validation_accuracy, validation_loss, test_accuracy), got foo; "
    )
    assert files(tmp_path) == []


def test_a_method_that_fails_is_recorded_and_the_others_go_on(place, unreported, monkeypatch):
    line = f"{INLINE} +compare.searchers.faulty.name=toy:Faulty"
    result = command(line, place)
    assert result.status == 1
    raised = "ZeroDivisionError: seed 0 is none that this method likes"
    assert f"study faulty/0 failed: Faulty.ask: expected suggestions, got {raised} at " in result.err
    assert "2 studies failed; the same command with resume=run tries them again" in result.out
    assert "5/7 studies done, 0 running, 2 failed" in result.err
    assert {name: len(trials) for name, trials in told(place / "run").items() if "faulty" not in name} == {
        name: 5 if name == LOGS[0] else 12 for name in LOGS
    }
    monkeypatch.setenv("MENDED", "1")
    assert command("resume=run trust=true", place).status == 0
    assert len(told(place / "run")) == 7


def test_a_dry_run_says_what_it_would_do(place):
    result = command(f"{INLINE} dry_run=true", place)
    assert result.status == 0, result.err
    assert "2 methods: random, evolution\n" in result.out
    assert "4 studies of 12 evaluations, seeds 0 to 1, and 5 random architectures\n" in result.out
    assert "of work in all, shared among the workers" in result.out
    assert not (place / "run").exists()


def test_a_slow_evaluator_is_estimated_from_its_evaluations(place, monkeypatch):
    monkeypatch.setenv("SECONDS", "0.1")
    began = time.monotonic()
    result = command(f"{INLINE} dry_run=true", place)
    assert "cost: 0.1 s an evaluation (mean of 3 samples, one worker of this machine)" in result.out
    assert re.search(r"  5\.[3-9] s of work in all", result.out)
    assert time.monotonic() - began < 3


@pytest.mark.ray
@pytest.mark.slow
def test_studies_on_ray_are_those_of_this_process(place):
    whole = finish(start(INLINE.replace("run.dir=run", "run.dir=whole"), place))
    assert whole.status == 0, whole.err
    result = finish(start(ON_RAY, place))
    assert result.status == 0, result.err
    assert "ray: started here; 2 studies at a time, 1 CPUs, 0 GPUs each" in result.out
    assert told(place / "run") == told(place / "whole")
    assert len(set((place / "diary").read_text().split())) >= 2
