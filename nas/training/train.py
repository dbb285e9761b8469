"""The training loop of one classifier.

The data stay on the device, where batches are gathered and augmented. Each epoch is seeded by (seed, epoch),
so that a training that is continued from a saved state equals one without interruption.

Shapes: B images of a batch, C channels, H, W pixels, K classes.

The auxiliary head: a second classifier at two thirds of the depth, whose loss is added while training.

Szegedy et al. 2015 (https://arxiv.org/abs/1409.4842); place and classifier are those of DARTS on CIFAR
(Liu et al. 2019, https://arxiv.org/abs/1806.09055). It is not part of the network and of its parameter
counts, saved weights and measurements.

DARTS puts it behind cell 2 n // 3 of n, counted from 0. In other networks the blocks of the outermost
sequence are counted, without the stem and parts whose outputs are no images: each part with a convolution or
a linear layer is a block, together with the parts without weights that follow it, such as an activation.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from nas.errors import CompileError, refusal
from nas.evaluation import Status
from nas.layers import CellChain, TrainSettings, set_drop_path
from nas.training.augment import autoaugment, crop_and_flip, cutout
from nas.training.device import DeviceData, Split, derived_seed, seed_global
from nas.training.schedules import Plateau, rate_factor

_WEIGHTED = (nn.Conv2d, nn.Linear)
_DARTS_SIDES = (8, 8)


@dataclass(slots=True, eq=False)
class Auxiliary:
    """A head, and the module of the network whose output it reads.

    Attributes:
        head: (B, C, H, W) -> (B, K).
        place: part of the network.
    """

    head: nn.Module
    place: nn.Module
    _features: Tensor | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.place.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, _: object, output: Tensor) -> None:
        if module.training:
            self._features = output

    def scores(self) -> Tensor:
        """(B, K) for the last batch of the network in training mode."""
        features, self._features = self._features, None
        assert features is not None, "the network runs first"
        return self.head(features)


def attach(network: nn.Module, images: Tensor) -> Auxiliary:
    """A new head at its place, on the device of the images; its weights come from torch's generator.

    Raises:
        CompileError: the network has no place for it.
    """
    place, shape, classes = find_place(network, images)
    new = head(shape, classes).to(images.device)
    new.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Auxiliary(new, place)


def find_place(network: nn.Module, images: Tensor) -> tuple[nn.Module, tuple[int, int, int], int]:
    """The module behind which the head stands, the shape (C, H, W) of its output, the number of classes.

    Args:
        network: in any mode, which it keeps.
        images: (B, C, H, W), on its device; they may be on the meta device.

    Raises:
        CompileError: there is no block between stem and classifier whose outputs are images.
    """
    spine = list(_spine(network))
    outputs = _outputs(network, spine, images)
    shapes = [outputs.get(index, ()) for index in range(len(spine))]
    weighted = [i for i, part in enumerate(spine) if _has_weights(part)][1:]  # the first one is the stem
    blocks = [i for i in weighted if len(shapes[i]) == 3]
    if not blocks:
        expected = (
            "a sequence of blocks between stem and classifier, to put the auxiliary head at 2/3 of them"
        )
        raise CompileError(refusal("auxiliary", expected, "none", "set auxiliary to 0"))
    at = blocks[2 * len(blocks) // 3]
    while at + 1 < len(spine) and at + 1 not in weighted and shapes[at + 1] == shapes[at]:
        at += 1
    channels, height, width = shapes[at]
    return spine[at], (channels, height, width), outputs[-1][0]


def head(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """DARTS' classifier for maps of 8x8; other sizes are pooled to 2x2, or to 1 where a side is 1."""
    channels, height, width = shape
    window = min(2, height), min(2, width)
    pool = nn.AvgPool2d(5, stride=3, count_include_pad=False)
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        relu1=nn.ReLU(),
        pool=pool if (height, width) == _DARTS_SIDES else nn.AdaptiveAvgPool2d(window),
        conv1=nn.Conv2d(channels, 128, 1, bias=False),
        norm1=nn.BatchNorm2d(128),
        relu2=nn.ReLU(),
        conv2=nn.Conv2d(128, 768, window, bias=False),
        norm2=nn.BatchNorm2d(768),
        relu3=nn.ReLU(),
        flatten=nn.Flatten(),
        linear=nn.Linear(768, classes),
    )
    return nn.Sequential(layers)


