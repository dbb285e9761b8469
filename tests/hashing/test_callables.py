"""The hash of plain callables: activations, losses, gradients, and what cannot be hashed."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from nas.errors import ConfigError
from nas.hashing.callables import CallableHasher, Inputs
from nas.hashing.canonical import CanonicalHasher
from nas.language import parse
from nas.search_spaces.activation import ACTIVATIONS, KNOWN, compile_activation, space
from nas.search_spaces.nasbench201 import space as nasbench201
from nas.space import Architecture, mutate, sample
from tests.hashing.callable_kit import loss

SPACE, UNITS = space(), space(1)
HASHER = CallableHasher()
KIT = "tests.hashing.callable_kit:"


def digest(text, hasher=HASHER):
    hashed = hasher.hash(Architecture("activation", ACTIVATIONS, (), parse(text)))
    assert hashed.reason is None
    return hashed.digest


EQUAL = [
    ("mul(x(), sigmoid(x()))", "mul(sigmoid(x()), x())"),
    ("mul(x(), sigmoid(x()))", "gate(x(), x())"),
    ("add(x(), x())", "sub(scale(x(), beta=2.0), constant(beta=2.0))", False),
    ("add(x(), x())", "mul(x(), constant(beta=2.0))"),
    ("mul(x(), x())", "mul(abs(x()), abs(x()))"),
    ("maximum(x(), x())", "add(positive(x()), below(x()))"),
    ("sub(x(), x())", "mul(below(positive(mul(x(), x()))), x())"),
    ("sub(softplus(x()), positive(x()))", "sub(softplus(x()), maximum(x(), below(x())))", False),
    ("sub(tanh(x()), x())", "add(negative(x()), tanh(x()))"),
    ("bell(x(), constant(beta=2.0), beta=0.5)", "bell(constant(beta=2.0), x(), beta=0.5)"),
    ("add(sinh(x()), cosh(x()))", "mul(exp(x()), exp(sub(x(), x())))", False),  # they cancel at -30
]


@pytest.mark.parametrize("pair", EQUAL)
def test_functions_that_agree_have_one_digest(pair):
    first, second, *same = pair
    assert (digest(first) == digest(second)) == (not same)


def test_a_narrower_range_joins_what_cancels_at_its_ends():
    narrow = CallableHasher(low=-8.0, high=8.0)
    first, second, _ = EQUAL[-1]
    assert digest(first, narrow) == digest(second, narrow)


def test_bounds_beyond_the_usual_inputs_are_met():
    for first, second in (
        ("minimum(x(), constant(beta=20.0))", "minimum(x(), constant(beta=25.0))"),
        ("maximum(x(), constant(beta=-15.0))", "maximum(x(), x())"),
        ("mul(x(), tent(x(), constant(beta=0.1), beta=100.0))", "sub(x(), x())"),
    ):
        assert digest(first) != digest(second)


def test_large_results_hide_no_gradient():
    hasher = CallableHasher(gradient="differences")
    assert hasher.inputs.points == 512
    found = hasher._hashed(
        lambda x: np.exp(x) + np.where(np.abs(x) < 1, 1e-3 * x, 0.0), hasher.inputs.draw(None)
    )
    assert found != hasher._hashed(np.exp, hasher.inputs.draw(None))


def test_different_functions_have_different_digests():
    assert len({digest(text) for text in KNOWN.values()}) == len(KNOWN)
    for first, second in (
        ("minimum(x(), constant(beta=2.0))", "minimum(x(), x())"),
        ("mul(x(), sigmoid(x()))", "mul(x(), sigmoid(scale(x(), beta=2.0)))"),
        ("mul(x(), tanh(x()))", "mul(x(), erf(x()))"),
        ("add(x(), log(x()))", "add(x(), log(abs(mul(x(), x()))))"),
    ):
        assert digest(first) != digest(second)


@pytest.mark.parametrize("units", [UNITS, pytest.param(SPACE, marks=pytest.mark.slow)], ids=["one", "two"])
def test_activations_of_one_digest_agree_elsewhere(units):
    rng, classes = np.random.default_rng(0), defaultdict(dict)
    for _ in range(600):
        parent = sample(units, rng)
        for found in (parent, mutate(units, parent, rng)):
            classes[HASHER.hash(found).digest][found.text] = found
    x = np.random.default_rng(1).uniform(-7, 7, 200)
    shared = [list(members.values()) for members in classes.values() if len(members) > 1]
    assert len(shared) > 10
    for members in shared:
        values = [compile_activation(member)(x) for member in members]
        for other in values[1:]:
            np.testing.assert_allclose(other, values[0], rtol=1e-5, atol=1e-9)


@pytest.mark.slow
def test_equal_normal_forms_are_equal_functions():
    """The canonical hash joins nothing that the functional one tells apart."""
    rng, canonical, classes = np.random.default_rng(2), CanonicalHasher(), defaultdict(set)
    few = space(1, betas=[1.0])
    for _ in range(3000):
        found = sample(few, rng)
        classes[canonical.hash(found).digest].add((HASHER.hash(found).digest, found.text))
    several = [found for found in classes.values() if len(found) > 1]
    assert len(several) > 100
    assert all(len({value for value, _ in found}) == 1 for found in several)


LOSS = {"compile": KIT + "compile_loss", "arguments": KIT + "examples", "gradient": "autograd"}


def losses(**options):
    hasher = CallableHasher(**{**LOSS, **options})
    return {text: hasher.hash(loss(text)).digest for text in LOSS_TEXTS}


LOSS_TEXTS = ("mean(square())", "mean(by_parts())", "sum(square())", "mean(absolute())", "mean(logistic())")


@pytest.mark.parametrize("gradient", ["none", "autograd"])
def test_losses_of_tensors(gradient):
    found = losses(gradient=gradient)
    assert found["mean(square())"] == found["mean(by_parts())"]
    assert len(set(found.values())) == 4


def test_losses_of_arrays_by_differences():
    hasher = CallableHasher(compile=KIT + "compile_loss", arguments=2, gradient="differences", points=16)
    found = {text: hasher.hash(loss(text)).digest for text in LOSS_TEXTS[:4]}
    assert found["mean(square())"] == found["mean(by_parts())"]
    assert len(set(found.values())) == 3
    failed = hasher.hash(loss("mean(logistic())"))  # takes tensors only
    assert failed.digest is None
    assert failed.reason.startswith("TypeError: softplus")


def test_the_gradient_counts():
    """At one point two functions may agree, and their gradients not."""
    for name in ("none", "differences", "autograd"):
        hasher = CallableHasher(arguments="tests.hashing.test_callables:at_one", gradient=name)
        found = {digest(text, hasher) for text in ("mul(x(), x())", "add(x(), sub(x(), x()))")}
        assert len(found) == (1 if name == "none" else 2)


def at_one(seed):
    return (np.ones(4),)


UNHASHABLE = {
    "noisy()": "results of equal calls differ: hidden randomness or state",
    "counting()": "results of equal calls differ: hidden randomness or state",
    "failing()": "ZeroDivisionError: division by zero",
    "text()": "numbers or arrays of them are expected as results; got 'a number'",
    "nothing()": "at least one number is expected as a result",
}


@pytest.mark.parametrize("text", UNHASHABLE)
def test_what_cannot_be_hashed_has_a_reason(text):
    hashed = CallableHasher(compile=KIT + "compile_loss", arguments=2).hash(loss(text))
    assert hashed.digest is None
    assert hashed.reason.startswith(UNHASHABLE[text])


def test_a_callable_may_write_on_what_it_is_given():
    assert CallableHasher(compile=KIT + "compile_loss", arguments=2).hash(loss("square()")).digest


def test_a_space_without_callables_needs_the_option():
    network = sample(nasbench201(), np.random.default_rng(0))
    assert '"network" names no callable; give compile' in HASHER.hash(network).reason


def test_inputs_reach_both_ends_zero_and_small_values():
    (x,) = Inputs(arguments=1).draw(None)
    assert x.size == 512
    assert (x.min(), x.max()) == (-30.0, 30.0)
    assert (np.abs(x) < 3).sum() > 150
    assert 0.0 in x
    assert (np.abs(x[x != 0]) < 1e-2).any()
    first, second = Inputs(arguments=2).draw(None)
    assert not np.array_equal(first, second)


def test_options_are_part_of_the_digest():
    swish = KNOWN["swish"]
    options = ({}, {"bits": 10}, {"seed": 1}, {"points": 32}, {"high": 4.0}, {"gradient": "autograd"})
    assert len({digest(swish, CallableHasher(**each)) for each in options}) == len(options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 53}, "bits: expected a whole number from 1 to 52; got 53"),
        ({"gradient": "maybe"}, "gradient: expected one of none, differences, autograd; got 'maybe'"),
        ({"points": 0}, "points: expected a whole number of at least 1; got 0"),
        ({"arguments": 0}, "arguments: expected a whole number of at least 1; got 0"),
        ({"low": 1.0, "high": 1.0}, "low and high: expected finite numbers, low < high; got 1.0, 1.0"),
        ({"compile": "nowhere"}, 'compile: expected "module:function" or one of compile_network, '),
        ({"arguments": "nas.none:f"}, 'arguments: cannot import "nas.none"'),
    ],
)
def test_bad_options_are_refused_in_one_line(options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        CallableHasher(**options)
    assert "\n" not in str(caught.value)
