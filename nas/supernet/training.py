"""Trains a supernet and its architecture weights.

Liu et al. 2019, "DARTS: Differentiable Architecture Search" (https://arxiv.org/abs/1806.09055), algorithm 1:
a step of the architecture weights on one half of the training images, then a step of the weights on the
other. The other methods differ in their weighting (`alphas.py`) and their settings. Each epoch is seeded
by (seed, epoch), so that a search that is continued from a saved state equals one without interruption.

Deviations from the authors' code: images are measured with the statistics of their batch and without
augmentation; an incomplete last batch is left out; batches for the architecture weights are one permutation
after the other of their half, instead of a new one for each batch.

The curve of a search has a row for each epoch, by which it may end early.

Shapes: B images of a batch, K classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import suppress

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nas.errors import DeadEndError
from nas.evaluation import Status
from nas.layers import set_drop_path
from nas.supernet import collapse
from nas.supernet.gradients import first_order, second_order, weights_of
from nas.supernet.measure import batch_statistics, measure_supernet
from nas.supernet.settings import OneShotSettings
from nas.supernet.state import OneShot, start, trains_alphas
from nas.training import (
    CHECK_STEPS,
    DeviceData,
    Stopped,
    check_finite,
    crop_and_flip,
    cutout,
    derived_seed,
    forked_seed,
    precision,
    seed_global,
)

Batch = tuple[Tensor, Tensor]  # images (B, C, H, W), normalised, and labels (B,)


def alpha_step(
    state: OneShot, settings: OneShotSettings, batch: Batch, alpha_batch: Batch, draws: torch.Generator
) -> None:
    """One step of the architecture weights on `alpha_batch`; of the second order, through one on `batch`."""
    alphas = list(state.alphas.parameters())
    if settings.order == 1:
        weights = weights_of(state.optimizer)
        slopes = first_order(lambda: _loss(state, settings, alpha_batch, draws), alphas, weights)
    else:  # differences of gradients need all digits
        valid, training = (
            lambda of=of: _loss(state, settings, of, draws, exact=True) for of in (alpha_batch, batch)
        )
        slopes = second_order(training, valid, alphas, state.optimizer)
    for alpha, slope in zip(alphas, slopes, strict=True):
        alpha.grad = slope
    state.alpha_optimizer.step()


def weight_step(state: OneShot, settings: OneShotSettings, batch: Batch, draws: torch.Generator) -> Tensor:
    """One step of the supernet's weights; (3,): sum of the losses, number of hits, images."""
    images, labels = batch
    with torch.no_grad():
        weights = state.weighting.weights(state.alphas, draws, settings.progress(state.epoch))
    with precision(images.device):
        logits = state.supernet(images, weights)  # (B, K)
        loss = cross_entropy(logits, labels)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if settings.grad_clip:
        nn.utils.clip_grad_norm_(weights_of(state.optimizer), settings.grad_clip)
    state.optimizer.step()
    hits = (logits.detach().argmax(1) == labels).sum()
    size = torch.full_like(hits, len(labels))
    return torch.stack([loss.detach() * len(labels), hits, size]).float()


def _loss(
    state: OneShot, settings: OneShotSettings, batch: Batch, draws: torch.Generator, *, exact: bool = False
) -> Tensor:
    """Cross-entropy, differentiable in the alphas."""
    images, labels = batch
    weights = state.weighting.weights(state.alphas, draws, settings.progress(state.epoch))
    if exact:
        return cross_entropy(state.supernet(images, weights), labels)
    with precision(images.device):
        return cross_entropy(state.supernet(images, weights), labels)


def curve_row(
    state: OneShot, data: DeviceData, settings: OneShotSettings, trained: list[float]
) -> dict[str, float]:
    """The measurements after the latest epoch."""
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
            row["skips"] = most_skips(state)
    if settings.eigenvalue:
        row["eigenvalue"] = eigenvalue(state, data, settings, draws)
    return row


def measured_half(state: OneShot, settings: OneShotSettings) -> Tensor:
    """Positions of the images that the alphas are measured on."""
    half = state.halves[1]
    return half if settings.limit_steps is None else half[: settings.limit_steps * settings.batch_size]


def most_skips(state: OneShot) -> int:
    """Most skips in a cell of the present choice without a limit on skips."""
    net, strengths = state.supernet, state.weighting.strengths(state.alphas)
    choice = collapse.limited_choice(state.space, net.holes, net.gates, strengths, limit=None)
    found = collapse.taken_skips(state.space, net.holes, net.gates, choice)
    return max(collapse.skips_by_cell(found).values(), default=0)


