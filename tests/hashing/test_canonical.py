"""The canonical hasher: one digest for all notations, two for what differs; forms compute the same."""

from __future__ import annotations

import zlib
from collections import defaultdict
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import CompileError, ConfigError
from nas.hashing.audit.symbolic import SymbolicHasher
from nas.hashing.canonical import CanonicalHasher, normal_form
from nas.hashing.digests import settings_digest
from nas.language import Primitive, parse
from nas.layers import NETWORK, compile_network
from nas.search_spaces import SPACES
from nas.space import Architecture, enumerate_architectures, sample
from tests.hashing.probe.network_rewriting import rewritten

HASHER = CanonicalHasher()
SEEDS = st.integers(0, 2**32 - 1)
IMAGE, CLASSES = (3, 16, 16), 10
SMALL = {
    "nasbench201": {"channels": 4, "cells": 1},
    "darts": {"channels": 4, "layers": 3},
    "macro": {"width": 8},
    "deepconv": {"filters": [4, 6], "repeats": [1, 2]},
}


@cache
def space_of(name):
    return SPACES.get(name)(**SMALL[name])


def of_text(text, vocabulary=NETWORK):
    return Architecture("test", vocabulary, (), parse(text))


def digest(architecture):
    hashed = HASHER.hash(architecture)
    assert hashed.reason is None
    return hashed.digest


def form(text):
    return str(normal_form(parse(text), NETWORK))


FORMS = {
    "identity() >> relu() >> identity()": "relu()",
    "empty()": "identity()",
    "relu() >> relu()": "relu()",
    "repeat(conv(width=4) >> repeat(relu(), 2), 2)": "conv(width=4) >> relu() >> conv() >> relu()",
    "conv(kernel=3, stride=1, bias=True)": "conv()",
    "maxpool(kernel=3, stride=3)": "maxpool(kernel=3)",
    "dropout(rate=0) >> dropout(rate=1)": "dropout(rate=1.0)",
    "add(relu(), add(gelu(), add(conv())))": "add(conv(), gelu(), relu())",
    "add(conv(), conv())": "add(conv(), conv())",
    "add(identity(), zero(), skip())": "add(identity(), identity())",
    "add(zero(), conv(width=8))": "add(conv(width=8), zero())",
    "add(zero(stride=2), avgpool(padding='same'))": "avgpool(padding='same')",
    "add(zero(), zero())": "zero()",
    "conv() >> zero() >> relu()": "zero()",
    "conv(stride=2) >> zero()": "conv(stride=2) >> zero()",
    "zero() >> conv()": "zero() >> conv()",
    "concat(relu(), concat(conv(), relu()))": "concat(relu(), conv(), relu())",
    "define(add(a, b), a=conv(), b=a >> relu())": "add(conv(), conv() >> relu())",
    "residual(identity())": "residual(identity())",
    # a cell without dead nodes, zeros, and nodes that only hand on
    "cell(node(conv(), inputs=(0,)), node(skip(), inputs=(1,)), node(zero(), relu(), inputs=(0, 2)))":
        "cell(node(conv(), inputs=(0,)), node(relu(), inputs=(1,)))",
    "cell(node(conv(), inputs=(0,)), node(relu(), inputs=(0,)))": "cell(node(relu(), inputs=(0,)))",
    "cell(node(conv(), relu(), inputs=(0, 0)), node(skip(), gelu(), inputs=(1, 0)))":
        "cell(node(conv(), gelu(), relu(), inputs=(0, 0, 0)))",
    # one that is read twice stays
    "cell(node(conv(), inputs=(0,)), node(skip(), relu(), inputs=(1, 1)))":
        "cell(node(conv(), inputs=(0,)), node(identity(), relu(), inputs=(1, 1)))",
    # in a reduction cell a skip is an operation, and strides belong to the edges from its inputs
    "cell(node(skip(), inputs=(0,)), node(skip(), conv(), inputs=(1, 0)), stride=2)":
        "cell(node(conv(stride=2), skip(stride=2), inputs=(0, 0)), stride=2)",
    "cell(node(conv(width=8) >> conv(), inputs=(0,)), stride=2, width=8)":
        "cell(node(conv(stride=2) >> conv(stride=1), inputs=(0,)), stride=2, width=8)",
    # in a chain every step counts: cells read the two outputs before them
    "chain(identity() >> add(relu()) >> cell(node(skip()), inputs=2) >> add(conv() >> gelu()), width=4)":
        "chain(identity() >> relu() >> cell(node(identity(), inputs=(0,)), inputs=2)"
        " >> add(conv() >> gelu()), width=4)",
}  # fmt: skip


