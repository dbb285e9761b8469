"""Mutation and neighbours: changes of one decision, and what follows from them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from nas.errors import DeadEndError, SpaceError
from nas.language import empty, integer, let, oneof, op, program, real, repeat, shared, use
from nas.space import Architecture, enumerate_architectures, mutate, neighbours, sample
from nas.space.operators import changed_decisions
from tests.language.toy_terms import spaces
from tests.space.toy_spaces import SPACES, TOYS, space

# chance that a right implementation fails one of the tests of uniformity below; the seeds are fixed
ERROR_RATE = 1e-4

a, b = op.a(), op.b()
tensor = use("tensor")
seeds = st.integers(0, 2**32)
fuzz = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], max_examples=100)
by_name = pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@by_name
def test_mutants_differ_and_stay_inside(toy):
    toy_space, rng = SPACES[toy.name], generator(3)
    parent = sample(toy_space, rng)
    for _ in range(60):
        child = mutate(toy_space, parent, rng)
        assert child != parent
        assert child.text != parent.text
        assert toy_space.check(child) is None
        assert toy_space.parse(child.text) == child
        parent = child


@fuzz
@given(spaces(limit=None), seeds)
def test_mutants_of_random_spaces_differ_and_stay_inside(random_space, seed):
    rng = generator(seed)
    parent = sample(random_space, rng)
    for _ in range(5):
        try:
            child = mutate(random_space, parent, rng)
        except SpaceError as error:
            refusal = str(error)
            assert "nothing to mutate" in refusal or "every child had the parent's text" in refusal
            return
        assert child != parent
        assert random_space.check(child) is None
        parent = child


def test_a_mutation_changes_one_decision_where_nothing_is_behind_it():
    rng = generator(5)
    for name in ("cells", "joined", "integers", "choose"):
        for _ in range(30):
            parent = sample(SPACES[name], rng)
            assert changed_decisions(parent, mutate(SPACES[name], parent, rng)) == 1


def test_modified_options_are_uniform_over_place_and_option():
    toy, rng = space(op.node(oneof(a, b, op.c()), oneof(a, b, op.c()))), generator(6)
    parent = toy.parse("node(a(), a())")
    drawn = Counter(mutate(toy, parent, rng).text for _ in range(2000))
    assert set(drawn) == {f"node({x})" for x in ("b(), a()", "c(), a()", "a(), b()", "a(), c()")}
    assert chisquare(list(drawn.values())).pvalue > ERROR_RATE


def test_kinds_of_mutation_are_equally_likely():
    toy, rng = space(repeat(op.b(k=oneof(*range(1, 10))), 0, 9)), generator(7)
    parent = toy.parse("b(k=1) >> b(k=2) >> b(k=3) >> b(k=4)")
    drawn = Counter(mutate(toy, parent, rng).text.count("b") for _ in range(3000))
    assert chisquare([drawn[3], drawn[4], drawn[5]]).pvalue > ERROR_RATE


def test_places_of_insertion_and_deletion_are_uniform():
    toy, rng = space(repeat(op.b(k=integer(1, 9)) | a, 2, 4)), generator(8)
    parent = toy.parse("b(k=1) >> b(k=2) >> b(k=3)")
    gone, places = Counter(), Counter()
    for _ in range(6000):
        child = mutate(toy, parent, rng).text
        if child.count(">>") == 1:
            gone[child] += 1
        elif child.count("a()") == 1 and child.count(">>") == 3:
            places[child.split(" >> ").index("a()")] += 1
    assert set(gone) == {"b(k=2) >> b(k=3)", "b(k=1) >> b(k=3)", "b(k=1) >> b(k=2)"}
    assert set(places) == {0, 1, 2, 3}
    assert chisquare(list(gone.values())).pvalue > ERROR_RATE
    assert chisquare(list(places.values())).pvalue > ERROR_RATE


def test_insertion_and_deletion_keep_the_names_and_decisions_of_the_others():
    toy, rng = space(repeat(op.b(k=integer(1, 9)), 0, 8)), generator(9)
    parent = sample(toy, rng)
    for _ in range(200):
        child = mutate(toy, parent, rng)
        ours, theirs = by_element(parent), by_element(child)
        both = ours.keys() & theirs.keys()
        if len(ours) != len(theirs):
            assert {element: ours[element] for element in both} == {
                element: theirs[element] for element in both
            }
            assert [e for e in ours if e in both] == [e for e in theirs if e in both]  # in the same order
            assert len(ours.keys() ^ theirs.keys()) == 1
        else:
            assert sum(ours[element] != theirs[element] for element in both) == 1
        parent = child


def by_element(architecture: Architecture) -> dict[int, int | float]:
    """The decision in each element, in the order of the elements."""
    return {d.prefix[1]: d.option for d in architecture.decisions if d.prefix}


def test_counts_with_gaps_insert_and_delete_several_adjacent_elements():
    toy, rng = space(repeat(op.b(k=integer(1, 9)), (1, 3, 6))), generator(10)
    parent = toy.parse("b(k=7) >> b(k=8) >> b(k=9)")
    lengths = set()
    for _ in range(200):
        child = mutate(toy, parent, rng)
        lengths.add(child.text.count("b"))
        if child.text.count("b") == 6:
            steps = child.text.split(" >> ")
            assert any(steps[:at] + steps[at + 3 :] == parent.text.split(" >> ") for at in range(4))
    assert lengths == {1, 3, 6}


def test_copies_without_decisions_of_their_own_have_no_names():
    toy, rng = space(repeat(op.b(k=integer(1, 9)), 1, 5, tied=True) >> repeat(a, 0, 5)), generator(11)
    parent = sample(toy, rng)
    for _ in range(100):
        parent = mutate(toy, parent, rng)
        assert all(decision.ids == () for decision in parent.decisions)


PROGRAM = space(
    program(
        op.inputs(w="tensor", lr="scalar"),
        repeat(let("tensor", op.plus(tensor, tensor)) | let("scalar", op.norm(tensor)), 0, 5),
        out=tensor,
        rate=use("scalar"),
    )
)


def test_deleting_a_statement_rebinds_its_readers_to_the_latest_value_of_the_type():
    parent = PROGRAM.parse(
        "program(inputs(w='tensor', lr='scalar'), plus(w, w) >> norm(x0) >> plus(x0, w) >> plus(x0, x2),"
        " out=x3, rate=x1)"
    )
    rng, found = generator(16), set()
    for _ in range(400):
        child = mutate(PROGRAM, parent, rng)
        if child.text.count("plus") + child.text.count("norm") == 3:
            found.add(child.text.removeprefix("program(inputs(w='tensor', lr='scalar'), "))
    assert found == {
        "norm(w) >> plus(w, w) >> plus(x1, x1), out=x2, rate=x0)",
        "plus(w, w) >> plus(x0, w) >> plus(x0, x1), out=x2, rate=lr)",
        "plus(w, w) >> norm(x0) >> plus(x0, x0), out=x2, rate=x1)",
        "plus(w, w) >> norm(x0) >> plus(x0, w), out=x2, rate=x1)",
    }


def test_inserting_a_statement_keeps_what_the_others_read():
    parent = PROGRAM.parse(
        "program(inputs(w='tensor', lr='scalar'), plus(w, w) >> plus(x0, w), out=x1, rate=lr)"
    )
    rng, found = generator(17), set()
    for _ in range(400):
        child = mutate(PROGRAM, parent, rng)
        if child.text.count("norm") == 1 and child.text.count("plus") == 2:
            found.add(child.text.removeprefix("program(inputs(w='tensor', lr='scalar'), "))
    assert found == {
        "norm(w) >> plus(w, w) >> plus(x1, w), out=x2, rate=lr)",
        "plus(w, w) >> norm(w) >> plus(x0, w), out=x2, rate=lr)",
        "plus(w, w) >> norm(x0) >> plus(x0, w), out=x2, rate=lr)",
        "plus(w, w) >> plus(x0, w) >> norm(w), out=x1, rate=lr)",
        "plus(w, w) >> plus(x0, w) >> norm(x0), out=x1, rate=lr)",
        "plus(w, w) >> plus(x0, w) >> norm(x1), out=x1, rate=lr)",
    }


def test_mutation_redraws_children_with_the_parents_text():
    toy, rng = space(oneof(a >> a, repeat(a, 1) >> a, b)), generator(18)
    assert {mutate(toy, toy.parse("a() >> a()"), rng).text for _ in range(50)} == {"b()"}


def test_spaces_without_alternatives_cannot_be_mutated():
    single = space(a >> op.b(k=integer(2, 2)))
    with pytest.raises(
        SpaceError, match=r"toy: nothing to mutate; no hole of a\(\) >> b\(k=2\) has an alternative"
    ):
        mutate(single, sample(single, generator()), generator())
    alike = space(oneof(a, a >> empty()))
    with pytest.raises(
        DeadEndError, match=r"toy: nothing admissible in 1000 draws; .* every child had the parent's text"
    ):
        mutate(alike, sample(alike, generator()), generator())


def test_children_meet_the_constraints_and_the_last_reason_is_named():
    toy, rng = SPACES["constrained"], generator(19)
    parent = sample(toy, rng)
    for _ in range(50):
        parent = mutate(toy, parent, rng)
        assert toy.violation(parent) is None
    only_a = space(a | b, lambda architecture: None if architecture.text == "a()" else "b is not wanted")
    with pytest.raises(DeadEndError, match="the last reason: b is not wanted"):
        mutate(only_a, only_a.parse("a()"), rng)


def hamming(one: Architecture, other: Architecture) -> int:
    return sum(p.option != q.option for p, q in zip(one.decisions, other.decisions, strict=True))


@pytest.mark.parametrize("name", ["cells", "joined", "choose"])
def test_neighbours_are_those_one_decision_away(name):
    toy, rng = SPACES[name], generator(23)
    everything = list(enumerate_architectures(toy))
    centre = sample(toy, rng)
    found = list(neighbours(toy, centre, rng))
    assert len(found) == len(set(found))
    assert set(found) == {x for x in everything if hamming(x, centre) == 1}


def test_neighbours_of_a_repeat_insert_and_delete_everywhere():
    toy = space(repeat(op.b(k=integer(1, 9)), 0, 3))
    found = [x.text for x in neighbours(toy, toy.parse("b(k=1) >> b(k=2)"), generator(24))]
    assert {"b(k=1)", "b(k=2)"} < set(found)
    assert len([text for text in found if text.count("b") == 3]) == 3
    assert len([text for text in found if text.count("b") == 2]) == 2 * 8


def test_neighbours_come_once_each_and_never_the_centre():
    toy = space(repeat(a | b, 0, 4))
    centre = toy.parse("a() >> a() >> a()")
    found = [x.text for x in neighbours(toy, centre, generator(25))]
    assert len(found) == len(set(found))
    assert centre.text not in found
    assert found.count("a() >> a()") == 1


def test_neighbours_of_a_real_are_two_steps():
    found = list(
        neighbours(space(op.d(p=real(0, 1))), space(op.d(p=real(0, 1))).parse("d(p=0.5)"), generator(26))
    )
    assert len(found) == 2


def test_neighbours_meet_the_constraints():
    toy = SPACES["constrained"]
    found = list(neighbours(toy, toy.parse("a() >> a() >> wrap(b())"), generator(27)))
    assert found
    assert {toy.violation(x) for x in found} == {None}


@by_name
def test_neighbours_are_in_the_space(toy):
    toy_space, rng = SPACES[toy.name], generator(28)
    centre = sample(toy_space, rng)
    found = list(neighbours(toy_space, centre, rng))
    assert found
    assert [toy_space.check(x) for x in found[:50]] == [None] * len(found[:50])


def test_changed_decisions_counts_keys_that_differ():
    toy = SPACES["range"]
    one, other = toy.parse("b() >> c(k=3)"), toy.parse("b() >> c(k=5)")
    assert changed_decisions(one, one) == 0
    assert changed_decisions(one, other) == 1
    assert (
        changed_decisions(one, toy.parse("b()")) == 1 + 2
    )  # the count, and the two in the element that is gone


def test_shared_decisions_change_at_all_their_places():
    toy, rng = space(shared("s", a | b) >> shared("s", a | b)), generator(29)
    assert mutate(toy, toy.parse("a() >> a()"), rng).text == "b() >> b()"
