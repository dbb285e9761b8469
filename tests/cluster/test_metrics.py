from __future__ import annotations

from typing import Any

import pytest

from cluster import metrics
from cluster.metrics import MetricsObserver
from nas.progress import Progress
from tests.cluster.local_ray import local_ray  # noqa: F401


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
    monkeypatch.setattr("ray.util.metrics.Counter", Recorder)
    monkeypatch.setattr("ray.util.metrics.Gauge", Recorder)
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    made = metrics._metrics()
    monkeypatch.setattr(metrics, "_metrics", lambda: made)
    return made


def test_progress_is_exported_as_totals_and_levels(recorders):
    observer = MetricsObserver("digits")
    observer.observe({}, progress(3))
    observer.close()
    assert {name: each.total for name, each in recorders.items()} == {
        "done": 3,
        "failed": 1,
        "cache_hits": None,
        "in_flight": 2,
        "best": None,
        "elapsed": 1.0,
        "time_left": None,
    }
    assert recorders["done"].tags == {"study": "digits"}


def test_exports_are_rare_and_the_last_state_is_exported(recorders, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    observer = MetricsObserver("digits")
    observer.observe({}, progress(1))
    observer.observe({}, progress(2, best=0.5))
    assert recorders["done"].total == 1
    now[0] += 1.0
    observer.observe({}, progress(5, best=0.75))
    assert (recorders["done"].total, recorders["best"].total) == (5, 0.75)
    observer.observe({}, progress(6, best=0.8))
    observer.close()
    observer.close()
    assert (recorders["done"].total, recorders["best"].total) == (6, 0.8)


def test_ray_takes_the_metrics(local_ray):  # noqa: F811
    observer = MetricsObserver("digits")
    observer.observe({}, progress(3, best=0.5, cache_hits=2))
    observer.close()
