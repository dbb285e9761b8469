from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from nas.algorithms import SEARCHERS
from nas.algorithms.no_repeats import NoRepeats
from nas.algorithms.pending_limit import ConcurrencyLimiter
from nas.algorithms.random_search import RandomSearch
from nas.algorithms.shared.wrapping import Inner, build_inner, child_seed, prepare_searcher
from nas.errors import ConfigError
from nas.study import SearchFinished, baseline_rng
from nas.study.plan import trial_seed
from tests.algorithms.wrapping_kit import OBJECTIVES, Script, ended, letters
from tests.contracts import searcher_kit

WRAPPERS = ("no_repeats", "pending_limit", "asha", "hyperband")
RANGE = ("epochs", 1, 9)


def is_wrapper(name: str) -> bool:
    return "searcher" in inspect.signature(SEARCHERS.get(name)).parameters


def may_be_inside(name: str) -> bool:
    return name not in searcher_kit.ONE_SHOT and not is_wrapper(name)


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", [name for name in SEARCHERS.names() if may_be_inside(name)])
def test_every_wrapper_goes_around_every_searcher(name, wrapper):
    space = searcher_kit.spaces()["choices"]
    inside = {"name": name, **searcher_kit.OPTIONS.get(name, {})}
    make = prepare_searcher({"name": wrapper, "searcher": inside}, seed=3)
    searcher = make(space, searcher_kit.OBJECTIVES, RANGE)
    given = list(searcher_kit.drive(searcher, trials=24))
    assert len(given) == 24
    assert all(space.check(suggestion.architecture) is None for suggestion in given)
    if wrapper == "no_repeats":
        assert len({suggestion.architecture for suggestion in given}) == 24
    if wrapper in ("asha", "hyperband"):
        promoted = [suggestion for suggestion in given if suggestion.info.get("origin") == "promotion"]
        assert promoted
        for suggestion in promoted:
            before = given[suggestion.parent or 0]
            assert before.architecture == suggestion.architecture
            assert before.resumable
            assert before.fidelity is not None
            assert suggestion.fidelity is not None
            assert suggestion.fidelity.value == 3 * before.fidelity.value


def test_the_searcher_inside_has_a_stream_of_its_own():
    seeds = {7, child_seed(7), child_seed(child_seed(7)), trial_seed(7, 0), trial_seed(7, 2)}
    seeds |= {int(baseline_rng(7, index).integers(2**32)) for index in range(3)}
    assert len(seeds) == 8
    space = searcher_kit.spaces()["choices"]
    inside = ConcurrencyLimiter(space, OBJECTIVES, seed=7, searcher={"name": "random"}, limit=9)
    alone = RandomSearch(space, OBJECTIVES, seed=7)
    assert [s.architecture for s in inside.ask(9)] != [s.architecture for s in alone.ask(9)]


