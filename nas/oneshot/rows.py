"""What the curve of a search says of each epoch, and when that ends the search."""

from __future__ import annotations

import math
from contextlib import suppress

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from nas.errors import DeadEndError
from nas.evaluation import Status
from nas.oneshot import collapse
from nas.oneshot.gradients import first_order
from nas.oneshot.measuring import batch_statistics, measure_supernet
from nas.oneshot.search import OneShot
from nas.oneshot.settings import OneShotSettings
from nas.training.device import DeviceData, derived_seed
from nas.training.train import Stopped


def curve_row(
    state: OneShot, data: DeviceData, settings: OneShotSettings, trained: list[float]
) -> dict[str, float]:
    """What the epoch just done has led to."""
    draws = torch.Generator().manual_seed(derived_seed(state.seed, 3, state.epoch, 3))
    progress = settings.progress(state.epoch - 1)
    accuracy, loss = measure_supernet(
        state.supernet,
        data,
        measured_half(state, settings),
        lambda: state.weighting.weights(state.alphas, draws, progress),
        settings.batch_size,
    )
    if not math.isfinite(loss):
        raise Stopped(Status.DIVERGED, f"validation loss not finite in epoch {state.epoch}")
    row = {
        "epoch": state.epoch,
        "train_loss": trained[0],
        "train_accuracy": 100.0 * trained[1],
        "validation_loss": loss,
        "validation_accuracy": accuracy,
        "entropy": state.alphas.entropy(),
    }
    if state.weighting.trains and not settings.grid:
        with suppress(DeadEndError):  # of constraints that refuse what is heaviest so far
            row["skips"] = _most_skips(state)
    if settings.eigenvalue:
        row["eigenvalue"] = _eigenvalue(state, data, settings, draws)
    return row


def measured_half(state: OneShot, settings: OneShotSettings) -> Tensor:
    """Positions of the images that the alphas are measured on."""
    half = state.halves[1]
    return half if settings.limit_steps is None else half[: settings.limit_steps * settings.batch_size]


def _most_skips(state: OneShot) -> int:
    """Most skips in a cell of the present choice, skips not limited."""
    net = state.supernet
    strengths = state.weighting.strengths(state.alphas)
    choice = collapse.limited_choice(state.space, net.holes, net.gates, strengths, limit=None)
    found = collapse.taken_skips(state.space, net.holes, net.gates, choice)
    return max(collapse.skips_by_cell(found).values(), default=0)


def _eigenvalue(state: OneShot, data: DeviceData, settings: OneShotSettings, draws: torch.Generator) -> float:
    """Of the validation loss' Hessian in the alphas, on the first batch of their half."""
    positions = state.halves[1][: settings.batch_size]
    images, labels = data.normalized(data.train.images[positions]), data.train.labels[positions]
    alphas = list(state.alphas.parameters())

    def loss() -> Tensor:
        weights = state.weighting.weights(state.alphas, draws, 1.0)
        return cross_entropy(state.supernet(images, weights), labels)

    with batch_statistics(state.supernet):
        return collapse.largest_eigenvalue(lambda: first_order(loss, alphas), alphas, draws)


def stop_early(state: OneShot, settings: OneShotSettings) -> None:
    """Notes why the search ends with this epoch, if a rule says so; DARTS-ES goes back to earlier alphas."""
    reason = collapse.too_many_skips(state.curve, settings)
    if settings.eigenvalue:
        state.past = [*state.past, _copied(state)][-1 - collapse.WINDOW :]
        trained = [row for row in state.curve if row["epoch"] > settings.alpha_from]
        grew = collapse.eigenvalue_grew([row["eigenvalue"] for row in trained])
        if grew is not None:
            state.alphas.load_state_dict(state.past[0])
            back = state.epoch - collapse.WINDOW
            reason = f"epoch {state.epoch}: {grew}; the choice is that after epoch {back}"
    if reason is not None:
        state.stopped = reason


def _copied(state: OneShot) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.alphas.state_dict().items()}
