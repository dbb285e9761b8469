from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nas.cluster.batch import RayLauncher
from nas.errors import ConfigError, ProtocolError
from nas.registry import build
from nas.run.jobs import JobUpdate
from tests.cluster.local_ray import local_ray

__all__ = ["local_ray"]

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Work:
    """Does one of the deeds below; leaves a line in `diary` as it begins."""

    name: str
    deed: str
    diary: Path
    limit: int = 0
    group: str = "works"

    def __call__(self, stopping: Callable[[], bool] | None = None) -> Any:
        with self.diary.open("a") as diary:
            diary.write(f"{self.name}\n")
        return getattr(self, f"do_{self.deed}")()

    def do_name(self) -> str:
        return self.name.upper()

    def do_place(self) -> tuple[str, str | None, int]:
        import ray

        context = ray.get_runtime_context()
        return os.getcwd(), context.get_task_name(), int(os.environ["OMP_NUM_THREADS"])

    def do_raise(self) -> None:
        raise ValueError("not\nthis one")

    def do_die(self) -> str:
        if self.diary.read_text().split().count(self.name) <= self.limit:
            os.kill(os.getpid(), signal.SIGKILL)
        return "alive"

    def do_sleep(self) -> None:
        time.sleep(1000)


@pytest.fixture(scope="module")
def launcher(local_ray: None) -> Iterator[RayLauncher]:
    with closing(RayLauncher(workers=2, dashboard=False)) as opened:
        opened.open()
        yield opened


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    return tmp_path / "diary"


def ended(updates: list[JobUpdate]) -> dict[str, JobUpdate]:
    """The ends by name, each after its beginning."""
    names = [update.job.name for update in updates if not update.ended]
    ends = {update.job.name: update for update in updates if update.ended}
    assert sorted(names) == sorted(ends)
    assert all(
        updates.index(JobUpdate(update.job)) < place for place, update in enumerate(updates) if update.ended
    )
    return ends


def test_all_jobs_run_two_at_a_time(launcher: RayLauncher, diary: Path) -> None:
    jobs = [Work(f"w{number}", "name", diary) for number in range(7)]
    updates = list(launcher.run(jobs))
    assert {name: end.result for name, end in ended(updates).items()} == {
        job.name: job.name.upper() for job in jobs
    }
    assert launcher.workers == 2
    running, most = 0, 0
    for update in updates:
        running += -1 if update.ended else 1
        most = max(most, running)
    assert most == 2
    assert [update.job.name for update in updates if not update.ended] == [job.name for job in jobs]


@pytest.mark.slow
def test_a_job_has_a_name_one_thread_and_the_drivers_folder(
    launcher: RayLauncher, diary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(diary.parent)
    (end,) = ended(list(launcher.run([Work("random/3", "place", diary)]))).values()
    assert end.result == (str(diary.parent), "study/random/3", 1)


@pytest.mark.slow
def test_what_a_job_raises_is_a_fault_of_one_line_and_is_not_tried_again(
    launcher: RayLauncher, diary: Path
) -> None:
    ends = ended(list(launcher.run([Work("bad", "raise", diary), Work("good", "name", diary)])))
    assert ends["bad"].fault == "ValueError: not this one"
    assert ends["bad"].result is None
    assert ends["good"].result == "GOOD"
    assert sorted(diary.read_text().split()) == ["bad", "good"]


@pytest.mark.slow
def test_a_job_whose_process_dies_runs_again(launcher: RayLauncher, diary: Path) -> None:
    updates = list(launcher.run([Work("once", "die", diary, limit=1), Work("good", "name", diary)]))
    again = next(update for update in updates if update.fault is not None)
    assert (again.job.name, again.ended) == ("once", False)
    assert again.fault is not None
    assert again.fault.startswith("WorkerCrashedError: ")
    ends = ended([update for update in updates if update is not again])
    assert (ends["once"].result, ends["once"].fault) == ("alive", None)
    assert sorted(diary.read_text().split()) == ["good", "once", "once"]


@pytest.mark.slow
def test_a_job_that_kills_every_process_is_given_up(launcher: RayLauncher, diary: Path) -> None:
    *updates, end = launcher.run([Work("always", "die", diary, limit=9)])
    assert [(update.ended, update.fault is None) for update in updates] == [
        (False, True),
        (False, False),
        (False, False),
    ]
    assert end.fault is not None
    assert end.fault.startswith("WorkerCrashedError: ")
    assert diary.read_text().split() == ["always"] * 3


@pytest.mark.slow
def test_a_stop_ends_at_once_and_takes_the_work_with_it(launcher: RayLauncher, diary: Path) -> None:
    began = time.monotonic()
    updates = []
    for update in launcher.run([Work(name, "sleep", diary) for name in "abc"]):
        updates.append(update)
        launcher.stop()
    assert [(update.job.name, update.ended) for update in updates] == [("a", False), ("b", False)]
    launcher.open()
    assert ended(list(launcher.run([Work("next", "name", diary)])))["next"].result == "NEXT"
    assert time.monotonic() - began < 30


def test_it_says_where_it_runs(launcher: RayLauncher) -> None:
    assert launcher.describe()[0] == "ray: joined; 2 studies at a time, 1 CPUs, 0 GPUs each"
    assert RayLauncher(gpus_per_study=0.5).describe() == ("ray: 1 CPUs, 0.5 GPUs per study",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers: expected a number >= 1, got 0; leave it out for the default"),
        (
            {"cpus_per_study": 0.0},
            "cpus_per_study: expected > 0 when gpus_per_study is 0, got 0; leave it out for the default",
        ),
        (
            {"gpus_per_study": 1.5},
            "gpus_per_study: expected at most 1 or a whole number, got 1.5; set it to 2",
        ),
        ({"address": 3}, "address: expected a text, got 3; leave it out for the default"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        RayLauncher(**options)
    assert str(refused.value) == f"compare.{message}"


def test_more_than_there_is_is_refused(local_ray: None) -> None:
    with pytest.raises(
        ConfigError, match=r"^compare: expected a node with .* 64 CPUs, .*; lower compare\.cpus_per_study"
    ):
        RayLauncher(cpus_per_study=64, dashboard=False).open()


def test_it_has_to_be_open(diary: Path) -> None:
    with pytest.raises(ProtocolError, match=r"^RayLauncher: expected to be open, got a call before open"):
        list(RayLauncher().run([Work("early", "name", diary)]))


def test_launchers_are_registered_by_name() -> None:
    from nas.cluster import LAUNCHERS

    assert LAUNCHERS.names() == ("inline", "ray")
    assert isinstance(build(LAUNCHERS, {"name": "ray", "workers": 2}), RayLauncher)
    with pytest.raises(ConfigError, match=r'^launcher "inline": has no option "workers"'):
        build(LAUNCHERS, {"name": "inline", "workers": 2})
