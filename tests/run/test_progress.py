import io
import time

import pytest

from nas.evaluation import Objective
from nas.report import format_duration, format_value
from nas.run.progress import JobCounts, ProgressDisplay, TrialProgress, state_line
from nas.study import Progress

ACCURACY = Objective("validation_accuracy", "maximize", "%")


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Lines(io.StringIO):
    """A stream that keeps its lines in a list."""

    def __init__(self, lines):
        super().__init__()
        self.lines = lines

    def write(self, text):
        if text != "\n":
            self.lines.append(text)
        return len(text)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def refresh(display):
    assert display._live is not None
    display._live.refresh()


def progress(done=3, **changes):
    state = {
        "stage": "search",
        "done": done,
        "total": 40,
        "in_flight": 2,
        "failed": 1,
        "cache_hits": 0,
        "best": None,
        "best_trial": None,
        "elapsed": 12.0,
        "time_left": 90.0,
    }
    return Progress(**{**state, **changes})


def failed(trial, reason="out of memory at conv"):
    return {
        "event": "evaluated",
        "trial": trial,
        "evaluation": {"status": "out_of_memory", "reason": reason, "values": {}},
    }


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lines():
    return []


@pytest.fixture
def display(lines, clock):
    return TrialProgress(ACCURACY, Lines(lines), clock)


def test_state_line_states_all():
    state = progress(best=91.23456, best_trial=2, cache_hits=4)
    assert state_line(state, ACCURACY) == (
        "search: 3/40 done, 2 in flight, 1 failed, 4 from cache, best 91.235 %, 12 s, 1 min 30 s left"
    )


def test_state_line_states_what_the_cache_saved_and_cost():
    state = progress(cache_hits=4, cache_waits=1, seconds_saved=200.0, hash_seconds=0.5, unhashed=2)
    assert ", 4 from cache (1 waited, 3 min 20 s saved, 0.5 s hashing), 2 without a hash, " in state_line(
        state, ACCURACY
    )


def test_state_line_leaves_out_what_is_unknown():
    state = progress(total=None, time_left=None)
    assert state_line(state, ACCURACY) == "search: 3 done, 2 in flight, 1 failed, 12 s"


def test_lines_start_with_the_state(display, lines):
    display.observe({"event": "asked", "trial": 0}, progress(0))
    assert lines == ["search: 0/40 done, 2 in flight, 1 failed, 12 s, 1 min 30 s left"]


def test_lines_tell_a_new_best_once(display, lines):
    for done in (1, 2):
        display.observe({"event": "told", "trial": 1}, progress(done, best=90.0, best_trial=1))
    assert lines[0] == "new best: validation_accuracy 90 % (search 1)"
    assert len(lines) == 2


def test_lines_tell_a_failure_with_its_reason(display, lines):
    display.observe({"event": "asked", "trial": 7}, progress())
    display.observe(failed(7), progress())
    assert lines[1:] == ["search 7 failed (out_of_memory): out of memory at conv"]


def test_lines_name_trials_of_other_stages_by_their_stage(display, lines):
    display.observe(failed(10_000_003), progress())
    assert lines[0].startswith("baseline 3 failed")


def test_lines_tell_the_state_after_ten_quiet_seconds_or_a_tenth(display, lines, clock):
    event = {"event": "told", "trial": 1}
    display.observe(event, progress(0))
    clock.now += 9
    display.observe(event, progress(1))
    assert len(lines) == 1
    clock.now += 2
    display.observe(event, progress(2))
    assert len(lines) == 2
    display.observe(event, progress(6))
    assert len(lines) == 3


def test_lines_are_rationed_in_a_burst_and_what_is_unsaid_is_counted(display, lines, clock):
    for trial in range(1000):
        display.observe(failed(trial), progress(1))
    assert len(lines) == 12
    clock.now += 1
    display.observe({"event": "told", "trial": 5}, progress(1))
    assert lines[-1].startswith("search 999 failed")
    assert lines[-1].endswith("(and 988 more failures before it)")


def test_close_says_the_last_state(display, lines):
    display.observe(failed(0), progress(1))
    display.observe({"event": "told", "trial": 0}, progress(2, time_left=None))
    display.close()
    assert lines[-1] == "search: 2/40 done, 2 in flight, 1 failed, 12 s, ended"


def test_where_the_trials_run_is_said_once_the_executor_is_open(capsys):
    display = TrialProgress(
        ACCURACY, io.StringIO(), opening=lambda: ("ray: 4 trials at a time", "dashboard: x")
    )
    display.observe({"event": "asked", "trial": 0}, progress(0))
    assert capsys.readouterr().out == ""
    display.observe({"event": "opened"}, progress(0))
    assert capsys.readouterr().out == "ray: 4 trials at a time\ndashboard: x\n"


def test_close_twice_says_the_last_state_once(display, lines):
    display.observe({"event": "asked", "trial": 0}, progress(0))
    display.close()
    display.close()
    assert len(lines) == 2


def test_close_without_any_event_says_nothing(display, lines):
    display.close()
    assert lines == []


