"""The built wheel holds the whole platform, and works away from the source tree."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("nas", "search_spaces", "algorithms", "hashing", "cluster", "experiments")
DISTRIBUTION = "nas_platform"
OURS = ("nas", "tests", "no_such_module")  # the last is a test's
GENERATED = shutil.ignore_patterns("__pycache__", "*.egg-info")

pytestmark = pytest.mark.xdist_group("wheel")  # built once


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that no stale build folder has a say in it."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, symlinks=True, ignore=GENERATED)
    _run("-m", "build", "--wheel", "--no-isolation", str(source))
    return next((source / "dist").glob("*.whl"))


def test_the_wheel_holds_every_source_and_configuration_file(wheel: Path) -> None:
    expected = {
        ("" if room == "nas" else "nas/") + path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_groups_of_tests_stay_together(request: pytest.FixtureRequest) -> None:
    """pytest-xdist notes the group at the end of a test's name; a pytest that hides it runs groups apart."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("groups need pytest-xdist with --dist loadgroup")
    assert request.node.nodeid.endswith("@wheel")


def test_the_wheel_states_what_it_needs(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    archive = zipfile.ZipFile(wheel)
    name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(archive.read(name).decode())
    assert len(metadata.get_all("Requires-Dist", [])) == len(project["dependencies"])
    assert metadata["License-Expression"] == "Apache-2.0"


def test_everything_that_is_required_is_pinned() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line[:1] != "#"]
    pins = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    for name, specifier in required("project", "dev").items():
        assert specifier.contains(pins[name]), name


@pytest.mark.parametrize(("folders", "sections"), [(ROOMS, ["project"]), (("tests",), ["project", "dev"])])
def test_everything_that_is_imported_is_required(folders: tuple[str, ...], sections: list[str]) -> None:
    homes = packages_distributions()
    imported = {
        canonicalize_name(homes.get(name, [name])[0])
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        for name in imports(ast.parse(path.read_text()))
    }
    assert "torch" in imported
    assert imported <= set(required(*sections))


def required(*sections: str) -> dict[NormalizedName, SpecifierSet]:
    """Distributions that the project ("project") or its developers ("dev") need, with their versions."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists = {"project": configuration["project"]["dependencies"], **configuration["dependency-groups"]}
    requirements = [Requirement(text) for section in sections for text in lists[section]]
    return {canonicalize_name(each.name): each.specifier for each in requirements}


def imports(tree: ast.Module) -> set[str]:
    """Top-level names of the modules of others that a file imports, by statement or by `import_module`."""
    names: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                names += [alias.name for alias in node.names]
            case ast.ImportFrom(module=str(module), level=0):
                names.append(module)
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module"),
                args=[ast.Constant(value=str(module))],
            ):
                names.append(module)
    return {name.partition(".")[0] for name in names} - {*sys.stdlib_module_names, *OURS}


@pytest.mark.slow
def test_the_installed_wheel_runs_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    target, folder = tmp_path / "site", tmp_path / "empty"
    folder.mkdir()
    _run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    command = ("-m", "nas.run", "+experiment=digits", "executor=inline", "run.dir=out")
    short = ("budget.trials=2", "baseline.samples=2", "final.seeds=2", "evaluator.epochs=1")
    found = _run("-c", "import nas, nas.experiments; print(nas.__file__)", folder=folder, path=target)
    assert Path(found.strip()).is_relative_to(target)
    _run(*command, *short, folder=folder, path=target)
    assert (folder / "out" / "events.jsonl").read_text().count('"evaluated"') == 6
    assert [path.name for path in folder.iterdir()] == ["out"]


@pytest.mark.slow
def test_other_distributions_with_the_names_of_our_rooms_stay_whole(wheel: Path, tmp_path: Path) -> None:
    """Installed before the wheel; `algorithms` once came with it and overwrote the other one."""
    source, code = tmp_path / "source", "NAME = 'the other one'\n"
    for room in ROOMS[1:]:
        (source / room).mkdir(parents=True)
        (source / room / "__init__.py").write_text(code)
    packages = f"[tool.setuptools]\npackages = {list(ROOMS[1:])}\n"
    (source / "pyproject.toml").write_text(
        f'[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        f'[project]\nname = "algorithms"\nversion = "1"\n{packages}'
    )
    _run("-m", "build", "--wheel", "--no-isolation", str(source))
    _run("-m", "venv", "--without-pip", str(tmp_path / "venv"))
    python = tmp_path / "venv" / "bin" / "python"
    pip = ("-m", "pip", "--python", str(python), "--quiet")
    install = ("install", "--no-deps", "--no-index")
    _run(*pip, *install, str(next((source / "dist").glob("*.whl"))))
    site = next((tmp_path / "venv").rglob("algorithms")).parent
    before = {path.name for path in site.iterdir()}
    _run(*pip, *install, str(wheel))
    added = {path.name for path in site.iterdir()} - before
    assert {name.partition("-")[0] for name in added} == {"nas", DISTRIBUTION}
    assert all((site / room / "__init__.py").read_text() == code for room in ROOMS[1:])
    _run(*pip, "uninstall", "--yes", DISTRIBUTION)
    assert {path.name for path in site.iterdir()} == before
    assert all((site / room / "__init__.py").read_text() == code for room in ROOMS[1:])


def _run(*arguments: str, folder: Path | None = None, path: Path | None = None) -> str:
    """Standard output of this Python on the arguments, with `path` as the only extra place of modules."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
