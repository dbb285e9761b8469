"""Rewrites that keep a network's meaning keep its digest; networks that differ differ."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.hashing.functional import FunctionalHasher
from nas.language import Op, Repeat, Seq, Term, parse, seq
from nas.search_spaces import SPACES
from nas.space import sample
from tests.hashing.probe.network_kit import digest, reason

CONV, POOL = "relu_conv_bn(kernel=3)", "avg_pool_3x3()"

EQUAL = {
    "identity": (f"{CONV} >> identity()", CONV),
    "commuted sum": (f"add({CONV}, tanh())", f"add(tanh(), {CONV})"),
    "nested sum": ("add(add(tanh(), conv()), relu())", "add(conv(), add(relu(), tanh()))"),
    "a branch of zeros": ("add(tanh(), conv() >> zero())", "tanh()"),
    "pooling distributes": (f"add(tanh(), {CONV}) >> {POOL}", f"add(tanh() >> {POOL}, {CONV} >> {POOL})"),
    "definitions": ("define(a >> a, a=conv())", "conv() >> conv()"),
    "repeats": ("repeat(conv() >> relu(), 2)", "conv() >> relu() >> conv() >> relu()"),
    "relu twice": ("conv() >> relu() >> relu()", "conv() >> relu()"),
    "primitives of one module": ("conv(kernel=1, width=5)", "pointwise(width=5)"),
    "a default written out": ("conv(kernel=3, stride=1)", "conv()"),
    "dead node": (
        f"cell(node({CONV}), node({POOL}), node(skip(), inputs=(0,)), output='last')",
        "cell(node(skip()), output='last')",
    ),
    "order of a node's edges": (
        f"cell(node({CONV}), node({CONV}, {POOL}, inputs=(0, 1)))",
        f"cell(node({CONV}), node({POOL}, {CONV}, inputs=(1, 0)))",
    ),
    "numbering of nodes": (
        f"cell(node({CONV}), node({POOL}), node(tanh(), relu(), inputs=(1, 2)))",
        f"cell(node({POOL}), node({CONV}), node(tanh(), relu(), inputs=(2, 1)))",
    ),
    "a cell that is an identity": (f"{CONV} >> cell(node(skip())) >> tanh()", f"{CONV} >> tanh()"),
    "which of two instances is which": (
        "add(conv() >> tanh(), conv() >> sigmoid(), relu())",
        "add(relu(), conv() >> sigmoid(), conv() >> tanh())",
    ),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equal_functions_have_equal_digests(name):
    first, second = EQUAL[name]
    assert digest(first) == digest(second)


DIFFERENT = {
    "relu and relu6": ("conv() >> batchnorm() >> relu()", "conv() >> batchnorm() >> relu6()"),
    "relu and relu6 of the image": ("relu()", "relu6()"),
    "activations": ("gelu()", "silu()"),
    "kernels": ("conv(kernel=3)", "conv(kernel=5)"),
    "dilations": ("conv(kernel=3)", "conv(kernel=3, dilation=2)"),
    "bias": ("conv()", "conv(bias=False)"),
    "pooling": ("max_pool_3x3()", "avg_pool_3x3()"),
    "pooling and identity": ("avg_pool_3x3()", "identity()"),
    "twice and once": ("add(identity(), identity())", "identity()"),
    "order": ("conv() >> relu()", "relu() >> conv()"),
    "order of a concatenation": ("concat(relu(), tanh())", "concat(tanh(), relu())"),
    "dropout rates": ("dropout(rate=0.5)", "dropout(rate=0.1)"),
    "one dropout mask and two": ("DROP >> add(identity(), identity())", "add(DROP, DROP)"),
    "one convolution twice and two": (f"{CONV} >> add(identity(), identity())", f"add({CONV}, {CONV})"),
    "who shares with whom": (
        "cell(node(CONV), node(CONV, zero(), inputs=(0, 1)), "
        "node(tanh(), sigmoid(), relu(), inputs=(1, 1, 2)))",
        "cell(node(CONV), node(CONV, zero(), inputs=(0, 1)), "
        "node(tanh(), sigmoid(), relu(), inputs=(1, 2, 2)))",
    ),
    "two pairs": (
        "add(CONV >> add(tanh(), relu()), CONV >> add(gelu(), silu()))",
        "add(CONV >> add(tanh(), gelu()), CONV >> add(relu(), silu()))",
    ),
    "depth": ("repeat(CONV, 2)", "repeat(CONV, 3)"),
    "cells in another order": (
        "cell(node(CONV)) >> cell(node(avg_pool_3x3()))",
        "cell(node(avg_pool_3x3())) >> cell(node(CONV))",
    ),
    "one cell twice and two cells": (
        "cell(node(CONV)) >> add(tanh(), relu())",
        "add(cell(node(CONV)) >> tanh(), cell(node(CONV)) >> relu())",
    ),
    "layers with one shape of output": ("conv() >> batchnorm() >> relu()", "conv() >> relu() >> batchnorm()"),
    "number of pools": ("avg_pool_3x3() >> avg_pool_3x3()", "avg_pool_3x3()"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_functions_have_different_digests(name):
    first, second = (
        text.replace("CONV", CONV).replace("DROP", "dropout(rate=0.5)") for text in DIFFERENT[name]
    )
    assert digest(first) != digest(second)


@pytest.mark.parametrize(
    ("options", "first", "second"),
    [
        ({"zero": "initial"}, f"add(tanh(), zero() >> {CONV})", "tanh()"),
        ({"scale": "removed"}, f"add(identity(), identity()) >> {CONV}", CONV),
    ],
)
def test_switches_say_what_counts_as_equal(options, first, second):
    assert digest(first, **options) == digest(second, **options)
    assert digest(first) != digest(second)


def test_scale_counts_where_nothing_normalises_it():
    twice = "add(identity(), identity()) >> conv()"
    assert digest(twice, scale="removed") != digest("conv()", scale="removed")


def test_learnt_constants_are_constants_whatever_the_kernel():
    constant = "add(tanh(), zero() >> relu_conv_bn(kernel={}))"
    assert digest(constant.format(1)) == digest(constant.format(3)) != digest("tanh()")
    chained = "add(tanh(), zero() >> relu_conv_bn(kernel=3) >> relu_conv_bn(kernel={}))"
    assert digest(chained.format(1)) == digest(constant.format(1))
    assert digest(chained.format(3)) != digest(constant.format(1))


PARTS = st.sampled_from([CONV, POOL, "conv()", "tanh()", "max_pool_3x3()", "sep_conv()", "batchnorm()"]).map(
    parse
)
TERMS = st.recursive(
    PARTS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: seq(*parts)),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Op("add", tuple(parts))),
        inner.map(lambda body: Op("residual", (body,))),
    ),
    max_leaves=5,
)


def rewritten(term: Term, draw: np.random.Generator) -> Term:
    """The same function, written in another way."""
    match term:
        case Seq(parts):
            term = seq(*(rewritten(part, draw) for part in parts))
        case Op("add", args):
            args = [rewritten(args[i], draw) for i in draw.permutation(len(args))]
            if draw.random() < 0.3:
                args.append(seq(args[0], parse("zero()")))
            if draw.random() < 0.3 and len(args) > 2:
                args = [Op("add", tuple(args[:2])), *args[2:]]
            term = Op("add", tuple(args))
        case Op("residual", (body,)):
            same = [parse("identity()"), rewritten(body, draw)]
            term = Op("add", tuple(same[i] for i in draw.permutation(2)))
    if draw.random() < 0.2:
        term = seq(term, parse("identity()"))
    return Repeat(term, 1, 1) if draw.random() < 0.2 else term


@given(TERMS, st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_rewrites_that_keep_the_meaning_keep_the_digest(term, seed):
    assert digest(rewritten(term, np.random.default_rng(seed))) == digest(term)


def test_a_digest_says_its_kind_version_and_bits():
    kind, version, bits, value = digest("conv()", bits=30).split(":")
    assert (kind, version, bits, len(value)) == ("network", "2", "30", 32)
    assert digest("conv()", zero="initial", scale="removed").startswith("network+zero=initial+scale=removed:")


def test_digests_do_not_depend_on_what_was_hashed_before():
    space = SPACES.get("nasbench201")(channels=4, cells=1)
    rng = np.random.default_rng(0)
    architectures = [sample(space, rng) for _ in range(40)]
    one = FunctionalHasher()
    forward = [one.hash(each).digest for each in architectures]
    other = FunctionalHasher()
    assert [other.hash(each).digest for each in reversed(architectures)] == forward[::-1]
    assert [FunctionalHasher().hash(each).digest for each in architectures[:5]] == forward[:5]


@pytest.mark.slow
def test_digests_do_not_depend_on_the_number_of_threads():
    space = SPACES.get("darts")(layers=3, channels=4)
    architectures = [sample(space, np.random.default_rng(seed)) for seed in range(3)]
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            hasher = FunctionalHasher()
            found.append([hasher.hash(each).digest for each in architectures])
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


def test_the_global_random_state_is_left_as_it_was():
    before = torch.random.get_rng_state()
    digest("conv() >> dropout(rate=0.5)")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_maps_have_three_pixels_a_side_at_the_deepest_stage():
    """At 1x1 every pooling would be the identity."""
    deep = "repeat(conv(stride=2), 4) >> {}"
    assert digest(deep.format("avg_pool_3x3()")) != digest(deep.format("identity()"))


def test_a_network_that_does_not_compile_is_unhashable():
    assert "expected" in (reason("add(conv(width=2), conv(width=4))") or "")
