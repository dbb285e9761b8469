"""A comparison of two methods on a toy space, for the tests of its command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas.report import Written
from nas.study import read_study
from tests.end_to_end.kit import Result, command, files

TOY = """
import os, time
import numpy as np
from nas.space import sample
from nas.study import Searcher, Suggestion

def score(architecture):
    time.sleep(float(os.environ.get("SECONDS", "0")))
    with open(os.path.join(os.path.dirname(__file__), "diary"), "a") as diary:
        diary.write(f"{os.getpid()}\\n")
    return architecture.text.count("gelu") - 0.01 * len(architecture.text)

class Faulty(Searcher):
    def __init__(self, space, objectives, *, seed):
        self.space, self.seed = space, seed

    def ask(self, count=1):
        if not os.environ.get("MENDED"):
            raise ZeroDivisionError(f"seed {self.seed} is none that this method likes")
        return [Suggestion(sample(self.space, np.random.default_rng(self.seed)))]

    def tell(self, trial):
        pass
"""
SPACE = "stem(width=oneof(4, 8)) >> repeat(relu() | gelu() | conv(kernel=oneof(1, 3)), 1, 6) >> head()"
PARTS = (
    "name=toy evaluator=function evaluator.function=toy:score space=file space.path=toy.txt executor=inline "
    "hashing=none budget.trials=12 baseline.samples=5 final.seeds=0 compare.seeds=2 compare.budgets=[4,12] "
    "+searcher@compare.searchers.random=random "
    "+searcher@compare.searchers.evolution=regularized_evolution_10 run.dir=run"
)
INLINE = f"{PARTS} compare.launcher=inline"
ON_RAY = f"{PARTS} compare.dashboard=false compare.workers=2"
LOGS = [
    "baseline/events.jsonl",
    *(f"studies/{method}/{seed}/events.jsonl" for method in ("evolution", "random") for seed in (0, 1)),
]


@pytest.fixture
def place(tmp_path):
    (tmp_path / "toy.py").write_text(TOY)
    (tmp_path / "toy.txt").write_text(SPACE)
    return tmp_path


@pytest.fixture
def unreported(monkeypatch):
    """Leaves the report out, which takes longer than a tiny comparison."""

    def written(*given: Any) -> Written:
        return Written(Path(given[-1]), (), "report")

    monkeypatch.setattr("nas.report.write_comparison", written)
    monkeypatch.setattr("nas.report.write_report", written)


def logs(run: Path) -> list[str]:
    return [name for name in files(run) if name.endswith("events.jsonl")]


def found_in(folder: Path) -> dict[int, Any]:
    """Trial -> what it was and what it found, whatever the time it took."""
    trials = read_study(folder).trials
    return {row.number: (row.architecture, row.seed, row.status, row.values) for row in trials}


def told(run: Path) -> dict[str, dict[int, Any]]:
    """Log -> its trials."""
    return {name: found_in((run / name).parent) for name in logs(run)}


def calls(place: Path) -> int:
    diary = place / "diary"
    return len(diary.read_text().splitlines()) if diary.exists() else 0


def refused(line: str, place: Path) -> str:
    result: Result = command(line, place)
    assert not (place / "run").exists()
    return result.message
