import math
from pathlib import Path

import numpy as np
import pytest

from nas.errors import StoreError
from nas.report import Run
from nas.report.cache import UNSTATED, Counts, Group, usage
from nas.study import cached_event, encode, read_study
from nas.study.record import lookups_of
from tests.report.cache_kit import HIDDEN, INPUTS, A, B, CacheLog, every_outcome, several_evaluations
from tests.report.report_kit import Log, finished_run


def usage_of(log):
    return usage(Run.of(read_study(log.write())))


def test_every_outcome_is_counted(tmp_path):
    assert usage_of(every_outcome(tmp_path)).counts == Counts(
        suggestions=10,
        hits=2,
        waits=1,
        partial_hits=0,
        misses=4,
        unhashable=3,
        promoted=1,
        dropped=1,
        classes=2,
        saved_evaluations=3,
        saved_seconds=160.0,
        evaluation_seconds=240.0,
        hashed=8,
        hash_seconds=pytest.approx(2.0),
        hash_seconds_median=pytest.approx(0.25),
    )


def test_percentages(tmp_path):
    counts = usage_of(every_outcome(tmp_path)).counts
    assert counts.hit_rate == 30.0
    assert counts.hash_share == pytest.approx(100 * 2 / 240)
    assert list(counts.numbers())[-2:] == ["hit_rate_percent", "hash_percent"]


def test_reasons_come_most_frequent_first(tmp_path):
    assert usage_of(every_outcome(tmp_path)).reasons == ((HIDDEN, 2), (INPUTS, 1))


def test_largest_classes_have_their_value_and_evaluations(tmp_path):
    assert usage_of(every_outcome(tmp_path)).largest == (
        Group("network bbbbbbbb/cccccccc", 4, 2, 96.0),  # 2, 3, 7, 8: evaluated as 3 and 8; 2 failed
        Group("network aaaaaaaa", 3, 1, 90.0),  # 0, 1, 9: 10 is not looked up yet
    )


def test_the_rate_over_time_is_in_the_order_of_the_look_ups(tmp_path):
    course = usage_of(every_outcome(tmp_path)).course
    answered = [0, 1, 0, 0, 0, 0, 0, 1, 0, 1]  # 3 waited in vain
    assert course.answered.tolist() == list(map(bool, answered))
    np.testing.assert_allclose(course.cumulative(), 100 * np.cumsum(answered) / np.arange(1, 11))
    assert course.cumulative()[-1] == 30.0
    # 0.1 s of hashing; 60 s; 0.2 s; 30 and 40 s; then 0.3 s of hashing and 20 s three times; 0.1 s; 50 s
    moments = [0.1, 0.1, 60.3, 60.3, 130.6, 150.9, 171.2, 191.3, 191.3, 241.8]
    np.testing.assert_allclose(course.clock, moments)


def test_the_rolling_rate_is_that_of_the_last_suggestions(tmp_path):
    log = CacheLog(tmp_path).opened()
    for index in range(30):
        log.suggest(index)
        log.cached(index, "hit" if index >= 15 else "miss", 0 if index >= 15 else None, A)
        log.told(index, 0) if index >= 15 else log.own(index, 90.0, 1.0)
    course = usage_of(log).course
    assert course.window == 10
    np.testing.assert_allclose(course.rolling()[[0, 14, 15, 19, 24, 29]], [0, 0, 10, 50, 100, 100])
    np.testing.assert_allclose(course.cumulative()[[14, 19, 29]], [0, 25, 50])


def test_the_account_ends_at_the_totals_and_never_falls(tmp_path):
    course = usage_of(every_outcome(tmp_path)).course
    assert (course.spent[-1], course.saved[-1]) == (pytest.approx(242.0), 160.0)
    assert course.hashing[-1] == pytest.approx(2.0)
    for line in (course.spent, course.saved, course.hashing):
        assert (np.diff(line) >= 0).all()
    # the first wait is answered when 60 s of evaluation and the first hash are spent
    assert course.spent[course.saved > 0][0] == pytest.approx(60.1)


def test_several_evaluations_of_a_class(tmp_path):
    found = usage_of(several_evaluations(tmp_path))
    counts = found.counts
    assert (counts.hits, counts.partial_hits, counts.misses, counts.classes) == (1, 1, 1, 1)
    assert (counts.saved_evaluations, counts.saved_seconds, counts.evaluation_seconds) == (1, 60.0, 100.0)
    assert found.largest == (Group("network aaaaaaaa", 3, 2, 92.0),)
    assert math.isnan(counts.hash_seconds)
    assert counts.hashed == 0


def test_a_wait_is_answered_by_the_trial_that_was_promoted(tmp_path):
    log = CacheLog(tmp_path).opened()
    for index in range(3):
        log.suggest(index)
        log.cached(index, "pending" if index else "miss", 0 if index else None, A)
    log.own(0, None, 30.0)
    log.cached(1, "miss", None, A).own(1, 91.0, 45.0).told(2, cached_from=1)
    counts = usage_of(log).counts
    assert (counts.waits, counts.misses, counts.promoted) == (1, 2, 1)
    assert (counts.saved_evaluations, counts.saved_seconds) == (1, 45.0)  # not the 30 s of the failed one


def test_a_class_forgotten_after_an_answered_wait_is_counted(tmp_path):
    log = CacheLog(tmp_path).opened()
    for index in range(2):
        log.suggest(index)
        log.cached(index, "pending" if index else "miss", 0 if index else None, A)
    log.own(0, 90.0, 30.0).told(1, cached_from=0, dropped=True)
    assert usage_of(log).counts.dropped == 1


