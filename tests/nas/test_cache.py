from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.cache import CacheKey, FunctionalCache, Hit, Miss, Pending, TextHasher
from nas.errors import ProtocolError
from nas.evaluation import Evaluation, Fidelity, Status, failure
from nas.space import SearchSpace

KEY = CacheKey("digest", "", None, "evaluator")
DONE = Evaluation(Status.COMPLETED, {"accuracy": 90.0}, 3.0)
FAILED = failure(Status.DIVERGED, "loss is nan")


def test_reserve_gives_miss_then_pending_then_hit():
    cache = FunctionalCache()
    assert cache.reserve(KEY, 1) == Miss()
    assert cache.reserve(KEY, 2) == Pending(1)
    assert cache.reserve(KEY, 3) == Pending(1)
    assert cache.commit(KEY, DONE) == (2, 3)
    assert cache.reserve(KEY, 4) == Hit(1, DONE)
    assert len(cache) == 1


@pytest.mark.parametrize(
    "other",
    [
        CacheKey("other", "", None, "evaluator"),
        CacheKey("digest", "settings", None, "evaluator"),
        CacheKey("digest", "", Fidelity("epochs", 4), "evaluator"),
        CacheKey("digest", "", None, "other"),
    ],
    ids=["functional", "settings", "fidelity", "evaluator"],
)
def test_every_part_of_the_key_counts(other):
    cache = FunctionalCache()
    cache.reserve(KEY, 1)
    cache.commit(KEY, DONE)
    assert cache.reserve(other, 2) == Miss()


def test_failed_holder_hands_over_to_the_first_who_waits():
    cache = FunctionalCache()
    for trial in (1, 2, 3):
        cache.reserve(KEY, trial)
    assert cache.fail(KEY) == 2
    assert cache.reserve(KEY, 4) == Pending(2)
    assert cache.commit(KEY, DONE) == (3, 4)


def test_failure_without_others_leaves_no_trace():
    cache = FunctionalCache()
    cache.reserve(KEY, 1)
    assert cache.fail(KEY) is None
    assert len(cache) == 0
    assert cache.reserve(KEY, 2) == Miss()


def test_only_completed_evaluations_are_stored():
    cache = FunctionalCache()
    cache.reserve(KEY, 1)
    with pytest.raises(ProtocolError, match="trial 1: expected a completed evaluation; got diverged"):
        cache.commit(KEY, FAILED)


def test_commit_needs_a_holder():
    cache = FunctionalCache()
    with pytest.raises(ProtocolError, match="expected a reserved key; got no holder"):
        cache.commit(KEY, DONE)
    cache.reserve(KEY, 7)
    cache.commit(KEY, DONE)
    with pytest.raises(ProtocolError, match="a result already, of trial 7"):
        cache.fail(KEY)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["reserve", "commit", "fail"])), max_size=60)
)
def test_every_trial_is_answered_once_and_evaluated_only_while_it_holds(steps):
    cache, holders, waiting, answered = FunctionalCache(), {}, {}, []
    for trial, (name, step) in enumerate(steps):
        key = CacheKey(name, "", None, "e")
        if step == "reserve":
            match cache.reserve(key, trial):
                case Miss():
                    assert name not in holders
                    holders[name] = trial
                case Pending(holder):
                    assert holders[name] == holder
                    waiting.setdefault(name, []).append(trial)
                case Hit():
                    answered.append(trial)
        elif name in holders and step == "commit":
            assert list(cache.commit(key, DONE)) == waiting.pop(name, [])
            del holders[name]
        elif name in holders:
            promoted = cache.fail(key)
            line = waiting.get(name, [])
            assert promoted == (line.pop(0) if line else None)
            del holders[name]
            if promoted is not None:
                holders[name] = promoted
    assert len(answered) == len(set(answered))


def test_text_hasher_merges_equal_texts_only():
    space = SearchSpace("s", "relu() | gelu() | relu()")
    first, second, third = (space.start().take(option).architecture() for option in range(3))
    assert TextHasher().hash(first) == TextHasher().hash(third) != TextHasher().hash(second)
