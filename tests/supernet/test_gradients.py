"""Gradients of the architecture weights, against closed forms."""

import pytest
import torch

from nas.supernet.gradients import first_order, second_order

MOMENTUM, DECAY, RATE = 0.9, 0.1, 0.05


def problem(momentum_buffer=True):
    """Weights w, alphas a; training loss |w - M a|^2 / 2, validation loss |w - t|^2 / 2 + |a|^2."""
    generator = torch.Generator().manual_seed(0)
    w, a, t, buffer = (torch.randn(n, generator=generator, dtype=torch.float64) for n in (4, 3, 4, 4))
    matrix = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    w.requires_grad_(), a.requires_grad_()
    optimizer = torch.optim.SGD([w], RATE, momentum=MOMENTUM, weight_decay=DECAY)
    if momentum_buffer:
        optimizer.state[w]["momentum_buffer"] = buffer
    train = lambda: (w - matrix @ a).square().sum() / 2  # noqa: E731
    valid = lambda: (w - t).square().sum() / 2 + a.square().sum()  # noqa: E731
    return train, valid, w, a, (matrix, t, buffer if momentum_buffer else 0.0), optimizer


def test_first_order_is_the_gradient_at_the_present_weights():
    _, valid, _, a, _, _ = problem()
    assert torch.equal(first_order(valid, [a])[0], 2 * a.detach())


@pytest.mark.parametrize("momentum_buffer", [True, False])
def test_second_order_is_the_closed_form_of_the_unrolled_loss(momentum_buffer):
    train, valid, w, a, (matrix, t, buffer), optimizer = problem(momentum_buffer)
    before = w.detach().clone()
    (found,) = second_order(train, valid, [a], optimizer)
    with torch.no_grad():
        moved = w - RATE * (w - matrix @ a + MOMENTUM * buffer + DECAY * w)
        expected = 2 * a + RATE * matrix.T @ (moved - t)  # d moved / d a = RATE * matrix
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
    assert torch.equal(w, before), "the weights are where they were, to the last bit"
    kept = optimizer.state[w].get("momentum_buffer") if w in optimizer.state else None
    assert (kept is buffer) if momentum_buffer else (kept is None)


def test_weights_come_back_when_a_loss_raises():
    train, _, w, a, _, optimizer = problem()
    before = w.detach().clone()

    def failing():
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        second_order(train, failing, [a], optimizer)
    assert torch.equal(w, before)


def test_no_slope_in_the_weights_leaves_the_first_order():
    train, _, _, a, _, optimizer = problem()
    assert torch.equal(second_order(train, lambda: a.square().sum(), [a], optimizer)[0], 2 * a.detach())
