"""Networks of every space of images can be traced, scripted and exported, and compute the same then."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nas.language import parse
from nas.layers import compile_network, set_drop_path
from nas.search_spaces import SPACES
from nas.space import sample

SHAPE, CLASSES = (3, 16, 16), 5
SMALL: dict[str, dict[str, Any]] = {
    "nasbench201": {"channels": 4, "cells": 1},
    "darts": {"channels": 4, "layers": 3},
    "sharp_darts": {"channels": 4, "layers": 3},
    "hypercuboid": {"channels": [4, 8], "layers": 2, "last": 8},
    "deepconv": {"filters": [4], "repeats": [1, 2]},
    "macro": {"width": 4},
}
NO_NETWORKS = ("update_rule", "activation")
COMPOSITES = (
    "residual(identity()) >> head()",
    "residual(conv(kernel=3, width=8, stride=2) >> relu()) >> head()",
    "residual(conv(kernel=1, width=2)) >> head()",
    "residual(global_pool()) >> head()",
    "residual(flatten() >> linear(width=1000)) >> head()",
    "global_pool() >> residual(linear(width=5)) >> head()",
    "add(identity(), conv(kernel=3), relu()) >> head()",
    "add(relu(), gelu()) >> head()",
    "concat(identity(), conv(kernel=3)) >> head()",
    'cell(node(conv(kernel=3), inputs=(0,)), node(skip(), zero(), inputs=(0, 1)), inputs=2, output="concat") '
    ">> head()",
    'avgpool(kernel=2, stride=1, padding="same") >> maxpool(kernel=2, padding="same") >> squeeze_excite() '
    ">> dropout(rate=0.5) >> head()",
    "mbconv(squeeze_excite=True) >> mbconv(stride=2) >> factorized_reduce(width=6) >> head()",
)
WAYS: dict[str, Callable[[nn.Module, torch.Tensor], Any]] = {
    "fx": lambda network, images: torch.fx.symbolic_trace(network),
    "script": lambda network, images: torch.jit.script(network),
    "export": lambda network, images: torch.export.export(network, (images,)).module(),
}


def networks() -> Iterator[Any]:
    for name in SMALL:
        for seed in (0, 1):
            architecture = sample(SPACES.get(name)(**SMALL[name]), np.random.default_rng(seed))
            marks = [pytest.mark.slow] * bool(seed)
            yield pytest.param(architecture, id=f"{name}-{seed}", marks=marks)
    for text in COMPOSITES:
        yield pytest.param(parse(text), id=text[:40])


def test_the_suite_has_every_space_of_images() -> None:
    assert set(SPACES.names()) == set(SMALL) | set(NO_NETWORKS)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("architecture", list(networks()))
def test_networks_are_traced_with_equal_outputs(architecture: Any, way: str) -> None:
    network = compile_network(architecture, SHAPE, CLASSES).eval()
    images = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, on the age of its tools
        traced = WAYS[way](network, images)
    with torch.no_grad():
        assert torch.equal(traced(images), network(images))


def test_a_traced_network_takes_batches_of_any_size_and_keeps_the_names_of_its_weights() -> None:
    network = compile_network(parse(COMPOSITES[1]), SHAPE, CLASSES).eval()
    traced = torch.fx.symbolic_trace(network)
    for size in (1, 3):
        images = torch.randn(size, *SHAPE)
        assert torch.equal(traced(images), network(images))
    assert list(traced.state_dict()) == list(network.state_dict())


def test_identities_are_not_dropped_and_what_is_beside_them_is() -> None:
    images = torch.ones(64, *SHAPE)
    for text, expected in (
        ("add(identity(), identity())", {2.0}),
        ("residual(identity())", {2.0}),
        ("add(identity(), relu())", {1.0, 3.0}),
        ("residual(relu())", {1.0, 3.0}),
        ("add(relu(), relu())", {2.0}),
    ):
        network = compile_network(parse(text), SHAPE, None).train()
        set_drop_path(network, 0.5)
        assert set(network(images).flatten().tolist()) == expected, text
