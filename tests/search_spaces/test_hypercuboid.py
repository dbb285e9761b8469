from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from nas.errors import SpaceError
from nas.language import Choice
from nas.layers import compile_network, infer_shape
from nas.search_spaces import SPACES, darts
from nas.search_spaces.hypercuboid import CHANNELS, OPERATIONS, Edge, edges, from_edges, space
from nas.space import enumerate_architectures, sample

SPACE = space()
TINY = space(channels=(4, 6), layers=1, last=5)
CONV, POOL = OPERATIONS


def test_is_registered() -> None:
    assert SPACES.get("hypercuboid") is space


@pytest.mark.parametrize(("channels", "layers"), [(CHANNELS, 4), ((4, 6), 1), ((2, 4, 8), 2)])
def test_size_is_that_of_its_formula(channels: tuple[int, ...], layers: int) -> None:
    size = len(channels) * (2 * len(channels)) ** (2 * layers)
    assert space(channels, layers).size() == size
    if channels == CHANNELS:
        assert size == 67_108_864


def test_an_option_is_a_width_and_an_operation() -> None:
    """Option o of a step leads to width o // 2 by operation o % 2."""
    derivation, rng, widths, taken = SPACE.start(), np.random.default_rng(0), [], []
    assert isinstance(derivation.choice, Choice)
    while derivation.site is not None:
        option = int(rng.integers(len(derivation.options)))
        assert len(derivation.options) == (8 if widths else 4)
        widths.append(CHANNELS[option // 2 if widths else option])
        taken.append(OPERATIONS[option % 2] if len(widths) > 1 else "stem")
        derivation = derivation.take(option)
    assert len(widths) == 9
    found = edges(derivation.architecture())
    assert found == [Edge(i // 2, 1 + i % 2, widths[i], widths[i + 1], taken[i + 1]) for i in range(8)]


def test_paths_and_architectures_are_the_same() -> None:
    found = [edges(architecture) for architecture in enumerate_architectures(TINY)]
    assert len({tuple(path) for path in found}) == len(found) == 32
    for architecture, path in zip(enumerate_architectures(TINY), found, strict=True):
        assert from_edges(TINY, path) == architecture
    rng = np.random.default_rng(1)
    for _ in range(20):
        architecture = sample(SPACE, rng)
        assert from_edges(SPACE, edges(architecture)) == architecture


def test_each_layer_halves_the_image() -> None:
    """A layer is a step of stride 1 and a step of stride 2."""
    path = [Edge(0, 1, 4, 6, CONV), Edge(0, 2, 6, 4, POOL)]
    network = compile_network(from_edges(TINY, path), (3, 9, 8), 10)
    shapes, x = [], torch.randn(2, 3, 9, 8)
    for module in network:  # type: ignore[attr-defined]
        x = module(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(4, 9, 8), (6, 9, 8), (4, 5, 4), (5, 5, 4), (10,)]


@pytest.mark.parametrize("image", [(1, 8, 8), (3, 32, 32), (1, 28, 28), (3, 1, 1)], ids=str)
def test_networks_fit_images_of_every_size_and_learn(image: tuple[int, int, int]) -> None:
    small, rng = space(channels=(4, 8), layers=3, last=6), np.random.default_rng(2)
    for _ in range(5):
        architecture = sample(small, rng)
        assert infer_shape(architecture, image, 10) == (10,)
        network = compile_network(architecture, image, 10)
        network(torch.randn(3, *image)).sum().backward()
        assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.parametrize(
    "path",
    [
        [],
        [Edge(0, 1, 4, 6, CONV), Edge(0, 2, 4, 4, POOL)],
        [Edge(0, 2, 4, 4, CONV), Edge(0, 1, 4, 4, POOL)],
        [Edge(1, 1, 4, 4, CONV), Edge(1, 2, 4, 4, POOL)],
        [Edge(0, 1, 4, 4, "relu"), Edge(0, 2, 4, 4, POOL)],
    ],
    ids=["empty", "gap", "order", "layer", "operation"],
)
def test_edges_that_are_no_path_are_refused(path: list[Edge]) -> None:
    with pytest.raises(SpaceError, match=r"^hypercuboid: edges of a path are expected, .*; got \["):
        from_edges(TINY, path)


@pytest.mark.parametrize(
    "path",
    [
        [Edge(0, 1, 4, 4, CONV)],
        [Edge(0, 1, 4, 5, CONV), Edge(0, 2, 5, 4, POOL)],
        [Edge(0, 1, 3, 4, CONV), Edge(0, 2, 4, 4, POOL)],
    ],
    ids=["short", "width", "stem"],
)
def test_paths_outside_the_space_are_refused(path: list[Edge]) -> None:
    with pytest.raises(SpaceError, match=r"^hypercuboid at .* expected; got ") as caught:
        from_edges(TINY, path)
    assert "\n" not in str(caught.value)


def test_edges_are_of_this_space_only() -> None:
    other = darts.from_genotype(darts.space(), darts.DARTS_V2)
    with pytest.raises(SpaceError, match=r"^hypercuboid: an architecture of this space is expected; got "):
        edges(other)


@pytest.mark.parametrize(
    "options",
    [
        {"channels": ()},
        {"channels": (8, 4)},
        {"channels": (4, 4)},
        {"channels": (0, 4)},
        {"channels": (4.0, 8.0)},
        {"channels": 32},
        {"layers": 0},
        {"last": 0},
    ],
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(SpaceError, match=r"^hypercuboid: channels is expected to be an ascending list"):
        space(**options)
