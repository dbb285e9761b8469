"""Supernets by hand: mixtures, superpositions, partial channels, the published sizes, what is chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nas.errors import DeadEndError, RelaxError, SpaceError
from nas.language import oneof, op, repeat
from nas.run.compose import build_space
from nas.search_spaces import SPACES
from nas.search_spaces.darts import from_genotype, genotype
from nas.space import Key, SearchSpace
from nas.supernet import ArchitectureWeights, all_active, relax
from nas.supernet.modules import ArchitectureWeight, Mixed, PartialMixed, constant
from nas.supernet.supernet import heaviest
from tests.experiments.test_composition import composed


@pytest.mark.parametrize(
    ("channels", "layers", "side", "parameters"), [(16, 8, 32, 1_930_618), (8, 5, 16, 394_210)]
)
def test_the_published_supernet_has_the_published_size(channels, layers, side, parameters):
    """Liu et al. 2019 (released code), and its count at the size of the benchmark."""
    net = relax(SPACES.get("darts")(channels=channels, layers=layers), (3, side, side), 10)
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters
    assert [len(hole.options) for hole in net.holes] == [8] * 28  # two cells of 14 edges
    assert {hole.options[0] for hole in net.holes} == {"none"}


def test_the_experiment_on_cifar10_relaxes_the_published_supernet():
    config = composed("+experiment=cifar10_one_shot")
    own, proxy = build_space(config.space), build_space({**config.space, **config.searcher["proxy"]})
    net = relax(proxy, (3, 32, 32), 10)
    assert sum(parameter.numel() for parameter in net.parameters()) == 1_930_618
    assert (own.name, own.size()) == (proxy.name, proxy.size())
    assert (config.searcher["searches"], config.budget.trials) == (4, 4)


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


def mixed(*factors):
    board = ArchitectureWeights()
    picks = [((0, i),) for i in range(len(factors))]
    return board, Mixed(board, picks, [Scale(factor) for factor in factors])


def test_a_mixture_is_the_weighted_sum_of_its_active_options():
    board, module = mixed(1.0, 10.0, 100.0)
    board.weights = [ArchitectureWeight(torch.tensor([0.5, 0.25, 0.25]), (0, 2))]
    assert module(torch.tensor([2.0])).item() == 0.5 * 2 + 0.25 * 200
    board.weights = [constant(3, 1)]
    assert module(torch.tensor([2.0])).item() == 20.0


def test_partial_channels_by_hand():
    """Of four channels the first passes the operation; two groups of two are then interleaved."""
    board, inner = mixed(10.0)
    board.weights = [constant(1, 0)]
    module = PartialMixed(inner, 2, halved=False)
    x = torch.arange(1.0, 5.0).reshape(1, 4, 1, 1)
    assert module(x).flatten().tolist() == [10.0, 3.0, 20.0, 4.0]
    with pytest.raises(RelaxError, match="partial=1"):
        module.discrete()


def test_partial_channels_of_a_reduction_take_the_maximum_by_the_way():
    board, inner = mixed(1.0)
    board.weights = [constant(1, 0)]
    inner.options[0] = nn.AvgPool2d(2)
    module = PartialMixed(inner, 2, halved=True)
    x = torch.tensor([[[[0.0, 4.0], [0.0, 0.0]], [[1.0, 2.0], [3.0, 0.0]]]])
    assert module(x).flatten().tolist() == [1.0, 3.0]


def test_partial_channels_need_a_width_that_they_divide():
    space = SPACES.get("nasbench201")(channels=6, cells=1)
    with pytest.raises(RelaxError, match="as many channels out as in, a multiple of partial = 4, got"):
        relax(space, (3, 8, 8), 10, partial=4)
    net = relax(space, (3, 8, 8), 10, partial=3)
    weights = [all_active(torch.full((5,), 0.2)) for _ in net.holes]
    assert net(torch.randn(2, 3, 8, 8), weights).shape == (2, 10)


WIDTHS = SearchSpace("widths", op.conv(width=oneof(2, 3), kernel=1, bias=False) >> op.relu() >> op.head())


def test_values_of_several_shapes_are_averaged_by_their_shares():
    net = relax(WIDTHS, (1, 2, 2), 2).double()
    x = torch.rand(3, 1, 2, 2, dtype=torch.float64)
    by_width = [net(x, [constant(2, option)]) for option in (0, 1)]
    share = torch.tensor([0.3, 0.7], dtype=torch.float64)
    torch.testing.assert_close(net(x, [all_active(share)]), 0.3 * by_width[0] + 0.7 * by_width[1])


def test_a_depth_is_the_average_of_what_leaves_each_number_of_copies():
    space = SearchSpace("depth", repeat(op.conv(kernel=1), 0, 2) >> op.flatten() >> op.head())
    net = relax(space, (1, 2, 2), 2).double()
    x = torch.rand(3, 1, 2, 2, dtype=torch.float64)
    assert [hole.options for hole in net.holes] == [("0", "1", "2")]
    logits = torch.stack([net(x, [constant(3, option)]) for option in range(3)])
    weights = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    expected = torch.einsum("o,obk->bk", weights, logits)  # the head is linear
    torch.testing.assert_close(net(x, [all_active(weights)]), expected)


def test_a_node_keeps_the_edges_whose_operations_weigh_most():
    """DARTS' rule, section 2.4: the strength of an edge is that of its heaviest operation but none."""
    space = SPACES.get("darts")(channels=4, layers=3)
    net = relax(space, (3, 8, 8), 10)
    weights = [np.full(8, 0.1) for _ in net.holes]
    last = net.gates[3]  # of the normal cell: five sources
    for source, (option, weight) in enumerate([(3, 0.3), (4, 0.2), (5, 0.15), (1, 0.4), (2, 0.11)]):
        hole = last.edges[source]
        weights[hole.number][option] = weight
        weights[hole.number][0] = 0.9 if source == 3 else 0.05  # none counts nowhere
    edges = normal_cell(genotype(heaviest(space, net.holes, net.gates, weights)))[6:8]
    assert edges == [("skip_connect", 0), ("max_pool_3x3", 3)]


