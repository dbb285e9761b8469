"""Cells of a supernet computed for many edges at once: the same values by fewer and larger steps.

Inputs that feed the same targets by edges of equal options are taken together as an edge batch, in which each
option is computed for all edges by a few calls.

Shapes: N images, T targets, S sources, E = T S edges, target by target; C channels of a source, O of a
target; H, W sides of the sources, H', W' of the targets. Maps are in channels-last order. Channels of several
edges stand edge by edge.

What edges share is computed once: the rectified input, pooled maps and their statistics, `none` not at all.
Convolutions, normalisations and weighted sums of all edges from one source are one call each, and what lies
between the last depthwise convolution of an edge and the sum is never stored (`functions.py`). Results differ
from those of the modules one by one by rounding. With options that do not compute, in evaluation mode and
with dropped paths the modules are called one by one; only then are hooks on them called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.layers import Cell, DilConv, FactorizedReduce, ReluConvNorm, SepConv, SharpSepConv, Zero, is_identity
from nas.supernet.fused.functions import Depthwise, Geometry, HalfSeparable, Pixels, Statistics, depthwise
from nas.supernet.modules import ArchitectureWeights, Mixed, Relaxed, discretized, total_of

if TYPE_CHECKING:
    from nas.supernet.modules import ArchitectureWeights


Kind: TypeAlias = Literal[
    "zero", "identity", "pool", "separable", "dilated", "convolution", "reduce", "other"
]
Edge: TypeAlias = tuple[int, int, nn.Module]  # source, target, module


@dataclass(frozen=True, slots=True)
class EdgeGroup:
    """One option of all edges of an edge batch.

    Attributes:
        kind: how it is computed; "other" calls the modules one by one.
        column: number of the option.
        modules: one for each edge.
    """

    kind: Kind
    column: int
    modules: tuple[nn.Module, ...]

    def children(self, name: str) -> list[nn.Module]:
        return [getattr(module, name) for module in self.modules]


@dataclass(frozen=True, slots=True)
class EdgeBatch:
    """Edges that are computed together: one from each source to each target, target by target.

    Attributes:
        sources: values that are read.
        targets: values that are added to.
        holes: of each edge.
        groups: the options.
    """

    sources: tuple[int, ...]
    targets: tuple[int, ...]
    holes: tuple[int, ...]
    groups: tuple[EdgeGroup, ...]


@dataclass(frozen=True, slots=True)
class FusedPlan:
    """How a cell is computed.

    Attributes:
        inputs: number of values that are given.
        edge_batches: that add to the nodes; only inputs are sources of one batch together.
        separate: edges in no edge batch.
        norms: whose statistics the edge batches compute.
    """

    inputs: int
    edge_batches: tuple[EdgeBatch, ...]
    separate: tuple[Edge, ...]
    norms: tuple[nn.BatchNorm2d, ...]

    def edge_batches_of(self, number: int) -> list[EdgeBatch]:
        """Those that wait for the value of this number and for none after it."""
        return [batch for batch in self.edge_batches if self._ready(batch.sources[-1]) == number]

    def separate_edges_of(self, number: int) -> list[Edge]:
        return [edge for edge in self.separate if self._ready(edge[0]) == number]

    def _ready(self, source: int) -> int:
        return max(source, self.inputs - 1)


def plan_of(cell: Cell) -> FusedPlan | None:
    """None where no edges can be computed together."""
    first = len(cell.entries)
    edges: list[Edge] = [
        (source, first + number, module)
        for number, node in enumerate(cell.nodes.values())
        for source, module in zip(node.inputs, node.operations.values(), strict=True)  # type: ignore[arg-type]
    ]
    joined = [_is_joined(module) for _, _, module in edges]
    batches = tuple(_edge_batches([edge for edge, one in zip(edges, joined, strict=True) if one], first))
    separate = tuple(edge for edge, one in zip(edges, joined, strict=True) if not one)
    norms: list[Any] = [
        norm
        for batch in batches
        for group in batch.groups
        for name in _NORMS.get(group.kind, ())
        for norm in group.children(name)
    ]
    return FusedPlan(first, batches, separate, tuple(norms)) if batches else None


def _is_joined(module: nn.Module) -> bool:
    """Whether an edge is a mixture by one hole some of whose options can be computed for many edges."""
    if type(module) is not Mixed:
        return False
    (hole, _), *_ = module.picks[0]
    simple = module.picks == tuple(((hole, i),) for i in range(len(module.picks)))
    return simple and bool(set(map(kind_of, module.options)) - {"zero", "other"})


def _edge_batches(edges: Sequence[Edge], first: int) -> Iterator[EdgeBatch]:
    by_source: dict[tuple[object, int], list[tuple[int, Mixed]]] = {}
    for source, target, module in edges:
        assert isinstance(module, Mixed)
        signature = tuple((type(option), repr(option)) for option in module.options)  # not the weights
        by_source.setdefault((signature, source), []).append((target, module))
    merged: dict[object, dict[int, list[tuple[int, Mixed]]]] = {}
    for (signature, source), own in by_source.items():
        place, targets = max(source, first - 1), tuple(target for target, _ in own)
        merged.setdefault((place, signature, targets), {})[source] = own
    for found in merged.values():
        rows = list(zip(*found.values(), strict=True))  # one for each target
        modules = [module for row in rows for _, module in row]
        holes = tuple(module.picks[0][0][0] for module in modules)
        groups = tuple(
            EdgeGroup(kind_of(option), i, tuple(edge.options[i] for edge in modules))
            for i, option in enumerate(modules[0].options)
        )
        yield EdgeBatch(tuple(found), tuple(row[0][0] for row in rows), holes, groups)


def kind_of(module: nn.Module) -> Kind:
    """How modules of this type and form are computed together."""
    if is_identity(module):
        return "identity"
    found = _KINDS.get(type(module))
    return found[0] if found and found[1](module) else "other"


def _is_pool(module: nn.Module) -> bool:
    names, children = [name for name, _ in module.named_children()], list(module.children())
    return names == ["pool", "norm"] and type(children[0]) in _POOLS and _is_norm(children[1])


def _is_separable(module: nn.Module) -> bool:
    depthwise = _is_depthwise(module.depthwise1) and _is_depthwise(module.depthwise2)
    pointwise = _is_pointwise(module.pointwise1) and _is_pointwise(module.pointwise2)
    second: Any = module.depthwise2
    plain = depthwise and second.stride == second.dilation == (1, 1)
    return plain and pointwise and _is_norm(module.norm1) and _is_norm(module.norm2)


def _is_dilated(module: nn.Module) -> bool:
    return _is_depthwise(module.depthwise) and _is_pointwise(module.pointwise) and _is_norm(module.norm)


def _is_convolution(module: nn.Module) -> bool:
    return _is_plain(module.conv) and module.conv.groups == 1 and _is_norm(module.norm)  # type: ignore[union-attr]


def _is_reduce(module: nn.Module) -> bool:
    return all(_is_pointwise(half, stride=2) for half in (module.even, module.odd)) and _is_norm(module.norm)


def _is_plain(module: object) -> bool:
    return type(module) is nn.Conv2d and module.bias is None and module.padding_mode == "zeros"


def _is_pointwise(module: Any, stride: int = 1) -> bool:
    if not _is_plain(module):
        return False
    form = module.kernel_size, module.stride, module.padding, module.groups
    return form == ((1, 1), (stride, stride), (0, 0), 1)


def _is_depthwise(module: object) -> bool:
    """With equal sides, an odd kernel, and padding that keeps the sides but for the stride."""
    if not _is_plain(module):
        return False
    assert isinstance(module, nn.Conv2d)
    (side, _), (stride, _), (dilation, _) = module.kernel_size, module.stride, module.dilation
    squares = (side, side), (stride, stride), (dilation, dilation), (dilation * (side // 2),) * 2
    equal = squares == (module.kernel_size, module.stride, module.dilation, module.padding)
    one_each = module.groups == module.in_channels == module.out_channels
    return equal and one_each and side % 2 == 1 and stride <= 2 and dilation <= 2


def _is_norm(module: object) -> bool:
    """Without scale and shift, its running statistics an exponential average."""
    if type(module) is not nn.BatchNorm2d:
        return False
    return not module.affine and module.momentum is not None and module.running_mean is not None


_POOLS = (nn.MaxPool2d, nn.AvgPool2d)
_KINDS: dict[type[nn.Module], tuple[Kind, Callable[[nn.Module], bool]]] = {
    Zero: ("zero", lambda _: True),
    nn.Sequential: ("pool", _is_pool),
    SepConv: ("separable", _is_separable),
    SharpSepConv: ("separable", _is_separable),
    DilConv: ("dilated", _is_dilated),
    ReluConvNorm: ("convolution", _is_convolution),
    FactorizedReduce: ("reduce", _is_reduce),
}
_NORMS: dict[Kind, tuple[str, ...]] = {
    "pool": ("norm",),
    "separable": ("norm1", "norm2"),
    "dilated": ("norm",),
    "convolution": ("norm",),
    "reduce": ("norm",),
}

_LAST = torch.channels_last


class EdgeBatchRun:
    """The options of an edge batch on the maps of its sources.

    Args:
        edges: the batch to be computed.
        board: with soft weights of the holes of the batch.
        sources: (N, C, H, W) each.
        statistics: that take the batch statistics.
    """

    def __init__(
        self, edges: EdgeBatch, board: ArchitectureWeights, sources: Sequence[Tensor], statistics: Statistics
    ) -> None:
        self._edges, self._sources, self._statistics = edges, sources, statistics
        self._targets, self._count = len(edges.targets), len(sources)
        rows = [board.weights[hole].values for hole in edges.holes]
        x = torch.cat(list(sources), 1) if self._count > 1 else sources[0]
        self._x = x.contiguous(memory_format=_LAST)  # (N, S C, H, W)
        # whether the backward passes of `functions` are faster than torch's
        plain = x.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled(x.device.type)
        self._own = plain and x.device.type == "cpu"
        shares = torch.stack(rows).to(x.dtype)  # type: ignore[arg-type]
        self._shares = shares.view(self._targets, self._count, -1).unbind(2)  # of each option (T, S)

    def outputs(self) -> Sequence[Tensor]:
        """What the batch adds to each target, (N, O, H', W')."""
        parts, linear = [], []
        for group in self._edges.groups:
            share = self._shares[group.column]
            if group.kind in ("identity", "pool"):
                linear.append((share, self._x if group.kind == "identity" else self._pooled(group)))
            elif group.kind != "zero":
                parts.append(getattr(self, f"_{group.kind}")(group, share))
        if linear:
            parts.append(self._mixed(linear))
        return total_of(parts).chunk(self._targets, 1)

    @cached_property
    def _rectified(self) -> Tensor:
        return functional.relu(self._x)

    @cached_property
    def _repeated(self) -> Tensor:
        """The rectified sources, once for each target, (N, E C, H, W)."""
        return _repeated(self._rectified, self._targets)

    @cached_property
    def _even(self) -> Tensor:
        """Their pixels of even rows and columns."""
        return self._pixels(0)

    def _pixels(self, first: int) -> Tensor:
        """Of the rectified sources, every other row and column."""
        if self._own:
            return Pixels.apply(self._rectified, first)  # type: ignore[return-value]
        return Pixels.select(self._rectified, first)

    @cached_property
    def _repeated_even(self) -> Tensor:
        return _repeated(self._even, self._targets)

    def _pooled(self, group: EdgeGroup) -> Tensor:
        """(N, S C, H', W'), the same for all targets."""
        pooled = group.modules[0].pool(self._x)  # type: ignore[operator]
        return self._statistics.normalised(pooled, group.children("norm"))  # type: ignore[arg-type]

    def _mixed(self, terms: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Weighted sums over sources, by a 1x1 convolution."""
        channels = self._x.shape[1] // self._count
        shares = torch.stack([share for share, _ in terms], 1)  # (T, terms, S)
        eye = torch.eye(channels, dtype=shares.dtype, device=shares.device)
        weights = shares[:, None, :, :, None] * eye[None, :, None, None, :]  # (T, O, terms, S, C)
        maps = torch.cat([maps for _, maps in terms], 1)
        return functional.conv2d(maps, weights.reshape(-1, maps.shape[1], 1, 1))

    def _separable(self, group: EdgeGroup, share: Tensor) -> Tensor:
        first = group.children("depthwise1")
        x, geometry = self._read_by(first[0])
        kernels = _kernels(first)
        d: Any = Depthwise.apply(x, kernels, geometry) if self._own else depthwise(x, kernels, geometry)
        points = group.children("pointwise1")
        y = functional.conv2d(d, _kernels(points), groups=len(points))
        norms = group.children("norm1")
        x = functional.relu_(self._statistics.normalised(y, norms))  # type: ignore[arg-type]
        return self._half(x, group, ("depthwise2", "pointwise2", "norm2"), share, Geometry())

    def _dilated(self, group: EdgeGroup, share: Tensor) -> Tensor:
        x, geometry = self._read_by(group.children("depthwise")[0])
        return self._half(x, group, ("depthwise", "pointwise", "norm"), share, geometry)

    def _read_by(self, convolution: Any) -> tuple[Tensor, Geometry]:
        """The maps that a depthwise convolution of the rectified sources reads, and its geometry there."""
        geometry = Geometry(convolution.stride[0], convolution.dilation[0])
        if geometry == Geometry(2, 2):  # even pixels only
            return self._repeated_even, Geometry()
        return self._repeated, geometry

    def _half(
        self, x: Tensor, group: EdgeGroup, names: tuple[str, str, str], share: Tensor, geometry: Geometry
    ) -> Tensor:
        """Depthwise and pointwise convolution of (N, E C, H, W), norm, weighted sum over sources."""
        convolutions, points, norms = map(group.children, names)
        kernels, weights = _kernels(convolutions), _kernels(points)
        if not self._own:
            y = functional.conv2d(depthwise(x, kernels, geometry), weights, groups=len(points))
            return self._summed(y, norms, share)
        shape = self._targets, self._count, -1, weights.shape[1]
        found = HalfSeparable.apply(x, kernels, geometry, weights.view(shape), share, norms[0].eps)
        out, mean, variance = found  # type: ignore[misc]
        self._statistics.add(norms, mean, variance)  # type: ignore[arg-type]
        return out

    def _convolution(self, group: EdgeGroup, share: Tensor) -> Tensor:
        first: Any = group.children("conv")[0]
        weights = self._by_source(group.children("conv"))
        y = functional.conv2d(
            self._rectified, weights, None, first.stride, first.padding, first.dilation, self._count
        )
        return self._summed(self._by_target(y), group.children("norm"), share)

    def _reduce(self, group: EdgeGroup, share: Tensor) -> Tensor:
        """Both halves of every edge's output, from even and from odd pixels."""
        halves = [
            self._by_target(
                functional.conv2d(maps, self._by_source(group.children(name)), groups=self._count)
            )
            for name, maps in (("even", self._even), ("odd", self._pixels(1)))
        ]
        edges = self._targets * self._count
        y = torch.cat([half.unflatten(1, (edges, -1)) for half in halves], 2).flatten(1, 2)
        return self._summed(y, group.children("norm"), share)

    def _other(self, group: EdgeGroup, share: Tensor) -> Tensor:
        edges = iter(group.modules)
        sums = [
            total_of([each * next(edges)(x) for each, x in zip(row, self._sources, strict=True)])
            for row in share.unbind(0)
        ]
        return torch.cat(sums, 1)

    def _summed(self, y: Tensor, norms: Sequence[Any], share: Tensor) -> Tensor:
        """(N, E O, H', W') normalised, and its weighted sums over sources (N, T O, H', W')."""
        y = self._statistics.normalised(y.contiguous(memory_format=_LAST), norms)
        y = y.unflatten(1, (self._targets, self._count, -1))
        return (y * share[..., None, None, None]).sum(2).flatten(1, 2)

    def _by_source(self, convolutions: Sequence[nn.Module]) -> Tensor:
        """Weights of all edges, source by source."""
        weights = _kernels(convolutions)
        shape = weights.shape
        rows = weights.view(self._targets, self._count, -1, *shape[1:])
        return rows.transpose(0, 1).reshape(shape)

    def _by_target(self, y: Tensor) -> Tensor:
        """(N, S T O, H', W') as (N, T S O, H', W')."""
        if self._count == 1:
            return y
        return y.unflatten(1, (self._count, self._targets, -1)).transpose(1, 2).flatten(1, 3)


