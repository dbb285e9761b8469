import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.report.comparison import read_comparison
from nas.report.comparison.analysis import (
    against_time,
    area,
    best_value,
    found,
    quantities,
    quartiles,
    regrets,
    summary,
    time_grid,
    volumes,
)
from nas.report.comparison.logs import runs_of
from nas.study import read_study
from tests.report.comparison.comparison_kit import (
    VALIDATION,
    real_comparison,
    study,
    two_methods,
    write_manifest,
)

NAN, INF = math.nan, math.inf
COLUMN = st.lists(st.one_of(st.floats(-5, 5), st.just(NAN), st.just(INF)), min_size=1, max_size=6)


def compared(directory):
    comparison = read_comparison(directory)
    runs = runs_of(comparison)
    measured = volumes(comparison, runs) if len(comparison.objectives) > 1 else None
    return comparison, runs, {q.key: q for q in quantities(comparison, runs, measured)}


def one(directory, trials, **changes):
    write_manifest(directory, ["a"], 1, **changes)
    study(directory, "a", 0, trials)
    return compared(directory)


def test_regrets_by_hand(tmp_path):
    """The optimum is 96 by validation and 100 by test; the choice is the best by validation so far."""
    _, _, found = compared(two_methods(tmp_path))
    validation, test = found["validation_accuracy_regret"], found["test_accuracy_regret"]
    np.testing.assert_array_equal(validation.values["slow"], [[6, 6, 6, 3], [INF, 5, 5, 4], [16, 11, 8, 8]])
    np.testing.assert_array_equal(test.values["slow"], [[20, 20, 20, 1], [INF, 10, 10, 40], [20, 15, 12, 12]])
    np.testing.assert_array_equal(validation.values["quick"], [[0, 0, 0, 0], [2, 1, 1, 0], [3, 3, 2, 1]])
    np.testing.assert_array_equal(test.values["quick"], [[5, 5, 5, 5], [5, 4, 4, 0], [9, 9, 8, 3]])
    assert (validation.kind, validation.title) == ("regret", "regret of validation accuracy (%)")
    np.testing.assert_array_equal(validation.losses("slow", 2), [6, 5, 11])


def test_values_without_an_optimum(tmp_path):
    _, _, found = compared(two_methods(tmp_path, optimum={}))
    chosen = found["validation_accuracy"]
    np.testing.assert_array_equal(
        chosen.values["slow"], [[90, 90, 90, 93], [-INF, 91, 91, 92], [80, 85, 88, 88]]
    )
    assert (chosen.kind, chosen.sign) == ("value", -1)
    np.testing.assert_array_equal(chosen.losses("slow", 1), [-90, INF, -80])


def test_of_equal_values_the_first_asked_is_chosen(tmp_path):
    _, _, found = one(tmp_path, [(90, 1), (90, 2), (89, 3), (90, 4)])
    np.testing.assert_array_equal(found["test_accuracy_regret"].values["a"], [[99, 99, 99, 99]])


def test_a_minimised_objective(tmp_path):
    loss = {**VALIDATION, "direction": "minimize"}
    reported = {**loss, "name": "test_accuracy"}
    changes = {"objectives": [loss], "reported": reported, "optimum": {"validation_accuracy": 1.0}}
    _, _, found = one(tmp_path, [(5, 9), (7, 8), (2, 7), None], **changes)
    np.testing.assert_array_equal(found["validation_accuracy_regret"].values["a"], [[4, 4, 1, 1]])
    np.testing.assert_array_equal(found["test_accuracy"].values["a"], [[9, 9, 7, 7]])


def test_a_reported_quantity_that_is_the_objective_is_compared_once(tmp_path):
    assert list(one(tmp_path, [(5, 9)], reported=VALIDATION)[2]) == ["validation_accuracy_regret"]


def test_a_reported_quantity_that_no_search_trial_has_is_not_compared(tmp_path):
    reported = {**VALIDATION, "name": "energy"}
    assert list(one(tmp_path, [(5, 9)], reported=reported)[2]) == ["validation_accuracy_regret"]


def test_runs_end_where_they_ended(tmp_path):
    write_manifest(tmp_path, ["a"], 3)
    study(tmp_path, "a", 0, [(90, 1), (91, 1)])
    study(tmp_path, "a", 1, [(90, 1), (91, 1)], exhausted=True)
    comparison, runs, found = compared(tmp_path)
    np.testing.assert_array_equal(
        found["validation_accuracy_regret"].values["a"], [[6, 5, NAN, NAN], [6, 5, 5, 5], [NAN] * 4]
    )
    assert [run.keeps for run in runs["a"]] == [False, True, False]
    assert [run.trials(2) for run in runs["a"][:2]] == [2, 2]
    assert comparison.horizon == 4