def normal_cell(text):
    import ast

    call = ast.parse(text, mode="eval").body
    return ast.literal_eval(next(k.value for k in call.keywords if k.arg == "normal"))


def test_weights_of_one_architecture_are_those_of_its_edges():
    from nas.search_spaces.darts import DARTS_V2

    space = SPACES.get("darts")(channels=4, layers=3)
    net = relax(space, (3, 8, 8), 10)
    options = [weight.active[0] for weight in net.one_hot(from_genotype(space, DARTS_V2))]
    assert sum(option > 0 for option in options) == 16  # eight edges of each cell
    first = {source: options[hole.number] for source, hole in net.gates[0].edges.items()}
    assert first == {0: 4, 1: 4}  # sep_conv_3x3, counted after none


def test_constraints_take_the_heaviest_architecture_that_they_admit():
    def no_second(architecture):
        return "second" if "kernel=3" in architecture.text else None

    space = SearchSpace(
        "bounded",
        op.conv(kernel=oneof(1, 3, 5), width=oneof(2, 4)) >> op.head(),
        constraints=(no_second,),
    )
    net = relax(space, (1, 8, 8), 2)
    weights = [np.array([0.3, 0.6, 0.1]), np.array([0.55, 0.45])]
    assert "kernel=1, width=2" in heaviest(space, net.holes, net.gates, weights).text


def test_constraints_that_refuse_everything_are_an_error():
    space = SearchSpace(
        "never", op.conv(kernel=oneof(1, 3), width=2) >> op.head(), constraints=(lambda _: "no",)
    )
    net = relax(space, (1, 8, 8), 2)
    with pytest.raises(
        DeadEndError,
        match="never: expected one of the heaviest architectures to meet the constraints, got none",
    ):
        heaviest(space, net.holes, net.gates, [np.ones(2)])


def test_an_architecture_of_another_space_is_refused():
    net = relax(WIDTHS, (1, 2, 2), 2)
    other = SPACES.get("nasbench201")().start()
    while other.site is not None:
        other = other.take(other.options[0])
    with pytest.raises(SpaceError, match="widths: expected an architecture of this space, got one of "):
        net.one_hot(other.architecture())


def test_training_what_is_inherited_trains_the_supernet():
    net = relax(WIDTHS, (1, 2, 2), 2)
    network = net.inherited(WIDTHS.parse("conv(width=3, kernel=1, bias=False) >> relu() >> head()"))
    shared = {id(parameter) for parameter in net.parameters()}
    assert [id(parameter) in shared for parameter in network.parameters()] == [True] * 3


def test_holes_have_the_keys_of_the_decisions():
    net = relax(WIDTHS, (1, 2, 2), 2)
    assert [hole.key for hole in net.holes] == [WIDTHS.start().key]
    assert isinstance(net.holes[0].key, Key)
