from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from nas.run.jobs import (
    InlineLauncher,
    JobOutcome,
    JobUpdate,
    carry_out_jobs,
    exit_status,
    stop_on_signals,
)


@dataclass(frozen=True)
class Doubling:
    number: int
    group: str = "jobs"

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
        JobUpdate(jobs[0]),
        JobUpdate(jobs[0], True, (6, False)),
        JobUpdate(jobs[1]),
        JobUpdate(jobs[1], True, None, "ValueError: not two"),
        JobUpdate(jobs[2]),
        JobUpdate(jobs[2], True, (2, False)),
    ]
    assert launcher.describe() == ("inline: one study at a time in this process",)


def test_a_job_is_told_of_a_stop_and_no_other_begins():
    launcher = InlineLauncher()
    launcher.open()
    updates = []
    for update in launcher.run([Doubling(3), Doubling(4)]):
        launcher.stop()
        updates.append(update)
    assert updates == [JobUpdate(Doubling(3)), JobUpdate(Doubling(3), True, (6, True))]
    launcher.open()
    assert len(list(launcher.run([Doubling(3)]))) == 2
    launcher.close()


@dataclass(frozen=True)
class Ending:
    """Ends as it is told to."""

    name: str
    group: str
    state: str = "finished"
    reason: str | None = None

    def __call__(self, stopping: Callable[[], bool] | None = None) -> JobOutcome:
        if self.state == "raises":
            raise KeyError(self.reason)
        return JobOutcome(self.state, self.reason, 1.0)


class Losing(InlineLauncher):
    """Loses the process of the first job once."""

    def run(self, jobs: Sequence) -> Iterator[JobUpdate]:
        yield JobUpdate(jobs[0])
        yield JobUpdate(jobs[0], fault="its process was lost")
        yield JobUpdate(jobs[0], True, jobs[0]())
        yield from super().run(jobs[1:])


def test_jobs_are_counted_and_each_kind_of_failure_is_told_once_for_a_group(capsys):
    done = [Ending("a/0", "a")]
    left = [
        Ending("a/1", "a"),
        *(Ending(f"b/{n}", "b", "failed", "no data") for n in range(3)),
        Ending("b/3", "b", "raises", "nothing"),
        Ending("c/0", "c", "failed", "no data"),
        Ending("c/1", "c", "interrupted"),
    ]
    assert carry_out_jobs(InlineLauncher(), [*done, *left], left) == 5
    shown = capsys.readouterr()
    assert shown.out == "inline: one study at a time in this process\n"
    lines = [line for line in shown.err.splitlines() if "studies done" not in line]
    assert lines == [
        "study b/0 failed: no data",
        "study b/3 failed: KeyError: 'nothing'",
        "study c/0 failed: no data",
        "study c/1 ended before it was finished",
    ]
    assert "2/8 studies done, 0 running, 5 failed, 0.0 s" in shown.err.splitlines()[-1]


def test_a_job_that_lost_its_process_is_said_to_begin_once_more(capsys):
    assert carry_out_jobs(Losing(), [Ending("a", "a")], [Ending("a", "a")], "job") == 0
    shown = capsys.readouterr().err
    assert "job a: its process was lost; once more\n" in shown
    assert "1/1 jobs done, 0 running, 0 failed" in shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_stops_and_the_second_raises(number, capsys):
    stops: list[None] = []
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        interrupted_twice(number, stops)
    assert signal.getsignal(number) is before
    first, second = capsys.readouterr().err.splitlines()
    assert first == "stopping; once more to stop without a report"
    assert second == "interrupted; the same command with resume=run continues"


def interrupted_twice(number: int, stops: list[None]) -> None:
    with stop_on_signals(lambda: stops.append(None), Path("run")) as stop:
        assert not stop.called
        signal.raise_signal(number)
        assert stops == [None]
        assert stop.called
        signal.raise_signal(number)


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        ({"stopped": False}, 0, ""),
        ({"stopped": False, "report": 1}, 1, ""),
        ({"stopped": True, "failures": "2 studies"}, 130, "stopped early; {} continues\n"),
        ({"stopped": False, "failures": "2 studies"}, 1, "2 studies failed; {} tries them again\n"),
    ],
)
def test_the_end_of_a_run_says_what_is_left(end, status, said, capsys):
    assert exit_status(Path("out"), **end) == status
    assert capsys.readouterr().out == said.format("the same command with resume=out")
