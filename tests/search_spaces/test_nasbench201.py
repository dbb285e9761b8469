from __future__ import annotations

import numpy as np
import pytest
import torch

from nas.errors import SpaceError
from nas.layers import compile_network, infer_shape
from nas.search_spaces import SPACES, darts, nasbench201
from nas.search_spaces.nasbench201 import OPERATIONS, benchmark_string, from_benchmark_string, space
from nas.space import Architecture, SearchSpace, mutate, sample

SPACE = space()
MIXED = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|"


def taking(options: tuple[int, ...]) -> Architecture:
    derivation = SPACE.start()
    for option in options:
        derivation = derivation.take(option)
    return derivation.architecture()


def test_is_registered() -> None:
    assert SPACES.get("nasbench201") is space


def test_choices_come_edge_by_edge_in_the_benchmarks_order_of_operations() -> None:
    assert tuple(OPERATIONS) == ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    first = "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"
    assert benchmark_string(taking((0, 1, 2, 3, 4, 0))) == first


def test_a_string_names_the_same_cell_as_the_text() -> None:
    found = from_benchmark_string(SPACE, f"  {MIXED}\n")
    assert SPACE.check(found) is None
    assert SPACE.parse(found.text) == found
    assert found.text.endswith(
        "cell=cell(node(relu_conv_bn(kernel=3), inputs=(0,)), node(zero(), skip(), inputs=(0, 1)), "
        "node(avg_pool_3x3(), relu_conv_bn(kernel=1), relu_conv_bn(kernel=3), inputs=(0, 1, 2)), "
        "inputs=1, output='last'))"
    )


def test_a_mutation_changes_one_edge() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        parent = sample(SPACE, rng)
        before, after = (benchmark_string(a).split("|") for a in (parent, mutate(SPACE, parent, rng)))
        assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "none",
        MIXED[1:],
        MIXED[:-1],
        MIXED + MIXED,
        MIXED.replace("+", ""),
        MIXED.replace("|none~0|", "|none~1|"),
        MIXED.replace("|none~0|", "|none~\u0660|"),
        MIXED.replace("|none~0|", "|none~0|none~0|"),
        MIXED.replace("|none~0|", "||none~0|"),
        MIXED.replace("none", "nothing"),
        MIXED.replace("none", "no ne"),
    ],
)
def test_malformed_strings_are_refused_in_one_line(text: str) -> None:
    expected = r"^nasbench201: \|op~0\|\+.* is expected with op of none, skip_connect, .*; got '[^\n]*'$"
    with pytest.raises(SpaceError, match=expected):
        from_benchmark_string(SPACE, text)


@pytest.mark.parametrize(
    "architecture",
    [
        darts.from_genotype(darts.space(), darts.DARTS_V1),
        SearchSpace("own", "relu()").parse("relu()"),
        SearchSpace("own", "define(cell, cell=cell(node(relu(), inputs=(0,))))").start().architecture(),
        SearchSpace(
            "other_operations",
            "define(cell, cell=cell(node(gelu(), inputs=(0,)), node(skip(), skip(), inputs=(0, 1)), "
            "node(skip(), skip(), skip(), inputs=(0, 1, 2))))",
        )
        .start()
        .architecture(),
        SearchSpace(
            "other_wiring",
            "define(cell, cell=cell(node(skip(), inputs=(0,)), node(skip(), skip(), inputs=(1, 0)), "
            "node(skip(), skip(), skip(), inputs=(0, 1, 2))))",
        )
        .start()
        .architecture(),
    ],
    ids=lambda architecture: architecture.space,
)
def test_architectures_of_other_spaces_have_no_string(architecture: Architecture) -> None:
    with pytest.raises(SpaceError, match=r"^nasbench201: an architecture of this space is expected; got "):
        benchmark_string(architecture)


def test_a_smaller_form_keeps_the_cells_and_learns() -> None:
    small = space(channels=4, cells=1)
    assert small.size() == SPACE.size()
    architecture = from_benchmark_string(small, MIXED)
    assert benchmark_string(architecture) == MIXED
    network = compile_network(architecture, (1, 8, 8), 3)
    network(torch.randn(2, 1, 8, 8)).sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())
    assert {weight.shape[0] for weight in network.parameters()} == {4, 8, 16, 3}


def test_full_size_has_fifteen_cells_in_three_stages() -> None:
    architecture = from_benchmark_string(SPACE, MIXED)
    with torch.device("meta"):
        network = compile_network(architecture, (3, 32, 32), 10)
    cells = [module for module in network.modules() if type(module).__name__ == "Cell"]
    assert len(cells) == 15
    assert infer_shape(architecture, (3, 32, 32), 10) == (10,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "integers of at least 1; got channels=0"),
        ({"cells": -1}, "integers of at least 1; got channels=16, cells=-1"),
    ],
)
def test_options_out_of_range(options: dict[str, int], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        space(**options)


def test_the_search_space_is_the_callers() -> None:
    """The same cells under a constraint of one's own."""

    def no_pooling(architecture: Architecture) -> str | None:
        return "pools" if "avg_pool" in benchmark_string(architecture) else None

    own = SearchSpace("own", nasbench201.space().expression, constraints=[no_pooling])
    found = from_benchmark_string(own, MIXED)
    assert found.space == "own"
    assert str(own.check(found)) == "own: pools"
