"""Modules of the composites: sums, concatenations, residuals, cells and chains of cells."""

from __future__ import annotations

from functools import reduce
from operator import add

import torch
from torch import nn

from nas.layers import wiring
from nas.layers.modules import named, pad_to
from nas.layers.operations import FactorizedReduce, relu_conv_bn
from nas.layers.paths import DropPath
from nas.layers.shapes import Attributes, Parts
from nas.layers.wiring import Edge, Entry
from nas.primitives import Context, Inputs, Part, Shape


def numbered(parts: Parts, modules: list[nn.Module]) -> nn.ModuleDict:
    """Modules under the label and the position of their parts, e.g. "conv_3"."""
    return nn.ModuleDict(
        {f"{part.label}_{i}": m for i, (part, m) in enumerate(zip(parts, modules, strict=True))}
    )


def is_identity(path: nn.Module) -> bool:
    """Whether a path hands on what comes in, as an identity or as a sequence of nothing else."""
    return isinstance(path, nn.Identity) or (type(path) is nn.Sequential and all(map(is_identity, path)))


def _run(path: nn.Module, x: torch.Tensor, drop_path: nn.Module) -> torch.Tensor:
    """The path's output, dropped at the rate of `drop_path` unless the path is an identity."""
    return path(x) if is_identity(path) else drop_path(path(x))


class Add(nn.Module):
    """Sum of branches that read the same input; beside an identity, the others may be dropped."""

    def __init__(self, branches: nn.ModuleDict) -> None:
        super().__init__()
        self.branches = branches
        self.has_identity = any(map(is_identity, branches.values()))
        self.drop_path = DropPath()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.has_identity:
            return reduce(add, [branch(x) for branch in self.branches.values()])
        return reduce(add, [_run(branch, x, self.drop_path) for branch in self.branches.values()])


class Concat(nn.Module):
    """Branches that read the same input, side by side along channels."""

    def __init__(self, branches: nn.ModuleDict) -> None:
        super().__init__()
        self.branches = branches

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.branches.values()], dim=1)


class Residual(nn.Module):
    """Input plus body, both padded with zeros at the end of each side to the larger one (DeepArchitect)."""

    def __init__(self, body: nn.Module, out_shape: Shape) -> None:
        super().__init__()
        self.body = body
        self.out_shape = out_shape
        self.drop_path = DropPath()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = _run(self.body, x, self.drop_path)
        if x.dim() != y.dim():
            x, y = x.flatten(1), y.flatten(1)
        return pad_to(x, self.out_shape) + pad_to(y, self.out_shape)


def _branches(in_shape: Shape, parts: Parts, context: Context) -> nn.ModuleDict:
    return numbered(parts, [part.build(in_shape, context) for part in parts])


def build_add(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    return Add(_branches(in_shape, parts, context))


def build_concat(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    return Concat(_branches(in_shape, parts, context))


def build_residual(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:
    out_shape = wiring.residual(in_shape, attributes, parts, context)
    return Residual(parts[0].build(in_shape, context), out_shape)


def build_train(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:  # noqa: ARG001
    """The network alone; an evaluator reads the settings."""
    return parts[0].build(in_shape, context)


class Node(nn.Module):
    """Sum of operations, each on one of the values computed so far."""

    def __init__(self, inputs: tuple[int, ...], operations: nn.ModuleDict) -> None:
        super().__init__()
        self.inputs = inputs
        self.operations = operations
        self.drop_path = DropPath()

    def forward(self, values: list[torch.Tensor]) -> torch.Tensor:
        pairs = zip(self.inputs, self.operations.values(), strict=True)
        return reduce(add, [_run(operation, values[i], self.drop_path) for i, operation in pairs])

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

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        values = self.entered(*inputs)
        for node in self.nodes.values():
            values.append(node(values))
        return self.collected(values)

    def entered(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """What the nodes may read before the first of them."""
        given = inputs * len(self.entries) if len(inputs) == 1 else inputs
        return [entry(x) for entry, x in zip(self.entries, given, strict=True)]

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
    nodes = {f"node_{first + i}": _node(edges) for i, edges in enumerate(plan.nodes)}
    return Cell(entries, nn.ModuleDict(nodes), attributes["output"])


def _entry(entry: Entry, width: int, context: Context) -> nn.Module:
    if entry.kind == "factorized_reduce":
        return FactorizedReduce(entry.in_shape[0], width, context)
    if entry.kind == "relu_conv_bn":
        attributes = {"kernel": 1, "width": width}
        return relu_conv_bn(entry.in_shape, attributes, (), context)
    return nn.Identity()


def _node(edges: tuple[Edge, ...]) -> Node:
    operations = [edge.part.build(edge.in_shape, edge.context) for edge in edges]
    sources = tuple(edge.source for edge in edges)
    return Node(sources, numbered(tuple(edge.part for edge in edges), operations))


class Chain(nn.Module):
    """Stem and parts; a part that reads two values gets the two previous outputs, older first."""

    def __init__(self, stem: nn.Module, parts: nn.ModuleDict, reads: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = stem
        self.parts = parts
        self.reads = reads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = last = self.stem(x)
        for part, count in zip(self.parts.values(), self.reads, strict=True):
            before, last = last, part(before, last) if count == 2 else part(last)
        return last


def build_chain(in_shape: Shape, attributes: Attributes, parts: Parts, context: Context) -> nn.Module:
    """DARTS' macro architecture: a 3x3 stem with batch normalisation, then the parts."""
    stem_shape, links = wiring.plan_chain(in_shape, attributes, parts, context)
    conv = nn.Conv2d(in_shape[0], stem_shape[0], 3, padding=1, bias=False)
    stem = named(conv=conv, norm=nn.BatchNorm2d(stem_shape[0]))
    modules = [link.part.build(link.in_shape, link.context) for link in links]
    steps: tuple[Part, ...] = tuple(link.part for link in links)
    return Chain(stem, numbered(steps, modules), tuple(link.reads for link in links))
