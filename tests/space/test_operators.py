"""Sampling, enumeration, replay and crossover: loops over decisions."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from nas.errors import DeadEndError, SpaceError
from nas.language import integer, oneof, op, optional, real
from nas.space import Decision, crossover, enumerate_architectures, mutate, neighbours, sample
from nas.space.operators import replay, share_of
from tests.language.toy_terms import spaces
from tests.space.toy_spaces import FINITE, SPACES, TOYS, space

# chance that a right implementation fails one of the tests of uniformity below; the seeds are fixed
ERROR_RATE = 1e-4

a, b = op.a(), op.b()
seeds = st.integers(0, 2**32)
fuzz = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], max_examples=100)
by_name = pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@by_name
def test_samples_are_in_the_space(toy):
    rng = generator()
    for by in ("options", "derivations") if toy.derivations else ("options",):
        assert [SPACES[toy.name].check(sample(SPACES[toy.name], rng, by=by)) for _ in range(30)] == [
            None
        ] * 30


@pytest.mark.parametrize(
    "toy", [toy for toy in FINITE if toy.name != "constrained"], ids=lambda toy: toy.name
)
def test_sampling_by_derivations_is_uniform(toy):
    toy_space = SPACES[toy.name]
    cells = min(toy_space.size() or 0, 100)  # larger spaces: by the rank of the derivation, in 100 bins
    ranks = {x.decisions: i for i, x in enumerate(enumerate_architectures(toy_space))}
    bins = np.linspace(0, len(ranks), cells + 1)[1:-1]
    rng = generator(11)
    drawn = [ranks[sample(toy_space, rng, by="derivations").decisions] for _ in range(20 * cells)]
    observed = np.bincount(np.searchsorted(bins, drawn, side="right"), minlength=cells)
    share = np.bincount(np.searchsorted(bins, range(len(ranks)), side="right"), minlength=cells) / len(ranks)
    assert chisquare(observed, share * len(drawn)).pvalue > ERROR_RATE


def test_sampling_by_derivations_under_constraints_is_uniform_over_what_meets_them():
    toy = SPACES["constrained"]
    allowed = [x.decisions for x in enumerate_architectures(toy)]
    rng = generator(12)
    drawn = Counter(sample(toy, rng, by="derivations").decisions for _ in range(40 * len(allowed)))
    assert len(allowed) == 1 + 2 + 4 + 4 + 1  # by length; a sequence is a node itself
    assert chisquare([drawn[decisions] for decisions in allowed]).pvalue > ERROR_RATE


def test_sampling_by_options_draws_each_decision_uniformly():
    rng = generator(13)
    shallow = Counter(sample(SPACES["optional"], rng).text.startswith("a() >> b") for _ in range(4000))
    assert (
        chisquare([shallow[True], shallow[False]]).pvalue > ERROR_RATE
    )  # though 3 in 4 derivations have one
    copies = Counter(sample(SPACES["range"], rng).decisions[0].option for _ in range(3000))
    assert chisquare(list(copies.values())).pvalue > ERROR_RATE


@pytest.mark.parametrize(
    "number", [integer(3, 12), integer(-2, 2), real(2, 4), real(0.01, 10, log=True)], ids=str
)
def test_numbers_are_uniform_along_their_scale(number):
    rng, line = (
        generator(14),
        space(op.train(a, lr=number) if not number.integer else op.train(a, epochs=number)),
    )
    drawn = [float(sample(line, rng).decisions[0].option) for _ in range(2000)]
    assert number.low <= min(drawn)
    assert max(drawn) <= number.high
    shares = np.array([share_of(number, value) for value in drawn])
    bins = int(number.high - number.low + 1) if number.integer else 10
    assert chisquare(np.histogram(shares, bins, (0, 1))[0]).pvalue > ERROR_RATE


def test_logarithmic_integers_are_drawn_in_proportion_to_their_steps():
    rng, line = generator(15), space(op.train(a, epochs=integer(1, 4, log=True)))
    drawn = Counter(sample(line, rng).decisions[0].option for _ in range(4000))
    expected = np.diff(np.log([1, 2, 3, 4, 5])) / np.log(5)
    assert chisquare([drawn[k] for k in (1, 2, 3, 4)], 4000 * expected).pvalue > ERROR_RATE


@by_name
def test_the_seed_alone_decides(toy):
    toy_space = SPACES[toy.name]

    def course(global_seed: int) -> list[str]:
        np.random.seed(global_seed)  # noqa: NPY002 - the global state that must not matter
        random.seed(global_seed)
        before = np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
        rng = generator(4)
        first = sample(toy_space, rng)
        found = [first, sample(toy_space, rng)]
        found += [mutate(toy_space, first, rng) for _ in range(5)]
        found += [crossover(toy_space, *found[:2], rng), *list(neighbours(toy_space, first, rng))[:5]]
        assert (np.random.get_state()[1].tolist(), random.getstate()) == before  # noqa: NPY002
        return [x.text for x in found]

    assert course(1) == course(2)


def test_another_seed_gives_other_samples():
    texts = {tuple(sample(SPACES["types"], rng).text for _ in range(3)) for rng in map(generator, range(20))}
    assert len(texts) == 20


def test_an_unbounded_space_can_be_sampled_by_options_only():
    with pytest.raises(
        SpaceError, match='settings: unbounded, so "derivations" cannot be uniform; use "options"'
    ):
        sample(SPACES["settings"], generator(), by="derivations")
    with pytest.raises(SpaceError, match='by: expected "options" or "derivations", got \'size\''):
        sample(SPACES["settings"], generator(), by="size")


def test_a_constraint_that_nothing_meets_is_named():
    never = space(a | b, lambda architecture: f"too much: {architecture.text}")
    with pytest.raises(
        DeadEndError, match=r"toy: nothing admissible in 1000 draws; the last reason: too much: [ab]\(\)"
    ):
        sample(never, generator())


def test_wide_integers_are_sampled_by_derivations_without_listing_them():
    wide = space(op.train(optional(a), epochs=integer(1, 2**53)))
    assert sample(wide, generator(), by="derivations").settings["epochs"] > 2**40


def test_unbounded_spaces_are_not_enumerated():
    with pytest.raises(
        SpaceError, match=r"settings: real-valued holes cannot be enumerated; give them as oneof"
    ):
        next(enumerate_architectures(SPACES["settings"]))


def test_enumeration_leaves_out_what_breaks_a_constraint():
    found = list(enumerate_architectures(SPACES["constrained"]))
    assert len(found) == 12
    assert {SPACES["constrained"].violation(x) for x in found} == {None}


@by_name
def test_replay_determines_the_architecture(toy):
    rng = generator(2)
    for _ in range(10):
        architecture = sample(SPACES[toy.name], rng)
        again = replay(SPACES[toy.name], architecture.decisions, exact=True)
        assert again == architecture
        assert again.decisions == architecture.decisions


def test_replay_fills_what_is_missing_with_first_options():
    toy = SPACES["range"]
    full = toy.parse("b() >> c(k=3)")
    assert replay(toy, full.decisions[:2]).text == "b() >> c(k=1)"
    assert replay(toy, []).text == "c(k=1)"
    assert replay(SPACES["settings"], []).settings["lr"] == 1e-4


def test_replay_passes_over_what_does_not_fit():
    toy = SPACES["range"]
    decisions = [Decision(0, (), 7), Decision(99, (), 1)]
    assert replay(toy, decisions).text == "c(k=1)"
    out_of_bounds = Decision(SPACES["settings"].start().take(0).key.hole, (), 50.0)
    assert replay(SPACES["settings"], [out_of_bounds]).settings["lr"] == 1e-4


@by_name
def test_crossover_stays_inside(toy):
    toy_space, rng = SPACES[toy.name], generator(20)
    for _ in range(30):
        first, second = (mutate(toy_space, sample(toy_space, rng), rng) for _ in range(2))
        assert toy_space.check(crossover(toy_space, first, second, rng)) is None


@fuzz
@given(spaces(limit=None), seeds)
def test_crossover_in_random_spaces_stays_inside(random_space, seed):
    rng = generator(seed)
    child = crossover(random_space, sample(random_space, rng), sample(random_space, rng), rng)
    assert random_space.check(child) is None


def test_crossover_takes_each_decision_from_either_parent_evenly():
    toy, rng = space(op.node(*[a | b] * 10)), generator(21)
    one = toy.parse(f"node({', '.join(['a()'] * 10)})")
    other = toy.parse(f"node({', '.join(['b()'] * 10)})")
    children = [crossover(toy, one, other, rng) for _ in range(300)]
    taken = np.array([[decision.option for decision in child.decisions] for child in children])
    for column in (*taken.T, taken.ravel()):
        assert chisquare(np.bincount(column, minlength=2)).pvalue > ERROR_RATE
    assert crossover(toy, one, one, rng) == one


def test_crossover_uses_the_other_parent_where_one_does_not_fit():
    toy, rng = space(oneof(op.b(k=oneof(1, 2)), a)), generator(22)
    texts = {crossover(toy, toy.parse("a()"), toy.parse("b(k=2)"), rng).text for _ in range(50)}
    assert texts == {"a()", "b(k=2)"}  # never k=1, which neither has


@pytest.mark.parametrize(
    "operator", [mutate, lambda *args: list(neighbours(*args))], ids=["mutate", "neighbours"]
)
def test_architectures_of_another_space_are_refused(operator):
    stranger = SPACES["branches"].parse("add(a(), c(k=1), empty())")
    with pytest.raises(SpaceError, match="range at root: no decision for this hole; got add"):
        operator(SPACES["range"], stranger, generator())


@pytest.mark.parametrize("wrong", [0, None, np.random, np.random.RandomState(0), np.random.default_rng, "0"])
def test_randomness_comes_from_a_generator(wrong):
    toy_space = SPACES["choice"]
    parent = sample(toy_space, generator())
    message = "^rng: expected a numpy random generator, got .*; give np.random.default_rng"
    for draw in (
        lambda: sample(toy_space, wrong),
        lambda: mutate(toy_space, parent, wrong),
        lambda: crossover(toy_space, parent, parent, wrong),
        lambda: list(neighbours(toy_space, parent, wrong)),
    ):
        with pytest.raises(SpaceError, match=message):
            draw()


@pytest.mark.parametrize("wrong", ["a()", None, 3])
def test_a_text_is_no_architecture(wrong):
    toy_space = SPACES["choice"]
    message = "^choice: expected an architecture, got .*; .*parse"
    for do in (
        lambda: mutate(toy_space, wrong, generator()),
        lambda: crossover(toy_space, wrong, wrong, generator()),
        lambda: list(neighbours(toy_space, wrong, generator())),
    ):
        with pytest.raises(SpaceError, match=message):
            do()
    assert "expected an architecture" in str(toy_space.check(wrong))
