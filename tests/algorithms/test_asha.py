from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nas.algorithms.asha import Asha
from nas.algorithms.random_search import RandomSearch
from nas.algorithms.shared.wrapping import prepare_searcher
from nas.errors import ConfigError
from nas.evaluation import Fidelity
from nas.space import SearchSpace
from nas.study import SearchFinished, Suggestion, Trial
from tests.algorithms.wrapping_kit import OBJECTIVES, Script, ended, letter, letters, one_by_one

SPACE = letters()
SCORES = {"a": 50.0, "b": 60.0, "c": 40.0, "d": 70.0, "e": 10.0, "f": 65.0, "g": 55.0, "h": 58.0}


def asha(script: str | Script, full: float = 4, **options) -> Asha:
    inside = Script(SPACE, script) if isinstance(script, str) else script
    return Asha(
        SPACE,
        OBJECTIVES,
        seed=0,
        searcher=inside,
        fidelity_range=("epochs", 1, full),
        **{"eta": 2, **options},
    )


def score(suggestion: Suggestion) -> float | None:
    return SCORES[letter(suggestion)]


def step(suggestion: Suggestion) -> str:
    """Such as b2: architecture b at 2 epochs."""
    assert suggestion.fidelity is not None
    return f"{letter(suggestion)}{suggestion.fidelity.value:g}"


def test_promotions_of_one_worker_by_hand():
    """Algorithm 2 with eta = 2, r = 1, R = 4, for a=50 b=60 c=40 d=70 e=10 f=65 g=55 h=58.

    Best first, those that went up in brackets, after which trial (rung 0 | rung 1):
     1 a1: a          |             1 result: nobody of floor(1/2) = 0
     2 b1: b a        |             floor(2/2) = 1: b
     3 b2: (b) a      | b
     4 c1: (b) a c    | b           floor(3/2) = 1: b, which is up
     5 d1: d (b) a c  | b           floor(4/2) = 2: d
     6 d2: (d b) a c  | d b         rung 1 first, floor(2/2) = 1: d
     7 d4: (d b) a c  | (d) b
     8 e1: (d b) a c e | (d) b
     9 f1: (d) f (b) a c e | (d) b  floor(6/2) = 3: d f b, f is not up
    10 f2: (d f b) a c e | (d) f b  rung 1: floor(3/2) = 1: d, which is up
    11 g1: (d f b) g a c e          floor(7/2) = 3
    12 h1: (d f b) h g a c e        floor(8/2) = 4: h
    13 h2: ... | (d) f b h          rung 1: floor(4/2) = 2: d f, f goes up
    14 f4
    """
    searcher = asha("abcdefgh")
    given = list(one_by_one(searcher, score))
    assert " ".join(map(step, given)) == "a1 b1 b2 c1 d1 d2 d4 e1 f1 f2 g1 h1 h2 f4"
    parents = {number: one.parent for number, one in enumerate(given) if one.parent is not None}
    assert parents == {2: 1, 5: 4, 6: 5, 9: 8, 12: 11, 13: 9}
    assert [number for number, one in enumerate(given) if not one.resumable] == [6, 13]
    assert [one.info["rung"] for one in given] == [0, 0, 1, 0, 0, 1, 2, 0, 0, 1, 0, 0, 1, 2]
    with pytest.raises(SearchFinished):
        searcher.ask(1)


def test_promotions_with_trials_in_flight_by_hand():
    """Nobody waits: with a, b, c started, b's result alone promotes nobody, and d starts.

    With a=50 b=60 c=40 d=70 and ends in the order b c d a: after b and c the best of two is b, which goes up;
    after d, of three, the best one is d; after a, of four, two: d and b. When b2 ends, rung 1 has one.
    """
    searcher = asha("abcd")
    flying = {letter(one): (number, one) for number, one in enumerate(searcher.ask(3))}

    def end(name: str) -> None:
        number, suggestion = flying.pop(name)
        searcher.tell(ended(number, suggestion, score(suggestion)))

    end("b")
    (d,) = searcher.ask(1)
    assert step(d) == "d1"
    flying["d"] = 3, d
    end("c")
    (b2,) = searcher.ask(1)
    assert (step(b2), b2.parent) == ("b2", 1)
    end("d")
    (d2,) = searcher.ask(1)
    assert (step(d2), d2.parent) == ("d2", 3)
    assert searcher.ask(1) == []  # the script is over, and what flies may still let somebody go up
    end("a")
    assert searcher.ask(1) == []
    searcher.tell(ended(4, b2, 60.0))
    assert searcher.ask(1) == []
    searcher.tell(ended(5, d2, 70.0))
    (d4,) = searcher.ask(1)
    assert (step(d4), d4.parent, d4.resumable) == ("d4", 5, False)
    searcher.tell(ended(6, d4, 70.0))
    with pytest.raises(SearchFinished):
        searcher.ask(1)


