"""A simulated study that is killed at any line goes on as if it never was."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from nas.algorithms.shared.wrapping import prepare_searcher
from nas.evaluation import (
    Evaluation,
    Evaluator,
    Fidelity,
    Objective,
    Planned,
    SimulatedExecutor,
    Status,
    Task,
    failure,
)
from nas.space import SearchSpace
from nas.study import FILE_NAME, Budget, CachePolicy, Hashed, Plan, Study
from nas.study.cache import TextHasher
from tests.study.study_kit import FakeEvaluator, Scripted, score, tiny_space

OBJECTIVES = (Objective("accuracy", "maximize", "%"), Objective("size", "minimize"))
TIMES = {"time", "born", "pid"}


def ordered_space() -> SearchSpace:
    return SearchSpace(
        "ordered",
        "conv(kernel=oneof(1, 3, 5)) >> repeat(relu() | gelu(), 1, 2) >> conv(width=oneof(8, 16, 32, 64))",
    )


class Costly(Evaluator):
    """Costs differ, some are equal; at lower fidelities less; some trials fail."""

    objectives = OBJECTIVES
    reported = OBJECTIVES[0]
    fidelity_range = ("epochs", 1.0, 9.0)

    def fingerprint(self) -> str:
        return "costly-1"

    def __call__(self, task: Task) -> Evaluation:
        accuracy = score(task.architecture.text)
        epochs = 9.0 if task.fidelity is None else task.fidelity.value
        done = 0.0 if task.done is None else task.done.value
        cost = (1 + int(accuracy) % 5) * (epochs - done) / 10  # many ties
        if int(accuracy * 100) % 9 == 0:
            return failure(Status.DIVERGED, "loss is nan", cost)
        return Evaluation(Status.COMPLETED, {"accuracy": accuracy + epochs, "size": accuracy % 3}, cost)


class WorkerHasher(TextHasher):
    """A costly hash; some candidates have none."""

    in_worker = True

    def hash(self, architecture: Any) -> Hashed:
        if "gelu() >> gelu()" in architecture.text:
            return Hashed(None, "", "no digest")
        return Hashed(architecture.text[:18])  # classes of several texts


SEARCHERS: dict[str, dict[str, Any]] = {
    "random": {"name": "random"},
    "evolution": {"name": "regularized_evolution", "population": 6, "sample": 2},
    "nsga2": {"name": "nsga2", "population": 6},
    "mu_plus_lambda": {"name": "mu_plus_lambda", "parents": 3, "children": 3},
    "local_search": {"name": "local_search"},
    "exhaustive": {"name": "exhaustive"},
    "mcts": {"name": "mcts"},
    "bisection": {"name": "bisection", "searcher": {"name": "mcts"}},
    "ngram_smbo": {"name": "ngram_smbo"},
    "surrogate": {"name": "surrogate", "initial": 6},
    "no_repeats": {"name": "no_repeats", "searcher": {"name": "mu_plus_lambda", "parents": 3, "children": 3}},
    "pending_limit": {"name": "pending_limit", "limit": 3, "searcher": {"name": "random"}},
    "asha": {"name": "asha", "searcher": {"name": "random"}},
    "hyperband": {"name": "hyperband", "searcher": {"name": "random"}},
    "tpe": {"name": "tpe"},
}  # fmt: skip


def study(directory: Path, section: dict[str, Any], workers: int, **changes: Any) -> Study:
    space = ordered_space()
    make = prepare_searcher(section, seed=3)
    evaluator = Costly()
    plan = Plan(seed=2, budget=Budget(trials=22), baseline=3, final=2)
    return Study(
        space,
        make(space, OBJECTIVES, evaluator.fidelity_range),
        evaluator,
        SimulatedExecutor(workers),
        directory=directory,
        **{"plan": plan, "hasher": TextHasher(), **changes},
    )


def told(path: Path) -> list[dict[str, Any]]:
    """All lines but those of sessions, without their numbers and times of day."""
    events = [json.loads(line) for line in path.read_bytes().splitlines()]
    kept = [event for event in events if event["event"] not in ("opened", "closed")]
    return [{key: item for key, item in event.items() if key not in ("time", "n")} for event in kept]


def check_lines(folder: Path, make: Callable[[Path], Study], first: int = 1, step: int = 1) -> None:
    """Kills a study after the `first` line and each `step`-th after it."""
    make(folder / "whole").run()
    whole = folder / "whole" / FILE_NAME
    lines, expected = whole.read_bytes().splitlines(keepends=True), told(whole)
    for kept in range(first, len(lines), step):
        directory = folder / str(kept)
        directory.mkdir()
        (directory / FILE_NAME).write_bytes(b"".join(lines[:kept]))
        make(directory).run()
        assert told(directory / FILE_NAME) == expected, f"killed after line {kept} of {len(lines)}"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "workers"), [("evolution", 4), ("asha", 8), ("bisection", 4)])
def test_a_study_killed_at_any_line_goes_on_as_if_it_never_was(tmp_path, name, workers):
    check_lines(tmp_path, lambda directory: study(directory, SEARCHERS[name], workers), step=3)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "first"), [(4, 1), (8, 2)])
@pytest.mark.parametrize("name", SEARCHERS)
def test_every_searcher_goes_on_as_if_it_was_never_killed(tmp_path, name, workers, first):
    step = {"surrogate": 11, "tpe": 7, "ngram_smbo": 7}.get(name, 3)  # slower ones
    check_lines(tmp_path, lambda directory: study(directory, SEARCHERS[name], workers), first, step)


CHANGES: dict[str, dict[str, Any]] = {
    "hashes in flight": {"hasher": WorkerHasher(), "cache": CachePolicy(hash_seconds=0.3)},
    "means and forgetting": {"cache": CachePolicy(evaluations=2, forget=0.3, capacity=2)},
    "hashes, means": {"hasher": WorkerHasher(), "cache": CachePolicy(evaluations=2, forget=0.2)},
    "no cache": {"hasher": None},
    "seconds": {"plan": Plan(seed=2, budget=Budget(seconds=9.0), baseline=3, final=2)},
    "fidelity": {
        "plan": Plan(seed=2, budget=Budget(trials=20), baseline=2, search_fidelity=Fidelity("epochs", 3))
    },
    "time limit": {"plan": Plan(seed=2, budget=Budget(trials=20), baseline=2, final=1, time_limit=2.0)},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "workers", "first"), [("evolution", 1, 1), ("evolution", 8, 2), ("hyperband", 4, 3)]
)
@pytest.mark.parametrize("what", CHANGES)
def test_whatever_the_cache_and_the_budget_a_kill_changes_nothing(tmp_path, what, name, workers, first):
    step = 11 if (name, what) == ("hyperband", "seconds") else 3  # many lines
    check_lines(
        tmp_path, lambda directory: study(directory, SEARCHERS[name], workers, **CHANGES[what]), first, step
    )


def test_pauses_of_a_searcher_are_kept(tmp_path):
    space = tiny_space()
    script: Sequence[str | None] = ["relu()", None, "gelu()", "silu()", None, "relu()", "gelu()", "silu()"]
    plan = Plan(seed=2, budget=Budget(trials=9), baseline=4, final=2)

    def make(directory: Path) -> Study:
        return Study(
            space, Scripted(space, script), Costly(), SimulatedExecutor(3), directory=directory, plan=plan
        )

    check_lines(tmp_path, make)


def test_two_kills_in_a_row_change_nothing(tmp_path):
    section = SEARCHERS["asha"]
    study(tmp_path / "whole", section, 4).run()
    whole = tmp_path / "whole" / FILE_NAME
    lines = whole.read_bytes().splitlines(keepends=True)
    directory = tmp_path / "killed"
    directory.mkdir()
    path = directory / FILE_NAME
    path.write_bytes(b"".join(lines[:40]))
    for more in (25, 30, 1000):
        study(directory, section, 4).run()
        again = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(again[: 40 + more]))
    study(directory, section, 4).run()
    assert told(path) == told(whole)


def test_a_log_without_plans_goes_on_by_the_moments_of_the_starts(tmp_path):
    section = SEARCHERS["evolution"]
    study(tmp_path / "whole", section, 4).run()
    whole = tmp_path / "whole" / FILE_NAME
    for kept in (20, 33, 47):
        directory = tmp_path / str(kept)
        directory.mkdir()
        events = [json.loads(line) for line in whole.read_bytes().splitlines()[:kept]]
        for event in events:
            for name in ("finish", "worker") if event["event"] == "started" else ():
                del event[name]
        path = directory / FILE_NAME
        path.write_text("".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events))
        study(directory, section, 4).run()
        names = ("finish", "worker")
        found, expected = (
            [{key: item for key, item in event.items() if key not in names} for event in told(log)]
            for log in (path, whole)
        )
        assert found == expected


class Always(FakeEvaluator):
    """Costs the same for everything."""

    def __init__(self, cost: float) -> None:
        super().__init__()
        self.cost = cost

    def __call__(self, task: Task) -> Evaluation:
        return Evaluation(Status.COMPLETED, {"x": 1.0}, self.cost)


def test_what_was_in_flight_ends_as_planned_though_its_cost_is_measured_anew():
    executor = SimulatedExecutor(2)
    executor.open(Always(5.0))
    tasks = [Task(number, None) for number in range(3)]  # type: ignore[arg-type]
    executor.resume(4.0, [(tasks[1], Planned(2.0, 9.0, "simulated-1")), (tasks[0], Planned(3.0, 9.0))])
    assert executor.now() == 4.0
    first, second = executor.wait()[0], executor.wait()[0]
    assert [(done.task.trial, done.started, done.finished, done.worker) for done in (first, second)] == [
        (1, 2.0, 9.0, "simulated-1"),
        (0, 3.0, 9.0, "simulated-0"),
    ]
    assert (first.evaluation.cost_seconds, second.evaluation.cost_seconds) == (7.0, 6.0)
    assert executor.submit(tasks[2]) == Planned(9.0, 14.0, "simulated-0")


def test_a_session_with_fewer_workers_lets_what_is_in_flight_end(tmp_path):
    section = SEARCHERS["evolution"]
    study(tmp_path, section, 8).run()
    path = tmp_path / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:60]))
    study(tmp_path, section, 2).run()
    later = [event for event in told(path)[59:] if event["event"] == "started"]
    assert later
    assert {event["worker"] for event in later} <= {"simulated-0", "simulated-1"}
