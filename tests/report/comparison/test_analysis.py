import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from nas.report import compare
from nas.report.comparison.analysis import seed_ranks
from nas.report.comparison.notes import explanations, missing, shortages, state_line
from nas.report.comparison.tables import costs, verdicts
from nas.report.statistics import holm
from tests.report.comparison.comparison_kit import (
    KEY,
    LATENCY,
    VALIDATION,
    analysed,
    baseline,
    overhead,
    real_comparison,
    spread,
    study,
    two_methods,
    write_manifest,
)


def test_ranks_and_pairs_by_hand(tmp_path):
    """After 4 evaluations the regrets are 3, 4, 8 and 0, 0, 1: "quick" is first in each seed."""
    first, last = analysed(two_methods(tmp_path)).tests[KEY]
    assert (first.budget, last.budget) == (2, 4)
    assert last.methods == ("slow", "quick")
    assert last.ranks.mean_ranks == (2.0, 1.0)
    assert (last.ranks.blocks, last.ranks.chi_squared) == (3, pytest.approx(3.0))
    (pair,) = last.pairs
    assert (pair.method, pair.other, pair.n, pair.n_other) == ("slow", "quick", 3, 3)
    assert (pair.a12, pair.p) == (0.0, pytest.approx(2 / math.comb(6, 3)))
    assert last.pair("quick", "slow").a12 == 1.0
    assert last.pair("quick", "nobody") is None


def test_all_pairs_of_a_budget_are_corrected_together(tmp_path):
    tests = analysed(spread(tmp_path, {"a": 8, "b": 8, "c": 8, "d": 8})).tests["validation_accuracy"][-1]
    expected = [2 / math.comb(16, 8)] * 6
    assert [pair.p for pair in tests.pairs] == pytest.approx(expected)
    assert [pair.p_holm for pair in tests.pairs] == pytest.approx(holm(expected).tolist())
    assert [(pair.method, pair.other) for pair in tests.pairs] == list(combinations("abcd", 2))


def test_a_pair_of_a_real_comparison_is_tested_by_all_splits(tmp_path):
    analysis = analysed(real_comparison(tmp_path, seeds=5))
    quantity, (*_, tests) = analysis.quantities[0], analysis.tests["accuracy"]
    ranks = stats.rankdata(np.concatenate([quantity.losses(method, 12) for method in tests.methods]))
    sums = np.array([ranks[list(split)].sum() for split in combinations(range(10), 5)])
    far = np.abs(sums - 27.5) >= abs(ranks[:5].sum() - 27.5) - 1e-9
    (pair,) = tests.pairs
    assert (pair.method, pair.other) == ("random", "evolution")
    assert pair.p == pair.p_holm == pytest.approx(far.mean())
    assert pair.a12 == pytest.approx((40 - ranks[:5].sum()) / 25)


def test_who_is_better_than_whom(tmp_path):
    analysis = analysed(spread(tmp_path, {"a": 8, "b": 8, "c": 8}, default="b"))
    tests = analysis.tests["validation_accuracy"][0]
    assert [pair.other for pair in tests.against("b", "better")] == ["c"]
    assert [pair.other for pair in tests.against("b", "worse")] == ["a"]
    assert tests.against("b", "open") == []
    assert tests.ranks.mean_ranks == (1.0, 2.0, 3.0)
    assert verdicts(analysis, analysis.quantities[0]) == [
        f"{budget} evaluations: b is significantly better than c, worse than a." for budget in (2, 4)
    ]


def test_verdicts_without_differences_and_over_all_others(tmp_path):
    analysis = analysed(two_methods(tmp_path / "few"))
    assert verdicts(analysis, analysis.quantities[0])[0] == (
        "2 evaluations: quick not testable with 3 seeds; 4 are needed for 2 methods."
    )
    alike = write_manifest(tmp_path / "alike", ["a", "b"], 5, default="a")
    for method in "ab":
        for seed in range(5):
            study(alike, method, seed, [(90 + seed, 80)] * 4)
    analysis = analysed(alike)
    assert verdicts(analysis, analysis.quantities[0])[0] == (
        "2 evaluations: a differs significantly from none."
    )
    analysis = analysed(spread(tmp_path / "many", {"a": 8, "b": 8, "c": 8}, default="a"))
    assert verdicts(analysis, analysis.quantities[0])[0] == (
        "2 evaluations: a is significantly better than all others, worse than none."
    )


def test_methods_with_less_than_half_of_the_seeds_are_left_out(tmp_path):
    analysis = analysed(spread(tmp_path, {"a": 9, "b": 5, "c": 4, "d": 0}))
    tests = analysis.tests["validation_accuracy"][0]
    assert tests.methods == ("a", "b")
    assert tests.ranks.blocks == 5
    assert [(s.method, s.needed, s.got) for s in tests.shortages] == [("c", 5, 4)]
    assert analysis.shown == ["a", "b", "c"]


