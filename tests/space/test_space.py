"""SearchSpace: what it refuses to be built from, what it accepts, and its identity."""

from __future__ import annotations

import dataclasses
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile

from nas.errors import SpaceError
from nas.language import Primitive, Vocabulary, oneof, op, real, train
from nas.space import Architecture, Decision, SearchSpace, enumerate_architectures, sample
from tests.language.toy_terms import spaces
from tests.report.reference import architectures
from tests.space.toy_spaces import FINITE, SPACES, TOYS, VOCABULARY, Toy, space

a, b = op.a(), op.b()
NETWORK_HOME = "nas.layers:NETWORK"


@pytest.mark.parametrize("toy", FINITE, ids=lambda toy: toy.name)
def test_size_and_enumeration_agree_with_counts_by_hand(toy: Toy):
    free = space(toy.expression)
    found = list(enumerate_architectures(free))
    assert free.size() == toy.derivations == len(found)
    assert len(set(found)) == len({x.text for x in found}) == (toy.texts or toy.derivations)


@pytest.mark.parametrize("toy", FINITE, ids=lambda toy: toy.name)
def test_enumeration_is_what_the_reference_gives_in_its_order(toy: Toy):
    found = [x.term for x in enumerate_architectures(space(toy.expression))]
    assert found == architectures(toy.expression)


@profile(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], max_examples=150)
@given(spaces(limit=300))
def test_random_spaces_hold_what_the_reference_gives(random_space):
    expected = architectures(random_space.expression)
    assert [x.term for x in enumerate_architectures(random_space)] == expected
    assert random_space.size() == len(expected)


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_a_space_reads_back_from_its_text(toy: Toy):
    again = SearchSpace(toy.name, str(toy.space()), vocabulary=VOCABULARY, constraints=toy.constraints)
    assert again.expression == toy.expression
    assert again.fingerprint() == toy.space().fingerprint()
    assert repr(again) == f"SearchSpace({toy.name!r}, {str(again)!r})"


def test_an_unbounded_space_has_no_size():
    assert SPACES["settings"].size() is None
    assert space(real(2, 2)).size() == 1


def test_check_returns_the_reason():
    toy = SPACES["range"]
    inside = toy.parse("b() >> c(k=3)")
    assert toy.check(inside) is None
    cut = Architecture(toy.name, VOCABULARY, inside.decisions[:-1], inside.term)
    assert "no decision for this hole" in str(toy.check(cut))
    longer = Architecture(toy.name, VOCABULARY, (*inside.decisions, Decision(99, (), 0)), inside.term)
    assert "[99, 0] belongs to no hole" in str(toy.check(longer))
    twice = Architecture(toy.name, VOCABULARY, (*inside.decisions, inside.decisions[0]), inside.term)
    assert "one decision for each hole is expected; got two for the same" in str(toy.check(twice))
    other = Architecture(toy.name, VOCABULARY, inside.decisions, a)
    assert "decisions give b() >> c(k=3); the architecture is a()" in str(toy.check(other))


