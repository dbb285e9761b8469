"""How a cache answers beyond the plain case: several evaluations, forgetting, a bound on classes."""

from __future__ import annotations

import math

import pytest

from nas.errors import ConfigError
from nas.evaluation import Evaluation, Status, failure
from nas.study import CachePolicy
from nas.study.cache import CacheKey, FunctionalCache, Hit, Miss, Partial, Pending, Settled
from nas.study.plan import forgets

KEY = CacheKey("digest", "", None, "evaluator")
DONE = Evaluation(Status.COMPLETED, {"accuracy": 90.0}, 3.0)
FAILED = failure(Status.DIVERGED, "loss is nan")


def key_of(name: str) -> CacheKey:
    return CacheKey(name, "", None, "e")


def done(accuracy: float, cost: float = 1.0) -> Evaluation:
    return Evaluation(Status.COMPLETED, {"accuracy": accuracy}, cost)


class TestAggregating:
    """The authors' `evaluate`: an unknown hash is a miss; then come partial hits up to M, then hits."""

    def test_the_papers_sequence_by_hand(self):
        cache = FunctionalCache(CachePolicy(evaluations=3))
        answers, told = [], []
        for trial, accuracy in enumerate((90.0, 96.0, 93.0)):
            answers.append(cache.reserve(KEY, trial))
            told.append(cache.commit(KEY, trial, done(accuracy, cost=3.0 + trial)).mean)
        assert answers == [Miss(), Partial(0), Partial(0)]
        assert [hit.evaluation.values["accuracy"] for hit in told] == [90.0, 93.0, 93.0]
        assert [hit.evaluations for hit in told] == [1, 2, 3]
        hit = Hit(0, done(93.0, cost=3.0), 3)  # what it saves is the cost of the first
        assert [cache.reserve(KEY, 3), cache.reserve(KEY, 4)] == [hit, hit]

    def test_as_many_as_are_needed_fly_together_and_the_others_wait_for_all_of_them(self):
        cache = FunctionalCache(CachePolicy(evaluations=2))
        answers = [cache.reserve(KEY, trial) for trial in range(4)]
        assert answers == [Miss(), Partial(0), Pending(0), Pending(0)]
        assert cache.commit(KEY, 1, done(10.0)) == Settled(Hit(1, done(10.0)))
        assert cache.reserve(KEY, 4) == Pending(1)
        assert cache.commit(KEY, 0, done(20.0)) == Settled(Hit(1, done(15.0), 2), (2, 3, 4))

    def test_who_is_promoted_is_a_miss_or_one_of_several(self):
        cache = FunctionalCache(CachePolicy(evaluations=2))
        for trial in range(4):
            cache.reserve(KEY, trial)
        assert cache.fail(KEY, 0) == (2, Partial(1))
        assert cache.commit(KEY, 1, done(10.0)).waiting == ()
        assert cache.fail(KEY, 2) == (3, Partial(1))
        assert cache.fail(KEY, 3) is None
        assert cache.reserve(KEY, 5) == Partial(1)

    def test_equal_values_have_exactly_that_mean_and_infinite_ones_none_that_is_finite(self):
        cache = FunctionalCache(CachePolicy(evaluations=4))
        for trial in range(3):
            cache.reserve(KEY, trial)
            mean = cache.commit(KEY, trial, done(0.1)).mean
            assert mean.evaluation.values == {"accuracy": 0.1}
        cache.reserve(KEY, 3)
        mean = cache.commit(KEY, 3, done(math.inf)).mean
        assert mean.evaluation.values == {"accuracy": math.inf}

    def test_a_value_that_not_all_have_has_no_mean(self):
        cache = FunctionalCache(CachePolicy(evaluations=2))
        cache.reserve(KEY, 0)
        cache.commit(KEY, 0, Evaluation(Status.COMPLETED, {"accuracy": 1.0, "latency": 5.0}, 1.0))
        cache.reserve(KEY, 1)
        assert cache.commit(KEY, 1, done(3.0)).mean.evaluation.values == {"accuracy": 2.0}


