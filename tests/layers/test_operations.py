import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nas.errors import CompileError
from nas.language import REQUIRED, Context, op, parse
from nas.language.primitives import load
from nas.layers import NETWORK, FactorizedReduce, compile_network, infer_shape
from nas.layers.catalogue import LAYERS, OPERATIONS

IMAGE = (12, 8, 8)


def build(text, shape=IMAGE, classes=None, **options):
    return compile_network(parse(text), shape, classes, **options)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def values(attribute):
    if attribute.choices is not None:
        return st.sampled_from(attribute.choices)
    if attribute.kind == "bool":
        return st.booleans()
    if attribute.kind == "float":
        return st.floats(attribute.low, attribute.high)
    return st.integers(attribute.low, min(attribute.high or 6, 6))


SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 9), st.integers(1, 9)) | st.tuples(st.integers(1, 12))


@pytest.mark.parametrize("primitive", LAYERS + OPERATIONS, ids=lambda primitive: primitive.name)
@settings(max_examples=25, deadline=None)
@given(data=st.data(), shape=SHAPES, mode=st.sampled_from(["standard", "search"]))
def test_module_has_the_shape_of_its_rule_and_gradients(primitive, data, shape, mode):
    given_ = [a for a in primitive.attributes if a.default is REQUIRED or data.draw(st.booleans())]
    term = getattr(op, primitive.name)(**{a.name: data.draw(values(a), a.name) for a in given_})
    classes = 5 if term.name == "head" else None
    try:
        expected = infer_shape(term, shape, classes, mode=mode)
    except CompileError:
        return
    network = compile_network(term, shape, classes, mode=mode)
    out = network(torch.randn(3, *shape, requires_grad=True))
    assert out.shape == (3, *expected)
    out.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


# text -> parameters for 12 channels in, by closed form; every layer and operation occurs
PARAMETERS = {
    "conv(kernel=3, width=20)": 12 * 20 * 9 + 20,
    "conv(kernel=5, dilation=2, groups=4, bias=False)": 12 * 3 * 25,
    "conv(kernel=2, width=7, stride=3)": 12 * 7 * 4 + 7,
    "depthwise(kernel=5)": 12 * 25 + 12,
    "pointwise(width=20, bias=False)": 12 * 20,
    "separable(kernel=3, width=20)": 12 * 9 + 12 * 20 + 20,
    "maxpool()": 0,
    "avgpool(kernel=4, padding='same')": 0,
    "global_pool()": 0,
    "batchnorm()": 2 * 12,
    "global_pool() >> batchnorm()": 2 * 12,
    "groupnorm(groups=3)": 2 * 12,
    "layernorm()": 2 * 12,
    "relu()": 0,
    "relu6()": 0,
    "gelu()": 0,
    "silu()": 0,
    "sigmoid()": 0,
    "tanh()": 0,
    "hardswish()": 0,
    "identity()": 0,
    "flatten() >> linear(width=5)": 12 * 64 * 5 + 5,
    "global_pool() >> linear(width=5, bias=False)": 12 * 5,
    "dropout(rate=0.5)": 0,
    "squeeze_excite(ratio=4)": 2 * 12 * 3 + 3 + 12,
    "stem(width=16)": 12 * 16 * 9 + 2 * 16,
    "head()": 12 * 10 + 10,
    "flatten() >> head()": 12 * 64 * 10 + 10,
    "zero(stride=2)": 0,
    "skip()": 0,
    "skip(stride=2)": 12 * 12 + 2 * 12,
    "max_pool_3x3()": 0,
    "avg_pool_3x3(stride=2)": 0,
    "relu_conv_bn(kernel=3, width=20)": 12 * 20 * 9 + 2 * 20,
    "sep_conv(kernel=5)": 2 * (12 * 25 + 12 * 12 + 2 * 12),
    "sep_conv(kernel=3, width=20, stride=2)": 2 * 12 * 9 + 12 * 12 + 24 + 12 * 20 + 40,
    "dil_conv(kernel=5)": 12 * 25 + 12 * 12 + 2 * 12,
    "factorized_reduce(width=7)": 12 * 7 + 2 * 7,
    "mbconv(kernel=5, expansion=4)": 12 * 48 + 96 + 48 * 25 + 96 + 48 * 12 + 24,
    "mbconv(expansion=1, width=6)": 12 * 9 + 24 + 12 * 6 + 12,
    "mbconv(expansion=2, squeeze_excite=True)": 288 + 48 + 216 + 48 + (144 + 3 + 24) + 288 + 24,
    "sharp_sep_conv(kernel=5, width=20, stride=2)": 12 * 25 + 240 + 40 + 20 * 25 + 400 + 40,
    "sharp_sep_conv(expansion=4)": 108 + 12 * 48 + 96 + 48 * 9 + 48 * 12 + 24,
    "sharp_sep_conv(dilation=2, middle=32)": 108 + 12 * 32 + 64 + 32 * 9 + 32 * 12 + 24,
    "resizable_pool(pool='avg')": 0,
    "resizable_pool(width=20, stride=2)": 12 * 20 + 2 * 20,
}


