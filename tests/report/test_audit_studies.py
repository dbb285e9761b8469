"""Searches under noise, from the command line, and the rates that they are held against."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from nas.report.audit import DRAWS, expected_hits
from tests.end_to_end.kit import command

TABLE = "nasbench201_cifar10.csv.gz"
SMALL = (
    "+experiment=hash_errors hashing=symbolic audit.bits=[] audit.beside={} audit.sample=60 audit.seeds=2 "
    "audit.noise=[0,1] compare.launcher=inline run.dir=out budget.seconds=150000"
)


def test_expected_hits_are_those_of_drawing() -> None:
    sizes, rng = [1, 1, 2, 6], np.random.default_rng(0)
    members = np.repeat(np.arange(4), sizes)
    for by_class in (False, True):
        for n, rate in expected_hits(sizes, by_class=by_class):
            if n > 100:
                continue
            drawn = rng.integers(4, size=(4000, n)) if by_class else rng.choice(members, (4000, n))
            distinct = np.mean([len(set(row)) for row in drawn.tolist()])
            assert rate == pytest.approx(100 * (1 - distinct / n), abs=0.6)
    assert [n for n, _ in expected_hits(sizes, by_class=True)] == list(DRAWS)


@pytest.mark.slow
def test_searches_under_noise_and_their_report(shared_data: Path, tmp_path: Path) -> None:
    line = f"{SMALL} evaluator.path={shared_data / TABLE}"
    result = command(line, tmp_path)
    assert result.status == 0, result.err
    with (tmp_path / "out" / "audit_searches.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 4 * 2  # noise, searchers, caches, seeds
    found = {(r["searcher"], r["noise"], r["cache"], r["seed"]): r for r in rows}
    for (searcher, noise, cache, seed), row in found.items():
        trials, evaluations = int(row["trials"]), int(row["evaluations"])
        assert 50 < float(row["value"]) <= 91.61
        without = found[searcher, noise, "none", seed]
        if cache == "none":
            assert row["hit_rate"] == ""
            assert trials == evaluations
        elif cache == "plain":
            assert float(row["hit_rate"]) == pytest.approx(100 * (trials - evaluations) / trials)
            assert trials >= int(without["trials"])  # what is answered costs nothing
    noisy, clean = ({key for key in found if key[1] == noise} for noise in ("1.0", "0.0"))
    assert len(noisy) == len(clean)
    assert any(found[key]["value"] != found[(key[0], "0.0", *key[2:])]["value"] for key in noisy)
    assert "uniform over classes" in result.out
    assert (tmp_path / "out" / "audit_searches.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            "audit.seeds=0",
            "audit.searchers: caches, noise and at least one of audit.seeds are expected beside",
        ),
        ("+audit.caches.odd.budget=3", "audit.caches.odd: expected sections hashing and cache"),
        ("evaluator=digits", "audit.searchers: an evaluator that looks results up is expected"),
    ],
)
def test_mistakes_are_told_in_one_line(more: str, expected: str, shared_data: Path, tmp_path: Path) -> None:
    path = "" if more.startswith("evaluator") else f"evaluator.path={shared_data / TABLE}"  # digits have none
    assert command(f"{SMALL} {path} {more}", tmp_path).message.startswith(f"ConfigError: {expected}")
