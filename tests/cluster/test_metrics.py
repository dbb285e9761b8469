from __future__ import annotations

from typing import Any

import pytest

from nas.algorithms.random_search import RandomSearch
from nas.cluster.metrics import MetricsObserver
from nas.evaluation import Evaluator, InlineExecutor
from nas.search_spaces.nasbench201 import space as nasbench201
from nas.study import Budget, Plan, Progress, Study
from tests.cluster.local_ray import local_ray  # noqa: F401
from tests.cluster.stand_ins import Counted


class Recorder:
    """In the place of Ray's metrics: keeps what was recorded."""

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
        self.total: float | None = None
        self.tags: Any = None

    def inc(self, value: float, tags: dict[str, str]) -> None:
        self.total, self.tags = (self.total or 0.0) + value, tags

    def set(self, value: float, tags: dict[str, str]) -> None:
        self.total, self.tags = value, tags


def progress(done: int, best: float | None = None, **changes: Any) -> Progress:
    values = {"stage": "search", "total": None, "in_flight": 2, "failed": 1, "cache_hits": 0, **changes}
    return Progress(done=done, best=best, best_trial=None, elapsed=1.0, time_left=None, **values)


@pytest.fixture
def recorders(monkeypatch: pytest.MonkeyPatch) -> dict[str, Recorder]:
    """All that is recorded, by name."""
    made: dict[str, Recorder] = {}

    def recorder(name: str, description: str, tag_keys: tuple[str, ...]) -> Recorder:
        made[name] = Recorder(name, description, tag_keys)
        return made[name]

    monkeypatch.setattr("ray.util.metrics.Counter", recorder)
    monkeypatch.setattr("ray.util.metrics.Gauge", recorder)
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    return made


def test_progress_is_exported_as_totals_and_levels(recorders):
    state = progress(3, cache_waits=2, seconds_saved=12.5, hash_seconds=0.25)
    MetricsObserver("digits").observe({"event": "opened"}, state)
    assert {name: each.total for name, each in recorders.items()} == {
        "nas_trials_done": 3,
        "nas_trials_failed": 1,
        "nas_cache_hits": None,
        "nas_cache_waits": 2,
        "nas_cache_misses": None,
        "nas_seconds_saved": 12.5,
        "nas_hash_seconds": 0.25,
        "nas_trials_in_flight": 2,
        "nas_best_value": None,
        "nas_elapsed_seconds": 1.0,
        "nas_time_left_seconds": None,
    }
    assert recorders["nas_trials_done"].tags == {"study": "digits"}


def test_exports_are_rare_and_the_last_state_is_exported(recorders, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    observer = MetricsObserver("digits")
    observer.observe({"event": "opened"}, progress(1))
    observer.observe({"event": "evaluated"}, progress(2, best=0.5))
    assert recorders["nas_trials_done"].total == 1
    now[0] += 1.0
    observer.observe({"event": "evaluated"}, progress(5, best=0.75))
    assert (recorders["nas_trials_done"].total, recorders["nas_best_value"].total) == (5, 0.75)
    observer.observe({"event": "evaluated"}, progress(6, best=0.8))
    observer.observe({"event": "closed"}, progress(6, best=0.8))
    observer.close()
    assert (recorders["nas_trials_done"].total, recorders["nas_best_value"].total) == (6, 0.8)


class WithRay(InlineExecutor):
    """Says of Ray what the Ray executor does to it: up while open, gone after."""

    up = False

    def open(self, evaluator: Evaluator) -> None:
        super().open(evaluator)
        WithRay.up = True

    def close(self) -> None:
        super().close()
        WithRay.up = False


def test_a_study_exports_its_final_state_before_ray_is_gone(recorders, monkeypatch, tmp_path):
    monkeypatch.setattr("ray.is_initialized", lambda: WithRay.up)
    space, evaluator = nasbench201(), Counted()
    searcher = RandomSearch(space, evaluator.objectives, seed=0)
    plan = Plan(0, Budget(trials=5), baseline=1, final=2)
    study = Study(
        space,
        searcher,
        evaluator,
        WithRay(),
        directory=tmp_path,
        plan=plan,
        observers=[MetricsObserver("digits")],
    )
    study.run()
    assert not WithRay.up
    assert (recorders["nas_trials_done"].total, recorders["nas_trials_in_flight"].total) == (8, 0)


def test_nothing_is_exported_without_ray(recorders, monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    MetricsObserver("digits").observe({"event": "closed"}, progress(3))
    assert recorders == {}


@pytest.mark.slow
def test_ray_takes_the_metrics(local_ray):  # noqa: F811
    observer = MetricsObserver("digits")
    observer.observe({"event": "closed"}, progress(3, best=0.5, cache_hits=2))
    observer.close()