def test_check_gives_the_reason_of_a_constraint():
    toy = SPACES["constrained"]
    error = toy.check(toy.parse("wrap(b()) >> wrap(b()) >> wrap(b())"))
    assert isinstance(error, SpaceError)
    assert str(error) == "constrained: at most 5 nodes are expected; got 7"
    assert toy.violation(toy.parse("a() >> a()")) is None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: None, r'\{"space": ..., "decisions": \[...\]\} is expected; got None'),
        (lambda data: [], r"is expected; got \[\]"),
        (lambda data: {"space": "range"}, r"is expected; got \{'space': 'range'\}"),
        (
            lambda data: {**data, "space": "other"},
            "range: an architecture of this space is expected; got one of other",
        ),
        (
            lambda data: {"decisions": data["decisions"]},
            "an architecture of this space is expected; got one of None",
        ),
        (
            lambda data: {**data, "decisions": data["decisions"][1:]},
            "range at root: no decision for this hole",
        ),
        (lambda data: {**data, "decisions": [*data["decisions"], [99, 0]]}, r"\[99, 0\] belongs to no hole"),
        (
            lambda data: {**data, "decisions": [[0, 9], *data["decisions"][1:]]},
            "option 9 is not one of 1, 2, 3",
        ),
        (
            lambda data: {**data, "decisions": [[0, "2"], *data["decisions"][1:]]},
            "option '2' is not one of 1, 2, 3",
        ),
        (lambda data: {**data, "decisions": [[0, 2.0], *data["decisions"][1:]]}, "option 2.0 is not one of"),
        (
            lambda data: {**data, "decisions": [[0, True], *data["decisions"][1:]]},
            "option True is not one of",
        ),
        (
            lambda data: {**data, "decisions": [[0, [2]], *data["decisions"][1:]]},
            r"option \[2\] is not one of",
        ),
        (
            lambda data: {**data, "decisions": [3]},
            r"decision: \[hole, option, prefix, ids\] is expected; got 3",
        ),
        (
            lambda data: {**data, "decisions": [[0]]},
            r"decision: \[hole, option, prefix, ids\] is expected; got \[0\]",
        ),
        (
            lambda data: {**data, "decisions": [[0, 1, 2]]},
            "decision: .hole, option, prefix, ids. is expected",
        ),
        (lambda data: {**data, "decisions": [[0, 1, ["a"]]]}, "prefix and ids are expected to be integers"),
        (lambda data: {**data, "decisions": [["0", 1]]}, "hole, prefix and ids are expected to be integers"),
        (
            lambda data: {**data, "decisions": [[0, 2, [], [0, 0]], *data["decisions"][1:]]},
            r"range at root: ids are expected of a repeat, one for each of its copies; got \(0, 0\)",
        ),
        (
            lambda data: {**data, "decisions": [[0, 2, [], [0]], *data["decisions"][1:]]},
            "ids are expected of a repeat, one for each of its copies",
        ),
    ],
)
def test_damaged_json_is_refused_with_the_reason(damage, message):
    toy = SPACES["range"]
    data = toy.parse("b() >> c(k=3)").to_json()
    assert toy.architecture_from_json(data).text == "b() >> c(k=3)"
    with pytest.raises(SpaceError, match=message):
        toy.architecture_from_json(damage(data))


def test_fingerprint_tells_the_code_of_constraints_and_vocabularies_apart():
    def limit(least: int):
        def check(architecture: Architecture) -> str | None:
            return None if len(architecture.text) >= least else "too short"

        return check

    constraints = [lambda x: None, lambda x: "never", limit(3), limit(4)]
    larger = VOCABULARY.extended("larger", Primitive("unused"))
    others = [space(a | b), *(space(a | b, one) for one in constraints)]
    others.append(SearchSpace("toy", a | b, vocabulary=larger))
    assert len({one.fingerprint() for one in others}) == 6
    assert space(a | b, limit(3)).fingerprint() == space(a | b, limit(3)).fingerprint()


def test_fingerprint_depends_on_name_expression_and_constraints():
    @dataclasses.dataclass(frozen=True)
    class AtMost:
        limit: int

        def __call__(self, architecture: Architecture) -> str | None:
            return None

    base = space(a | b).fingerprint()
    assert base == space("a() | b()").fingerprint() == space(oneof(a, b)).fingerprint()
    others = [
        space(a | op.b(k=2)),
        SearchSpace("other", a | b, vocabulary=VOCABULARY),
        space(a | b, AtMost(3)),
        space(a | b, AtMost(4)),
    ]
    assert len({base, *(other.fingerprint() for other in others)}) == 5
    assert space(a | b, AtMost(3)).fingerprint() == space(a | b, AtMost(3)).fingerprint()


def test_fingerprint_is_the_same_in_another_process():
    code = "from tests.space.toy_spaces import SPACES; print(SPACES['constrained'].fingerprint())"
    environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == SPACES["constrained"].fingerprint()


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_spaces_pickle(toy: Toy):
    again = pickle.loads(pickle.dumps(SPACES[toy.name]))
    assert again.fingerprint() == SPACES[toy.name].fingerprint()
    assert again.vocabulary is VOCABULARY
    seed = np.random.default_rng(3), np.random.default_rng(3)
    assert sample(again, seed[0]) == sample(SPACES[toy.name], seed[1])


