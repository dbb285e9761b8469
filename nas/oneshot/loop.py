"""Trains a supernet and its architecture weights: one loop, to be read from top to bottom.

Liu et al. 2019, "DARTS: Differentiable Architecture Search" (https://arxiv.org/abs/1806.09055), algorithm 1:
a step of the architecture weights on one half of the training images, then a step of the weights on the
other. The other methods differ in their weighting (`weighting.py`) and in what the settings say. No epoch
depends on random state that an earlier one left: each is seeded by (seed, epoch), so that a search that is
continued from a saved state equals one that was never interrupted.

Deviations from the authors' code: images are measured with the statistics of their batch and without
augmentation; an incomplete last batch is left out; batches for the architecture weights are one permutation
after the other of their half, instead of a new one for each batch.

Shapes: B images of a batch, K classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from nas.evaluation import Status
from nas.layers.paths import set_drop_path
from nas.oneshot.rows import curve_row, stop_early
from nas.oneshot.search import OneShot, start, trains_alphas
from nas.oneshot.settings import OneShotSettings
from nas.oneshot.steps import Batch, alpha_step, weight_step
from nas.training.augment import crop_and_flip, cutout
from nas.training.device import DeviceData, derived_seed, forked_seed, seed_global
from nas.training.train import CHECK_STEPS, Stopped

__all__ = ["OneShot", "start", "train"]


def train(
    state: OneShot,
    data: DeviceData,
    settings: OneShotSettings,
    epochs: int | None = None,
    deadline: float = math.inf,
) -> None:
    """Searches on, in place, until `epochs` epochs are done or a rule against collapse stops it.

    Args:
        state: changed in place.
        data: on the device.
        settings: of the whole search; `settings.epochs` is the horizon of its schedules.
        epochs: after which to stop, counted from the first; None for all.
        deadline: time on `time.perf_counter` after which to stop.

    Raises:
        Stopped: a loss that is not finite, or the deadline has passed; the state is of no use then.
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
                    _check_finite(trained, state.epoch)
                if time.perf_counter() > deadline:
                    raise Stopped(Status.TIMEOUT, f"over the time limit in epoch {state.epoch + 1}")
            _check_finite(trained, state.epoch)
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
    """So many positions: one permutation after the other."""
    rounds = math.ceil(count / len(positions))
    device = positions.device
    orders = [torch.randperm(len(positions), generator=draws, device=device) for _ in range(rounds)]
    return positions[torch.cat(orders)[:count]]


def _check_finite(trained: Tensor, epoch: int) -> None:
    if not math.isfinite(float(trained[0])):
        raise Stopped(Status.DIVERGED, f"training loss not finite in epoch {epoch + 1}")
