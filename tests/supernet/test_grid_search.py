"""Searches of a layered graph: choice groups, their skip rule, their settings, continuation, the choice."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nas.errors import ConfigError
from nas.search_spaces.hypercuboid import Edge, edges, space
from nas.supernet import OneShotSettings, relax_grid
from nas.supernet.alphas import Alphas, weighting_of
from nas.supernet.selection import choose
from nas.supernet.settings import PATHS
from nas.supernet.state import load, save
from nas.supernet.training import start, train
from tests.supernet.kit import images, without_time

SPACE = space(channels=(2, 3), layers=1, last=4)
SLAB = 8  # 2 widths in, 2 widths out, 2 operations
GRID = {"grid": True, "skip_limit": None, "selection": "longest_path"}


def settings_of(**options):
    return OneShotSettings(**{"epochs": 4, "batch_size": 8, "crop_padding": 1, **GRID, **options})


def made(rows, **options):
    """A weighting and its alphas, with these logits of the two choice groups."""
    net = relax_grid(SPACE, (1, 4, 4), 3)
    alphas = Alphas(net.holes, net.gates, scale=1e-3, seed=0).double()
    with torch.no_grad():
        alphas.options.matrices[0].copy_(torch.tensor(rows, dtype=torch.float64))
    weighting = weighting_of(settings_of(**options))
    return weighting, alphas, weighting.weights(alphas, torch.Generator(), 0.0)


def test_one_softmax_over_a_choice_group():
    """All of a stage's steps sum to 1, those of one width do not."""
    _, alphas, weights = made([[0.0] * 7 + [math.log(3.0)], [0.0] * 8], weighting="softmax")
    assert [tuple(matrix.shape) for matrix in alphas.parameters()] == [(2, SLAB)]
    found = weights[0].values.detach().numpy()
    np.testing.assert_allclose(found, [0.1] * 7 + [0.3], rtol=1e-12)
    np.testing.assert_allclose(weights[1].values.detach().numpy(), [1 / 8] * 8, rtol=1e-12)


def test_max_w_is_over_the_whole_choice_group():
    weighting, alphas, weights = made([[0.0] * 7 + [math.log(3.0)], [0.0] * 8], weighting="max_w")
    np.testing.assert_allclose(weights[0].values.detach().numpy(), [0.8] * 7 + [1.0], rtol=1e-12)
    np.testing.assert_allclose(weights[1].values.detach().numpy(), [1.0] * 8, rtol=1e-12)
    np.testing.assert_allclose(weighting.strengths(alphas)[0], [0.1] * 7 + [0.3], rtol=1e-12)


@pytest.mark.parametrize("weighting", ["softmax", "max_w"])
def test_steps_of_softmax_weight_at_most_one_over_the_square_of_their_number_are_skipped(weighting):
    """1/64 with 8 steps: 0.9/64 is skipped, 1.1/64 is not, whatever Max-W makes of them."""
    shares = np.array([0.9 / 64, 1.1 / 64, *[0.1] * 5])
    row = np.log([*shares, 1 - shares.sum()]).tolist()
    _, _, weights = made([row, row[::-1]], weighting=weighting, skip_light=True)
    assert [weight.active for weight in weights] == [(1, 2, 3, 4, 5, 6, 7), (0, 1, 2, 3, 4, 5, 6)]
    _, _, weights = made([row, row[::-1]], weighting=weighting)
    assert [weight.active for weight in weights] == [tuple(range(SLAB))] * 2
    _, _, weights = made([[0.0] * 7 + [50.0]] * 2, weighting=weighting, skip_light=True)
    assert [weight.active for weight in weights] == [(7,)] * 2


VARIANTS = [{}, {"weighting": "max_w", "skip_light": True}, {"order": 2}, {"eigenvalue": True}]


@pytest.mark.slow
@pytest.mark.parametrize("options", VARIANTS, ids=lambda options: "-".join(options) or "plain")
def test_a_continued_search_equals_one_that_never_stopped(options, tmp_path):
    settings, data = settings_of(**options), images()
    states = [start(SPACE, data, settings, 1) for _ in range(3)]
    whole, first, second = states
    train(whole, data, settings)
    train(first, data, settings, epochs=2)
    save(tmp_path / "search", first, settings)
    load(tmp_path / "search", second, settings)
    train(second, data, settings)
    parts = [[*each.supernet.state_dict().values(), *each.alphas.state_dict().values()] for each in states]
    assert all(torch.equal(one, other) for one, other in zip(parts[0], parts[2], strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(parts[0], parts[1], strict=True))
    assert without_time(second.curve) == without_time(whole.curve)
    assert "skips" not in whole.curve[0]
    assert choose(second, data, settings) == choose(whole, data, settings)


@pytest.mark.parametrize("selection", PATHS)
def test_the_choice_is_a_path_of_the_alphas(selection):
    """Steps are (width in, width out, operation), the operation fastest; the second width is 3."""
    settings, data = settings_of(selection=selection), images()
    state = start(SPACE, data, settings, 1)
    with torch.no_grad():
        state.alphas.options.matrices[0][0, 0b110 + 1] = 5.0  # from 3 to 3 by pooling
        state.alphas.options.matrices[0][1, 0b100] = 4.0  # from 3 to 2 by convolutions
    expected = [Edge(0, 1, 3, 3, "resizable_pool"), Edge(0, 2, 3, 2, "sharp_sep_conv")]
    assert edges(choose(state, data, settings)) == expected


def test_a_search_learns_and_tells_the_steps_apart():
    settings = settings_of(epochs=12, weighting="max_w", skip_light=True, alpha_lr=0.05, lr=0.1)
    data = images(96)
    state = start(SPACE, data, settings, 1)
    train(state, data, settings)
    losses = [row["train_loss"] for row in state.curve]
    assert min(losses[-3:]) < 0.7 * losses[0]
    assert state.curve[-1]["entropy"] < state.curve[0]["entropy"] - 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": False}, r'"grid": expected true with selection = \'longest_path\', got False'),
        (
            {"grid": False, "selection": "argmax", "skip_light": True},
            r'"grid": expected true with skip_light',
        ),
        ({"selection": "argmax"}, r'"selection": expected longest_path or top_down or bottom_up with grid'),
        ({"weighting": "gumbel"}, r'"weighting": expected softmax or max_w with grid = true, got \'gumbel\''),
        ({"skip_stop": 2}, r'"skip_stop": expected None with grid = true, got 2'),
        ({"skip_limit": 2}, r'"skip_limit": expected None with grid = true, got 2'),
        ({"partial": 4}, r'"partial": expected 1 with grid = true, got 4'),
    ],
)
def test_what_is_refused_in_one_line(options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        settings_of(**options)
    assert "\n" not in str(caught.value)
