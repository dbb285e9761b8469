"""Programs over plain numbers: running, liveness within and across runs, and what is refused."""

import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import CompileError
from nas.language import Program, let, oneof, op, parse, program, real, repeat, use
from nas.programs import Function, Language, Signature, compile_program, statements
from nas.programs.program import needed, pruned
from nas.space import SearchSpace, sample

PAIR = Signature(("number", "number"), "number")
LANGUAGE = Language(
    "sums",
    (
        Function("plus", (PAIR,)),
        Function("times", (PAIR,)),
        Function("minus", (Signature(("number",), "number"),)),
        Function("size", (Signature(("number",), "count"),)),
        Function("scaled", (Signature(("number", "count"), "number"),)),
    ),
    number="number",
)
COMPUTE = {
    "plus": lambda x, y: x + y,
    "times": lambda x, y: x * y,
    "minus": lambda x: -x,
    "size": abs,
    "scaled": lambda x, n: x * n,
}
OUTPUTS = {"y": "number", "s": "number", "t": "number"}


def the_program(statements: str, outputs: str) -> Program:
    term = parse(f"program(inputs(a='number', s='number', t='number'), {statements}, {outputs})")
    assert isinstance(term, Program)
    return term


def compiled(term: Program, carried: tuple[str, ...] = ("s", "t")):
    return compile_program(
        term, LANGUAGE, lambda function, _: COMPUTE[function.name], outputs=OUTPUTS, carried=carried
    )


def naive(term: Program, inputs: dict[str, float]) -> dict[str, float]:
    """Every statement in order, whether anything reads it or not."""
    values = dict(inputs)
    for name, call in statements(term).items():
        arguments = [values[a.name] if hasattr(a, "name") else a.value for a in call.args]
        values[name] = COMPUTE[call.name](*arguments)
    return {name: values[value.name] for name, value in term.outputs}


def sums_space() -> SearchSpace:
    constant = real(-2.0, 2.0)
    calls = {kind: [] for kind in ("number", "count")}
    for function in LANGUAGE.functions:
        for signature in function.signatures:
            calls[signature.result].append(LANGUAGE.call(function, signature, constant))
    body = repeat(oneof(*(let(kind, oneof(*found)) for kind, found in calls.items())), 0, 8)
    inputs = op.inputs(a="number", s="number", t="number", n="count")
    outputs = {name: use(kind) for name, kind in OUTPUTS.items()}
    return SearchSpace("sums", program(inputs, body, **outputs), vocabulary=LANGUAGE.vocabulary())


def test_runs_statements_in_order_and_keeps_equal_constants_once():
    term = the_program(
        "plus(a, 2.0) >> times(x0, x0) >> minus(x1) >> plus(x2, 2.0) >> times(x3, 3)", "y=x4, s=a, t=x1"
    )
    program_ = compiled(term, carried=())
    assert program_.constants == (2.0, 3.0)
    assert program_.inputs == ("a",)
    assert program_.run({"a": 1.0}) == {"y": -21.0, "s": 1.0, "t": 9.0}


def test_a_program_without_statements_returns_inputs():
    term = the_program("empty()", "y=s, s=a, t=t")
    assert compiled(term).run({"a": 1.0, "s": 2.0}) == {"y": 2.0, "s": 1.0}


def test_dead_statements_go_and_the_rest_is_numbered_anew():
    term = the_program("minus(a) >> plus(a, s) >> minus(x0) >> times(x1, 2.0)", "y=x3, s=s, t=t")
    assert needed(term, ("s", "t")) == {"a", "s", "x1", "x3"}
    assert pruned(term, ("s", "t")) == the_program("plus(a, s) >> times(x0, 2.0)", "y=x1, s=s, t=t")


def test_state_that_no_later_output_depends_on_is_dead_with_what_computes_it():
    # s is overwritten before it is read; t feeds itself only
    term = the_program("minus(a) >> plus(t, a) >> times(a, 2.0)", "y=x2, s=x0, t=x1")
    assert pruned(term, ("s", "t")) == the_program("times(a, 2.0)", "y=x0, s=s, t=t")
    assert pruned(term) == term  # as outputs in their own right they are needed
    assert compiled(term).outputs == (("y", 2),)


