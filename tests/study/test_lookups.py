"""Reading what a log says of the cache, line by line."""

from pathlib import Path

import pytest

from nas.study import cached_event, encode, lookups_of
from tests.report.cache_kit import every_outcome, several_evaluations
from tests.report.report_kit import Log


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
