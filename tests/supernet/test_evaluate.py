"""Accuracy with inherited weights: statistics of the architecture's own, the supernet left alone."""

import numpy as np
import pytest
import torch
from torch import nn

from nas.layers import compile_network
from nas.space import sample
from nas.supernet.measure import BATCHES, inherited_accuracy, restimate
from nas.supernet.training import start, train
from nas.training import measure
from tests.supernet.kit import GATES, images, small


@pytest.fixture(scope="module")
def search():
    data, settings = images(96), small(weighting="uniform", epochs=3)
    state = start(GATES, data, settings, 1)
    train(state, data, settings)
    return state, data, settings


def test_it_is_that_of_the_compiled_network_with_these_weights_and_statistics(search):
    state, data, settings = search
    rng = np.random.default_rng(0)
    accuracies = set()
    for _ in range(4):
        architecture = sample(GATES, rng)
        network = compile_network(architecture, (1, 4, 4), 3, mode="search")
        own = state.supernet.inherited(architecture).state_dict().values()
        network.load_state_dict(dict(zip(network.state_dict(), own, strict=True)))
        network.to(memory_format=torch.channels_last)
        restimate(network, data, state.halves[0], settings.batch_size)
        expected = measure(network, data, data.validation)[0]
        found = inherited_accuracy(state, architecture, data, settings)
        assert found == expected
        accuracies.add(found)
    assert len(accuracies) > 1
    assert max(accuracies) > 40


def test_the_supernet_stays_as_it_was(search):
    state, data, settings = search
    before = {name: value.clone() for name, value in state.supernet.state_dict().items()}
    inherited_accuracy(state, sample(GATES, np.random.default_rng(1)), data, settings)
    after = state.supernet.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_statistics_are_means_over_the_first_batches():
    data = images(4 * (BATCHES + 3))
    network = nn.Sequential(nn.BatchNorm2d(1, affine=False))
    network[0].running_mean.fill_(99.0)
    restimate(network, data, torch.arange(len(data.train.labels)), 4)
    seen = data.normalized(data.train.images[: 4 * BATCHES])
    torch.testing.assert_close(network[0].running_mean, seen.mean((0, 2, 3)))
    variances = torch.stack([part.var((0, 2, 3)) for part in seen.split(4)])
    torch.testing.assert_close(network[0].running_var, variances.mean(0))
    assert not network[0].training