@pytest.mark.parametrize("text", FORMS)
def test_forms_worked_out_by_hand(text):
    assert form(text) == FORMS[text]
    assert form(FORMS[text]) == FORMS[text]


DIFFERENT = [
    ("conv()", "conv(bias=False)"),
    ("conv(kernel=3)", "conv(kernel=5)"),
    ("conv()", "conv() >> conv()"),
    ("conv() >> relu()", "relu() >> conv()"),
    ("add(conv(), conv())", "conv()"),
    ("add(conv(), identity())", "residual(conv(stride=2))"),
    ("concat(conv(), relu())", "concat(relu(), conv())"),
    ("concat(relu(), relu())", "concat(relu())"),
    ("relu()", "relu6()"),
    ("add(zero(), conv(width=8))", "conv(width=8)"),
    ("zero()", "zero(stride=2)"),
    ("skip(stride=2)", "factorized_reduce()"),
    ("batchnorm() >> relu()", "relu() >> batchnorm()"),
    ("dropout(rate=0.1)", "dropout(rate=0.2)"),
    # one convolution used twice is not two of them
    (
        "cell(node(conv(), inputs=(0,)), node(relu(), gelu(), inputs=(1, 1)))",
        "cell(node(conv(), inputs=(0,)), node(conv(), inputs=(0,)), node(relu(), gelu(), inputs=(1, 2)))",
    ),
    # which of two equal convolutions is read a second time, by what
    (
        "cell(node(conv()), node(conv()), node(relu(), gelu(), tanh(), inputs=(1, 2, 1)))",
        "cell(node(conv()), node(conv()), node(relu(), gelu(), tanh(), inputs=(1, 2, 2)))",
    ),
    ("cell(node(skip(), inputs=(0,)))", "cell(node(skip(), inputs=(0,)), stride=2)"),
    (
        "cell(node(relu(), inputs=(0,)), node(gelu(), inputs=(0,)), output='concat')",
        "cell(node(gelu(), inputs=(0,)), node(relu(), inputs=(0,)), output='concat')",
    ),
    ("cell(node(relu(), inputs=(0,)), inputs=2)", "cell(node(relu(), inputs=(1,)), inputs=2)"),
    # an identity between two cells of a chain changes what the second reads
    (
        "chain(cell(node(skip()), inputs=2) >> cell(node(skip()), inputs=2), width=4)",
        "chain(cell(node(skip()), inputs=2) >> identity() >> cell(node(skip()), inputs=2), width=4)",
    ),
]


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_what_differs_keeps_two_digests(first, second):
    assert digest(of_text(first)) != digest(of_text(second))


@pytest.mark.parametrize("name", SMALL)
@settings(max_examples=40)
@given(seed=SEEDS)
def test_rewritings_of_networks_keep_the_digest(name, seed):
    rng = np.random.default_rng(seed)
    architecture = sample(space_of(name), rng)
    again = Architecture(name, NETWORK, (), rewritten(architecture.term, rng))
    assert normal_form(again.network, NETWORK) == normal_form(architecture.network, NETWORK)
    assert HASHER.hash(again) == HASHER.hash(architecture)


def filled(network):
    """The network with weights that depend on their shape and kind only, ready for evaluation."""
    with torch.no_grad():
        for name, weight in [*network.named_parameters(), *network.named_buffers()]:
            if weight.is_floating_point():
                kind = f"{name.rpartition('.')[2]} {tuple(weight.shape)}"
                draws = torch.Generator().manual_seed(zlib.crc32(kind.encode()))
                weight.copy_(0.5 + torch.rand(weight.shape, generator=draws, dtype=torch.float64))
    return network.double().eval()


