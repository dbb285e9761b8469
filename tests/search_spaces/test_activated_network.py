import pytest
import torch

from nas.errors import CompileError
from nas.search_spaces import activation
from nas.search_spaces.activated_network import compile_network
from nas.space import SearchSpace

SPACE = activation.space()


def test_it_has_the_function_after_each_of_three_layers():
    network = compile_network(SPACE.parse("mul(x(), sigmoid(x()))"), (1, 7, 9), 5)
    x = torch.randn(3, 1, 7, 9)
    layers = list(network)
    expected = x
    for layer in layers:
        expected = (
            torch.nn.functional.silu(expected) if type(layer).__name__ == "Activated" else layer(expected)
        )
    assert sum(type(layer).__name__ == "Activated" for layer in layers) == 3
    torch.testing.assert_close(network(x), expected)
    assert network(x).shape == (3, 5)


def test_weights_follow_the_seed_and_leave_the_global_state():
    architecture = SPACE.parse("maximum(x(), square(x()))")
    before = torch.random.get_rng_state()
    first, same, other = (compile_network(architecture, (1, 8, 8), 2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first[0].weight, same[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)


def test_other_expressions_are_refused():
    with pytest.raises(CompileError, match=r"^activation: primitive .conv. is not"):
        compile_network(SearchSpace("net", "conv()").start().architecture(), (1, 8, 8), 2)
