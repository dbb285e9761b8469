import numpy as np
import pytest

from nas.report import Run
from nas.report.cache import MAX_POINTS, cache_figure, cache_tables
from nas.report.results import result_tables
from nas.study import read_study
from tests.report.cache_kit import A, CacheLog, every_outcome, several_evaluations


def figure_of(*logs):
    (table,) = cache_tables(result_tables([Run.of(read_study(log.write())) for log in logs]))
    return cache_figure(table)


def legend_of(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def line(axes, label):
    (found,) = [each for each in axes.lines if each.get_label() == label]
    return np.asarray(found.get_xdata()), np.asarray(found.get_ydata())


def test_hit_rate_over_suggestions_and_over_the_clock(tmp_path):
    figure = figure_of(every_outcome(tmp_path))
    trials, clock, _ = figure.axes
    x, y = line(trials, "regularized_evolution, functional")
    np.testing.assert_array_equal(x, np.arange(1, 11))
    np.testing.assert_allclose(y[[0, 1, 6, 9]], [0, 50, 100 / 7, 30])
    x, y = line(clock, "regularized_evolution, functional")
    assert clock.get_xlabel() == "clock (minutes)"
    assert (x[-1], y[-1]) == (pytest.approx(241.8 / 60), 30)
    np.testing.assert_allclose(line(trials, "rolling, regularized_evolution, functional")[1][-1], 30)


def test_saved_against_spent(tmp_path):
    _, _, saved = figure_of(every_outcome(tmp_path)).axes
    x, y = line(saved, "regularized_evolution, functional")
    assert saved.get_xlabel() == "spent on evaluation and hashing (minutes)"
    assert (x[-1], y[-1]) == (pytest.approx(242 / 60), pytest.approx(160 / 60))
    assert line(saved, "hashing, regularized_evolution, functional")[1][-1] == pytest.approx(2 / 60)


def test_without_timed_hashes_there_is_no_line_of_them(tmp_path):
    assert legend_of(figure_of(several_evaluations(tmp_path))) == [
        *("regularized_evolution, functional", "hit rate of the last 10", "as much saved as spent")
    ]


def test_the_legend_says_what_the_lines_are(tmp_path):
    assert legend_of(figure_of(every_outcome(tmp_path))) == [
        *("regularized_evolution, functional", "hit rate of the last 10", "spent on hashing"),
        "as much saved as spent",
    ]


def test_several_runs_show_their_median_up_to_the_shortest(tmp_path):
    """Of 10 and of 3 suggestions; rates after the third: 1 of 3 in both."""
    logs = [every_outcome(tmp_path / "a"), several_evaluations(tmp_path / "b")]
    logs[1].lines[0]["seed"] = 1
    x, y = line(figure_of(*logs).axes[0], "regularized_evolution, functional: median of 2 runs")
    assert (x[0], x[-1]) == (1, 3)
    np.testing.assert_allclose(y, [0, 25, 100 / 3])  # 0 and 0; 1/2 and 0; 1/3 and 1/3


def test_a_long_run_is_drawn_with_few_points(tmp_path):
    log = CacheLog(tmp_path).opened()
    log.suggest(0)
    log.cached(0, "miss", None, A).own(0, 90.0, 60.0)
    for index in range(1, 2 * MAX_POINTS):
        log.suggest(index)
        log.cached(index, "hit", 0, A).told(index, 0)
    x, y = line(figure_of(log).axes[0], "regularized_evolution, functional")
    assert x.size == MAX_POINTS
    assert (x[0], x[-1]) == (1, 2 * MAX_POINTS)
    assert y[-1] == pytest.approx(100 * (1 - 0.5 / MAX_POINTS))


def test_nothing_looked_up_yet_is_an_empty_figure(tmp_path):
    log = CacheLog(tmp_path).opened()
    log.hashed(log.suggest(0), A)
    figure = figure_of(log)
    assert not [each for axes in figure.axes for each in axes.lines if not each.get_label().startswith("_")]