@pytest.mark.parametrize("workers", [1, 3])
def test_the_last_choice_is_the_studys_own(tmp_path, workers):
    comparison = read_comparison(real_comparison(tmp_path, 3, workers=workers))
    for method, runs in runs_of(comparison).items():
        for seed, run in zip(comparison.seeds, runs, strict=True):
            chosen = read_study(tmp_path / "studies" / method / str(seed)).chosen
            assert run.history.number[run.chosen[-1]] == chosen.number


@given(st.lists(st.one_of(st.none(), st.integers(0, 4)), min_size=1, max_size=8), st.permutations(range(8)))
def test_the_choice_is_the_best_so_far_of_all_that_ended(values, order):
    from types import SimpleNamespace

    from nas.evaluation import Objective

    numbers = [n for n in order if n < len(values)]
    measured = [NAN if values[n] is None else float(values[n]) for n in numbers]
    history = SimpleNamespace(
        fidelity=np.full(len(values), INF), values=np.array(measured)[:, None], number=np.array(numbers)
    )
    comparison = SimpleNamespace(level=INF, horizon=9, chooser=Objective("x"), histories={"a": (history,)})
    (run,) = runs_of(comparison)["a"]
    for count in range(1, len(values) + 1):
        usable = [(-values[n], n) for n in numbers[:count] if values[n] is not None]
        chosen = run.chosen[count - 1]
        assert (numbers[chosen] if chosen >= 0 else None) == (min(usable)[1] if usable else None)


def test_only_the_highest_fidelity_counts_and_all_of_its_time(tmp_path):
    low = {"fidelity": {"name": "epochs", "value": 1}, "cost": 5.0}
    trials = [
        {"values": (95, 95), **low},
        (90, 90),
        {"values": (99, 99), **low},
        {"values": None, "cost": 20.0},
        (92, 92),
    ]
    _, runs, found = one(tmp_path, trials)
    (run,) = runs["a"]
    np.testing.assert_array_equal(found["validation_accuracy_regret"].values["a"], [[6, 6, 4, NAN]])
    assert run.time.tolist() == [65, 90, 150]
    assert [run.trials(n) for n in (0, 1, 2, 3)] == [0, 2, 4, 5]


def test_a_lower_fidelity_counts_where_no_study_went_higher(tmp_path):
    low = {"fidelity": {"name": "epochs", "value": 3}}
    lower = {"fidelity": {"name": "epochs", "value": 1}}
    comparison, _, found = one(tmp_path, [{"values": (90, 90), **low}, {"values": (95, 95), **lower}])
    assert comparison.level == 3
    np.testing.assert_array_equal(found["validation_accuracy_regret"].values["a"], [[6, NAN, NAN, NAN]])


def test_the_best_value_is_the_optimum_or_what_any_run_found(tmp_path):
    comparison, runs, _ = compared(two_methods(tmp_path))
    assert best_value(comparison, runs) == 96
    comparison, runs, _ = compared(write_manifest(tmp_path, ["slow"], 3, optimum={}))
    assert best_value(comparison, runs) == 93
    np.testing.assert_array_equal(regrets(comparison, runs, 93)["slow"][0], [3, 3, 3, 0])
    comparison, runs, _ = compared(write_manifest(tmp_path / "none", ["a"], 1, optimum={}))
    assert math.isnan(best_value(comparison, runs))


def test_found_is_up_to_rounding():
    regret = np.array([[1e-8, 1e-12, 0.0, -1e-12, NAN, INF]])
    np.testing.assert_array_equal(found(regret, 90.0), [[1, 1, 1, 1, NAN, 0]])
    np.testing.assert_array_equal(found(regret, 1e3), [[1, 1, 1, 1, NAN, 0]])
    np.testing.assert_array_equal(found(regret, 1.0), [[0, 1, 1, 1, NAN, 0]])


def test_the_area_is_the_sum_of_the_medians():
    """Medians 6, 5, 2; before the first completed evaluation the worst regret counts."""
    assert area(np.array([[6.0, 5, 2], [9, 9, 9], [1, 1, 1]]), 50.0) == 13
    assert area(np.array([[INF, 5.0], [INF, 3.0]]), 50.0) == 54
    assert math.isnan(area(np.array([[6.0, NAN], [5.0, NAN]]), 50.0))
    assert math.isnan(area(np.full((2, 3), NAN), 50.0))


