"""The auxiliary head: a second classifier at two thirds of the depth, whose loss is added while training.

Szegedy et al. 2015 (https://arxiv.org/abs/1409.4842); place and classifier are those of DARTS on CIFAR
(Liu et al. 2019, https://arxiv.org/abs/1806.09055). It is no part of the network: it has no share in
parameter counts, saved weights, or any measurement.

DARTS puts it behind cell 2 n // 3 of n, counted from 0. Of other networks the outermost sequence is counted,
stem and what gives no images left out: each part that holds a convolution or a linear layer is one,
and what follows it without weights, such as its activation, belongs to it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from nas.errors import CompileError
from nas.layers import CellChain

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
        """(B, K) for the batch that the network saw last, in training mode."""
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
        CompileError: there is no block between stem and classifier that gives images.
    """
    spine = list(_spine(network))
    outputs = _outputs(network, spine, images)
    shapes = [outputs.get(index, ()) for index in range(len(spine))]
    weighted = [i for i, part in enumerate(spine) if _has_weights(part)][1:]  # the first one is the stem
    blocks = [i for i in weighted if len(shapes[i]) == 3]
    if not blocks:
        raise CompileError(
            "auxiliary: expected a sequence of blocks between stem and classifier, to put the auxiliary head "
            "at 2/3 of them; the network has none; set auxiliary to 0"
        )
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
    """The parts of the outermost sequence in order, sequences in it taken apart."""
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
    """Shapes without the batch dimension that come out of the parts, by index; -1: of the network."""
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
