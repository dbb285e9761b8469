from __future__ import annotations

from itertools import combinations

import numpy as np

from nas.report.audit import compare


def test_equal_partitions_agree_whatever_their_labels() -> None:
    found = compare(["a", "b", "a", "c"], [3, 1, 3, 2])
    assert found.sound
    assert (found.hashed, found.exact, found.members, found.equal_pairs) == (3, 3, 4, 1)


def test_joins_and_splits_with_their_parts_and_examples() -> None:
    found = compare(["a", "a", "a", "b", "c", "c"], [1, 2, 2, 3, 3, 3])
    assert not found.sound
    (join,) = found.joins
    assert (join.label, join.parts, join.examples) == ("a", (2, 1), (1, 0))
    (split,) = found.splits
    assert (split.label, split.parts, split.examples) == (3, (2, 1), (4, 3))
    assert (found.joined_pairs, found.split_pairs, found.equal_pairs) == (2, 2, 4)


def test_candidates_without_a_label_are_counted_and_compared_no_further() -> None:
    found = compare([None, "a", "b"], ["x", None, "y"])
    assert (found.members, found.unlabelled, found.hashed, found.exact) == (1, 2, 1, 1)
    assert not found.sound
    assert not found.joins
    assert not found.splits


def test_pairs_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        hashed, exact = rng.integers(4, size=(2, 12)).tolist()
        found = compare(hashed, exact)
        pairs = list(combinations(range(12), 2))
        joined = sum(hashed[i] == hashed[j] and exact[i] != exact[j] for i, j in pairs)
        split = sum(hashed[i] != hashed[j] and exact[i] == exact[j] for i, j in pairs)
        assert (found.joined_pairs, found.split_pairs) == (joined, split)
        assert bool(found.joins) == bool(joined)
        assert bool(found.splits) == bool(split)