@pytest.mark.parametrize(("text", "parameters"), list(PARAMETERS.items()))
def test_parameters_by_closed_form(text, parameters):
    assert count(build(text, classes=10 if "head" in text else None)) == parameters


def test_closed_forms_cover_every_layer_and_operation():
    tried = {name for name in NETWORK.names() if any(f"{name}(" in text for text in PARAMETERS)}
    assert tried == {primitive.name for primitive in LAYERS + OPERATIONS}


@pytest.mark.parametrize("primitive", NETWORK.primitives, ids=lambda primitive: primitive.name)
def test_primitive_is_documented_and_its_builder_exists(primitive):
    assert primitive.summary
    assert primitive.shape is not None
    assert callable(load(primitive.build.target))


@pytest.mark.parametrize("name", [p.name for p in LAYERS + OPERATIONS if p.name not in ("head", "linear")])
def test_every_layer_is_admissible_on_an_image(name):
    needed = {"dropout": {"rate": 0.1}, "groupnorm": {"groups": 2}, "stem": {"width": 4}}
    assert infer_shape(getattr(op, name)(**needed.get(name, {})), IMAGE, None)


@pytest.mark.parametrize(("kernel", "stride"), list(itertools.product(range(1, 6), range(1, 4))))
def test_same_padding_of_pools_does_not_count(kernel, stride):
    x = torch.full((2, 12, 7, 8), -2.0)
    for name in ("avgpool", "maxpool"):
        pool = build(f"{name}(kernel={kernel}, stride={stride}, padding='same')", (12, 7, 8))
        assert torch.allclose(
            pool(x), torch.full((2, 12, math.ceil(7 / stride), math.ceil(8 / stride)), -2.0)
        )


def test_even_kernel_pads_right_and_below():
    conv = build("conv(kernel=2, width=1, bias=False)", (1, 3, 3))
    nn.init.ones_(conv.conv.weight)
    out = conv(torch.arange(9.0).reshape(1, 1, 3, 3))
    assert out[0, 0].tolist() == [[8, 12, 7], [20, 24, 13], [13, 15, 8]]


def test_factorized_reduce_is_that_of_darts_on_even_sides():
    reduce = FactorizedReduce(4, 6, Context(None)).eval()
    x = torch.randn(2, 4, 8, 6)
    relu = x.relu()
    halves = torch.cat([reduce.even(relu), reduce.odd(relu[:, :, 1:, 1:])], dim=1)
    assert torch.equal(reduce(x), reduce.norm(halves))


def test_factorized_reduce_reads_every_pixel():
    reduce = FactorizedReduce(1, 2, Context(None)).eval()
    for side in (4, 5):
        x = torch.rand(1, 1, side, side, requires_grad=True)
        reduce(x).sum().backward()
        used = x.grad != 0
        assert used[0, 0, ::2, ::2].all()
        assert used[0, 0, 1::2, 1::2].all()


def test_zero_is_zero_and_keeps_the_graph():
    x = torch.randn(2, 3, 5, 5, requires_grad=True)
    out = build("zero(stride=2)", (3, 5, 5))(x)
    assert out.shape == (2, 3, 3, 3)
    assert not out.any()
    out.sum().backward()
    assert not x.grad.any()


