"""Memory of a step: what is measured on few images holds for many; too much is refused."""

import pytest
import torch

from nas.errors import EvaluationError
from nas.language import op
from nas.space import SearchSpace
from nas.supernet import measure as memory
from nas.supernet.training import start
from tests.supernet.kit import CHOICES, GATES, images, small


def state_of(space, **options):
    data, settings = images(200), small(**options)
    return start(space, data, settings, 1), data, settings


@pytest.mark.parametrize("weighting", ["softmax", "max_w", "gumbel", "uniform"])
@pytest.mark.parametrize("space", [CHOICES, GATES], ids=["choices", "gates"])
def test_what_is_extended_is_what_is_counted(space, weighting):
    state, data, settings = state_of(space, weighting=weighting)
    for draw in range(2):
        counted = memory.saved_bytes(state, data, settings, 64, draw)
        assert memory.grown_bytes(state, data, settings, 64, draw) == pytest.approx(counted, rel=0.05)


def test_bytes_of_a_linear_layer_by_hand():
    space = SearchSpace("linear", op.flatten() >> (op.relu() | op.tanh()) >> op.head())
    state, data, settings = state_of(space, batch_size=100)
    weights = 4 * sum(weight.numel() for weight in state.supernet.parameters())
    needed = memory.step_bytes(state, data, settings)
    image = (
        4 * 16
    )  # bytes: both activations keep their output, the sum its terms' factors, the head its input
    assert 100 * 3 * image < needed - 3 * weights < 100 * 7 * image
    second = memory.step_bytes(state, data, small(batch_size=100, order=2))
    assert second - needed == 3 * weights


def test_weights_count_once_and_not_with_what_is_kept():
    wide = op.linear(width=500) >> (op.relu() | op.tanh()) >> op.linear(width=500)
    space = SearchSpace("wide", op.flatten() >> wide >> op.head())
    state, data, settings = state_of(space)
    weights = 4 * sum(weight.numel() for weight in state.supernet.parameters())
    assert memory.saved_bytes(state, data, settings, 1, 0) < weights / 2


def test_too_little_memory_is_said_in_one_line(monkeypatch):
    state, data, settings = state_of(CHOICES)
    needed = round(1.5 * memory.step_bytes(state, data, settings))
    monkeypatch.setattr(memory, "available_bytes", lambda device: needed)
    memory.check_memory(state, data, settings)
    monkeypatch.setattr(memory, "available_bytes", lambda device: needed - 1)
    with pytest.raises(
        EvaluationError, match=rf"to need at most .* that are free .*, got about .* \({needed} bytes\)"
    ) as caught:
        memory.check_memory(state, data, settings)
    assert "\n" not in str(caught.value)


def test_the_system_says_what_is_available():
    found = memory.available_bytes(torch.device("cpu"))
    assert found is None or found > 2**20


def test_measuring_leaves_the_search_as_it_was():
    state, data, settings = state_of(GATES)
    before = {name: value.clone() for name, value in state.supernet.state_dict().items()}
    memory.step_bytes(state, data, settings)
    after = state.supernet.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(weight.grad is None for weight in state.supernet.parameters())
