"""The probe takes networks apart; what it computes is what the compiled network computes."""

import numpy as np
import pytest
import torch

from hashing.network.values import Values
from nas.dsl import parse
from nas.operators import mutate, sample
from nas.term import Op, Term, children
from search_spaces import SPACES
from tests.hashing.network_kit import compiled_output, digest, walked_output

SMALL = {
    "nasbench201": {"channels": 4, "cells": 1},
    "darts": {"layers": 4, "channels": 4},
    "macro": {"width": 8},
    "deepconv": {"filters": (4, 6), "repeats": (1, 2)},
}


def networks(name: str, count: int, seed: int = 0) -> list[Term]:
    space, rng = SPACES.get(name)(**SMALL[name]), np.random.default_rng(seed)
    found = [sample(space, rng).network for _ in range(3 * count)]
    return [term for term in found if not has_dropout(term)][:count]  # one stream of masks for all of it


def has_dropout(term: Term) -> bool:
    return (isinstance(term, Op) and term.name == "dropout") or any(map(has_dropout, children(term)))


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("name", sorted(SMALL))
def test_the_parts_compute_what_the_compiled_network_computes(name, trained):
    for term in networks(name, 6):
        values = Values(24, "cpu")
        expected = compiled_output(term, values, trained=trained)
        torch.testing.assert_close(walked_output(term, values, trained), expected, rtol=1e-9, atol=1e-9)


PARTS = """
residual(conv(width=7, stride=2))
residual(flatten() >> linear(width=5)) >> relu()
concat(relu(), conv(width=2) >> concat(identity(), tanh()))
add(pointwise(width=4), conv(width=4, kernel=5) >> zero())
cell(node(zero(), inputs=(0,)), node(skip(), relu_conv_bn(), inputs=(0, 1)), width=6)
cell(node(skip(), max_pool_3x3(), inputs=(0, 1)), node(sep_conv()), inputs=2, output='concat', stride=2)
chain(repeat(cell(node(skip()), inputs=2), 2) >> cell(node(dil_conv()), inputs=2, stride=2), width=4)
stem(width=4) >> squeeze_excite(ratio=2) >> mbconv(stride=2) >> groupnorm(groups=2) >> layernorm() >> head()
"""


@pytest.mark.parametrize("text", PARTS.strip().splitlines())
def test_composites_compute_what_they_compile_to(text):
    values = Values(24, "cpu")
    expected = compiled_output(parse(text), values)
    torch.testing.assert_close(walked_output(parse(text), values), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_random_pairs_have_equal_digests_if_and_only_if_their_outputs_agree(name):
    """Actual outputs of compiled networks, under three draws of weights; mutants are likely to be equal."""
    space, rng = SPACES.get(name)(**SMALL[name]), np.random.default_rng(1)
    equal = 0
    for _ in range(12):
        first = sample(space, rng)
        while has_dropout(first.network):
            first = sample(space, rng)
        for _ in range(2):
            second = mutate(space, first, rng)
            if has_dropout(second.network) or first.network == second.network:
                continue
            same = digest(first.network) == digest(second.network)
            assert same == agree(first.network, second.network)
            equal += same
    assert equal < 24


def agree(first: Term, second: Term) -> bool:
    for salt in ("", "second draw", "third draw"):
        values = Values(24, "cpu")
        a, b = (compiled_output(term, values, salt) for term in (first, second))
        if a.shape != b.shape or not torch.allclose(a, b, rtol=1e-7, atol=1e-7):
            return False
    return True