def _repeated(x: Tensor, times: int) -> Tensor:
    """Maps (N, times * K, H, W) of the channels (N, K, H, W), in channels-last order, as is the gradient."""
    last = x.permute(0, 2, 3, 1).unsqueeze(3)
    shape = *last.shape[:3], times * x.shape[1]
    return last.expand(-1, -1, -1, times, -1).reshape(shape).permute(0, 3, 1, 2)


def _kernels(convolutions: Sequence[nn.Module]) -> Tensor:
    """Weights, one below the other."""
    return torch.cat([convolution.weight for convolution in convolutions])  # type: ignore[arg-type]


def fused(cell: nn.Module, board: ArchitectureWeights) -> nn.Module:
    """A module of the same values that computes many edges at once, where the cell allows it."""
    plan = plan_of(cell) if isinstance(cell, Cell) else None
    return cell if plan is None else FusedCell(cell, board, plan)  # type: ignore[arg-type]


class FusedCell(Relaxed):
    """A cell; its modules are the ordinary ones, below `cell`."""

    def __init__(self, cell: Cell, board: ArchitectureWeights, plan: FusedPlan) -> None:
        super().__init__()
        self.cell = cell
        self.board = board
        self.plan = plan

    @property
    def entries(self) -> nn.ModuleList:
        return self.cell.entries

    def forward(self, *inputs: Tensor) -> Tensor:
        if not self._is_soft():
            return self.cell(*inputs)
        values = self.cell.entered(*inputs)
        first, last = len(values), len(values) + len(self.cell.nodes)
        added: dict[int, list[Tensor]] = {target: [] for target in range(first, last)}
        statistics = Statistics()
        for number in range(first - 1, last):
            if number >= first:
                values.append(total_of(added[number]))
            self._add(number, values, added, statistics)
        statistics.update()
        return self.cell.collected(values)

    def _add(
        self, number: int, values: list[Tensor], added: dict[int, list[Tensor]], statistics: Statistics
    ) -> None:
        """Adds what later nodes read from the value of that number, for the last input from all inputs."""
        for batch in self.plan.edge_batches_of(number):
            run = EdgeBatchRun(batch, self.board, [values[source] for source in batch.sources], statistics)
            for target, value in zip(batch.targets, run.outputs(), strict=True):
                added[target].append(value)
        for source, target, module in self.plan.separate_edges_of(number):
            added[target].append(module(values[source]))

    def _is_soft(self) -> bool:
        """Whether all options compute, with the statistics of the batch and without dropped paths."""
        if self.board.plain or not all(norm.training for norm in self.plan.norms):
            return False
        weights = [self.board.weights[hole] for batch in self.plan.edge_batches for hole in batch.holes]
        soft = all(each.values is not None and len(each.active) == len(each.values) for each in weights)
        nodes = [node.drop_path for node in self.cell.nodes.values()]
        return soft and not any(path.training and path.rate for path in nodes)  # type: ignore[union-attr]

    def discrete(self) -> tuple[nn.Module, int]:
        return discretized(self.cell), 0
