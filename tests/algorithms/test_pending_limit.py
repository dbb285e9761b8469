from __future__ import annotations

from nas.algorithms.pending_limit import ConcurrencyLimiter
from tests.algorithms.wrapping_kit import OBJECTIVES, Script, ended, letter, letters


def test_no_more_than_the_limit_are_in_flight():
    space = letters()
    script = Script(space, "abcdef")
    searcher = ConcurrencyLimiter(space, OBJECTIVES, seed=0, searcher=script, limit=2)
    first = searcher.ask(6)
    assert [letter(one) for one in first] == ["a", "b"]
    assert searcher.ask(1) == []
    searcher.tell(ended(1, first[1], None))  # a failure frees a place as well
    (third,) = searcher.ask(6)
    assert letter(third) == "c"
    searcher.tell(ended(2, third, 1.0))
    searcher.tell(ended(0, first[0], 1.0))
    assert [letter(one) for one in searcher.ask(6)] == ["d", "e"]
    assert script.heard == [(1, "b"), (2, "c"), (0, "a")]


def test_a_searcher_that_waits_is_waited_for():
    space = letters()
    searcher = ConcurrencyLimiter(space, OBJECTIVES, seed=0, searcher=Script(space, "a.b"), limit=9)
    assert [letter(one) for one in searcher.ask(9)] == ["a"]
    assert [letter(one) for one in searcher.ask(9)] == ["b"]
