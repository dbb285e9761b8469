"""The functional hash on NAS-Bench-201: its classes are the exact ones, in every reading."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from nas.hashing.audit.isomorphism import IsomorphicHasher
from nas.hashing.audit.symbolic import SCALE, ZERO, SymbolicHasher
from nas.hashing.functional import FunctionalHasher
from nas.report.audit import compare_partitions, originals, spread
from nas.search_spaces import nasbench201
from nas.space import Architecture, enumerate_architectures
from nas.study import Hasher

pytestmark = pytest.mark.xdist_group("classes")  # labels are found once
READINGS = [(zero, scale) for zero in ZERO for scale in SCALE]
CLASSES = {  # of 15,625; the authors' strings have 6,466
    ("initial", "kept"): 5044,
    ("initial", "removed"): 4954,
    ("trained", "kept"): 5224,
    ("trained", "removed"): 5134,
}


@pytest.fixture(scope="module")
def cells() -> list[Architecture]:
    return list(enumerate_architectures(nasbench201.space()))


@pytest.fixture(scope="module")
def exact(cells: list[Architecture]) -> Callable[[tuple[str, str]], list[str | None]]:
    """The exact class of each cell in a reading."""
    return cache(lambda reading: labels(SymbolicHasher(zero=reading[0], scale=reading[1]), cells))


def labels(hasher: Hasher, cells: list[Architecture]) -> list[str | None]:
    return [hasher.hash(cell).digest for cell in cells]


@pytest.mark.parametrize(
    "reading",
    [READINGS[0], *(pytest.param(each, marks=pytest.mark.slow) for each in READINGS[1:])],
    ids=" ".join,
)
def test_every_thirtieth_cell_is_in_its_exact_class(
    reading: tuple[str, str], cells: list[Architecture]
) -> None:
    zero, scale = reading
    few = cells[7::30]
    found = compare_partitions(
        labels(FunctionalHasher(zero=zero, scale=scale), few),
        labels(SymbolicHasher(zero=zero, scale=scale), few),
    )
    assert found.sound
    assert found.equal_pairs > 50


@pytest.mark.slow
@pytest.mark.parametrize("reading", [("initial", "removed"), ("trained", "kept")], ids=" ".join)
def test_all_cells_are_in_their_exact_classes(
    reading: tuple[str, str], cells: list[Architecture], exact: Callable[[tuple[str, str]], list[str | None]]
) -> None:
    """The exact classes of the other readings are compared with brute force in `test_symbolic.py`."""
    zero, scale = reading
    found = compare_partitions(labels(FunctionalHasher(zero=zero, scale=scale), cells), exact(reading))
    assert (found.hashed, found.exact) == (CLASSES[reading],) * 2
    assert found.sound


@pytest.mark.slow
def test_accuracy_varies_within_classes_as_it_does_between_trainings(
    cells: list[Architecture], exact: Callable[[tuple[str, str]], list[str | None]], shared_data: Path
) -> None:
    """Within 5 % of the standard deviation of one network trained again, and a fiftieth of that of all."""
    with gzip.open(shared_data / "nasbench201_cifar10.csv.gz", "rt") as file:
        table = {row["arch_str"]: row for row in csv.DictReader(file)}
    rows = [table[nasbench201.benchmark_string(cell)] for cell in cells]
    columns = ("c10_valid_12", "c10_test_12", "c10_valid_200", "c10_test_200")
    results = [tuple(float(row[column]) for column in columns) for row in rows]
    classes = exact(("trained", "kept"))
    initial, strings = exact(("initial", "kept")), labels(IsomorphicHasher(), cells)
    assert len(set(strings)) == 6466
    replicates = list(zip(classes, initial, strings, strict=True))
    kept = originals(results, classes)
    accuracies = [row[-1] for row in results]
    found = spread(accuracies, classes, replicates, kept=kept, permutations=1)
    assert 0.95 < found.within / found.replicate < 1.05
    assert found.within < found.overall / 50
