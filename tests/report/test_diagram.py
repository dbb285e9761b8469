import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.language import Seq, Term, add, define, empty, op, parse, program, ref, repeat, residual, seq, train
from nas.language.dsl import name
from nas.report.diagram import CHARACTER, LINE, Box, Label, Line, diagram

CELL = op.cell(
    op.node(op.conv(kernel=3), inputs=(0,)),
    op.node(op.skip(), op.zero(), inputs=(0, 1)),
    op.node(op.conv(kernel=1) >> op.relu(), op.pool(), op.skip(), inputs=(0, 1, 2)),
)
STACKED = define(
    op.chain(repeat(ref("normal"), 6) >> ref("reduction") >> op.head(), stem=3, width=36),
    normal=op.cell(op.node(op.a(), op.b(), inputs=(0, 1)), op.node(op.a(), op.b(), inputs=(0, 2)), inputs=2),
    reduction=op.cell(op.node(op.a(), op.b(), inputs=(0, 1)), inputs=2, output="concat"),
)
PROGRAM = program(
    op.inputs(w="tensor", g="tensor"),
    op.sign(name("g")) >> op.multiply(name("x0"), 0.1),
    update=name("x1"),
)
LEAF = st.builds(
    lambda name, width: getattr(op, name)(width=width),
    st.sampled_from(["conv", "separable_convolution", "relu"]),
    st.integers(0, 10**6),
)
NETWORK = st.recursive(
    LEAF | st.just(empty()) | st.just(CELL),
    lambda parts: (
        st.lists(parts, max_size=12).map(lambda p: seq(*p))
        | parts.map(residual)
        | parts.map(lambda p: op.wrapped(p, rate=0.5))
        | st.lists(parts, min_size=2, max_size=4).map(lambda p: add(*p))
        | st.lists(parts, min_size=2, max_size=4).map(lambda p: op.join(*p, axis="channels, then features"))
        | st.tuples(parts, st.integers(0, 4)).map(lambda pair: repeat(*pair))
    ),
    max_leaves=25,
)


def boxes(term: Term, *kinds: str):
    found = [shape for shape in diagram(term).shapes if isinstance(shape, Box)]
    return [box for box in found if not kinds or box.kind in kinds]


def texts(term: Term, *kinds: str):
    return [box.text for box in boxes(term, *kinds)]


def overlap(a: Box, b: Box) -> bool:
    apart = (
        a.x + a.width <= b.x + 1e-9
        or b.x + b.width <= a.x + 1e-9
        or a.y + a.height <= b.y + 1e-9
        or b.y + b.height <= a.y + 1e-9
    )
    return not apart


def encloses(outer: Box, inner: Box) -> bool:
    return (
        outer.x <= inner.x
        and outer.y <= inner.y
        and inner.x + inner.width <= outer.x + outer.width + 1e-9
        and inner.y + inner.height <= outer.y + outer.height + 1e-9
    )


@settings(max_examples=80, deadline=None)
@given(NETWORK)
def test_boxes_lie_inside_and_never_overlap_unless_a_frame_encloses_them(term):
    block = diagram(term)
    outline = Box(-1e-9, -1e-9, block.width + 2e-9, block.height + 2e-9, "")
    found = boxes(term)
    assert all(encloses(outline, box) for box in found)
    for a, b in itertools.combinations(found, 2):
        framed = (a.kind == "frame" and encloses(a, b)) or (b.kind == "frame" and encloses(b, a))
        assert framed or not overlap(a, b)


@settings(max_examples=80, deadline=None)
@given(NETWORK)
def test_lines_and_texts_lie_inside(term):
    block = diagram(term)
    for shape in block.shapes:
        match shape:
            case Line(points):
                assert all(
                    -1e-9 <= x <= block.width + 1e-9 and -1e-9 <= y <= block.height + 1e-9 for x, y in points
                )
            case Label(x, y, text):
                assert x - len(text) * CHARACTER >= 0
                assert 0 <= y <= block.height
            case Box(width=width, height=height, text=text):
                lines = text.split("\n")
                assert max(map(len, lines)) * CHARACTER <= width
                assert len(lines) * LINE <= height


