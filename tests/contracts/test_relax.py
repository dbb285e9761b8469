"""What every search space promises of its supernet: run over the registered spaces, and over small ones.

A space either has a supernet that computes, at one-hot weights, exactly what its compiled networks compute,
or it says in one line why it has none.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nas.errors import RelaxError
from nas.language import (
    choose,
    define,
    empty,
    integer,
    oneof,
    op,
    real,
    ref,
    repeat,
    residual,
    rule,
    shared,
    train,
)
from nas.layers import compile_network
from nas.search_spaces import SPACES
from nas.space import SearchSpace, enumerate_architectures, sample
from nas.supernet import all_active, relax
from nas.supernet.supernet import heaviest
from tests.contracts.test_spaces import NETWORKS, TINY

IMAGE, CLASSES = (3, 12, 12), 4
REFUSED = {"deepconv": "training setting"}  # a part of the reason


def small(name, expression, **options):
    return SearchSpace(name, expression, **options)


WIDTH = shared("width", oneof(4, 6))
SMALL = {
    "kernels": small("kernels", op.conv(kernel=oneof(1, 3, 5), width=4) >> op.relu() >> op.head()),
    "integers": small("integers", op.conv(kernel=integer(1, 3), width=4) >> op.head()),
    "widths": small(
        "widths", op.conv(width=oneof(3, 4, 6)) >> op.batchnorm() >> op.conv(width=oneof(2, 5)) >> op.head()
    ),
    "widths and kernels": small(
        "wk",
        op.conv(width=oneof(4, 8), kernel=oneof(1, 3))
        >> op.groupnorm(groups=oneof(2, 4))
        >> op.sigmoid()
        >> op.flatten()
        >> op.linear(width=oneof(6, 7))
        >> op.head(),
    ),
    "depth": small(
        "depth", op.stem(width=4) >> repeat(op.conv(kernel=oneof(1, 3)) | op.relu(), 1, 3) >> op.head()
    ),
    "tied depth": small(
        "tied",
        repeat(op.conv(width=oneof(4, 6)) >> (op.relu() | op.tanh()), (1, 2, 4), tied=True) >> op.head(),
    ),
    "no copy": small("none", op.stem(width=4) >> repeat(op.conv(kernel=3), 0, 2) >> op.head()),
    "residual": small("residual", residual(op.conv(width=oneof(2, 5)) >> op.relu()) >> op.head()),
    "shared": small("shared", op.conv(width=WIDTH) >> op.relu() >> op.conv(width=WIDTH) >> op.head()),
    "strides": small(
        "strides", op.conv(stride=oneof(1, 2), width=4) >> (op.maxpool(kernel=2) | empty()) >> op.head()
    ),
    "gates": small(
        "gates",
        define(
            op.stem(width=4) >> ref("cell") >> ref("cell") >> op.head(),
            cell=op.cell(
                op.node(oneof(op.relu(), op.skip()), inputs=(0,)),
                op.node(oneof(op.relu(), op.skip()), inputs=choose(1, 0, 1)),
                op.node(oneof(op.tanh(), op.skip()), oneof(op.tanh(), op.skip()), inputs=choose(2, 0, 1, 2)),
            ),
        ),
        gate="none",
    ),
    "nested": small(
        "nested",
        op.stem(width=4)
        >> ((op.conv(kernel=oneof(1, 3)) >> op.batchnorm()) | residual(op.relu() | op.conv()))
        >> op.head(),
    ),
}


def space_of(name):
    return SMALL[name] if name in SMALL else SPACES.get(name)(**TINY.get(name, {}))


def shape_of(name):
    return IMAGE if name in SMALL else (3, 16, 16)


def architectures(space, number=4):
    if (space.size() or 0) <= 40:
        return list(enumerate_architectures(space))
    rng = np.random.default_rng(3)
    return [sample(space, rng) for _ in range(number)]


RELAXED = [*(name for name in NETWORKS if name not in REFUSED), *SMALL]


@pytest.fixture(scope="module", params=RELAXED)
def case(request):
    space, shape = space_of(request.param), shape_of(request.param)
    return space, shape, relax(space, shape, CLASSES, seed=1).double()


def compiled(net, architecture, shape):
    """The discrete network as it is compiled, with the supernet's parameters and statistics."""
    network = compile_network(architecture, shape, CLASSES, mode="search").double()
    own, names = net.inherited(architecture).state_dict(), network.state_dict()
    assert [tuple(value.shape) for value in own.values()] == [tuple(v.shape) for v in names.values()]
    network.load_state_dict(dict(zip(names, own.values(), strict=True)))
    return network