def test_mbconv_adds_its_input_only_where_it_fits():
    x = torch.randn(2, *IMAGE)
    block = build("mbconv()").eval()
    assert torch.equal(block(x), x + block.body(x))
    for text in ("mbconv(stride=2)", "mbconv(width=6)"):
        block = build(text).eval()
        assert torch.equal(block(x), block.body(x))


def test_dil_conv_sees_a_dilated_window():
    conv = build("dil_conv(kernel=3)", (1, 9, 9)).eval()
    x = torch.ones(1, 1, 9, 9, requires_grad=True)
    conv(x)[0, 0, 4, 4].backward()
    assert [tuple(index) for index in x.grad[0, 0].nonzero().tolist()] == list(
        itertools.product((2, 4, 6), (2, 4, 6))
    )


def test_squeeze_excite_scales_whole_channels_between_zero_and_one():
    x = torch.rand(2, *IMAGE) + 0.5
    gain = build("squeeze_excite()")(x) / x
    assert torch.allclose(gain, gain.mean((2, 3), keepdim=True).expand_as(gain))
    assert ((gain > 0) & (gain < 1)).all()


def test_layernorm_is_over_all_channels_and_pixels():
    out = build("layernorm()")(torch.randn(4, *IMAGE) + torch.arange(12.0).reshape(12, 1, 1))
    assert torch.allclose(out.mean((1, 2, 3)), torch.zeros(4), atol=1e-5)
    assert torch.allclose(out.var((1, 2, 3), correction=0), torch.ones(4), atol=1e-3)
    assert (out.mean((2, 3)).std(dim=1) > 0.5).all()


def test_search_mode_normalises_without_scale_and_shift_but_in_the_stem():
    text = "stem(width=8) >> sep_conv() >> skip(stride=2) >> max_pool_3x3() >> batchnorm()"
    search, standard = build(text, mode="search"), build(text)
    assert count(standard) - count(search) == 2 * 8 * 4
    assert isinstance(search.max_pool_3x3_3.norm, nn.BatchNorm2d)
    assert isinstance(standard.max_pool_3x3_3, nn.MaxPool2d)
    affine = [m.affine for m in search.modules() if isinstance(m, nn.BatchNorm2d)]
    assert affine == [True] + [False] * 5


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        (
            "flatten() >> conv()",
            IMAGE,
            r'root\.parts\[1\] "conv": expected an image \(C, H, W\), got \(768,\); move it before flatten',
        ),
        ("linear(width=3)", IMAGE, r'root "linear": expected \(F,\), got \(12, 8, 8\); put flatten'),
        (
            "maxpool(kernel=9)",
            IMAGE,
            r"of at least 9 for its window, got 8; sides of 8 do not .* at least 9 pixels .*, or use pad",
        ),
        (
            "conv(kernel=3, dilation=4, padding='valid')",
            IMAGE,
            r"expected sides of at least 9 for its window, got 8",
        ),
        (
            "conv(groups=5)",
            IMAGE,
            r"expected channels that 5 groups divide, got 12 in and 12 out",
        ),
        ("groupnorm(groups=5)", IMAGE, r"expected channels that 5 groups divide, got 12"),
        ("skip(stride=2)", (1, 4, 4), r"expected a width of at least 2, for its two halves, got 1"),
        ("head()", IMAGE, r'"head": expected a number of classes, got none; give num_classes'),
        (
            "add(conv(width=3), conv(width=4))",
            IMAGE,
            r'"add": expected branch 1 to fit \(3, 8, 8\), got \(4, 8, 8\); give all the same width',
        ),
        (
            "concat(identity(), conv(stride=2))",
            IMAGE,
            r'"concat": expected branch 1 to fit \(12, 8, 8\), got \(12, 4, 4\)',
        ),
        ("conv(kernel=0)", IMAGE, r'root "conv": kernel: expected an integer of at least 1; got 0'),
        ("conv(width=oneof(1, 2))", IMAGE, r"expected a plain value for width, got Choice oneof\(1, 2\)"),
        ("skip(stride=3)", IMAGE, r"stride: expected an integer of at least 1 and at most 2; got 3"),
    ],
)
def test_impossible_layers_say_where_and_why(text, shape, message):
    with pytest.raises(CompileError, match=message):
        infer_shape(parse(text), shape, None)
