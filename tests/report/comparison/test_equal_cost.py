import csv
import io
import math

import numpy as np
import pytest

from nas.report.comparison.analysis import Cost
from nas.report.comparison.notes import explanations, shortages
from nas.report.comparison.tables import (
    default_sheet,
    equal_search_sheet,
    found_sheet,
    pairs_csv,
    pairs_sheet,
    ranks_sheet,
    search_sheet,
    sheets,
    values_sheet,
)
from tests.report.comparison.comparison_kit import (
    KEY,
    LATENCY,
    VALIDATION,
    analysed,
    baseline,
    spread,
    study,
    write_manifest,
)
from tests.report.report_kit import Log

NAN, INF = math.nan, math.inf
LOW = {"fidelity": {"name": "epochs", "value": 1}}


def low(value, cost):
    return {"values": (value, value), "cost": cost, **LOW}


def full(value, cost):
    return {"values": (value, value), "cost": cost}


def three_methods(directory, seeds=1):
    """Two of one fidelity with evaluations of 10 and 20 s, and one that screens for 15 s before each."""
    write_manifest(directory, ["random", "dear", "halving"], seeds, default="dear")
    for seed in range(seeds):
        study(directory, "random", seed, [full(80 + n, 10.0) for n in range(4)])
        study(directory, "dear", seed, [full(84 + n, 20.0) for n in range(4)])
        study(directory, "halving", seed, [low(70, 15.0), full(90, 10.0), low(71, 15.0), full(92, 10.0)])
    return directory


def test_costs_are_medians_up_to_what_the_cheapest_run_spent(tmp_path):
    """2 evaluations cost 20 and 40 s: 30; 4 cost 40 and 80: 60, but "random" spent 40 only."""
    assert analysed(three_methods(tmp_path)).costs == (Cost(30.0, 2, False), Cost(40.0, 4, True))


def test_a_run_that_hardly_cost_anything_bounds_no_cost(tmp_path):
    three_methods(tmp_path)
    write_manifest(tmp_path, ["random", "dear", "halving", "broken"], 1)
    study(tmp_path, "broken", 0, [{"values": None, "cost": 0.1}] * 4)
    assert [cost.seconds for cost in analysed(tmp_path).costs] == [20.0, 40.0]


def test_values_at_equal_cost_by_hand(tmp_path):
    """At 30 s "random" holds its third value, "dear" and "halving" their first; at 40 s two the next."""
    analysis = analysed(three_methods(tmp_path))
    quantity = analysis.equal.quantities[0]
    assert quantity.key == KEY
    assert {method: table.tolist() for method, table in quantity.values.items()} == {
        "random": [[14, 13]],
        "dear": [[12, 11]],
        "halving": [[6, 6]],
    }


def test_gains_over_random_search_at_equal_cost_by_hand(tmp_path):
    """At 30 s random search holds 82, at 40 s 83; halving 90 at both, dear 84 and 85."""
    analysis = analysed(three_methods(tmp_path, seeds=3))
    sheet = equal_search_sheet(analysis)
    assert sheet.title == "Relative improvement (%) of test_accuracy over random search, equal cost"
    assert sheet.header == ("method", "30 s", "40 s")
    assert [row[0] for row in sheet.rows] == ["dear", "halving"]
    found = [[float(cell.split()[0]) for cell in row[1:]] for row in sheet.rows]
    expected = [[100 * 2 / 82, 100 * 2 / 83], [100 * 8 / 82, 100 * 7 / 83]]
    np.testing.assert_allclose(found, expected, atol=0.006)
    assert sheet in list(sheets(analysis))


