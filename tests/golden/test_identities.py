"""What logs, fingerprints and heads of weights call the platform's own, as when this was last looked at.

A change here means that logs and weights of earlier versions are those of something else: they are refused,
though nothing that a result depends on may have changed. Where a thing lies, and a docstring's words, are no
such change. If another identity is meant, run `make golden`, look at the difference, and say so in
CHANGELOG.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import pytest

from nas.algorithms import SEARCHERS
from nas.callables import CALLABLES, FORMER, function_name, load, renamed
from nas.cluster import EXECUTORS, LAUNCHERS
from nas.errors import ConfigError, SpaceError
from nas.evaluation import EVALUATORS
from nas.hashing import HASHERS
from nas.language import VOCABULARIES, Primitive, Vocabulary
from nas.registry import Registry, build
from nas.run.folder import logged_config
from nas.search_spaces import SPACES
from nas.space import SearchSpace
from nas.training.optimizer_task import NETWORKS
from tests.contracts.hasher_kit import OPTIONS
from tests.report.report_kit import Log

FILE = Path(__file__).with_name("identities.json")
REGISTRIES = (SPACES, SEARCHERS, EVALUATORS, EXECUTORS, LAUNCHERS, HASHERS)
UNLISTED = {"space": ["file"], "searcher": ["none"], "evaluator": ["noise"]}
LIMITED = {"max_parameters": 50_000, "image": [1, 8, 8], "classes": 10}
ACTIVATIONS = {"name": "classification", "compiler": "compile_activated_network"}


def evaluators(folder: Path) -> dict[str, list[str]]:
    """Class and fingerprint of each; the function of "function" is the user's, and so is its identity."""
    table = folder / "table.csv"
    table.write_text("key,a\nx,1\n")
    columns = {"path": str(table), "key_column": "key", "columns": {"a": "a"}, "objectives": "a"}
    sections = {
        "classification": {"name": "classification", "dataset": "digits", "epochs": 3},
        "classification of activations": {**ACTIVATIONS, "dataset": "digits"},
        "optimizer_task": {"name": "optimizer_task", "dataset": "digits", "network": "conv"},
        "table": {"name": "table", "key": "nasbench201_string", **columns},
    }
    sections["noise"] = {"name": "noise", "evaluator": sections["table"], "std": 0.5}
    made = {label: build(EVALUATORS, section) for label, section in sections.items()}
    return {label: [type(each).__name__, each.fingerprint()] for label, each in made.items()}


def identities(folder: Path) -> dict[str, Any]:
    """All of them, as JSON values."""
    hashers = {name: build(HASHERS, {"name": name, **OPTIONS.get(name, {})}) for name in HASHERS.names()}
    spaces = {name: SPACES.get(name)() for name in SPACES.names()}
    spaces["macro with a limit"] = SPACES.get("macro")(**LIMITED)
    return {
        "names": {each.kind: [*each.names(), *UNLISTED.get(each.kind, [])] for each in REGISTRIES},
        "callables": sorted(CALLABLES),
        "spaces": {name: [each.vocabulary.identity, each.fingerprint()] for name, each in spaces.items()},
        "evaluators": evaluators(folder),
        "hashers": {name: each and each.name for name, each in hashers.items()},
    }


def test_the_identities_are_those_of_before(tmp_path: Path) -> None:
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    found = identities(tmp_path)
    assert set(found) == set(stored)
    for part, now in found.items():
        assert now == stored[part], "if this is meant: make golden, and a line in CHANGELOG.md"


def test_no_identity_is_a_place(tmp_path: Path) -> None:
    assert ":" not in json.dumps(identities(tmp_path), separators=(",", "="))


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_what_is_not_listed_is_registered_all_the_same(registry: Registry) -> None:
    for name in UNLISTED.get(registry.kind, []):
        assert name not in registry.names()
        assert registry.get(name)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_a_vocabulary_of_the_platforms_own_is_where_its_name_says(name: str) -> None:
    own = load(VOCABULARIES[name])
    assert (own.name, own.identity, own.home) == (name, name, VOCABULARIES[name])
    with pytest.raises(SpaceError, match=f'^vocabulary "{name}": expected another name, as the platform'):
        Vocabulary(name, (Primitive("own"),))


