"""Supernets of layered graphs: what they compute, what they need, and what they refuse."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn.functional import softmax

from nas.errors import RelaxError, SpaceError
from nas.language import oneof, op, repeat, residual
from nas.layers import compile_network
from nas.search_spaces import SPACES
from nas.space import SearchSpace, enumerate_architectures
from nas.supernet import all_active, relax_grid
from nas.supernet.layered import chosen_path
from nas.supernet.modules import ArchitectureWeight
from nas.supernet.settings import PATHS
from tests.report.grid_kit import CHAINS, CLASSES, CUBOID, IMAGE, SMALL, WIDTH, architectures, each_chain


def net_of(space, seed=1, image=IMAGE):
    return relax_grid(space, image, CLASSES, seed=seed).double()


def batch(size=3, image=IMAGE):
    return torch.randn(size, *image, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_parameters_of_the_grid_of_the_paper_by_formula():
    """Separable convolutions twice, pointwise convolutions of pools, stems with their normalisation, ends."""

    def block(into, out):
        return 9 * into + into * out + 9 * out + out * out

    widths = (32, 64, 128, 256)
    pairs = list(itertools.product(widths, widths))
    group = sum(block(a, b) + (a * b if a != b else 0) for a, b in pairs)
    stems = sum(27 * width + 2 * width for width in widths)
    ends = sum(block(width, 768) for width in widths) + 768 * 10 + 10
    net = relax_grid(CUBOID(), (3, 32, 32), 10)
    assert sum(each.numel() for each in net.parameters()) == 8 * group + stems + ends == 8_833_354


@each_chain
def test_one_hot_weights_compute_exactly_what_the_compiled_network_computes(space):
    net = net_of(space)
    for architecture in architectures(space):
        network = compile_network(architecture, IMAGE, CLASSES, mode="search").double()
        own, names = net.inherited(architecture).state_dict(), network.state_dict()
        network.load_state_dict(dict(zip(names, own.values(), strict=True)))
        assert torch.equal(net(batch(), net.one_hot(architecture)), network(batch())), architecture.text


@each_chain
def test_the_path_of_one_hot_weights_is_the_architecture(space):
    net = net_of(space)
    for architecture in architectures(space):
        weights = [np.full(len(group.options), 1e-3) for group in net.holes]
        for row, chosen in zip(weights, net.one_hot(architecture), strict=True):
            row[chosen.active[0]] = 0.9
        for selection in PATHS:
            assert chosen_path(space, net.grid, weights, selection) == architecture


def weights_of(net, rows, active=None):
    given = active or [tuple(range(len(row))) for row in rows]
    return [ArchitectureWeight(row, numbers) for row, numbers in zip(rows, given, strict=True)]


def by_hand(net, rows, x, active=None):
    """The sums of the paper written out: a node adds its steps by their weights, nothing is normalised."""
    stems, first, second, ends, heads = net.network.stages
    values = [stem(x) for stem in stems]
    for modules, row, numbers in zip((first, second), rows, active or [range(8)] * 2, strict=True):
        steps = list(itertools.product(range(2), range(2), range(2)))  # into, out, operation
        values = [
            sum(
                row[i] * modules[i](values[into])
                for i, (into, to, _) in enumerate(steps)
                if to == out and i in numbers
            )
            for out in range(2)
        ]
    return heads[0](ends[0](values[0]) + ends[1](values[1]))


def test_values_of_one_width_are_summed_by_their_share_of_the_choice_group():
    net = net_of(SMALL)
    rows = [
        softmax(torch.randn(8, dtype=torch.float64, generator=torch.Generator().manual_seed(i)), 0)
        for i in (1, 2)
    ]
    assert torch.allclose(net(batch(), weights_of(net, rows)), by_hand(net, rows, batch()), rtol=1e-10)
    heaviest = [1 - row.max() + row for row in rows]  # Max-W over the whole choice group
    assert torch.allclose(
        net(batch(), weights_of(net, heaviest)), by_hand(net, heaviest, batch()), rtol=1e-10
    )


def test_steps_that_are_not_active_do_not_compute():
    net = net_of(SMALL)
    rows = [torch.full((8,), 0.125, dtype=torch.float64)] * 2
    active = [(0, 3, 5, 6), (1, 2, 4, 7)]
    expected = by_hand(net, rows, batch(), active)
    called = []
    for stage in net.network.stages:
        for number, module in enumerate(stage):
            module.register_forward_hook(lambda *_, number=number: called.append(number))
    assert torch.allclose(net(batch(), weights_of(net, rows, active)), expected, rtol=1e-10)
    assert called == [0, 1, *active[0], *active[1], 0, 1, 0]


def test_steps_that_lead_nowhere_do_not_compute_and_where_none_leads_on_all_do():
    net = net_of(SMALL)
    rows = [torch.full((8,), 0.125, dtype=torch.float64)] * 2
    called = []
    for number, stage in enumerate(net.network.stages):
        for module in stage:
            module.register_forward_hook(lambda *_, number=number: called.append(number))
    net(batch(), weights_of(net, rows, [(0, 2), (0,)]))  # the second step leads to the other width
    assert called == [0, 1, 2, 3, 4]
    called.clear()
    net(batch(), weights_of(net, rows, [(0,), (4,)]))  # 4 begins where nothing arrives
    assert [called.count(number) for number in range(5)] == [2, 8, 8, 2, 1]


@each_chain
def test_soft_weights_reach_every_parameter_and_every_choice_group(space):
    net = net_of(space)
    alphas = [torch.zeros(len(hole.options), dtype=torch.float64, requires_grad=True) for hole in net.holes]
    net(batch(4), [all_active(alpha.softmax(0)) for alpha in alphas]).square().sum().backward()
    assert not [name for name, each in net.named_parameters() if each.grad is None]
    assert all(alpha.grad is not None and torch.isfinite(alpha.grad).all() for alpha in alphas)


REFUSED = {
    "counts": (
        repeat(op.conv(width=3) | op.relu(), 1, 3) >> op.head(),
        "got one that is not among operations of the chain",
    ),
    "inside": (
        residual(op.relu() | op.tanh()) >> op.head(),
        "got one that is not among operations of the chain",
    ),
    "nested": (((op.relu() | op.tanh()) >> op.conv(width=3)) | op.silu(), "one that is not among operations"),
    "shared": (op.conv(width=WIDTH) >> op.conv(width=WIDTH) >> op.head(), "got one that decides several"),
    "classes": (op.conv(width=oneof(3, 4)) >> op.flatten(), r"expected \(4,\) for 4 classes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_chain_of_choices_is_refused_in_one_line(name):
    expression, reason = REFUSED[name]
    with pytest.raises(RelaxError, match=reason) as caught:
        relax_grid(SearchSpace("mine", expression), IMAGE, CLASSES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_cells_are_no_chain(name):
    with pytest.raises(RelaxError, match=f"{name} at .*expected a chain of independent choices"):
        relax_grid(SPACES.get(name)(), (3, 32, 32), 10)


def test_an_architecture_of_another_space_is_refused():
    other = next(iter(enumerate_architectures(CHAINS["integers"])))
    with pytest.raises(
        SpaceError, match="hypercuboid: expected an architecture of this space, got one of integers"
    ):
        net_of(SMALL).one_hot(other)


def test_the_same_seed_gives_the_same_weights():
    pairs = zip(net_of(SMALL).parameters(), net_of(SMALL).parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
