from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, mannwhitneyu
from sklearn.linear_model import Ridge

from nas.algorithms.ngram_smbo import CountMatrix, NgramSMBO, ngram_counts, ridge
from nas.algorithms.random_search import RandomSearch
from nas.errors import ConfigError
from nas.evaluation import Evaluation, Objective, Status, failure
from nas.search_spaces import SPACES
from nas.space import Architecture, Encoder, SearchSpace, sample
from nas.study import Searcher, Suggestion, Trial

MAXIMIZE, MINIMIZE = Objective("accuracy"), Objective("error", "minimize")
BLOCK = "(relu() | gelu() | silu() | tanh() | sigmoid())"
CHAIN = SearchSpace("chain", " >> ".join([BLOCK] * 10))


def outcome(value: float) -> Evaluation:
    return Evaluation(Status.COMPLETED, {"accuracy": value, "error": value}, 1.0)


def run(searcher: Searcher, trials: int, value: Callable[[Architecture], float]) -> list[Suggestion]:
    asked = []
    for number in range(trials):
        (suggestion,) = searcher.ask(1)
        asked.append(suggestion)
        searcher.tell(Trial(number, suggestion, evaluation=outcome(value(suggestion.architecture))))
    return asked


@pytest.mark.parametrize(("rows", "columns"), [(40, 7), (7, 40), (1, 5), (3, 3)])
@pytest.mark.parametrize("penalty", [1e-3, 1.0, 1e3])
def test_ridge_agrees_with_scikit_learn(rows, columns, penalty):
    rng = np.random.default_rng(rows)
    matrix, targets = rng.poisson(2.0, (rows, columns)).astype(float), rng.normal(50, 10, rows)
    weights, intercept = ridge(matrix, targets, penalty)
    expected = Ridge(alpha=penalty).fit(matrix, targets)
    assert weights == pytest.approx(expected.coef_, rel=1e-6, abs=1e-9)
    assert intercept == pytest.approx(expected.intercept_, rel=1e-9)


def test_counts_worked_out_by_hand():
    """conv relu conv relu relu: five names; the repeat is written out, the empty part has no name."""
    space = SearchSpace("s", "repeat(conv(kernel=3) >> relu(), 2) >> optional(gelu()) >> relu()")
    (first, _) = (space.start().take(option).architecture() for option in (0, 1))
    assert ngram_counts(first.network) == {
        (): 5,
        ("conv",): 2,
        ("relu",): 3,
        ("conv", "relu"): 2,
        ("relu", "conv"): 1,
        ("relu", "relu"): 1,
        ("conv", "relu", "conv"): 1,
        ("relu", "conv", "relu"): 1,
        ("conv", "relu", "relu"): 1,
        ("conv", "relu", "conv", "relu"): 1,
        ("relu", "conv", "relu", "relu"): 1,
    }


def test_short_networks_have_no_long_runs():
    assert ngram_counts(SearchSpace("s", "relu()").parse("relu()").network) == {(): 1, ("relu",): 1}


@pytest.mark.parametrize("name", SPACES.names())
def test_counts_are_those_of_the_encoder(name):
    space = SPACES.get(name)()
    encoder, rng = Encoder(space, ("ngram",)), np.random.default_rng(0)
    for _ in range(10):
        architecture = sample(space, rng)
        found = ngram_counts(architecture.network)
        named = {f"ngram:{'>'.join(names)}" if names else "primitives": n for names, n in found.items()}
        assert named == encoder.features(architecture)


def test_an_ngram_becomes_a_feature_when_it_was_met_three_times():
    matrix = CountMatrix(3)
    matrix.add({(): 2, ("a",): 2, ("b",): 1})
    assert matrix.names == [()]
    matrix.add({(): 3, ("a",): 1})
    assert matrix.names == [(), ("a",)]
    matrix.add({(): 4, ("b",): 1})
    matrix.add({(): 5, ("b",): 1, ("c",): 2})
    assert matrix.names == [(), ("a",), ("b",)]
    assert matrix.matrix.tolist() == [[2, 2, 1], [3, 1, 0], [4, 0, 1], [5, 0, 1]]


def test_the_matrix_grows_beyond_its_first_size():
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 3, (200, 150))
    matrix = CountMatrix(1)
    for row in rows.tolist():
        matrix.add({(): 1, **{(str(i),): n for i, n in enumerate(row) if n}})
    order = [int(names[0]) for names in matrix.names[1:]]
    assert (matrix.matrix[:, 1:] == rows[:, order]).all()
    assert sorted(order) == list(range(150))


def test_the_model_is_ridge_regression_on_the_counts_of_all_results():
    searcher = NgramSMBO(CHAIN, (MAXIMIZE,), seed=0)
    value = lambda a: float(a.text.count("tanh") - a.text.count("relu() >> gelu()"))  # noqa: E731
    asked = [suggestion.architecture for suggestion in run(searcher, 40, value)]
    counts = [ngram_counts(architecture.network) for architecture in asked]
    totals: dict[tuple[str, ...], float] = {}
    for one in counts:
        for name, number in one.items():
            totals[name] = totals.get(name, 0) + number
    kept = [name for name, total in totals.items() if total >= 3]
    matrix = np.array([[one.get(name, 0.0) for name in kept] for one in counts])
    expected = Ridge(alpha=1e3).fit(matrix, [-value(architecture) for architecture in asked])
    found = searcher.weights()
    assert set(found) == set(kept)
    assert [found[name] for name in kept] == pytest.approx(expected.coef_, rel=1e-6, abs=1e-9)


