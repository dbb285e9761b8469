import csv
import gzip
import pickle
import random

import pytest
import torch
from torch import nn

from nas.errors import CompileError
from nas.language import Primitive, ShapeMismatch, Vocabulary, define, op, parse, ref, repeat
from nas.layers import NETWORK, compile_network, infer_shape, listing
from nas.layers.compile import multiply_adds, parameters
from nas.space import SearchSpace

CIFAR = (3, 32, 32)

SEP3, SEP5 = op.sep_conv(kernel=3), op.sep_conv(kernel=5)
DIL3, DIL5 = op.dil_conv(kernel=3), op.dil_conv(kernel=5)
MAX, AVG, SKIP, ZERO = op.max_pool_3x3(), op.avg_pool_3x3(), op.skip(), op.zero()


def node(*edges):
    return op.node(*(operation for operation, _ in edges), inputs=tuple(source for _, source in edges))


def darts(normal, reduction, cells=20, width=36):
    """DARTS' macro architecture: reductions at one third and at two thirds."""
    first, second = cells // 3, 2 * cells // 3
    body = (
        repeat(ref("normal"), first)
        >> ref("reduction")
        >> repeat(ref("normal"), second - first - 1)
        >> ref("reduction")
        >> repeat(ref("normal"), cells - second - 1)
    )
    return define(
        op.chain(body, width=width) >> op.head(),
        normal=op.cell(*normal, inputs=2, output="concat"),
        reduction=op.cell(*reduction, inputs=2, output="concat", stride=2),
    )


# Liu et al. 2019, the published genotypes
DARTS_V1 = darts(
    [
        node((SEP3, 1), (SEP3, 0)),
        node((SKIP, 0), (SEP3, 1)),
        node((SKIP, 0), (SEP3, 1)),
        node((SEP3, 0), (SKIP, 2)),
    ],
    [
        node((MAX, 0), (MAX, 1)),
        node((SKIP, 2), (MAX, 0)),
        node((MAX, 0), (SKIP, 2)),
        node((SKIP, 2), (AVG, 0)),
    ],
)
DARTS_V2 = darts(
    [
        node((SEP3, 0), (SEP3, 1)),
        node((SEP3, 0), (SEP3, 1)),
        node((SEP3, 1), (SKIP, 0)),
        node((SKIP, 0), (DIL3, 2)),
    ],
    [
        node((MAX, 0), (MAX, 1)),
        node((SKIP, 2), (MAX, 1)),
        node((MAX, 0), (SKIP, 2)),
        node((SKIP, 2), (MAX, 1)),
    ],
)

NASBENCH201 = {
    "none": ZERO,
    "skip_connect": SKIP,
    "nor_conv_1x1": op.relu_conv_bn(kernel=1),
    "nor_conv_3x3": op.relu_conv_bn(kernel=3),
    "avg_pool_3x3": AVG,
}


def nasbench201(text, repeats=5):
    """The benchmark's network for one of its strings, e.g. "|none~0|+|none~0|none~1|+..."."""
    edges = [[edge.split("~") for edge in part.strip("|").split("|")] for part in text.split("+")]
    nodes = [node(*((NASBENCH201[name], int(source)) for name, source in part)) for part in edges]
    cells = repeat(ref("cell"), repeats)

    def reduction(width):
        first = op.relu_conv_bn(kernel=3, width=width, stride=2)
        body = first >> op.relu_conv_bn(kernel=3, width=width)
        return op.add(body, op.avgpool(kernel=2) >> op.pointwise(width=width, bias=False))

    stages = op.stem(width=16) >> cells >> reduction(32) >> cells >> reduction(64) >> cells
    return define(stages >> op.batchnorm() >> op.relu() >> op.head(), cell=op.cell(*nodes))


def build(text, shape=(6, 8, 8), classes=None, **options):
    return compile_network(parse(text), shape, classes, **options)


