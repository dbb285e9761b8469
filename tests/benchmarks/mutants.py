"""Changes the code in one place at a time, at random, and counts the changes that no test sees.

    python tests/benchmarks/mutants.py nas/study hashing --count 200 --seed 0

A mutant is the code with one change: a comparison, an arithmetic operator or a condition turned round, `and`
for `or`, a number one higher, a flag flipped, a statement left out, None returned. What no test should see is
left alone: texts, annotations, assertions, decorators. All places in the packages are listed in order and
`--count` of them are drawn with the seed, so that equal code gives equal mutants.

Everything happens in copies of the working tree. First the fast tier passes in a copy, and the functions that
each test file enters are noted. A mutant is then run against the files that enter its function (outside of
functions: any function of its file), first those that mirror its place, then the others, until a test fails.
One that hangs is killed as well. `--whole` runs the rest of the fast tier on those that survive, for what is
entered in other processes only, and by fixtures that files share.

Prints a line for each mutant, the difference of each survivor, and the share that was killed by package.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import json
import os
import queue
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final, TypeAlias

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
TRACE: Final = "NAS_MUTANTS_TRACE"  # where processes of the first run write what their tests enter
LIMITED: Final = "NAS_MUTANTS_LIMITED"  # set in processes that run a mutant, which may grow without end
MOST_BYTES: Final = 8 * 2**30
TEST_SECONDS: Final = 60  # a test of the fast tier takes a few
SWAPS: Final[dict[type[ast.AST], type[Any]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add,
    ast.Pow: ast.Mult,
}
OPPOSITES: Final = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)  # whose swap negates
Place: TypeAlias = ast.expr | ast.stmt


# Mutants


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        path: of the file, relative to the root.
        line: where the change stands.
        function: first line of the innermost function around it, decorators included; None outside of any.
        change: in words.
        source: of the whole file with the change.
    """

    path: str
    line: int
    function: int | None
    change: str
    source: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.change}"


def mutants_of(path: str, source: str) -> list[Mutant]:
    """All mutants of a file, in the order of their lines."""
    content = source.encode()
    starts = [0]
    for line in content.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def mutant(place: Place, text: str, change: str, function: int | None) -> Mutant:
        assert place.end_lineno is not None
        assert place.end_col_offset is not None
        begin = starts[place.lineno - 1] + place.col_offset
        end = starts[place.end_lineno - 1] + place.end_col_offset
        changed = content[:begin] + text.encode() + content[end:]
        return Mutant(path, place.lineno, function, change, changed.decode())

    def visit(node: ast.AST, function: int | None) -> Iterator[Mutant]:
        match node:
            case ast.JoinedStr() | ast.Assert() | ast.keyword(arg="strict" | "stacklevel"):
                return  # texts, and what only says more about mistakes
            case ast.If(test) if "TYPE_CHECKING" in ast.unparse(test):
                return
            case ast.FunctionDef(args=args, body=body, decorator_list=decorators):
                first = min(each.lineno for each in (node, *decorators))
                yield from walk([*args.defaults, *args.kw_defaults], function)
                yield from walk(body, first)
                return
        for place, text, change in changes_of(node):
            yield mutant(place, text, change, function)
        fields = (
            value for name, value in ast.iter_fields(node) if name not in ("annotation", "decorator_list")
        )
        for value in fields:
            yield from walk(value if isinstance(value, list) else [value], function)

    def walk(nodes: Iterable[Any], function: int | None) -> Iterator[Mutant]:
        for node in nodes:
            if isinstance(node, ast.AST):
                yield from visit(node, function)

    return sorted(visit(ast.parse(source), None), key=lambda each: each.line)


def changes_of(node: ast.AST) -> Iterator[tuple[Place, str, str]]:
    """What to replace, by which text, and the change in words; most nodes have none."""

    def swapped(op: ast.AST) -> str:
        return f"{type(op).__name__} -> {SWAPS[type(op)].__name__}"

    match node:
        case ast.Compare(ops=ops):
            for index, op in enumerate(ops):
                others = [*ops[:index], SWAPS[type(op)](), *ops[index + 1 :]]
                yield node, _text(node, ops=others), swapped(op)
        case ast.BoolOp(op=op) | ast.BinOp(op=op) if type(op) in SWAPS:
            yield node, _text(node, op=SWAPS[type(op)]()), swapped(op)
        case ast.Constant(value=bool(value)):
            yield node, str(not value), f"{value} -> {not value}"
        case ast.Constant(value=int(value) | float(value)):
            yield node, repr(value + 1), f"{value} -> {value + 1}"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield node, f"({ast.unparse(operand)})", "`not` left out"
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) if _negatable(test):
            yield test, f"(not ({ast.unparse(test)}))", "condition negated"
        case ast.comprehension(ifs=tests):
            for test in filter(_negatable, tests):
                yield test, f"(not ({ast.unparse(test)}))", "condition negated"
        case ast.AugAssign(op=op):
            if type(op) in SWAPS:
                yield node, ast.unparse(_with(node, op=SWAPS[type(op)]())), swapped(op)
            yield node, "pass", "statement left out"
        case ast.Expr(value=value) if not isinstance(value, ast.Constant | ast.Yield | ast.YieldFrom):
            yield node, "pass", "statement left out"
        case ast.Raise() | ast.Continue() | ast.Break():
            yield node, "pass", "statement left out"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield node, "pass", "statement left out"
        case ast.Return(value=ast.expr() as value):
            if not (isinstance(value, ast.Constant) and value.value is None):
                yield node, "return None", "returns None"


