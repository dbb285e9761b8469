"""Works on Ray: they reach the evaluator behind a hasher and pass their states on."""

from __future__ import annotations

import pytest

from nas.cluster.ray_executor import RayExecutor
from tests.cluster.kit import SMALL, tasks_slowly
from tests.cluster.local_ray import local_ray  # noqa: F401
from tests.study.test_works import Chain, study, works_of


@pytest.mark.usefixtures("local_ray")
@tasks_slowly
def test_works_run_on_ray(tmp_path, mode):
    study(tmp_path, Chain(), executor=RayExecutor(**SMALL, mode=mode)).run()
    assert [row.reason for row in works_of(tmp_path)] == [None] * 3
    assert [row.evaluation_info["option"] for row in works_of(tmp_path)] == [1, 2, 3]
    assert {row.evaluation_info["data"] for row in works_of(tmp_path)} == {"given"}
