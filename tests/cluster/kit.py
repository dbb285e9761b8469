"""What the tests of the Ray executor share: open it, run trials, look at what came of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from nas.cluster.ray_executor import RayExecutor
from nas.evaluation import Completed, Evaluation, Executor
from tests.cluster.stand_ins import Scripted, task

both_modes = pytest.mark.parametrize("mode", ["actors", "tasks"])
tasks_slowly = pytest.mark.parametrize("mode", ["actors", pytest.param("tasks", marks=pytest.mark.slow)])

SMALL = {"workers": 2, "cpus_per_trial": 0.5}  # two executors fit beside each other


@contextmanager
def opened(evaluator: Any = None, **options: Any) -> Iterator[RayExecutor]:
    with closing(RayExecutor(**{**SMALL, **options})) as executor:
        executor.open(evaluator or Scripted())
        yield executor


@pytest.fixture(scope="module")
def shared(local_ray: None) -> Iterator[RayExecutor]:
    """Open, for tests that leave nothing in flight."""
    with opened() as executor:
        yield executor


def run(executor: Executor, *architectures: tuple[Any, ...], **settings: Any) -> list[Completed]:
    """Submits all at once and waits for all; in the order of ending."""
    for trial, architecture in enumerate(architectures):
        executor.submit(task(trial, *architecture, **settings))
    ended: list[Completed] = []
    while len(ended) < len(architectures):
        ended += executor.wait()
    return ended


def by_trial(ended: list[Completed]) -> list[Evaluation]:
    return [completed.evaluation for completed in sorted(ended, key=lambda c: c.task.trial)]


def starts(diary: Path) -> Counter[int]:
    """How often each trial was started."""
    return Counter(int(line.split()[0]) for line in diary.read_text().splitlines())
