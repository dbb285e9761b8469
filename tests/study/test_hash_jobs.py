from __future__ import annotations

import pickle

import pytest

from nas.evaluation import SimulatedExecutor, Status, Task, failure
from nas.study import Hashed, Hasher, hash_of
from nas.study.cache import HashingEvaluator, Memo, TextHasher, hashed_of
from tests.study.hashing_kit import Alike, Moody
from tests.study.study_kit import FakeEvaluator, small_space, tiny_space

RELU, GELU, SILU = (tiny_space().parse(text) for text in ("relu()", "gelu()", "silu()"))
WIDE = small_space().parse("conv(kernel=5) >> relu() >> conv(width=8)")


def test_an_evaluator_with_a_hasher_evaluates_or_hashes_as_it_is_asked():
    inner = FakeEvaluator()
    evaluator = HashingEvaluator(inner, Alike(), seconds=0.5)
    hashed = evaluator(Task(0, GELU, hashing=True))
    assert hashed_of(hashed) == Hashed("test:1:8:relu()", "s")
    assert (hashed.values, hashed.cost_seconds) == ({}, 0.5)
    assert not inner.calls
    assert evaluator(Task(1, GELU)) == inner(Task(1, GELU))
    for name in ("objectives", "reported", "fidelity_range"):
        assert getattr(evaluator, name) == getattr(inner, name)
    assert evaluator.fingerprint() == inner.fingerprint()


def test_it_travels():
    evaluator = pickle.loads(
        pickle.dumps(HashingEvaluator(FakeEvaluator.__new__(FakeEvaluator), Alike(), 1.0))
    )
    assert hashed_of(evaluator(Task(0, RELU, hashing=True))).digest == "test:1:8:relu()"


class Wrong(Hasher):
    name = "wrong"
    in_worker = True

    def hash(self, architecture):
        return "digest"


@pytest.mark.parametrize(
    ("hasher", "architecture", "reason"),
    [
        (Moody(), SILU, "hidden randomness"),
        (Moody(), WIDE, "ArithmeticError: no number"),
        (Wrong(), RELU, "the hasher returned str, not a Hashed"),
    ],
)
def test_what_cannot_be_hashed_has_a_reason_in_one_line(hasher, architecture, reason):
    assert hash_of(hasher, architecture) == Hashed(None, "", reason)


def test_a_hash_job_that_failed_is_no_digest():
    evaluation = failure(Status.TIMEOUT, "did not stop\nat its time limit")
    reason = "timeout: did not stop at its time limit"
    assert hashed_of(evaluation) == Hashed(None, "", reason, passing=True)


def test_hashers_of_the_driver_are_as_they_were():
    assert hash_of(TextHasher(), RELU) == Hashed(RELU.digest())


def test_a_hash_costs_what_the_policy_says_on_a_virtual_clock():
    executor = SimulatedExecutor()
    executor.open(HashingEvaluator(FakeEvaluator(), Alike(), 0.5))
    executor.submit(Task(0, RELU, hashing=True))
    executor.submit(Task(1, RELU, hashing=True, time_limit=0.25))
    first, second = executor.wait()[0], executor.wait()[0]
    assert (first.started, first.finished, executor.now()) == (0.0, 0.5, 0.75)
    assert (
        hashed_of(second.evaluation).reason == "timeout: took 0.5 simulated seconds, over the limit of 0.25"
    )


def test_the_memo_is_bounded_and_keeps_what_came_first():
    memo = Memo(2)
    for digest, found in (("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")):
        memo.add(digest, Hashed(found))
    assert [memo.get(digest) for digest in "abc"] == [None, Hashed("2"), Hashed("4")]


def test_the_memo_keeps_no_reason_that_may_pass():
    memo = Memo()
    memo.add("a", Hashed(None, reason="worker_died: lost", passing=True))
    memo.add("b", Hashed(None, reason="hidden randomness"))
    assert memo.get("a") is None
    assert memo.get("b") is not None
