"""Cells computed for many edges at once: equal to their modules one by one, and left to them elsewhere."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.nn import functional

from nas.errors import RelaxError
from nas.language import choose, oneof, op
from nas.layers import Cell, set_drop_path
from nas.search_spaces import SPACES
from nas.space import SearchSpace, sample
from nas.supernet import all_active, relax
from nas.supernet.fused.functions import Depthwise, Geometry, HalfSeparable, Pixels
from nas.supernet.fused.plan import EdgeBatchRun, FusedCell
from nas.supernet.measure import batch_statistics
from nas.supernet.modules import ArchitectureWeight

DOUBLE = torch.float64
CLASSES = 3

# operations that are not recognised (conv, an even kernel), edges that are no mixtures, an input read twice
MIXED = oneof(
    op.sep_conv(kernel=3),
    op.conv(),
    op.sharp_sep_conv(kernel=5, expansion=2),
    op.skip(),
    op.dil_conv(kernel=4),
)
OTHER = oneof(op.max_pool_3x3(), op.resizable_pool(pool="avg"), op.dil_conv(kernel=3, dilation=1), op.zero())
NODES = (
    op.node(MIXED, MIXED, OTHER, inputs=(0, 1, 0)),
    op.node(MIXED, OTHER, oneof(op.skip(), op.relu()), inputs=(0, 1, 2)),
    op.node(OTHER, MIXED, op.skip(), inputs=(1, 0, 1)),
)
CELLS = op.cell(*NODES, inputs=2, output="concat") >> op.cell(*NODES, inputs=2, stride=2, output="concat")
MIXTURE = SearchSpace("mixture", op.chain(CELLS, width=4) >> op.head())
TWO = op.cell(*[op.node(OTHER, OTHER, inputs=choose(2, 0, 1))] * 2, inputs=2, output="concat")
GATED = SearchSpace("gated", op.stem(width=4) >> TWO >> op.head(), gate="none")


def space_of(name):
    if name.startswith("sharp_darts: "):
        return SPACES.get("sharp_darts")(name.removeprefix("sharp_darts: "), channels=2, layers=3)
    small = {"darts": {"channels": 2, "layers": 3}, "nasbench201": {"channels": 4, "cells": 1}}
    return {"mixture": MIXTURE, "gated": GATED}.get(name) or SPACES.get(name)(**small[name])


def network(name, side, dtype=DOUBLE):
    return relax(space_of(name), (3, side, side), CLASSES, seed=1).to(dtype)


def alphas_of(net, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    dtype = next(net.parameters()).dtype
    rows = [scale * torch.randn(len(hole.options), generator=generator, dtype=dtype) for hole in net.holes]
    return [row.requires_grad_() for row in rows]


def images(side, seed=0, dtype=DOUBLE):
    return torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def passed(net, x, alphas, *, plain):
    """Output, gradients of weights and alphas, and buffers after a pass; the net is left as it was."""
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with net.plain() if plain else contextlib.nullcontext():
        scores = net(x, [all_active(alpha.softmax(0)) for alpha in alphas])
        slopes = torch.autograd.grad(scores.square().sum(), [*net.parameters(), *alphas])
    after = {name: value.clone() for name, value in net.named_buffers()}
    net.load_state_dict(before)
    return scores, slopes, after


def is_close(one, other):
    return torch.allclose(one, other, rtol=1e-9, atol=1e-10)


@contextlib.contextmanager
def edge_batches(monkeypatch):
    """Counts the edge batches that run within."""
    found, run = [], EdgeBatchRun.outputs
    with monkeypatch.context() as patch:
        patch.setattr(EdgeBatchRun, "outputs", lambda self: found.append(self) or run(self))
        yield found


@pytest.mark.parametrize(
    ("name", "side", "number"),
    [
        *(("darts", 8, 12), ("darts", 7, 12), ("nasbench201", 8, 9), ("mixture", 8, 9), ("mixture", 5, 9)),
        ("sharp_darts: sharp", 8, 12),
        *(
            pytest.param(f"sharp_darts: {listed}", side, 12, marks=pytest.mark.slow)
            for listed, side in (("darts", 8), ("sharper", 8), ("sharper", 7))
        ),
    ],
)
def test_values_gradients_and_statistics_are_those_of_the_modules_one_by_one(name, side, number, monkeypatch):
    net = network(name, side)
    x, alphas = images(side), alphas_of(net)
    expected = passed(net, x, alphas, plain=True)
    with edge_batches(monkeypatch) as ran:
        found = passed(net, x, alphas, plain=False)
    assert len(ran) >= number
    assert is_close(found[0], expected[0])
    for one, other in zip(found[1], expected[1], strict=True):
        assert is_close(one, other)
    for key, value in expected[2].items():
        assert is_close(found[2][key], value), key
    moved = [key for key in expected[2] if key.endswith("num_batches_tracked")]
    assert all(found[2][key] == 1 for key in moved)


@pytest.mark.slow
@settings(max_examples=6, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.1, 1.0, 4.0]), side=st.sampled_from([8, 6]))
def test_any_weights_give_the_same_values_and_gradients(seed, scale, side):
    net = network("darts", side)
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(scale * torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed)))
    x, alphas = images(side, seed), alphas_of(net, seed, scale)
    expected, found = (passed(net, x, alphas, plain=plain) for plain in (True, False))
    for one, other in zip((found[0], *found[1]), (expected[0], *expected[1]), strict=True):
        assert float((one - other).detach().norm()) <= 1e-8 * float(other.detach().norm()) + 1e-9


def test_evaluation_after_training_steps_agrees():
    nets = [network("darts", 8) for _ in range(2)]
    for step in range(3):
        for net, plain in zip(nets, (True, False), strict=True):
            with net.plain() if plain else contextlib.nullcontext():
                net(images(8, step), [all_active(alpha.softmax(0)) for alpha in alphas_of(net)])
    scores = [net.eval()(images(8, 9), [all_active(a.softmax(0)) for a in alphas_of(net)]) for net in nets]
    assert is_close(*scores)


def test_a_cell_has_the_modules_of_the_ordinary_one_below_it():
    net = network("darts", 8)
    cells = [module for module in net.modules() if isinstance(module, FusedCell)]
    assert len(cells) == 3
    assert all(type(cell.cell) is Cell and list(cell._modules) == ["cell"] for cell in cells)
    inherited = net.inherited(sample(net.space, np.random.default_rng(0)))
    assert not any(isinstance(module, FusedCell) for module in inherited.modules())
    own = set(map(id, net.parameters()))
    assert all(id(parameter) in own for parameter in inherited.parameters())


@pytest.mark.parametrize("case", ["plain", "evaluation", "one hot", "without an option", "dropped paths"])
def test_the_modules_are_called_one_by_one_where_edges_cannot_be_taken_together(case, monkeypatch):
    net = network("darts", 8)
    weights = [all_active(alpha.softmax(0)) for alpha in alphas_of(net)]
    if case == "without an option":
        weights[0] = ArchitectureWeight(weights[0].values, weights[0].active[1:])
        weights = [weights[0]] * len(weights)
    elif case == "one hot":
        weights = [ArchitectureWeight(None, (1,))] * len(weights)
    elif case == "dropped paths":
        set_drop_path(net, 0.5)
    net.train(case != "evaluation")
    with edge_batches(monkeypatch) as ran, net.plain() if case == "plain" else contextlib.nullcontext():
        net(images(8), weights)
    assert not ran


def test_batches_are_measured_together_and_leave_the_running_statistics_alone(monkeypatch):
    net = network("darts", 8)
    weights = [all_active(alpha.detach().softmax(0)) for alpha in alphas_of(net)]
    before = {name: value.clone() for name, value in net.named_buffers()}
    with batch_statistics(net), torch.no_grad(), edge_batches(monkeypatch) as ran:
        found = net(images(8), weights)
        with net.plain():
            expected = net(images(8), weights)
    assert ran
    assert is_close(found, expected)
    assert all(torch.equal(value, before[name]) for name, value in net.named_buffers())


def test_a_space_of_unrecognised_operations_has_ordinary_cells():
    space = SearchSpace("none", op.stem(width=2) >> op.cell(op.node(op.tanh() | op.relu())) >> op.head())
    net = relax(space, (3, 4, 4), CLASSES)
    assert not any(isinstance(module, FusedCell) for module in net.modules())


def test_bfloat16_is_as_close_as_the_modules_one_by_one():
    net = network("darts", 8, torch.float32)
    x, alphas = images(8, dtype=torch.float32), alphas_of(net)
    exact = passed(net, x, alphas, plain=True)
    with torch.autocast("cpu", torch.bfloat16):
        ours, ordinary = (passed(net, x, alphas, plain=plain) for plain in (False, True))
    errors = [float(((found[0] - exact[0]).norm() / exact[0].norm()).detach()) for found in (ours, ordinary)]
    assert errors[0] < max(2 * errors[1], 0.05)
    assert all(torch.isfinite(slope).all() for slope in ours[1])


def test_second_derivatives_need_the_modules_one_by_one():
    net = network("gated", 4)
    alphas = alphas_of(net)

    def curvature():
        scores = net(images(4), [all_active(alpha.softmax(0)) for alpha in alphas])
        (slope,) = torch.autograd.grad(scores.square().sum(), alphas[:1], create_graph=True)
        return torch.autograd.grad(slope.sum(), alphas[:1])[0]

    with pytest.raises(RelaxError, match=r"second derivatives; .*plain\(\)"):
        curvature()
    with net.plain():
        assert torch.isfinite(curvature()).all()


def test_one_value_per_channel_is_refused_as_by_the_modules():
    net = network("gated", 1)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        net(images(1)[:1], [all_active(alpha.softmax(0)) for alpha in alphas_of(net)])


def maps(*shape):
    """In channels-last order."""
    generator = torch.Generator().manual_seed(sum(shape))
    found = torch.randn(shape, generator=generator, dtype=DOUBLE).to(memory_format=torch.channels_last)
    return found.requires_grad_()


GEOMETRIES = [Geometry(), Geometry(2, 1), Geometry(1, 2)]
SIDES = [(7, 7), (4, 5), (2, 2), (1, 3), (3, 1), (6, 2), (2, 6), (8, 3)]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("side", [1, 3, 5, 7])
@pytest.mark.parametrize("sides", SIDES)
def test_depthwise_convolution_by_differences_and_by_torch(sides, side, geometry):
    x, kernels = maps(2, 2, *sides), torch.randn(2, 1, side, side, dtype=DOUBLE, requires_grad=True)
    padding = geometry.dilation * (side // 2)
    expected = functional.conv2d(x, kernels, None, geometry.stride, padding, geometry.dilation, 2)
    found = Depthwise.apply(x, kernels, geometry)
    assert is_close(found, expected)
    upstream = torch.randn_like(expected)
    slopes = [torch.autograd.grad(y, (x, kernels), upstream) for y in (found, expected)]
    assert all(is_close(one, other) for one, other in zip(*slopes, strict=True))
    if side == 5 and sides[0] != 7:
        assert gradcheck(lambda a, b: Depthwise.apply(a, b, geometry), (x, kernels))


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("sides", [pytest.param(SIDES[0], marks=pytest.mark.slow), *SIDES[1:3]])
def test_half_a_separable_convolution_by_differences_and_by_torch(sides, geometry):
    targets, sources, channels, width = 2, 2, 2, 3
    x = maps(3, targets * sources * channels, *sides)
    kernels = torch.randn(x.shape[1], 1, 3, 3, dtype=DOUBLE, requires_grad=True)
    point = torch.randn(targets, sources, width, channels, dtype=DOUBLE, requires_grad=True)
    share = torch.rand(targets, sources, dtype=DOUBLE, requires_grad=True)
    assert gradcheck(
        lambda *of: HalfSeparable.apply(of[0], of[1], geometry, *of[2:], 1e-5)[0], (x, kernels, point, share)
    )
    out, mean, variance = HalfSeparable.apply(x, kernels, geometry, point, share, 1e-5)
    d = functional.conv2d(x, kernels, None, geometry.stride, geometry.dilation, geometry.dilation, x.shape[1])
    y = functional.conv2d(d, point.reshape(-1, channels, 1, 1), groups=targets * sources)
    normal = functional.batch_norm(y, None, None, training=True).unflatten(1, (targets, sources, width))
    assert is_close(out, (normal * share[..., None, None, None]).sum(2).flatten(1, 2))
    assert is_close(mean, y.mean((0, 2, 3)))
    assert is_close(variance, y.var((0, 2, 3)))


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("first", [0, 1])
def test_every_other_pixel(first, sides):
    x = maps(2, 3, *sides)
    padded = functional.pad(x, (0, 1, 0, 1))
    half = [(side + 1) // 2 for side in sides]
    expected = padded[:, :, first::2, first::2][:, :, : half[0], : half[1]]
    assert torch.equal(Pixels.apply(x, first), expected)
    assert gradcheck(lambda a: Pixels.apply(a, first), (x,))
