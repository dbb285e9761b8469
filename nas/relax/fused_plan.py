"""What of a cell is computed for many edges at once: edges of equal options, source by source.

Inputs that feed the same targets by edges of equal options are taken together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from torch import nn

from nas.layers.cells import Cell, is_identity
from nas.layers.operations import DilConv, FactorizedReduce, ReluConvNorm, SepConv, Zero
from nas.layers.sharp import SharpSepConv
from nas.relax.modules import Mixed

Kind: TypeAlias = Literal[
    "zero", "identity", "pool", "separable", "dilated", "convolution", "reduce", "other"
]
Edge: TypeAlias = tuple[int, int, nn.Module]  # source, target, module


@dataclass(frozen=True, slots=True)
class Group:
    """One option of all edges of a wave.

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
class Wave:
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
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a cell is computed.

    Attributes:
        inputs: values that are there from the start.
        waves: that add to the nodes; sources of several are inputs.
        alone: edges in no wave.
        norms: whose statistics the waves compute.
    """

    inputs: int
    waves: tuple[Wave, ...]
    alone: tuple[Edge, ...]
    norms: tuple[nn.BatchNorm2d, ...]

    def waves_of(self, number: int) -> list[Wave]:
        """Those that can be computed once the value of that number, but not the one before, is there."""
        return [wave for wave in self.waves if self._ready(wave.sources[-1]) == number]

    def alone_of(self, number: int) -> list[Edge]:
        return [edge for edge in self.alone if self._ready(edge[0]) == number]

    def _ready(self, source: int) -> int:
        return max(source, self.inputs - 1)


def plan_of(cell: Cell) -> Plan | None:
    """None where no edges can be computed together."""
    first = len(cell.entries)
    edges: list[Edge] = [
        (source, first + number, module)
        for number, node in enumerate(cell.nodes.values())
        for source, module in zip(node.inputs, node.operations.values(), strict=True)  # type: ignore[arg-type]
    ]
    joined = [_is_joined(module) for _, _, module in edges]
    waves = tuple(_waves([edge for edge, one in zip(edges, joined, strict=True) if one], first))
    alone = tuple(edge for edge, one in zip(edges, joined, strict=True) if not one)
    norms = tuple(norm for wave in waves for group in wave.groups for norm in _norms(group))
    return Plan(first, waves, alone, norms) if waves else None


def _is_joined(module: nn.Module) -> bool:
    """Whether an edge is a mixture by one hole some of whose options can be computed for many edges."""
    if type(module) is not Mixed:
        return False
    (hole, _), *_ = module.picks[0]
    simple = module.picks == tuple(((hole, i),) for i in range(len(module.picks)))
    return simple and bool(set(map(kind_of, module.options)) - {"zero", "other"})


def _waves(edges: Sequence[Edge], first: int) -> Iterator[Wave]:
    by_source: dict[tuple[object, int], list[tuple[int, Mixed]]] = {}
    for source, target, module in edges:
        assert isinstance(module, Mixed)
        by_source.setdefault((_signature(module), source), []).append((target, module))
    merged: dict[object, dict[int, list[tuple[int, Mixed]]]] = {}
    for (signature, source), own in by_source.items():
        place, targets = max(source, first - 1), tuple(target for target, _ in own)
        merged.setdefault((place, signature, targets), {})[source] = own
    for found in merged.values():
        rows = list(zip(*found.values(), strict=True))  # one for each target
        modules = [module for row in rows for _, module in row]
        holes = tuple(module.picks[0][0][0] for module in modules)
        yield Wave(tuple(found), tuple(row[0][0] for row in rows), holes, tuple(_groups(modules)))


def _signature(module: Mixed) -> object:
    """Equal for mixtures of equal options, whatever their weights."""
    return tuple((type(option), repr(option)) for option in module.options)


def _groups(edges: Sequence[Mixed]) -> Iterator[Group]:
    for i, option in enumerate(edges[0].options):
        yield Group(kind_of(option), i, tuple(edge.options[i] for edge in edges))


def kind_of(module: nn.Module) -> Kind:
    """How a module is computed together with its like."""
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
    return all(map(_is_pointwise_of_stride_2, (module.even, module.odd))) and _is_norm(module.norm)


def _is_plain(module: object) -> bool:
    return type(module) is nn.Conv2d and module.bias is None and module.padding_mode == "zeros"


def _is_pointwise(module: object) -> bool:
    return _is_plain(module) and _form(module) == ((1, 1), (1, 1), (0, 0), 1)


def _is_pointwise_of_stride_2(module: object) -> bool:
    return _is_plain(module) and _form(module) == ((1, 1), (2, 2), (0, 0), 1)


def _form(module: object) -> tuple[object, ...]:
    assert isinstance(module, nn.Conv2d)
    return module.kernel_size, module.stride, module.padding, module.groups


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


def _norms(group: Group) -> Iterator[nn.BatchNorm2d]:
    for name in _NORMS.get(group.kind, ()):
        yield from group.children(name)  # type: ignore[misc]