def _spine(module: nn.Module) -> Iterator[nn.Module]:
    """The parts of the outermost sequence in order, with nested sequences flattened."""
    if type(module) is nn.Sequential:  # not its subclasses: those are single operations
        for part in module:
            yield from _spine(part)
    elif isinstance(module, CellChain):
        yield module.stem
        for part in module.parts.values():
            yield from _spine(part)
    else:
        yield module


def _has_weights(module: nn.Module) -> bool:
    return any(isinstance(part, _WEIGHTED) for part in module.modules())


def _outputs(network: nn.Module, spine: list[nn.Module], images: Tensor) -> dict[int, tuple[int, ...]]:
    """Output shapes of the parts without the batch dimension, by index; -1 is the network."""
    shapes: dict[int, tuple[int, ...]] = {}

    def watch(index: int, _: nn.Module | None, __: object, output: Tensor) -> None:
        shapes[index] = tuple(output.shape[1:])

    hooks = [part.register_forward_hook(partial(watch, i)) for i, part in enumerate(spine)]
    was_training = network.training
    try:
        with torch.no_grad():
            watch(-1, None, None, network.eval()(images))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return shapes


CHECK_STEPS = 16  # steps between checks of the loss, each of which waits for a GPU
EVALUATION_BATCH = 512  # images measured at a time

MakeOptimizer = Callable[[list[nn.Parameter], TrainSettings], Optimizer]


@dataclass(slots=True)
class Training:
    """A training in progress: everything that the next epoch depends on, besides data and settings.

    Attributes:
        network: on the device of the data.
        optimizer: of its parameters.
        seed: of batch order, augmentation, dropout and drop-path.
        epoch: epochs done.
        plateau: state of the plateau rule.
        curve: one row of numbers per epoch.
        best: the network's state after the best epoch by validation, if that epoch is reported.
        auxiliary: the second head, if the settings ask for one.
    """

    network: nn.Module
    optimizer: Optimizer
    seed: int
    epoch: int = 0
    plateau: Plateau = field(default_factory=Plateau)
    curve: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] | None = None
    auxiliary: Auxiliary | None = None


