"""The published DARTS supernet, written plainly: what faster implementations are compared with.

Liu, Simonyan and Yang 2019, "DARTS: Differentiable Architecture Search" (https://arxiv.org/abs/1806.09055).
It follows the structure of the authors' code: every edge and every operation is a module of its own that is
called by itself, also where edges share inputs or where a result is multiplied by zero. Deviation: none in
what is computed; `darts_baseline_search.py` has the search step.

Names of the weights, the mapping by which two implementations are compared (states 0 and 1 are a cell's
inputs, 2 to 5 its nodes; c is a cell's number, C its channels, K a kernel's side):

    stem.convolution.weight (3C, 3, 3, 3)     stem.normalisation.weight, .bias (3C)
    cells.c.preprocess0.convolution.weight    1x1; after a reduction cell .even.weight and .odd.weight instead
    cells.c.preprocess1.convolution.weight    1x1
    cells.c.edges.SOURCE_TARGET.OPERATION.    followed, for
        skip_connect of stride 2, by even.weight, odd.weight (C/2, C, 1, 1)
        dil_conv_KxK, by depthwise.weight (C, 1, K, K), pointwise.weight (C, C, 1, 1)
        sep_conv_KxK, by first. or second. and then the same two
    classifier.weight, classifier.bias

Architecture weights are {"normal": a, "reduction": b} of shape (edges, operations): edges node by node, of a
node by rising source; operations as in OPERATIONS. They are not among the weights.
Counts: 1,930,618 weights at 16 channels, 8 cells and 10 classes, and 394,210 at 8 channels and 5 cells, both
without the 2 x 14 x 8 = 224 architecture weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
KINDS = ("normal", "reduction")
STEM_MULTIPLIER = 3


@dataclass(frozen=True, slots=True)
class Shape:
    """Size of a supernet: channels of the first cells, cells, classes, nodes of a cell."""

    channels: int = 16
    cells: int = 8
    classes: int = 10
    nodes: int = 4

    @property
    def edges(self) -> list[tuple[int, int]]:
        """(source, target) of a cell, in the order of the architecture weights."""
        return [(source, target) for target in range(2, 2 + self.nodes) for source in range(target)]

    @property
    def reductions(self) -> tuple[int, int]:
        return self.cells // 3, 2 * self.cells // 3


class Zero(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


class ReluConvolution(nn.Module):
    """ReLU, 1x1 convolution, normalisation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.normalisation = nn.BatchNorm2d(outputs, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.normalisation(self.convolution(functional.relu(x)))


class FactorizedReduce(nn.Module):
    """Halves the sides: one 1x1 convolution sees the even pixels, another the odd ones."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.normalisation = nn.BatchNorm2d(outputs, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(x)
        return self.normalisation(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], dim=1))


class DepthwiseSeparable(nn.Module):
    """ReLU, depthwise and pointwise convolution, normalisation: a dil_conv, and half a sep_conv."""

    def __init__(self, channels: int, kernel: int, stride: int, dilation: int = 1) -> None:
        super().__init__()
        padding = dilation * (kernel - 1) // 2
        self.depthwise = nn.Conv2d(
            channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False
        )
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.normalisation = nn.BatchNorm2d(channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.normalisation(self.pointwise(self.depthwise(functional.relu(x))))


class Separable(nn.Module):
    """Two of them, the first with the stride."""

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.first = DepthwiseSeparable(channels, kernel, stride)
        self.second = DepthwiseSeparable(channels, kernel, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


class Pool(nn.Module):
    """3x3 pooling and normalisation; an average leaves the padding out."""

    def __init__(self, kind: str, channels: int, stride: int) -> None:
        super().__init__()
        self.pool = (
            nn.MaxPool2d(3, stride, padding=1)
            if kind == "max"
            else nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
        )
        self.normalisation = nn.BatchNorm2d(channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.normalisation(self.pool(x))


BUILDERS: dict[str, Callable[[int, int], nn.Module]] = {
    "none": lambda _, stride: Zero(stride),
    "max_pool_3x3": lambda channels, stride: Pool("max", channels, stride),
    "avg_pool_3x3": lambda channels, stride: Pool("average", channels, stride),
    "skip_connect": lambda channels, stride: (
        nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)
    ),
    "sep_conv_3x3": lambda channels, stride: Separable(channels, 3, stride),
    "sep_conv_5x5": lambda channels, stride: Separable(channels, 5, stride),
    "dil_conv_3x3": lambda channels, stride: DepthwiseSeparable(channels, 3, stride, dilation=2),
    "dil_conv_5x5": lambda channels, stride: DepthwiseSeparable(channels, 5, stride, dilation=2),
}


class MixedOperation(nn.ModuleDict):
    """The weighted sum of all operations on one edge."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__({name: BUILDERS[name](channels, stride) for name in OPERATIONS})

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        terms = [weight * operation(x) for weight, operation in zip(weights, self.values(), strict=True)]
        return _total(terms)


class Cell(nn.Module):
    def __init__(
        self, shape: Shape, inputs: tuple[int, int], channels: int, halved: tuple[bool, bool]
    ) -> None:
        """`halved`: whether the cell before this one is a reduction cell, and whether this one is."""
        super().__init__()
        after_reduction, reduction = halved
        self.shape = shape
        first = FactorizedReduce if after_reduction else ReluConvolution
        self.preprocess0 = first(inputs[0], channels)
        self.preprocess1 = ReluConvolution(inputs[1], channels)
        self.edges = nn.ModuleDict(
            {
                f"{source}_{target}": MixedOperation(channels, 2 if reduction and source < 2 else 1)
                for source, target in shape.edges
            }
        )

    def forward(self, before: Tensor, last: Tensor, weights: Tensor) -> Tensor:
        states = [self.preprocess0(before), self.preprocess1(last)]
        rows = dict(zip(self.shape.edges, weights, strict=True))
        for target in range(2, 2 + self.shape.nodes):
            terms = [
                self.edges[f"{source}_{target}"](states[source], rows[source, target])
                for source in range(target)
            ]
            states.append(_total(terms))
        return torch.cat(states[2:], dim=1)


class Stem(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.normalisation = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.normalisation(self.convolution(x))


class Supernet(nn.Module):
    """All architectures of the space in one network; its parameters are the weights, without the alphas."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        before = last = STEM_MULTIPLIER * shape.channels
        channels, halved = shape.channels, False
        self.stem = Stem(last)
        self.cells = nn.ModuleList()
        for number in range(shape.cells):
            reduction = number in shape.reductions
            channels *= 2 if reduction else 1
            self.cells.append(Cell(shape, (before, last), channels, (halved, reduction)))
            before, last, halved = last, shape.nodes * channels, reduction
        self.classifier = nn.Linear(last, shape.classes)

    def forward(self, images: Tensor, alphas: Mapping[str, Tensor]) -> Tensor:
        before = last = self.stem(images)
        for number, cell in enumerate(self.cells):
            kind = KINDS[number in self.shape.reductions]
            weights = functional.softmax(alphas[kind], dim=-1)
            before, last = last, cell(before, last, weights)
        return self.classifier(functional.adaptive_avg_pool2d(last, 1).flatten(1))


def discretize(alphas: Tensor, shape: Shape | None = None) -> list[tuple[str, int]]:
    """The cell of architecture weights (edges, operations), as a published genotype lists it.

    Of each node the two edges with the largest weight of an operation other than `none`, the stronger
    first, each with that operation.
    """
    shape = shape or Shape()
    weights = functional.softmax(alphas.detach(), dim=-1)[:, 1:]  # `none` is first
    bounds = [0]
    for target in range(2, 2 + shape.nodes):
        bounds.append(bounds[-1] + target)
    cell: list[tuple[str, int]] = []
    for start, end in pairwise(bounds):
        strongest = weights[start:end].max(dim=1)
        sources = sorted(range(end - start), key=lambda source: -float(strongest.values[source]))[:2]
        cell += [(OPERATIONS[1 + int(strongest.indices[source])], source) for source in sources]
    return cell


def _total(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
