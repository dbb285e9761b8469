from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from nas.algorithms.shared.method import InFlight, SearchMethod, check_range, loss_of
from nas.errors import ConfigError, ProtocolError
from nas.evaluation import Objective
from nas.study import SearchFinished, Suggestion, Trial
from tests.algorithms.wrapping_kit import OBJECTIVES, Script, ended, letter, letters

A, B = (Script(letters(), name).ask()[0] for name in "ab")


class Method(SearchMethod[str]):
    """Suggests what `next_` gives and remembers its letter."""

    def __init__(self, next_: Callable[[], Suggestion | None]) -> None:
        super().__init__(letters(), OBJECTIVES, seed=0)
        self._next = next_
        self.taken: list[tuple[int, str]] = []

    def _suggest(self) -> Suggestion | None:
        suggestion = self._next()
        if suggestion is not None:
            self._in_flight.add(letter(suggestion))
        return suggestion

    def _take(self, trial: Trial, remembered: str) -> None:
        self.taken.append((trial.number, remembered))


def test_asking_stops_at_the_first_nothing():
    answers = iter([A, None, B])
    method = Method(lambda: next(answers))
    assert method.ask(5) == [A]
    assert method.ask(1) == [B]
    assert Method(lambda: pytest.fail("nothing was asked for")).ask(0) == []


def test_the_end_is_said_when_nothing_was_given():
    answers = iter([A])

    def following() -> Suggestion:
        for answer in answers:
            return answer
        raise SearchFinished

    method = Method(following)
    assert method.ask(2) == [A]
    with pytest.raises(SearchFinished):
        method.ask(1)


def test_what_is_remembered_returns_with_the_trial():
    answers = iter([A, B, A])
    method = Method(lambda: next(answers))
    method.ask(3)
    method.tell(ended(1, B, 1.0))
    method.tell(ended(0, A, None))
    assert method.taken == [(1, "b"), (0, "a")]


def test_numbers_begin_at_the_first():
    in_flight: InFlight[str] = InFlight("X", first=7)
    assert [in_flight.add("a"), in_flight.add("b"), in_flight.following, len(in_flight)] == [7, 8, 9, 2]
    assert in_flight.close(ended(8, A, 1.0)) == "b"
    assert list(in_flight.remembered()) == ["a"]
    for number, happened in ((8, "was told before"), (9, "was never asked for"), (6, "was never asked for")):
        with pytest.raises(ProtocolError, match=f"flight, got trial {number}, which {happened}; tell each"):
            in_flight.close(ended(number, A, 1.0))
    with pytest.raises(ProtocolError, match="trial 7: expected an evaluation, got none; tell it when"):
        in_flight.close(Trial(7, A))


def test_a_failure_loses_without_bound():
    objective = Objective("accuracy", "maximize")
    assert loss_of(ended(0, A, 0.5), objective) == -0.5
    assert loss_of(ended(0, A, None), objective) == math.inf
    assert loss_of(ended(0, A, math.nan), objective) == math.inf
    assert loss_of(ended(0, A, 0.5), Objective("latency", "minimize")) == math.inf


@pytest.mark.parametrize("value", [0, 6, math.nan])
def test_a_value_out_of_range_is_one_line(value):
    message = rf'^searcher "x": size: expected 1 to 5 things, got {value}; leave it out for the default$'
    with pytest.raises(ConfigError, match=message):
        check_range("x", "size", value, 1, 5, what="things")


def test_bounds_of_a_range():
    check_range("x", "size", 5, 1, 5)
    check_range("x", "size", 1, 1)
    check_range("x", "size", 0.1, 0, above=True)
    for value, options, expected in (
        (0.5, {"low": 1}, "1 or more"),
        (math.inf, {"low": 1}, "1 or more"),
        (math.nan, {"low": 1}, "1 or more"),
        (0.0, {"low": 0, "above": True}, "above 0"),
    ):
        with pytest.raises(ConfigError, match=f"size: expected {expected}, got {value:g}; "):
            check_range("x", "size", value, **options)
