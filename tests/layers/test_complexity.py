import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional

from nas.errors import CompileError
from nas.language import Primitive, parse
from nas.layers import NETWORK as PRIMITIVES
from nas.layers import compile_network, max_parameters
from nas.layers.compile import max_multiply_adds, multiply_adds, parameters
from nas.space import SearchSpace

SHAPE = (3, 8, 10)
NETWORK = "stem(width=4) >> conv(kernel=5, width=6, groups=2, stride=2) >> batchnorm() >> head()"
SPACE = SearchSpace("tiny", f"{NETWORK} | {NETWORK.replace('width=6', 'width=60')} | linear(width=10)")
SMALL = SPACE.parse(NETWORK)


def test_parameters_count_weights_biases_and_normalisation():
    expected = (4 * 3 * 9 + 8) + (6 * 2 * 25 + 6) + 12 + (6 * 10 + 10)
    assert parameters(parse(NETWORK), SHAPE, 10) == parameters(SMALL, SHAPE, 10) == expected


def test_multiply_adds_count_each_position_of_convolutions_and_linear_layers():
    expected = 80 * 4 * 3 * 9 + 20 * 6 * 2 * 25 + 60
    assert multiply_adds(parse(NETWORK), SHAPE, 10) == multiply_adds(SMALL, SHAPE, 10) == expected


def layer_by_layer(text, shape):
    """The count of papers, from the sizes of convolutions and linear layers alone."""
    counts = []

    def count(module, _, out):
        if isinstance(module, nn.Conv2d):
            inputs = module.in_channels // module.groups * module.kernel_size[0] * module.kernel_size[1]
            counts.append(out[0].numel() * inputs)
        elif isinstance(module, nn.Linear):
            counts.append(out[0].numel() * module.in_features)

    network = compile_network(parse(text), shape, None).eval()
    for module in network.modules():
        module.register_forward_hook(count)
    network(torch.zeros(1, *shape))
    return sum(counts)


REQUIRED = {"linear": "width=5", "groupnorm": "groups=2", "dropout": "rate=0.1", "stem": "width=6"}
LEAVES = [p.name for p in PRIMITIVES.primitives if p.arity == (0, 0) and p.name != "head"]


@pytest.mark.parametrize("name", LEAVES)
def test_every_layer_counts_as_in_papers(name):
    shape = (24,) if name == "linear" else (4, 8, 10)
    text = f"{name}({REQUIRED.get(name, '')})"
    assert multiply_adds(parse(text), shape, None) == layer_by_layer(text, shape)


class Attention(nn.Module):
    """Two heads over the pixels, with functions and a transposed convolution instead of layers."""

    def __init__(self, channels):
        super().__init__()
        self.project = nn.Parameter(torch.empty(3 * channels, channels))
        self.up = nn.ConvTranspose2d(channels, channels, 2, stride=2, groups=2)

    def forward(self, x):
        tokens = functional.linear(x.flatten(2).transpose(1, 2), self.project)
        heads = (part.unflatten(2, (2, -1)).transpose(1, 2) for part in tokens.chunk(3, dim=2))
        mixed = functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        return self.up(mixed.transpose(1, 2).unflatten(2, x.shape[2:]))


def test_multiply_adds_count_what_is_called_without_a_layer_of_its_own():
    own = PRIMITIVES.extended(
        "own",
        Primitive(
            "attend",
            shape=lambda shape, *_: (shape[0], 2 * shape[1], 2 * shape[2]),
            build=lambda shape, *_: Attention(shape[0]),
        ),
    )
    space = SearchSpace("own", "attend() | attend() >> relu()", vocabulary=own)
    channels, pixels = 6, 20
    projected, attended = pixels * channels * 3 * channels, 2 * pixels * pixels * channels
    raised = pixels * channels * (channels // 2) * 4
    found = multiply_adds(space.parse("attend()"), (channels, 4, 5), None)
    assert found == projected + attended + raised


def test_counting_what_does_not_compile_raises():
    with pytest.raises(CompileError, match=r'root "linear": expected \(F,\)'):
        parameters(parse("linear(width=10)"), SHAPE, 10)


@pytest.mark.parametrize(
    ("factory", "count", "noun"),
    [(max_parameters, 504, "parameters"), (max_multiply_adds, 14_700, "multiply-adds")],
)
def test_limits_include_their_bound_and_give_their_reason(factory, count, noun):
    assert factory(count, SHAPE, 10)(SMALL) is None
    reason = f"{count:,} {noun}, more than the limit of {count - 1:,}"
    assert factory(count - 1, SHAPE, 10)(SMALL) == reason


def test_limit_refuses_what_does_not_compile():
    reason = max_parameters(10**9, SHAPE, 10)(SPACE.parse("linear(width=10)"))
    assert reason is not None
    assert reason.startswith('parameters cannot be counted: root "linear": expected (F,)')


def test_limit_pickles():
    limit = max_parameters(5, SHAPE, 10)
    assert pickle.loads(pickle.dumps(limit)) == limit
