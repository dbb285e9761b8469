"""Whole runs in this process with spaces, data and components of one's own, and beyond networks."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from nas.report import Written
from nas.space import SearchSpace
from tests.end_to_end.kit import TINY_JOB, command, count, events, files, outcomes

SCORE = "def score(architecture):\n    return float(len(architecture.text))\n"
OWN = "budget.trials=4 baseline.samples=2 final.seeds=1 executor=inline run.dir=run"


@pytest.fixture
def unreported(monkeypatch):
    """Leaves the report out, which takes longer than a tiny run."""

    written = Written(Path("out"), (), "report")
    monkeypatch.setattr("nas.report.write_report", lambda *_: written)


def test_a_space_of_ones_own_from_a_file(tmp_path):
    text = "stem(width=8) >> repeat(conv(kernel=oneof(1, 3)) >> relu(), 1, 2) >> head()"
    (tmp_path / "mine.txt").write_text(text + "\n")
    line = f"{TINY_JOB} space=file space.path=mine.txt run.dir=run"
    assert command(line, tmp_path).status == 0
    space = SearchSpace("mine", text)
    assert events(tmp_path / "run")[0]["space"]["fingerprint"] == space.fingerprint()
    for architecture, status, _ in outcomes(tmp_path / "run").values():
        assert space.parse(architecture).text == architecture
        assert status == "completed"


def test_a_space_of_ones_own_from_a_module(tmp_path, unreported):
    (tmp_path / "home.py").write_text(
        "from nas import SearchSpace, oneof, op\n"
        "def make(width: int = 8):\n"
        "    return SearchSpace('home', op.stem(width=width) >> op.conv(kernel=oneof(1, 3)) >> op.head())\n"
        "made = make(4)\n"
    )
    line = f"{TINY_JOB} '~space' run.dir="
    assert command(f"{line}a +space.name=home:make +space.width=12", tmp_path).status == 0
    assert command(f"{line}b +space.name=home:made", tmp_path).status == 0
    assert "width=12" in events(tmp_path / "a")[0]["space"]["text"]
    assert "width=4" in events(tmp_path / "b")[0]["space"]["text"]
    message = command(f"{line}c +space.name=home:make +space.width=x", tmp_path).message
    assert message == "ConfigError: space \"home:make\": width: expected int, got 'x'; change it"


def test_an_evaluator_of_ones_own_is_a_function(tmp_path):
    (tmp_path / "mine.py").write_text(SCORE)
    result = command(f"name=mine evaluator=function evaluator.function=mine:score {OWN}", tmp_path)
    assert result.status == 0, result.err
    found = outcomes(tmp_path / "run")
    assert all(values == {"score": len(text)} for text, _, values in found.values())
    assert not (tmp_path / "run/chosen_torch.txt").exists()  # a function says nothing of shapes
    assert "mine: space macro, evaluator FunctionEvaluator" in result.out


def test_a_searcher_and_an_executor_of_ones_own(tmp_path, unreported):
    (tmp_path / "mine.py").write_text(SCORE)
    (tmp_path / "parts.py").write_text(
        "from nas.algorithms.random_search import RandomSearch\n"
        "from nas.evaluation.executors import InlineExecutor\n"
        "class Mine(RandomSearch):\n    pass\n"
        "class There(InlineExecutor):\n"
        "    def describe(self):\n        return ('there',)\n"
    )
    line = f"name=mine evaluator=function evaluator.function=mine:score {OWN.replace('executor=inline', '')}"
    line += " '~searcher' +searcher.name=parts:Mine '~executor' +executor.name=parts:There"
    result = command(line, tmp_path)
    assert result.status == 0, result.err
    assert events(tmp_path / "run")[0]["searcher"]["name"] == "parts:Mine"
    assert "there\n" in result.out


def test_images_of_ones_own_in_an_npz_file(tmp_path, unreported):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = (
        rng.integers(0, 60, (60, 12, 12, 3), dtype=np.uint8)
        + (labels * 60).astype(np.uint8)[:, None, None, None]
    )
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    line = f"name=mine evaluator=npz evaluator.root=mine.npz evaluator.epochs=1 space.width=8 {OWN}"
    assert command(line, tmp_path).status == 0
    assert events(tmp_path / "run")[0]["evaluator"]["input_shape"] == [3, 12, 12]
    assert events(tmp_path / "run")[0]["evaluator"]["num_classes"] == 3
    assert {status for _, status, _ in outcomes(tmp_path / "run").values()} == {"completed"}


@pytest.mark.slow
def test_images_of_ones_own_in_folders(tmp_path, unreported):
    image = import_module("PIL.Image")
    rng = np.random.default_rng(0)
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(20):
            pixels = rng.integers(0, 100, (16, 20, 3), dtype=np.uint8) + np.uint8(100 * number)
            image.fromarray(pixels).save(tmp_path / "photos" / name / f"{index}.png")
    line = "name=mine evaluator=folder evaluator.root=photos evaluator.image_size=12 evaluator.epochs=1"
    assert command(f"{line} evaluator.validation_fraction=0.25 space.width=8 {OWN}", tmp_path).status == 0
    assert events(tmp_path / "run")[0]["evaluator"]["input_shape"] == [3, 12, 12]
    assert {status for _, status, _ in outcomes(tmp_path / "run").values()} == {"completed"}


@pytest.mark.slow
@pytest.mark.filterwarnings("always::UserWarning")  # as outside of tests
def test_a_layout_with_val_is_used_as_it_is_named_and_says_what_is_held_out(tmp_path, unreported):
    image = import_module("PIL.Image")
    rng = np.random.default_rng(0)
    for split, each in (("train", 20), ("val", 8)):
        for number, name in enumerate(("cat", "dog")):
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            for index in range(each):
                pixels = rng.integers(0, 100, (12, 12), dtype=np.uint16) * 100 + np.uint16(40_000 * number)
                image.fromarray(pixels).save(tmp_path / "photos" / split / name / f"{index}.png")
    line = f"name=mine evaluator=folder evaluator.root=photos evaluator.image_size=0 evaluator.epochs=4 {OWN}"
    result = command(f"{line} space.width=8", tmp_path)
    assert result.status == 0, result.err
    assert (
        'note: data "folder": no test images are given beside the 16 for validation, so that 8 of those'
        in result.err
    )
    assert "note: data photos: pixels of uint16, with values from 0 to " in result.err
    opened = events(tmp_path / "run")[0]["evaluator"]
    assert (opened["input_shape"], opened["num_classes"]) == ([1, 12, 12], 2)


def test_the_cached_trials_of_a_run_cost_nothing(tmp_path, unreported):
    (tmp_path / "mine.py").write_text(SCORE)
    (tmp_path / "two.txt").write_text("stem(width=8) >> (relu() | gelu()) >> head()")
    line = "name=mine space=file space.path=two.txt searcher=random evaluator=function"
    result = command(f"{line} evaluator.function=mine:score {OWN} budget.trials=9", tmp_path)
    assert result.status == 0, result.err
    assert len([trial for trial in count(tmp_path / "run", "evaluated") if trial < 10_000_000]) == 2
    assert len(count(tmp_path / "run", "told")) == 9
    line = f"{line} evaluator.function=mine:score {OWN.replace('run.dir=run', 'run.dir=all')} budget.trials=9"
    assert command(f"{line} hashing=none", tmp_path).status == 0
    assert len([trial for trial in count(tmp_path / "all", "evaluated") if trial < 10_000_000]) == 9


@pytest.mark.slow
def test_the_benchmark_table_on_a_virtual_clock(tmp_path, shared_data):
    path = shared_data / "nasbench201_cifar10.csv.gz"
    line = f"+experiment=nasbench201 evaluator.path={path} budget.trials=60 baseline.samples=20 run.dir=run"
    result = command(line, tmp_path)
    assert result.status == 0, result.err
    found = [entry for entry in events(tmp_path / "run") if entry["event"] == "evaluated"]
    assert len(found) == 81
    assert found[-1]["finished"] > 24 * 3600  # seconds of the virtual clock
    assert sum(line.startswith("note:") for line in result.err.splitlines()) == 0


@pytest.mark.slow
def test_optimizer_programs_are_searched_like_networks(tmp_path):
    line = "+experiment=update_rule executor=inline budget.trials=6 baseline.samples=2 final.seeds=2"
    result = command(f"{line} evaluator.epochs=1 run.dir=run", tmp_path)
    assert result.status == 0, result.err
    assert all(text.startswith("program(") for text, _, _ in outcomes(tmp_path / "run").values())
    assert "program(" in (tmp_path / "run/chosen.txt").read_text()
    assert not (tmp_path / "run/chosen_torch.txt").exists()


def test_a_dry_run_of_programs_and_tables(tmp_path, shared_data):
    programs = command("+experiment=update_rule dry_run=true evaluator.epochs=2", tmp_path)
    assert "space update_rule: unbounded" in programs.out
    path = shared_data / "nasbench201_cifar10.csv.gz"
    table = command(f"+experiment=nasbench201 dry_run=true evaluator.path={path}", tmp_path)
    assert "space nasbench201: 15,625 derivations" in table.out
    assert "of work in all" in table.out
    assert files(tmp_path) == []


LEAVES = """
import sys
calls = 0
def score(architecture):
    global calls
    calls += 1
    if calls == {at}:
        {what}
    return float(len(architecture.text))
