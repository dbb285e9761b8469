"""The space of activation functions: size, what its functions compute, and known activations."""

import math
import pickle

import numpy as np
import pytest
import torch

from nas.errors import CompileError, SpaceError
from nas.search_spaces import SPACES
from nas.search_spaces.activation import ACTIVATIONS, EPS, KNOWN, compile_activation, space
from nas.space import SearchSpace, enumerate_architectures, sample

X = np.linspace(-6.0, 6.0, 41)
LAYERS = {
    "mul(x(), sigmoid(x()))": torch.nn.SiLU(),
    "maximum(x(), sub(x(), x()))": torch.nn.ReLU(),
    "mul(x(), tanh(softplus(x())))": torch.nn.Mish(),
    "add(x(), negative(tanh(x())))": torch.nn.Tanhshrink(),
    "minimum(positive(x()), constant(beta=6.0))": torch.nn.ReLU6(),
}
# by torch's own functions: Swish as torch.nn.functional has it, the others from their formulas
PUBLISHED = {
    "swish": torch.nn.functional.silu,
    "max_sigmoid": lambda x: torch.maximum(x, torch.nn.functional.sigmoid(x)),
    "cos_minus": lambda x: torch.cos(x) - x,
    "min_sin": lambda x: torch.minimum(x, torch.sin(x)),
    "max_tanh": lambda x: torch.maximum(x, torch.nn.functional.tanh(x)),
    "sinc_plus": lambda x: torch.where(x == 0, 1.0, torch.sin(x) / x) + x,
}
UNARY = {
    "negative": lambda x: -x, "abs": abs, "square": lambda x: x * x, "cube": lambda x: x**3,
    "sqrt": lambda x: math.sqrt(abs(x)), "log": lambda x: math.log(abs(x) + EPS), "exp": math.exp,
    "sin": math.sin,
    "cos": math.cos, "sinh": math.sinh, "cosh": math.cosh, "tanh": math.tanh, "arcsinh": math.asinh,
    "arctan": math.atan, "sinc": lambda x: math.sin(x) / x if x else 1.0, "positive": lambda x: max(x, 0.0),
    "below": lambda x: min(x, 0.0), "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "softplus": lambda x: math.log(1 + math.exp(x)), "gaussian": lambda x: math.exp(-x * x), "erf": math.erf,
}  # fmt: skip
BINARY = {
    "add": lambda x, y: x + y, "mul": lambda x, y: x * y, "sub": lambda x, y: x - y,
    "div": lambda x, y: x / (y + EPS),
    "maximum": max, "minimum": min, "gate": lambda x, y: y / (1 + math.exp(-x)),
    "bell": lambda x, y: math.exp(-0.5 * (x - y) ** 2), "tent": lambda x, y: math.exp(-0.5 * abs(x - y)),
    "blend": lambda x, y: 0.5 * x + 0.5 * y,
}  # fmt: skip
WITH_BETA = ("bell", "tent", "blend")


def function(text):
    """Of any expression of the vocabulary."""
    return compile_activation(SearchSpace("one", text, vocabulary=ACTIVATIONS).parse(text))


def test_is_registered_with_the_size_of_its_formula():
    assert SPACES.get("activation") is space

    def size(depth, n):
        unary, binary = 22 + 2 * n, 7 + 3 * n
        return binary * (unary * (1 + (size(depth - 1, n) if depth > 1 else 0)) + n) ** 2

    assert space().size() == size(2, 2) == 913_062_805_200
    assert space(1).size() == size(1, 2) == 10_192
    assert space(3, betas=[1.0]).size() == size(3, 1)
    few = space(1, betas=[1.0])
    assert len({found.text for found in enumerate_architectures(few)}) == few.size() == size(1, 1)


@pytest.mark.parametrize("name", KNOWN)
def test_known_activations_are_units(name):
    assert space(1).parse(KNOWN[name]).text == KNOWN[name]


@pytest.mark.parametrize("name", KNOWN)
def test_known_activations_compute_what_is_published(name):
    expected = PUBLISHED[name](torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(function(KNOWN[name])(X), expected, rtol=1e-12, atol=1e-12)
    assert set(PUBLISHED) == set(KNOWN)


@pytest.mark.parametrize("text", LAYERS)
def test_known_activations_are_those_of_torch(text):
    expected = LAYERS[text](torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(function(text)(X), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(function(text)(torch.from_numpy(X)).numpy(), expected, rtol=1e-12, atol=1e-12)


def test_every_function_is_checked_below():
    assert {"x", "constant", "scale", "shift", *UNARY, *BINARY} == set(ACTIVATIONS.names())


def test_functions_are_what_their_names_say():
    texts = {f"{name}(x())": UNARY[name] for name in UNARY}
    for name, compute in BINARY.items():
        beta = ", beta=0.5" if name in WITH_BETA else ""
        texts[f"{name}(x(), sin(x()){beta})"] = lambda x, compute=compute: compute(x, math.sin(x))
    texts["scale(x(), beta=2.0)"] = lambda x: 2 * x
    texts["shift(x(), beta=2.0)"] = lambda x: x + 2
    texts["add(x(), constant(beta=2.0))"] = lambda x: x + 2
    for text, compute in texts.items():
        expected = [compute(float(x)) for x in X]
        np.testing.assert_allclose(function(text)(X), expected, rtol=1e-9, atol=1e-12, err_msg=text)
        np.testing.assert_allclose(
            function(text)(torch.from_numpy(X)).numpy(), expected, rtol=1e-9, atol=1e-12, err_msg=text
        )


def test_activations_train_inside_a_network():
    torch.manual_seed(0)
    weights = torch.nn.Linear(3, 4)
    out = function(KNOWN["swish"])(weights(torch.ones(2, 3)))
    assert out.dtype == torch.float32
    out.sum().backward()
    assert weights.weight.grad.abs().sum() > 0


def test_random_activations_agree_in_numpy_and_torch():
    rng, units = np.random.default_rng(0), space()
    for _ in range(100):
        found = pickle.loads(pickle.dumps(compile_activation(sample(units, rng))))
        np.testing.assert_allclose(
            found(X), found(torch.from_numpy(X)).numpy(), rtol=1e-6, atol=1e-9, err_msg=str(found)
        )
    assert float(found(0.5)) == found(np.array([0.5]))[0] or math.isnan(float(found(0.5)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "expected depth to be an integer in 1"),
        ({"betas": []}, r"betas is expected .* got \[\]"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(SpaceError, match=message):
        space(**options)


def test_other_expressions_do_not_compile():
    with pytest.raises(CompileError, match=r"activation: an activation function is expected; got empty\(\)"):
        compile_activation(SearchSpace("other", "empty()", vocabulary=ACTIVATIONS).parse("empty()"))
