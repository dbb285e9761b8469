"""What all tests share: one thread, the real test data, and which tests run where."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the first import of torch or numpy's BLAS

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
LAST_USER = pytest.StashKey[pytest.Item | None]()  # of the local Ray

settings.register_profile("tests", deadline=None)  # examples that compile networks vary in time
settings.load_profile("tests")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data, `../shared/data` beside the repository or the one that NAS_TEST_DATA names."""
    folder = Path(os.environ.get("NAS_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real test data: the folder {folder} is missing; NAS_TEST_DATA may name another one")
    return folder


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on a local Ray share one process, so that two never compete for the machine.

    They are those marked `ray`, and all in modules that import the fixture `local_ray`.
    """
    for item in items:
        if _uses_local_ray(item) or item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.xdist_group("ray"))


def _uses_local_ray(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and hasattr(item.module, "local_ray")


def pytest_collection_finish(session: pytest.Session) -> None:
    users = [item for item in session.items if _uses_local_ray(item)]
    session.config.stash[LAST_USER] = users[-1] if users else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    try:
        return (yield)
    finally:
        if item is item.config.stash[LAST_USER]:
            from tests.cluster.local_ray import close_local_ray

            close_local_ray()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device; torch finds none")
