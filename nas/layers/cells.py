"""Modules of the composites: sums, concatenations, residuals, cells and chains of cells."""

from __future__ import annotations

import math

import torch
from torch import nn

from nas.language import Context, Inputs, Part, Shape
from nas.layers import wiring
from nas.layers.modules import DropPath, named
from nas.layers.operations import FactorizedReduce, relu_conv_bn
from nas.layers.shapes import Attributes, Parts
from nas.layers.wiring import CellInput


def numbered(parts: Parts, modules: list[nn.Module]) -> nn.ModuleDict:
    """Modules under the label and the position of their parts, e.g. "conv_3"."""
    return nn.ModuleDict(
        {f"{part.label}_{i}": m for i, (part, m) in enumerate(zip(parts, modules, strict=True))}
    )


def is_identity(path: nn.Module) -> bool:
    """Whether a path hands on what comes in, as an identity or as a sequence of nothing else."""
    return isinstance(path, nn.Identity) or (type(path) is nn.Sequential and all(map(is_identity, path)))


def total(values: list[torch.Tensor]) -> torch.Tensor:
    """Their sum in order, without a zero to start from."""
    result = values[0]
    for value in values[1:]:
        result = result + value
    return result


class Composite(nn.Module):
    """A module that decides what its forward pass does when it is built, so that the pass can be traced."""

    def settle(self) -> None:
        """Decides again, after modules inside were replaced."""


class Add(Composite):
    """Sum of branches that read the same input; beside an identity, the others may be dropped.

    Attributes:
        droppable: of each branch, whether it may be.
    """

    def __init__(self, branches: nn.ModuleDict) -> None:
        super().__init__()
        self.branches = branches
        self.drop_path = DropPath()
        self.settle()

    def settle(self) -> None:
        identities = [is_identity(branch) for branch in self.branches.values()]
        self.droppable = [any(identities) and not identity for identity in identities]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values: list[torch.Tensor] = []
        for index, branch in enumerate(self.branches.values()):
            value = branch(x)
            values.append(self.drop_path(value) if self.droppable[index] else value)
        return total(values)


class Concat(nn.Module):
    """Branches that read the same input, side by side along channels."""

    def __init__(self, branches: nn.ModuleDict) -> None:
        super().__init__()
        self.branches = branches

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values: list[torch.Tensor] = []
        for branch in self.branches.values():
            values.append(branch(x))
        return torch.cat(values, dim=1)


class Residual(Composite):
    """Input plus body, both padded with zeros at the end of each side to the larger one (DeepArchitect).

    Args:
        body: from images or features of `in_shape` to those of `body_shape`.
        in_shape: without the batch dimension.
        body_shape: likewise; both are flattened where their ranks differ.
    """

    def __init__(self, body: nn.Module, in_shape: Shape, body_shape: Shape) -> None:
        super().__init__()
        self.body = body
        self.out_shape = wiring.larger(in_shape, body_shape)
        self.flattened = len(in_shape) != len(body_shape)
        self.drop_path = DropPath()
        self.pad_input, self.pad_body = self._padding(in_shape), self._padding(body_shape)
        self.settle()

    def _padding(self, shape: Shape) -> nn.Module | None:
        """Zeros at the end of each side up to the shape of the sum; None where nothing is missing."""
        have = (math.prod(shape),) if self.flattened else shape
        missing = [size - part for size, part in zip(self.out_shape, have, strict=True)]
        return Pad([end for size in reversed(missing) for end in (0, size)]) if any(missing) else None

    def settle(self) -> None:
        self.droppable = not is_identity(self.body)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        if self.droppable:
            y = self.drop_path(y)
        if self.flattened:
            x, y = x.flatten(1), y.flatten(1)
        if self.pad_input is not None:
            x = self.pad_input(x)
        if self.pad_body is not None:
            y = self.pad_body(y)
        return x + y


class Pad(nn.Module):
    """Zeros at both ends of each side, from the last side on, as `torch.nn.functional.pad` takes them."""

    def __init__(self, sides: list[int]) -> None:
        super().__init__()
        self.sides = sides

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.pad(x, self.sides)

    def extra_repr(self) -> str:
        return f"sides={self.sides}"


