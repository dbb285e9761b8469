"""The surface syntax: what the constructors build, what they refuse, and the text form."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.errors import SpaceError
from nas.language import (
    Choice,
    Literal,
    Name,
    Number,
    Op,
    Ref,
    Repeat,
    Seq,
    Term,
    add,
    children,
    choose,
    concat,
    define,
    empty,
    integer,
    let,
    oneof,
    op,
    optional,
    parse,
    permutation,
    program,
    real,
    ref,
    repeat,
    residual,
    rule,
    shared,
    to_text,
    train,
    unrolled,
    use,
    walk,
)
from nas.language.dsl import name
from tests.language.toy_terms import expressions, terms, values

a, b, c, d = op.a(), op.b(), op.c(), op.d()
fuzz = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def _nested(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels):
        found = [found]
    return found


def _doubled(times: int, double: Callable[[Term], Term] = lambda x: op.c(x, x)) -> Term:
    found: Term = a
    for _ in range(times):
        found = double(found)
    return found


def test_operators_flatten():
    assert a >> b >> c == Seq((a, b, c)) == a >> (b >> c)
    assert a | b | c == Choice((a, b, c)) == a | (b | c)
    assert a + b + c == Op("add", (a, b, c)) == a + (b + c) == add(a, b, c)


def test_python_precedence_is_the_languages():
    assert (a | b >> c + d) == Choice((a, Seq((b, Op("add", (c, d))))))


def test_function_forms():
    assert concat(a, b) == Op("concat", (a, b))
    assert residual(a) == Op("residual", (a,))
    assert train(a, lr=0.1) == Op("train", (a,), (("lr", Literal(0.1)),))


def test_plain_values_take_part_in_operators():
    assert (3 | a) == Choice((Literal(3), a))
    assert (a | 3) == Choice((a, Literal(3)))
    assert 3 + a == Op("add", (Literal(3), a))
    assert (3 >> a) == Seq((Literal(3), a))


def test_a_sequence_of_one_is_that_part_and_of_none_does_nothing():
    assert a >> empty() == a
    assert empty() >> empty() == empty() == Seq(())


def test_oneof_keeps_a_nested_choice_and_bar_does_not():
    assert oneof(a | b, c) == Choice((Choice((a, b)), c))
    assert (oneof(a, b) | c) == Choice((a, b, c))


def test_sugar_is_choices():
    assert optional(a) == Choice((Seq(()), a))
    assert permutation(a, b) == Choice((a >> b, b >> a))
    assert len(children(permutation(a, b, c))) == 6
    assert choose(2, 0, 1, 2) == oneof((0, 1), (0, 2), (1, 2))


def test_repeat_forms():
    assert repeat(a, 3) == Repeat(a, 3, 3)
    assert repeat(a, 1, 3) == Repeat(a, 1, 3)
    assert repeat(a, (1, 2, 3)) == Repeat(a, 1, 3)
    assert repeat(a, (1, 4), tied=True) == Repeat(a, 1, 4, True, (1, 4))
    assert repeat(a, [2]) == Repeat(a, 2, 2)
    assert repeat(a, np.int64(1), np.int64(3)) == Repeat(a, 1, 3)  # type: ignore[arg-type]


def test_literals_are_of_pythons_own_types():
    class Colour(enum.StrEnum):
        RED = "red"

    class Size(enum.IntEnum):
        BIG = 3

    built = op.a(
        x=np.int64(3), y=np.float64(0.5), z=Colour.RED, u=Size.BIG, v=[1, (2, None)], w=np.float32(2)
    )
    assert str(built) == "a(x=3, y=0.5, z='red', u=3, v=(1, (2, None)), w=2.0)"
    assert [type(value.value) for _, value in built.attributes] == [int, float, str, int, tuple, float]


def test_literals_of_different_types_differ():
    assert len({Literal(1), Literal(1.0), Literal(True), Literal("1"), Literal((1,)), Literal(None)}) == 6
    assert Literal(0.0) != Literal(-0.0)


def test_numbers_are_normalised():
    assert real(1, 3) == Number(1.0, 3.0, False)
    assert repr(real(1, 3).low) == "1.0"  # type: ignore[attr-defined]
    assert integer(np.int64(1), np.int64(3), log=True) == Number(1, 3, True, True)


def test_names_that_begin_with_an_underscore_are_no_primitives():
    assert not hasattr(op, "__wrapped__")
    assert not hasattr(op, "_private")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: oneof(), "oneof: at least one option is expected, none was given"),
        (lambda: permutation(a), "permutation: expected 2 to 5 parts, got 1"),
        (lambda: permutation(*[a] * 6), "permutation: expected 2 to 5 parts, got 6"),
        (lambda: choose(0, 1, 2), r"choose: expected k in 1..2 \(the number of items\), got 0"),
        (lambda: choose(3, 1, 2), r"choose: expected k in 1..2"),
        (lambda: choose(1, a, b), "a tuple may hold plain values only; use oneof"),
        (lambda: integer(1.0, 2), "integer: expected bounds to be integers, got 1.0"),  # type: ignore[arg-type]
        (lambda: integer(False, 2), "integer: expected bounds to be integers, got False"),
        (lambda: integer(3, 2), r"integer: expected bounds with low <= high, got \(3, 2\)"),
        (
            lambda: integer(0, 2, log=True),
            r"integer: expected bounds with 0 < low <= high, got \(0, 2\)",
        ),
        (lambda: integer(0, 2**53 + 1), r"integer: expected finite bounds of at most 2\*\*53"),
        (lambda: real("1", 2), "real: expected bounds to be numbers, got '1'"),  # type: ignore[arg-type]
        (lambda: real(0, math.inf), r"real: expected finite bounds of at most 1e\+300"),
        (lambda: real(math.nan, 1), "real: expected finite bounds"),
        (lambda: real(0, 10**400), "real: expected finite bounds"),
        (lambda: real(0.0, 1.0, log=True), "real: expected bounds with 0 < low"),
        (lambda: real(1, 2, log=1), "real: log: expected True or False, got 1"),  # type: ignore[arg-type]
        (lambda: repeat(a, -1), r"repeat: expected ascending integers of at least 0, got \(-1, -1\)"),
        (lambda: repeat(a, 3, 1), r"repeat: expected ascending integers of at least 0, got \(3, 1\)"),
        (lambda: repeat(a, ()), r"repeat: expected ascending integers of at least 0, got \(\)"),
        (lambda: repeat(a, b), "repeat: expected ascending integers"),  # type: ignore[arg-type]
        (lambda: repeat(a, 1.5), "repeat: expected ascending integers"),  # type: ignore[arg-type]
        (lambda: repeat(a, True), "repeat: expected ascending integers"),
        (lambda: repeat(a, (1, 1)), "repeat: expected different counts and no further bound"),
        (
            lambda: repeat(a, (1, 3), 5),
            r"repeat: expected different counts and no further bound, got \(1, 3\), 5",
        ),
        (lambda: repeat(a, 10**6), "repeat: expected at most 100000 copies, got 1000000"),
        (lambda: repeat(a, 1, 2, tied=2), "repeat: tied: expected True or False, got 2"),  # type: ignore[arg-type]
        (lambda: define(a), r"define: at least one named part is expected"),
        (lambda: define(a, **{"if": b}), r"define: expected a name .*, got 'if'"),
        (lambda: rule("r", a, 0), 'rule "r": expected depth to be an integer in 1..50, got 0'),
        (lambda: rule("r", a, 51), 'rule "r": expected depth to be an integer in 1..50, got 51'),
        (lambda: rule("r", a, True), 'rule "r": expected depth to be'),
        (lambda: shared("two words", a), "shared: expected a name .*, got 'two words'"),
        (lambda: ref("lambda"), "ref: expected a name .*, got 'lambda'"),
        (lambda: name("ﬁx"), "name: expected a name"),  # Python would read it as "fix"
        (lambda: name(3), "name: expected a name .*, got 3"),  # type: ignore[arg-type]
        (lambda: let("1", a), "let: expected a name"),
        (lambda: use(""), "use: expected a name"),
        (lambda: program(a, b), r'program: inputs\(name="type", ...\) is expected first'),
        (
            lambda: program(op.inputs(w=3), b),
            'program: expected the type of input "w" to be a string, got 3',
        ),
        (lambda: op.repeat, r"op.repeat: repeat\(...\) is a word of the language; write it without op"),
        (lambda: getattr(op, "class"), "op: expected a name .*, got 'class'"),
        (lambda: op.a(**{"is": 3}), "op.a: expected a name .*, got 'is'"),
        (lambda: op.a(k=math.inf), "a finite number is expected here, not inf"),
        (lambda: op.a(k=10**30), "an integer of at most 64 bits is expected here"),
        (lambda: op.a(k={1}), "a term, number, string, bool or tuple is expected here, not set"),
        (lambda: op.a >> b, r'"op.a" lacks its parentheses: write op.a\(\)'),
        (lambda: op.a >> op.b, r'"op.a" lacks its parentheses: write op.a\(\)'),
        (lambda: b + op.a, r'"op.a" lacks its parentheses'),
        (lambda: b | op.a, r'"op.a" lacks its parentheses'),
        (lambda: repeat(op.a, 3), r'"op.a" lacks its parentheses'),  # type: ignore[arg-type]
        (lambda: op.c(op.a), r'"op.a" lacks its parentheses'),
        (lambda: a - b, r"terms are joined by >>, \| and \+ only; write repeat\(a, 3\) for copies"),  # type: ignore[operator]
        (lambda: a * 3, r"terms are joined by >>, \| and \+ only"),  # type: ignore[operator]
        (lambda: 3 * a, r"terms are joined by >>, \| and \+ only"),  # type: ignore[operator]
        (lambda: parse(None), "text: expected an expression as a text, got None"),  # type: ignore[arg-type]
        (lambda: parse(b"a()"), "text: expected an expression as a text, got b'a"),  # type: ignore[arg-type]
        (lambda: a >> residual, "not function; 'residual' is a function: write the expression that it makes"),
        (lambda: op.a(k=oneof), "not function; 'oneof' is a function"),
        (lambda: op.a(k=range(3)), r"not range; write its elements one by one, or \*elements in Python"),
        (lambda: oneof(x for x in (1, 2)), "not generator; write its elements one by one"),
        (lambda: oneof([3, 5]), r"expected options one by one, got a list, \[3, 5\]; write oneof\(\*op"),
        (lambda: oneof([a, b]), r"expected options one by one, got a list"),
        (lambda: choose(True, 1, 2), r"choose: expected k in 1..2 .*, got True"),
        (lambda: choose(10**5000, 1, 2), r"choose: expected k .*, got <int that cannot be printed"),
        (lambda: choose(15, *range(40)), "choose: at most 10000 combinations are expected, 15 of 40 items"),
        (lambda: repeat(a, 10**5000), "repeat: expected at most 100000 copies, got <int that cannot be"),
        (lambda: rule("r", a, 10**5000), 'rule "r": expected depth .*, got <int that cannot be printed'),
        (
            lambda: shared("x" * 101, a),
            r"shared: expected a name of at most 100 characters, got .* of 101",
        ),
        (
            lambda: op.a(**{"x" * 900_000: 1}),
            r"op.a: expected a name of at most 100 characters, got .* of 900000",
        ),
        (lambda: op.a(k=_nested(100_000)), "a list nested too deep to be read"),
        (lambda: str(_doubled(60)), "expression: expected at most 100000 sub-terms, got more"),
        (lambda: _doubled(60, lambda x: x >> x), "sequence: expected at most 100000 parts"),
        (lambda: _doubled(60, lambda x: x | x), "choice: expected at most 100000 parts"),
        (lambda: _doubled(60, lambda x: x + x), "sum: expected at most 100000 parts"),
        (lambda: str(_doubled(1000, residual)), "expression: nested too deep, over 150 levels; name parts"),
        (lambda: a or b, "term: expected .* asked for its truth, .*; write a . b for a choice"),
        (lambda: a and b, "term: expected .* asked for its truth"),
        (lambda: a >> b if a else b, "term: expected .* asked for its truth"),
        (lambda: a >> object(), "a term, number, string, bool or tuple is expected here, not object"),
    ],
)
def test_refusals_say_what_was_expected(build, message):
    with pytest.raises(SpaceError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


TEXTS = [
    (a >> b, "a() >> b()"),
    (a | b, "a() | b()"),
    ((a | b) >> c, "(a() | b()) >> c()"),
    (a >> b | c, "a() >> b() | c()"),
    (a >> (b | c) >> optional(d), "a() >> (b() | c()) >> optional(d())"),
    (oneof(a | b, c), "oneof(a() | b(), c())"),
    (oneof(oneof(a), b), "oneof(oneof(a()), b())"),
    (oneof(a, 3), "oneof(a(), 3)"),
    (oneof(a), "oneof(a())"),
    (optional(a) | b, "empty() | a() | b()"),
    (oneof(empty(), empty()), "optional(empty())"),
    (oneof(empty()), "oneof(empty())"),
    (oneof(a, empty()), "a() | empty()"),
    (a + (b | c) + (d >> a), "add(a(), b() | c(), d() >> a())"),
    (op.x(3, k=(1,), m=-2.5, s="it's"), """x(3, k=(1,), m=-2.5, s="it's")"""),
    (op.x(k=oneof(1, 2)), "x(k=oneof(1, 2))"),
    (op.x(k=()), "x(k=())"),
    (integer(1, 3), "integer(1, 3)"),
    (real(1e-4, 1, log=True), "real(0.0001, 1.0, log=True)"),
    (repeat(a | b, 2), "repeat(a() | b(), 2)"),
    (repeat(a, 0, 2, tied=True), "repeat(a(), 0, 2, tied=True)"),
    (repeat(a, (1, 4)), "repeat(a(), (1, 4))"),
    (shared("w", oneof(1, 2)), "shared('w', oneof(1, 2))"),
    (define(ref("x") >> a, x=b), "define(x >> a(), x=b())"),
    (define(a, body=b, parts=c), "define(a(), body=b(), parts=c())"),
    (rule("r", a | op.x(ref("r")), depth=2), "rule('r', a() | x(r), depth=2)"),
    (
        program(op.inputs(w="t"), let("t", op.x(use("t"), name("w"))), inputs=use("t")),
        "program(inputs(w='t'), let('t', x(use('t'), w)), inputs=use('t'))",
    ),
]


@pytest.mark.parametrize(("term", "text"), TEXTS, ids=[text for _, text in TEXTS])
def test_text_form(term, text):
    assert to_text(term) == str(term) == text
    assert parse(text) == term


def test_wide_choices_and_long_sequences_read_back():
    wide = oneof(*[op.a(k=i) for i in range(3000)])
    long = a
    for i in range(1000):
        long = long >> op.a(k=i)
    assert parse(to_text(wide)) == wide
    assert parse(to_text(long)) == long


@fuzz
@given(terms())
def test_parse_inverts_text(term):
    text = to_text(term)
    assert parse(text) == term
    assert to_text(parse(text)) == text


@fuzz
@given(expressions(reals=True))
def test_parse_inverts_text_of_spaces(expression):
    assert parse(to_text(expression)) == expression


@given(values)
def test_every_plain_value_reads_back_with_its_type(value):
    literal = op.a(k=value)
    assert parse(to_text(literal)) == literal


@settings(fuzz, max_examples=30)
@given(terms(), terms(), terms())
def test_operators_associate(x, y, z):
    assert (x >> y) >> z == x >> (y >> z)
    assert (x | y) | z == x | (y | z)
    assert (x + y) + z == x + (y + z)


@given(st.text(max_size=8))
def test_strings_keep_every_character(text):
    assert parse(to_text(op.a(k=text))) == op.a(k=text)


def test_walk_meets_every_part_depth_first():
    found = [term.name for term in walk((a >> repeat(b, 2)) | op.x(c, k=oneof(d))) if isinstance(term, Op)]
    assert found == ["a", "b", "x", "c", "d"]


def test_unrolled_writes_fixed_repeats_out():
    assert unrolled(a >> repeat(b >> repeat(c, 2), 2)) == (a, b, c, c, b, c, c)
    assert unrolled(repeat(a, 1, 2)) == (repeat(a, 1, 2),)


def test_names_and_references_are_told_apart_by_what_is_bound():
    assert parse("x") == Name("x")
    assert parse("define(x >> y, x=a())") == define(Ref("x") >> Name("y"), x=a)
    assert parse("rule('x', a() | x, depth=2) >> x") == rule("x", a | Ref("x"), depth=2) >> Name("x")
