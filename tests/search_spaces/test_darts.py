from __future__ import annotations

import numpy as np
import pytest
import torch

from nas.errors import SpaceError
from nas.language import Choice
from nas.layers import compile_network
from nas.layers.compile import parameters
from nas.search_spaces import SPACES, nasbench201
from nas.search_spaces.darts import DARTS_V1, DARTS_V2, OPERATIONS, from_genotype, genotype, space
from nas.space import SearchSpace, sample

SPACE = space()
JOINED = "normal_concat=[2, 3, 4, 5]"


def test_is_registered() -> None:
    assert SPACES.get("darts") is space


def test_choices_come_normal_cell_first_and_of_a_node_the_operations_first() -> None:
    derivation, options = SPACE.start(), []
    while derivation.site is not None:
        assert isinstance(derivation.choice, Choice)
        options.append(len(derivation.options))
        derivation = derivation.take(derivation.options[-1])
    cell = [7, 7, 7, 7, 3, 7, 7, 6, 7, 7, 10]  # the first node has one pair of inputs only
    assert options == [*cell, *cell]
    assert dict(derivation.architecture().term.bindings).keys() == {"normal", "reduction"}  # type: ignore[attr-defined]


def test_no_discrete_cell_has_the_operation_none() -> None:
    assert len(OPERATIONS) == 7
    assert "zero" not in str(SPACE)


@pytest.mark.parametrize("text", [DARTS_V1, DARTS_V2], ids=["V1", "V2"])
def test_published_genotypes_are_in_the_space(text: str) -> None:
    architecture = from_genotype(SPACE, text)
    assert SPACE.check(architecture) is None
    assert SPACE.parse(architecture.text) == architecture
    assert from_genotype(SPACE, genotype(architecture)) == architecture


def test_an_edge_of_the_genotype_is_an_edge_of_the_cell() -> None:
    """The fourth node of V2's normal cell: skip_connect from 0, dil_conv_3x3 from 2."""
    cells = dict(from_genotype(SPACE, DARTS_V2).term.bindings)  # type: ignore[attr-defined]
    assert str(cells["normal"].args[3]) == "node(skip(), dil_conv(kernel=3), inputs=(0, 2))"
    assert str(cells["reduction"].args[1]) == "node(max_pool_3x3(), skip(), inputs=(1, 2))"


def test_genotypes_of_samples_round_trip() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        architecture = sample(SPACE, rng)
        assert from_genotype(SPACE, genotype(architecture)) == architecture


def test_order_of_a_nodes_edges_and_notation_of_the_range_do_not_matter() -> None:
    swapped = DARTS_V1.replace(
        "('sep_conv_3x3', 1), ('sep_conv_3x3', 0)", "('sep_conv_3x3', 0), ('sep_conv_3x3', 1)", 1
    )
    assert swapped != DARTS_V1
    assert from_genotype(SPACE, swapped) == from_genotype(SPACE, DARTS_V1)
    assert from_genotype(SPACE, DARTS_V1.replace("[2, 3, 4, 5]", "range(2, 6)")) == from_genotype(
        SPACE, DARTS_V1
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Genotype(",
        "Genotype()",
        "genotype",
        DARTS_V1.replace("reduce=", "reduction="),
        DARTS_V1.replace(JOINED, "normal_concat=[2, 3]"),
        DARTS_V1.replace(JOINED, "normal_concat=5"),
        DARTS_V1.replace(JOINED, "normal_concat=None"),
        DARTS_V1.replace(JOINED, "normal_concat=range()"),
        DARTS_V1.replace(JOINED, "normal_concat=range([])"),
        DARTS_V1.replace(JOINED, "normal_concat=range(2, 10**15)"),
        DARTS_V1.replace(JOINED, "normal_concat=range(2, 1000000000000)"),
        DARTS_V1.replace("('skip_connect', 0), ", ""),
        DARTS_V1.replace("('skip_connect', 0)", "('skip_connect', 0, 1)"),
        DARTS_V1.replace("('skip_connect', 0)", "('skip_connect', True)"),
        DARTS_V1.replace("('skip_connect', 0)", "{[]: 1}"),
        DARTS_V1.replace("('skip_connect', 0)", "open('file')"),
        "(" * 1000 + ")" * 1000,
    ],
)
def test_malformed_genotypes_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(
        SpaceError, match=r"^darts: Genotype\(normal=.* is expected, with 8 edges .*; got [^\n]*$"
    ):
        from_genotype(SPACE, text)


@pytest.mark.parametrize(
    ("old", "new", "node"),
    [
        ("('skip_connect', 2)]", "('skip_connect', 5)]", "node 3 .* of 0..4 and .*'skip_connect', 5"),
        ("('skip_connect', 2)]", "('skip_connect', 0)]", "node 3 .*two different inputs"),
        ("('skip_connect', 2)]", "('skip_connect', -1)]", "node 3"),
        (
            "[('sep_conv_3x3', 1)",
            "[('sep_conv_7x7', 1)",
            "node 0 .* operations of max_pool_3x3, .*sep_conv_7x7",
        ),
        ("[('sep_conv_3x3', 1)", "[('none', 1)", "node 0 .*'none', 1"),
    ],
)
def test_edges_outside_the_space_are_named(old: str, new: str, node: str) -> None:
    with pytest.raises(SpaceError, match=f"^darts: {node}"):
        from_genotype(SPACE, DARTS_V1.replace(old, new))


def test_genotypes_are_of_this_space_only() -> None:
    cell = nasbench201.space().start()
    while cell.site is not None:
        cell = cell.take(0)
    for other in (cell.architecture(), SearchSpace("own", "relu()").parse("relu()")):
        with pytest.raises(SpaceError, match=r"^darts: an architecture of this space is expected; got "):
            genotype(other)
    with pytest.raises(SpaceError, match=r"^nasbench201: nothing is left to decide"):
        from_genotype(nasbench201.space(), DARTS_V1)


@pytest.mark.parametrize("layers", [3, 4, 8, 20])
def test_reductions_stand_at_one_third_and_at_two_thirds(layers: int) -> None:
    architecture = from_genotype(space(channels=4, layers=layers), DARTS_V2)
    with torch.device("meta"):
        network = compile_network(architecture, (3, 32, 32), 10)
    cells = [module for module in network.modules() if type(module).__name__ == "Cell"]
    reducing = ["MaxPool2d" in str(cell) for cell in cells]  # V2 pools in its reduction cell only
    assert [i for i, found in enumerate(reducing) if found] == [layers // 3, 2 * layers // 3]
    assert len(cells) == layers


def test_a_smaller_form_keeps_the_cells_and_learns() -> None:
    small = space(channels=4, layers=3)
    assert small.size() == SPACE.size()
    architecture = from_genotype(small, DARTS_V2)
    assert genotype(architecture) == genotype(from_genotype(SPACE, DARTS_V2))
    network = compile_network(architecture, (1, 8, 8), 3)
    network(torch.randn(2, 1, 8, 8)).sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())
    assert parameters(architecture, (1, 8, 8), 3) == sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 2}, "darts: expected layers to be at least 3, got 2"),
        ({"channels": 0}, "width: expected an integer of at least 1; got 0"),
    ],
)
def test_options_out_of_range(options: dict[str, int], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        space(**options)
