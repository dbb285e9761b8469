import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from nas.report.comparison import read_comparison
from nas.report.comparison.figures import (
    critical_figure,
    evaluations_figure,
    figures,
    found_figure,
    mean_figure,
    quantiles_figure,
    quartiles_figure,
    time_figure,
)
from nas.report.figures import regret_axis, span, styles
from nas.report.output import image
from nas.report.statistics import friedman
from tests.report.comparison.comparison_kit import (
    LATENCY,
    VALIDATION,
    analysed,
    baseline,
    real_comparison,
    spread,
    study,
    two_methods,
    write_manifest,
)


def line(axes, label):
    return next(each for each in axes.lines if each.get_label() == label)


def test_medians_are_drawn_after_each_evaluation(tmp_path):
    """Regrets of "slow": 6, 6, 6, 3; none, 5, 5, 4; 16, 11, 8, 8."""
    validation, test = evaluations_figure(analysed(two_methods(tmp_path))).axes
    slow = line(validation, "slow")
    assert slow.get_xdata().tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(slow.get_ydata(), [16, 6, 6, 4])
    assert slow.get_drawstyle() == "steps-post"
    assert slow.get_markevery() == [1, 3]
    np.testing.assert_array_equal(line(test, "quick").get_ydata(), [5, 5, 5, 3])
    assert validation.get_ylabel() == "regret of validation accuracy (%)\nmedian"


def test_an_infinite_median_is_not_drawn(tmp_path):
    write_manifest(tmp_path, ["a"], 1)
    study(tmp_path, "a", 0, [None, (90, 80)])
    axes = evaluations_figure(analysed(tmp_path)).axes[0]
    np.testing.assert_array_equal(line(axes, "a").get_ydata(), [np.nan, 6, np.nan, np.nan])


def test_time_is_in_the_largest_unit_of_which_there_are_two(tmp_path):
    analysis = analysed(two_methods(tmp_path))
    axes = time_figure(analysis, np.array([60.0, 120, 180, 240])).axes[0]
    assert axes.get_xlabel() == "search time (minutes)"
    np.testing.assert_allclose(line(axes, "slow").get_xdata(), [1, 2, 3, 4])
    np.testing.assert_array_equal(line(axes, "slow").get_ydata(), [16, 6, 6, 4])


def test_every_method_has_a_panel_with_its_quartiles(tmp_path):
    analysis = analysed(spread(tmp_path, dict.fromkeys("abcdef", 3)))
    figure = quartiles_figure(analysis, analysis.quantities[0])
    assert [axes.get_title() for axes in figure.axes if axes.get_visible()] == list("abcdef")
    assert all(len(axes.collections) == 1 and len(axes.lines) == 6 for axes in figure.axes[:6])
    assert sum(axes.get_visible() for axes in figure.axes) == 6


def test_the_mean_has_its_standard_error_at_the_budgets(tmp_path):
    """After 2 evaluations "quick" holds 96, 95 and 93."""
    analysis = analysed(two_methods(tmp_path, optimum={}))
    (axes,) = mean_figure(analysis, analysis.quantities[0]).axes
    assert line(axes, "quick").get_ydata()[1] == pytest.approx(284 / 3)
    bars = axes.containers[1].lines[2][0].get_segments()
    error = np.std([96, 95, 93], ddof=1) / 3**0.5
    np.testing.assert_allclose(bars[0][:, 1], [284 / 3 - error, 284 / 3 + error])


def test_quantiles_are_shares_of_all_candidates(tmp_path):
    analysis = analysed(two_methods(tmp_path))
    baseline(tmp_path, (70, 60), None, (90, 75), (80, 70))
    (axes,) = quantiles_figure(analysis).axes
    slow = line(axes, "slow")
    assert slow.get_xdata().tolist() == [80, 85, 88, 88, 90, 90, 91, 91, 92, 93]
    np.testing.assert_allclose(slow.get_ydata(), 100 * np.arange(10, 0, -1) / 12)  # two of 12 failed
    random = line(quantiles_figure(analysed(tmp_path)).axes[0], "random architectures")
    np.testing.assert_allclose(random.get_ydata(), [75, 50, 25])


def test_the_share_of_runs_that_found_the_best_is_drawn(tmp_path):
    (axes,) = found_figure(analysed(two_methods(tmp_path))).axes
    np.testing.assert_allclose(line(axes, "quick").get_ydata(), 100 * np.array([1, 1, 1, 2]) / 3)


def test_thirteen_methods_look_different(tmp_path):
    names = ["default", "random", *"abcdefghijk"]
    comparison = read_comparison(write_manifest(tmp_path, names, 1, default="default"))
    look = styles(comparison.methods, comparison.default, comparison.random)
    assert len({(str(s["color"]), str(s["ls"])) for s in look.values()}) == 13
    assert len({(str(s["color"]), s["marker"]) for s in look.values()}) == 13
    assert look["default"]["lw"] == max(s["lw"] for s in look.values())


def test_the_axis_of_regrets_reaches_from_zero_to_the_worst():
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    regret_axis(axes, [np.array([5.0, 0.03, 0.0, np.nan, np.inf])])
    low, high = axes.get_ylim()
    assert low < 0 < 5 < high < 10
    assert axes.get_yticks().tolist() == pytest.approx([0, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5])
    axes = Figure().add_subplot()
    regret_axis(axes, [np.zeros(3)])
    assert axes.get_yscale() == "linear"


