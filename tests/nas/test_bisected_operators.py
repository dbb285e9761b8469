"""Operators, encodings and constraints in the view by halves, on every space."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest

from nas.architecture import Architecture
from nas.bisection import BisectedSpace, bisected
from nas.encoding import Encoder
from nas.errors import DeadEndError
from nas.operators import crossover, enumerate_architectures, mutate, neighbours, replay, sample
from nas.space import SearchSpace
from search_spaces import SPACES
from tests.contracts.searcher_kit import spaces
from tests.nas.toy_spaces import SPACES as TOYS

EVERY = {
    **{name: SPACES.get(name)() for name in SPACES.names()},
    **{f"toy {name}": toy for name, toy in TOYS.items()},
    **{f"kit {name}": space for name, space in spaces().items()},
}
SMALL = {name: space for name, space in EVERY.items() if 0 < (space.size() or 0) <= 5000}
each_space = pytest.mark.parametrize("name", EVERY)
each_small = pytest.mark.parametrize("name", SMALL)
each_kind = pytest.mark.parametrize("all_choices", [False, True], ids=["ordered", "all"])


@each_small
@each_kind
def test_derivations_are_those_of_the_space(name, all_choices):
    space = SMALL[name]
    view = bisected(space, all_choices=all_choices)
    assert view.size() == view.start().count() == space.size()
    found = [view.restored(architecture).decisions for architecture in enumerate_architectures(view)]
    expected = [architecture.decisions for architecture in enumerate_architectures(space)]
    assert len(found) == len(set(found))
    assert set(found) == set(expected)


@each_space
@each_kind
def test_operators_stay_inside(name, all_choices):
    space = EVERY[name]
    view = bisected(space, all_choices=all_choices)
    rng = np.random.default_rng(1)
    parent, other = (sample(view, rng) for _ in range(2))
    foreign = view.adopted(mutate(space, mutate(space, view.restored(parent), rng), rng))
    found = [parent, other, foreign, *itertools.islice(neighbours(view, parent, rng), 8)]
    found += [child for one in (parent, foreign) for child in (mutate(view, one, rng),) if child != one]
    assert len(found) > 5 or name in ("toy choice", "toy ambiguous", "toy rules")
    found += [crossover(view, parent, foreign, rng)]
    for architecture in found:
        assert view.check(architecture) is None
        assert_restored(view, architecture)


def assert_restored(view: BisectedSpace, architecture: Architecture) -> None:
    """The outer architecture is in the space, is the same expression, and leads back."""
    space = view.original
    outer = view.restored(architecture)
    assert space.check(outer) is None
    assert (outer.term, outer.space) == (architecture.term, space.name)
    assert view.adopted(outer).decisions == architecture.decisions
    assert space.architecture_from_json(outer.to_json()) == outer
    assert view.architecture_from_json(architecture.to_json()) == architecture
    assert replay(view, architecture.decisions, exact=True).decisions == architecture.decisions
    assert view.parse(architecture.text).term == architecture.term


@each_space
@each_kind
def test_mutation_changes_the_architecture(name, all_choices):
    view = bisected(EVERY[name], all_choices=all_choices)
    rng = np.random.default_rng(2)
    for _ in range(5):
        parent = sample(view, rng)
        assert mutate(view, parent, rng) != parent


@each_space
def test_encodings_tell_architectures_apart(name):
    view = bisected(EVERY[name], all_choices=True)
    rng = np.random.default_rng(3)
    drawn = list({(a.text, a.decisions): a for a in (sample(view, rng) for _ in range(12))}.values())
    rows = Encoder(view, ("one_hot", "numeric")).fit(drawn).transform(drawn)
    assert np.isfinite(rows).all()
    texts = {row.tobytes(): architecture.text for row, architecture in zip(rows, drawn, strict=True)}
    assert len(set(texts.values())) == len({architecture.text for architecture in drawn})


def test_elements_with_names_of_their_own_are_adopted():
    """Deletion and insertion name a repeat's elements anew; the copies keep their decisions."""
    space = EVERY["kit repeat"]
    view = bisected(space)
    rng = np.random.default_rng(0)
    architecture, named = sample(space, rng), 0
    for _ in range(60):
        architecture = mutate(space, architecture, rng)
        named += any(decision.ids for decision in architecture.decisions)
        inner = view.adopted(architecture)
        assert view.check(inner) is None
        assert view.restored(inner).decisions == architecture.decisions
    assert named > 10


def even_only(architecture: Architecture) -> str | None:
    if architecture.space != "even" or len(architecture.decisions) != 1:
        return f"a constraint sees the architecture of its own space, not {architecture!r}"
    return None if int(architecture.decisions[0].option) % 2 == 0 else "odd"


def test_constraints_are_carried_over():
    view = bisected(SearchSpace("even", "conv(width=integer(1, 9))", constraints=(even_only,)))
    rng = np.random.default_rng(0)
    assert {sample(view, rng).text for _ in range(60)} == {f"conv(width={w})" for w in (2, 4, 6, 8)}
    assert len(list(enumerate_architectures(view))) == 4
    error = view.check(view.parse("conv(width=3)"))
    assert error is not None
    assert "odd" in str(error)
    impossible = bisected(SearchSpace("s", "conv(width=integer(1, 9))", constraints=(lambda a: "never",)))
    with pytest.raises(DeadEndError, match=r"s bisected to depth 5: nothing admissible.*never"):
        sample(impossible, rng)


@each_kind
def test_pickled_views_and_derivations_go_on_alike(all_choices):
    view = bisected(EVERY["macro"], all_choices=all_choices)
    architecture = sample(view, np.random.default_rng(0))
    start, copy = pickle.loads(pickle.dumps((view.start(), view)))
    assert copy.fingerprint() == view.fingerprint()
    assert replay(copy, architecture.decisions, exact=True).text == architecture.text
    while start.site is not None:
        start = start.take(start.options[0])
    assert copy.check(start.architecture()) is None
