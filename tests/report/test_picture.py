import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import pytest

from nas.language import empty, op, repeat, residual, train
from nas.report.diagram import architecture_figure

NETWORK = train(op.stem(width=16) >> repeat(residual(op.conv(kernel=3)), 3) >> op.head(), lr=0.1)


def test_the_picture_is_an_svg_with_its_size_in_inches(tmp_path):
    path = tmp_path / "picture.svg"
    figure = architecture_figure(NETWORK, title="toy, 1a2b3c4d")
    figure.savefig(path)
    root = ElementTree.parse(path).getroot()
    assert root.tag.endswith("svg")
    assert float(root.attrib["width"].removesuffix("pt")) == pytest.approx(72 * figure.get_figwidth())


def test_the_picture_shows_every_box_and_the_title():
    figure = architecture_figure(NETWORK, title="toy, 1a2b3c4d")
    shown = {text.get_text() for text in figure.axes[0].texts}
    assert {"toy, 1a2b3c4d", "stem\nwidth=16", "conv\nkernel=3", "head", "3 copies", "+"} <= shown


def test_equal_operations_have_equal_colours_and_others_differ():
    figure = architecture_figure(op.conv() >> op.relu() >> op.conv())
    fills = [patch.get_facecolor() for patch in figure.axes[0].patches if patch.get_facecolor()[3] > 0]
    first, second, third = [fill for fill in fills if fill[:3] != (0.2, 0.2, 0.2)][:3]
    assert first == third
    assert first != second


def test_texts_stay_inside_their_boxes():
    figure = architecture_figure(op.separable_convolution(kernel=3, width=123456, dilation=2))
    figure.draw_without_rendering()
    (text,), (box,) = figure.axes[0].texts, figure.axes[0].patches
    inside, outside = text.get_window_extent(), box.get_window_extent()
    assert outside.x0 < inside.x0 < inside.x1 < outside.x1
    assert outside.y0 < inside.y0 < inside.y1 < outside.y1


def test_names_are_not_read_as_formulas(tmp_path):
    architecture_figure(op.a(note="$x_1$"), title="$broken").savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 0


def test_a_huge_network_still_fits_a_bitmap(tmp_path):
    term = op.conv()
    for _ in range(150):
        term = op.wrapped(term)
    figure = architecture_figure(term)
    assert max(figure.get_size_inches()) <= 200


def test_nothing_can_be_drawn_and_matplotlibs_settings_stay():
    before = dict(mpl.rcParams)
    architecture_figure(empty()).draw_without_rendering()
    assert dict(mpl.rcParams) == before
