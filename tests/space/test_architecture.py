"""Architectures are values: text, JSON, digest, equality, pickles."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.errors import SpaceError
from nas.language import Term, define, oneof, op, ref, repeat, train
from nas.space import Architecture, Decision, Key, SearchSpace, mutate, sample
from tests.language.toy_terms import spaces
from tests.space.toy_spaces import SPACES, TOYS, VOCABULARY

a, b = op.a(), op.b()
fuzz = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], max_examples=80)
by_name = pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)


def space(expression: Term, name: str = "toy") -> SearchSpace:
    return SearchSpace(name, expression, vocabulary=VOCABULARY)


@by_name
def test_text_and_json_read_back(toy):
    toy_space, rng = SPACES[toy.name], np.random.default_rng(1)
    architecture = sample(toy_space, rng)
    for _ in range(10):
        data = json.loads(json.dumps(architecture.to_json()))
        again = toy_space.architecture_from_json(data)
        assert again == architecture
        assert again.decisions == architecture.decisions
        assert toy_space.parse(architecture.text) == architecture
        architecture = mutate(toy_space, architecture, rng)


@fuzz
@given(spaces(limit=None), st.integers(0, 2**32))
def test_text_json_and_pickle_of_random_architectures_read_back(random_space, seed):
    architecture = sample(random_space, np.random.default_rng(seed))
    data = json.loads(json.dumps(architecture.to_json()))
    assert random_space.architecture_from_json(data) == architecture
    again = pickle.loads(pickle.dumps(architecture))
    assert again == architecture
    assert (again.text, again.digest()) == (architecture.text, architecture.digest())


def test_json_is_short():
    found = SPACES["range"].parse("b() >> c(k=3)")
    hole = SPACES["range"].start().key.hole
    body, kernel = (decision.hole for decision in found.decisions[-2:])
    assert found.to_json() == {
        "space": "range",
        "decisions": [[hole, 2], [body, 1, [hole, 0]], [body, 0, [hole, 1]], [kernel, 1, [hole, 1]]],
    }


@pytest.mark.parametrize(
    "decision",
    [
        Decision(3, (), 1),
        Decision(3, (4, 0), 0.5),
        Decision(3, (), 2, (5, 1)),
        Decision(3, (4, 0, 5, 0), 2, (7, 1)),
    ],
)
def test_decisions_read_back_from_json(decision):
    again = Decision.from_json(json.loads(json.dumps(decision.to_json())))
    assert again == decision
    assert again.key == Key(decision.hole, decision.prefix)


@pytest.mark.parametrize(
    "data", [None, 3, "ab", [], [1], [1, 2, 3], [1, 2, [3], 4], [1, 2, [], [], []], {"a": 1}]
)
def test_json_of_another_form_is_no_decision(data):
    with pytest.raises(SpaceError, match=r"decision: \[hole, option, prefix, ids\] is expected; got "):
        Decision.from_json(data)


def test_equality_is_on_space_and_expression():
    one = space(oneof(a, repeat(a, 1), b))
    first, second, other = (one.start().take(option).architecture() for option in range(3))
    assert first == second
    assert first.decisions != second.decisions
    assert hash(first) == hash(second)
    assert first != other
    assert first != space(oneof(a, b), "other").parse("a()")
    assert first == space(oneof(b, a)).parse("a()")
    assert first != "a()"


def test_numbers_of_different_types_are_different_architectures():
    one = space(op.d(p=oneof(1, 1.0)))
    assert one.start().take(0).architecture() != one.start().take(1).architecture()
    assert one.parse("d(p=1.0)").decisions[0].option == 1


def test_digest_is_of_space_and_text():
    found = space(a | b).parse("b()")
    assert found.digest() == hashlib.blake2b(b"toy\nb()", digest_size=16).hexdigest()
    assert found.digest() != space(a | b, "other").parse("b()").digest()
    assert (str(found), repr(found)) == ("b()", "Architecture('toy', 'b()')")


def test_digest_is_the_same_in_another_process():
    code = (
        "import numpy; from nas.space.operators import sample; from tests.space.toy_spaces import SPACES;"
        "print(sample(SPACES['types'], numpy.random.default_rng(5)).digest())"
    )
    environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "11"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == sample(SPACES["types"], np.random.default_rng(5)).digest()


def test_pickles_carry_the_expression_and_leave_the_space_behind():
    found = SPACES["types"].parse(
        "program(inputs(w='tensor', g='tensor', lr='scalar'), plus(w, g), update=x0, rate=lr)"
    )
    data = pickle.dumps(found)
    assert len(data) < 2000
    assert b"SearchSpace" not in data
    again = pickle.loads(data)
    assert again.vocabulary is VOCABULARY
    assert again.term == found.term
    assert again.decisions == found.decisions
    assert SPACES["types"].check(again) is None


def test_network_and_settings_are_told_apart():
    body = op.wrap(oneof(a, b))
    plain = space(body).parse("wrap(a())")
    assert (plain.network, plain.settings) == (plain.term, {})
    beside = space(train(body, lr=oneof(0.1, 0.2), epochs=3)).parse("train(wrap(b()), lr=0.2, epochs=3)")
    assert (str(beside.network), beside.settings) == ("wrap(b())", {"lr": 0.2, "epochs": 3})
    inside = space(train(define(ref("x"), x=body), lr=0.1)).parse("train(define(x, x=wrap(a())), lr=0.1)")
    assert (str(inside.network), inside.settings) == ("define(x, x=wrap(a()))", {"lr": 0.1})
    around = space(define(train(ref("x"), lr=0.1), x=body)).parse("define(train(x, lr=0.1), x=wrap(a()))")
    assert (str(around.network), around.settings) == ("define(x, x=wrap(a()))", {"lr": 0.1})


def test_a_setting_may_be_a_part_of_the_definition():
    expression = define(
        train(ref("x"), lr=ref("rate"), epochs=ref("n")), r=oneof(0.1, 0.2), x=a, rate=ref("r"), n=3
    )
    found = space(expression).start().take(1).architecture()
    assert found.settings == {"lr": 0.2, "epochs": 3}


def test_an_expression_may_stand_for_the_space():
    found = Architecture("toy", VOCABULARY, (), a >> b)
    assert found.text == "a() >> b()"
    assert found == pickle.loads(pickle.dumps(found))
