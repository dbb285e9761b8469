"""Derivations: one decision at a time, frozen, with stable addresses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.errors import SpaceError
from nas.language import (
    Number,
    Use,
    integer,
    let,
    oneof,
    op,
    optional,
    program,
    real,
    ref,
    repeat,
    rule,
    shared,
    use,
)
from nas.space import Decision, Derivation, Key, Known, enumerate_architectures, sample
from nas.space.operators import replay
from tests.language.toy_terms import spaces
from tests.space.toy_spaces import SPACES, TOYS, space

a, b = op.a(), op.b()
fuzz = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], max_examples=60)


def walk(start: Derivation, options: list[int]) -> list[Derivation]:
    found = [start]
    for option in options:
        found.append(found[-1].take(option))
    return found


def random_walk(start: Derivation, rng: np.random.Generator) -> list[Derivation]:
    found = [start]
    while found[-1].site is not None:
        options = found[-1].options or (found[-1].choice.low,)  # type: ignore[union-attr]
        found.append(found[-1].take(options[int(rng.integers(len(options)))]))
    return found


def test_one_decision_at_a_time():
    start = space(op.c(k=oneof(1, 3, 5)) >> repeat(a | b, 0, 2)).start()
    assert (str(start.choice), start.label, start.options) == ("oneof(1, 3, 5)", "c.k", (0, 1, 2))
    second = start.take(2)
    assert (str(second.choice), second.label, list(second.options)) == (
        "repeat(a() | b(), 0, 2)",
        "root[1]",
        [0, 1, 2],
    )
    third = second.take(1)
    assert (str(third.choice), third.label, third.options) == ("a() | b()", "root[1].body", (0, 1))
    assert third.key == Key(third.site.index, (second.site.index, 0))  # type: ignore[union-attr]
    end = third.take(0)
    assert (end.choice, end.label, end.options) == (None, "complete", ())
    assert end.architecture().text == "c(k=5) >> a()"
    assert [decision.option for decision in end.decisions] == [2, 1, 0]


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_branching_from_any_node_gives_independent_results(toy):
    trail = random_walk(toy.space().start(), np.random.default_rng(5))
    before = [(d.key if d.site else None, tuple(d.options), d.decisions, d.count()) for d in trail]
    rng = np.random.default_rng(6)
    for derivation in trail:
        branches = [random_walk(derivation, rng)[-1] for _ in range(2)]
        assert all(
            branch.decisions[: len(derivation.decisions)] == derivation.decisions for branch in branches
        )
    assert [(d.key if d.site else None, tuple(d.options), d.decisions, d.count()) for d in trail] == before


@fuzz
@given(spaces(limit=None), st.integers(0, 2**32))
def test_replay_of_the_decisions_gives_the_same_architecture(random_space, seed):
    end = random_walk(random_space.start(), np.random.default_rng(seed))[-1]
    found = end.architecture()
    assert replay(random_space, reversed(found.decisions), exact=True) == found
    assert len({decision.key for decision in found.decisions}) == len(found.decisions)


def test_holes_with_one_option_are_filled_on_the_way():
    forced = space(oneof(op.b(k=integer(4, 4))) >> op.d(p=real(0.5, 0.5)) >> repeat(a, 2, 2) >> oneof(a, b))
    assert str(forced.start().choice) == "a() | b()"
    assert [d.option for d in forced.start().decisions] == [0, 4, 0.5]
    assert forced.start().take(1).architecture().text == "b(k=4) >> d(p=0.5) >> repeat(a(), 2) >> b()"


def test_a_space_of_one_architecture_is_complete_at_once():
    start = space(a >> b).start()
    assert start.site is None
    assert start.count() == 1
    assert start.architecture().text == "a() >> b()"


def test_depth_bounds_take_options_away_and_never_all():
    start = space(rule("r", a | op.wrap(ref("r")) | op.pair(ref("r"), b), depth=2)).start()
    assert start.options == (0, 1, 2)
    assert start.take(1).site is None  # at the last level only `a` is left
    assert start.take(1).architecture().text == "wrap(a())"


def test_a_repeat_that_can_only_be_empty_is_empty():
    start = space(rule("r", a | op.wrap(repeat(ref("r"), 0, 2)), depth=2)).start()
    inner = start.take(1)
    assert list(inner.options) == [0, 1, 2]
    deepest = space(rule("r", op.wrap(repeat(ref("r"), 0, 2)), depth=2)).start()
    assert [deepest.take(n).architecture().text for n in (0, 1, 2)] == [
        "wrap(empty())",
        "wrap(wrap(empty()))",
        "wrap(wrap(empty()) >> wrap(empty()))",
    ]


def test_shared_is_decided_once_where_it_is_first_met():
    start = space(shared("s", a | b) >> optional(shared("s", a | b)) >> shared("s", a | b)).start()
    end = start.take(1).take(1)
    assert end.architecture().text == "b() >> b() >> b()"
    assert [decision.prefix for decision in end.decisions] == [(), ()]


def test_keys_hold_the_elements_and_references_on_the_way():
    start = space(repeat(rule("r", a | op.wrap(ref("r")), depth=3), 2)).start()
    keys = [derivation.key for derivation in walk(start, [1, 1])]
    element, reference = keys[0].prefix[0], keys[1].prefix[2]
    prefixes = [(element, 0), (element, 0, reference, 0), (element, 1)]
    assert [key.prefix for key in keys] == prefixes
    assert len({key.hole for key in keys}) == 1


def test_named_elements_of_a_repeat():
    start = space(repeat(a | b, 0, 3)).start()
    named = start.take(2, (7, 3))
    assert named.key.prefix == (start.key.hole, 7)
    end = named.take(1).take(0)
    assert end.architecture().text == "b() >> a()"
    assert end.decisions[0] == Decision(start.key.hole, (), 2, (7, 3))


def test_names_that_say_nothing_are_left_out():
    assert space(repeat(a | b, 0, 3)).start().take(2, (0, 1)).decisions[0].ids == ()
    assert space(repeat(a | b, 0, 3, tied=True)).start().take(2, (5, 4)).decisions[0].ids == ()
    assert space(repeat(a, 0, 3)).start().take(2, (5, 4)).decisions[0].ids == ()


def test_values_of_a_program_are_options_by_number():
    body = repeat(let("tensor", op.plus(use("tensor"), use("tensor"))), 2)
    start = space(program(op.inputs(w="tensor", u="tensor"), body, out=use("tensor"))).start()
    trail = walk(start, [0, 1, 2, 1, 3])
    assert [tuple(d.options) for d in trail[:-1]] == [(0, 1), (0, 1), (0, 1, 2), (0, 1, 2), (0, 1, 2, 3)]
    assert trail[-1].architecture().text.endswith("plus(w, u) >> plus(x0, u), out=x1)")


def test_a_value_keeps_its_number_when_statements_come_before_it():
    body = repeat(let("tensor", op.norm(use("tensor"))), 0, 3)
    start = space(program(op.inputs(w="tensor"), body, out=use("tensor"))).start()
    second = start.take(2, (1, 0))  # the first statement can only read the input
    assert second.options == (0, 2)  # the input, and the statement of element 1
    assert second.take(2).options == (0, 2, 1)


NUMBERS = [np.int64(1), np.uint8(1), 1]


@pytest.mark.parametrize("option", NUMBERS, ids=lambda option: type(option).__name__)
def test_options_of_numpy_become_pythons_own(option):
    end = space(a | b).start().take(option)
    assert type(end.decisions[0].option) is int
    assert end.architecture().text == "b()"


def test_real_numbers_are_kept_as_floats():
    start = space(op.d(p=real(0, 1))).start()
    assert start.options == ()
    for number in (0.25, np.float32(0.25), 1):
        end = start.take(number)  # type: ignore[arg-type]
        assert type(end.decisions[0].option) is float
        assert end.architecture().text == f"d(p={float(number)})"


@pytest.mark.parametrize(
    ("expression", "option", "message"),
    [
        (a | b, 2, r"toy at root: option 2 is not one of 0, 1 \(a\(\) \| b\(\)\)"),
        (a | b, -1, "option -1 is not one of 0, 1"),
        (a | b, True, "option True is not one of 0, 1"),
        (a | b, 1.0, "option 1.0 is not one of 0, 1"),
        (a | b, "1", "option '1' is not one of 0, 1"),
        (a | b, None, "option None is not one of 0, 1"),
        (repeat(a, (1, 3)), 2, r"option 2 is not one of 1, 3 \(repeat\(a\(\), \(1, 3\)\)\)"),
        (op.b(k=integer(2, 9)), 10, "toy at b.k: option 10 is not one of 2, 3, 4, 5, 6, 7, 8, 9"),
        (
            op.train(a, epochs=integer(1, 99)),
            0,
            r"not one of 1, 2, .*, 20, ... \(integer\(1, 99\)\)",
        ),
        (op.d(p=real(0, 1)), 1.5, r"toy at d.p: option 1.5 is not one of real\(0.0, 1.0\)"),
        (op.d(p=real(0, 1)), float("nan"), "option nan is not one of real"),
        (op.d(p=real(0, 1)), "0.5", "option '0.5' is not one of real"),
        (op.d(p=real(0, 1)), True, "option True is not one of real"),
        (a, 0, "toy: nothing is left to decide; got option 0"),
    ],
)
def test_inadmissible_options_are_refused(expression, option, message):
    with pytest.raises(SpaceError, match=message):
        space(expression).start().take(option)


@pytest.mark.parametrize("ids", [(0,), (0, 0), (0, -1), (0, 1, 2), (0, "1"), (0, 1.0)])
def test_names_of_other_elements_are_refused(ids):
    with pytest.raises(SpaceError, match="toy at root: ids are expected of a repeat, one for each"):
        space(repeat(a | b, 0, 3)).start().take(2, ids)


def test_only_repeats_have_named_elements():
    with pytest.raises(SpaceError, match="ids are expected of a repeat"):
        space(a | b).start().take(1, (0,))


def test_an_incomplete_derivation_has_no_architecture_and_a_complete_one_no_key():
    start = space(op.b(k=oneof(1, 2))).start()
    with pytest.raises(SpaceError, match=r"toy at b\.k: this hole is not filled yet"):
        start.architecture()
    with pytest.raises(SpaceError, match="toy: the derivation is complete; it has no hole"):
        _ = start.take(0).key


def test_no_dead_end_in_many_samples():
    rng = np.random.default_rng(0)
    for toy in TOYS:
        for _ in range(200):
            assert sample(SPACES[toy.name], rng).term is not None


def test_every_order_of_options_reaches_every_architecture_once():
    toy = space(optional(a) >> repeat(b | op.wrap(a), 0, 2))
    found = [x.decisions for x in enumerate_architectures(toy)]
    assert found == sorted(found, key=lambda decisions: [decision.option for decision in decisions])
    assert len(set(found)) == len(found) == 2 * 7


def stepwise(derivation: Derivation, known: Known) -> Derivation:
    """What `follow` says, one `take` at a time."""
    while derivation.site is not None and derivation.key in known:
        _, _, option, ids = known[derivation.key.hole, derivation.key.prefix]
        hole, options = derivation.choice, derivation.options
        if isinstance(hole, Number) and not hole.integer:
            fits = hole.low <= option <= hole.high
        else:
            fits = option in options
        if not fits and not isinstance(hole, Use):
            break
        derivation = derivation.take(option, ids) if fits else derivation.take(options[-1])
    return derivation


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_following_takes_what_is_known_as_if_one_by_one(toy):
    """From each hole on the way to one architecture, by the decisions of another and by its own."""
    toy, rng = toy.space(), np.random.default_rng(0)
    for _ in range(20):
        walked = random_walk(toy.start(), rng)
        for architecture in (walked[-1].architecture(), sample(toy, rng)):
            known: Known = {(d.hole, d.prefix): d for d in architecture.decisions}
            for derivation in walked:
                followed, expected = derivation.follow(known), stepwise(derivation, known)
                assert (followed.site, followed.options) == (expected.site, expected.options)
                assert followed.decisions == expected.decisions


def test_following_an_argument_whose_value_is_gone_reads_the_latest():
    chain = space(
        program(op.inputs(x="tensor"), repeat(let("tensor", op.norm(use("tensor"))), 1, 3), y=use("tensor"))
    )
    whole = next(each for each in enumerate_architectures(chain) if each.text.endswith("y=x2)"))
    known: Known = {(d.hole, d.prefix): d for d in whole.decisions}
    shorter = chain.start().take(2).follow(known)
    assert shorter.site is None
    assert shorter.architecture().text.endswith("y=x1)")