def test_a_method_of_which_too_few_runs_got_there_gets_one_clear_line(tmp_path):
    analysis = analysed(spread(tmp_path, {"a": 9, "b": 9, "c": 4}))
    assert shortages(analysis) == [
        "c: not tested at 2, 4 evaluations, which 4 of 9 runs reached; at least 5 are needed."
    ]
    for seed in range(9):
        study(tmp_path, "b", seed, [(88, 80)] * 2)
    said = shortages(analysed(tmp_path))
    assert "b: not tested at 4 evaluations, which 0 of 9 runs reached; at least 5 are needed." in said


def test_seeds_that_no_test_can_tell_apart_are_too_few(tmp_path):
    """Of 3 pairs, 2 / C(8, 4) = 0.029 is not below 0.05 / 3, 2 / C(10, 5) = 0.008 is."""
    analysis = analysed(spread(tmp_path, {"a": 4, "b": 4, "c": 4}))
    assert shortages(analysis) == [
        "Pairwise tests at 2, 4 evaluations: not testable with 4 seeds; 5 are needed for 3 methods; run more "
        "with a larger compare.seeds."
    ]
    tests = analysis.tests["validation_accuracy"][0]
    assert not tests.can_tell("a")
    assert not tests.can_tell("a", "b")
    assert not any(pair.significant for pair in analysis.tests["validation_accuracy"][0].pairs)
    assert shortages(analysed(spread(tmp_path / "5", {"a": 5, "b": 5, "c": 5}))) == []


def test_ranks_of_single_runs(tmp_path):
    analysis = analysed(two_methods(tmp_path))
    ranks = seed_ranks(analysis.quantities[0], analysis.tests[KEY][1])
    np.testing.assert_array_equal([ranks["slow"], ranks["quick"]], [[2, 2, 2], [1, 1, 1]])


def test_areas_and_what_was_found_by_hand(tmp_path):
    """Medians of "slow": 16 (of 6, none, 16), 6, 6, 4; of "quick": 2, 1, 1, 0."""
    analysis = analysed(two_methods(tmp_path))
    assert analysis.areas == {"slow": 32, "quick": 4}
    assert (analysis.best, analysis.knows_best) == (96, True)
    np.testing.assert_array_equal(analysis.found["quick"], [[1, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]])
    assert not analysis.found["slow"].any()


def test_without_an_optimum_the_best_that_any_run_found_counts(tmp_path):
    analysis = analysed(two_methods(tmp_path, optimum={}))
    assert (analysis.best, analysis.knows_best) == (96, False)
    assert analysis.areas == {"slow": 32, "quick": 4}


def test_gains_are_those_of_the_statistics(tmp_path):
    two_methods(tmp_path)
    write_manifest(tmp_path, ["random", "quick"], 3)
    (tmp_path / "studies/slow").rename(tmp_path / "studies/random")
    baseline(tmp_path, (70, 60), (80, 75), None, (90, 81))
    gains = analysed(tmp_path).gains
    assert gains.over_architectures["quick"][1] == compare([95, 100, 97], [60, 75, 81])
    assert gains.over_architectures["random"][0] == compare([80, 90, 85], [60, 75, 81])
    assert gains.over_search == {
        "quick": (compare([95, 96, 91], [80, 90, 85]), compare([95, 100, 97], [99, 60, 88]))
    }
    assert gains.retrained == {}


def test_gains_of_a_minimised_quantity_are_positive_when_lower(tmp_path):
    loss = {**VALIDATION, "direction": "minimize"}
    write_manifest(tmp_path, ["a"], 1, objectives=[loss], reported=loss, optimum={})
    study(tmp_path, "a", 0, [(5, 0)] * 4)
    baseline(tmp_path, (10, 0))
    analysis = analysed(tmp_path)
    assert analysis.gains.over_architectures["a"][0].relative_improvement == pytest.approx(50)
    assert analysis.gains.over_search == {}


def test_costs_by_hand(tmp_path):
    write_manifest(tmp_path, ["a"], 2)
    low = {"fidelity": {"name": "epochs", "value": 1}, "cost": 5.0}
    study(
        tmp_path,
        "a",
        0,
        [
            (90, 1),
            {"values": (90, 1), **low},
            None,
            {"values": (91, 1), "architecture": "stem(width=16) >> head()"},
        ],
    )
    study(tmp_path, "a", 1, [(90, 1)])
    overhead(tmp_path, "a", 0, [0.001, 0.002, 0.003, 0.006], tells=0.02)
    overhead(tmp_path, "a", 1, [0.008], tells=0.005)
    analysis = analysed(tmp_path)
    c = costs(analysis.runs["a"], math.inf)
    assert (c.trials, c.cheaper, c.repeats, c.failures, c.asks) == (5, 1, 1, 1, 5)
    assert (c.ask_mean, c.tell_mean) == (pytest.approx(4), pytest.approx(5))
    assert c.ask_p95 == pytest.approx(np.quantile([1, 2, 3, 6, 8], 0.95))
    assert (c.search_seconds, c.cost_seconds) == (122.5, 122.5)
    part = costs(analysis.runs["a"][:1], math.inf, 2)
    assert (part.trials, part.repeats, part.failures, part.ask_mean) == (2, 0, 0, pytest.approx(1.5))
    nothing = costs(analysis.runs["a"], math.inf, 0)
    assert (nothing.trials, nothing.repeats) == (0, 0)
    assert math.isnan(nothing.search_seconds)


