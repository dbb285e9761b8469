from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nas.launcher import InlineLauncher, Update


@dataclass(frozen=True)
class Doubling:
    number: int

    @property
    def name(self) -> str:
        return f"job/{self.number}"

    def __call__(self, stopping: Callable[[], bool] | None = None):
        assert stopping is not None
        if self.number == 2:
            raise ValueError("not\ntwo")
        return (2 * self.number, stopping())


def test_jobs_run_in_their_order_and_a_fault_is_one_line():
    jobs = [Doubling(3), Doubling(2), Doubling(1)]
    launcher = InlineLauncher()
    launcher.open()
    assert list(launcher.run(jobs)) == [
        Update(jobs[0]),
        Update(jobs[0], True, (6, False)),
        Update(jobs[1]),
        Update(jobs[1], True, None, "ValueError: not two"),
        Update(jobs[2]),
        Update(jobs[2], True, (2, False)),
    ]
    assert launcher.describe() == ("inline: one study at a time in this process",)


def test_a_job_is_told_of_a_stop_and_no_other_begins():
    launcher = InlineLauncher()
    launcher.open()
    updates = []
    for update in launcher.run([Doubling(3), Doubling(4)]):
        launcher.stop()
        updates.append(update)
    assert updates == [Update(Doubling(3)), Update(Doubling(3), True, (6, True))]
    launcher.open()
    assert len(list(launcher.run([Doubling(3)]))) == 2
    launcher.close()