def test_a_vocabulary_of_ones_own_is_its_home_or_its_words() -> None:
    word = Primitive("own")
    assert Vocabulary("mine", (word,)).identity == "mine"
    assert Vocabulary("mine", (word,), "my_module:WORDS").identity == "my_module:WORDS"
    made = [Vocabulary("mine", (word,)), Vocabulary("mine", (word, Primitive("more")))]
    made += [Vocabulary("mine", (word,), f"{module}:WORDS") for module in ("a", "b")]
    assert len({SearchSpace("s", "own()", vocabulary=each).fingerprint() for each in made}) == 4


def test_every_former_place_has_a_name_of_today() -> None:
    named = {*CALLABLES, *VOCABULARIES, *(name for names in UNLISTED.values() for name in names)}
    named |= {f"optimizer_task/{network}" for network in NETWORKS}
    assert set(FORMER.values()) <= named
    nested = {"a": ["nas.jobs:NoSearch", 1, None], "b": {"c": "my_module:f"}}
    assert renamed(nested) == {"a": ["none", 1, None], "b": {"c": "my_module:f"}}


@pytest.fixture
def move(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], ModuleType]:
    """Makes a module of the platform lie elsewhere, and its names stand for what lies there."""

    def moved(module: str) -> ModuleType:
        place, elsewhere = import_module(module).__file__, f"moved_{module.replace('.', '_')}"
        assert place is not None
        (tmp_path / f"{elsewhere}.py").write_text(
            Path(place).read_text().replace(f"{module}:", f"{elsewhere}:")
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        for table in (CALLABLES, VOCABULARIES):
            for name, target in table.items():
                if target.partition(":")[0] == module:
                    monkeypatch.setitem(table, name, target.replace(module, elsewhere))  # type: ignore[arg-type]
        return import_module(elsewhere)

    return moved


def test_a_space_whose_vocabulary_moves_is_the_same(move: Callable[[str], ModuleType]) -> None:
    before = SPACES.get("activation")()
    space = move("nas.search_spaces.activation").space()
    assert space.vocabulary.home != before.vocabulary.home
    assert space.fingerprint() == before.fingerprint()


def test_a_space_whose_constraint_moves_is_the_same(move: Callable[[str], ModuleType]) -> None:
    space = SPACES.get("macro")(**LIMITED)
    expression, before = space.expression, space.fingerprint()
    moved = move("nas.layers.compile")
    limit = moved.max_parameters(50_000, (1, 8, 8), 10)
    space = SearchSpace("macro", expression, constraints=[limit])
    assert type(limit).__module__ == moved.__name__
    assert space.fingerprint() == before
    other = SearchSpace("macro", expression, constraints=[moved.max_multiply_adds(50_000, (1, 8, 8), 10)])
    assert other.fingerprint() != before


def test_an_evaluator_whose_functions_move_is_the_same(
    move: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    before = evaluators(tmp_path)
    for module in (
        "nas.search_spaces.nasbench201",
        "nas.search_spaces.activated_network",
        "nas.search_spaces.update_rule",
    ):
        move(module)
    assert evaluators(tmp_path) == before
    assert function_name(load(CALLABLES["nasbench201_string"])) == "nasbench201_string"


def test_a_command_with_a_former_place_is_told_the_name() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^space\.name: expected file, as it is called now, got nas\.spacefile:read_space; write",
    ):
        build(SPACES, {"name": "nas.spacefile:read_space", "path": "x"})


def test_configurations_of_format_1_are_read_with_the_names_of_today(tmp_path: Path) -> None:
    config = {"space": {"name": "nas.spacefile:read_space", "path": "x"}, "evaluator": {"name": "function"}}
    Log(tmp_path / "run").opened(config=config, format=1).write()
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit/audit.json").write_text(json.dumps({"format": 1, "config": config}))
    for folder in (tmp_path / "run", tmp_path / "audit"):
        assert logged_config(folder)["space"] == {"name": "file", "path": "x"}


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        written = identities(Path(folder))
    FILE.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
