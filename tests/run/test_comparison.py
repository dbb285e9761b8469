from __future__ import annotations

import csv
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from nas.errors import ConfigError
from nas.evaluation import Objective
from nas.evaluation.tables import create
from nas.run import comparison
from nas.run.comparison import (
    ComparisonRun,
    comparison_plan,
    optimum_of,
    reference_of,
    seeds_warning,
    study_job,
    trials_of,
)
from nas.run.config import BudgetSection, CompareSection, Config
from nas.run.jobs import InlineLauncher
from tests.study.study_kit import FakeEvaluator

SEARCHERS = {
    "a": {"name": "random"},
    "b": {"name": "random"},
    "c": {"name": "random"},
    "d": {"name": "random"},
}
ROWS = [(80.0, 9.0), (90.0, 12.0), (70.0, 3.0), (70.0, 8.0), (60.0, 30.0)]  # accuracy, milliseconds
LATENCY = {"name": "latency", "direction": "minimize", "unit": "ms"}


def config(trials: int | None = 200, **compare) -> Config:
    section = CompareSection(**{"searchers": SEARCHERS, **compare})
    return Config(name="mine", budget=BudgetSection(trials), compare=section)


@pytest.fixture
def table(tmp_path):
    with (tmp_path / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("key", "acc", "ms"), *((n, *row) for n, row in enumerate(ROWS))])

    def make(*objectives):
        columns = {"accuracy": "acc", "latency": "ms"}
        path = str(tmp_path / "table.csv")
        return create(path=path, key="builtins:str", key_column="key", columns=columns, objectives=objectives)

    return make


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, "abcd"),
        ({"skip": ["b"]}, "acd"),
        ({"only": ["d", "a"]}, "ad"),
        ({"only": ["d", "a"], "skip": ["a"]}, "d"),
        ({"slow": ["c"]}, "abd"),
        ({"slow": ["c"], "with_slow": True}, "abcd"),
        ({"slow": ["c"], "only": ["c"]}, "c"),
        ({"slow": ["c"], "with_slow": True, "skip": ["c"]}, "abd"),
    ],
)
def test_labels_choose_the_methods_in_their_order(choice, expected):
    assert list(comparison_plan(config(**choice)).methods) == list(expected)


def test_seeds_budgets_and_the_default():
    plan = comparison_plan(config(seeds=3, first_seed=5, budgets=[50, 10, 10, 400], default="b"))
    assert plan.seeds == (5, 6, 7)
    assert plan.budgets == (10, 50, 200)  # the last is that of the studies
    assert plan.default == "b"
    assert comparison_plan(config(default="b", skip=["b"])).default is None
    assert comparison_plan(config(trials=7)).budgets == (7,)
    assert comparison_plan(config(trials=30)).budgets == (10, 25, 30)
    assert comparison_plan(config(trials=500)).budgets == (10, 25, 50, 100, 200, 500)
    assert comparison_plan(config(trials=None, budgets=[5, 9])).budgets == (5, 9)
    assert comparison_plan(config()).methods["a"] == {"name": "random"}


@pytest.mark.parametrize(
    ("compare", "message"),
    [
        ({"only": ["e"]}, r"compare\.only: expected one of a, b, c, d, got e; name one of these$"),
        ({"slow": ["e"]}, r"compare\.slow: expected one of a, b, c, d, got e; name one of these$"),
        ({"default": "e"}, r"compare\.default: expected one of a, b, c, d, got e; name one of these$"),
        ({"skip": ["randon"], "searchers": {"random": {}}}, r"got randon; did you mean random\?$"),
        (
            {"skip": list("abcd")},
            r"compare: expected at least one of a, b, c, d to run, got none; name one in compare",
        ),
        ({"seeds": 0}, r"compare\.seeds: expected 1 or more, got 0; leave it out for the default$"),
        (
            {"first_seed": -1},
            r"compare\.first_seed: expected 0 or more, got -1; leave it out for the default$",
        ),
        ({"budgets": []}, r"compare\.budgets: expected numbers of at least 1, got \[\]; give e\.g\."),
        ({"budgets": [0, 4]}, r"compare\.budgets: expected numbers of at least 1, got \[0, 4\]; give e\.g\."),
        (
            {"more_trials": {"e": 2.0}},
            r"compare\.more_trials: expected one of a, b, c, d, got e; name one of these$",
        ),
        (
            {"more_trials": {"a": 0.5}},
            r"compare\.more_trials\.a: expected a number of at least 1, .*, got 0\.5; leave it out for",
        ),
        (
            {"more_trials": {"a": math.inf}},
            r"compare\.more_trials\.a: expected a number .*, got inf; leave it out for",
        ),
        (
            {"hashing": {"e": {"name": "text"}}},
            r"compare\.hashing: expected one of a, b, c, d, got e; name one of these$",
        ),
        (
            {"hashing": {"a": {"bits": 8}}},
            r"compare\.hashing\.a: expected a hasher's section with its name",
        ),
        (
            {"cache": {"a": {"forgets": 1}}},
            r"compare\.cache\.a: expected one of evaluations, .*, got forgets; did you mean forget\?$",
        ),
        (
            {"searchers": {"a/b": {}}},
            r"compare\.searchers: expected labels of at most 100 letters.*, got 'a/b'; rename it$",
        ),
        (
            {"searchers": {"..": {}}},
            r"compare\.searchers: expected labels of at most 100 letters.*, got '\.\.'; rename it$",
        ),
        (
            {"searchers": {"a": "random"}},
            r"compare\.searchers\.a: expected a searcher's section, got 'random'",
        ),
    ],
)
def test_mistakes_are_named(compare, message):
    with pytest.raises(ConfigError, match=f"^(?:{message})|{message}"):
        comparison_plan(config(**compare))


