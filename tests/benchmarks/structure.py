"""The structure of the code in numbers that do not depend on the machine: `make figures`.

Files and lines, circles of imports, class names that stand for two things, small files, and how many files of
our own a reader has to open to follow one search step, and the report of a run.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("nas", "search_spaces", "algorithms", "hashing", "cluster", "experiments")
SMALL = 60  # lines


def modules() -> dict[str, Path]:
    """Our own files by the names that they are imported by."""
    found = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts if room == "nas" else ("nas", *parts)).removesuffix(".__init__")] = path
    return found


def imports(name: str, files: Mapping[str, Path], homes: Mapping[str, Mapping[str, str]]) -> set[str]:
    """The files that a file imports, in functions and for types too; a room's names by their homes."""
    found = set()
    for node in ast.walk(ast.parse(files[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(
                    inner if inner in files else homes.get(node.module, {}).get(alias.name, node.module)
                )
    return (found & set(files)) - {name}


def stubs(files: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """Room -> public name -> the file that defines it."""
    found: dict[str, dict[str, str]] = {}
    for name, path in files.items():
        stub = path.with_suffix(".pyi")
        if stub.exists():
            nodes = [node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ImportFrom)]
            found[name] = {alias.name: f"{name}.{node.module}" for node in nodes for alias in node.names}
    for names in found.values():  # of `nas` itself, by way of a room
        for name, home in names.items():
            names[name] = found.get(home, {}).get(name, home)
    return found


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one file (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1:
                found.append(sorted(component))

    for node in graph:
        if node not in index:
            visit(node)
    return found


def ambiguous_classes(files: Mapping[str, Path]) -> dict[str, list[str]]:
    """Class names that stand for several things, with the files that define them."""
    classes: dict[str, list[str]] = defaultdict(list)
    for name, path in files.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                classes[node.name].append(name)
    return {name: places for name, places in sorted(classes.items()) if len(places) > 1}


@contextlib.contextmanager
def entering() -> Iterator[set[str]]:
    """The names of the files whose functions run inside, gathered until then."""
    files: set[str] = set()

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            files.add(frame.f_code.co_filename)

    sys.setprofile(profile)
    try:
        yield files
    finally:
        sys.setprofile(None)


def own(names: Iterable[str]) -> set[str]:
    """Those of the files that lie in our rooms, from the root."""
    paths = [Path(os.path.realpath(name)) for name in names]
    relative = [path.relative_to(ROOT) for path in paths if path.is_relative_to(ROOT)]
    return {path.as_posix() for path in relative if path.parts[0] in ROOMS}


def value_of(architecture: Any) -> float:
    """What stands in for a training."""
    return float(len(str(architecture)))


@contextlib.contextmanager
def finished_run() -> Iterator[tuple[Path, set[str]]]:
    """A run of evolution with the canonical hasher, and the files entered during one step in its middle."""
    from nas import Budget, FunctionEvaluator, InlineExecutor, Plan, Study
    from nas.algorithms.regularized_evolution import RegularizedEvolution
    from nas.hashing import HASHERS
    from nas.registry import build
    from nas.search_spaces import SPACES

    space = build(SPACES, {"name": "deepconv"})
    evaluator = FunctionEvaluator(value_of, objectives=["value"], deterministic=True)
    searcher = RegularizedEvolution(space, evaluator.objectives, seed=0, population=4, sample=2)
    hasher = build(HASHERS, {"name": "canonical"})
    steps: list[set[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        study = Study(
            space,
            searcher,
            evaluator,
            InlineExecutor(),
            directory=Path(folder) / "run",
            plan=Plan(seed=0, budget=Budget(12), baseline=2, final=1),
            hasher=hasher,
        )
        ask = searcher.ask
        with entering() as seen:

            def asked(count: int = 1) -> Any:
                steps.append(own(seen.copy()))  # which grows with each call
                seen.clear()
                return ask(count)

            searcher.ask = asked  # type: ignore[method-assign]
            study.run()
        yield Path(folder) / "run", steps[8]


def main() -> None:
    """Prints the numbers."""
    files = modules()
    lines = {name: len(path.read_text().splitlines()) for name, path in files.items()}
    inside = [name for name, path in files.items() if path.is_relative_to(ROOT / "nas")]
    print(f"nas/: {len(inside)} files, {sum(lines[name] for name in inside):,} lines")
    for room in ROOMS[1:]:
        part = [name for name in files if name.startswith(f"nas.{room}")]
        print(f"{room}/: {len(part)} files, {sum(lines[name] for name in part):,} lines")
    print(f"all rooms: {len(files)} files, {sum(lines.values()):,} lines")
    bodies = {name: count for name, count in lines.items() if files[name].name != "__init__.py"}
    print(f"median file: {statistics.median(bodies.values()):g} lines")
    small = sorted(name for name, count in bodies.items() if count < SMALL)
    print(f"files under {SMALL} lines, beside __init__: {len(small)} {' '.join(small)}")
    homes = stubs(files)
    graph = {name: imports(name, files, homes) for name in files}
    found = circles(graph)
    print(f"circles of imports: {len(found)} {found or ''}")
    twice = ambiguous_classes(files)
    print(f"class names that stand for two things: {len(twice)}")
    for name, places in twice.items():
        print(f"  {name}: {' '.join(places)}")
    with finished_run() as (folder, step):
        print(f"own files entered during one search step: {len(step)}")
        print("  " + " ".join(sorted(step)))
        from nas.report.__main__ import main as report

        with contextlib.redirect_stdout(io.StringIO()), entering() as names:
            report([str(folder)])
        read = own(names)
        print(f"own files entered for the report of a run: {len(read)}")
        print("  " + " ".join(sorted(read)))


if __name__ == "__main__":
    main()