"""


@pytest.mark.parametrize(
    ("name", "what", "reason"),
    [
        ("quits", "sys.exit()", "SystemExit: None"),
        ("quits_well", "raise SystemExit(0)", "SystemExit: 0"),
        ("closes", "raise GeneratorExit", "GeneratorExit: no message"),
        ("bases", "raise BaseException('base')", "BaseException: base"),
    ],
)
def test_a_function_that_leaves_the_interpreter_fails_its_trial_alone(
    tmp_path, unreported, name, what, reason
):
    (tmp_path / f"{name}.py").write_text(LEAVES.format(at=3, what=what))
    result = command(f"name=mine evaluator=function evaluator.function={name}:score {OWN}", tmp_path)
    assert result.status == 0, result.err
    failed = [event["evaluation"] for event in events(tmp_path / "run") if event["event"] == "evaluated"]
    assert [evaluation["reason"] for evaluation in failed if evaluation["reason"]] == [reason]
    assert events(tmp_path / "run")[-1]["reason"] == "finished"


def test_a_candidate_that_interrupts_ends_the_run_with_130_and_a_log_to_continue(tmp_path, unreported):
    what = "if not os.path.exists('once'): open('once', 'w').close(); raise KeyboardInterrupt"
    (tmp_path / "interrupts.py").write_text("import os" + LEAVES.format(at=3, what=what))
    line = f"name=mine evaluator=function evaluator.function=interrupts:score {OWN}"
    result = command(line, tmp_path)
    assert result.status == 130
    assert result.err.endswith("interrupted; the same command with resume=run continues\n")
    assert events(tmp_path / "run")[-1]["reason"] == "interrupted"
    assert command(f"{line.replace('run.dir', 'resume')}", tmp_path).status == 0


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        (
            "exits",
            "import sys; sys.exit()",
            '"exits" of "exits:score": its import ended with SystemExit: None at ',
        ),
        (
            "misses",
            "import no_such_module",
            '"misses" of "misses:score": its import ended with ModuleNotFoundErr',
        ),
        (
            "wrong",
            "1 / 0",
            '"wrong" of "wrong:score": its import ended with ZeroDivisionError: division by zero at',
        ),
        (
            "typo",
            "def score(a) return",
            '"typo" of "typo:score": its import ended with SyntaxError: expected',
        ),
    ],
)
def test_a_module_that_cannot_be_imported_is_refused_with_its_place(tmp_path, name, code, message):
    (tmp_path / f"{name}.py").write_text(code)
    result = command(f"name=mine evaluator=function evaluator.function={name}:score {OWN}", tmp_path)
    assert result.status == 2
    first, *_, last = result.err.splitlines()
    assert first == "Traceback (most recent call last):"
    assert f"{name}.py" in result.err
    assert last.startswith(f'ConfigError: evaluator "function": function: cannot import {message}')
    assert not (tmp_path / "run").exists()


FAULTY = """
import sys
from nas.algorithms.random_search import RandomSearch
from nas.evaluation import FunctionEvaluator
def score(architecture): return float(len(architecture.text))
class Leaves(RandomSearch):
    def ask(self, count=1): sys.exit(0)
