"""Choices at the end of a search, on a planted supernet whose best options are known."""

import numpy as np
import pytest
import torch
from torch import nn

from nas.supernet import relax
from nas.supernet.selection import choose
from nas.supernet.supernet import chosen_options
from nas.supernet.training import start
from tests.supernet.kit import CHOICES, GATES, images, small

COUNT = 200  # images that accuracies are measured on


class Planted(nn.Module):
    """Classifies image k rightly if the worths of the options, weighted, add up to more than k / COUNT.

    Worths are (options,) of each hole.
    """

    def __init__(self, space, worths):
        super().__init__()
        net = relax(space, (1, 4, 4), 3)
        self.space, self.holes, self.gates = space, net.holes, net.gates
        self.worths = [torch.tensor(row) for row in worths]

    def forward(self, x, weights):
        total = 0.0
        for worth, weight in zip(self.worths, weights, strict=True):
            values = torch.ones(len(worth)) if weight.values is None else weight.values
            total = total + sum(values[i] * worth[i] for i in weight.active)
        number = x[:, 0, 0, 0] * 60 + 90  # as it was before it was normalised
        right = (total > number / COUNT).float()
        return torch.stack([right, 1 - right], dim=1)


def planted(space, worths, alphas, **options):
    """A search whose supernet is planted and whose alphas have these values; all labels are 0."""
    data = images(2 * COUNT)
    data.train.labels.zero_()
    settings = small(selection="perturbation", batch_size=COUNT, **options)
    state = start(space, data, settings, 1)
    state.supernet = Planted(space, worths)
    for number, position in enumerate(state.halves[1]):
        data.train.images[position] = number
    with torch.no_grad():
        rows = state.alphas.options.in_order(list(state.alphas.options.matrices))
        for row, given in zip(rows, alphas, strict=True):
            row.copy_(torch.tensor(given))
    return state, data, settings


def chosen(state, data, settings):
    net = state.supernet
    return chosen_options(state.space, net.holes, net.gates, choose(state, data, settings))


WORTHS = [[0.0, 0.05, 0.35], [0.3, 0.0, 0.05], [0.02, 0.2]]  # less than 1 in all
ALPHAS = [[0.9, 0.0, 0.1], [0.0, 0.0, 0.4], [0.2, 0.0]]


def test_perturbation_keeps_what_the_accuracy_needs_where_alphas_say_otherwise():
    state, data, settings = planted(CHOICES, WORTHS, ALPHAS)
    assert chosen(state, data, settings) == [2, 0, 1]
    assert chosen(state, data, small()) == [0, 2, 0]


@pytest.mark.parametrize("weighting", ["max_w", "gumbel", "uniform", "edge_softmax"])
def test_perturbation_serves_every_weighting(weighting):
    state, data, settings = planted(CHOICES, WORTHS, [[0.0] * 3, [0.0] * 3, [0.0] * 2], weighting=weighting)
    assert chosen(state, data, settings) == [2, 0, 1]


def test_perturbation_keeps_the_edges_that_matter_and_never_none():
    edge = [1.0, 0.0, 0.0]  # alphas like none best
    worths = [[0.2, 0.0, 0.1], [0.0, 0.0, 0.12], [0.0, 0.1, 0.0]]
    worths += [[0.0, 0.0, 0.15], [0.0, 0.05, 0.0], [0.0, 0.02, 0.1]]
    state, data, settings = planted(GATES, worths, [edge] * 6)
    assert chosen(state, data, settings) == [2, 2, 1, 2, 0, 2]


def test_skips_are_limited_in_argmax():
    state, data, _ = planted(CHOICES, WORTHS, [[0.0, 0.9, 0.1], [0.0, 0.5, 0.4], [0.2, 0.0]])
    assert chosen(state, data, small(skip_limit=2)) == [1, 1, 0]
    assert chosen(state, data, small(skip_limit=1)) == [1, 2, 0]


def test_a_choice_is_an_architecture_of_the_space():
    data, settings = images(), small(epochs=1, selection="perturbation")
    state = start(GATES, data, settings, 1)
    architecture = choose(state, data, settings)
    assert GATES.check(architecture) is None
    assert choose(state, data, settings) == architecture
    assert np.isfinite(sum(float(weight.detach().sum()) for weight in state.supernet.parameters()))
