"""What a process remembers has bounds, and so has the work of a network written in few words."""

import time

import torch

from nas.hashing.functional import FunctionalHasher
from nas.hashing.probe import interpreter as machine
from nas.hashing.probe import values
from nas.hashing.probe.values import Memory, Values
from tests.hashing.probe.network_kit import digest


def test_memory_holds_what_is_asked_for_and_forgets_the_rest():
    memory = Memory(20_000)
    memory.put("kept", 1, 100)
    for i in range(200):
        memory.put(i, i, 1000)
        assert memory.get("kept") == 1
    assert memory.get(0) is None
    assert memory.nbytes <= 20_000


def test_projections_and_inputs_are_forgotten(monkeypatch):
    monkeypatch.setattr(values, "FIXED_BYTES", 100_000)
    made = Values(24, "cpu")
    for size in range(500, 900):
        made.generic(0, (size,))
        made.zero((size,))
    held = made._projections.nbytes, made._inputs.nbytes, made._zeros.nbytes
    assert max(held) <= 100_000


def test_digests_do_not_depend_on_what_was_forgotten(monkeypatch):
    texts = [f"relu_conv_bn(width={w}) >> add(tanh(), conv(), conv()) >> head()" for w in (4, 5, 6)]
    expected = [digest(text) for text in texts]
    for name in ("_RESULT_BYTES", "_LEAF_BYTES", "_FACT_BYTES"):
        monkeypatch.setattr(machine, name, 5_000)
    monkeypatch.setattr(values, "SUM_BYTES", 5_000)
    monkeypatch.setattr(values, "FIXED_BYTES", 5_000)
    hasher = FunctionalHasher()
    assert [digest(text, hasher=hasher) for text in texts * 2] == expected * 2


def test_sums_of_sums_do_not_grow():
    """2^40 addends."""
    started = time.process_time()
    many = "repeat(add(identity(), identity()), {}) >> {}"
    assert digest(many.format(40, "tanh()")) != digest(many.format(41, "relu()"))
    assert digest("cell(node(conv())) >> " + many.format(40, "tanh()"))
    assert time.process_time() - started < 2.0


def test_a_sum_counts_how_often_its_addends_occur():
    made = Values(24, "cpu")
    x, y = made.generic(0, (2, 3, 3)), made.generic(1, (2, 3, 3))
    total = made.sum([made.sum([x, y]), x, made.zero(x.shape)])
    assert {value.key: count for value, count in total.addends} == {x.key: 2, y.key: 1}
    assert x.tensor is not None
    assert y.tensor is not None
    assert total.tensor is not None
    torch.testing.assert_close(total.tensor, 2 * x.tensor + y.tensor)