@pytest.mark.parametrize(("term", "expected"), [(DARTS_V1, 3_169_414), (DARTS_V2, 3_349_342)])
def test_published_darts_networks_have_their_parameters(term, expected):
    assert parameters(term, CIFAR, 10) == expected


def test_darts_supernet_has_its_weights():
    mixed = op.add(ZERO, MAX, AVG, SKIP, SEP3, SEP5, DIL3, DIL5)
    nodes = [node(*((mixed, source) for source in range(values))) for values in range(2, 6)]
    with torch.device("meta"):
        network = compile_network(darts(nodes, nodes, cells=8, width=16), CIFAR, 10, mode="search")
    assert sum(weight.numel() for weight in network.parameters()) == 1_930_618


@pytest.fixture(scope="module")
def table(shared_data):
    with gzip.open(shared_data / "nasbench201_cifar10.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


def cost(text):
    term = nasbench201(text)
    return parameters(term, CIFAR, 10), multiply_adds(term, CIFAR, 10)


def test_nasbench201_rows_agree_in_parameters_and_multiply_adds(table):
    for row in random.Random(0).sample(table, 4):
        weights, products = cost(row["arch_str"])
        assert weights == pytest.approx(float(row["params_M_c10"]) * 1e6, abs=5.01)
        # The table also counts the ten biases of the classifier.
        assert products + 10 == pytest.approx(float(row["flops_M_c10"]) * 1e6, abs=10.1)


def test_nasbench201_table_agrees_but_where_it_contradicts_itself(table):
    """Costs add up over operations, so three networks give those of all 15,625.

    In 150 rows the table's costs are those of a cell with one convolution more or fewer than
    its own `arch_str` has.
    """
    empty = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    base = cost(empty)
    kinds = ("nor_conv_1x1", "nor_conv_3x3")
    each = [[c - b for c, b in zip(cost(empty.replace("none", k, 1)), base, strict=True)] for k in kinds]
    wrong = []
    for row in table:
        counts = [row["arch_str"].count(kind) for kind in kinds]
        ours = [b + sum(n * e[i] for n, e in zip(counts, each, strict=True)) for i, b in enumerate(base)]
        given_ = [float(row[key]) * 1e6 for key in ("params_M_c10", "flops_M_c10")]
        if abs(ours[0] - given_[0]) > 5.01 or abs(ours[1] + 10 - given_[1]) > 10.1:
            wrong.append((given_[0] - ours[0], given_[1] - ours[1] - 10))
    assert len(wrong) == 150
    for extra in wrong:
        assert any(extra == pytest.approx((s * e[0], s * e[1]), abs=10.1) for e in each for s in (1, -1))


def test_nasbench201_network_computes_what_the_paper_says():
    """One cell by hand: each node sums the operations on the values before it."""
    text = "|nor_conv_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|none~0|nor_conv_1x1~1|skip_connect~2|"
    network = compile_network(nasbench201(text, repeats=1), CIFAR, 10, seed=3).eval()
    x = torch.randn(2, *CIFAR)
    value0 = network.stem_0(x)
    cell = network.repeat_1.cell_0
    value1 = cell.nodes.node_1.operations.relu_conv_bn_0(value0)
    value2 = value0 + nn.functional.avg_pool2d(value1, 3, 1, 1, count_include_pad=False)
    value3 = cell.nodes.node_3.operations.relu_conv_bn_1(value1) + value2
    assert torch.allclose(cell(value0), value3, atol=1e-6)


def test_copies_never_share_weights():
    network = build("define(repeat(block, 2) >> block >> block, block=conv())")
    weights = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert len(weights) == len({weight.data_ptr() for weight in weights}) == 4


def test_empty_sequence_and_repeat_do_nothing():
    x = torch.randn(2, 6, 8, 8)
    assert torch.equal(build("repeat(conv(), 0)")(x), x)
    assert torch.equal(compile_network(op.add(parse("empty()")), (6, 8, 8), None)(x), x)


@pytest.mark.parametrize(
    "text",
    [
        "define(b >> b, w=5, a=conv(width=w), b=a >> relu())",
        "define(define(b, b=a >> a), a=conv(width=5))",
        "define(define(a, a=a >> relu()), a=conv(width=5))",
    ],
)
def test_definition_sees_those_before_it(text):
    assert infer_shape(parse(text), (6, 8, 8), None) == (5, 8, 8)


def test_train_wraps_a_network_without_changing_it():
    wrapped = build("train(stem(width=4) >> head(), lr=0.01, epochs=3)", classes=3)
    assert str(wrapped) == str(build("stem(width=4) >> head()", classes=3))


def test_same_seed_same_weights_and_global_state_untouched():
    text = "stem(width=4) >> sep_conv() >> head()"
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    first, again, other = (build(text, classes=3, seed=seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(12)
    later = build(text, classes=3, seed=5).state_dict()
    assert all(torch.equal(first[key], again[key]) and torch.equal(first[key], later[key]) for key in first)
    assert not torch.equal(first["stem_0.conv.weight"], other["stem_0.conv.weight"])


def test_architecture_of_a_space_compiles_with_its_vocabulary():
    space = SearchSpace(
        "tiny", "train(stem(width=oneof(4, 8)) >> repeat(relu(), 0, 2) >> head(), lr=real(0.1, 1))"
    )
    architecture = space.parse("train(stem(width=8) >> relu() >> relu() >> head(), lr=0.5)")
    network = compile_network(pickle.loads(pickle.dumps(architecture)), (1, 8, 8), 10)
    assert network(torch.randn(2, 1, 8, 8)).shape == (2, 10)


def widen(in_shape, attributes, parts, context):
    if in_shape[0] > 8:
        raise ShapeMismatch(f"expected at most 8 channels, got {in_shape[0]}; narrow it")
    return (2 * in_shape[0], *in_shape[1:])


def build_widen(in_shape, attributes, parts, context):
    return nn.Conv2d(in_shape[0], 2 * in_shape[0], 1)


def test_own_primitives_compile_and_fail_at_their_place():
    own = NETWORK.extended("own", Primitive("widen", (), (0, 0), "doubles", widen, build_widen))
    term = parse("residual(widen() >> widen()) >> head()")
    assert compile_network(term, (3, 8, 8), 2, vocabulary=own)(torch.randn(2, 3, 8, 8)).shape == (2, 2)
    place = (
        r'^root\.parts\[0\]\.args\[0\]\.parts\[1\] "widen": expected at most 8 channels, got 10; narrow it$'
    )
    with pytest.raises(CompileError, match=place):
        infer_shape(term, (5, 8, 8), 2, vocabulary=own)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "stem(width=4) >> define(repeat(a, 2), a=conv() >> flatten()) >> head()",
            r'^root\.parts\[1\]\.body\.body\[1\]->a\.parts\[0\] "conv": expected an image',
        ),
        (
            "conv() >> relu()",
            r"^root: expected \(10,\) for 10 classes, got \(6, 8, 8\); end the network with",
        ),
        ("cnov() >> head()", r'^root\.parts\[0\] "cnov": primitive "cnov" is not .* did you mean "conv"\?'),
        ("conv(kernal=3) >> head()", r'"conv" has no attribute "kernal"; .* did you mean "kernel"\?'),
        (
            "(conv() | relu()) >> head()",
            r"^root\.parts\[0\]: expected a network, got Choice conv\(\) \| relu",
        ),
        (
            "repeat(conv(), 1, 2) >> head()",
            r"^root\.parts\[0\]: expected a network, got Repeat .* fill its holes",
        ),
        ("train(head(), lr=-1.0)", r'^root "train": .*lr.*: expected a number above 0, got -1\.0'),
    ],
)
def test_faults_are_placed_and_explained(text, message):
    with pytest.raises(CompileError, match=message):
        compile_network(parse(text), (6, 8, 8), 10)


