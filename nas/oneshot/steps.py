"""The two steps of a search: of the architecture weights and of the weights.

Shapes: B images of a batch, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nas.oneshot.gradients import first_order, second_order, weights_of
from nas.oneshot.search import OneShot
from nas.oneshot.settings import OneShotSettings
from nas.training.train import precision

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
