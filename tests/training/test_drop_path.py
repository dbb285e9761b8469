from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.layers import TrainSettings, compile_network, listing, set_drop_path
from nas.layers.cells import CellNode
from nas.layers.modules import DropPath
from nas.layers.operations import MBConv
from nas.search_spaces.darts import DARTS_V2, from_genotype
from nas.search_spaces.darts import space as darts
from nas.training import Dataset, forked_seed, resident
from nas.training import train as train_module
from nas.training.train import standard_optimizer, start, train

CPU = torch.device("cpu")


def compiled(text: str, channels: int = 4) -> nn.Module:
    from nas.language import parse

    return compile_network(parse(text), (channels, 4, 4), None)


def test_whole_examples_are_zero_or_scaled_up() -> None:
    with forked_seed(1, CPU):
        out = DropPath(0.25)(torch.ones(4000, 2, 3, 3))
    values = out.flatten(1)
    assert torch.equal(values.amin(1), values.amax(1))  # one draw an example
    assert values[:, 0].unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    # the expectation stays: the mean of 4,000 draws has a standard error of sqrt(0.25 / 0.75 / 4000) =
    # 0.0091; 4 of them is an alpha of 6e-5, and the seed is fixed
    assert values[:, 0].mean().item() == pytest.approx(1.0, abs=4 * 0.0091)


def test_nothing_is_dropped_at_rate_0_or_in_evaluation() -> None:
    x = torch.ones(8, 2)
    assert DropPath()(x) is x
    assert DropPath(0.5).eval()(x) is x


def test_the_type_of_the_images_stays() -> None:
    assert DropPath(0.5)(torch.ones(8, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16


def almost_all_dropped(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The output with a rate so high that every path of these few examples is dropped."""
    set_drop_path(network, 1 - 1e-9)
    with forked_seed(0, CPU), torch.no_grad():
        return network.train()(x)


@pytest.mark.parametrize(
    "text",
    [
        "residual(conv(kernel=3))",
        "add(conv(kernel=3), identity())",
        "mbconv(expansion=2)",
        "cell(node(sep_conv(kernel=3), skip(), inputs=(0, 0)))",
    ],
)
def test_dropping_every_path_leaves_the_identity(text: str) -> None:
    x = torch.randn(6, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    network = compiled(text)
    assert torch.equal(almost_all_dropped(network, x), x)
    assert not torch.equal(network.eval()(x), x)


@pytest.mark.parametrize(
    "text", ["add(conv(kernel=3), relu())", "mbconv(expansion=2, stride=2)", "residual(identity())"]
)
def test_what_has_no_identity_beside_it_is_never_dropped(text: str) -> None:
    network, x = compiled(text), torch.ones(6, 4, 4, 4)
    dropped = almost_all_dropped(network, x)
    set_drop_path(network, 0.0)
    with torch.no_grad():
        assert torch.equal(network.train()(x), dropped)


def test_each_edge_of_a_cell_draws_on_its_own() -> None:
    network = compiled("cell(node(max_pool_3x3(), max_pool_3x3(), inputs=(0, 0)))")
    set_drop_path(network, 0.5)
    with forked_seed(0, CPU):
        sums = network.train()(torch.ones(200, 4, 4, 4))[:, 0, 0, 0]
    assert set(sums.tolist()) == {0.0, 2.0, 4.0}  # none, one or both of the edges, each scaled by 2


def test_every_node_of_darts_can_drop_and_its_parameters_stay() -> None:
    network = compile_network(from_genotype(darts(4, 5), DARTS_V2), (3, 8, 8), 10)
    set_drop_path(network, 0.2)
    nodes = [module for module in network.modules() if isinstance(module, CellNode)]
    assert len(nodes) == 5 * 4
    assert all(node.drop_path.rate == 0.2 for node in nodes)
    assert not any("drop_path" in name for name in network.state_dict())
    assert "drop_path" not in listing(from_genotype(darts(4, 5), DARTS_V2), (3, 8, 8), 10)


class Recording(MBConv):
    """A block that notes the rate at which it is run while training."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and (not self.rates or self.rates[-1] != self.drop_path.rate):
            self.rates.append(self.drop_path.rate)
        return super().forward(x)


def test_the_rate_rises_linearly_from_0_as_in_darts(stripes: Dataset) -> None:
    """rate = drop_path * epoch / epochs, epochs counted from 0; the horizon is that of the whole training."""
    block = Recording(nn.Sequential(nn.Conv2d(2, 2, 1)), residual=True)
    block.rates = []  # type: ignore[attr-defined]
    network = nn.Sequential(block, nn.Flatten(), nn.Linear(32, 3))
    data = resident(stripes, stripes.digest(), CPU)
    settings = TrainSettings(epochs=4, drop_path=0.2, batch_size=16)
    with forked_seed(0, CPU):
        train(start(network, data, settings, 0, standard_optimizer), data, settings, epochs=3)
    assert block.rates == pytest.approx([0.0, 0.05, 0.1])  # type: ignore[attr-defined]
    assert train_module.measure(network, data, data.test) == train_module.measure(network, data, data.test)