class Stopped(Exception):
    """A training that cannot continue: diverged, or over its time limit."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def start(
    network: nn.Module, data: DeviceData, settings: TrainSettings, seed: int, make_optimizer: MakeOptimizer
) -> Training:
    """A training before its first epoch.

    Raises:
        CompileError: the settings ask for an auxiliary head, and the network has no place for it.
    """
    network.to(data.device)
    # channels last also on the CPU: 15 to 40 % faster a step on five small networks (n = 2, one core)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    auxiliary = None
    if settings.auxiliary:
        auxiliary = attach(network, data.normalized(data.train.images[:1]))
        parameters += auxiliary.head.parameters()
    return Training(network, make_optimizer(parameters, settings), seed, auxiliary=auxiliary)


def train(
    training: Training, data: DeviceData, settings: TrainSettings, *, epochs: int, deadline: float = math.inf
) -> None:
    """Continues the training, in place, until `epochs` epochs, `stop_patience` or `max_seconds` have passed.

    The epoch in which `max_seconds` are reached ends early and counts, so that there is always one to report.

    Args:
        training: changed in place; to be run inside `device.forked_seed`.
        data: on the device.
        settings: of the whole training; `settings.epochs` is the horizon of its schedule.
        epochs: after which to stop, counted from the training's first.
        deadline: time on `time.perf_counter` after which to stop.

    Raises:
        Stopped: a loss or a weight that is not finite, or the deadline has passed.
    """
    network, optimizer, device = training.network, training.optimizer, data.device
    batch_size = min(settings.batch_size, len(data.train.labels))
    steps = len(data.train.labels) // batch_size  # an incomplete last batch is left out
    passed = training.curve[-1]["seconds"] if training.curve else 0.0
    started = time.perf_counter() - passed
    bound = started + (settings.max_seconds or math.inf)

    while training.epoch < epochs and not training.plateau.exhausted(settings):
        if training.epoch and time.perf_counter() > bound:
            break
        seed_global(derived_seed(training.seed, training.epoch, 0), device)  # dropout, drop-path
        draws = torch.Generator(device).manual_seed(derived_seed(training.seed, training.epoch, 1))
        order = torch.randperm(len(data.train.labels), generator=draws, device=device)
        total_loss = torch.zeros((), device=device)
        network.train()
        set_drop_path(network, settings.drop_path * training.epoch / settings.epochs)
        step = 0
        for step, batch in enumerate(order[: steps * batch_size].split(batch_size)):
            factor = rate_factor(settings, training.epoch * steps + step, steps, training.plateau)
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * factor
            images = crop_and_flip(data.train.images[batch], settings, draws)
            images = autoaugment(images, settings.autoaugment, draws)
            images = cutout(data.normalized(images), settings.cutout, draws)
            with precision(device):
                logits = network(images)  # (B, K)
                labels = data.train.labels[batch]
                loss = cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
                if training.auxiliary is not None:
                    scores = training.auxiliary.scores()  # (B, K)
                    loss = loss + settings.auxiliary * cross_entropy(
                        scores, labels, label_smoothing=settings.label_smoothing
                    )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if settings.grad_clip:
                nn.utils.clip_grad_norm_(_parameters(training), settings.grad_clip)
            optimizer.step()
            total_loss += loss.detach()
            over = time.perf_counter() > bound
            if step % CHECK_STEPS == CHECK_STEPS - 1 or step == steps - 1 or over:
                check_finite(total_loss, "training loss", training.epoch)
            if time.perf_counter() > deadline:
                raise Stopped(Status.TIMEOUT, f"over the time limit in epoch {training.epoch + 1}")
            if over:
                break

        accuracy, validation_loss = measure(network, data, data.validation)
        check_finite(torch.tensor(validation_loss), "validation loss", training.epoch)
        check_finite(_magnitude(network), "weights", training.epoch)
        training.epoch += 1
        training.plateau = training.plateau.after(accuracy, settings)
        training.curve.append(
            {
                "epoch": training.epoch,
                "train_loss": total_loss.item() / (step + 1),
                "validation_loss": validation_loss,
                "validation_accuracy": accuracy,
                "seconds": time.perf_counter() - started,
            }
        )
        if settings.restore_best and training.plateau.best_epoch == training.epoch:
            training.best = {name: value.detach().clone() for name, value in network.state_dict().items()}


def _parameters(training: Training) -> list[nn.Parameter]:
    """All trained parameters, including those of an auxiliary head."""
    further = training.auxiliary.head.parameters() if training.auxiliary else ()
    return [*training.network.parameters(), *further]


def measure(network: nn.Module, data: DeviceData, split: Split) -> tuple[float, float]:
    """Accuracy in percent and mean cross-entropy over a split, in evaluation mode."""
    network.eval()
    correct = torch.zeros((), device=data.device)
    total_loss = torch.zeros((), device=data.device)
    with torch.inference_mode(), precision(data.device):
        for images, labels in zip(*(part.split(EVALUATION_BATCH) for part in split), strict=True):
            logits = network(data.normalized(images))  # (B, K)
            correct += (logits.argmax(1) == labels).sum()
            total_loss += cross_entropy(logits, labels, reduction="sum")
    count = len(split.labels)
    return 100.0 * correct.item() / count, total_loss.item() / count


def reported_row(training: Training, settings: TrainSettings) -> dict[str, float]:
    """The row of the curve whose accuracy is reported; gives the network the weights of that epoch."""
    if not settings.restore_best:
        return training.curve[-1]
    if training.best is not None:
        training.network.load_state_dict(training.best)
    return training.curve[training.plateau.best_epoch - 1]


def precision(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """bfloat16 on a GPU, float32 elsewhere."""
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def standard_optimizer(parameters: list[nn.Parameter], settings: TrainSettings) -> Optimizer:
    """The optimizer that the settings name."""
    options = {"lr": settings.lr, "weight_decay": settings.weight_decay, "fused": True}
    if settings.optimizer == "adam":
        return torch.optim.Adam(parameters, **options)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, **options)
    nesterov = settings.momentum > 0
    return torch.optim.SGD(parameters, momentum=settings.momentum, nesterov=nesterov, **options)


def _magnitude(network: nn.Module) -> Tensor:
    """Largest absolute weight; not finite if any weight is not."""
    weights = [weight.detach() for weight in network.parameters() if weight.numel()]
    return torch.stack([weight.abs().amax().float() for weight in weights]).amax()


def check_finite(number: Tensor, name: str, epoch: int) -> None:
    """Raises Stopped if the number, `name` in the message, is not finite after epoch `epoch`, from 0."""
    if not math.isfinite(number.item()):
        raise Stopped(Status.DIVERGED, f"{name} not finite in epoch {epoch + 1}")
