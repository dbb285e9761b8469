from __future__ import annotations

import pytest

from nas.algorithms.no_repeats import NoRepeats
from nas.algorithms.random_search import RandomSearch
from nas.algorithms.shared.wrapping import prepare_searcher
from nas.evaluation import Evaluation, Fidelity
from nas.space import Architecture, SearchSpace
from nas.study import Searcher, SearchFinished, Suggestion, Trial
from tests.algorithms.wrapping_kit import OBJECTIVES, Script, ended, letter, letters, one_by_one


def outcome(trial: Trial) -> Evaluation:
    assert trial.evaluation is not None
    return trial.evaluation


def test_a_repeat_of_an_ended_trial_is_answered_at_once_and_one_in_flight_when_it_ends():
    """By hand: a and b start; a ends with 1.0; the script repeats a (known) and b (in flight), then c."""
    space = letters()
    script = Script(space, "ababbc")
    searcher = NoRepeats(space, OBJECTIVES, seed=0, searcher=script)
    a, b = searcher.ask(2)
    searcher.tell(ended(0, a, 1.0))
    (c,) = searcher.ask(1)
    assert [letter(a), letter(b), letter(c)] == ["a", "b", "c"]
    assert script.heard == [(0, "a"), (2, "a")]
    searcher.tell(ended(1, b, None))
    assert script.heard[2:] == [(1, "b"), (3, "b"), (4, "b")]
    searcher.tell(ended(2, c, 3.0))
    assert script.heard[5:] == [(5, "c")]
    repeat_of_a, first_b, repeat_of_b = script.told[1], script.told[2], script.told[3]
    assert (outcome(repeat_of_a).values, outcome(repeat_of_a).cost_seconds) == ({"accuracy": 1.0}, 0.0)
    assert repeat_of_a.cached_from == 0
    assert (outcome(first_b).reason, outcome(first_b).cost_seconds) == ("loss is nan", 2.0)
    assert (outcome(repeat_of_b).reason, outcome(repeat_of_b).cost_seconds) == ("loss is nan", 0.0)


def test_parents_are_the_trials_that_stand_for_them():
    """Inner trial 2 repeats trial 0 and is the parent of inner trial 3, which is the outer trial 2."""
    space = letters()
    searcher = NoRepeats(space, OBJECTIVES, seed=0, searcher=Script(space, "abac", parents={3: 2}))
    given = list(one_by_one(searcher, lambda _: 1.0, trials=3))
    assert [letter(one) for one in given] == ["a", "b", "c"]
    assert given[2].parent == 0


def test_after_so_many_repeats_in_a_row_a_mutation_takes_the_place_of_the_last():
    space = letters("ab")
    script = Script(space, "aaaaaaa")
    searcher = NoRepeats(space, OBJECTIVES, seed=0, searcher=script, redraws=3)
    given = list(one_by_one(searcher, lambda one: 1.0 if letter(one) == "a" else 2.0))
    assert [letter(one) for one in given] == ["a", "b"]
    assert given[1].info["instead_of"] == given[0].architecture.digest()
    assert script.heard == [(0, "a"), (1, "a"), (2, "a"), (3, "b"), (4, "a"), (5, "a"), (6, "a")]
    assert outcome(script.told[3]).values == {"accuracy": 2.0}


class Stuck(Searcher):
    """Proposes one architecture for ever."""

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        self.told = 0

    def ask(self, count: int = 1) -> list[Suggestion]:
        return [Suggestion(self._architecture)]

    def tell(self, trial: Trial) -> None:
        self.told += 1


class Insisting(Searcher):
    """Proposes one architecture at the lowest of two fidelities, then for ever as the child of that trial."""

    def __init__(self, architecture: Architecture, fidelity: Fidelity) -> None:
        self._first = Suggestion(architecture, Fidelity("epochs", 1))
        self._again = Suggestion(architecture, fidelity, parent=0)
        self.asked = 0

    def ask(self, count: int = 1) -> list[Suggestion]:
        self.asked += 1
        assert self.asked < 1000, "it is asked for ever"
        return [self._first if self.asked == 1 else self._again]

    def tell(self, trial: Trial) -> None:
        return