def test_the_standard_vocabulary_is_the_networks():
    assert SearchSpace("net", "stem(width=4) >> (relu() | gelu()) >> head()").vocabulary.name == "network"


def test_settings_stand_beside_the_network():
    found = SPACES["integers"].parse("train(b(k=2) >> c(k=3), epochs=0, nesterov=True)")
    assert found.settings == {"epochs": 0, "nesterov": True}
    assert str(found.network) == "b(k=2) >> c(k=3)"
    assert train(a, epochs=1) == space(train(a, epochs=1)).parse("train(a(), epochs=1)").term


@pytest.mark.parametrize("name", ["", "two\nlines", 3, None])
def test_a_space_has_a_name_of_one_line(name):
    with pytest.raises(SpaceError, match=r"space: a name of one line is expected; got "):
        SearchSpace(name, a, vocabulary=VOCABULARY)


@pytest.mark.parametrize("expression", [3, None, [a]])
def test_other_values_are_no_expressions(expression):
    with pytest.raises(SpaceError, match="toy: an expression or its text is expected; got "):
        space(expression)


@pytest.mark.parametrize("constraints", [len, ["at_most_five"]])
def test_constraints_are_a_list_of_functions(constraints):
    with pytest.raises(SpaceError, match="toy: constraints are expected as a list of functions; got "):
        SearchSpace("toy", a, vocabulary=VOCABULARY, constraints=constraints)


@pytest.mark.parametrize("answer", [True, False, 0, "", " \n", b"no", ["too long"]])
def test_a_constraint_answers_with_none_or_a_reason(answer):
    def fits(architecture: Architecture):
        return answer

    message = r"toy: constraint .*fits on a\(\): a constraint's answer is None or the reason; got "
    with pytest.raises(SpaceError, match=message + re.escape(repr(answer))):
        space(a | b, fits).violation(space(a | b).parse("a()"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("width"), "raised KeyError: 'width'; a constraint returns None"),
        (ZeroDivisionError(), "raised ZeroDivisionError; a constraint returns None"),
        (SystemExit(0), "raised SystemExit: 0; "),
        (AssertionError("two\nlines \x1b[31m"), r"raised AssertionError: two lines \\x1b\[31m; "),
    ],
)
def test_a_constraint_that_raises_is_named_with_space_and_architecture(error, said):
    def breaks(architecture: Architecture):
        raise error

    raising = space(a | b, breaks)
    for use in (
        lambda: raising.violation(space(a | b).parse("a()")),
        lambda: sample(raising, np.random.default_rng(0)),
        lambda: next(enumerate_architectures(raising)),
        lambda: raising.check(raising.parse("b()")),
    ):
        with pytest.raises(SpaceError, match=r"^toy: constraint .*breaks on [ab]\(\) " + said) as caught:
            use()
        assert "\n" not in str(caught.value)


def test_an_interrupt_in_a_constraint_ends_the_run():
    def waits(architecture: Architecture):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(space(a | b, waits), np.random.default_rng(0))


def test_a_reason_is_one_line():
    reason = space(a | b, lambda _: "too\n wide \x07").violation(space(a | b).parse("a()"))
    assert reason == "too wide \\x07"


@pytest.mark.parametrize("vocabulary", [[Primitive("a")], "network", Vocabulary, NETWORK_HOME])
def test_a_vocabulary_is_one(vocabulary):
    with pytest.raises(SpaceError, match=r"toy: a vocabulary is expected; got .*; give Vocabulary\(name, "):
        SearchSpace("toy", a, vocabulary=vocabulary)


def test_deep_expressions_are_read_printed_and_searched():
    deep = space("wrap(" * 140 + "(a() | b())" + ")" * 140)
    found = sample(deep, np.random.default_rng(0))
    assert deep.parse(found.text) == found
    assert deep.check(found) is None
