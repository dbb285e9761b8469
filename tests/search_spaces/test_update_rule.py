"""The space of update rules: known programs, options, size, and what mutation keeps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import CompileError, SpaceError
from nas.evaluation import Fidelity, Status, Task
from nas.language import Literal, Program
from nas.programs import statements
from nas.search_spaces import SPACES, update_rule
from nas.search_spaces.update_rule import KNOWN, LION, SETS, UPDATE_RULES, compile_optimizer, space
from nas.space import SearchSpace, crossover, mutate, sample
from nas.training import optimizer_task

INPUTS = "inputs(w='tensor', g='tensor', m='tensor', v='tensor', lr='scalar')"
SPACE, PAPER = space(), space(functions="paper")


@pytest.mark.parametrize("name", KNOWN)
def test_known_programs_parse_and_print_as_written(name):
    found = PAPER.parse(KNOWN[name])
    assert found.text == KNOWN[name]
    assert PAPER.check(found) is None
    assert PAPER.architecture_from_json(found.to_json()) == found
    assert found.vocabulary is UPDATE_RULES


@pytest.mark.parametrize("name", sorted(set(KNOWN) - {"discovered"}))
def test_known_programs_need_the_small_functions_only(name):
    assert SPACE.parse(KNOWN[name]).text == KNOWN[name]


def test_is_registered_and_takes_options():
    assert SPACES.get("update_rule") is update_rule.space
    few = space(max_statements=2, functions=["mul", "sign"], constants=(0.5, 2.0))
    assert few.parse(f"program({INPUTS}, sign(g) >> mul(x0, 0.5), update=x1, m=m, v=v)")
    with pytest.raises(SpaceError):
        few.parse(LION)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"functions": "large"}, 'functions: "small", "paper" or names out of abs, .* are expected'),
        ({"functions": ["mul", "mull"]}, r"got \['mul', 'mull'\]"),
        ({"functions": []}, r"got \[\]"),
        ({"constants": (0.0, 1.0)}, "0 < low <= high"),
        ({"max_statements": -1}, "at least 0"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(SpaceError, match=message):
        space(**options)


def test_sizes_as_the_header_states():
    sizes = {}
    for name, functions in SETS.items():
        for most in (1, 20):
            structure = update_rule.expression(most, functions, Literal(1.0))
            sizes[name, most] = SearchSpace("structures", structure, vocabulary=UPDATE_RULES).size()
    assert sizes["small", 1] == 31_100
    assert [f"{size:.1e}" for size in sizes.values()] == ["3.1e+04", "1.4e+68", "4.6e+04", "6.6e+70"]
    assert SPACE.size() is None
    assert (len(SETS["small"]), len(SETS["paper"])) == (18, 41)


@pytest.mark.parametrize(
    ("functions", "tensors"), [(["sign"], 1), (["mul"], 2), (["sign", "mul"], 3), (["norm"], 1)]
)
def test_statements_come_in_groups_of_one_kind(functions, tensors):
    text = str(space(functions=functions))
    assert text.count("let('tensor'") == tensors
    assert text.count("let('scalar'") == (functions != ["norm"])


def test_an_update_is_a_tensor():
    for output in ("lr", "x0", "0.1"):
        with pytest.raises(SpaceError, match="update"):
            SPACE.parse(f"program({INPUTS}, global_norm(g), update={output}, m=m, v=v)")


def test_another_architecture_does_not_compile():
    with pytest.raises(CompileError, match=r"update rules: program\(\.\.\.\) is expected; got sign\(1\.0\)"):
        compile_optimizer(SearchSpace("other", "sign(1.0)", vocabulary=UPDATE_RULES).parse("sign(1.0)"))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_mutation_and_crossover_keep_programs_valid(seed):
    rng = np.random.default_rng(seed)
    parent, lengths = SPACE.parse(LION), set()
    for _ in range(25):
        child = mutate(SPACE, parent, rng)
        assert child != parent
        assert SPACE.check(child) is None
        assert SPACE.parse(child.text) == child
        compile_optimizer(child)
        assert isinstance(child.term, Program)
        lengths.add(len(statements(child.term)))
        parent = child
    assert len(lengths) > 1  # statements came or went
    both = crossover(SPACE, parent, SPACE.parse(KNOWN["adam"]), rng)
    assert SPACE.check(both) is None
    compile_optimizer(both)


@pytest.fixture(scope="module")
def evaluator():
    return optimizer_task.create(dataset="digits", epochs=6, batch_size=64, lr=0.002, device="cpu")


@pytest.mark.parametrize("name", ["sgd_momentum", "adam", "lion"])
def test_known_programs_train_a_network_on_the_digits(evaluator, name):
    evaluation = evaluator(Task(0, SPACE.parse(KNOWN[name])))
    assert evaluation.status is Status.COMPLETED
    assert evaluation.values["validation_accuracy"] > 85


def test_random_programs_train_or_diverge_on_the_digits(evaluator):
    rng = np.random.default_rng(0)
    found = [evaluator(Task(0, sample(SPACE, rng), fidelity=Fidelity("epochs", 1))) for _ in range(20)]
    assert {evaluation.status for evaluation in found} == {Status.COMPLETED, Status.DIVERGED}
