"""A local Ray of two CPUs that test modules share; import the fixture to use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

_open: list[Any] = []  # sessions


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    import ray

    from nas.cluster.options import RayOptions
    from nas.cluster.session import connect

    if ray.is_initialized():  # by another module that imports this fixture
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # all of its ports are on the loopback interface
        patch.delenv("RAY_ADDRESS", raising=False)
        session = connect(RayOptions(num_cpus=2, dashboard=False))
        _open.append(session)
        yield
        close_local_ray()


def close_local_ray() -> None:
    """Ends it after the last test that uses it, as an idle Ray takes processor time; safe to call twice."""
    while _open:
        _open.pop().close()