def test_a_failure_takes_its_place_and_stays_and_the_earlier_of_equals_goes_up():
    """b and c fail, so that of four only a and d are eligible; they are equal, and a came first."""
    outcomes = {"a": 1.0, "b": None, "c": math.nan, "d": 1.0}
    given = list(one_by_one(asha("bcad", full=2), lambda one: outcomes[letter(one)]))
    assert " ".join(map(step, given)) == "b1 c1 a1 a2 d1 d2"
    only_failures = list(one_by_one(asha("bcbc", full=2), lambda one: outcomes[letter(one)]))
    assert " ".join(map(step, only_failures)) == "b1 c1 b1 c1"


def test_early_stopping_rate_leaves_the_lowest_rungs_out():
    given = list(one_by_one(asha("abcd", early_stopping_rate=1), score))
    assert " ".join(map(step, given)) == "a2 b2 b4 c2 d2 d4"
    assert [step(one) for one in one_by_one(asha("abcd", early_stopping_rate=2), score)] == [
        "a4",
        "b4",
        "c4",
        "d4",
    ]
    with pytest.raises(ConfigError, match=r"early_stopping_rate: expected 0 to 2, with 3 fidelities, got 3"):
        asha("a", early_stopping_rate=3)


def test_the_searcher_inside_is_told_the_lowest_rung_at_once_and_nothing_else():
    script = Script(SPACE, "abcd")
    searcher = asha(script)
    heard = []
    for number in range(7):
        (one,) = searcher.ask(1)
        accuracy = 10.0 * one.info["rung"] + SCORES[letter(one)]  # higher rungs promise more
        searcher.tell(ended(number, one, accuracy))
        heard.append((step(one), len(script.told)))
    assert heard == [("a1", 1), ("b1", 2), ("b2", 2), ("c1", 3), ("d1", 4), ("d2", 4), ("d4", 4)]
    assert script.heard == [(0, "a"), (1, "b"), (2, "c"), (3, "d")]
    told = [trial.evaluation.values["accuracy"] for trial in script.told if trial.evaluation]
    assert told == [SCORES[name] for name in "abcd"]


@pytest.mark.parametrize("outer", ["asha", "hyperband"])
@pytest.mark.parametrize("inner", ["asha", "hyperband"])
@pytest.mark.parametrize("between", [(), ("no_repeats",), ("no_repeats", "pending_limit")])
def test_a_searcher_inside_that_chooses_fidelities_itself_is_refused(outer, inner, between):
    section: dict[str, Any] = {"name": inner, "searcher": {"name": "random"}}
    for name in between:
        section = {"name": name, "searcher": section}
    with pytest.raises(
        ConfigError,
        match=rf'^searcher "{outer}": searcher: expected one that leaves the fidelity to the wrapper around '
        "it, got one that asks for epochs of 1, 3, 9; nest only one of asha and hyperband$",
    ):
        prepare_searcher({"name": outer, "searcher": section}, seed=0)(SPACE, OBJECTIVES, ("epochs", 1, 9))


def test_one_that_does_not_say_so_is_refused_when_it_asks():
    class Choosing(Script):
        def ask(self, count=1):
            return [replace(one, fidelity=Fidelity("epochs", 1)) for one in super().ask(count)]

    with pytest.raises(
        ConfigError, match=r"got a suggestion with epochs = 1; nest only one of asha and hyper"
    ):
        asha(Choosing(SPACE, "a")).ask(1)


def epochs_until_best(searcher, best: float, seed: int) -> float:
    """Epochs spent on eight workers' worth of trials in flight until one close to the best has 81."""
    rng = np.random.default_rng(seed)
    flying: list[tuple[int, Suggestion]] = []
    spent, reached = 0.0, {}
    for number in range(2000):
        while len(flying) >= 8 or not (given := searcher.ask(1)):
            at, suggestion = flying.pop(int(rng.integers(len(flying))))
            epochs = 81.0 if suggestion.fidelity is None else suggestion.fidelity.value
            spent += epochs - reached.get(suggestion.parent, 0.0) * (suggestion.fidelity is not None)
            reached[at] = epochs
            quality = float(len(suggestion.architecture.text) % 101)
            noise = rng.normal(0, 30 / epochs)
            evaluation = ended(at, suggestion, quality + noise).evaluation
            searcher.tell(Trial(at, suggestion, evaluation=evaluation))
            if epochs == 81 and quality >= best:
                return spent
        flying.append((number, given[0]))
    return math.inf


def test_reaches_a_good_architecture_at_a_fraction_of_the_epochs_of_full_trainings():
    """Noise falls with the epochs. Sign test over 20 seeds at alpha = 0.001: 18 wins have p = 0.0002."""
    space = SearchSpace("texts", "repeat(conv(kernel=oneof(1, 3, 5)) | relu() | gelu(), 1, 6)")
    wins = 0
    for seed in range(20):
        inside = {"name": "random"}
        full = epochs_until_best(RandomSearch(space, OBJECTIVES, seed=seed), 95, seed)
        halved = epochs_until_best(
            Asha(space, OBJECTIVES, seed=seed, searcher=inside, fidelity_range=("epochs", 1, 81)), 95, seed
        )
        wins += halved < full
    assert wins >= 18