def _negatable(test: ast.expr) -> bool:
    """Whether its negation is no mutant by another rule."""
    match test:
        case ast.UnaryOp(op=ast.Not()) | ast.Constant():
            return False
        case ast.Compare(ops=[op]):
            return not isinstance(op, OPPOSITES)
        case _:
            return True


def _with(node: ast.AST, **fields: Any) -> Any:
    return ast.fix_missing_locations(type(node)(**{**dict(ast.iter_fields(node)), **fields}))


def _text(node: ast.AST, **fields: Any) -> str:
    return f"({ast.unparse(_with(node, **fields))})"  # may stand wherever an expression stood


# What tests enter: this file is a plugin of pytest in the processes of the first run


_seen: dict[int, CodeType] = {}
_entered: dict[str, set[tuple[str, int]]] = defaultdict(set)
_seconds: dict[str, float] = defaultdict(float)


def pytest_configure() -> None:
    if LIMITED in os.environ:
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if TRACE not in os.environ:
        return (yield)

    def enter(frame: FrameType, *_: object) -> None:
        _seen[id(frame.f_code)] = frame.f_code

    _seen.clear()
    begin = time.perf_counter()
    threading.settrace(enter)
    sys.settrace(enter)
    try:
        return (yield)
    finally:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        name = item.nodeid.partition("::")[0]
        _seconds[name] += time.perf_counter() - begin
        _entered[name].update((code.co_filename, code.co_firstlineno) for code in _seen.values())


def pytest_sessionfinish() -> None:
    if TRACE in os.environ:
        found = {name: [_seconds[name], sorted(_entered[name])] for name in _entered}
        Path(os.environ[TRACE], f"{os.getpid()}.json").write_text(json.dumps(found))


# Runs


@dataclass(frozen=True)
class Suite:
    """The fast tier: seconds of each test file, and the functions (path, first line) that it enters."""

    seconds: dict[str, float] = field(default_factory=dict)
    entered: dict[str, set[tuple[str, int]]] = field(default_factory=dict)

    def related(self, mutant: Mutant) -> tuple[list[str], list[str]]:
        """Files that enter the mutant's function, quick ones first: those that mirror its place; others."""
        place = (mutant.path, mutant.function)
        found = [
            name
            for name, functions in self.entered.items()
            if (place in functions if mutant.function else any(path == mutant.path for path, _ in functions))
        ]
        found.sort(key=lambda name: self.seconds[name])
        *folders, file = Path(mutant.path).parts
        names = {Path(file).stem, folders[-1]} - {"nas", "__init__"}

        def mirrors(name: str) -> bool:
            test = Path(name)
            return test.stem.removeprefix("test_") in names or not names.isdisjoint(test.parts[1:-1])

        return [name for name in found if mirrors(name)], [name for name in found if not mirrors(name)]