@pytest.mark.parametrize(("epochs", "asks"), [(1, 5), (2, 6)])
def test_a_searcher_that_proposes_its_own_trial_again_is_stuck(epochs, asks):
    """By hand, 4 repeats: a@1, then a@1 four times, of which the last gives way; with a@2, that one first."""
    space = letters("ab")
    inside = Insisting(
        RandomSearch(space, OBJECTIVES, seed=0).ask(1)[0].architecture, Fidelity("epochs", epochs)
    )
    searcher = NoRepeats(space, OBJECTIVES, seed=0, searcher=inside, redraws=4)
    given = list(one_by_one(searcher, lambda _: 1.0, trials=2 + (epochs > 1)))
    assert inside.asked == asks
    assert given[-1].architecture != given[0].architecture
    assert [one.architecture == given[0].architecture for one in given[:-1]] == [True] * epochs


CONSTRAINED = SearchSpace(
    "constrained",
    "repeat(conv(kernel=oneof(1, 3, 5)) | relu(), 1, 3)",
    constraints=(lambda architecture: "kernel 3" if "kernel=3" in architecture.text else None,),
)
SKEWED = SearchSpace(
    "skewed", "relu() | residual(relu() | residual(relu() | conv(kernel=oneof(1, 3, 5, 7))))"
)


@pytest.mark.parametrize(("space", "size"), [(letters(), 8), (CONSTRAINED, 39), (SKEWED, 7)])
def test_a_small_space_is_used_up_whatever_is_inside(space, size):
    """3 + 9 + 27 of the constrained one, 1 + 1 + 1 + 4 of the skewed one; then the end, now and later."""
    inside = Stuck(RandomSearch(space, OBJECTIVES, seed=0).ask(1)[0].architecture)
    searcher = NoRepeats(space, OBJECTIVES, seed=0, searcher=inside, redraws=2)
    texts = [one.architecture.text for one in one_by_one(searcher, lambda _: 1.0)]
    assert len(texts) == len(set(texts)) == size
    for _ in range(2):
        with pytest.raises(SearchFinished):
            searcher.ask(1)


def test_random_search_without_repeats_draws_every_architecture_once():
    section = {"name": "no_repeats", "searcher": {"name": "random", "by": "derivations"}}
    searcher = prepare_searcher(section, seed=0)(SKEWED, OBJECTIVES)
    texts = [one.architecture.text for one in one_by_one(searcher, lambda _: 1.0)]
    assert len(texts) == len(set(texts)) == 7


def test_with_all_in_flight_it_waits_and_then_ends():
    space = letters("abc")
    searcher = NoRepeats(space, OBJECTIVES, seed=0, searcher={"name": "random"}, redraws=3)
    given = searcher.ask(9)
    assert sorted(map(letter, given)) == ["a", "b", "c"]
    assert searcher.ask(1) == []
    for number, suggestion in enumerate(given):
        searcher.tell(ended(number, suggestion, 1.0))
    with pytest.raises(SearchFinished):
        searcher.ask(1)


def test_an_unbounded_space_never_ends():
    space = SearchSpace("unbounded", "dropout(rate=real(0.0, 0.5))")
    searcher = NoRepeats(
        space, OBJECTIVES, seed=0, searcher=Stuck(space.parse("dropout(rate=0.25)")), redraws=2
    )
    texts = [one.architecture.text for one in one_by_one(searcher, lambda _: 1.0, trials=50)]
    assert len(set(texts)) == 50


def test_a_promotion_is_no_repeat_of_its_architecture():
    """ASHA with the levels 1 and 2 inside: each at most once at each, promotions included, and none lost.

    By hand, with a best: a@1, b@1, a@2. The script repeats b, which is answered; c@1; and the best half of
    a, b, b, c at the lowest rung is a and the earlier b, which goes up.
    """
    space = letters()
    section = {
        "name": "asha",
        "eta": 2,
        "searcher": Script(space, "abbc"),
        "fidelity_range": ("epochs", 1, 2),
    }
    inside = prepare_searcher({key: section[key] for key in ("name", "eta", "searcher")}, seed=0)(
        space, OBJECTIVES, section["fidelity_range"]
    )
    searcher = NoRepeats(space, OBJECTIVES, seed=0, searcher=inside)
    scores = {"a": 3.0, "b": 2.0, "c": 1.0}
    given = list(one_by_one(searcher, lambda one: scores[letter(one)]))
    story = [(letter(one), one.fidelity.value if one.fidelity else None, one.parent) for one in given]
    assert story == [("a", 1, None), ("b", 1, None), ("a", 2, 0), ("c", 1, None), ("b", 2, 1)]