def test_a_stream_that_is_no_terminal_gets_plain_lines():
    stream = io.StringIO()
    display = TrialProgress(ACCURACY, stream)
    display.observe({"event": "asked", "trial": 0}, progress(0))
    display.close()
    assert stream.getvalue().count("\n") == 2
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_a_live_display_that_leaves_only_failures_behind():
    stream = Terminal()
    display = TrialProgress(ACCURACY, stream)
    display.observe({"event": "asked", "trial": 0}, progress(5, best=91.0, best_trial=2))
    refresh(display.display)
    display.observe(failed(3, "[bold] is no markup here"), progress(6))
    display.close()
    display.close()
    assert "5/40 done" in stream.getvalue()
    assert "best 91 %" in stream.getvalue()
    assert "search 3 failed (out_of_memory): [bold] is no markup here" in stream.getvalue()


def test_a_live_display_without_events_or_total_works():
    display = TrialProgress(ACCURACY, Terminal())
    refresh(display.display)
    display.observe({"event": "asked", "trial": 0}, progress(total=None))
    refresh(display.display)
    display.close()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["lines", "live"])
def test_an_event_costs_little(stream):
    display = TrialProgress(ACCURACY, stream)
    event, state = {"event": "told", "trial": 0}, progress()
    start = time.process_time()
    for trial in range(5000):
        display.observe(failed(trial) if trial % 10 == 0 else event, state)
    seconds = time.process_time() - start
    display.close()
    assert seconds < 0.25  # of one second at 5,000 events a second; measured: 0.01 to 0.02


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (0.44, "0.4 s"),
        (42.4, "42 s"),
        (59.7, "1 min 00 s"),
        (200, "3 min 20 s"),
        (18130, "5 h 02 min"),
        (273600, "3 d 04 h"),
    ],
)
def test_durations_are_readable(seconds, text):
    assert format_duration(seconds) == text


def test_values_carry_their_unit():
    assert format_value(0.123456789, Objective("loss", "minimize")) == "0.12346"
    assert format_value(None, ACCURACY) == "-"


def counts_of(clock: Clock, workers: int = 2, **studies: tuple[int, int]) -> JobCounts:
    """Counts of methods with (total, done) studies."""
    counts = JobCounts(workers, clock=clock)
    for method, (total, done) in studies.items():
        for number in range(total):
            counts.plan(method, done=number < done)
    return counts


def test_studies_are_counted_by_method_and_together(clock):
    counts = counts_of(clock, a=(3, 1), b=(2, 0))
    counts.start("a")
    counts.start("b")
    counts.start("b")
    counts.end("b", 2.0, "failed")
    counts.end("a", 4.0, "finished")
    counts.end("b", 9.0, "interrupted")
    a, b, whole = counts.groups["a"], counts.groups["b"], counts.whole
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
    counts = counts_of(clock, workers=2, quick=(4, 0), slow=(4, 0), new=(2, 0))
    assert counts.time_left is None
    for method, seconds in (("quick", 1.0), ("quick", 3.0), ("slow", 17.0)):
        counts.start(method)
        counts.end(method, seconds, "finished")
    # 2 quick ones of 2 s, 3 slow ones of 17 s, 2 of an unknown method at the mean of 7 s; two workers
    assert counts.time_left == pytest.approx((2 * 2 + 3 * 17 + 2 * 7) / 2)
    counts.workers = 100
    assert counts.time_left == pytest.approx((2 * 2 + 3 * 17 + 2 * 7) / 7)


def test_what_earlier_sessions_did_takes_no_part_in_the_durations(clock):
    counts = counts_of(clock, workers=1, a=(4, 2))
    counts.start("a")
    counts.end("a", 5.0, "finished")
    assert counts.time_left == 5.0


def test_lines_come_after_a_tenth_of_the_studies_or_ten_seconds(clock):
    said: list[str] = []
    counts = counts_of(clock, a=(30, 6))
    display = ProgressDisplay(counts, Lines(said), clock)
    for _ in range(4):
        counts.start("a")
        display.show()
        clock.now += 1
        counts.end("a", 1.0, "finished")
        display.show()
    assert said == [
        "6/30 studies done, 1 running, 0 failed, 0.0 s",
        "9/30 studies done, 0 running, 0 failed, 3.0 s, 10 s left",
    ]
    clock.now += 10
    display.show()
    display.note("study a/4 failed: ValueError")
    display.close()
    assert said[2:] == [
        "10/30 studies done, 0 running, 0 failed, 14 s, 10 s left",
        "study a/4 failed: ValueError",
        "10/30 studies done, 0 running, 0 failed, 14 s, 10 s left, ended",
    ]


def test_a_terminal_shows_a_row_for_each_method(clock):
    stream = Terminal()
    counts = counts_of(clock, random=(30, 6), evolution=(30, 0))
    display = ProgressDisplay(counts, stream, clock)
    counts.start("evolution")
    counts.end("evolution", 2.0, "failed")
    display.show()
    refresh(display)
    display.note("study evolution/0 failed: [no markup]")
    display.close()
    display.close()
    shown = stream.getvalue()
    assert "6/30" in shown
    assert "0/30, 1 failed" in shown
    assert "6/60 studies done, 0 running, 1 failed" in shown
    assert "study evolution/0 failed: [no markup]" in shown


def test_anything_else_gets_plain_lines(clock):
    stream = io.StringIO()
    display = ProgressDisplay(counts_of(clock, a=(1, 1)), stream)
    display.close()
    assert stream.getvalue() == "1/1 studies done, 0 running, 0 failed, 0.0 s, ended\n"
