"""What an import loads: table studies and the command line start without the heavy libraries."""

from __future__ import annotations

import ast
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import nas

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "ray", "pandas", "moocore", "matplotlib", "scipy", "sklearn", "optuna", "hydra", "rich")
# What trains networks, and the entry point, which is Hydra's.
MAY_LOAD_HEAVY = (
    "nas.layers.",
    "nas.supernet.",
    "nas.algorithms.",
    "nas.cluster.",
    "nas.hashing.",
    "nas.search_spaces.",
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
        "import nas.space.space, nas.space.operators, nas.study.study",
        "import nas.evaluation.tables, nas.evaluation.functions",
        "import nas.supernet.settings, nas.supernet.task, nas.supernet.relaxation",
        f"import {', '.join(LIGHT)}",
        "import nas.search_spaces, nas.algorithms, nas.hashing, nas.cluster",
        "import nas; nas.Study, nas.SearchSpace, nas.FunctionEvaluator, nas.op",
    ],
    ids=["nas", "study", "evaluators", "supernets", "every-light-module", "registries", "facade"],
)
def test_no_heavy_library_is_loaded(statement: str) -> None:
    assert loaded_by(statement) == []


def test_runs_begin_without_reporting() -> None:
    modules = "nas.run.single, nas.run.audit, nas.run.protocol"
    code = f"import sys, {modules}; print('nas.report.report' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "False\n"


def test_the_check_sees_what_is_loaded() -> None:
    assert loaded_by("import nas.training.train") == ["torch"]


ROOMS = ["nas", *sorted(f"nas.{stub.parent.name}" for stub in (ROOT / "nas").glob("*/__init__.pyi"))]


@pytest.mark.parametrize("room", ROOMS)
def test_public_names_are_those_that_type_checkers_see(room: str) -> None:
    package = import_module(room)
    tree = ast.parse(Path(str(package.__file__)).with_suffix(".pyi").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: f"{room}.{node.module}" for node in imports for alias in node.names}
    assert sorted(homes) == sorted(package.__all__)
    for name, module in homes.items():
        assert getattr(package, name) is getattr(import_module(module), name)
        assert name in dir(package)


@pytest.mark.parametrize("room", ROOMS)
def test_no_public_name_is_hidden_by_a_module(room: str) -> None:
    package = import_module(room)
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert modules.isdisjoint(package.__all__)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="No nas attribute two"):
        _ = nas.two


def test_tests_import_no_private_names() -> None:
    """Nor do they read one as an attribute of a module or class that they import."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for line, name in private_names(ast.parse(path.read_text()))
        if name != "os._exit"  # documented
    ]
    assert found == []


def private_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    def is_private(name: str) -> bool:
        return any(part[0] == "_" and not part.endswith("__") for part in name.split("."))

    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = {alias.asname or alias.name.partition(".")[0]: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        else:
            continue
        imported |= names
        yield from ((node.lineno, name) for name in names.values() if is_private(name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = ast.unparse(node.value)
            if owner.partition(".")[0] in imported and "(" not in owner:
                yield node.lineno, f"{owner}.{node.attr}"