def behaviour(term):
    """Outputs, and how many weights have a gradient."""
    network = filled(compile_network(term, IMAGE, CLASSES))
    images = torch.randn(2, *IMAGE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    out = network(images)
    (out / out.detach().abs().max()).square().sum().backward()
    read = [weight for weight in network.parameters() if weight.grad is not None and weight.grad.any()]
    return out.detach(), sum(weight.numel() for weight in read)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_forms_compute_what_the_networks_compute(name):
    rng, compiled = np.random.default_rng(0), 0
    for _ in range(12):
        network = sample(space_of(name), rng).network
        try:
            out, weights = behaviour(network)
        except CompileError:
            continue
        again, same_weights = behaviour(normal_form(network, NETWORK))
        torch.testing.assert_close(again, out, rtol=1e-9, atol=1e-9)
        assert same_weights == weights
        compiled += 1
    assert compiled > 2


def test_cells_of_one_form_compute_the_same():
    """Of NAS-Bench-201, where a tenth of random cells shares its form with another one."""
    rng, classes = np.random.default_rng(0), defaultdict(dict)
    for _ in range(800):
        architecture = sample(space_of("nasbench201"), rng)
        classes[digest(architecture)][architecture.text] = architecture
    shared = [list(members.values()) for members in classes.values() if len(members) > 1]
    assert len(shared) > 40
    for first, second, *_ in shared[:12]:
        (out, weights), (again, same_weights) = behaviour(first.network), behaviour(second.network)
        torch.testing.assert_close(again, out, rtol=1e-9, atol=1e-9)
        assert same_weights == weights


@pytest.mark.slow
def test_no_form_joins_cells_that_algebra_tells_apart():
    """All 15,625 cells of NAS-Bench-201; the benchmark's authors count 6,466 up to isomorphism."""
    readings, classes = [SymbolicHasher(zero=zero) for zero in ("initial", "trained")], defaultdict(set)
    for architecture in enumerate_architectures(space_of("nasbench201")):
        classes[digest(architecture)].add(tuple(exact.hash(architecture).digest for exact in readings))
    assert len(classes) == 6055
    assert {len(found) for found in classes.values()} == {1}


def test_training_settings_have_a_digest_of_their_own():
    first = of_text("train(conv() >> identity() >> head(), lr=0.1, momentum=0.9)")
    same = of_text("train(identity() >> conv() >> head(), momentum=0.9, lr=0.1)")
    other = of_text("train(conv() >> head(), lr=0.2, momentum=0.9)")
    assert HASHER.hash(first) == HASHER.hash(same)
    assert HASHER.hash(first).digest == HASHER.hash(other).digest == digest(of_text("conv() >> head()"))
    assert HASHER.hash(first).settings != HASHER.hash(other).settings
    assert HASHER.hash(of_text("conv()")).settings == ""

    def settings_of(text):
        return settings_digest(parse(text))

    assert settings_of("train(conv(), lr=1)") == settings_of("train(conv(), lr=1.0)")
    # a default that is written out is not one that is left to the evaluator
    assert settings_of("train(conv(), lr=0.1)") != settings_of("train(conv(), flip=False, lr=0.1)")
    assert settings_of("define(train(conv(), lr=a), a=0.5)") == settings_of("train(conv(), lr=0.5)")


def test_drop_path_keeps_sums_as_they_are_dropped():
    nested, flat = of_text("add(identity(), add(conv(), relu()))"), of_text("add(identity(), conv(), relu())")
    strict = CanonicalHasher(drop_path=True)
    assert digest(nested) == digest(flat)
    assert strict.hash(nested).digest != strict.hash(flat).digest
    plain = (of_text("add(gelu(), add(conv(), relu()))"), of_text("add(relu(), conv(), gelu())"))
    assert len({strict.hash(each).digest for each in plain}) == 1
    with pytest.raises(ConfigError, match="drop_path: expected true or false; got 1"):
        CanonicalHasher(drop_path=1)  # type: ignore[arg-type]


def test_primitives_of_ones_own_are_left_as_they_are():
    own = NETWORK.extended("own", Primitive("twice", arity=(1, 1)), Primitive("noise"))
    first = of_text("twice(identity() >> relu()) >> noise() >> identity()", own)
    assert str(normal_form(first.term, own)) == "twice(identity() >> relu()) >> noise()"
    assert digest(first) != digest(of_text("twice(relu()) >> noise()", own))


REASONS = {
    "nothing() >> relu()": 'primitive "nothing" is not in the vocabulary',
    "cell(relu())": r"node\(\.\.\.\) is expected",
    "cell(node(relu(), inputs=(3,)))": "the values they read are expected",
    "node(relu(), inputs=(0,))": '"node" is expected elsewhere',
    "1": "a network is expected; got 1",
}


@pytest.mark.parametrize("text", REASONS)
def test_what_has_no_form_has_a_reason(text):
    hashed = HASHER.hash(of_text(text))
    assert hashed.digest is None
    with pytest.raises(CompileError, match=REASONS[text]):
        normal_form(parse(text), NETWORK)
    assert "\n" not in (hashed.reason or "")


def test_texts_do_not_explode():
    doubled = ", ".join(f"p{i}=concat(p{i - 1}, conv() >> p{i - 1})" for i in range(1, 40))
    assert "at most 50,000 operations" in HASHER.hash(of_text(f"define(p39, p0=conv(), {doubled})")).reason
    assert digest(of_text("repeat(conv() >> relu(), 1000)"))
