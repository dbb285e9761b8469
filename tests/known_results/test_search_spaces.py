"""Published facts of the search spaces: numbers of architectures, of parameters, of distinct networks."""

from __future__ import annotations

import csv
import gzip
import math
import random
from pathlib import Path

import pytest

from nas.layers.compile import multiply_adds, parameters
from nas.search_spaces import darts, deepconv, macro, nasbench201
from nas.space import enumerate_architectures

CIFAR = (3, 32, 32)
Row = dict[str, str]


@pytest.fixture(scope="module")
def table(shared_data: Path) -> list[Row]:
    """NAS-Bench-201 on CIFAR-10, one row a cell."""
    with gzip.open(shared_data / "nasbench201_cifar10.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


# NAS-Bench-201: Dong and Yang 2020


@pytest.fixture(scope="module")
def cells() -> list[str]:
    """The benchmark's strings of all architectures of the space."""
    return [nasbench201.benchmark_string(cell) for cell in enumerate_architectures(nasbench201.space())]


def test_nasbench201_cells_are_those_of_the_table(cells: list[str], table: list[Row]) -> None:
    assert nasbench201.space().size() == 5**6 == len(cells) == len(set(cells)) == 15_625
    assert set(cells) == {row["arch_str"] for row in table}


def test_nasbench201_strings_round_trip(table: list[Row]) -> None:
    space = nasbench201.space()
    for row in table:
        string = row["arch_str"]
        assert nasbench201.benchmark_string(nasbench201.from_benchmark_string(space, string)) == string


def authors_form(string: str) -> str:
    """The string by which the authors tell cells apart.

    A node is the sorted sum of what its edges make of their sources; a skip connection is its source, and an
    edge is zero where its operation is or where its source is a zero. Sums inside sums are not
    flattened, so that the count depends a little on the notation, which is theirs.
    """
    values = ["0"]
    for node in string.split("+"):
        edges = []
        for edge in node.strip("|").split("|"):
            operation, source = edge.split("~")
            value = values[int(source)]
            if operation == "none" or value == "#":
                edges.append("#")
            else:
                edges.append(value if operation == "skip_connect" else f"({value})@{operation}")
        values.append("+".join(sorted(edges)))
    return values[-1]


def test_nasbench201_has_6466_distinct_cells_by_the_authors_count(cells: list[str]) -> None:
    assert len(set(map(authors_form, cells))) == 6_466


def cost(string: str) -> list[int]:
    """Parameters and multiply-adds; the benchmark counts the classifier's ten biases as the latter, too."""
    cell = nasbench201.from_benchmark_string(nasbench201.space(), string)
    return [parameters(cell, CIFAR, 10), multiply_adds(cell, CIFAR, 10) + 10]


def test_nasbench201_best_cell_has_its_accuracy_and_its_parameters(table: list[Row]) -> None:
    best = max(table, key=lambda row: float(row["c10_test_200"]))
    assert round(float(best["c10_test_200"]), 2) == 94.37
    assert cost(best["arch_str"])[0] == 1_073_466


def test_nasbench201_costs_are_the_tables_but_where_it_contradicts_its_own_strings(table: list[Row]) -> None:
    """Costs add up over edges, so three networks give those of all cells.

    150 rows of this re-exported table state the costs of a cell with one convolution more or fewer than
    their own `arch_str` has.
    """
    empty = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    base = cost(empty)
    each = {
        kind: [one - none for one, none in zip(cost(empty.replace("none", kind, 1)), base, strict=True)]
        for kind in ("nor_conv_1x1", "nor_conv_3x3")
    }
    rows = random.Random(0).sample(table, 2)
    assert [cost(row["arch_str"]) for row in rows] == [total(row["arch_str"], base, each) for row in rows]
    wrong = []
    for row in table:
        ours = total(row["arch_str"], base, each)
        listed = [float(row[key]) * 1e6 for key in ("params_M_c10", "flops_M_c10")]  # rounded to tens
        differences = [a - b for a, b in zip(listed, ours, strict=True)]
        if abs(differences[0]) > 5.01 or abs(differences[1]) > 10.01:
            wrong.append(differences)
    assert len(wrong) == 150
    one_convolution = [[sign * n for n in kind] for kind in each.values() for sign in (1, -1)]
    for extra in wrong:
        assert any(extra == pytest.approx(step, abs=10) for step in one_convolution)


def total(string: str, base: list[int], each: dict[str, list[int]]) -> list[int]:
    counts = {kind: string.count(kind) for kind in each}
    return [base[i] + sum(counts[kind] * each[kind][i] for kind in each) for i in range(len(base))]


# DARTS: Liu, Simonyan and Yang 2019


@pytest.mark.parametrize(
    ("text", "expected"), [(darts.DARTS_V1, 3_169_414), (darts.DARTS_V2, 3_349_342)], ids=["V1", "V2"]
)
def test_published_darts_genotypes_have_their_parameters(text: str, expected: int) -> None:
    architecture = darts.from_genotype(darts.space(channels=36, layers=20), text)
    assert parameters(architecture, CIFAR, 10) == expected


def test_darts_size_is_that_of_the_paper() -> None:
    """Pairs of predecessors times pairs of operations, by node; "approximately (10^9)^2" (appendix A.3)."""
    cell = math.prod(math.comb(2 + node, 2) * 7**2 for node in range(4))
    assert cell == 1 * 3 * 6 * 10 * 7**8 == 1_037_664_180
    assert darts.space().size() == cell**2 == 1_076_746_950_455_072_400


# DeepArchitect: Negrinho and Gordon 2017


def test_deepconv_size_is_that_of_the_released_code() -> None:
    reduction, module, settings = 6 * 3, 6 * 2 * 2 * (1 + 2) * 6, 2 * 32 * 8 * 8
    networks = (reduction * module) ** 2
    assert (reduction, module, networks, settings) == (18, 432, 60_466_176, 4_096)
    assert deepconv.space().size() == networks * settings == 247_669_456_896


# This project's own space, by the formula of its header


@pytest.mark.parametrize(("stages", "depth"), [(2, 1), (2, 4), (3, 3), (5, 2)])
def test_macro_size_is_that_of_its_formula(stages: int, depth: int) -> None:
    blocks = 2 + 2 * 4 * 2 + 2 + 2  # residual, inverted residual, separable, plain
    fillings = sum(blocks**copies for copies in range(1, depth + 1))
    size = 3 * (3 * fillings) * (2 * 3 * fillings) ** (stages - 1)
    assert macro.space(stages=stages, depth=depth).size() == size
    if (stages, depth) == (3, 3):
        assert macro.space().size() == size == 449_611_002_805_536
