"""Progress of a study as Ray metrics, for Prometheus and Grafana beside Ray's dashboard."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from nas.study import Observer, Progress

_INTERVAL = 1.0  # seconds between exports; Ray itself reports every few seconds

# field of Progress -> name and description of the metric
_COUNTERS = {
    "done": ("nas_trials_done", "Finished trials"),
    "failed": ("nas_trials_failed", "Finished trials without a result"),
    "cache_hits": ("nas_cache_hits", "Trials answered from the functional cache"),
    "cache_waits": ("nas_cache_waits", "Trials that waited for an equal one in flight"),
    "cache_misses": ("nas_cache_misses", "Trials that were looked up in the cache and evaluated"),
    "seconds_saved": ("nas_seconds_saved", "Cost of the evaluations in whose place the cache answered"),
    "hash_seconds": ("nas_hash_seconds", "Seconds that workers spent on hashes"),
}
_GAUGES = {
    "in_flight": ("nas_trials_in_flight", "Trials submitted and not finished"),
    "best": ("nas_best_value", "Best value of the first objective"),
    "elapsed": ("nas_elapsed_seconds", "Seconds on the executor's clock"),
    "time_left": ("nas_time_left_seconds", "Estimated seconds to the end"),
}


class MetricsObserver(Observer):
    """Exports done, failed, cached and in-flight trials and the best value, tagged by study only.

    A tag per trial would make one time series for each trial.

    Args:
        study: value of the tag "study".
    """

    def __init__(self, study: str) -> None:
        self._tags = {"study": study}
        self._counted: dict[str, float] = dict.fromkeys(_COUNTERS, 0)
        self._metrics: dict[str, Any] = {}  # made at the first export, when Ray is running
        self._due = 0.0

    def observe(self, event: Mapping[str, Any], progress: Progress) -> None:
        """Exports at intervals, and with the event "closed", while Ray runs."""
        import ray

        closed = event["event"] == "closed"
        if (closed or time.monotonic() >= self._due) and ray.is_initialized():
            self._export(progress)
            self._due = time.monotonic() + _INTERVAL

    def _export(self, progress: Progress) -> None:
        from ray.util.metrics import Counter, Gauge

        if not self._metrics:
            self._metrics |= {name: Counter(*texts, ("study",)) for name, texts in _COUNTERS.items()}
            self._metrics |= {name: Gauge(*texts, ("study",)) for name, texts in _GAUGES.items()}
        metrics = self._metrics
        for name in _COUNTERS:
            more = getattr(progress, name) - self._counted[name]
            if more > 0:
                metrics[name].inc(more, self._tags)
                self._counted[name] += more
        for name in _GAUGES:
            value = getattr(progress, name)
            if value is not None:
                metrics[name].set(value, self._tags)