def test_outliers_on_the_bad_side_are_out_of_view():
    values = [np.arange(101.0)]
    assert span(values, "maximize", 0.05) == pytest.approx((5 - 5.7, 105.7))
    assert span(values, "minimize", 0.05) == pytest.approx((-5.7, 95 + 5.7))
    assert span([np.array([np.nan, np.inf])], "maximize", 0.05) is None


def test_the_diagram_joins_what_the_critical_difference_does_not_separate():
    losses = np.random.default_rng(0).normal(size=(40, 4)) + np.array([0, 0.1, 3, 9])
    ranks = friedman(losses)
    figure = critical_figure(["a", "b_2", "c", "d"], ranks, "title")
    (axes,) = figure.axes
    bars = [each.get_xdata() for each in axes.lines if each.get_linewidth() == 3]
    first, second = sorted(ranks.mean_ranks)[:2]
    assert len(bars) == 1
    np.testing.assert_allclose(bars[0], (first - 0.05, second + 0.05))
    written = " ".join(text.get_text() for text in axes.texts)
    assert f"critical difference {ranks.critical_difference:.2f}" in written
    assert all(f"{rank:.2f}" in written for rank in ranks.mean_ranks)
    scale = next(each for each in axes.lines if each.get_marker() == "|").get_xdata()
    assert scale[1] - scale[0] == pytest.approx(ranks.critical_difference)


def test_labels_stay_inside_the_diagram():
    names = ["a_method_with_quite_a_long_name"] + [f"method_{index}" for index in range(12)]
    figure = critical_figure(names, friedman(np.random.default_rng(0).normal(size=(30, 13))), "title")
    figure.draw_without_rendering()
    box = figure.bbox
    for text in figure.axes[0].texts:
        extent = text.get_window_extent()
        assert box.x0 <= extent.x0 < extent.x1 <= box.x1, text
        assert box.y0 <= extent.y0 < extent.y1 <= box.y1, text


def test_numbers_of_many_ranks_keep_their_distance():
    names = [f"regularized_evolution_crossover_{index}" for index in range(14)]
    figure = critical_figure(names, friedman(np.random.default_rng(0).normal(size=(30, 14))), "title")
    figure.draw_without_rendering()
    numbers = [text for text in figure.axes[0].texts if text.get_text().isdigit()]
    boxes = [text.get_window_extent() for text in numbers]
    assert [text.get_text() for text in numbers] == [str(rank) for rank in range(1, 15)]
    assert all(right.x0 - left.x1 > 2 for left, right in pairwise(boxes))


def test_titles_of_small_panels_do_not_overlap(tmp_path):
    names = [
        "regularized_evolution_crossover",
        "r" * 40,
        "a_quite_long_name_of_many_words_and_more",
        "random",
    ]
    analysis = analysed(spread(tmp_path, dict.fromkeys(names, 3)))
    figure = quartiles_figure(analysis, analysis.quantities[0])
    figure.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    assert [axes.get_title().replace("\n", "") for axes in figure.axes] == names
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert boxes[0].x0 >= 0
    assert boxes[-1].x1 <= figure.bbox.x1


def test_the_axis_of_evaluations_begins_at_the_first(tmp_path):
    analysis = analysed(two_methods(tmp_path, budgets=[4]))
    (axes, _) = evaluations_figure(analysis).axes
    assert axes.get_xlim() == (1, 4)
    assert axes.get_xticks().tolist() == [1, 4]


@pytest.mark.slow
@pytest.mark.parametrize("several", [False, True])
def test_all_figures_can_be_drawn(tmp_path, several):
    changes = {"objectives": [VALIDATION, LATENCY], "optimum": {}} if several else {}
    write_manifest(tmp_path, ["a", "b"], 3, default="a", **changes)
    for seed in range(3):
        for shift, method in enumerate("ab"):
            trials = [{"values": (80 + n - shift, 9), "latency": 20.0 - n - seed} for n in range(4)]
            study(tmp_path, method, seed, trials)
    drawn = dict(figures(analysed(tmp_path)))
    keys = (
        ["hypervolume", "validation_accuracy", "test_accuracy"]
        if several
        else [
            "validation_accuracy_regret",
            "test_accuracy_regret",
        ]
    )
    assert set(drawn) == {
        *("evaluations", "time", "found", "quantiles"),
        *(f"quartiles_{key}" for key in keys),
        *(f"mean_{key}" for key in keys if several and key != "hypervolume"),
        *(f"critical_difference_{key}_{budget}" for key in keys for budget in (2, 4)),
    }
    for draw in drawn.values():
        picture = Image.open(io.BytesIO(image(draw(), "png")))
        assert len(picture.getcolors(maxcolors=1 << 20) or range(99)) > 3


def test_a_comparison_in_which_nothing_ran_has_no_figures(tmp_path):
    assert list(figures(analysed(write_manifest(tmp_path, ["a"], 1)))) == []


def test_a_clock_that_stands_still_has_no_axis(tmp_path):
    write_manifest(tmp_path, ["a"], 1)
    study(tmp_path, "a", 0, [{"values": (90, 80), "cost": 0.0}] * 4)
    assert "time" not in dict(figures(analysed(tmp_path)))


def test_a_real_comparison_is_drawn_to_the_end_of_its_runs(tmp_path):
    analysis = analysed(real_comparison(tmp_path))
    for axes in evaluations_figure(analysis).axes:
        assert all(np.isfinite(each.get_ydata()[4:]).all() for each in axes.lines)
