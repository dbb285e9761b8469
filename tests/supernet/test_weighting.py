"""Each weighting, by values worked out by hand and by its frequencies."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from nas.supernet import OneShotSettings, relax
from nas.supernet.alphas import Alphas, weighting_of
from nas.supernet.supernet import heaviest
from tests.supernet.kit import CHOICES, GATES

ALPHA = 0.001  # error rate of each statistical test; seeds are fixed
LOG2, LOG3 = math.log(2.0), math.log(3.0)


def made(space, name, rows=None, edges=None, **options):
    """A weighting and its alphas, with these logits."""
    net = relax(space, (1, 4, 4), 3)
    settings = OneShotSettings(weighting=name, **options)
    alphas = Alphas(net.holes, net.gates, scale=1e-3, seed=0, edges=name == "edge_softmax").double()
    with torch.no_grad():
        for logits, given in ((alphas.options, rows or {}), (alphas.edges, edges or {})):
            for number, row in enumerate(logits.in_order(list(logits.matrices))):
                row.copy_(torch.tensor(given.get(number, [0.0] * len(row)), dtype=row.dtype))
    return weighting_of(settings), alphas


def drawn(weighting, alphas, seed=0, progress=0.0):
    return weighting.weights(alphas, torch.Generator().manual_seed(seed), progress)


def test_holes_of_equal_numbers_of_options_share_a_matrix():
    _, alphas = made(CHOICES, "softmax")
    assert [len(hole.options) for hole in alphas.holes] == [3, 3, 2]
    assert [tuple(matrix.shape) for matrix in alphas.parameters()] == [(1, 2), (2, 3)]


def test_initial_alphas_follow_their_seed():
    net = relax(CHOICES, (1, 4, 4), 3)
    one, same, other = (Alphas(net.holes, net.gates, scale=0.5, seed=seed) for seed in (1, 1, 2))
    pairs = list(zip(one.parameters(), same.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) and not torch.equal(a, c) for a, b, c in pairs)


def test_softmax():
    weighting, alphas = made(CHOICES, "softmax", {0: [0.0, LOG2, LOG3 + LOG2], 2: [LOG3, 0.0]})
    weights = drawn(weighting, alphas)
    assert [weight.active for weight in weights] == [(0, 1, 2), (0, 1, 2), (0, 1)]
    found = [weight.values.detach().numpy() for weight in weights]
    expected = [[1 / 9, 2 / 9, 6 / 9], [1 / 3] * 3, [3 / 4, 1 / 4]]
    for one, same, row in zip(found, weighting.strengths(alphas), expected, strict=True):
        np.testing.assert_allclose(one, row, rtol=1e-12)
        np.testing.assert_allclose(same, row, rtol=1e-12)


def test_entropy_is_the_mean_over_holes():
    _, alphas = made(CHOICES, "softmax", {0: [50.0, 0.0, 0.0], 2: [LOG3, 0.0]})
    quarter = 2 * LOG2 - 0.75 * LOG3
    assert alphas.entropy() == pytest.approx((0.0 + LOG3 + quarter) / 3, abs=1e-12)


def test_max_w_gives_the_heaviest_option_one_and_no_gradient_of_its_own_term():
    weighting, alphas = made(CHOICES, "max_w", {0: [0.0, LOG2, LOG3 + LOG2]})
    row = drawn(weighting, alphas)[0].values
    np.testing.assert_allclose(row.detach().numpy(), [4 / 9, 5 / 9, 1.0], rtol=1e-12)
    np.testing.assert_allclose(weighting.strengths(alphas)[0], [1 / 9, 2 / 9, 6 / 9], rtol=1e-12)
    matrix = alphas.options.matrices[1]
    (own,) = torch.autograd.grad(row[2], matrix, retain_graph=True)
    np.testing.assert_allclose(own.numpy(), 0.0, atol=1e-15)
    (first,) = torch.autograd.grad(row[0], matrix)
    w = np.array([1, 2, 6]) / 9  # d(w0 - w2)/da_j = w0 (0j - wj) - w2 (2j - wj)
    expected = w[0] * (np.eye(3)[0] - w) - w[2] * (np.eye(3)[2] - w)
    np.testing.assert_allclose(first[0].numpy(), expected, rtol=1e-12)


def test_edge_softmax_is_the_product_of_options_and_edges_of_a_gate():
    rows = {0: [0.0, 0.0, LOG2]}
    weighting, alphas = made(GATES, "edge_softmax", rows, edges={2: [LOG2, 0.0, 0.0]})
    assert [tuple(matrix.shape) for matrix in alphas.edges.matrices] == [(1, 1), (1, 2), (1, 3)]
    strengths = weighting.strengths(alphas)
    shares = [1.0, 0.5, 0.5, 0.5, 0.25, 0.25]
    for number, (found, share) in enumerate(zip(strengths, shares, strict=True)):
        options = [0.25, 0.25, 0.5] if number == 0 else [1 / 3] * 3
        np.testing.assert_allclose(found, np.array(options) * share, rtol=1e-12)
    weights = drawn(weighting, alphas)
    for weight, found in zip(weights, strengths, strict=True):
        np.testing.assert_allclose(weight.values.detach().numpy(), found, rtol=1e-12)
    sum(weight.values[1] for weight in weights).backward()
    assert all(parameter.grad is not None for parameter in alphas.parameters())


def test_gumbel_picks_by_softmax_frequencies_at_any_temperature():
    weighting, alphas = made(CHOICES, "gumbel", {0: [0.0, LOG2, LOG3 + LOG2]})
    generator, count = torch.Generator().manual_seed(0), 3000
    for progress in (0.0, 1.0):
        with torch.no_grad():
            picks = [weighting.weights(alphas, generator, progress) for _ in range(count)]
        assert all(weight.values is None and len(weight.active) == 1 for pick in picks for weight in pick)
        found = Counter(pick[0].active[0] for pick in picks)
        expected = [count / 9, 2 * count / 9, 6 * count / 9]
        assert chisquare([found[i] for i in range(3)], expected).pvalue > ALPHA


def test_gumbel_is_one_forward_and_soft_backward():
    weighting, alphas = made(CHOICES, "gumbel", {0: [0.3, 0.1, -0.2]}, temperature=2.0, temperature_min=0.5)
    weight = drawn(weighting, alphas, seed=3, progress=0.5)[0]
    (option,) = weight.active
    values = weight.values.detach().numpy()
    np.testing.assert_allclose(values, np.eye(3)[option], atol=1e-12)
    (found,) = torch.autograd.grad(weight.values[option], alphas.options.matrices[1])
    generator = torch.Generator().manual_seed(3)
    noise = [-torch.empty(shape).exponential_(generator=generator).log() for shape in ((1, 2), (2, 3))][1][0]
    logits = torch.tensor([0.3, 0.1, -0.2], dtype=torch.float64)
    soft = ((logits.log_softmax(0) + noise.double()) / 1.25).softmax(0).numpy()
    assert soft.argmax() == option
    expected = soft[option] * (np.eye(3)[option] - soft) / 1.25
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=1e-9)


def test_uniform_draws_architectures_uniformly():
    weighting, alphas = made(GATES, "uniform")
    assert not weighting.trains
    generator, found = torch.Generator().manual_seed(0), Counter()
    for _ in range(3000):
        weights = weighting.weights(alphas, generator, 0.0)
        rows = [np.eye(len(h.options))[w.active[0]] for h, w in zip(alphas.holes, weights, strict=True)]
        architecture = heaviest(GATES, alphas.holes, alphas.gates, rows)
        found[architecture.text] += 1
        assert relaxed_again(architecture) == [weight.active for weight in weights]
    assert len(found) == GATES.size() == 2 * 4 * 12
    assert chisquare(list(found.values())).pvalue > ALPHA


NET = relax(GATES, (1, 4, 4), 3)


def relaxed_again(architecture):
    return [weight.active for weight in NET.one_hot(architecture)]