def build_add(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    return Add(numbered(parts, [part.build(in_shape, context) for part in parts]))


def build_concat(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    return Concat(numbered(parts, [part.build(in_shape, context) for part in parts]))


def build_residual(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    return Residual(parts[0].build(in_shape, context), in_shape, parts[0].shape(in_shape, context))


def build_train(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    """The network alone; an evaluator reads the settings."""
    return parts[0].build(in_shape, context)


class CellNode(Composite):
    """Sum of operations, each on one of the values computed so far; identities are never dropped."""

    def __init__(self, inputs: tuple[int, ...], operations: nn.ModuleDict) -> None:
        super().__init__()
        self.inputs = inputs
        self.operations = operations
        self.drop_path = DropPath()
        self.settle()

    def settle(self) -> None:
        self.sources = list(self.inputs)
        self.droppable = [not is_identity(operation) for operation in self.operations.values()]

    def forward(self, values: list[torch.Tensor]) -> torch.Tensor:
        results: list[torch.Tensor] = []
        for index, operation in enumerate(self.operations.values()):
            result = operation(values[self.sources[index]])
            results.append(self.drop_path(result) if self.droppable[index] else result)
        return total(results)

    def extra_repr(self) -> str:
        return f"inputs={self.inputs}"


class Cell(nn.Module):
    """A graph of nodes; values are numbered inputs first, then nodes.

    Called with one tensor, all of its inputs read that one.
    """

    def __init__(self, entries: nn.ModuleList, nodes: nn.ModuleDict, output: str) -> None:
        super().__init__()
        self.entries = entries
        self.nodes = nodes
        self.output = output

    def forward(self, first: torch.Tensor, second: torch.Tensor | None = None) -> torch.Tensor:
        values = self.entered(first, second)
        for node in self.nodes.values():
            values.append(node(values))
        return self.collected(values)

    def entered(self, first: torch.Tensor, second: torch.Tensor | None = None) -> list[torch.Tensor]:
        """What the nodes may read before the first of them."""
        last = first if second is None else second
        values: list[torch.Tensor] = []
        for index, entry in enumerate(self.entries):
            values.append(entry(first if index == 0 else last))
        return values

    def collected(self, values: list[torch.Tensor]) -> torch.Tensor:
        """The output, of all values."""
        if self.output == "last":
            return values[-1]
        return torch.cat(values[len(self.entries) :], dim=1)

    def extra_repr(self) -> str:
        return f"output={self.output}"


def build_cell(in_shape: Inputs, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:
    plan = wiring.plan_cell(in_shape, attributes, parts, context)
    entries = nn.ModuleList(_entry(entry, plan.width, context) for entry in plan.entries)
    first = len(plan.entries)
    nodes = nn.ModuleDict()
    for i, edges in enumerate(plan.nodes):
        operations = [edge.part.build(edge.in_shape, edge.context) for edge in edges]
        sources, read = tuple(edge.source for edge in edges), tuple(edge.part for edge in edges)
        nodes[f"node_{first + i}"] = CellNode(sources, numbered(read, operations))
    return Cell(entries, nodes, attributes["output"])


def _entry(entry: CellInput, width: int, context: Context) -> nn.Module:
    if entry.kind == "factorized_reduce":
        return FactorizedReduce(entry.in_shape[0], width, context)
    if entry.kind == "relu_conv_bn":
        attributes = {"kernel": 1, "width": width}
        return relu_conv_bn(entry.in_shape, attributes, (), context)
    return nn.Identity()


class CellChain(nn.Module):
    """Stem and parts; a part that reads two values gets the two previous outputs, older first."""

    def __init__(self, stem: nn.Module, parts: nn.ModuleDict, reads: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = stem
        self.parts = parts
        self.reads = reads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = last = self.stem(x)
        for index, part in enumerate(self.parts.values()):
            # a cell has entries: TorchScript asks so that it compiles two arguments for cells alone
            if hasattr(part, "entries") and self.reads[index] == 2:  # noqa: SIM108 - a static branch
                value = part(before, last)
            else:
                value = part(last)
            before, last = last, value
        return last


def build_chain(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:
    """DARTS' macro architecture: a 3x3 stem with batch normalisation, then the parts."""
    stem_shape, links = wiring.plan_chain(in_shape, attributes, parts, context)
    conv = nn.Conv2d(in_shape[0], stem_shape[0], 3, padding=1, bias=False)
    stem = named(conv=conv, norm=nn.BatchNorm2d(stem_shape[0]))
    modules = [link.part.build(link.in_shape, link.context) for link in links]
    steps: tuple[Part, ...] = tuple(link.part for link in links)
    return CellChain(stem, numbered(steps, modules), tuple(link.reads for link in links))
