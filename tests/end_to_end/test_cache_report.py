"""The report of the cache of whole runs on a table, counted once more from the architectures alone."""

from __future__ import annotations

import csv

import pytest

from tests.end_to_end.kit import command, count, events


def table_run(tmp_path, shared_data, workers):
    path = shared_data / "nasbench201_cifar10.csv.gz"
    line = (
        f"+experiment=nasbench201 evaluator.path={path} hashing=text searcher=regularized_evolution "
        f"executor.workers={workers} budget.trials=600 baseline.samples=5 final.seeds=1 run.dir=run"
    )
    return command(line, tmp_path)


def recounted(run):
    """Hits and waits by hand: a text that was asked before was answered, in flight or ended."""
    asked, costs, answered_by, ended = {}, {}, {}, set()
    found = {"hits": 0, "waits": 0, "misses": 0, "saved_seconds": 0.0, "evaluation_seconds": 0.0}
    for event in events(run):
        match event["event"]:
            case "asked" if event["stage"] == "search":
                first = asked.setdefault(event["architecture"], event["trial"])
                if first == event["trial"]:
                    found["misses"] += 1
                else:
                    found["hits" if first in ended else "waits"] += 1
                    answered_by[event["trial"]] = first
            case "evaluated" if event["trial"] < 10_000_000:
                ended.add(event["trial"])
                costs[event["trial"]] = event["evaluation"]["cost_seconds"]
    found["evaluation_seconds"] = sum(costs.values())
    found["saved_seconds"] = sum(costs[holder] for holder in answered_by.values())
    return found, len(asked)


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_the_report_counts_what_the_log_shows(tmp_path, shared_data, workers):
    result = table_run(tmp_path, shared_data, workers)
    assert result.status == 0, result.err
    run = tmp_path / "run"
    expected, texts = recounted(run)
    assert expected["hits"] > 100  # evolution repeats itself
    assert bool(expected["waits"]) == (workers > 1)
    with (run / "cache.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert {name: float(row[name]) for name in expected} == pytest.approx(expected)
    assert int(row["classes"]) == texts
    assert int(row["saved_evaluations"]) == expected["hits"] + expected["waits"]
    assert int(row["suggestions"]) == 600
    assert (row["hashing"], row["clock"]) == ("text", "simulated")
    assert len([trial for trial in count(run, "evaluated") if trial < 10_000_000]) == expected["misses"]
    assert f"cache (text): 600 looked up: hits {expected['hits']}, waits {expected['waits']}," in result.out
    with (run / "trials.csv").open(newline="") as file:
        outcomes = [row["cache_outcome"] for row in csv.DictReader(file)]
    assert outcomes.count("hit") == expected["hits"]
    assert outcomes.count("") == 5 + 1  # of the baseline and the final trial