def test_one_hot_weights_compute_exactly_what_the_compiled_network_computes(case):
    space, shape, net = case
    x = torch.randn(3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for architecture in architectures(space):
        network = compiled(net, architecture, shape)
        expected = network(x)
        assert torch.equal(net(x, net.one_hot(architecture)), expected), architecture.text
        again = compiled(net, architecture, shape).eval()  # with the running statistics
        assert torch.equal(net.eval()(x, net.one_hot(architecture)), again(x)), architecture.text
        net.train()


def test_the_heaviest_options_are_the_architecture(case):
    space, _, net = case
    for architecture in architectures(space):
        weights = [np.full(len(hole.options), 0.1) for hole in net.holes]
        for each, chosen in zip(weights, net.one_hot(architecture), strict=True):
            each[chosen.active[0]] = 0.9
        assert heaviest(space, net.holes, net.gates, weights) == architecture


@pytest.mark.slow
def test_soft_weights_reach_every_parameter_and_every_hole(case):
    _, shape, net = case
    x = torch.randn(4, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    alphas = [torch.zeros(len(hole.options), dtype=torch.float64, requires_grad=True) for hole in net.holes]
    scores = net(x, [all_active(alpha.softmax(0)) for alpha in alphas])
    assert scores.shape == (4, CLASSES)
    assert torch.isfinite(scores).all()
    scores.square().sum().backward()
    silent = [name for name, parameter in net.named_parameters() if parameter.grad is None]
    assert not silent
    assert all(alpha.grad is not None and torch.isfinite(alpha.grad).all() for alpha in alphas)
    net.zero_grad(set_to_none=True)


def test_the_supernet_is_the_same_for_the_same_seed_and_leaves_the_global_one_alone(case):
    space, shape, net = case
    before = torch.random.get_rng_state()
    again = relax(space, shape, CLASSES, seed=1).double()
    assert torch.equal(torch.random.get_rng_state(), before)
    pairs = zip(net.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


PLAIN = op.conv(width=4) >> op.head()


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (rule("r", op.relu() | (op.relu() >> ref("r")), depth=3) >> PLAIN, "recursive rule"),
        (train(PLAIN, lr=oneof(0.1, 0.2)), "training setting lr"),
        (op.dropout(rate=real(0.1, 0.5)) >> PLAIN, "expected a grid of values, got a real number"),
        (op.conv(width=oneof(2, 4)), r"options of one shape|\(4,\) for 4 classes"),
        (
            op.cell(op.node(op.relu(), inputs=(0,)), op.node(op.relu() | op.tanh(), inputs=choose(1, 0, 1)))
            >> PLAIN,
            'gate="none"',
        ),
        (op.add(op.conv(width=oneof(2, 4)), op.conv(width=2)) >> op.head(), "one shape"),
    ],
)
def test_a_space_that_has_no_supernet_says_why_in_one_line(expression, reason):
    with pytest.raises(RelaxError, match=reason) as caught:
        relax(SearchSpace("mine", expression), IMAGE, CLASSES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(set(SPACES.names()) - set(RELAXED)))
def test_registered_spaces_without_a_supernet_say_why(name):
    with pytest.raises(RelaxError, match=REFUSED.get(name, "program|recursive|network")):
        relax(space_of(name), IMAGE, CLASSES)