def eigenvalue(state: OneShot, data: DeviceData, settings: OneShotSettings, draws: torch.Generator) -> float:
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
    """Sets `stopped` if a rule ends the search with this epoch; DARTS-ES returns to earlier alphas."""
    reason = collapse.too_many_skips(state.curve, settings)
    if settings.eigenvalue:
        copied = {name: value.detach().clone() for name, value in state.alphas.state_dict().items()}
        state.past = [*state.past, copied][-1 - collapse.WINDOW :]
        trained = [row for row in state.curve if row["epoch"] > settings.alpha_from]
        grew = collapse.eigenvalue_grew([row["eigenvalue"] for row in trained])
        if grew is not None:
            state.alphas.load_state_dict(state.past[0])
            back = state.epoch - collapse.WINDOW
            reason = f"epoch {state.epoch}: {grew}; the choice is that after epoch {back}"
    if reason is not None:
        state.stopped = reason


__all__ = ["OneShot", "start", "train"]


def train(
    state: OneShot,
    data: DeviceData,
    settings: OneShotSettings,
    epochs: int | None = None,
    deadline: float = math.inf,
) -> None:
    """Continues the search, in place, until `epochs` epochs are done or a rule against collapse stops it.

    Args:
        state: changed in place.
        data: on the device.
        settings: of the whole search; `settings.epochs` is the horizon of its schedules.
        epochs: after which to stop, counted from the first; None for all.
        deadline: time on `time.perf_counter` after which to stop.

    Raises:
        Stopped: a loss that is not finite, or the deadline has passed; the state cannot be used then.
    """
    last = settings.epochs if epochs is None else min(epochs, settings.epochs)
    passed = state.curve[-1]["seconds"] if state.curve else 0.0
    started = time.perf_counter() - passed
    device = data.device
    with forked_seed(derived_seed(state.seed), device):
        while state.epoch < last and state.stopped is None:
            draws = torch.Generator().manual_seed(derived_seed(state.seed, 3, state.epoch, 0))  # options
            seed_global(derived_seed(state.seed, 3, state.epoch, 1), device)  # dropout, drop-path
            for group in state.optimizer.param_groups:
                group["lr"] = settings.rate(state.epoch)
            state.supernet.train()
            set_drop_path(state.supernet, settings.drop_path * state.epoch / settings.epochs)
            trained = torch.zeros(3, device=device)  # sums of losses and of hits, images
            for step, (batch, alpha_batch) in enumerate(_batches(state, data, settings)):
                if alpha_batch is not None:
                    alpha_step(state, settings, batch, alpha_batch, draws)
                trained += weight_step(state, settings, batch, draws)
                if step % CHECK_STEPS == 0:
                    check_finite(trained[0], "training loss", state.epoch)
                if time.perf_counter() > deadline:
                    raise Stopped(Status.TIMEOUT, f"over the time limit in epoch {state.epoch + 1}")
            check_finite(trained[0], "training loss", state.epoch)
            state.epoch += 1
            row = curve_row(state, data, settings, (trained / trained[2]).tolist())
            state.curve.append({**row, "seconds": time.perf_counter() - started})
            stop_early(state, settings)


def _batches(
    state: OneShot, data: DeviceData, settings: OneShotSettings
) -> Iterator[tuple[Batch, Batch | None]]:
    """A batch for the weights and one for the alphas, if these are trained, per step of the next epoch."""
    draws = torch.Generator(data.device).manual_seed(derived_seed(state.seed, 3, state.epoch, 2))
    size = min(settings.batch_size, *map(len, state.halves))
    steps = len(state.halves[0]) // size
    steps = steps if settings.limit_steps is None else min(steps, settings.limit_steps)
    weights, alphas = (_shuffled(half, steps * size, draws).split(size) for half in state.halves)
    augmentation = settings.augmentation(data.augmentable)

    def batch(positions: Tensor) -> Batch:
        images = crop_and_flip(data.train.images[positions], augmentation, draws)
        images = cutout(data.normalized(images), settings.cutout, draws)
        return images, data.train.labels[positions]

    both = trains_alphas(state, settings)
    for one, other in zip(weights, alphas, strict=True):
        yield batch(one), batch(other) if both else None


def _shuffled(positions: Tensor, count: int, draws: torch.Generator) -> Tensor:
    """`count` positions: one permutation after the other."""
    rounds = math.ceil(count / len(positions))
    device = positions.device
    orders = [torch.randperm(len(positions), generator=draws, device=device) for _ in range(rounds)]
    return positions[torch.cat(orders)[:count]]