def test_undefined_reference_lists_what_is_defined():
    with pytest.raises(
        CompileError, match=r"^root\.body: expected a name that is defined here \(a\), got b; bind it with"
    ):
        infer_shape(define(ref("b"), a=op.conv()), (6, 8, 8), None)


@pytest.mark.parametrize("shape", [(3, 32), (3, 0, 32), (), (3.0, 32, 32)])
def test_input_shape_is_checked(shape):
    with pytest.raises(CompileError, match=r"^input: expected \(C, H, W\) or \(F,\), each at least 1, got"):
        infer_shape(op.head(), shape, 10)


def test_program_primitives_are_no_network():
    other = Vocabulary("programs", (Primitive("multiply", arity=(2, 2), kind="program"),))
    with pytest.raises(CompileError, match=r"expected a network, got a primitive of kind program"):
        infer_shape(op.multiply(op.conv(), op.conv()), (3, 8, 8), 10, vocabulary=other)


def test_listing_shows_layers_shapes_and_parameters():
    text = "define(stem(width=4) >> repeat(block, 2) >> head(), block=relu() >> conv(kernel=1))"
    lines = [line.split("  ") for line in listing(parse(text), (3, 8, 8), 10).splitlines()]
    cells_ = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells_[0] == ["Sequential", "(10,)", "206"]
    assert ["block_0: Sequential", "(4, 8, 8)", "20"] in cells_
    assert ["conv_1: Conv2d(4, 4, kernel_size=(1, 1), stride=(1, 1))", "(4, 8, 8)", "20"] in cells_
    assert ["linear: Linear(in_features=4, out_features=10, bias=True)", "(10,)", "50"] in cells_


