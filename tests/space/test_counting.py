"""Exact counts against closed forms, brute force, and the counts of what each option leaves."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from nas.language import (
    Term,
    choose,
    define,
    integer,
    let,
    oneof,
    op,
    optional,
    permutation,
    program,
    real,
    ref,
    repeat,
    rule,
    shared,
    use,
)
from nas.language.dsl import name
from nas.space import SearchSpace
from tests.language.toy_terms import spaces
from tests.space.toy_spaces import SPACES, TOYS, VOCABULARY

a, b = op.a(), op.b()
tensor = use("tensor")
fuzz = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], max_examples=100)


def size(expression: Term) -> int | None:
    return SearchSpace("toy", expression, vocabulary=VOCABULARY).size()


def trees(depth: int) -> int:
    return 1 if depth == 1 else 1 + trees(depth - 1) ** 2


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 8])
def test_binary_trees_of_bounded_depth(depth):
    assert size(rule("t", a | op.pair(ref("t"), ref("t")), depth=depth)) == trees(depth)


def test_chains_of_nested_rules():
    # n(i) choices of an inner chain of up to 4 links in each of up to 3 outer links
    inner = rule("inner", b | op.wrap(ref("inner")), depth=4)
    assert size(rule("outer", inner | inner >> ref("outer"), depth=3)) == 4 + 4 * (4 + 4 * 4)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (a, 1),
        (oneof(a, a, b), 3),
        (optional(a) >> optional(b), 4),
        (permutation(a, b, op.c(), op.d(), op.zero()), 120),
        (op.node(inputs=choose(3, *range(7))), comb(7, 3)),
        (integer(-5, 5), 11),
        (real(3, 3), 1),
        (real(3, 4), None),
        (optional(op.d(p=real(0, 1))), None),
        (repeat(a | b, 0, 10), 2**11 - 1),
        (repeat(a | b, (2, 5)), 4 + 32),
        (repeat(a | b, 0, 10, tied=True), 1 + 10 * 2),
        (repeat(a, 3, 8), 6),
        (repeat(repeat(a | b, 1, 2), 1, 2), 6 + 36),
        (repeat(a | b, 100), 2**100),
        (shared("s", a | b) >> shared("s", a | b), 2),
        (optional(shared("s", a | b)) >> shared("s", a | b), 4),
        (repeat(shared("s", a | b), 0, 3), 1 + 3 * 2),
        (define(op.b(k=ref("y")) >> repeat(ref("x"), 1, 2), x=a | b, y=integer(1, 3)), 2 * 3 * 2),
    ],
)
def test_counts_of_each_construct(expression, expected):
    assert size(expression) == expected


@pytest.mark.parametrize("inputs", [1, 3])
@pytest.mark.parametrize("statements", [0, 1, 5, 20])
def test_programs_grow_with_their_scope(inputs, statements):
    given = op.inputs(**{f"i{n}": "tensor" for n in range(inputs)})
    body = repeat(let("tensor", op.plus(tensor, tensor)), 0, statements)
    expected, ways = 0, 1
    for n in range(statements + 1):
        expected += ways * (inputs + n)  # the output reads any value
        ways *= (inputs + n) ** 2
    assert size(program(given, body, out=tensor)) == expected


def test_types_have_scopes_of_their_own():
    body = repeat(let("scalar", op.norm(tensor)) | let("tensor", op.scale(tensor, use("scalar"))), 3)
    expected = 0
    for pattern in range(8):
        tensors, scalars, ways = 1, 1, 1
        for step in range(3):
            grows = pattern >> step & 1
            ways *= tensors * scalars if grows else tensors
            tensors, scalars = tensors + grows, scalars + 1 - grows
        expected += ways * tensors
    assert size(program(op.inputs(w="tensor", lr="scalar"), body, out=tensor)) == expected


def test_a_statement_that_may_be_missing_changes_what_follows():
    body = optional(let("tensor", op.norm(name("w")))) >> let("tensor", op.norm(tensor))
    assert size(program(op.inputs(w="tensor"), body, out=tensor)) == 1 * 2 + 2 * 3


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_each_hole_counts_what_its_options_leave(toy):
    check_sums(SPACES[toy.name], 20)


@fuzz
@given(spaces(limit=None))
def test_each_hole_of_random_spaces_counts_what_its_options_leave(random_space):
    check_sums(random_space, 2)


def check_sums(space: SearchSpace, walks: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(walks):
        derivation = space.start()
        assert derivation.count() == space.size()
        while derivation.site is not None:
            if not derivation.options:
                assert derivation.count() is None
                derivation = derivation.take(derivation.choice.low)  # type: ignore[union-attr]
                continue
            below = [derivation.take(option) for option in derivation.options]
            counts = [branch.count() for branch in below]
            finite = [count for count in counts if count is not None]
            assert all(finite)
            assert derivation.count() == (sum(finite) if len(finite) == len(counts) else None)
            derivation = below[int(rng.integers(len(below)))]
        assert derivation.count() == 1


def test_decided_reals_leave_a_finite_rest():
    start = SPACES["settings"].start()
    assert start.count() is None
    second = start.take(0).take(0.01)  # no optional part, the learning rate
    assert second.take(0).count() == 300 * 2
    assert second.take(1).count() is None
    assert second.take(1).take(0.5).count() == 300 * 2


def test_large_counts_are_exact_and_fast():
    wide = repeat(oneof(*[op.b(k=k) for k in range(1, 10)]), 0, 60)
    assert size(wide) == (9**61 - 1) // 8
