"""The platform's search step computes what a plain implementation of the published one computes."""

import pytest
import torch

from tests.benchmarks.darts_baseline import Shape
from tests.benchmarks.darts_baseline_search import BaselineSearch
from tests.supernet.darts_pair import PlatformSearch

SHAPE, SIDE = Shape(channels=2, cells=3, classes=3), 8


def batches(seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, 3, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    labels = torch.randint(3, (2, 3), generator=generator)
    return (images[0], labels[0]), (images[1], labels[1])


def apart(one, other):
    """Largest relative distance of two tensors of the same name."""
    assert one.keys() == other.keys()
    pairs = [(one[name].detach(), other[name].detach()) for name in one]
    return max(float((a - b).norm() / b.norm()) for a, b in pairs)


@pytest.mark.parametrize("second_order", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_steps_equal_those_of_the_plain_implementation(second_order):
    plain = BaselineSearch(SHAPE, dtype=torch.float64)
    ours = PlatformSearch(SHAPE, side=SIDE, dtype=torch.float64)
    ours.load(plain.parameters(), plain.alphas)
    start = {name: value.detach().clone() for name, value in plain.parameters().items()}
    for seed in range(3):
        expected = plain.step(*batches(seed), second_order)
        assert ours.step(*batches(seed), second_order) == pytest.approx(expected, rel=1e-6)
    assert apart(plain.parameters(), start) > 1e-2
    assert apart(ours.parameters(), plain.parameters()) < 1e-6
    assert apart(ours.alphas(), plain.alphas) < 1e-6
