"""A search on a supernet in progress, and how it begins."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from nas.oneshot.alphas import Alphas
from nas.oneshot.settings import OneShotSettings
from nas.oneshot.weighting import Weighting, weighting_of
from nas.relax.grid_net import relax_grid
from nas.relax.supernet import Supernet, relax
from nas.space import SearchSpace
from nas.training.device import DeviceData, derived_seed


@dataclass(slots=True)
class OneShot:
    """A search in progress: everything that the next epoch depends on, besides data and settings.

    Attributes:
        supernet: on the device of the data.
        alphas: its architecture weights.
        weighting: how they weigh.
        optimizer: of the supernet's weights.
        alpha_optimizer: of the architecture weights.
        seed: of batch order, augmentation, draws of options and drop-path.
        halves: positions among the training images, for the weights and for the alphas.
        shape: (C, H, W) of an image.
        classes: outputs of the networks.
        contents: sums of the training images' pixels and labels, to know them again.
        epoch: epochs done.
        curve: one row of numbers per epoch.
        past: the alphas after the last epochs, the oldest first, where the eigenvalue may go back to them.
        stopped: why the search ended before its last epoch; None if it did not.
    """

    supernet: Supernet
    alphas: Alphas
    weighting: Weighting
    optimizer: SGD
    alpha_optimizer: Adam
    seed: int
    halves: tuple[Tensor, Tensor]
    shape: tuple[int, ...]
    classes: int
    contents: tuple[int, int] = (0, 0)
    epoch: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    past: list[dict[str, Tensor]] = field(default_factory=list)
    stopped: str | None = None

    @property
    def space(self) -> SearchSpace:
        return self.supernet.space


def start(
    space: SearchSpace, data: DeviceData, settings: OneShotSettings, seed: int, *, classes: int | None = None
) -> OneShot:
    """A search before its first epoch.

    Args:
        space: to be relaxed.
        data: on the device.
        settings: of the search.
        seed: of the weights and of everything drawn.
        classes: outputs of the networks; None for as many as the labels have.

    Raises:
        RelaxError: the space has no supernet.
        CompileError: its networks do not fit the images.
    """
    shape = tuple(data.train.images.shape[1:])
    classes = classes or 1 + max(
        int(split.labels.max()) for split in (data.train, data.validation, data.test)
    )
    if settings.grid:
        supernet = relax_grid(space, shape, classes, seed=derived_seed(seed, 0))
    else:
        supernet = relax(space, shape, classes, seed=derived_seed(seed, 0), partial=settings.partial)
    supernet.to(data.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    edges = settings.weighting == "edge_softmax"
    alphas = Alphas(
        supernet.holes, supernet.gates, scale=settings.alpha_init, seed=derived_seed(seed, 1), edges=edges
    ).to(data.device)
    halves = _halves(data, settings, derived_seed(seed, 2))
    sgd, adam = optimizers(supernet, alphas, settings)
    weighting, contents = weighting_of(settings), _contents(data)
    return OneShot(supernet, alphas, weighting, sgd, adam, seed, halves, shape, classes, contents)


def _contents(data: DeviceData) -> tuple[int, int]:
    """Of images and labels, each times its place."""
    images, labels = data.train.images, data.train.labels
    places = torch.arange(1, len(labels) + 1, device=labels.device)
    pixels = images.flatten(1).sum(1, dtype=torch.int64)
    return int((pixels * places).sum()), int((labels * places).sum())


def _halves(data: DeviceData, settings: OneShotSettings, seed: int) -> tuple[Tensor, Tensor]:
    """The training images in two parts, neither empty; the same on every device."""
    count = len(data.train.labels)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).to(data.device)
    cut, _ = settings.halves(count)
    return order[:cut], order[cut:]


def optimizers(supernet: Supernet, alphas: Alphas, settings: OneShotSettings) -> tuple[SGD, Adam]:
    """Of the weights and of the architecture weights."""
    momentum, decay = settings.momentum, settings.weight_decay
    sgd = SGD(supernet.parameters(), settings.lr, momentum=momentum, weight_decay=decay, fused=True)
    for weight in supernet.parameters() if momentum else ():
        # the first step from zero is that without; fused steps need it of all weights or of none
        sgd.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
    betas = (settings.alpha_beta1, settings.alpha_beta2)
    rows = [*alphas.parameters()] or [nn.Parameter(torch.empty(0))]  # a space without choices
    return sgd, Adam(rows, settings.alpha_lr, betas=betas, weight_decay=settings.alpha_weight_decay)


def trains_alphas(state: OneShot, settings: OneShotSettings) -> bool:
    """Whether the next epoch does."""
    return state.weighting.trains and state.epoch >= settings.alpha_from
