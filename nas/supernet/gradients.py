"""Gradients of the architecture weights on validation data.

Liu et al. 2019, "DARTS: Differentiable Architecture Search" (https://arxiv.org/abs/1806.09055), equations
5 to 8: first order at the present weights, second order through one step of the weights, whose matrix of
second derivatives a central difference replaces. As in the authors' code the virtual step has the momentum
and the weight decay of the real one, but not its clipping. Deviation: the weights are moved and put back
exactly, instead of in a second network; gradients that are not used are not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.optim import SGD

RADIUS = 0.01  # length of the move of the weights in the central difference

Loss = Callable[[], Tensor]  # at the present values of weights and architecture weights


def first_order(loss: Loss, alphas: Sequence[Tensor], weights: Sequence[Tensor] = ()) -> list[Tensor]:
    """Gradient of the loss in the alphas, zeros where nothing depends on them.

    Args:
        loss: that is differentiated.
        alphas: that it is differentiated in.
        weights: taken as constants, so that no gradient of theirs is prepared.
    """
    free = [weight for weight in weights if weight.requires_grad]
    try:
        for weight in free:
            weight.requires_grad_(False)
        return list(torch.autograd.grad(loss(), list(alphas), allow_unused=True, materialize_grads=True))
    finally:
        for weight in free:
            weight.requires_grad_()


def weights_of(optimizer: SGD) -> list[Tensor]:
    """What the optimizer moves."""
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def second_order(train: Loss, valid: Loss, alphas: Sequence[Tensor], optimizer: SGD) -> list[Tensor]:
    """Gradient in the alphas of the validation loss after one step of the weights on the training loss.

    Args:
        train: loss that the step descends.
        valid: loss that is differentiated.
        alphas: architecture weights.
        optimizer: of the weights, with its momentum and present learning rate.
    """
    weights = weights_of(optimizer)
    kept = [weight.detach().clone() for weight in weights]
    rate = float(optimizer.param_groups[0]["lr"])
    try:
        _step(optimizer, weights, first_order(train, weights))
        slopes = first_order(valid, [*alphas, *weights])
        direction = slopes[len(alphas) :]
        length = float(torch.stack([part.norm() for part in direction]).norm())
        if length == 0.0:
            return slopes[: len(alphas)]
        radius = RADIUS / length
        above, below = (
            _slopes_at(train, alphas, weights, (kept, direction, sign * radius)) for sign in (1.0, -1.0)
        )
    finally:
        with torch.no_grad():
            for weight, value in zip(weights, kept, strict=True):
                weight.copy_(value)
    curvature = [(one - other) / (2 * radius) for one, other in zip(above, below, strict=True)]
    return [slope - rate * each for slope, each in zip(slopes, curvature, strict=False)]


@torch.no_grad()
def _step(optimizer: SGD, weights: Sequence[Tensor], slopes: Sequence[Tensor]) -> None:
    """What the optimizer would do, without touching its momentum."""
    group = optimizer.param_groups[0]
    for weight, slope in zip(weights, slopes, strict=True):
        update = slope + group["weight_decay"] * weight
        buffer = optimizer.state[weight].get("momentum_buffer") if weight in optimizer.state else None
        if buffer is not None:
            update = update + group["momentum"] * buffer
        weight.sub_(update, alpha=group["lr"])


def _slopes_at(
    loss: Loss,
    alphas: Sequence[Tensor],
    weights: Sequence[Tensor],
    move: tuple[Sequence[Tensor], Sequence[Tensor], float],
) -> list[Tensor]:
    """Gradient of the loss in the alphas at the weights start + scale * direction."""
    start, direction, scale = move
    with torch.no_grad():
        for weight, origin, part in zip(weights, start, direction, strict=True):
            weight.copy_(origin).add_(part, alpha=scale)
    return first_order(loss, alphas, weights)