def test_a_summary_by_hand():
    values = np.array([[1.0, NAN, NAN], [2.0, 4.0, NAN], [6.0, 8.0, 1.0]])
    s = summary(values)
    assert s.n.tolist() == [3, 2, 1]
    np.testing.assert_allclose(s.median, [2, 6, NAN])  # one run of three is not the method
    np.testing.assert_allclose(s.lower, [1.5, 5, NAN])
    np.testing.assert_allclose(s.mean, [3, 6, NAN])
    np.testing.assert_allclose(s.error, [math.sqrt(7 / 3), 2, NAN])


def test_infinite_values_are_infinite_quartiles():
    assert quartiles(np.array([1.0, 2.0, INF])) == (1.5, 2.0, INF)
    assert quartiles(np.array([-INF, -INF, 2.0])) == (-INF, -INF, -INF)
    assert all(math.isnan(q) for q in quartiles(np.empty(0)))
    low, middle, high = quartiles(np.array([94.0]))
    assert (math.isnan(low), middle, math.isnan(high)) == (True, 94.0, True), "one run has no quartiles"
    s = summary(np.array([[1.0], [INF], [INF]]))
    assert (s.median[0], s.upper[0]) == (INF, INF)
    assert math.isnan(s.mean[0])


@given(st.lists(COLUMN, min_size=1, max_size=3))
def test_a_summary_treats_each_column_alone(columns):
    rows = max(map(len, columns))
    table = np.array([column + [NAN] * (rows - len(column)) for column in columns]).T
    s = summary(table)
    for index, column in enumerate(table.T):
        here = column[~np.isnan(column)]
        assert s.n[index] == here.size
        if here.size and 2 * here.size >= s.n.max():
            assert (s.lower[index], s.median[index], s.upper[index]) == pytest.approx(
                quartiles(here), nan_ok=True
            )
        else:
            assert np.isnan(s.median[index])


def test_against_time_by_hand(tmp_path):
    write_manifest(tmp_path, ["a", "b"], 1)
    trials = [
        {"values": (90, 1), "cost": 10.0},
        {"values": (94, 1), "cost": 30.0},
        {"values": (92, 1), "cost": 5.0},
    ]
    study(tmp_path, "a", 0, trials)
    study(tmp_path, "b", 0, trials[:2], reason="interrupted")
    _, runs, found = compared(tmp_path)
    grid = np.array([5.0, 10, 39, 40, 45, 46])
    values = against_time(found["validation_accuracy_regret"], runs, grid)
    np.testing.assert_array_equal(values["a"], [[INF, 6, 6, 2, 2, NAN]])
    np.testing.assert_array_equal(values["b"], [[INF, 6, 6, 2, NAN, NAN]])


def test_a_finished_run_holds_its_value_until_half_of_them_have_ended(tmp_path):
    write_manifest(tmp_path, ["a"], 3)
    for seed, cost in enumerate((10.0, 20.0, 30.0)):
        study(tmp_path, "a", seed, [{"values": (90 + seed, 1), "cost": cost}])
    _, runs, found = compared(tmp_path)
    values = against_time(found["validation_accuracy_regret"], runs, np.array([10.0, 15, 20, 25, 30]))
    np.testing.assert_array_equal(
        values["a"], [[6, 6, 6, NAN, NAN], [INF, INF, 5, NAN, NAN], [INF, INF, INF, NAN, NAN]]
    )


def test_before_its_first_evaluation_a_run_is_worse_than_any_other(tmp_path):
    """At second 12 one run of three holds something: the median is that of no run, not of the quick one."""
    write_manifest(tmp_path, ["a", "b"], 3)
    for seed, cost in enumerate((10.0, 20.0, 30.0)):
        study(tmp_path, "a", seed, [{"values": (90, 1), "cost": cost}, {"values": (90, 1), "cost": 30.0}])
        low = {"values": (95, 1), "cost": cost, "fidelity": {"name": "epochs", "value": 1}}
        study(tmp_path, "b", seed, [low, low])
    _, runs, found = compared(tmp_path)
    values = against_time(found["validation_accuracy_regret"], runs, np.array([12.0, 20, 30]))
    assert summary(values["a"]).median.tolist() == [INF, 6, 6]
    assert values["b"][:2].tolist() == [[INF, INF, INF], [INF, INF, INF]]  # lower fidelities find nothing


def test_the_grid_spans_the_evaluations(tmp_path):
    _, runs, _ = compared(two_methods(tmp_path))
    grid = time_grid(runs)
    assert (grid[0], grid[-1], grid.size) == (pytest.approx(24), pytest.approx(240), 200)
    assert time_grid({"a": ()}).size == 0
    frozen = one(tmp_path / "frozen", [{"values": (1, 1), "cost": 0.0}])[1]
    assert time_grid(frozen).size == 0
