"""Activations that differ keep networks apart, unless what they receive makes them equal."""

import itertools

import pytest

from nas.hashing.functional import FunctionalHasher
from nas.layers import NETWORK
from tests.hashing.probe.network_kit import digest

ACTIVATIONS = ("identity", "relu", "relu6", "gelu", "silu", "sigmoid", "tanh", "hardswish")
EQUAL_AFTER = {  # what the range of a primitive makes equal
    "sigmoid": {"identity", "relu", "relu6"},
    "tanh": {"relu", "relu6"},
    "relu": {"identity", "relu"},
    "relu6": {"identity", "relu", "relu6"},
}
GIVEN = {
    "linear": "global_pool() >> linear(width=8)",
    "groupnorm": "groupnorm(groups=2)",
    "stem": "stem(width=8)",
}
LAYERS = [p.name for p in NETWORK if p.arity == (0, 0) and p.name != "zero"]
SEQUENCES = (
    "avg_pool_3x3() >> avg_pool_3x3()",
    "relu_conv_bn() >> avg_pool_3x3()",
    "relu_conv_bn() >> global_pool()",
    "sigmoid() >> conv(bias=False)",
    "tanh() >> depthwise(bias=False)",
    "silu() >> avgpool()",
    "global_pool() >> linear(width=16) >> relu() >> linear(width=10)",
    "repeat(conv(), 8)",
    "repeat(relu_conv_bn(), 8)",
    "repeat(sep_conv(), 3) >> avg_pool_3x3()",
    "repeat(mbconv(), 3)",
    "conv(width=2) >> global_pool()",
    "cell(node(avg_pool_3x3()))",
    "cell(node(relu_conv_bn()))",
)


def after(name: str) -> str:
    return "conv(width=8) >> " + GIVEN.get(name, f"{name}({'rate=0.3' if name == 'dropout' else ''})")


def digests(before: str, zero: str) -> dict[str, str]:
    hasher = FunctionalHasher(zero=zero)
    return {name: digest(f"{before} >> {name}()", hasher=hasher) for name in ACTIVATIONS}


@pytest.mark.parametrize("zero", ["trained", "initial"])
@pytest.mark.parametrize("name", LAYERS)
def test_activations_are_told_apart_after_every_primitive(name, zero):
    found, equal = digests(after(name), zero), EQUAL_AFTER.get(name, set())
    for first, second in itertools.combinations(ACTIVATIONS, 2):
        same = first in equal and second in equal
        assert (found[first] == found[second]) == same, (first, second)


@pytest.mark.parametrize("zero", ["trained", "initial"])
@pytest.mark.parametrize("before", SEQUENCES)
def test_activations_are_told_apart_where_values_are_small_or_averaged(before, zero):
    assert len(set(digests(before, zero).values())) == len(ACTIVATIONS)


def test_activations_inside_cells_are_told_apart():
    found = {digest(f"cell(node(avg_pool_3x3() >> {name}()))") for name in ACTIVATIONS}
    assert len(found) == len(ACTIVATIONS)


def test_few_features_are_seen_on_more_examples():
    """Two features of four images are eight numbers, none of which need be where two activations differ."""
    found = {digest(f"global_pool() >> linear(width=2) >> {name}()") for name in ACTIVATIONS}
    assert len(found) == len(ACTIVATIONS)
