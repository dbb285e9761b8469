from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from nas.errors import ConfigError, SpaceError
from nas.layers import compile_network
from nas.registry import build
from nas.search_spaces import SPACES, darts
from nas.search_spaces.sharp_darts import LISTS, from_genotype, genotype, operation, space
from nas.space import sample

ENDS = "normal_concat=range(2, 6)", "reduce_concat=range(2, 6)"
FLOOD, CHOKE = "dil_flood_conv_3x3", "dil_choke_conv_3x3"


def written(normal: str, reduce: str) -> str:
    """A genotype with one operation in each cell."""
    cells = [[(name, source % 2) for source in range(8)] for name in (normal, reduce)]
    return f"Genotype(normal={cells[0]}, {ENDS[0]}, reduce={cells[1]}, {ENDS[1]})"


def test_is_registered() -> None:
    assert SPACES.get("sharp_darts") is space


@pytest.mark.parametrize(("primitives", "operations"), [("darts", 7), ("sharp", 8), ("sharper", 11)])
def test_size_is_that_of_the_list(primitives: str, operations: int) -> None:
    assert len(set(LISTS[primitives])) == operations
    assert space(primitives).size() == (1 * 3 * 6 * 10 * operations**8) ** 2
    assert "zero" not in str(space(primitives))


def test_lists_differ_as_released() -> None:
    """Every list has the same pool, skip and smallest convolutions; floods and chokes come with "sharp"."""
    common = set(LISTS["darts"]) & set(LISTS["sharp"]) & set(LISTS["sharper"])
    assert common == {"max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3"}
    assert tuple(darts.OPERATIONS) == LISTS["darts"]
    assert set(LISTS["darts"]) < set(LISTS["sharper"])
    assert [name for name in LISTS["sharp"] if "choke" in name] == ["choke_conv_3x3", CHOKE]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("max_pool_3x3", "resizable_pool(pool='max')"),
        ("avg_pool_3x3", "resizable_pool(pool='avg')"),
        ("skip_connect", "skip()"),
        ("sep_conv_7x7", "sharp_sep_conv(kernel=7)"),
        ("dil_conv_5x5", "sharp_sep_conv(dilation=2, kernel=5)"),
        ("flood_conv_5x5", "sharp_sep_conv(expansion=4, kernel=5)"),
        (FLOOD, "sharp_sep_conv(dilation=2, expansion=4, kernel=3)"),
        (CHOKE, "sharp_sep_conv(dilation=2, kernel=3, middle=96)"),
    ],
)
def test_operations_of_names(name: str, expected: str) -> None:
    found = operation(name, middle=96)
    attributes = ", ".join(sorted(f"{key}={value}" for key, value in found.attributes))  # type: ignore[attr-defined]
    assert f"{found.name}({attributes})" == expected  # type: ignore[attr-defined]


@pytest.mark.parametrize("primitives", list(LISTS))
@pytest.mark.parametrize("middle", [32, 96])
def test_genotypes_of_samples_round_trip(primitives: str, middle: int) -> None:
    searched, rng = space(primitives, middle=middle), np.random.default_rng(0)
    for _ in range(20):
        architecture = sample(searched, rng)
        assert from_genotype(searched, genotype(architecture)) == architecture


def test_a_genotype_is_the_same_cells_with_another_middle() -> None:
    text = written(CHOKE, FLOOD)
    narrow, wide = space(middle=32), space(middle=96)
    assert genotype(from_genotype(narrow, text)) == genotype(from_genotype(wide, text))
    assert "middle=32" in from_genotype(narrow, text).text
    assert "middle=96" in from_genotype(wide, text).text


@pytest.mark.parametrize(
    ("primitives", "text", "message"),
    [
        ("sharp", "Genotype()", r"^sharp_darts: Genotype\(normal=.* is expected, with 8 edges .*; got "),
        ("sharp", written("none", FLOOD), "^sharp_darts: node 0 is expected .* operations of max_pool_3x3, "),
        (
            "sharp",
            written("sep_conv_5x5", FLOOD),
            "^sharp_darts: node 0 .*dil_choke_conv_3x3; got .*sep_conv_5x5",
        ),
        ("sharper", written("sep_conv_5x5", CHOKE), "^sharp_darts: node 0 .*got .*dil_choke_conv_3x3"),
    ],
)
def test_genotypes_outside_the_space_are_refused(primitives: str, text: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        from_genotype(space(primitives), text)


def test_an_architecture_of_darts_is_none_of_this_space() -> None:
    other = darts.from_genotype(darts.space(), darts.DARTS_V2)
    with pytest.raises(SpaceError, match=r"^sharp_darts: an architecture of this space is expected; got "):
        genotype(other)


@pytest.mark.parametrize("name", sorted({name for names in LISTS.values() for name in names}))
@pytest.mark.parametrize("mode", ["standard", "search"])
def test_networks_of_one_operation_learn(name: str, mode: Any) -> None:
    primitives = next(key for key, names in LISTS.items() if name in names)
    architecture = from_genotype(space(primitives, channels=4, layers=3, middle=3), written(name, name))
    network = compile_network(architecture, (1, 9, 8), 3, mode=mode)
    network(torch.randn(4, 1, 9, 8)).sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"primitives": "blunt"},
            "^sharp_darts: primitives are expected to be one of darts, sharp, sharper; got",
        ),
        ({"layers": 2}, "^sharp_darts: expected layers to be at least 3, got 2"),
        ({"channels": 0}, "width: expected an integer of at least 1; got 0"),
        ({"middle": 0}, "middle: expected an integer of at least 1; got 0"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        space(**options)


def test_options_of_another_type_are_named() -> None:
    with pytest.raises(ConfigError, match='space "sharp_darts": middle: expected int'):
        build(SPACES, {"name": "sharp_darts", "middle": "wide"})