def _raise(*_: object) -> tuple[int, ...]:
    raise KeyError("wdth")


def _flat(*_: object) -> object:
    return [3, 8, 8]


def _same(in_shape: tuple[int, ...], *_: object) -> tuple[int, ...]:
    return in_shape


@pytest.mark.parametrize(
    ("shape", "builder", "message"),
    [
        (
            _raise,
            _flat,
            "root.parts.1. \"own\": expected its shape rule to work, got KeyError: 'wdth'; raise",
        ),
        (
            lambda: 3,
            _flat,
            'root.parts.1. "own": expected its shape rule to work, got TypeError: .*takes 0 positional',
        ),
        (lambda *_: None, _flat, r"expected its shape rule to return a tuple of integers, .*, got None"),
        (_flat, _flat, r"expected its shape rule to return a tuple of integers, .*, got \[3, 8, 8\]"),
        (lambda *_: (3, 8.0, 8), _flat, r"a tuple of integers, .*, got \(3, 8.0, 8\)"),
        (_same, _raise, "root.parts.1. \"own\": expected its builder to work, got KeyError: 'wdth'; "),
        (
            _same,
            _flat,
            r"root.parts.1. \"own\": expected its builder to return a torch module, got \[3, 8, 8\]",
        ),
    ],
)
def test_own_primitives_that_break_are_named_with_their_place(shape, builder, message):
    own = NETWORK.extended("own", Primitive("own", shape=shape, build=builder))
    with pytest.raises(CompileError, match=message) as caught:
        compile_network(op.relu() >> op.own(), (3, 8, 8), None, vocabulary=own)
    assert "\n" not in str(caught.value)


def test_settings_of_a_training_stand_at_the_root():
    compile_network(parse("define(train(b, lr=0.1), b=conv())"), (3, 8, 8), None)
    with pytest.raises(
        CompileError,
        match=r"expected train\(...\) at the root alone, got it inside, where its settings never",
    ):
        compile_network(op.relu() >> op.train(op.conv(), lr=0.1), (3, 8, 8), None)