def test_random_search_of_a_small_space_repeats_itself(tmp_path):
    """24 draws from 72 architectures: that none repeats has probability 0.011."""
    analysis = analysed(real_comparison(tmp_path, seeds=2, trials=24))
    for run in analysis.runs["random"]:
        seen = len(run.history) - costs([run], math.inf).repeats
        assert seen < 24


def test_what_is_missing_is_said(tmp_path):
    two_methods(tmp_path)
    (tmp_path / "studies/slow/1/events.jsonl").unlink()
    study(tmp_path, "quick", 0, [(90, 80)], reason="error", message="no GPU left")
    study(tmp_path, "quick", 2, [(90, 80)], reason=None)
    analysis = analysed(tmp_path)
    said = missing(analysis)
    assert state_line(analysis) == "2 methods, 3 seeds: 3 of 6 studies finished."
    assert said[:5] == [
        "slow: 1 of 3 studies (seed 1) not there.",
        "quick: 1 of 3 studies (seed 2) not finished, so preliminary.",
        "quick: 1 of 3 studies (seed 0) ended by an error: no GPU left.",
        "Random architectures: none evaluated, so there is no improvement over their average.",
        "Random search: no method of that name, so there is no improvement over it.",
    ]


def test_a_comparison_in_which_nothing_ran_has_an_analysis(tmp_path):
    analysis = analysed(write_manifest(tmp_path, ["a", "b"], 2, default="a"))
    assert analysis.shown == []
    assert missing(analysis)[:2] == ["a: all studies not there.", "b: all studies not there."]
    assert all(tests.pairs == () and tests.ranks is None for tests in analysis.tests[KEY])


def test_an_optimum_that_is_beaten_is_pointed_out(tmp_path):
    said = explanations(analysed(two_methods(tmp_path, optimum={"validation_accuracy": 95.0})))
    assert "The stated optimum of validation_accuracy, 95, is beaten by 3 trials: correct it" in " ".join(
        said
    )


def test_trials_at_lower_fidelities_are_pointed_out(tmp_path):
    write_manifest(tmp_path, ["a", "b"], 1)
    low = {"fidelity": {"name": "epochs", "value": 1}}
    study(tmp_path, "a", 0, [(90, 1), {"values": (90, 1), **low}])
    study(tmp_path, "b", 0, [{"values": (90, 1), **low}])
    said = " ".join(explanations(analysed(tmp_path)))
    assert "Trials at lower fidelities (a) count as no evaluation" in said
    assert "Nothing at the highest fidelity, so nothing to compare: b." in said
    assert "Finished with less than 4 evaluations" not in said  # several fidelities have no such number
    assert "Nothing to compare at equal cost" in said


def test_the_hypervolume_says_what_it_is_measured_by(tmp_path):
    changes = {
        "objectives": [VALIDATION, LATENCY],
        "optimum": {},
        "reference": {"validation_accuracy": 0, "latency": 30},
    }
    write_manifest(tmp_path, ["a"], 1, **changes)
    study(tmp_path, "a", 0, [{"values": (80, 1), "latency": 20.0}], exhausted=True)
    said = " ".join(explanations(analysed(tmp_path)))
    assert (
        "reference point validation_accuracy 0, latency 30 (as stated), divided by that of the union front"
        in said
    )
    assert "Runs of a ended as nothing was left to propose" in said


@pytest.mark.slow
def test_equal_methods_differ_no_more_often_than_stated(tmp_path):
    """Ranks of 200 comparisons of 3 equal methods: 20 or more rejections at 0.05 have p < 0.005."""
    rng = np.random.default_rng(3)
    rejected = 0
    for index in range(200):
        directory = write_manifest(tmp_path / str(index), "abc", 12, budgets=[1], optimum={})
        for method in "abc":
            for seed in range(12):
                study(directory, method, seed, [(float(rng.normal()), 0.0)])
        rejected += analysed(directory).tests["validation_accuracy"][0].ranks.p < 0.05
    assert stats.binom.sf(19, 200, 0.05) < 0.005
    assert rejected <= 19
