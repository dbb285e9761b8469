"""Text to decisions: the first derivation with that text, in polynomial time, and where a text fails."""

from __future__ import annotations

import contextlib
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.errors import SpaceError
from nas.language import (
    define,
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
    written_out,
)
from nas.space import SearchSpace, enumerate_architectures, sample
from nas.space.matching import MAX_LENGTH, match
from tests.language.toy_terms import spaces
from tests.space.toy_spaces import FINITE, SPACES, TOYS, space

tensor = use("tensor")
a, b, c = op.a(), op.b(), op.c()
fuzz = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], max_examples=100)


def check_first(search_space: SearchSpace, step: int) -> None:
    """Every architecture is found again from its text, as the first derivation that has it."""
    first = {}
    found = list(enumerate_architectures(search_space))
    for architecture in found:
        first.setdefault(architecture.text, architecture)
    for architecture in found[::step]:
        parsed = search_space.parse(architecture.text)
        assert parsed == architecture
        assert parsed.decisions == first[architecture.text].decisions


@pytest.mark.parametrize("toy", FINITE, ids=lambda toy: toy.name)
def test_parse_inverts_text(toy):
    check_first(space(toy.expression), 1 if (toy.derivations or 0) < 200 else 17)


@fuzz
@given(spaces(limit=200))
def test_parse_inverts_text_in_random_spaces(random_space):
    check_first(random_space, 1 + (random_space.size() or 0) // 10)


@fuzz
@given(spaces(limit=None), st.integers(0, 2**32))
def test_parse_inverts_text_of_samples(random_space, seed):
    architecture = sample(random_space, np.random.default_rng(seed))
    assert random_space.parse(architecture.text) == architecture


@pytest.mark.parametrize(
    ("toy", "text", "expected"),
    [
        ("shared", "c(w=8, k=1) >> c(w=8) >> a() >> a()", "c(k=1, w=8) >> c(w=8) >> a() >> a()"),
        ("copies", "a() >> a() >> repeat(a(), 2)", "a() >> a() >> repeat(a(), 2)"),
        ("copies", "repeat(a(), 4)", "a() >> a() >> repeat(a(), 2)"),
        ("copies", "a() >> b() >> c(k=3) >> c(k=3)", "a() >> b() >> repeat(c(k=3), 2)"),
        ("copies", "repeat(a() >> empty(), 1) >> b()", "a() >> b()"),
        ("notation", "a() >> a()", "a() >> a()"),
        ("notation", "repeat(a(), 2)", "repeat(a(), 2)"),
        ("notation", "repeat(repeat(a(), 2), 1)", "repeat(a(), 2)"),
        ("notation", "c(k=1) >> repeat(c(k=1), 1)", "repeat(c(k=1), 2)"),
        (
            "define",
            "define(b() >> repeat(cell, 3), other=cell, cell=residual(c(k=1)))",
            "define(b() >> repeat(cell, 2) >> cell, cell=residual(c(k=1)), other=cell)",
        ),
        ("settings", "train(b(), optimizer='adam', epochs=3, decay=0, lr=1)", None),
    ],
)
def test_other_notations_of_the_same_expression_are_read(toy, text, expected):
    parsed = SPACES[toy].parse(text)
    assert SPACES[toy].check(parsed) is None
    assert parsed.text == (expected or "train(b(), lr=1.0, decay=0, epochs=3, optimizer='adam')")


@pytest.mark.parametrize(
    ("expression", "text", "message"),
    [
        (a >> (b | c), "a() >> a()", r"toy at root.1.: b\(\) \| c\(\) is expected; got a\(\)"),
        (a >> (b | c), "a()", r"toy at root.1.: b\(\) \| c\(\) is expected; got the end"),
        (a >> (b | c), "a() >> b() >> c()", r"toy at root: the end is expected; got c\(\)"),
        (a >> b >> c, "a() >> c() >> c()", r"toy at root: b\(\) is expected; got c\(\)"),
        (op.b(k=oneof(1, 2)) >> a, "b(k=3) >> a()", r"toy at b.k: oneof\(1, 2\) is expected; got 3"),
        (op.b(k=integer(1, 5)), "b(k=1.0)", r"toy at b.k: integer\(1, 5\) is expected; got 1.0"),
        (op.b(k=integer(1, 5)), "b(k=True)", r"toy at b.k: integer\(1, 5\) is expected; got True"),
        (op.d(p=real(0, 1)), "d(p=2)", r"toy at d.p: real\(0.0, 1.0\) is expected; got 2"),
        (op.c(k=1), "c()", r"toy at c: c\(k=1\) is expected; got c\(\)"),
        (
            op.c(k=oneof(1, 3)),
            "c(k=1, w=8)",
            r"toy at c: c\(k=oneof\(1, 3\)\) is expected; got c\(k=1, w=8\)",
        ),
        (repeat(a | b, 1, 2), "a() >> b() >> a()", r"toy at root: the end is expected; got a\(\)"),
        (repeat(a, (1, 3)), "a() >> a()", r"toy at root: a\(\) is expected; got the end"),
        (
            repeat(op.c(k=oneof(1, 3)), 2, tied=True),
            "c(k=1) >> c(k=3)",
            r"toy at root: c\(k=1\) is expected; got c\(k=3\)",
        ),
        (
            shared("s", a | b) >> shared("s", a | b),
            "b() >> a()",
            r"toy at root.0.: b\(\) is expected; got a\(\)",
        ),
        (
            rule("r", a | op.wrap(ref("r")), depth=2),
            "wrap(wrap(a()))",
            r"toy at r: a\(\).* is expected; got wrap",
        ),
        (define(ref("x"), x=a), "a()", r"toy at root: define\(x, x=a\(\)\) is expected; got a\(\)"),
        (a | b, "a() | b()", r"toy at root: a\(\) \| b\(\) is expected; got a\(\) \| b\(\)"),
        (
            program(
                op.inputs(w="tensor"), repeat(let("tensor", op.norm(use("tensor"))), 0, 2), out=use("tensor")
            ),
            "program(inputs(w='tensor'), norm(w) >> norm(x1), out=w)",
            r"toy at program.norm: use\('tensor'\) is expected; got x1",
        ),
    ],
)
def test_the_message_names_the_furthest_place(expression, text, message):
    with pytest.raises(SpaceError, match=message):
        space(expression).parse(text)


def test_the_text_of_a_space_is_no_architecture():
    with pytest.raises(SpaceError, match="an architecture has no choices left, so write one option of each"):
        space(a | b).parse("a() | b()")


def test_a_long_expectation_is_cut():
    wide = space(oneof(*[op.b(k=k) for k in range(1, 10)] * 5))
    with pytest.raises(SpaceError, match=r"b\(k=1\) \| .* \.\.\. .* is expected; got a\(\)") as caught:
        wide.parse("a()")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_texts_of_other_spaces_are_refused(toy):
    for other in TOYS:
        if other.expression != toy.expression:
            architecture = sample(SPACES[other.name], np.random.default_rng(0))
            try:
                found = SPACES[toy.name].parse(architecture.text)
            except SpaceError as error:
                refusal = str(error)
                assert refusal.startswith(f"{toy.name} at ")
                assert "is expected; got" in refusal
            else:
                assert written_out(found.term) == written_out(architecture.term)  # both have it


def test_decisions_come_in_derivation_order():
    architecture = sample(SPACES["shared"], np.random.default_rng(3))
    assert tuple(match(SPACES["shared"], architecture.term)) == architecture.decisions


def seconds(search_space: SearchSpace, text: str) -> float:
    start = time.process_time()
    with contextlib.suppress(SpaceError):
        search_space.parse(text)
    return time.process_time() - start


def test_ambiguity_does_not_explode():
    # the first has 2^60 derivations without a text, the second more trees than could be listed
    empty_steps = space(repeat(optional(a) >> optional(a), 0, 30))
    trees = space(rule("n", a | b | ref("n") >> ref("n") | optional(ref("n")), depth=8))
    steps = " >> ".join(["a()"] * 29)
    for search_space in (empty_steps, trees):
        assert seconds(search_space, steps) < 5
        assert seconds(search_space, steps + " >> c()") < 5


def test_long_sequences_need_neither_stack_nor_patience():
    line = space(repeat(a | op.b(k=oneof(1, 2)), 0, 3000))
    text = " >> ".join(["a()", "b(k=2)"] * 500)
    assert line.parse(text).text == text
    assert seconds(line, text) < 5


def test_repeats_of_repeats_are_not_written_out_without_bound():
    text = "repeat(repeat(repeat(a(), 1000), 1000), 1000)"
    with pytest.raises(SpaceError, match=f"toy: at most {MAX_LENGTH} steps are expected; got 1000000000"):
        space(repeat(a, 0, 5)).parse(text)
    exact = space(repeat(repeat(repeat(a, 1000), 1000), 1000))
    assert exact.parse(text).text == text
