"""What an import loads: table studies and the command line start without the heavy libraries."""

from __future__ import annotations

import ast
import os
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import nas

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "ray", "pandas", "matplotlib", "scipy", "sklearn", "optuna", "hydra", "rich")
# What trains networks, and the entry point, which is Hydra's.
MAY_LOAD_HEAVY = (
    "nas.layers.",
    "nas.oneshot.",
    "nas.relax.",
    "nas.training.",
    "nas.run.__main__",
    "nas.run.command",
)
LIGHT = [
    module.name
    for module in pkgutil.walk_packages(nas.__path__, "nas.")
    if not module.name.startswith(MAY_LOAD_HEAVY)
]


def loaded_by(statement: str) -> list[str]:
    """The heavy libraries that a fresh process has loaded after the statement."""
    code = f"import sys\n{statement}\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    "statement",
    [
        "import nas",
        "import nas.space, nas.operators, nas.study",
        "import nas.training.tabular, nas.training.function",
        "import nas.oneshot.settings, nas.oneshot.work, nas.relax.relaxing, nas.relax.choices",
        f"import {', '.join(LIGHT)}",
        "import search_spaces, algorithms, hashing, cluster",
        "import nas; nas.Study, nas.SearchSpace, nas.FunctionEvaluator, nas.op",
    ],
    ids=["nas", "study", "evaluators", "supernets", "every-light-module", "registries", "facade"],
)
def test_no_heavy_library_is_loaded(statement: str) -> None:
    assert loaded_by(statement) == []


def test_the_check_sees_what_is_loaded() -> None:
    assert loaded_by("import nas.training.train") == ["torch"]


def test_public_names_are_those_of_their_modules() -> None:
    for name, module in nas._HOMES.items():
        assert getattr(nas, name) is getattr(import_module(module), name)
        assert name in dir(nas)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(nas.__file__).read_text())
    guarded = [node for block in tree.body if isinstance(block, ast.If) for node in block.body]
    seen = {
        alias.asname: node.module
        for node in guarded
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    assert seen == nas._HOMES


def test_no_public_name_is_hidden_by_a_module() -> None:
    modules = {module.name for module in pkgutil.iter_modules(nas.__path__)}
    assert modules.isdisjoint(nas._HOMES)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="module 'nas' has no attribute 'two'"):
        _ = nas.two
