from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import ProtocolError
from nas.evaluation import Evaluation, Fidelity, Status, failure
from nas.space import SearchSpace
from nas.study import CachePolicy
from nas.study.cache import CacheKey, FunctionalCache, Hit, Miss, Partial, Pending, Settled, TextHasher

KEY = CacheKey("digest", "", None, "evaluator")
DONE = Evaluation(Status.COMPLETED, {"accuracy": 90.0}, 3.0)
FAILED = failure(Status.DIVERGED, "loss is nan")


def key_of(name: str) -> CacheKey:
    return CacheKey(name, "", None, "e")


def done(accuracy: float, cost: float = 1.0) -> Evaluation:
    return Evaluation(Status.COMPLETED, {"accuracy": accuracy}, cost)


def test_reserve_gives_miss_then_pending_then_hit():
    cache = FunctionalCache()
    assert cache.reserve(KEY, 1) == Miss()
    assert cache.reserve(KEY, 2) == Pending(1)
    assert cache.reserve(KEY, 3) == Pending(1)
    assert cache.commit(KEY, 1, DONE) == Settled(Hit(1, DONE), (2, 3))
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
    cache.commit(KEY, 1, DONE)
    assert cache.reserve(other, 2) == Miss()


def test_failed_holder_hands_over_to_the_first_who_waits():
    cache = FunctionalCache()
    for trial in (1, 2, 3):
        cache.reserve(KEY, trial)
    assert cache.fail(KEY, 1) == (2, Miss())
    assert cache.reserve(KEY, 4) == Pending(2)
    assert cache.commit(KEY, 2, DONE) == Settled(Hit(2, DONE), (3, 4))


def test_failure_without_others_leaves_no_trace():
    cache = FunctionalCache()
    cache.reserve(KEY, 1)
    assert cache.fail(KEY, 1) is None
    assert len(cache) == 0
    assert cache.reserve(KEY, 2) == Miss()


def test_only_completed_evaluations_are_stored():
    cache = FunctionalCache()
    cache.reserve(KEY, 1)
    with pytest.raises(ProtocolError, match="trial 1: expected a completed evaluation; got diverged"):
        cache.commit(KEY, 1, FAILED)


def test_commit_needs_a_holder():
    cache = FunctionalCache()
    with pytest.raises(ProtocolError, match="expected a key reserved by trial 7; got one not held by any"):
        cache.commit(KEY, 7, DONE)
    cache.reserve(KEY, 7)
    cache.reserve(KEY, 8)
    with pytest.raises(ProtocolError, match="expected a key reserved by trial 8; got one held by 7; call"):
        cache.commit(KEY, 8, DONE)
    cache.commit(KEY, 7, DONE)
    with pytest.raises(ProtocolError, match="expected a key reserved by trial 7; got one not held by any"):
        cache.fail(KEY, 7)


@dataclass
class NaiveClass:
    done: list[tuple[int, float]] = field(default_factory=list)
    flying: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    used: int = 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abcd"), st.sampled_from(["reserve", "reserve", "commit", "fail"]), st.booleans()
    ),
    max_size=80,
)


@given(
    steps=STEPS,
    evaluations=st.integers(1, 3),
    capacity=st.none() | st.integers(1, 3),
    forgetful=st.sets(st.integers(0, 80)),
)
def test_it_is_a_naive_cache(steps, evaluations, capacity, forgetful):
    """Every answer, every mean, who waits, who is promoted and what is kept, by lists that are searched."""
    cache = FunctionalCache(CachePolicy(evaluations, capacity=capacity), lambda trial: trial in forgetful)
    model: dict[str, NaiveClass] = {}
    ended: list[int] = []
    for trial, (name, step, last) in enumerate(steps):
        key, one = key_of(name), model.get(name, NaiveClass())
        if step == "reserve" or one.flying:
            one.used = trial
        if step == "reserve":
            answer = cache.reserve(key, trial)
            model[name] = one
            members = [number for number, _ in one.done] + one.flying
            if len(members) < evaluations:
                assert answer == (Partial(members[0]) if members else Miss())
                one.flying.append(trial)
            elif one.flying:
                assert answer == Pending(members[0])
                one.waiting.append(trial)
            else:
                check_mean(answer, one)
                assert answer.dropped == (trial in forgetful)
                ended.append(trial)
                if answer.dropped:
                    del model[name]
        elif one.flying:
            holder = one.flying.pop(-1 if last else 0)
            if step == "commit":
                one.done.append((holder, float(trial)))
                settled = cache.commit(key, holder, done(float(trial)))
                check_mean(settled.mean, one)
                answered = [] if one.flying else one.waiting
                assert list(settled.waiting) == answered
                drawn = [waiter for waiter in answered if waiter in forgetful]
                assert settled.dropped_by == (drawn[0] if drawn else None)
                ended += [holder, *answered]
                one.waiting = one.waiting if one.flying else []
                if drawn:
                    del model[name]
            else:
                ended.append(holder)
                promoted = one.waiting.pop(0) if one.waiting else None
                found = cache.fail(key, holder)
                assert (found and found[0]) == promoted
                members = [number for number, _ in one.done] + one.flying
                if found is not None and promoted is not None:
                    assert found[1] == (Partial(members[0]) if members else Miss())
                    one.flying.append(promoted)
                elif not members:
                    del model[name]
        evict(model, capacity)
        assert len(cache) == len(model)
    assert len(ended) == len(set(ended))


def check_mean(hit, one: NaiveClass) -> None:
    assert (hit.holder, hit.evaluations) == (one.done[0][0], len(one.done))
    expected = fmean(value for _, value in one.done)
    assert hit.evaluation.values["accuracy"] == pytest.approx(expected)


def evict(model: dict[str, NaiveClass], capacity: int | None) -> None:
    while True:
        idle = [name for name, one in model.items() if not one.flying]
        if capacity is None or len(idle) <= capacity:
            return
        del model[min(idle, key=lambda name: model[name].used)]


def test_text_hasher_merges_equal_texts_only():
    space = SearchSpace("s", "relu() | gelu() | relu()")
    first, second, third = (space.start().take(option).architecture() for option in range(3))
    assert TextHasher().hash(first) == TextHasher().hash(third) != TextHasher().hash(second)
