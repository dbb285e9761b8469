"""Partitions, spreads of results within classes, and searches under noise as an audit reports them."""

from __future__ import annotations

import csv
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import f_oneway

from nas.report.audit import (
    DRAWS,
    compare_partitions,
    differences,
    expected_hits,
    originals,
    spread,
)
from tests.end_to_end.kit import command

TABLE = "nasbench201_cifar10.csv.gz"
SMALL = (
    "+experiment=hash_errors hashing=symbolic audit.bits=[] audit.beside={} audit.sample=60 audit.seeds=2 "
    "audit.noise=[0,1] compare.launcher=inline run.dir=out budget.seconds=150000"
)


def test_equal_partitions_agree_whatever_their_labels() -> None:
    found = compare_partitions(["a", "b", "a", "c"], [3, 1, 3, 2])
    assert found.sound
    assert (found.hashed, found.exact, found.members, found.equal_pairs) == (3, 3, 4, 1)


def test_joins_and_splits_with_their_parts_and_examples() -> None:
    found = compare_partitions(["a", "a", "a", "b", "c", "c"], [1, 2, 2, 3, 3, 3])
    assert not found.sound
    (join,) = found.joins
    assert (join.label, join.parts, join.examples) == ("a", (2, 1), (1, 0))
    (split,) = found.splits
    assert (split.label, split.parts, split.examples) == (3, (2, 1), (4, 3))
    assert (found.joined_pairs, found.split_pairs, found.equal_pairs) == (2, 2, 4)


def test_candidates_without_a_label_are_counted_and_compared_no_further() -> None:
    found = compare_partitions([None, "a", "b"], ["x", None, "y"])
    assert (found.members, found.unlabelled, found.hashed, found.exact) == (1, 2, 1, 1)
    assert not found.sound
    assert not found.joins
    assert not found.splits


def test_pairs_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        hashed, exact = rng.integers(4, size=(2, 12)).tolist()
        found = compare_partitions(hashed, exact)
        pairs = list(combinations(range(12), 2))
        joined = sum(hashed[i] == hashed[j] and exact[i] != exact[j] for i, j in pairs)
        split = sum(hashed[i] != hashed[j] and exact[i] == exact[j] for i, j in pairs)
        assert (found.joined_pairs, found.split_pairs) == (joined, split)
        assert bool(found.joins) == bool(joined)
        assert bool(found.splits) == bool(split)


def test_pooled_deviations_by_hand() -> None:
    values = [1.0, 3.0, 10.0, 10.0, 16.0, 5.0]
    found = spread(values, [0, 0, 1, 1, 1, 2], ["a", "b", "c", "c", "d", "e"], permutations=9)
    # squares within classes: 2 and 24, of 1 + 2 degrees of freedom; within "c": 0, of 1
    assert found.within == pytest.approx(math.sqrt(26 / 3))
    assert found.replicate == 0
    assert found.overall == pytest.approx(np.std(values, ddof=1))
    assert (found.median_range, found.largest_range) == (4, 6)
    assert (found.classes, found.replicates, found.members, found.copies) == (2, 1, 6, 0)


def test_f_in_one_class_is_that_of_a_one_way_analysis_of_variance() -> None:
    rng = np.random.default_rng(1)
    groups = [rng.normal(size=size) for size in (4, 7, 5)]
    values = np.concatenate(groups).tolist()
    labels = [n for n, group in enumerate(groups) for _ in group]
    found = spread(values, [0] * len(values), labels, permutations=1999)
    expected = f_oneway(*groups)
    assert found.f == pytest.approx(expected.statistic)
    assert found.degrees == (2, 13)
    assert found.p == pytest.approx(expected.pvalue, abs=0.04)  # four standard errors of a share of 1,999


def drawn(rng: np.random.Generator, extra: float) -> tuple[list[float], list[int], list[int]]:
    """120 classes of different level and noise, three groups of three in each, that differ by `extra`."""
    values, classes, groups = [], [], []
    for label in range(120):
        level, noise = rng.normal(scale=10), rng.uniform(0.5, 1.5)
        for group in range(3):
            values += (level + extra * rng.normal() + noise * rng.normal(size=3)).tolist()
            classes += [label] * 3
            groups += [group] * 3
    return values, classes, groups


def test_groups_that_differ_are_found_and_their_deviation_is_estimated() -> None:
    found = spread(*drawn(np.random.default_rng(2), extra=1.0), permutations=199)
    assert found.p == pytest.approx(1 / 200)
    assert found.extra == pytest.approx(1.0, abs=0.25)
    assert found.replicate == pytest.approx(1.04, abs=0.1)  # root of the mean of squares of U(0.5, 1.5)


def test_groups_that_do_not_differ_are_rejected_as_often_as_stated() -> None:
    """alpha = 0.1 in 60 draws: 15 or more rejections have probability 0.0007."""
    rng = np.random.default_rng(3)
    p = [spread(*drawn(rng, extra=0.0), permutations=39).p for _ in range(60)]
    assert sum(value <= 0.1 for value in p) < 15
    assert np.mean(p) == pytest.approx(0.5, abs=0.17)  # four and a half standard errors


def test_nothing_to_compare_gives_no_test() -> None:
    found = spread([1.0, 2.0, math.nan], [0, 1, 1], [0, 0, 0])
    assert math.isnan(found.f)
    assert math.isnan(found.p)
    assert math.isnan(found.within)
    assert (found.members, found.classes) == (2, 0)


def test_copies_share_two_results_with_an_earlier_one_of_their_class() -> None:
    results = [(1.0, 2.0, 3.0), (1.0, 2.0, 9.0), (1.0, 5.0, 6.0), (1.0, 2.0, 3.0)]
    assert originals(results, ["a", "a", "a", "b"]) == [0, 2, 3]
    assert originals([(1.0,), (1.0,), (2.0,)], ["a", "a", "a"]) == [0, 2]


def test_differences_are_of_the_first_two_distinct_values_of_a_group() -> None:
    values = [1.0, 1.0, 4.0, 9.0, 2.0, math.nan, 2.5]
    assert differences(values, ["a", "a", "a", "a", "b", "b", "b"]).tolist() == [0.5, 3.0]


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
            "audit.searchers: expected audit.caches, audit.noise and audit.seeds of at least 1 beside",
        ),
        ("+audit.caches.odd.budget=3", "audit.caches.odd: expected sections hashing and cache"),
        ("evaluator=digits", "audit.searchers: expected an evaluator that looks results up, got class"),
    ],
)
def test_mistakes_are_told_in_one_line(more: str, expected: str, shared_data: Path, tmp_path: Path) -> None:
    path = "" if more.startswith("evaluator") else f"evaluator.path={shared_data / TABLE}"  # digits have none
    assert command(f"{SMALL} {path} {more}", tmp_path).message.startswith(f"ConfigError: {expected}")
