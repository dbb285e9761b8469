from __future__ import annotations

import io

import pytest

from nas.tally import LineBoard, LiveBoard, Tally, open_board


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def tally_of(clock: Clock, workers: int = 2, **studies: tuple[int, int]) -> Tally:
    """A tally of methods with (total, done) studies."""
    tally = Tally(workers, clock)
    for method, (total, done) in studies.items():
        for number in range(total):
            tally.plan(method, done=number < done)
    return tally


def test_studies_are_counted_by_method_and_together(clock):
    tally = tally_of(clock, a=(3, 1), b=(2, 0))
    tally.start("a")
    tally.start("b")
    tally.start("b")
    tally.end("b", 2.0, "failed")
    tally.end("a", 4.0, "finished")
    tally.end("b", 9.0, "interrupted")
    a, b, whole = tally.methods["a"], tally.methods["b"], tally.whole
    assert (a.total, a.done, a.running, a.failed, a.left) == (3, 2, 0, 0, 1)
    assert (b.total, b.done, b.running, b.failed, b.left) == (2, 0, 0, 1, 1)
    assert (whole.total, whole.done, whole.failed, whole.left, whole.ended, whole.seconds) == (
        5,
        2,
        1,
        2,
        2,
        6,
    )


def test_the_time_left_counts_each_method_at_its_own_duration(clock):
    tally = tally_of(clock, workers=2, quick=(4, 0), slow=(4, 0), new=(2, 0))
    assert tally.time_left is None
    for method, seconds in (("quick", 1.0), ("quick", 3.0), ("slow", 17.0)):
        tally.start(method)
        tally.end(method, seconds, "finished")
    # 2 quick ones of 2 s, 3 slow ones of 17 s, 2 of an unknown method at the mean of 7 s; two workers
    assert tally.time_left == pytest.approx((2 * 2 + 3 * 17 + 2 * 7) / 2)
    tally.workers = 100
    assert tally.time_left == pytest.approx((2 * 2 + 3 * 17 + 2 * 7) / 7)


def test_what_earlier_sessions_did_takes_no_part_in_the_durations(clock):
    tally = tally_of(clock, workers=1, a=(4, 2))
    tally.start("a")
    tally.end("a", 5.0, "finished")
    assert tally.time_left == 5.0


def test_lines_come_after_a_tenth_of_the_studies_or_ten_seconds(clock):
    said: list[str] = []
    tally = tally_of(clock, a=(30, 6))
    board = LineBoard(tally, said.append)
    for _ in range(4):
        tally.start("a")
        board.show()
        clock.now += 1
        tally.end("a", 1.0, "finished")
        board.show()
    assert said == ["9/30 studies done, 0 running, 0 failed, 3.0 s, 10 s left"]
    clock.now += 10
    board.show()
    board.note("study a/4 failed: ValueError")
    board.close()
    assert said[1:] == [
        "10/30 studies done, 0 running, 0 failed, 14 s, 10 s left",
        "study a/4 failed: ValueError",
        "10/30 studies done, 0 running, 0 failed, 14 s, 10 s left, ended",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_row_for_each_method(clock):
    stream = Terminal()
    tally = tally_of(clock, random=(30, 6), evolution=(30, 0))
    board = open_board(tally, stream)
    assert isinstance(board, LiveBoard)
    tally.start("evolution")
    tally.end("evolution", 2.0, "failed")
    board.show()
    board._live.refresh()
    board.note("study evolution/0 failed: [no markup]")
    board.close()
    board.close()
    shown = stream.getvalue()
    assert "6/30" in shown
    assert "0/30, 1 failed" in shown
    assert "6/60 studies done, 0 running, 1 failed" in shown
    assert "study evolution/0 failed: [no markup]" in shown


def test_anything_else_gets_plain_lines(clock):
    stream = io.StringIO()
    board = open_board(tally_of(clock, a=(1, 1)), stream)
    board.close()
    assert stream.getvalue() == "1/1 studies done, 0 running, 0 failed, 0.0 s, ended\n"
