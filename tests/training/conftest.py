"""What the tests of training share: a tiny data set, candidates without a search space."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from nas.evaluation import Task
from nas.training import DataOptions, Dataset
from nas.training.data import split
from nas.training.sources import joined


@dataclass(frozen=True)
class Candidate:
    """Stands in for an architecture: whatever the compiler of a test makes of its text."""

    text: str = "linear"
    settings: Mapping[str, Any] = field(default_factory=dict)
    space: str = "tests"

    def digest(self) -> str:
        return f"{self.text:0>32}"


@pytest.fixture
def make_task() -> Callable[..., Task]:
    """Tasks by keyword; `text` and `settings` are the candidate's, the others the task's."""

    def make(text: str = "linear", settings: Mapping[str, Any] | None = None, **options: Any) -> Task:
        candidate: Any = Candidate(text, settings or {})
        return Task(options.pop("trial", 0), candidate, **options)

    return make


@pytest.fixture(scope="session")
def stripes() -> Dataset:
    """120 noisy images of 4x4 with two channels; class k has a bright column k."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    images = rng.integers(0, 120, (120, 2, 4, 4)).astype(np.uint8)
    images[np.arange(120), :, :, labels] += 100
    options = DataOptions(validation_fraction=0.25, test_fraction=0.25)
    return split("stripes", joined([(images, labels)], classes=3), options)