def copied(target: Path) -> Path:
    """The files of the working tree that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
        elif name and (ROOT / name).is_symlink():
            (target / name).symlink_to(os.readlink(ROOT / name))
    return target


def run_tests(
    copy: Path, arguments: Sequence[str], variables: Mapping[str, str], limit: float | None
) -> tuple[int, str]:
    """Exit status and output of tests of the fast tier in a copy; status 1 where the limit (s) is over."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.benchmarks.mutants", "-m", "not slow", "-q"]
    places = {"PYTHONPATH": str(copy), "NAS_TEST_DATA": str(_data()), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, *arguments],
        cwd=copy,
        env={**os.environ, **places, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            return 1, f"over {limit:.0f} seconds"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # also what tests have left behind
        return process.returncode, output


def _data() -> Path:
    return Path(os.environ.get("NAS_TEST_DATA", ROOT.parent / "shared" / "data")).resolve()


def measured(copy: Path, traces: Path, workers: int) -> Suite:
    """Runs the fast tier once; ends the program where it does not pass."""
    parallel = ("-n", str(workers), "--dist", "loadgroup")
    status, output = run_tests(copy, parallel, {TRACE: str(traces)}, None)
    if status == 1:  # some tests measure time, and tracing takes some
        status, output = run_tests(copy, ("--last-failed",), {}, None)
    if status:
        sys.exit(f"{output}\nmutants: expected the fast tier to pass; mend it first")
    suite = Suite()
    for trace in traces.glob("*.json"):
        for name, (seconds, functions) in json.loads(trace.read_text()).items():
            suite.seconds[name] = suite.seconds.get(name, 0.0) + seconds
            paths = {path: Path(path).resolve() for path, _ in functions}  # through links between folders
            places = {
                (paths[path].relative_to(copy).as_posix(), line)
                for path, line in functions
                if paths[path].is_relative_to(copy)
            }
            suite.entered.setdefault(name, set()).update(places)
    return suite


def verdict(mutant: Mutant, copy: Path, suite: Suite, whole: bool) -> tuple[bool, str]:
    """Whether a test of the fast tier fails with the change, and which one or how many files do not."""
    first, others = suite.related(mutant)
    rest = [name for name in suite.seconds if name not in {*first, *others}] if whole else []
    target = copy / mutant.path
    target.write_text(mutant.source)
    try:
        for names in filter(None, (first, others, rest)):
            limit = 120 + 5 * sum(suite.seconds[name] for name in names)
            options = ("-x", "-n", "0", "-p", "no:cacheprovider", "--timeout", str(TEST_SECONDS))
            variables = {LIMITED: "1", "PYTHONDONTWRITEBYTECODE": "1"}  # a mutant may be as old and as long
            status, output = run_tests(copy, (*options, *names), variables, limit)
            if status:
                lines = output.splitlines()
                failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))] or lines[-1:]
                return True, failed[0][:150] if failed else f"exit status {status}"
        return False, f"{len(first) + len(others) + len(rest)} test files pass"
    finally:
        shutil.copy2(ROOT / mutant.path, target)


def drawn(packages: Sequence[str], count: int, seed: int) -> list[Mutant]:
    """The mutants to try, in the order of their places."""
    files = [path for name in packages for path in sorted((ROOT / name).rglob("*.py")) or [ROOT / name]]
    found = [
        mutant for path in files for mutant in mutants_of(path.relative_to(ROOT).as_posix(), path.read_text())
    ]
    print(
        f"{len(found):,} mutants of {len(files)} files in {', '.join(packages)}; {count} drawn, seed {seed}"
    )
    return [found[i] for i in sorted(random.Random(seed).sample(range(len(found)), min(count, len(found))))]


def difference(mutant: Mutant) -> str:
    before = (ROOT / mutant.path).read_text().splitlines()
    lines = difflib.unified_diff(
        before, mutant.source.splitlines(), mutant.path, mutant.path, n=2, lineterm=""
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", nargs="+", help="folders or files below the root, such as nas/study")
    parser.add_argument("--count", type=int, default=200, help="mutants to draw (200)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of drawn mutants to try; by default all")
    parser.add_argument("--workers", type=int, default=2, help="mutants tried at a time (2)")
    parser.add_argument("--whole", action="store_true", help="try survivors on the rest of the fast tier too")
    parser.add_argument("--list", action="store_true", help="print the drawn mutants and try none")
    given = parser.parse_args()
    for name in given.packages:
        if not list((ROOT / name).rglob("*.py")) and not (ROOT / name).is_file():
            parser.error(f"{name}: expected a folder or a file of Python below {ROOT}; found none")
    mutants = list(enumerate(drawn(given.packages, given.count, given.seed), start=1))
    chosen = [(number, mutant) for number, mutant in mutants if not given.only or number in given.only]
    if given.list:
        print("\n".join(f"{number:4}  {mutant}" for number, mutant in chosen))
        return
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = [copied(Path(folder, str(index)).resolve()) for index in range(given.workers)]
        traces = Path(folder, "traces")
        traces.mkdir()
        suite = measured(copies[0], traces, given.workers)
        entered = {path for functions in suite.entered.values() for path, _ in functions}
        for name in given.packages:
            if not any(path.startswith(name) for path in entered):
                sys.exit(f"mutants: expected tests that enter {name} in a copy of the tree; found none")
        free: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for copy in copies:
            free.put(copy)

        def tried(numbered: tuple[int, Mutant]) -> bool:
            number, mutant = numbered
            copy, begin = free.get(), time.perf_counter()
            try:
                killed, by = verdict(mutant, copy, suite, given.whole)
            finally:
                free.put(copy)
            word = "killed  " if killed else "SURVIVED"
            text = f"{number:4}  {word} {time.perf_counter() - begin:5.0f} s  {mutant}; {by}"
            print(text if killed else f"{text}\n{difference(mutant)}", flush=True)
            return killed

        with ThreadPoolExecutor(given.workers) as pool:
            try:
                verdicts = list(pool.map(tried, chosen))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    total, killed = Counter[str](), Counter[str]()
    for (_, mutant), is_killed in zip(chosen, verdicts, strict=True):
        for name in (next(p for p in given.packages if mutant.path.startswith(p)), "all"):
            total[name] += 1
            killed[name] += is_killed
    for name, count in total.items():
        print(f"{name}: {killed[name]} of {count} killed ({killed[name] / count:.0%})")


if __name__ == "__main__":
    main()
