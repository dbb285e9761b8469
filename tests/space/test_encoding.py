"""Encodings: small cases by hand, and that no two architectures share a one-hot code."""

from __future__ import annotations

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
    train,
    use,
)
from nas.space import Encoder, SearchSpace, enumerate_architectures, mutate, sample
from nas.space.encoding import KINDS
from tests.language.toy_terms import spaces
from tests.space.toy_spaces import FINITE, SPACES, TOYS, space

a, b = op.a(), op.b()
fuzz = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], max_examples=60)


def features(search_space: SearchSpace, text: str, kind: str) -> dict[str, float]:
    return Encoder(search_space, [kind]).features(search_space.parse(text))


def paths(search_space: SearchSpace, text: str) -> dict[str, float]:
    return {name.removeprefix("path:"): value for name, value in features(search_space, text, "path").items()}


# one-hot


@pytest.mark.parametrize("toy", FINITE, ids=lambda toy: toy.name)
def test_one_hot_codes_are_as_different_as_the_decisions(toy):
    found = list(enumerate_architectures(SPACES[toy.name]))
    codes = Encoder(SPACES[toy.name]).fit(found).transform(found)
    assert codes.shape[0] == len(found)
    assert len(np.unique(codes, axis=0)) == len(found)


@fuzz
@given(spaces(limit=200))
def test_one_hot_codes_of_random_spaces_are_as_different_as_the_decisions(random_space):
    found = list(enumerate_architectures(random_space))
    codes = Encoder(random_space).fit(found).transform(found)
    assert len(np.unique(codes, axis=0)) == len(found)


def test_one_hot_of_a_choice_and_a_number():
    toy = space(oneof(a, op.b(k=integer(1, 4))))
    encoder = Encoder(toy, ["one_hot"]).fit([toy.parse("a()"), toy.parse("b(k=1)")])
    assert encoder.transform([toy.parse("a()")]).tolist() == [[1, 0, 0, 0]]
    # a number stands in the middle of its share of the range
    assert encoder.transform([toy.parse("b(k=4)")]).tolist() == [[0, 1, 0.875, 1]]
    assert encoder.transform([]).shape == (0, 4)


def test_the_order_of_elements_counts_and_their_names_do_not():
    toy = space(repeat(op.b(k=oneof(1, 2, 3)), 0, 4))
    encoder, rng = Encoder(toy), np.random.default_rng(0)
    by_code: dict[tuple, str] = {}
    architecture = toy.parse("b(k=1) >> b(k=2)")
    for _ in range(300):
        architecture = mutate(toy, architecture, rng)
        code = tuple(sorted(encoder.features(architecture).items()))
        assert by_code.setdefault(code, architecture.text) == architecture.text
        assert encoder.features(toy.parse(architecture.text)) == encoder.features(architecture)
    assert any(decision.ids for decision in architecture.decisions)


def test_values_of_a_program_are_numbered_by_position():
    value = use("tensor")
    statement = let("tensor", op.norm(value)) | let("tensor", op.plus(value, value))
    toy = space(program(op.inputs(w="tensor"), repeat(statement, 0, 4), out=value))
    encoder, rng = Encoder(toy), np.random.default_rng(0)
    architecture = sample(toy, rng)
    for _ in range(200):
        architecture = mutate(toy, architecture, rng)
        assert encoder.features(toy.parse(architecture.text)) == encoder.features(architecture)


@fuzz
@given(spaces(limit=None), st.integers(0, 2**32))
def test_every_encoding_of_random_architectures_is_finite(random_space, seed):
    architecture = sample(random_space, np.random.default_rng(seed))
    encoder = Encoder(random_space, KINDS).fit([architecture])
    codes = encoder.transform([architecture])
    assert codes.shape == (1, len(encoder.columns))
    assert np.isfinite(codes).all()


# numeric


def test_numbers_and_ranks_are_shares_of_their_range():
    toy = space(
        train(
            repeat(op.b(k=oneof(5, 1, 3)), 1, 3, tied=True),
            lr=real(1e-4, 1, log=True),
            decay=real(0, 2),
            epochs=integer(1, 4),
            optimizer=oneof("sgd", "adam"),
        )
    )

    def shares(text: str) -> list[float]:
        return list(features(toy, text, "numeric").values())

    low = shares("train(b(k=1), lr=0.0001, decay=0, epochs=1, optimizer='sgd')")
    high = shares("train(repeat(b(k=5), 3), lr=1, decay=2, epochs=4, optimizer='sgd')")
    middle = shares("train(repeat(b(k=3), 2), lr=0.01, decay=1.0, epochs=3, optimizer='adam')")
    assert low == pytest.approx([0, 0, 0, 0, 0.125])
    assert high == pytest.approx([1, 1, 1, 1, 0.875])
    assert middle == pytest.approx([0.5, 0.5, 0.5, 0.5, 0.625])


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_numeric_codes_lie_between_0_and_1(toy):
    rng = np.random.default_rng(2)
    for _ in range(20):
        values = Encoder(SPACES[toy.name], ["numeric"]).features(sample(SPACES[toy.name], rng)).values()
        assert all(0 <= value <= 1 for value in values)


# paths


def test_paths_of_a_cell_by_hand():
    toy = SPACES["cells"]
    text = "define(repeat(cell, 3) >> a(), cell=cell(node({}, inputs=(0,)), node({}, {}, inputs=(0, 1))))"
    body = {"cell>cell>cell>a": 1.0}
    assert paths(toy, text.format("a()", "a()", "a()")) == {"cell:in0>a": 1, "cell:in0>a>a": 1, **body}
    assert paths(toy, text.format("a()", "skip()", "a()")) == {"cell:in0": 1, "cell:in0>a>a": 1, **body}
    assert paths(toy, text.format("skip()", "a()", "a()")) == {"cell:in0>a": 2, **body}
    assert paths(toy, text.format("zero()", "a()", "a()")) == {"cell:in0>a": 1, **body}
    assert paths(toy, text.format("a()", "zero()", "zero()")) == body