class TestForgetting:
    def test_a_full_hit_is_answered_first_and_its_class_forgotten_then(self):
        """With M = 2 and a draw for trial 3 alone: miss, partial, hit, hit and gone, miss, partial, hit."""
        cache = FunctionalCache(CachePolicy(evaluations=2), forgets=lambda trial: trial == 3)
        answers = []
        for trial in range(7):
            answers.append(cache.reserve(KEY, trial))
            if not isinstance(answers[-1], Hit):
                cache.commit(KEY, trial, done(float(trial)))
        first, second = done(0.5), done(4.5)
        assert answers == [
            Miss(),
            Partial(0),
            Hit(0, first, 2),
            Hit(0, first, 2, dropped=True),
            Miss(),
            Partial(4),
            Hit(4, second, 2),
        ]

    def test_partial_hits_and_those_in_flight_are_never_forgotten(self):
        cache = FunctionalCache(CachePolicy(evaluations=2), forgets=lambda trial: True)
        cache.reserve(KEY, 0)
        cache.commit(KEY, 0, done(1.0))
        assert cache.reserve(KEY, 1) == Partial(0)
        assert cache.reserve(KEY, 2) == Pending(0)
        assert cache.commit(KEY, 1, done(3.0)) == Settled(Hit(0, done(2.0), 2), (2,), dropped_by=2)
        assert len(cache) == 0

    def test_all_that_waited_are_answered_and_the_first_that_draws_is_named(self):
        cache = FunctionalCache(forgets=lambda trial: trial in (2, 3))
        for trial in range(4):
            cache.reserve(KEY, trial)
        assert cache.commit(KEY, 0, DONE) == Settled(Hit(0, DONE), (1, 2, 3), dropped_by=2)
        assert cache.reserve(KEY, 4) == Miss()

    def test_draws_follow_from_seed_and_trial_and_have_their_probability(self):
        draws = [forgets(7, 0.1, trial) for trial in range(20_000)]
        assert draws == [forgets(7, 0.1, trial) for trial in range(20_000)]
        assert draws != [forgets(8, 0.1, trial) for trial in range(20_000)]
        assert abs(sum(draws) - 2000) < 4.42 * math.sqrt(20_000 * 0.09)  # alpha = 1e-5, two-sided
        assert not any(forgets(7, 0.0, trial) for trial in range(100))
        assert all(forgets(7, 1.0, trial) for trial in range(100))


class TestCapacity:
    def test_the_class_that_was_not_used_for_longest_goes(self):
        """Capacity 2: a, b, a again, then c: b goes, a stays."""
        cache = FunctionalCache(CachePolicy(capacity=2))
        for trial, name in enumerate("ab"):
            cache.reserve(key_of(name), trial)
            cache.commit(key_of(name), trial, DONE)
        assert isinstance(cache.reserve(key_of("a"), 2), Hit)
        assert cache.reserve(key_of("c"), 3) == Miss()
        cache.commit(key_of("c"), 3, DONE)
        assert isinstance(cache.reserve(key_of("a"), 4), Hit)
        assert cache.reserve(key_of("b"), 5) == Miss()
        assert len(cache) == 3  # a and c at rest, b in flight

    def test_what_is_in_flight_stays_and_goes_once_it_rests(self):
        cache = FunctionalCache(CachePolicy(capacity=1))
        for trial, name in enumerate("abc"):
            assert cache.reserve(key_of(name), trial) == Miss()
        assert cache.reserve(key_of("a"), 3) == Pending(0)
        assert len(cache) == 3
        assert cache.commit(key_of("a"), 0, DONE).waiting == (3,)
        assert len(cache) == 3
        assert isinstance(cache.reserve(key_of("a"), 4), Hit)
        assert cache.fail(key_of("b"), 1) is None
        cache.commit(key_of("c"), 2, DONE)
        assert len(cache) == 1
        assert isinstance(cache.reserve(key_of("c"), 5), Hit)
        assert cache.reserve(key_of("a"), 6) == Miss()

    def test_what_ends_beside_others_in_flight_is_kept_until_another_ends(self):
        cache = FunctionalCache(CachePolicy(capacity=1))
        for trial, name in enumerate("ab"):
            cache.reserve(key_of(name), trial)
        cache.commit(key_of("a"), 0, DONE)
        assert isinstance(cache.reserve(key_of("a"), 2), Hit)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"evaluations": 0}, r"^cache\.evaluations: expected a whole number, 1 or more; got 0; change it$"),
        (
            {"evaluations": 1.5},
            r"^cache\.evaluations: expected a whole number, 1 or more; got 1\.5; change it$",
        ),
        ({"evaluations": True}, r"^cache\.evaluations: expected a whole number, 1 or more; got True; change"),
        ({"forget": True}, r"^cache\.forget: expected a probability, 0 to 1; got True; change it$"),
        ({"forget": "0.5"}, r"^cache\.forget: expected a probability, 0 to 1; got '0\.5'; change it$"),
        (
            {"capacity": 2.5},
            r"^cache\.capacity: expected a whole number, 1 or more, or null for no bound; got 2",
        ),
        (
            {"hash_seconds": True},
            r"^cache\.hash_seconds: expected 0 or more, or null for 0\.01; got True; ch",
        ),
        ({"forget": 1.5}, r"^cache\.forget: expected a probability, 0 to 1; got 1\.5; change it$"),
        ({"forget": math.nan}, r"^cache\.forget: expected a probability, 0 to 1; got nan; change it$"),
        (
            {"capacity": 0},
            r"^cache\.capacity: expected a whole number, 1 or more, or null for no bound; got 0; ch",
        ),
        (
            {"hash_seconds": -1.0},
            r"^cache\.hash_seconds: expected 0 or more, or null for 0\.01; got -1\.0; ch",
        ),
        (
            {"hash_seconds": math.inf},
            r"^cache\.hash_seconds: expected 0 or more, or null for 0\.01; got inf;",
        ),
    ],
)
def test_policies_out_of_range_are_one_line(options, message):
    with pytest.raises(ConfigError, match=message):
        CachePolicy(**options)