def test_some_methods_may_take_more_trials_than_the_others(tmp_path):
    given = config(trials=30, more_trials={"b": 2.5})
    assert comparison_plan(given).budgets[-1] == 30
    assert [trials_of(given, label) for label in "ab"] == [30, 75]
    assert trials_of(config(trials=None, more_trials={"b": 2.5}), "b") is None
    assert [study_job(given, label, 0, tmp_path).config.budget.trials for label in "ab"] == [30, 75]


def test_a_method_may_have_a_hasher_and_a_cache_of_its_own(tmp_path):
    given = config(hashing={"b": {"name": "text"}}, cache={"b": {"evaluations": 3}})
    shared, own = (study_job(given, label, 0, tmp_path).config for label in "ab")
    assert (shared.hashing, shared.cache.evaluations) == (given.hashing, 1)
    assert (own.hashing, own.cache.evaluations, own.cache.capacity) == ({"name": "text"}, 3, 100_000)


def test_seeds_too_few_for_any_test_are_doubted_before_anything_runs():
    """Of 6 pairs: 2 / C(8, 4) = 0.029 is not below 0.05 / 6, 2 / C(10, 5) = 0.0079 is."""
    doubt = seeds_warning(comparison_plan(config(seeds=4)))
    assert doubt is not None
    assert re.match(
        r"compare\.seeds: with 4 no pairwise test of 4 methods can .*; 5 or more are needed$", doubt
    )
    assert seeds_warning(comparison_plan(config(seeds=5))) is None
    assert seeds_warning(comparison_plan(config(seeds=1))) is not None
    assert seeds_warning(comparison_plan(config(seeds=1, only=["a"]))) is None  # nothing to tell apart


def test_the_doubt_is_a_line_before_anything_else(monkeypatch, capsys):
    given = replace(config(seeds=2, only=["a", "b"]), dry_run=True)
    plan = comparison_plan(given)
    prepared = ComparisonRun(given, plan, None, InlineLauncher(), (seeds_warning(plan) or "",))  # pyright: ignore
    monkeypatch.setattr(comparison, "evaluation_seconds", lambda components, seed: None)
    assert prepared.preview().endswith("cost: no sample could be evaluated, so there is no estimate")
    assert capsys.readouterr().err == (
        "warning: compare.seeds: with 2 no pairwise test of 2 methods can find a difference, however large; "
        "4 or more are needed\n"
    )


def test_a_table_knows_its_optima_and_its_worst_values(table):
    one = table("accuracy")
    assert optimum_of(one, {}) == {"accuracy": 90.0}
    assert reference_of(config(), one) == {}
    assert reference_of(config(reference={"accuracy": 50}), one) == {"accuracy": 50.0}
    two = table("accuracy", LATENCY)
    assert reference_of(config(), two) == {"accuracy": 60.0, "latency": 30.0}
    assert reference_of(config(reference={"latency": 20.0}), two) == {"accuracy": 60.0, "latency": 20.0}
    assert optimum_of(two, {"accuracy": 60.0, "latency": 30.0}).items() >= {
        ("accuracy", 90.0),
        ("latency", 3.0),
    }


def test_the_best_hypervolume_is_the_area_that_the_table_dominates(table):
    """By counting the cells of a grid that are dominated by a row."""
    reference = {"accuracy": 60.0, "latency": 20.0}
    cells = [(60 + x + 0.5, y + 0.5) for x in range(40) for y in range(20)]
    dominated = [any(a >= x and ms <= y for a, ms in ROWS) for x, y in cells]
    assert optimum_of(table("accuracy", LATENCY), reference)["hypervolume"] == pytest.approx(sum(dominated))


def test_other_evaluators_know_no_optimum_and_need_a_reference():
    single, several = FakeEvaluator(), FakeEvaluator()
    several.objectives = (Objective("accuracy"), Objective("cost", "minimize"))  # type: ignore[assignment]
    assert optimum_of(single, {}) == {}
    assert reference_of(config(), single) == {}
    with pytest.raises(
        ConfigError, match=r"^compare\.reference: expected a number .* add \+compare\.reference\.cost=V"
    ):
        reference_of(config(reference={"accuracy": 1.0}), several)
    with pytest.raises(
        ConfigError, match=r"^compare\.reference: expected a number for each of accuracy, cost, for"
    ):
        reference_of(config(reference={"accuracy": math.nan, "cost": 1.0}), several)
    with pytest.raises(
        ConfigError, match=r"^compare\.reference: expected one of accuracy, got speed; leave it out$"
    ):
        reference_of(config(reference={"speed": 1.0}), single)
    point = {"accuracy": 1.0, "cost": np.pi}
    assert reference_of(config(reference=point), several) == point
