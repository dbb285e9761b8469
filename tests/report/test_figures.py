import io
import math

import matplotlib as mpl
import numpy as np
import pytest

from nas.report import COLOURS, Run
from nas.report.figures import comparison_figure, progress_figure
from nas.report.results import result_tables
from nas.study import read_study
from tests.report.report_kit import Log, finished_run, pairs


def table_of(*directories):
    (table,) = result_tables([Run.of(read_study(directory)) for directory in directories])
    return table


def labels(figure):
    return figure.axes[0].get_legend_handles_labels()[1]


def line(figure, label):
    handles, names = figure.axes[0].get_legend_handles_labels()
    return np.array(handles[names.index(label)].get_data())


def draw(figure):
    figure.savefig(io.BytesIO(), format="png")


def test_progress_is_the_best_so_far_against_the_work_spent(tmp_path):
    figure = progress_figure(table_of(finished_run(tmp_path)))
    x, y = line(figure, "regularized_evolution")
    # trial 1 failed: a minute of work without a value
    np.testing.assert_allclose(x, [1, 3, 4])
    np.testing.assert_allclose(y, [91, 95, 95])
    assert figure.axes[0].get_xlabel() == "cost of all search evaluations so far (minutes)"
    assert figure.axes[0].get_ylabel() == "validation accuracy (%)"


def test_progress_shows_random_sampling_as_a_band_and_its_expected_best(tmp_path):
    figure = progress_figure(table_of(finished_run(tmp_path)))
    x, y = line(figure, "random sampling: expected best")
    np.testing.assert_allclose(x, [1, 2, 3])
    np.testing.assert_allclose(y, [91, (91 + 92 + 92) / 3, 92])
    assert labels(figure)[:3] == [
        "random sampling: range (n = 3)",
        "random sampling: quartiles",
        "random sampling: median",
    ]


def test_progress_orders_trials_by_their_end(tmp_path):
    log = Log(tmp_path).opened()
    first, second = log.asked("search", 0), log.asked("search", 1)
    log.evaluated(second, (95.0, 94.0)).evaluated(first, (91.0, 90.0))
    x, y = line(progress_figure(table_of(log.write())), "regularized_evolution")
    np.testing.assert_allclose(x, [1, 2])
    np.testing.assert_allclose(y, [95, 95])


def test_progress_of_a_minimised_quantity_falls(tmp_path):
    figure = progress_figure(table_of(finished_run(tmp_path, direction="minimize", unit="")))
    _, y = line(figure, "regularized_evolution")
    np.testing.assert_allclose(y, [91, 91])
    assert figure.axes[0].get_ylabel() == "validation accuracy"


def test_progress_counts_values_of_the_highest_fidelity_only(tmp_path):
    log = Log(tmp_path).opened()
    log.trial("search", 0, (99.0, 98.0), fidelity={"name": "epochs", "value": 1})
    log.trial("search", 1, (91.0, 90.0), fidelity={"name": "epochs", "value": 9})
    log.baseline((95.0, 94.0))
    figure = progress_figure(table_of(log.write()))
    x, y = line(figure, "regularized_evolution")
    np.testing.assert_allclose(x, [2, 2])
    np.testing.assert_allclose(y, [91, 91])
    # the baseline ran fully and has no curve
    assert labels(figure) == [
        "random sampling: not drawn, no values at epochs = 9",
        "regularized_evolution",
    ]


def at_epoch(epoch):
    return {"name": "epochs", "value": epoch}


def curve_of(*values):
    return [{"epoch": epoch, "validation_accuracy": value} for epoch, value in enumerate(values, start=1)]


def low_fidelity_search(directory, *curves, last=lambda curve: curve[-1]):
    """Two search trials of two epochs beside random architectures with these full curves."""
    log = Log(directory).opened()
    for index in range(2):
        log.trial("search", index, (91.0, 90.0), fidelity=at_epoch(2))
    for index, curve in enumerate(curves):
        log.evaluated(log.asked("baseline", index, f"a{index}"), (last(curve), 0.0), curve=curve_of(*curve))
    return progress_figure(table_of(log.write()))


def test_random_sampling_beside_a_search_at_a_lower_fidelity_is_that_of_its_curves(tmp_path):
    figure = low_fidelity_search(tmp_path, (70.0, 80.0, 85.0, 95.0), (60.0, 84.0, 90.0, 96.0))
    assert labels(figure)[0] == "random sampling at epochs = 2: range (n = 2)"
    x, y = line(figure, "random sampling: expected best")
    np.testing.assert_allclose(y, [82, 84])
    np.testing.assert_allclose(x, [0.5, 1])  # two of four epochs that took a minute


def test_random_sampling_at_a_lower_fidelity_is_the_best_so_far_where_the_best_epoch_counts(tmp_path):
    figure = low_fidelity_search(tmp_path, (80.0, 70.0, 85.0, 83.0), (60.0, 84.0, 90.0, 96.0), last=max)
    np.testing.assert_allclose(line(figure, "random sampling: expected best")[1], [82, 84])


def test_random_sampling_that_stopped_early_has_its_last_value_at_every_later_epoch(tmp_path):
    figure = low_fidelity_search(tmp_path, (70.0,), (60.0, 84.0, 90.0, 96.0))
    np.testing.assert_allclose(line(figure, "random sampling: expected best")[1], [77, 84])


