"""Options of Optuna's samplers, and what importing and using them leaves alone."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys

import pytest
import torch
from optuna.samplers import GPSampler, TPESampler

from algorithms import SEARCHERS
from algorithms.optuna_sampler import OptunaSearcher, gp, tpe
from nas.errors import ConfigError
from nas.evaluation import Evaluation, Status
from nas.space import SearchSpace
from tests.algorithms.optuna_kit import ACCURACY, CHAIN, LATENCY, MIXED, outcome, quality, run


def test_several_objectives_count_each_in_its_direction_or_the_first_alone():
    both = OptunaSearcher(CHAIN, (LATENCY, ACCURACY), seed=0)
    assert [direction.name for direction in both.study.directions] == ["MINIMIZE", "MAXIMIZE"]
    run(both, 1, lambda a: outcome(7, 3))
    assert both.study.trials[0].values == [3, 7]
    first = OptunaSearcher(CHAIN, (LATENCY, ACCURACY), seed=0, first_only=True)
    assert [direction.name for direction in first.study.directions] == ["MINIMIZE"]
    run(first, 1, lambda a: Evaluation(Status.COMPLETED, {"latency": 3.0}))
    assert first.study.trials[0].values == [3]


def test_samplers_of_ones_own_and_seeds_of_any_size():
    named = OptunaSearcher(CHAIN, (ACCURACY,), seed=5, sampler="tpe")
    own = OptunaSearcher(CHAIN, (ACCURACY,), seed=5, sampler="optuna.samplers:TPESampler")
    large = [OptunaSearcher(CHAIN, (ACCURACY,), seed=seed) for seed in (2**32 + 5, 2**32 + 5, 2**40)]
    asked = [run(each, 14, lambda a: outcome(*quality(a))) for each in (named, own, *large)]
    assert asked[0] == asked[1]
    assert asked[2] == asked[3]
    assert len({str(each) for each in asked}) == 3


def test_the_sampler_for_conditions_has_a_name():
    searcher = gp(CHAIN, (ACCURACY,), seed=0, independent_sampler="tpe")
    assert isinstance(searcher.study.sampler, GPSampler)
    assert isinstance(searcher.study.sampler._independent_sampler, TPESampler)


@pytest.mark.parametrize("sampler", ["nsga3", "optuna.samplers:QMCSampler"])
def test_what_optuna_calls_experimental_is_no_warning_here(sampler):
    run(OptunaSearcher(CHAIN, (ACCURACY,), seed=0, sampler=sampler), 2, lambda a: outcome(1.0))


def test_groups_take_several_objectives_without_a_warning():
    space = SearchSpace("group", "repeat(conv(kernel=oneof(1, 3, 5)) | relu(), 1, 3)")
    searcher = tpe(space, (ACCURACY, LATENCY), seed=0, group=True, n_startup_trials=4)
    run(searcher, 12, lambda a: outcome(*quality(a)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "tp"}, r'sampler "tp" is not registered; registered: cmaes, gp, .*; did you mean "tpe"'),
        ({"sampler": "math:floor"}, 'sampler "math:floor": .*expected'),
        ({"sampler": "types:SimpleNamespace"}, "a sampler of Optuna's is expected; got SimpleNamespace"),
        ({"gama": 3}, 'sampler "tpe": has no option "gama"; options: .*n_startup_trials'),
        ({"n_startup_trials": "many"}, "n_startup_trials: expected int, got 'many'"),
        ({"n_startup_trials": -1}, "n_startup_trials: expected 0 or more; got -1"),
        ({"n_ei_candidates": 0}, "n_ei_candidates: expected 1 or more; got 0"),
        ({"group": True, "multivariate": False}, "``group`` option can only be enabled when"),
        ({"sampler": "nsga2", "population_size": 1}, "population_size: expected 2 or more; got 1"),
        ({"sampler": "nsga2", "crossover_prob": 2.0}, '"nsga2": `crossover_prob` must be a float'),
        ({"sampler": "gp", "independent_sampler": "x"}, 'sampler "x" is not registered'),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        OptunaSearcher(CHAIN, (ACCURACY,), seed=0, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [tpe, gp])
def test_a_named_searcher_takes_no_other_sampler(make):
    with pytest.raises(ConfigError, match=f'"{make.__name__}": has no option "sampler"; .*"optuna" has it'):
        make(CHAIN, (ACCURACY,), seed=0, sampler="nsga2")


def test_cmaes_needs_its_package_and_one_objective(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="the package cmaes is expected; got none; pip install cmaes"):
        OptunaSearcher(MIXED, (ACCURACY,), seed=0, sampler="cmaes")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(ConfigError, match="one objective is expected; got accuracy, latency; set first_only"):
        OptunaSearcher(MIXED, (ACCURACY, LATENCY), seed=0, sampler="cmaes")


def test_the_users_process_stays_as_it_is(capfd):
    logger, generator = logging.getLogger("optuna"), torch.get_rng_state()
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        searcher = gp(MIXED, (ACCURACY,), seed=0, n_startup_trials=2)
        run(searcher, 4, lambda a: outcome(*quality(a)))
        assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(level)
    assert torch.equal(torch.get_rng_state(), generator)
    assert capfd.readouterr() == ("", "")


def test_optuna_is_imported_by_the_first_searcher_of_its():
    code = "import sys, algorithms.optuna_sampler; print('optuna' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_registered_names_are_these():
    assert (SEARCHERS.get("tpe"), SEARCHERS.get("gp"), SEARCHERS.get("optuna")) == (tpe, gp, OptunaSearcher)
