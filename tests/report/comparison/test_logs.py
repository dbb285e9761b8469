import json

import numpy as np
import pytest

from nas.errors import StoreError
from nas.evaluation import Objective
from nas.report.comparison import is_comparison, read_comparison
from nas.study import read_study
from tests.report.comparison.comparison_kit import (
    baseline,
    overhead,
    real_comparison,
    study,
    two_methods,
    write_manifest,
)
from tests.report.report_kit import Log


def history_of(directory, method="a", seed=0):
    return read_comparison(directory).histories[method][seed]


def only(directory, trials, **end):
    write_manifest(directory, ["a"], 1)
    study(directory, "a", 0, trials, **end)
    return history_of(directory)


def test_the_manifest_says_what_is_compared(tmp_path):
    comparison = read_comparison(two_methods(tmp_path, budgets=[4, 2, 2]))
    assert (comparison.methods, comparison.seeds, comparison.budgets) == (
        ("slow", "quick"),
        (0, 1, 2),
        (2, 4),
    )
    assert comparison.chooser == Objective("validation_accuracy", "maximize", "%")
    assert comparison.names == ("validation_accuracy", "test_accuracy")
    assert (comparison.default, comparison.horizon, comparison.name) == ("quick", 4, "toy")
    assert is_comparison(tmp_path)
    assert not is_comparison(tmp_path / "studies")


def test_a_history_is_in_the_order_of_the_ends(tmp_path):
    write_manifest(tmp_path, ["a"], 1)
    log = Log(tmp_path / "studies/a/0").opened()
    numbers = [log.asked("search", index, f"conv(width={index})") for index in range(3)]
    for number, values in zip((1, 2, 0), ((91, 1), None, (92, 2)), strict=True):
        log.evaluated(numbers[number], values, 10.0)
    log.closed().write()
    history = history_of(tmp_path)
    assert history.number.tolist() == [1, 2, 0]
    np.testing.assert_array_equal(history.values, [[91, 1], [np.nan, np.nan], [92, 2]])
    assert history.failed.tolist() == [False, True, False]
    assert history.finished.tolist() == [10, 20, 30]
    assert history.cost.tolist() == [10, 10, 10]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_history_of_a_real_study_is_what_the_store_reads(tmp_path, workers):
    comparison = read_comparison(real_comparison(tmp_path, 1, workers=workers))
    for method in comparison.methods:
        record = read_study(tmp_path / "studies" / method / "0")
        rows = sorted(record.trials, key=lambda row: (row.finished, row.number))
        history = comparison.histories[method][0]
        assert (history.state, history.searcher, len(history)) == ("finished", method, 12)
        assert history.number.tolist() == [row.number for row in rows]
        values = [[row.value(name) if row.ok else np.nan for name in comparison.names] for row in rows]
        np.testing.assert_array_equal(history.values, np.array(values, float))
        assert history.finished.tolist() == [row.finished for row in rows]
        assert history.cost.tolist() == [row.cost_seconds for row in rows]


def test_repeats_are_architectures_asked_before_at_the_same_fidelity(tmp_path):
    low = {"fidelity": {"name": "epochs", "value": 1}}
    trials = [
        {"values": (90, 1), "architecture": "a"},
        {"values": (90, 1), "architecture": "a", **low},
        {"values": (91, 1), "architecture": "b"},
        {"values": None, "architecture": "a"},
        {"values": (90, 1), "architecture": "a", **low},
        {"values": (91, 1), "architecture": "c"},
    ]
    history = only(tmp_path, trials)
    assert history.repeated.tolist() == [False, False, False, True, True, False]
    assert history.fidelity.tolist() == [np.inf, 1, np.inf, np.inf, 1, np.inf]


def test_the_full_fidelity_by_name_is_the_full_one(tmp_path):
    full = {"fidelity": {"name": "epochs", "value": 200}}
    write_manifest(tmp_path, ["a"], 1, fidelity_range=["epochs", 12, 200])
    study(tmp_path, "a", 0, [{"values": (90, 1), **full}, (90, 1)])
    assert history_of(tmp_path).fidelity.tolist() == [np.inf, np.inf]


@pytest.mark.parametrize(
    ("end", "state"),
    [
        ({}, "finished"),
        ({"reason": "interrupted"}, "unfinished"),
        ({"reason": None}, "unfinished"),
        ({"reason": "error", "message": "no space\nleft"}, "failed"),
    ],
    ids=str,
)
def test_the_state_of_a_study_is_how_its_log_ends(tmp_path, end, state):
    history = only(tmp_path, [(90, 80)], **end)
    assert history.state == state
    assert history.message == ("no space left" if state == "failed" else "")
    assert len(history) == 1


def test_a_study_that_was_continued_is_not_closed(tmp_path):
    write_manifest(tmp_path, ["a"], 1)
    log = Log(tmp_path / "studies/a/0").opened().closed("interrupted").opened()
    log.trial("search", 0, (90, 80)).write()
    assert history_of(tmp_path).state == "unfinished"


def test_a_torn_last_line_is_not_there_yet(tmp_path):
    only(tmp_path, [(90, 80), (91, 81)], reason=None)
    with (tmp_path / "studies/a/0/events.jsonl").open("a") as file:
        file.write('{"event":"evalu')
    with pytest.warns(UserWarning, match="the last line is torn and is dropped"):
        history = history_of(tmp_path)
    assert (history.state, len(history)) == ("unfinished", 2)