class LeavesLater(RandomSearch):
    def tell(self, trial): sys.exit(0)
class Signature(RandomSearch):
    def ask(self): return []
class Misspelt:
    def __new__(cls, *given, **options):
        return type("Misspelt", (RandomSearch,), {"uninforme": 3})(*given, **options)
class Duck:
    def __init__(self, space, objectives, *, seed): pass
    def ask(self, count=1): return []
    def tell(self, trial): pass
class Unmade(RandomSearch):
    def __init__(self, space, objectives, *, seed): sys.exit(0)
def a_class(space, objectives, *, seed): return Leaves
class Unsure(FunctionEvaluator):
    def __init__(self): super().__init__(score)
    def fingerprint(self): sys.exit(0)
class Checks(FunctionEvaluator):
    def __init__(self): super().__init__(score)
    def check(self, task): return self.nothing
"""


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            "searcher.name=faulty:Leaves",
            "ProtocolError: Leaves.ask: expected suggestions, got SystemExit: 0 at ",
        ),
        (
            "searcher.name=faulty:LeavesLater",
            "ProtocolError: LeavesLater.tell: expected trial 0 to be taken, got ",
        ),
        (
            "searcher.name=faulty:Signature",
            'ConfigError: searcher "faulty:Signature" Signature.ask: expected some',
        ),
        (
            "searcher.name=faulty:Unmade",
            'ConfigError: searcher "faulty:Unmade": expected it to be made, got Syst',
        ),
        (
            "searcher.name=faulty:a_class",
            'ConfigError: searcher "faulty:a_class": expected a nas.study.Searcher, got the ',
        ),
        (
            "searcher.name=faulty:Duck",
            'ConfigError: searcher "faulty:Duck": expected a nas.study.Searcher, got <faulty.Duck ',
        ),
        (
            "searcher.name=faulty:Misspelt",
            "ConfigError: Misspelt: expected hooks of nas.study.Searcher, got uninforme; did you mean",
        ),
        (
            "evaluator.name=faulty:Unsure",
            "ConfigError: evaluator: expected its fingerprint, got SystemExit: 0 at",
        ),
        (
            "evaluator.name=faulty:Checks",
            "EvaluationError: run: expected your code to work, got Attribute",
        ),
    ],
)
def test_parts_of_ones_own_that_are_wrong_end_in_one_line_and_never_well(tmp_path, unreported, part, message):
    (tmp_path / "faulty.py").write_text(FAULTY)
    group = part.partition(".")[0]
    function = "" if group == "evaluator" else "evaluator=function evaluator.function=faulty:score"
    result = command(f"name=mine {function} {OWN} '~{group}' +{part}", tmp_path)
    assert (result.status, result.err.splitlines()[-1][: len(message)]) == (2, message)
