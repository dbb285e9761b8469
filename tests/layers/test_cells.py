import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nas.errors import CompileError
from nas.language import op, parse, repeat
from nas.layers import compile_network, infer_shape, set_drop_path

CIFAR = (3, 32, 32)
SKIP = op.skip()


def build(text, shape=(6, 8, 8)):
    return compile_network(parse(text), shape, None)


def node(*edges):
    return op.node(*(operation for operation, _ in edges), inputs=tuple(source for _, source in edges))


def test_chain_feeds_cells_with_the_two_previous_outputs():
    cell = op.cell(node((SKIP, 0)), node((SKIP, 1)), inputs=2, output="concat")
    network = compile_network(op.chain(repeat(cell, 3), width=4), CIFAR, None).eval()
    x = torch.randn(2, *CIFAR)
    values = [network.stem(x)] * 2
    for module in network.parts.values():
        entered = [entry(value) for entry, value in zip(module.entries, values[-2:], strict=True)]
        values.append(torch.cat(entered, dim=1))
    assert torch.allclose(network(x), values[-1])


def test_chain_doubles_the_width_at_reductions_and_halves_a_lagging_input():
    body = "cell(node(skip(), inputs=(1,)), inputs=2, stride={}, output='concat')"
    cells = ">>".join(body.format(stride) for stride in (1, 2, 1, 2, 1))
    network = build(f"chain({cells}, width=4, stem=2)", (3, 8, 8))
    widths = [part.entries[1].conv.out_channels for part in network.parts.values()]
    entries = [type(part.entries[0]).__name__ for part in network.parts.values()]
    assert network.stem.conv.out_channels == 8
    assert widths == [4, 8, 8, 16, 16]
    assert entries == ["ReluConvNorm", "ReluConvNorm", "FactorizedReduce", "ReluConvNorm", "FactorizedReduce"]
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 16, 2, 2)


def test_chain_passes_only_the_last_output_to_other_parts():
    text = "chain(cell(node(skip()), inputs=2, stride=2) >> relu() >> cell(node(skip()), inputs=2), width=4)"
    network = build(text, (3, 9, 9))
    assert network.reads == (2, 1, 2)
    assert network(torch.randn(2, 3, 9, 9)).shape == (2, 8, 5, 5)


def test_two_input_cell_outside_a_chain_reads_its_input_twice():
    cell = build("cell(node(skip(), skip(), inputs=(0, 1)), inputs=2, width=4)").eval()
    x = torch.randn(2, 6, 8, 8)
    assert torch.equal(cell(x), cell(x, x))


def test_single_input_cell_keeps_its_input_unless_the_width_differs():
    assert isinstance(build("cell(node(skip()))").entries[0], nn.Identity)
    assert build("cell(node(conv()), width=4)").entries[0].conv.out_channels == 4


def test_stride_of_a_cell_goes_to_the_first_part_that_takes_it():
    edge = "relu() >> repeat(conv(), 2) >> sep_conv()"
    network = build(f"cell(node({edge}), node(skip(), inputs=(1,)), stride=2)")
    strides = [module.stride for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert strides == [(2, 2)] + [(1, 1)] * 5
    assert isinstance(network.nodes.node_2.operations.skip_0, nn.Identity)


def test_residual_pads_both_sides_with_zeros_to_the_larger():
    network = build("residual(conv(width=9, kernel=1, stride=2))").eval()
    x = torch.randn(2, 6, 8, 8)
    expected = torch.zeros(2, 9, 8, 8)
    expected[:, :6] += x
    expected[:, :, :4, :4] += network.body(x)
    assert torch.equal(network(x), expected)


def test_residual_of_another_rank_flattens():
    network = build("residual(flatten() >> linear(width=7))").eval()
    x = torch.randn(2, 6, 8, 8)
    expected = x.flatten(1).clone()
    expected[:, :7] += network.body(x)
    assert torch.equal(network(x), expected)


def test_branches_add_and_stand_side_by_side():
    x = torch.randn(2, 6, 8, 8)
    assert torch.equal(build("relu() + identity() + tanh()")(x), x.relu() + x + x.tanh())
    assert torch.equal(build("concat(relu(), tanh())")(x), torch.cat([x.relu(), x.tanh()], dim=1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("node(conv())", r'^root "node": expected a place directly inside a cell'),
        ("cell(conv())", r'^root "cell": expected node\(...\) as every part, got conv; write node\(conv'),
        ("cell(node(conv(), inputs=(1,)))", r"^root \"cell\": expected node 1 to read values 0\.\.0, got 1"),
        (
            "cell(node(conv(), conv()))",
            r"expected one operation for each input of a node, got 2 operations for the inputs \(0,\)",
        ),
        (
            "cell(node(conv(), conv(stride=2), inputs=(0, 0)))",
            r"expected operation of node 1: 1 to fit \(6, 8, 8\), got \(6, 4, 4\)",
        ),
        ("flatten() >> cell(node(conv()))", r'"cell": expected an image'),
        (
            "chain(maxpool(kernel=4) >> cell(node(skip()), inputs=2), width=3)",
            r"expected inputs of equal or halved sides, got \(9, 8, 8\) before one of sides \(2, 2\)",
        ),
    ],
)
def test_faulty_wiring_is_placed_and_explained(text, message):
    with pytest.raises(CompileError, match=message):
        infer_shape(parse(text), (6, 8, 8), None)


EDGES = st.sampled_from(
    [
        op.zero(),
        op.max_pool_3x3(),
        op.avg_pool_3x3(),
        SKIP,
        op.sep_conv(kernel=3),
        op.dil_conv(kernel=5),
        op.relu() >> op.conv(kernel=1) >> op.batchnorm(),
    ]
)


@st.composite
def cells(draw, inputs):
    nodes = []
    for values in range(inputs, inputs + draw(st.integers(1, 3))):
        sources = draw(st.lists(st.integers(0, values - 1), min_size=1, max_size=3))
        nodes.append(node(*((draw(EDGES), source) for source in sources)))
    output = draw(st.sampled_from(["last", "concat"]))
    return op.cell(*nodes, inputs=inputs, output=output, stride=draw(st.integers(1, 2)))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 2).flatmap(cells), min_size=1, max_size=4), st.integers(3, 11), st.data())
def test_chains_of_any_cells_have_the_shape_of_their_rule(parts, side, data):
    body = parts[0]
    for part in parts[1:]:
        body = body >> part
    mode = data.draw(st.sampled_from(["standard", "search"]))
    term = op.chain(body, width=4) >> op.head()
    assert infer_shape(term, (2, side, side), 3, mode=mode) == (3,)
    network = compile_network(term, (2, side, side), 3, mode=mode)
    chain = network.get_submodule("chain_0")
    assert chain(torch.randn(2, 2, side, side)).shape[1:] == infer_shape(term.parts[0], (2, side, side), None)
    network(torch.randn(2, 2, side, side)).sum().backward()
    assert network.get_parameter("head_1.linear.weight").grad is not None


@pytest.mark.parametrize("identity", ["identity()", "empty()", "identity() >> identity()", "skip()"])
def test_drop_path_knows_identities_however_they_are_written(identity):
    network = build(f"add({identity}, tanh())")
    set_drop_path(network, 0.999)
    x = torch.rand(64, 6, 8, 8)
    torch.manual_seed(0)
    kept = torch.isclose(network(x), x).flatten(1).all(1)
    assert kept.float().mean() > 0.9  # the other branch is dropped, the identity is not