def test_a_trial_answered_from_the_cache_has_the_values_of_its_holder_at_no_cost(tmp_path):
    write_manifest(tmp_path, ["a"], 1)
    log = Log(tmp_path / "studies/a/0").opened().search((90.0, 80.0))
    log.asked("search", 1)
    log.add(event="told", trial=1, cached_from=0, clock=61.0).closed().write()
    history = history_of(tmp_path)
    np.testing.assert_array_equal(history.values, [[90, 80], [90, 80]])
    assert (history.cost.tolist(), history.finished.tolist()) == ([60, 0], [60, 61])


def test_values_that_are_not_finite_are_none(tmp_path):
    only(tmp_path, [(90.0, 80.0), (91.0, 81.0)])
    path = tmp_path / "studies/a/0/events.jsonl"
    path.write_text(path.read_text().replace("91.0", '"nan"').replace("81.0", '"-inf"'))
    np.testing.assert_array_equal(history_of(tmp_path).values, [[90, 80], [np.nan, np.nan]])


@pytest.mark.parametrize(
    "content", ['{"event": "opened"}\nhello\n{"event": "closed"}\n', '{"event": "evaluated"}\n']
)
def test_a_damaged_log_costs_its_study_only(tmp_path, content):
    two_methods(tmp_path)
    (tmp_path / "studies/slow/1/events.jsonl").write_text(content)
    comparison = read_comparison(tmp_path)
    damaged = comparison.histories["slow"][1]
    assert (damaged.state, len(damaged)) == ("unreadable", 0)
    assert "events.jsonl, line " in damaged.message
    assert len(comparison.histories["slow"][2]) == 4


def test_what_is_not_there_is_missing(tmp_path):
    comparison = read_comparison(write_manifest(tmp_path, ["a"], 2))
    assert [history.state for history in comparison.histories["a"]] == ["missing", "missing"]
    assert comparison.baseline.values.shape == (0, 2)
    assert comparison.level == np.inf
    assert comparison.random is None


def test_the_baseline_counts_its_failures(tmp_path):
    write_manifest(tmp_path, ["a"], 1)
    baseline(tmp_path, (90, 80), None, (70, 60))
    found = read_comparison(tmp_path).baseline
    np.testing.assert_array_equal(found.values, [[90, 80], [70, 60]])
    assert (found.failed, found.message) == (1, "")
    (tmp_path / "baseline/events.jsonl").write_text("hello\nworld\n")
    assert "line 1: expected a JSON object" in read_comparison(tmp_path).baseline.message


def test_overhead_is_read_where_it_is_whole(tmp_path):
    two_methods(tmp_path)
    overhead(tmp_path, "slow", 0, [0.1, 0.2], tells=3.0)
    (tmp_path / "studies/slow/1/overhead.json").write_text('{"asks": 3, "ask_sec')
    histories = read_comparison(tmp_path).histories["slow"]
    assert (histories[0].asks.tolist(), histories[0].tells) == ([0.1, 0.2], 3.0)
    assert (histories[1].asks.size, histories[2].asks.size) == (0, 0)
    assert np.isnan(histories[1].tells)


def test_final_trials_of_the_choice_are_kept(tmp_path):
    write_manifest(tmp_path, ["a"], 1)
    log = Log(tmp_path / "studies/a/0").opened().search((91.0, 90.0), (95.0, 94.0))
    earlier, chosen = (f"stem(width={width}) >> conv(kernel=3) >> head()" for width in (16, 17))
    log.trial("final", 0, (80.0, 81.0), architecture=earlier)
    log.trial("final", 1, (95.0, 93.0), architecture=chosen).trial("final", 2, None, architecture=chosen)
    log.closed().write()
    np.testing.assert_array_equal(history_of(tmp_path).final, [[95.0, 93.0]])


def test_random_search_is_the_method_of_that_label_or_else_of_that_searcher(tmp_path):
    write_manifest(tmp_path, ["plain", "random"], 1)
    assert read_comparison(tmp_path).random == "random"
    write_manifest(tmp_path, ["other", "random_twice"], 1)
    log = Log(tmp_path / "studies/random_twice/0", searcher="random")
    log.opened().write()
    assert read_comparison(tmp_path).random == "random_twice"


@pytest.mark.parametrize(
    "broken",
    ["hello", "[]", '{"format": 2}', '{"format": 1}', '{"format": 1, "name": "x", "objectives": []}'],
)
def test_a_foreign_manifest_is_one_clear_line(tmp_path, broken):
    (tmp_path / "comparison.json").write_text(broken)
    with pytest.raises(
        StoreError, match=r"comparison.json: expected a comparison of format 1; .*another"
    ) as info:
        read_comparison(tmp_path)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("budgets", [[], [0, 5], "x"])
def test_budgets_are_at_least_one(tmp_path, budgets):
    write_manifest(tmp_path, ["a"], 1, budgets=budgets)
    with pytest.raises(StoreError, match="expected a comparison of format 1; reading failed with ValueError"):
        read_comparison(tmp_path)


def test_a_folder_without_a_manifest_is_one_clear_line(tmp_path):
    with pytest.raises(StoreError, match=r"comparison.json: expected a comparison of format 1; No such file"):
        read_comparison(tmp_path)


def test_reading_is_exact(tmp_path):
    only(tmp_path, [(0.1 + 0.2, 1 / 3)])
    assert history_of(tmp_path).values.tolist() == [[0.1 + 0.2, 1 / 3]]
    assert json.loads((tmp_path / "comparison.json").read_text())["name"] == "toy"