def test_works_count_with_the_candidate_that_follows_and_the_last_ones_with_the_last_candidate(tmp_path):
    write_manifest(tmp_path, ["random", "darts"], 1)
    study(tmp_path, "random", 0, [full(80, 10.0)] * 4)
    log = Log(tmp_path / "studies" / "darts" / "0", searcher="darts").opened()
    for index, (stage, cost) in enumerate([("supernet", 10.0), ("search", 1.0), ("supernet", 500.0)]):
        number = log.asked(stage, index // 2)
        log.evaluated(number, (90, 90), cost)
        log.add(event="told", trial=number, cached_from=None, clock=log.clock)
    log.closed().write()
    (run,) = analysed(tmp_path).whole_runs["darts"]
    assert run.history.cost.tolist() == [511.0]


def test_there_is_no_gain_at_a_cost_before_anything_was_evaluated(tmp_path):
    three_methods(tmp_path, seeds=3)
    for seed in range(3):
        study(tmp_path, "halving", seed, [low(70, 32.0), full(90, 3.0)], exhausted=True)
    rows = {row[0]: row[1:] for row in equal_search_sheet(analysed(tmp_path)).rows}
    assert "-" not in rows["dear"]
    assert rows["halving"][0] == "-"
    assert rows["halving"][1].startswith("+8.43")


def test_runs_that_ended_before_a_cost_count_there_only_if_nothing_was_left(tmp_path):
    three_methods(tmp_path, seeds=4)
    study(tmp_path, "halving", 0, [low(70, 15.0), full(90, 10.0)])
    study(tmp_path, "halving", 1, [low(70, 15.0), full(90, 10.0)], exhausted=True)
    study(tmp_path, "halving", 2, [low(70, 45.0), full(90, 10.0)])
    quantity = analysed(tmp_path).equal.quantities[0]
    np.testing.assert_array_equal(quantity.values["halving"], [[NAN, NAN], [6, 6], [INF, INF], [6, 6]])


def test_evaluations_beyond_the_largest_budget_count_at_a_cost(tmp_path):
    """6 evaluations of 5 s within the cost of 4 of 10 s."""
    write_manifest(tmp_path, ["random", "halving"], 1)
    study(tmp_path, "random", 0, [full(80, 10.0)] * 4)
    study(tmp_path, "halving", 0, [low(70, 5.0), *(full(80 + n, 5.0) for n in range(8))])
    analysis = analysed(tmp_path)
    assert analysis.equal.quantities[0].values["halving"].tolist() == [[16 - 2, 16 - 6]]
    assert analysis.quantities[0].values["halving"].shape == (1, 4)


def test_a_hypervolume_has_a_place_before_the_first_evaluation(tmp_path):
    changes = {"objectives": [VALIDATION, LATENCY], "optimum": {}}
    write_manifest(tmp_path, ["random", "halving"], 1, **changes)
    study(tmp_path, "random", 0, [{**full(80 + n, 10.0), "latency": 20.0 - n} for n in range(4)])
    trials = [{**low(70, 25.0), "latency": 9.0}, *({**full(80 + n, 10.0), "latency": 18.0} for n in range(4))]
    study(tmp_path, "halving", 0, trials)
    analysis = analysed(tmp_path)
    volume = analysis.equal.quantities[0]
    whole = {q.key: q for q in analysis.whole}["hypervolume"].values["halving"][0]
    assert (volume.key, volume.values["halving"].tolist()) == ("hypervolume", [[0.0, whole[0]]])


def test_several_fidelities_are_shown_but_neither_ranked_nor_tested_by_evaluations(tmp_path):
    analysis = analysed(three_methods(tmp_path, seeds=8))
    quantity = analysis.quantities[0]
    assert all(tests.methods == ("random", "dear") for tests in analysis.tests[KEY])
    sheet = values_sheet(analysis, quantity)
    assert sheet.rows[2] == ("halving (mixed)", "4.00 [4.00, 4.00]", "-")
    assert sheet.bold == {(1, 1), (1, 2)}
    assert any(note.startswith("Mixed: of several fidelities") for note in sheet.notes)
    assert (
        ranks_sheet(analysis, quantity).rows[2][1:]
        == pairs_sheet(analysis, quantity).rows[2][1:]
        == ("-", "-")
    )
    assert found_sheet(analysis).rows[2][0] == "halving (mixed)"
    assert [row[0] for row in search_sheet(analysis).rows] == ["dear"]


def test_at_equal_cost_all_are_ranked_and_tested(tmp_path):
    analysis = analysed(three_methods(tmp_path, seeds=8))
    view, quantity = analysis.equal, analysis.equal.quantities[0]
    assert all(tests.methods == ("random", "dear", "halving") for tests in view.tests[KEY])
    sheet = values_sheet(analysis, quantity, view)
    assert sheet.header == ("method", "30 s", "40 s")
    assert sheet.rows[2] == ("halving", "6.00 [6.00, 6.00]", "6.00 [6.00, 6.00]")
    assert sheet.bold == {(2, 1), (2, 2)}
    assert sheet.title.endswith("of the choice at equal cost: median [quartiles] over seeds")
    assert [row[1] for row in ranks_sheet(analysis, quantity, view).rows] == ["3.00", "2.00", "1.00"]
    assert [row[1] for row in pairs_sheet(analysis, quantity, view).rows] == ["0 / 2", "1 / 1", "2 / 0"]
    assert default_sheet(analysis, quantity, view).notes[1] == (
        "30 s of work: dear is significantly better than random, worse than halving."
    )
    titles = [sheet.title for sheet in sheets(analysis)]
    assert sum("at equal cost" in title for title in titles) == 8  # four tables of two quantities


def test_the_seconds_are_stated(tmp_path):
    analysis = analysed(three_methods(tmp_path))
    said = " ".join(explanations(analysis))
    assert "Equal cost: 30 s (2 evaluations), 40 s (less than 4 evaluations): seconds of work" in said
    assert "neither ranked nor tested by evaluations, but at equal cost" in said


def test_a_method_that_does_not_get_to_a_cost_is_named(tmp_path):
    three_methods(tmp_path, seeds=8)
    for seed in range(8):
        study(tmp_path, "halving", seed, [low(70, 15.0), full(90, 17.0)])
    assert (
        "halving: not tested at 40 s of work, which 0 of 8 runs reached; at least 4 are needed."
        in shortages(analysed(tmp_path))
    )


def test_pairs_are_listed_by_evaluations_and_by_cost(tmp_path):
    rows = list(csv.DictReader(io.StringIO(pairs_csv(analysed(three_methods(tmp_path, seeds=8))))))
    axes = [(row["axis"], float(row["at"])) for row in rows if row["quantity"] == KEY]
    assert axes == [
        ("evaluations", 2),
        ("evaluations", 4),
        *[("cost_seconds", 30)] * 3,
        *[("cost_seconds", 40)] * 3,
    ]


@pytest.mark.parametrize("methods", [{"a": 3, "b": 3}, {"a": 3}])
def test_with_one_fidelity_there_is_nothing_more(tmp_path, methods):
    analysis = analysed(spread(tmp_path, methods))
    assert (analysis.costs, analysis.equal) == ((), None)
    assert analysis.whole_runs is analysis.runs


def test_without_a_method_of_one_fidelity_there_is_no_cost_to_compare_at(tmp_path):
    write_manifest(tmp_path, ["halving"], 1)
    study(tmp_path, "halving", 0, [low(70, 15.0), full(90, 10.0)])
    baseline(tmp_path, (70, 60))
    assert analysed(tmp_path).equal is None
