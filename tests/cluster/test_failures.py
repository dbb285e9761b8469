from __future__ import annotations

import pytest
from ray import exceptions

from nas.cluster.failures import death, explain
from nas.cluster.pool import earliest, grace
from nas.evaluation import Status


def test_lost_workers_deserve_another_attempt():
    fault = explain(exceptions.WorkerCrashedError())
    assert (fault.status, fault.retry) == (Status.WORKER_DIED, True)
    assert fault.reason == "WorkerCrashedError: The worker died unexpectedly while executing this task"


def test_lost_nodes_deserve_another_attempt():
    fault = explain(exceptions.NodeDiedError("node 10.0.0.7 is dead.\nIt was preempted."))
    assert (fault.status, fault.retry) == (Status.WORKER_DIED, True)
    assert fault.reason == "NodeDiedError: node 10.0.0.7 is dead"


def test_host_memory_is_the_trials_own_fault():
    fault = explain(exceptions.OutOfMemoryError("Task was killed due to the node running low on memory."))
    assert (fault.status, fault.retry) == (Status.OUT_OF_MEMORY, False)


def test_what_a_workers_own_code_raises_is_tried_elsewhere():
    error = exceptions.RayTaskError("run", "Traceback ...", ValueError("wrong"), "worker", 1, "127.0.0.1")
    fault = explain(error)
    assert (fault.status, fault.reason, fault.retry) == (Status.WORKER_DIED, "ValueError: wrong", True)


def test_the_telling_part_of_a_long_report_is_one_short_line():
    report = (
        "The actor died.\n\tpid: 7\nThe actor is dead because its owner has died. Owner Id: 01 " + "x" * 500
    )
    assert death(RuntimeError(report)) == "RuntimeError: its owner has died"
    assert len(death(RuntimeError("x" * 500))) < 220


@pytest.mark.parametrize(("limit", "expected"), [(0.5, 1.05), (60, 7), (3600, 30)])
def test_grace_grows_with_the_limit_to_a_bound(limit, expected):
    assert grace(limit) == pytest.approx(expected)


def test_the_earliest_moment_bounds_a_wait(monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    assert earliest([], None) is None
    assert earliest([], 2.0) == 2.0
    assert earliest([103.0, 101.0], None) == 1.0
    assert earliest([103.0], 2.0) == 2.0
    assert earliest([99.0], 2.0) == 0.0