def test_paths_of_a_cell_with_two_inputs_and_joined_nodes():
    text = "cell(node(a(), b(), inputs=(0, 1)), node(b(), a(), inputs=(1, 2)), inputs=2, output='concat')"
    first = {"in0>a": 1, "in1>b": 1 + 1}  # node 0 and, directly, node 1
    assert paths(SPACES["joined"], text) == first | {"in0>a>a": 1, "in1>b>a": 1}


def test_paths_of_nasbench201_are_four_without_skips_and_zeros():
    operation = oneof(op.zero(), op.skip(), a, op.c(k=oneof(1, 3)))
    nodes = [op.node(*[operation] * len(inputs), inputs=inputs) for inputs in ((0,), (0, 1), (0, 1, 2))]
    toy = space(op.cell(*nodes))
    c1, c3 = "c(k=1)", "c(k=3)"
    first, second = f"node({c1}, inputs=(0,))", f"node(a(), {c3}, inputs=(0, 1))"
    text = f"cell({first}, {second}, node(a(), {c1}, {c3}, inputs=(0, 1, 2)))"
    assert paths(toy, text) == {
        "in0>a": 1,
        f"in0>{c1}>{c1}": 1,
        f"in0>a>{c3}": 1,
        f"in0>{c1}>{c3}>{c3}": 1,
    }


def test_paths_of_sequences_outside_cells():
    toy = space(repeat(a, 2) >> op.wrap(b >> optional(a)))
    assert paths(toy, "repeat(a(), 2) >> wrap(b() >> a())") == {"a>a>wrap": 1, "b>a": 1}


def test_too_many_paths_are_refused():
    nodes = [op.node(*[a] * (i + 1), inputs=tuple(range(i + 1))) for i in range(16)]
    toy = space(op.cell(*nodes) >> optional(a))
    with pytest.raises(SpaceError, match="a cell with over 10000 paths; use another kind than path"):
        Encoder(toy, ["path"]).features(sample(toy, np.random.default_rng(0)))


# counts


def test_counts_by_hand():
    k = op.b(k=oneof(1, 2))
    toy = space(k >> repeat(k >> optional(a), 2, tied=True) >> op.wrap(a | k))
    assert features(toy, "b(k=1) >> repeat(b(k=2) >> a(), 2) >> wrap(a())", "count") == {
        "count:b": 3,
        "count:b.k=1": 1,
        "count:b.k=2": 2,
        "count:a": 3,
        "count:wrap": 1,
    }


# n-grams


def test_ngrams_by_hand():
    toy = space(a >> repeat(b, 2) >> op.wrap(a | b))
    assert features(toy, "a() >> repeat(b(), 2) >> wrap(a())", "ngram") == {
        "primitives": 5,
        "ngram:a": 2,
        "ngram:b": 2,
        "ngram:wrap": 1,
        "ngram:a>b": 1,
        "ngram:b>b": 1,
        "ngram:b>wrap": 1,
        "ngram:wrap>a": 1,
        "ngram:a>b>b": 1,
        "ngram:b>b>wrap": 1,
        "ngram:b>wrap>a": 1,
        "ngram:a>b>b>wrap": 1,
        "ngram:b>b>wrap>a": 1,
    }


def test_ngrams_follow_definitions_once_and_leave_settings_out():
    toy = space(train(define(ref("x") >> ref("x"), x=a | b), lr=oneof(0.1, 0.2)))
    assert features(toy, "train(define(x >> x, x=b()), lr=0.1)", "ngram") == {"primitives": 1, "ngram:b": 1}


# the matrix


def test_columns_keep_their_place_and_unknown_features_are_left_out():
    toy = SPACES["range"]
    one, other = toy.parse("b()"), toy.parse("b() >> c(k=3)")
    encoder = Encoder(toy, ("ngram", "one_hot")).fit([one])
    before = dict(encoder.columns)
    short = encoder.transform([other])
    encoder.fit([other])
    assert {name: encoder.columns[name] for name in before} == before
    long = encoder.transform([one, other])
    assert long.dtype == np.float64
    assert long.shape == (2, len(encoder.columns))
    assert np.array_equal(long[1, : len(before)], short[0])
    assert long[0, len(before) :].tolist() == [0.0] * (len(encoder.columns) - len(before))


def test_rules_are_encoded_by_their_expansions():
    toy = space(rule("r", a | op.pair(ref("r"), ref("r")), depth=3))
    found = list(enumerate_architectures(toy))
    assert len(np.unique(Encoder(toy).fit(found).transform(found), axis=0)) == len(found) == 5


@pytest.mark.parametrize("kinds", [(), ("one-hot",), ("path", "bits")])
def test_unknown_kinds_are_refused(kinds):
    with pytest.raises(SpaceError, match="kinds are expected from one_hot, numeric, count, path, ngram; got"):
        Encoder(SPACES["range"], kinds)


def test_a_node_that_reads_what_is_not_there_is_refused_in_one_line():
    toy = space(op.cell(op.node(a | b, inputs=(0,)), op.node(a, inputs=(7,))))
    found = toy.start().take(0).architecture()
    with pytest.raises(SpaceError, match="a node of a cell reads value 7, but there are 2 before it"):
        Encoder(toy, ["path"]).fit([found])
