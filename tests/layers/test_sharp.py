"""sharpDARTS' operations against the blocks of DARTS and torch's own functions."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import nn

from nas.errors import CompileError
from nas.language import parse
from nas.layers import compile_network, infer_shape

IMAGE = (12, 8, 8)


def build(text, shape=IMAGE, **options):
    return compile_network(parse(text), shape, None, **options)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def convolutions(network):
    """(channels in, channels out, groups, kernel, stride, dilation) of each convolution, in order."""
    return [
        (m.in_channels, m.out_channels, m.groups, m.kernel_size[0], m.stride[0], m.dilation[0])
        for m in network.modules()
        if isinstance(m, nn.Conv2d)
    ]


@pytest.mark.parametrize("options", ["kernel=3", "kernel=5, stride=2", "kernel=7"])
def test_without_a_middle_it_is_the_separable_convolution_of_darts(options):
    sharp, plain = build(f"sharp_sep_conv({options})"), build(f"sep_conv({options})")
    weights = zip(plain.state_dict(), sharp.state_dict().values(), strict=True)
    plain.load_state_dict(dict(weights))
    x = torch.randn(2, *IMAGE)
    assert torch.equal(sharp(x), plain(x))


def test_flood_and_choke_have_the_middle_that_they_name():
    flood = build("sharp_sep_conv(kernel=3, width=20, expansion=4)")
    assert convolutions(flood) == [
        (12, 12, 12, 3, 1, 1),
        (12, 80, 1, 1, 1, 1),
        (80, 80, 80, 3, 1, 1),
        (80, 20, 1, 1, 1, 1),
    ]
    for extra in ("", ", expansion=4"):
        choke = build(f"sharp_sep_conv(kernel=3, width=20, middle=32{extra})")
        assert convolutions(choke)[1:] == [(12, 32, 1, 1, 1, 1), (32, 32, 32, 3, 1, 1), (32, 20, 1, 1, 1, 1)]


def test_stride_and_dilation_are_those_of_the_first_half():
    found = convolutions(build("sharp_sep_conv(kernel=5, stride=2, dilation=2)"))
    assert [(kernel, stride, dilation) for *_, kernel, stride, dilation in found] == [
        (5, 2, 2),
        (1, 1, 1),
        (5, 1, 1),
        (1, 1, 1),
    ]


def test_a_dilated_block_sees_a_dilated_window_of_plain_windows():
    """Two 3x3 windows, the first dilated by 2: offsets -2, 0, 2 and -1, 0, 1 add up to all of -3..3."""
    block = build("sharp_sep_conv(kernel=3, dilation=2)", (1, 9, 9)).eval()
    for convolution in block.modules():
        if isinstance(convolution, nn.Conv2d):
            nn.init.ones_(convolution.weight)
    x = torch.ones(1, 1, 9, 9, requires_grad=True)
    block(x)[0, 0, 4, 4].backward()
    seen = {tuple(index) for index in x.grad[0, 0].nonzero().tolist()}
    assert seen == set(itertools.product(range(1, 8), repeat=2))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [7, 8])
def test_pools_are_those_of_torch_and_the_mean_counts_the_padding(stride, side):
    x = torch.randn(2, 12, side, side)
    maximum = build(f"resizable_pool(stride={stride})", (12, side, side))
    mean = build(f"resizable_pool(pool='avg', stride={stride})", (12, side, side))
    assert torch.equal(maximum(x), F.max_pool2d(x, 3, stride, padding=1))
    filters = torch.full((12, 1, 3, 3), 1 / 9)
    assert torch.allclose(mean(x), F.conv2d(x, filters, stride=stride, padding=1, groups=12), atol=1e-6)


def test_a_pool_to_another_width_has_a_convolution_and_a_normalisation():
    pool = build("resizable_pool(width=5, stride=2)").eval()
    assert convolutions(pool) == [(12, 5, 1, 1, 1, 1)]
    assert (pool.norm.eps, pool.norm.affine) == (1e-3, True)
    x = torch.randn(2, *IMAGE)
    expected = pool.norm(F.conv2d(F.max_pool2d(x, 3, 2, padding=1), pool.conv.weight))
    assert torch.equal(pool(x), expected)


@pytest.mark.parametrize(
    ("text", "norms"),
    [
        ("sharp_sep_conv(expansion=4)", 2),
        ("resizable_pool()", 1),
        ("resizable_pool(pool='avg')", 1),
        ("resizable_pool(width=5)", 1),
    ],
)
def test_search_mode_ends_in_a_normalisation_without_scale_and_shift(text, norms):
    network = build(text, mode="search")
    found = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert [module.affine for module in found] == [False] * norms
    assert list(network.modules())[-1] is found[-1]
    inside = sum(module.num_features for module in found) if "pool()" not in text and "avg" not in text else 0
    assert count(build(text)) - count(network) == 2 * inside


def test_in_a_cell_they_take_its_width_and_its_stride():
    cell = parse(
        "cell(node(sharp_sep_conv(), resizable_pool(), inputs=(0, 0)), node(resizable_pool(), inputs=(1,)), "
        "stride=2, width=6, output='concat')"
    )
    assert infer_shape(cell, IMAGE, None) == (12, 4, 4)
    first, second = compile_network(cell, IMAGE, None).nodes.values()
    assert isinstance(first.operations["resizable_pool_1"], nn.MaxPool2d)  # as wide as the cell
    assert second.operations["resizable_pool_0"].stride == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sharp_sep_conv(expansion=0)", "expansion: expected an integer of at least 1; got 0"),
        ("sharp_sep_conv(middle=0)", "middle: expected an integer of at least 1; got 0"),
        ("resizable_pool(pool='min')", "pool: expected one of 'max', 'avg'; got 'min'"),
        ("flatten() >> sharp_sep_conv()", r'"sharp_sep_conv": expected an image \(C, H, W\), got \(768,\)'),
    ],
)
def test_faults_are_placed_and_explained(text, message):
    with pytest.raises(CompileError, match=message):
        infer_shape(parse(text), IMAGE, None)
