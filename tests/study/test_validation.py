"""Fidelities and values that an evaluator does not have, found when a run is put together."""

from __future__ import annotations

from typing import Any

import pytest

from nas.algorithms.shared.wrapping import prepare_searcher
from nas.errors import ConfigError
from nas.evaluation import Objective
from nas.run.compose import compose
from nas.run.config import Config, SearchSection
from nas.space import SearchSpace
from nas.study import search_notes

SPACE = SearchSpace("four", "relu() | gelu() | silu() | tanh()")
COLUMNS = {
    level: {"accuracy": f"at_{level}", **({"loss": "loss"} if level == 12 else {})} for level in (12, 50, 200)
}
DIGITS = {"name": "classification", "dataset": "digits", "epochs": 4}
RANDOM = {"name": "random"}


def text_of(architecture: Any) -> str:
    return architecture.text


@pytest.fixture
def table(tmp_path) -> dict[str, Any]:
    path = tmp_path / "table.csv"
    rows = "".join(f"{name}(),1,2,3,0.5\n" for name in ("relu", "gelu", "silu", "tanh"))
    path.write_text("name,at_12,at_50,at_200,loss\n" + rows)
    given = {"path": str(path), "key": f"{__name__}:text_of", "key_column": "name", "columns": COLUMNS}
    return {"name": "table", "objectives": "accuracy", **given}


def composed(evaluator: dict[str, Any], searcher: dict[str, Any], fidelity: float | None = None) -> Any:
    space = {"name": "macro", "width": 8} if evaluator is DIGITS else {"name": f"{__name__}:SPACE"}
    parts = {"executor": {"name": "inline"}, "hashing": {"name": "none"}, "search": SearchSection(fidelity)}
    return compose(Config(name="mine", space=space, searcher=searcher, evaluator=evaluator, **parts))


def limited(*names: str) -> dict[str, Any]:
    return {"name": "nsga2", "limits": dict.fromkeys(names, 1.0)}


def inside(*wrappers: str, searcher: dict[str, Any], **options: Any) -> dict[str, Any]:
    for name in reversed(wrappers):
        own = options if name in ("asha", "hyperband") else {}
        searcher = {"name": name, "searcher": searcher, **own}
    return searcher


@pytest.mark.parametrize("fidelity", [13, 300])
def test_a_fidelity_of_the_search_is_one_of_the_tables(table, fidelity):
    with pytest.raises(
        ConfigError,
        match=rf"^search\.fidelity: expected epochs of 12, 50, 200, as the evaluator has no others, "
        rf"got {fidelity}; set one of them, or null for 200$",
    ):
        composed(table, RANDOM, fidelity)
    assert composed(table, RANDOM, 50).plan.search_fidelity.value == 50


@pytest.mark.parametrize(
    ("fidelity", "levels", "expected"),
    [
        (
            None,
            [12, 100, 150],
            r"of 12, 50, 200, .*; got 100, 150; choose them: searcher\.levels=\[12,50,200\]$",
        ),
        (50, [12, 25], r"of 12, 50, .*; got 25; choose them: searcher\.levels=\[12,50\]$"),
    ],
)
@pytest.mark.parametrize("wrappers", [("asha",), ("no_repeats", "hyperband")], ids=["asha", "hyperband"])
def test_the_levels_of_a_table_are_named(table, wrappers, fidelity, levels, expected):
    with pytest.raises(ConfigError, match=rf"^searcher: expected epochs {expected}"):
        composed(table, inside(*wrappers, searcher=RANDOM, levels=levels), fidelity)


def test_a_search_at_the_lowest_fidelity_leaves_none_to_choose(table):
    with pytest.raises(
        ConfigError,
        match=r'^searcher "asha": expected several epochs to choose from, got 12 alone; set '
        r"search\.fidelity=null, or give the evaluator more$",
    ):
        composed(table, inside("asha", searcher=RANDOM, levels=[5, 300]), 12)


WRAPPERS = [
    ("no_repeats",),
    ("pending_limit",),
    ("asha",),
    ("hyperband",),
    ("no_repeats", "asha", "no_repeats"),
]


@pytest.mark.parametrize("wrappers", [(), *WRAPPERS], ids=lambda names: "-".join(names) or "alone")
def test_a_limit_is_on_a_value_that_evaluations_have(table, wrappers):
    """At every fidelity that is searched; only that of 12 epochs has a loss."""

    def limit(*names: str, at: float | None = None) -> Any:
        section = inside(*wrappers, searcher=limited(*names), levels=[12, 200])
        return composed(table, section, None if wrappers else at)

    assert limit("accuracy")
    with pytest.raises(
        ConfigError,
        match=r'^searcher "nsga2": limits: expected values that are reported \(accuracy(, loss)?\), got foo, '
        "bar; name those, or let the evaluator report more$",
    ):
        limit("accuracy", "foo", "bar")
    with pytest.raises(ConfigError, match=r"are reported \(accuracy\), got loss; name those"):
        limit("loss")
    assert wrappers or limit("loss", at=12)


def test_a_limit_is_passed_through_the_view_by_halves():
    section = inside("bisection", searcher=limited("foo"))
    with pytest.raises(
        ConfigError, match=r"\(validation_accuracy, validation_loss, test_accuracy\), got foo; "
    ):
        composed(DIGITS, section)
    known = limited("validation_accuracy", "validation_loss", "test_accuracy")
    assert composed(DIGITS, inside("bisection", searcher=known))


def test_a_function_may_return_any_values():
    function = {"name": "function", "function": f"{__name__}:text_of"}
    assert composed(function, limited("foo"))


@pytest.mark.parametrize(
    ("searcher", "trials", "expected"),
    [
        ({"name": "random"}, 3, []),
        ({"name": "regularized_evolution", "population": 5, "sample": 2}, 6, []),
        (
            {"name": "regularized_evolution", "population": 5, "sample": 2},
            5,
            ["it asks for its first 5 trials without knowing any result, and budget.trials=5 ends there"],
        ),
        ({"name": "regularized_evolution", "population": 5, "sample": 2}, None, []),
        ({"name": "darts"}, 5, ["sets epochs, lr for its architectures alone; the supernet is trained with"]),
    ],
)
def test_what_a_searcher_will_not_do_is_said_before_the_run(searcher, trials, expected):
    network = "stem(width=4) >> (relu() | gelu()) >> head()"
    space = SearchSpace("trained", f"train({network}, epochs=2, lr=0.1)")
    assert_parts(search_notes("s", searcher_of(searcher, space), space, trials), expected)
    bare = SearchSpace("bare", network)
    without = [] if searcher["name"] == "darts" else expected
    assert_parts(search_notes("s", searcher_of(searcher, bare), bare, trials), without)


def searcher_of(section: dict[str, Any], space: SearchSpace) -> Any:
    return prepare_searcher(section, seed=0)(space, (Objective("accuracy"),))


def assert_parts(lines: list[str], parts: list[str]) -> None:
    assert len(lines) == len(parts)
    assert all(line.startswith('searcher "s": ') for line in lines)
    assert all(part in line for line, part in zip(lines, parts, strict=True))