@pytest.mark.parametrize(
    "curves",
    [
        [[{"epoch": 1, "validation_accuracy": 70.0}, {"epoch": 4, "validation_accuracy": 94.0}]],
        [[{"epoch": 2, "validation_accuracy": 70.0}, {"epoch": 4, "validation_accuracy": 93.0}]],
        [[{"epoch": 2, "train_loss": 1.0}]],
        [[{"step": 2, "validation_accuracy": 94.0}]],
    ],
    ids=["not at this epoch", "the value is none of the curve", "another quantity", "no epochs"],
)
def test_random_sampling_without_values_at_the_fidelity_is_said_to_be_left_out(tmp_path, curves):
    log = Log(tmp_path).opened()
    log.trial("search", 0, (91.0, 90.0), fidelity=at_epoch(2))
    for index, curve in enumerate(curves):
        log.evaluated(log.asked("baseline", index), (94.0, 93.0), curve=curve)
    figure = progress_figure(table_of(log.write()))
    assert labels(figure)[0] == "random sampling: not drawn, no values at epochs = 2"
    draw(figure)


def test_progress_of_several_runs_shows_their_median(tmp_path):
    runs = []
    for seed, values in enumerate([(90.0, 94.0), (91.0, 92.0), (80.0, 93.0)]):
        log = Log(tmp_path / str(seed), seed=seed).opened().search(*pairs(values))
        runs.append(log.closed().write())
    x, y = line(progress_figure(table_of(*runs)), "regularized_evolution: median of 3 runs")
    np.testing.assert_allclose(x, [1, 2])
    np.testing.assert_allclose(y, [91, 94])


@pytest.mark.parametrize(
    ("cost", "unit", "end"),
    [(1.0, "seconds", 4), (60.0, "minutes", 4), (7200.0, "hours", 8), (200_000.0, "days", 800_000 / 86400)],
)
def test_progress_chooses_a_sensible_unit(tmp_path, cost, unit, end):
    log = Log(tmp_path).opened()
    for index in range(4):
        log.evaluated(log.asked("search", index), (90.0, 89.0), cost=cost)
    figure = progress_figure(table_of(log.write()))
    assert figure.axes[0].get_xlabel().endswith(f"({unit})")
    assert line(figure, "regularized_evolution")[0][-1] == pytest.approx(end)


def test_progress_leaves_an_outlier_out_of_view_but_not_the_best(tmp_path):
    log = Log(tmp_path).opened()
    log.search((10.0, 9.0), *pairs((93.0, 93.2, 93.4, 93.1, 93.3, 99.0)))
    low, high = progress_figure(table_of(log.write())).axes[0].get_ylim()
    assert low > 80
    assert high > 100


def test_comparison_shows_random_sampling_and_the_choice(tmp_path):
    figure = comparison_figure(table_of(finished_run(tmp_path)))
    ticks = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert ticks == [
        "random sampling (n = 3)",
        "regularized_evolution (n = 2)\nRI +4.67 %, not significant",
    ]
    drawn = [np.atleast_1d(item.get_xdata()) for item in figure.axes[0].lines]
    assert any(np.array_equal(x, [89.0, 90.0, 91.0]) for x in drawn)
    assert any(np.array_equal(x, [94.0, 94.4]) for x in drawn)
    assert any(x.size == 1 and math.isclose(x[0], 90.0) for x in drawn)  # the mean
    assert figure.axes[0].get_xlabel() == "test accuracy (%); diamond: mean with 95 % interval"


def test_comparison_of_several_runs_shows_their_means(tmp_path):
    runs = [finished_run(tmp_path / str(seed), seed=seed) for seed in range(3)]
    ticks = [tick.get_text() for tick in comparison_figure(table_of(*runs)).axes[0].get_yticklabels()]
    assert [tick.split("\n")[0] for tick in ticks] == [
        "random sampling (n = 9)",
        "regularized_evolution, 3 runs (n = 3)",
    ]


def empty(log):
    return log


def only_failures(log):
    return log.search(None, None).baseline(None).final("x", None)


def not_finite(log):
    return log.search((math.nan, math.nan)).baseline((math.nan, math.nan))


def one_of_each(log):
    return log.search((91.0, 90.0)).baseline((89.0, 88.0))


def free(log):
    log.evaluated(log.asked("search", 0), (91.0, 90.0), cost=0.0)
    log.evaluated(log.asked("baseline", 0), (91.0, 90.0), cost=0.0)
    return log


def equal_values(log):
    return log.search(*[(91.0, 90.0)] * 3).baseline(*[(91.0, 90.0)] * 3)


@pytest.mark.parametrize("fill", [empty, only_failures, not_finite, one_of_each, free, equal_values])
@pytest.mark.parametrize("make", [progress_figure, comparison_figure])
def test_thin_data_are_drawn_without_a_crash(tmp_path, make, fill):
    draw(make(table_of(fill(Log(tmp_path).opened()).write())))


def test_nothing_to_show_is_said(tmp_path):
    table = table_of(only_failures(Log(tmp_path).opened()).write())
    for make in (progress_figure, comparison_figure):
        assert "no completed trial yet" in [text.get_text() for text in make(table).axes[0].texts]


def test_more_methods_than_colours_are_drawn(tmp_path):
    names = [f"method_{index}" for index in range(len(COLOURS) + 2)]
    table = table_of(*(finished_run(tmp_path / name, searcher=name) for name in names))
    draw(progress_figure(table))
    draw(comparison_figure(table))


def test_matplotlibs_global_settings_stay(tmp_path):
    before = dict(mpl.rcParams)
    draw(progress_figure(table_of(finished_run(tmp_path))))
    assert dict(mpl.rcParams) == before