@settings(max_examples=80, deadline=None)
@given(NETWORK)
def test_what_flows_enters_at_the_top_and_leaves_at_the_bottom(term):
    block = diagram(op.stem() >> term >> op.head())
    ends = {(round(x, 6), round(y, 6)) for s in block.shapes if isinstance(s, Line) for x, y in s.points}
    found = {s.text: s for s in block.shapes if isinstance(s, Box)}
    stem, head = found["stem"], found["head"]
    assert (round(stem.x + stem.width / 2, 6), round(stem.y + stem.height, 6)) in ends
    assert (round(head.x + head.width / 2, 6), round(head.y, 6)) in ends


def test_a_sequence_is_drawn_in_order_from_top_to_bottom():
    found = boxes(op.stem(width=16) >> op.conv(kernel=3, width=8) >> op.head())
    assert [box.text for box in found] == ["stem\nwidth=16", "conv\nkernel=3 width=8", "head"]
    assert [box.y for box in found] == sorted(box.y for box in found)


def test_copies_are_drawn_once_in_a_frame():
    assert texts(repeat(op.conv(), 3)) == ["3 copies", "conv"]
    assert texts(repeat(op.conv(), 1)) == ["conv"]
    assert texts(repeat(op.conv(), 0)) == []


def test_branches_meet_in_a_box():
    assert texts(op.a() + op.b() + empty(), "merge") == ["+"]
    assert texts(op.concat(op.a(), op.b()), "merge") == ["concat"]
    assert texts(residual(op.a()), "merge") == ["+"]


def test_a_long_sequence_is_folded_into_columns():
    found = boxes(seq(*[op.conv(kernel=3)] * 60))
    assert len({box.x for box in found}) > 2
    assert max(box.y for box in found) < 14


def test_a_cell_shows_each_operation_between_what_it_reads_and_its_node():
    block = diagram(CELL)
    assert [s.text for s in block.shapes if isinstance(s, Label)] == ["input 0", "node 1", "node 2", "node 3"]
    operations = [s.text for s in block.shapes if isinstance(s, Box) and s.kind == "op"]
    assert operations == ["conv\nkernel=3", "skip", "zero", "conv\nkernel=1", "relu", "pool", "skip"]
    # every operation starts with a dot on the lane it reads, the output with one on its lane
    assert sum(isinstance(s, Line) and s.dot for s in block.shapes) == 6 + 1


def test_a_cell_that_joins_its_nodes_says_so():
    assert texts(STACKED, "merge") == ["output", "concat"]


def test_a_cell_whose_wiring_is_odd_is_drawn_as_its_nodes_in_text():
    odd = op.cell(op.node(op.conv(), inputs=(7,)))
    assert texts(odd) == ["cell", "node(conv(),\ninputs=(7,))"]
    assert texts(op.cell(op.node(op.a(), op.b(), inputs=(0,)))) == ["cell", "node(a(), b(),\ninputs=(0,))"]


def test_definitions_stand_beside_the_network_under_their_names():
    assert "normal = cell(inputs=2)" in texts(STACKED, "frame")
    assert texts(STACKED, "ref") == ["normal", "reduction"]


def test_a_program_is_listed_with_numbered_statements():
    (listing,) = texts(PROGRAM)
    assert listing.split("\n") == [
        "program",
        "given w: tensor, g: tensor",
        "x0 = sign(g)",
        "x1 = multiply(x0, 0.1)",
        "return update = x1",
    ]


def test_a_long_program_is_cut_and_says_so():
    steps = repeat(op.sign(name("g")), 300)
    (listing,) = texts(program(op.inputs(g="tensor"), steps, update=name("x299")))
    assert "... 221 more statements" in listing
    assert listing.endswith("return update = x299")


def test_training_settings_stand_above_the_network():
    settings_box, network = boxes(train(op.conv(), lr=0.1, optimizer="adam"))
    assert settings_box.text == "training\nlr = 0.1\noptimizer = 'adam'"
    assert settings_box.y < network.y


@pytest.mark.parametrize("text", ["conv()", "empty()", "3", "sign(g)"])
def test_every_text_has_a_diagram(text):
    block = diagram(parse(text))
    assert block.width > 0
    assert block.height > 0


def test_nothing_is_a_line():
    (line,) = diagram(Seq(())).shapes
    assert isinstance(line, Line)