def test_state_that_reaches_an_output_through_other_state_is_alive():
    term = the_program("plus(a, 1.0)", "y=s, s=t, t=x0")
    assert needed(term, ("s", "t")) == {"s", "t", "x0", "a"}
    program_ = compiled(term)
    state, seen = {"s": 0.0, "t": 0.0}, []
    for a in (1.0, 2.0, 3.0, 4.0):
        outputs = program_.run({"a": a, **state})
        state = {name: outputs[name] for name in state}
        seen.append(outputs["y"])
    assert seen == [0.0, 0.0, 2.0, 3.0]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_pruning_and_compiling_change_no_output_of_any_run(seed):
    term = sample(sums_space(), np.random.default_rng(seed)).term
    assert isinstance(term, Program)
    carried = ("s", "t")
    lean = compile_program(
        term, LANGUAGE, lambda function, _: COMPUTE[function.name], outputs=OUTPUTS, carried=carried
    )
    full_state = lean_state = {"s": 0.5, "t": -1.5}
    for a in (1.0, -0.25, 3.0):
        full = naive(term, {"a": a, "n": 2.0, **full_state})
        short = naive(pruned(term, carried), {"a": a, "n": 2.0, **full_state})
        ran = lean.run({"a": a, "n": 2.0, **lean_state})
        assert full["y"] == ran["y"] == short["y"]
        assert all(full[name] == value for name, value in ran.items())
        full_state = {name: full[name] for name in carried}
        lean_state = {name: ran.get(name, 7.0) for name in carried}  # 7: no one may read it
    assert set(statements(pruned(term, carried))) == {f"x{i}" for i in range(len(lean.steps))}


def test_arity_and_kind_come_from_the_signatures():
    words = LANGUAGE.vocabulary()
    assert words.get("plus").arity == (2, 2)
    assert words.get("minus").kind == "program"


def test_a_call_never_consists_of_constants_alone():
    constant = real(0.0, 1.0)
    plus, _, minus, _, scaled = LANGUAGE.functions
    assert str(LANGUAGE.call(plus, PAIR, constant)) == "plus(use('number'), use('number') | real(0.0, 1.0))"
    assert str(LANGUAGE.call(minus, minus.signatures[0], constant)) == "minus(use('number'))"
    scaled_text = "scaled(use('number') | real(0.0, 1.0), use('count'))"
    assert str(LANGUAGE.call(scaled, scaled.signatures[0], constant)) == scaled_text


@pytest.mark.parametrize(
    ("statements_", "outputs", "message"),
    [
        ("power(a, 2)", "y=x0, s=s, t=t", "sums at x0: a call of one of plus, times, .* got power(a, 2)"),
        ("minus(a, keep=True)", "y=x0, s=s, t=t", "without attributes, is expected; got minus"),
        ("plus(a)", "y=x0, s=s, t=t", "sums at x0: plus expects (number, number); got (number)"),
        ("size(a) >> plus(a, x0)", "y=x1, s=s, t=t", "sums at x1: plus expects .*; got (number, count)"),
        ("plus(a, x1)", "y=x0, s=s, t=t", "at x0: a number or one of a, s, t is expected; got x1"),
        ("plus(a, 'b')", "y=x0, s=s, t=t", "at x0: a number or one of a, s, t is expected; got 'b'"),
        ("plus(a, True)", "y=x0, s=s, t=t", "at x0: a number or one of a, s, t is expected; got True"),
        ("a", "y=a, s=s, t=t", "program at x0: a call such as add(x, y) is expected; got a"),
        ("size(a)", "y=x0, s=s, t=t", "y: number, s: number, t: number, got y=x0, s=s, t=t"),
        ("minus(a)", "y=x0, s=s", "s: number, t: number, got y=x0, s=s"),
        ("minus(a)", "y=1.0, s=s, t=t", ", got y=1.0, s=s, t=t"),
        ("minus(a)", "y=x1, s=s, t=t", ", got y=x1, s=s, t=t"),
    ],
)
def test_programs_that_are_none_are_refused_in_one_line(statements_, outputs, message):
    pattern = re.escape(message).replace(re.escape(".*"), ".*")
    with pytest.raises(CompileError, match=pattern) as caught:
        compiled(the_program(statements_, outputs))
    assert "\n" not in str(caught.value)


def test_another_expression_is_refused():
    with pytest.raises(CompileError, match=r"sums: program\(\.\.\.\) is expected; got plus\(1, 2\)"):
        compiled(parse("plus(1, 2)"))  # type: ignore[arg-type]


def test_needs_no_torch():
    code = (
        "import sys, nas.programs.program, nas.search_spaces.update_rule as u; u.space(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
