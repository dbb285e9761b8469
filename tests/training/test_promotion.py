"""Successive halving on real digits: a promoted trial is the training that was never interrupted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from nas.algorithms.asha import Asha
from nas.evaluation import Evaluation, Evaluator, Fidelity, InlineExecutor, SimulatedExecutor, Stage, Task
from nas.space import SearchSpace
from nas.study import Budget, Checkpoints, Plan, Study, StudyRecord, read_study
from nas.study.cache import TextHasher
from nas.training import classification
from nas.training import trial as trial_module

SPACE = SearchSpace(
    "small",
    "stem(width=4) >> repeat(conv(kernel=oneof(1, 3), width=4) >> batchnorm() >> relu(), 1, 2) >> head()",
)
LEVELS = [1.0, 2.0, 4.0]
OPTIONS: dict[str, Any] = {
    "dataset": "digits",
    "epochs": 4,
    "batch_size": 32,
    "limit_train": 96,
    "warmup_epochs": 0.5,
}


def evaluator(**options: Any):
    return classification.create(**{**OPTIONS, **options}, device="cpu")


def search(directory: Path, evaluates: Any, executor: Any = None) -> StudyRecord:
    searcher = Asha(
        SPACE,
        evaluates.objectives,
        seed=0,
        eta=2,
        searcher={"name": "no_repeats", "searcher": {"name": "random"}},
        fidelity_range=evaluates.fidelity_range,
    )
    Study(
        SPACE,
        searcher,
        evaluates,
        executor or InlineExecutor(),
        directory=directory,
        plan=Plan(seed=3, budget=Budget(trials=12)),
        hasher=TextHasher(),
        checkpoints=Checkpoints(directory / "checkpoints"),
    ).run()
    return read_study(directory)


@pytest.fixture
def epochs_trained(monkeypatch) -> Counter[int]:
    """Number of epochs that each training went through, in order."""
    counted: Counter[int] = Counter()
    train = trial_module.train

    def counting(training, *args, **options):
        before = training.epoch
        train(training, *args, **options)
        counted[len(counted)] = training.epoch - before

    monkeypatch.setattr(trial_module, "train", counting)
    return counted


def without_time(curve: Any) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in curve]


@pytest.mark.parametrize("restore_best", [False, True])
def test_a_promoted_trial_equals_one_trained_straight_through(tmp_path, epochs_trained, restore_best):
    """Values and curve bit for bit, at the price of the epochs that were left."""
    evaluates = evaluator(restore_best=restore_best)
    rows = search(tmp_path, evaluates).stage(Stage.SEARCH)
    assert [fidelity.value for fidelity in {row.fidelity: None for row in rows} if fidelity] == LEVELS
    for index, row in enumerate(rows):
        assert row.fidelity is not None
        reached = 0.0 if row.info["origin"] != "promotion" else rows[row.parent or 0].fidelity.value  # type: ignore[union-attr]
        assert epochs_trained[index] == row.fidelity.value - reached
        assert [point["epoch"] for point in row.curve] == list(range(1, int(row.fidelity.value) + 1))
    promoted = [row for row in rows if row.info["origin"] == "promotion"]
    assert {row.fidelity.value for row in promoted if row.fidelity} == set(LEVELS[1:])
    for row in promoted:
        task = Task(0, SPACE.parse(row.architecture), fidelity=row.fidelity, seed=row.seed)
        straight: Evaluation = evaluates(task)
        assert straight.values == row.values
        assert without_time(straight.curve) == without_time(row.curve)
        assert row.evaluation_info is not None
        before = rows[row.parent or 0].fidelity
        assert before is not None
        assert row.evaluation_info["continued_from"] == before.value
    assert list(tmp_path.glob("checkpoints/search-*")) == []


def test_the_cost_of_a_promoted_trial_is_its_own_part(tmp_path, monkeypatch):
    """On a clock that counts epochs: 1 + (2 - 1) + (4 - 2) for one that went all the way."""
    clock = {"now": 0.0}
    monkeypatch.setattr(trial_module.time, "perf_counter", lambda: clock["now"])
    train = trial_module.train

    def ticking(training, *args, **options):
        before = training.epoch
        train(training, *args, **options)
        clock["now"] += training.epoch - before

    monkeypatch.setattr(trial_module, "train", ticking)
    rows = search(tmp_path, evaluator(), SimulatedExecutor(2)).stage(Stage.SEARCH)
    full = next(row for row in rows if row.fidelity == Fidelity("epochs", 4.0))
    middle = rows[full.parent or 0]
    first = rows[middle.parent or 0]
    assert [row.cost_seconds for row in (first, middle, full)] == [1.0, 1.0, 2.0]


def test_lost_states_cost_time_and_nothing_else(tmp_path):
    """The same study whose states vanish as soon as they are written has the same results."""

    class Losing(Evaluator):
        def __init__(self) -> None:
            self._evaluates = evaluator()
            self.objectives, self.reported = self._evaluates.objectives, self._evaluates.reported
            self.fidelity_range = self._evaluates.fidelity_range

        def fingerprint(self) -> str:
            return self._evaluates.fingerprint()

        def __call__(self, task: Task) -> Evaluation:
            evaluation = self._evaluates(task)
            for path in tmp_path.glob("lost/checkpoints/*.state"):
                path.unlink()
            return evaluation

    kept = search(tmp_path / "kept", evaluator()).stage(Stage.SEARCH)
    lost = search(tmp_path / "lost", Losing()).stage(Stage.SEARCH)
    assert [(row.architecture, row.values) for row in lost] == [
        (row.architecture, row.values) for row in kept
    ]
    notes = [(row.evaluation_info or {}).get("from_the_start", "") for row in lost if row.info["rung"] > 0]
    assert notes
    assert all("expected search-" in note for note in notes)