def test_an_interrupted_run_that_goes_on_is_one_run(tmp_path):
    """Killed after 0 started, 1 waits and 2 was hashed; 1 is answered in the second session."""
    log = CacheLog(tmp_path).opened()
    for index in range(3):
        log.suggest(index)
    log.hashed(0, A, 0.5).cached(0, "miss", None, A)
    log.add(event="started", trial=0, clock=log.clock)
    log.cached(1, "pending", 0, A)
    log.hashed(2, B, 1.5)
    before = usage_of(log)
    assert (before.counts.suggestions, before.counts.waits, before.counts.saved_evaluations) == (2, 1, 0)
    assert before.counts.hit_rate == 50.0  # the wait counts before it is answered
    assert before.counts.evaluation_seconds == 0
    assert math.isnan(before.counts.hash_share)
    log.opened(session=2).own(0, 90.0, 60.0).told(1, cached_from=0)
    log.cached(2, "miss", None, B).own(2, 91.0, 20.0)
    after = usage_of(log)
    assert (after.counts.suggestions, after.counts.hits, after.counts.waits, after.counts.misses) == (
        3,
        0,
        1,
        2,
    )
    assert (after.counts.saved_seconds, after.counts.hash_seconds) == (60.0, 2.0)
    assert after.course.clock.tolist() == [
        0.5,
        0.5,
        62.0,
    ]  # 2 is looked up when it was, not when it was hashed


def test_a_hit_whose_telling_was_cut_off_is_saved_already(tmp_path):
    log = CacheLog(tmp_path).opened()
    log.suggest(0)
    log.cached(0, "miss", None, A).own(0, 90.0, 60.0)
    log.suggest(1)
    found = usage_of(log.cached(1, "hit", 0, A))
    assert (found.counts.saved_evaluations, found.counts.saved_seconds) == (1, 60.0)
    assert found.course.saved[-1] == 60.0


def test_a_fidelity_is_part_of_the_class(tmp_path):
    log = CacheLog(tmp_path).opened()
    for index, epochs in enumerate((4, 4, 36)):
        log.suggest(index, fidelity={"name": "epochs", "value": epochs})
        log.cached(index, "hit" if index == 1 else "miss", 0 if index == 1 else None, A)
        log.told(index, 0) if index == 1 else log.own(index, 90.0 + index, 60.0)
    found = usage_of(log)
    assert found.counts.classes == 2
    assert found.largest == (Group("network aaaaaaaa at epochs=4", 2, 1, 90.0),)


def test_the_logs_of_before_have_no_hashes_reasons_or_dropped_classes(tmp_path):
    log = CacheLog(tmp_path, hashing="text").opened()
    for index, (outcome, holder, key) in enumerate(
        (("miss", None, ["a" * 32, ""]), ("hit", 0, ["a" * 32, ""]), ("miss", None, None))
    ):
        log.add(event="cached", trial=log.suggest(index), outcome=outcome, holder=holder, key=key)
        log.told(index, 0) if holder is not None else log.own(index, 90.0, 60.0)
    found = usage_of(log)
    assert (found.counts.hits, found.counts.misses, found.counts.unhashable) == (1, 1, 1)
    assert found.counts.dropped == found.counts.hashed == 0
    assert found.reasons == ((UNSTATED, 1),)
    assert found.largest == (Group("aaaaaaaa", 2, 1, 90.0),)


def test_no_cache_no_usage(tmp_path):
    assert usage(Run.of(read_study(finished_run(tmp_path)))) is None


@pytest.mark.parametrize("holder", [None, 7])
def test_a_log_that_lost_a_line_is_refused(tmp_path, holder):
    log = CacheLog(tmp_path).opened()
    trial = 0 if holder is None else log.suggest(0)
    log.cached(trial, "hit", holder, A)
    with pytest.raises(StoreError, match=r"line \d: expected a (trial|holder) that was asked.*; got [07]"):
        read_study(log.write())


def test_quick_reading_of_a_line_says_what_the_line_says():
    lines = every_outcome(Path()).lines + several_evaluations(Path()).lines
    looked_up = [event for event in lines if event["event"] == "cached" and event["key"] is not None]
    assert len(looked_up) == 8 + 3
    for event in lines:
        quick = cached_event(encode({"event": "", **event}).encode())  # it comes first in real logs
        if event in looked_up:
            kept = {name: event[name] for name in ("event", "trial", "outcome", "holder", "dropped")}
            assert quick == {**kept, "key": tuple(event["key"])}
        else:
            assert quick is None


@pytest.mark.parametrize("name", ['a"b', "a\\b", "é", "", "a b"])
def test_quick_reading_leaves_to_json_what_it_cannot_read(name):
    event = {"time": 1.7e9, "trial": 3, "outcome": "hit", "holder": 0, "key": [name, ""], "dropped": False}
    quick = cached_event(encode({"event": "cached", **event}).encode())
    assert quick is None or quick["key"] == (name, "")
    assert (quick is not None) == (name in ("", "a b"))


def test_quick_reading_takes_nothing_for_granted():
    line = b'{"event":"cached","time":1.5,"trial":3,"outcome":"hit","holder":0,"key":["a",""]}'
    assert cached_event(line) is not None
    for other in (line[:-1], line[:-1] + b',"new":1}', line.replace(b"hit", b""), b" " + line):
        assert cached_event(other) is None


def test_events_of_other_kinds_only_move_the_clock(tmp_path):
    assert lookups_of(Log(tmp_path).opened().search((91.0, 90.0), None).lines) == ()
