from __future__ import annotations

import logging

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from algorithms.optuna_parameters import Parameter, derive, parameter_at, values_of
from nas.errors import SpaceError
from nas.operators import mutate, sample
from nas.space import SearchSpace
from search_spaces import SPACES
from tests.nas.toy_spaces import SPACES as TOYS

MIXED = SearchSpace(
    "mixed",
    "repeat(conv(kernel=oneof(7, 3, 5), width=oneof(8, 16)) | relu(), 1, 2) >> "
    "conv(width=integer(4, 64, log=True)) >> dropout(rate=real(0.0, 0.5))",
)


def first(space: SearchSpace) -> Parameter:
    return parameter_at(space.start())


def along(space: SearchSpace, *options: int) -> list[Parameter]:
    """The parameters of the holes met when these options are taken."""
    derivation, met = space.start(), []
    for option in options:
        met.append(parameter_at(derivation))
        derivation = derivation.take(option)
    return met


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.ERROR, logger="optuna")


def asked_for(space: SearchSpace, values: dict[str, int | float]):
    study = optuna.create_study()
    study.enqueue_trial(values)
    trial = study.ask()
    return derive(space, trial), trial.params


def test_each_kind_of_hole_has_its_distribution():
    found = along(MIXED, 2, 0, 1, 0, 1, 32)
    assert [parameter.name for parameter in found] == [
        "root[0]#1",
        "root[0].body#2/1.0",
        "root[0].body.conv.kernel#4/1.0",
        "root[0].body.conv.width#8/1.0",
        "root[0].body#2/1.1",
        "conv.width#13",
    ]
    assert [parameter.distribution for parameter in found] == [
        IntDistribution(0, 1),  # copies, by rank
        CategoricalDistribution((0, 1)),
        IntDistribution(0, 2),  # kernels 3, 5, 7, by rank
        CategoricalDistribution((0, 1)),  # two values have no order
        CategoricalDistribution((0, 1)),
        IntDistribution(4, 64, log=True),
    ]


def test_ranks_ascend_with_the_numbers_whatever_the_order_of_the_options():
    kernel = along(MIXED, 1, 0, 0)[-1]
    assert [kernel.value(option) for option in (0, 1, 2)] == [2, 0, 1]  # 7, 3, 5
    counts = first(SearchSpace("counts", "repeat(relu(), (1, 2, 8))"))
    assert [counts.value(option) for option in (1, 2, 8)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ("dropout(rate=real(0.1, 0.5, log=True))", FloatDistribution(0.1, 0.5, log=True)),
        ("dropout(rate=real(0.1, 0.5))", FloatDistribution(0.1, 0.5)),
        ("mbconv(squeeze_excite=oneof(False, True))", CategoricalDistribution((0, 1))),
        ("relu() | gelu() | silu()", CategoricalDistribution((0, 1, 2))),
        ("conv(width=oneof(8, 64, 16))", IntDistribution(0, 2)),
    ],
)
def test_distributions_follow_the_term(text, distribution):
    assert first(SearchSpace("one", text)).distribution == distribution


def test_real_numbers_have_six_significant_digits_and_stay_in_range():
    space = SearchSpace("real", "dropout(rate=real(0.12345612, 0.5))")
    name = first(space).name
    architecture, _ = asked_for(space, {name: 0.33333333333})
    assert architecture.text == "dropout(rate=0.333333)"
    lowest, _ = asked_for(space, {name: 0.12345612})  # six digits would fall below the range
    assert lowest.text == "dropout(rate=0.12345612)"


def test_options_that_depend_on_the_way_are_in_the_name():
    """Near the depth bound a rule offers less; in a program a later statement can read more."""
    grammar = SearchSpace("grammar", "rule('r', relu() | gelu() | residual(ref('r')), depth=2)")
    names = [parameter.name for parameter in along(grammar, 2, 0)]
    assert " of " not in names[0]
    assert names[1].endswith(" of 0,1")
    program = SPACES.get("update_rule")()
    derivation = program.start().take(2)  # statements
    for _ in range(2):
        derivation = derivation.take(3)  # of the fourth kind
        derivation = derivation.take(derivation.options[-1])
        scope = parameter_at(derivation).name.partition(" of ")[2]
        assert scope == ",".join(map(str, derivation.options))
        derivation = derivation.take(derivation.options[0])


@pytest.mark.parametrize("name", [*TOYS, *SPACES.names()])
def test_values_lead_back_to_the_architecture(name):
    """Also to mutated ones, whose repeat elements have other names; no name has two distributions."""
    space = TOYS[name] if name in TOYS else SPACES.get(name)()
    rng = np.random.default_rng(0)
    study = optuna.create_study()  # refuses other choices for a name that it knows
    for _ in range(8):
        architecture = sample(space, rng)
        for each in (architecture, mutate(space, architecture, rng)):
            values = values_of(space, each)
            study.enqueue_trial(values)
            trial = study.ask()
            assert derive(space, trial) == each
            assert trial.params == values


def test_an_architecture_of_another_space_is_refused():
    other = SearchSpace("other", "repeat(tanh() | gelu(), 1, 4)")
    with pytest.raises(SpaceError, match=r"mixed at .*: no decision for this hole; got one of other"):
        values_of(MIXED, sample(other, np.random.default_rng(0)))
