"""What the tests of evaluators share: tasks without a search space."""

from __future__ import annotations

from tests.training.conftest import make_task  # noqa: F401