def test_without_results_all_predictions_are_zero_and_the_first_drawn_is_suggested():
    searcher = NgramSMBO(CHAIN, (MAXIMIZE,), seed=4, exploration=0.0)
    rng = np.random.default_rng(4)
    rng.random()  # explore or not
    drawn = [sample(CHAIN, rng) for _ in range(50)]
    assert searcher.weights() == {}
    assert searcher.ask(1)[0].architecture == drawn[0]


@pytest.mark.parametrize(("objective", "sign"), [(MAXIMIZE, 1), (MINIMIZE, -1)], ids=["maximize", "minimize"])
def test_the_candidate_predicted_best_is_suggested(objective, sign):
    """After results that only count tanh: of the next 50 candidates one with the most."""
    searcher = NgramSMBO(CHAIN, (objective,), seed=1, exploration=0.0)
    run(searcher, 30, lambda a: sign * float(a.text.count("tanh")))
    weights = searcher.weights()
    assert min(weights, key=weights.__getitem__) == ("tanh",)
    last = [searcher.ask(1)[0].architecture.text.count("tanh") for _ in range(20)]
    assert np.mean(last) > 4  # 2 in a random one, 4.9 in the best of 50


def test_a_quarter_is_explored():
    """Binomial test of 400 suggestions at alpha = 0.001, a fixed seed."""
    searcher = NgramSMBO(CHAIN, (MAXIMIZE,), seed=2, candidates=2)
    explored = [suggestion.info["origin"] for suggestion in searcher.ask(400)].count("exploration")
    assert binom.ppf(0.0005, 400, 0.25) <= explored <= binom.ppf(0.9995, 400, 0.25)


@pytest.mark.parametrize(("probability", "origin"), [(0.0, "model"), (1.0, "exploration")])
def test_exploration_can_be_never_or_always(probability, origin):
    searcher = NgramSMBO(CHAIN, (MAXIMIZE,), seed=2, candidates=2, exploration=probability)
    assert {s.info["origin"] for s in run(searcher, 30, lambda a: 0.0)} == {origin}


def test_failures_enter_with_the_worst_loss_so_far():
    searcher = NgramSMBO(SearchSpace("s", BLOCK), (MINIMIZE,), seed=0, threshold=1, exploration=1.0)
    losses, rows = [], []
    for number in range(12):
        (suggestion,) = searcher.ask(1)
        text = suggestion.architecture.text
        bad = text in ("tanh()", "silu()")
        evaluation = failure(Status.DIVERGED, "nan") if bad else outcome(float(len(text)))
        if text == "silu()":
            evaluation = outcome(math.inf)
        searcher.tell(Trial(number, suggestion, evaluation=evaluation))
        losses.append(math.inf if bad else float(len(text)))
        rows.append(text)
    worst = max(loss for loss in losses if loss < math.inf)
    assert math.inf in losses
    names = [name for name in searcher.weights() if name]
    matrix = np.array([[float(row == f"{name[0]}()") for name in names] for row in rows])
    expected = Ridge(alpha=1e3).fit(matrix, [min(loss, worst) for loss in losses])
    assert [searcher.weights()[name] for name in names] == pytest.approx(expected.coef_)


def test_trials_in_flight_are_not_suggested_again_while_there_are_others():
    space = SearchSpace("s", BLOCK)
    searcher = NgramSMBO(space, (MAXIMIZE,), seed=0)
    assert len({suggestion.architecture.text for suggestion in searcher.ask(5)}) == 5
    assert len(searcher.ask(2)) == 2


def test_finished_architectures_may_be_suggested_again():
    searcher = NgramSMBO(SearchSpace("s", BLOCK), (MAXIMIZE,), seed=0, exploration=0.0, threshold=1)
    asked = run(searcher, 12, lambda a: float(a.text == "tanh()"))
    assert [s.architecture.text for s in asked[-5:]] == ["tanh()"] * 5


def test_what_was_evaluated_instead_is_what_counts():
    space = SearchSpace("s", BLOCK)
    searcher = NgramSMBO(space, (MAXIMIZE,), seed=0, threshold=1)
    searcher.ask(1)
    searcher.tell(Trial(0, Suggestion(space.parse("sigmoid()")), evaluation=outcome(1.0)))
    assert set(searcher.weights()) == {(), ("sigmoid",)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidates": 0}, "candidates: expected 1 or more, got 0"),
        ({"exploration": 1.5}, "exploration: expected 0 to 1, got 1.5"),
        ({"penalty": 0.0}, "penalty: expected above 0, got 0;"),
        ({"threshold": 0}, "threshold: expected 1 or more, got 0"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message):
    with pytest.raises(ConfigError, match=f'searcher "ngram_smbo": {message}'):
        NgramSMBO(CHAIN, (MAXIMIZE,), seed=0, **options)


@pytest.mark.slow
def test_better_than_random_search_where_the_objective_is_linear_in_ngrams():
    """One-sided rank test at alpha = 0.001 over 10 seeds each, which are fixed; best of 64 trials."""

    def value(architecture: Architecture) -> float:
        text = architecture.text
        return text.count("tanh") + 2 * text.count("tanh() >> relu()") - 0.5 * text.count("silu")

    def best(searcher: Searcher) -> float:
        return max(value(suggestion.architecture) for suggestion in run(searcher, 64, value))

    model = [best(NgramSMBO(CHAIN, (MAXIMIZE,), seed=s)) for s in range(10)]
    chance = [best(RandomSearch(CHAIN, (MAXIMIZE,), seed=s)) for s in range(10)]
    assert mannwhitneyu(model, chance, alternative="greater").pvalue < 0.001