def test_a_built_searcher_stays_as_it_is():
    space = letters()
    inside = Script(space, "ab")
    assert build_inner(inside, space, OBJECTIVES, seed=0).searcher is inside


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"name": "pending_limit"},
            r'^searcher "pending_limit": expected the option searcher, got none; give it a',
        ),
        (
            {"name": "no_repeats", "searcher": {"name": "rndom"}},
            r'^searcher\.searcher "rndom" is not registered; registered: .*; did you mean "random"\?$',
        ),
        (
            {"name": "no_repeats", "searcher": {"name": "asha", "searcher": {"name": "random", "bye": 1}}},
            r'^searcher\.searcher\.searcher "random": has no option "bye"'
            r'; options: by; did you mean "by"\?$',
        ),
        ({"name": "no_repeats", "searcher": {}}, r"^searcher\.searcher\.name: expected a name, got None"),
        (
            {"name": "no_repeats", "searcher": "random"},
            r"^searcher\.searcher: expected a section with a name or a nas.study.Searcher, got 'random'; ",
        ),
        (
            {"name": "no_repeats", "searcher": {"name": "fractions:Fraction"}},
            r'^searcher\.searcher "fractions:Fraction": expected a callable of 2 pos',
        ),
        (
            {
                "name": "asha",
                "searcher": {"name": "no_repeats", "searcher": {"name": "nsga2", "populaton": 3}},
            },
            r'^searcher\.searcher\.searcher "nsga2": has no option "populaton"; .* mean "population"\?$',
        ),
        (
            {
                "name": "no_repeats",
                "searcher": {"name": "pending_limit", "searcher": {"name": "tpe", "grop": 1}},
            },
            r'^searcher\.searcher\.sampler "tpe": has no option "grop"; .* mean "group"\?$',
        ),
        (
            {"name": "no_repeats", "searcher": {"name": "optuna", "first_onyl": True}},
            r'^searcher\.searcher "optuna": expected .*, got "first_onyl"; did you mean first_only\?$',
        ),
        (
            {"name": "no_repeats", "searcher": {"name": "nsga2", "population": 1}},
            r'^searcher\.searcher "nsga2": population: expected 2 or more, got 1; leave it out',
        ),
        (
            {"name": "no_repeats", "redraws": 0, "searcher": {"name": "random"}},
            r'^searcher "no_repeats": redraws: expected 1 or more, got 0; leave it out for the default$',
        ),
        (
            {"name": "pending_limit", "limit": 0, "searcher": {"name": "random"}},
            r'^searcher "pending_limit": limit: expected 1 or more, got 0; leave it out for the default$',
        ),
    ],
)
def test_mistakes_at_any_depth_are_one_line(section, message):
    with pytest.raises(ConfigError, match=message) as caught:
        prepare_searcher(section, seed=0)(letters(), OBJECTIVES, RANGE)
    assert "\n" not in str(caught.value)


def test_unknown_names_inside_are_found_before_anything_is_built():
    with pytest.raises(ConfigError, match=r'^searcher\.searcher "rndom" is not registered'):
        prepare_searcher({"name": "no_repeats", "searcher": {"name": "rndom"}}, seed=0)


def test_the_range_of_fidelities_reaches_whoever_asks_for_it():
    section: dict[str, Any] = {"name": "asha", "searcher": {"name": "random"}}
    for wrapper in ("no_repeats", "pending_limit", "no_repeats"):
        section = {"name": wrapper, "searcher": section}
    searcher = prepare_searcher(section, seed=0)(letters(), OBJECTIVES, RANGE)
    assert [fidelity.value for fidelity in searcher.fidelities] == [1, 3, 9]  # type: ignore[attr-defined]


def test_numbers_and_parents_are_translated_both_ways():
    """Inner trials 0, 1, 2 are the outer 5, 3 (of which it is a repeat) and 8."""
    space = letters()
    script = Script(space, "abc", parents={2: 1})
    inner = Inner(script)
    first, second = inner.ask(), inner.ask()
    assert first is not None
    assert second is not None
    assert [first.number, second.number] == [0, 1]
    inner.stands_for(0, 5)
    inner.tell(1, ended(3, second.suggestion, 1.0))
    third = inner.ask()
    assert third is not None
    assert third.suggestion.parent == 3
    inner.stands_for(2, 8)
    inner.tell(2, ended(8, third.suggestion, 1.0))
    inner.tell(0, ended(5, first.suggestion, 1.0))
    assert script.heard == [(1, "b"), (2, "c"), (0, "a")]
    assert script.told[1].suggestion.parent == 1  # in its own numbers
    with pytest.raises(SearchFinished):
        inner.ask()


def test_the_searcher_inside_is_told_what_was_evaluated_in_place_of_its_proposal():
    space = letters()
    script = Script(space, "ab", parents={1: 0})
    inner = Inner(script)
    first, second = inner.ask(), inner.ask()
    assert first is not None
    assert second is not None
    inner.tell(1, ended(1, first.suggestion, 1.0))
    assert script.heard == [(1, "a")]
    assert script.told[0].suggestion.parent is None


def test_the_same_seed_gives_the_same_walk():
    space = searcher_kit.spaces()["choices"]

    def texts(seed: int) -> list[str]:
        searcher = NoRepeats(space, OBJECTIVES, seed=seed, searcher=Script(letters(), ""), redraws=1)
        rng = np.random.default_rng(0)
        start = RandomSearch(space, OBJECTIVES, seed=int(rng.integers(9))).ask(1)[0].architecture
        return [one.text for one in searcher._alternatives(start)]

    assert texts(1) == texts(1) != texts(2)
