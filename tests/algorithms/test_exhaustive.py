from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest
from scipy.stats import chisquare

from nas.algorithms.exhaustive import Exhaustive, derivation_at
from nas.errors import ConfigError
from nas.search_spaces import nasbench201
from nas.space import Architecture, SearchSpace, enumerate_architectures
from nas.study import SearchFinished
from tests.algorithms.evolution_kit import FAILED, MAXIMIZE, outcome, run, tangled
from tests.space.toy_spaces import FINITE

LARGE = {"statements"}  # 2,400 derivations
each_toy = pytest.mark.parametrize(
    "toy", [pytest.param(toy, id=toy.name, marks=[pytest.mark.slow] * (toy.name in LARGE)) for toy in FINITE]
)


def texts(space: SearchSpace, **options) -> list[str]:
    searcher = Exhaustive(space, (MAXIMIZE,), **{"seed": 0, **options})
    return [suggestion.architecture.text for suggestion in run(searcher, 10_000, lambda _: outcome(1.0))]


@each_toy
def test_each_text_comes_once_in_the_order_of_enumeration(toy):
    space = toy.space()
    found = texts(space)
    assert found == list(dict.fromkeys(each.text for each in enumerate_architectures(space)))
    if not toy.constraints:
        assert len(found) == (toy.texts or toy.derivations)
    mixed = texts(space, order="random")
    assert sorted(mixed) == sorted(found)
    assert mixed != found


@each_toy
def test_the_derivation_of_each_number_is_that_of_enumeration(toy):
    space = SearchSpace(toy.name, toy.expression, vocabulary=toy.space().vocabulary)
    assert toy.derivations is not None
    found = [derivation_at(space, index).decisions for index in range(toy.derivations)]
    assert found == [each.decisions for each in enumerate_architectures(space)]


def test_every_random_order_is_equally_likely():
    """Chi-squared over the 6 orders of 3 texts in 1200 seeds; alpha 0.001 for seeds that are fixed."""
    space = SearchSpace("three", "relu() | gelu() | silu()")
    counts = Counter(tuple(texts(space, order="random", seed=seed)) for seed in range(1200))
    orders = list(permutations(["relu()", "gelu()", "silu()"]))
    assert set(counts) == set(orders)
    assert chisquare([counts[order] for order in orders]).pvalue > 0.001


def test_nothing_is_made_before_it_is_asked_for():
    made = []

    def counted(architecture: Architecture) -> str | None:
        made.append(architecture.text)
        return None

    part = " | ".join(f"dropout(rate={i / 10})" for i in range(10))
    space = SearchSpace("six", " >> ".join([f"({part})"] * 6), constraints=(counted,))
    for order in ("derivation", "random"):
        made.clear()
        Exhaustive(space, (MAXIMIZE,), seed=0, order=order).ask(3)
        assert len(made) == 3


def test_it_never_waits_and_ends():
    searcher = Exhaustive(SearchSpace("three", "relu() | gelu() | silu()"), (MAXIMIZE,), seed=0)
    assert [s.architecture.text for s in searcher.ask(2)] == ["relu()", "gelu()"]
    assert [s.architecture.text for s in searcher.ask(2)] == ["silu()"]
    for _ in range(2):
        with pytest.raises(SearchFinished):
            searcher.ask(1)


def test_failures_and_any_order_of_results_change_nothing():
    space = FINITE[0].space()
    searcher = Exhaustive(space, (MAXIMIZE,), seed=0)
    told = sorted(tangled(searcher, 100, lambda _: FAILED, flying=4, order=1), key=lambda trial: trial.number)
    assert [trial.architecture.text for trial in told] == texts(space)


def test_a_space_of_which_nothing_is_admissible_is_finished_at_once():
    space = SearchSpace("never", "relu() | gelu()", constraints=(lambda _: "no",))
    with pytest.raises(SearchFinished):
        Exhaustive(space, (MAXIMIZE,), seed=0).ask(1)


@pytest.mark.parametrize(
    ("expression", "options", "message"),
    [
        (
            "dropout(rate=real(0.0, 0.5))",
            {},
            r"space s: expected a finite space, got one with real-valued holes; give them as oneof",
        ),
        (
            "conv(width=integer(1, 1001)) >> conv(width=integer(1, 1000))",
            {},
            "space s: expected at most 1000000 derivations, got 1,001,000; raise limit or",
        ),
        (
            "relu() | gelu() | silu()",
            {"limit": 2},
            "space s: expected at most 2 derivations, got 3; raise limit or",
        ),
        (
            " >> ".join(["conv(width=integer(1, 1000000))"] * 10),
            {},
            r"space s: expected at most 1000000 derivations, got about 10\*\*60; raise limit or",
        ),
        ("relu() | gelu()", {"limit": 0}, "limit: expected 1 or more, got 0; leave it out for the default"),
        (
            "relu() | gelu()",
            {"order": "backwards"},
            'order: expected "derivation" or "random", got \'backwards\'; leave it out for the default',
        ),
    ],
)
def test_spaces_and_options_are_checked(expression, options, message):
    with pytest.raises(ConfigError, match=f'^searcher "exhaustive": {message}') as refused:
        Exhaustive(SearchSpace("s", expression), (MAXIMIZE,), seed=0, **options)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_nasbench201_is_gone_through():
    """15,625 cells, every one with a text of its own (Dong and Yang 2020)."""
    searcher = Exhaustive(nasbench201.space(), (MAXIMIZE,), seed=0)
    found = run(searcher, 20_000, lambda _: outcome(1.0))
    assert len(found) == len({s.architecture.digest() for s in found}) == 15_625
