"""Reading text: what it refuses, with the place, and that nothing else ever comes out."""

from __future__ import annotations

import re
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.errors import SpaceError
from nas.language import MAX_TEXT, Literal, Op, Term, oneof, op, parse, ref, rule, to_text
from nas.language.parser import MAX_NESTING
from tests.space.toy_spaces import TOYS

PLACE = re.compile(r"text, line \d+, column \d+: .")
_TOKENS = [
    *"()|+,=*:[]{}.-",
    ">>",
    "a",
    "b()",
    "op.",
    "repeat",
    "oneof",
    "optional",
    "rule",
    "define",
    "program",
]
_TOKENS += [
    "let",
    "use",
    "shared",
    "'n'",
    "k=",
    "3",
    "2.5",
    "1e999",
    "True",
    "None",
    " ",
    "\n",
    "if",
    "not",
    "lambda",
]
_TEXTS = [str(toy.space()) for toy in TOYS]


def checked(text: str) -> Term | None:
    """The term, if there is one; a refusal must be a SpaceError of one line with its place."""
    try:
        term = parse(text)
    except SpaceError as error:
        refusal = str(error)
    else:
        assert parse(to_text(term)) == term
        return term
    assert PLACE.match(refusal)
    assert "\n" not in refusal
    return None


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_with_its_place(text):
    checked(text)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(st.lists(st.sampled_from(_TOKENS), max_size=15))
def test_any_tokens_are_read_or_refused_with_their_place(tokens):
    checked("".join(tokens))


@given(st.sampled_from(_TEXTS), st.data())
def test_damaged_spaces_are_read_or_refused_with_their_place(text, data):
    at = data.draw(st.integers(0, len(text) - 1))
    cut = data.draw(st.integers(0, 3))
    new = data.draw(st.sampled_from(["", *_TOKENS]))
    checked(text[:at] + new + text[at + cut :])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: invalid syntax; an expression is expected"),
        ("conv(", r"line 1, column 5: '\(' was never closed"),
        ("a() >>\n", r"line 1, column \d: invalid syntax"),
        (
            "\n\n a(b[0])",
            'line 3, column 3: "b.0." is not of the language; calls, names, values, >>, . and . are',
        ),
        ("a(\n  k=c.d,\n)", 'line 2, column 5: "c.d" is not of the language'),
        ("x = a()", "line 1, column 3: invalid syntax"),
        ("a(k=1, k=2)", "line 1, column 8: k= is given twice; once is expected"),
        ("a(*b)", r"line 1, column 1: \* and \*\* are not of the language; write the arguments out"),
        ("a(**b)", r"line 1, column 1: \* and \*\* are not of the language"),
        ("a()()", r'"a\(\)\(\)" is not of the language'),
        ("a - b", '"a - b" is not of the language'),
        ("a if b else c", '"a if b else c" is not of the language'),
        ("lambda: a", '"lambda: a" is not of the language'),
        ("[a]", r'"\[a\]" is not of the language'),
        ("(a, 1)", r'"a" is no plain value \(number, string, True, False, None or a tuple\)'),
        ("a(k=b'x')", r"column 5: \"b'x'\" is no plain value"),
        ("a(k=1j)", '"1j" is no plain value'),
        ("a(k=...)", '"..." is no plain value'),
        ("a(k=--1)", '"--1" is no plain value'),
        ("a(k=not b)", '"not b" is no plain value'),
        ("a(k=1e999)", "column 5: a finite number is expected here, not inf"),
        ("a(k=0x" + "f" * 20 + ")", "column 5: an integer of at most 64 bits is expected here"),
        ("a(k=" + "9" * 5000 + ")", "expected an integer of at most .*, got one of thousands of digits"),
        ("a(k=f'{b}')", "is not of the language"),
        ("a(k='\\d')", "invalid escape sequence"),
        ("a\0b", "null bytes"),
        ("\ud800", "surrogates not allowed"),
        ("not " * 900 + "a", "this UnaryOp is no plain value|recursion|too many"),
        ("(" * 1000 + ")" * 1000, "too many nested parentheses"),
        ("a >> " * 50_000 + "a", "recursion|too complex|nested"),
        ("oneof()", "line 1, column 1: oneof: at least one option is expected"),
        ("a() >> oneof(3, k=4)", "line 1, column 8: oneof.. got an unexpected keyword argument 'k'"),
        ("integer(1)", "missing 1 required positional argument: 'high'"),
        ("integer(a, b)", "integer: expected bounds to be integers"),
        ("repeat(a(), 2, 4, 6)", "repeat.. takes from 2 to 3 positional arguments but 4 were given"),
        ("rule(r, a(), depth=2)", r'rule: its name is expected first, e.g. rule\("block"'),
        ("rule('r', a())", "missing 1 required positional argument: 'depth'"),
        ("program(a(), b())", r"program: inputs\(name=\"type\", ...\) is expected first"),
        ("op.a.b()", '"op.a.b.." is not of the language'),
    ],
)
def test_refusals_name_line_column_and_reason(text, message):
    with pytest.raises(SpaceError, match=message) as caught:
        parse(text)
    assert PLACE.match(str(caught.value))
    assert "\n" not in str(caught.value)


def test_texts_of_endless_length_are_not_read():
    with pytest.raises(SpaceError, match=f"text of {MAX_TEXT + 1} characters; at most {MAX_TEXT} are read"):
        parse("a" * (MAX_TEXT + 1))


def test_deep_nesting_is_refused_before_it_hurts():
    assert isinstance(parse("a(" * 100 + ")" * 100), Op)
    with pytest.raises(
        SpaceError, match=f"nested more than {MAX_NESTING} levels deep; name parts with define"
    ):
        parse("a(" * 180 + ")" * 180)


def test_nothing_is_evaluated():
    text = "__import__('os').system('exit 1')"
    with pytest.raises(SpaceError, match="is not of the language"):
        parse(text)
    assert str(parse("print(len)")) == "print(len)"  # an unknown primitive, for the space to refuse


def test_python_forms_are_read_as_well():
    assert parse("op.a(k=3) >> op.oneof(op.b(), 2)") == op.a(k=3) >> oneof(op.b(), 2)
    assert parse("rule('r', ref('r') | op.a(), depth=2)") == rule("r", ref("r") | op.a(), depth=2)
    assert parse("a() >> (  # a comment\n  b()\n)") == op.a() >> op.b()


def test_plain_values():
    read = {
        text: parse(text) for text in ["-1", "1_000", "0x10", "'a' 'b'", "()", "(1, (None, True))", "-0.0"]
    }
    assert read["-1"] == Literal(-1)
    assert read["1_000"] == Literal(1000)
    assert read["0x10"] == Literal(16)
    assert read["'a' 'b'"] == Literal("ab")
    assert read["()"] == Literal(())
    assert read["(1, (None, True))"] == Literal((1, (None, True)))
    assert read["-0.0"] == Literal(-0.0)


def test_reading_warns_of_nothing_and_keeps_the_filters():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(SpaceError, match="invalid escape sequence"):
            parse("a(k='\\d')")
        before = list(warnings.filters)
        parse("a()")
        assert warnings.filters == before
    assert caught == []
