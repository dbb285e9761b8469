"""One pass over an expression: composites taken apart as `nas.layers.cells` puts them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from nas.hashing.probe.instances import Path, Salted, Use, identified, told
from nas.hashing.probe.interpreter import CellFunction, Interpreter
from nas.hashing.probe.leaves import Keys, enlarged, too_small
from nas.hashing.probe.values import SMALL, UnhashableError, Value, key_of
from nas.language import Context, Op, Repeat, Shape, Term, unrolled
from nas.layers import FactorizedReduce, named, pad_to, relu_conv_bn, wiring


@dataclass(eq=False, slots=True)
class CellHasher:
    """Runs parts of one network.

    Attributes:
        salted: the operations that draw other weights than usual in this pass.
        uses: operations with weights so far, in order.
    """

    machine: Interpreter
    salted: Salted = field(default_factory=dict)
    uses: list[Use] = field(default_factory=list)

    def run(self, term: Term, x: Value, context: Context, path: Path) -> Value:
        """What a part makes of a value."""
        if not isinstance(term, Op):
            return self._sequence(term, x, context, path)
        match self.machine.composite(term):
            case "zero":
                return self.machine.values.zero(self.machine.shape(term, x.shape, context))
            case "train":
                return self.run(term.args[0], x, context, (*path, 0))
            case "add":
                return self.sum([self.run(a, x, context, (*path, i)) for i, a in enumerate(term.args)])
            case "concat":
                parts = [self.run(a, x, context, (*path, i)) for i, a in enumerate(term.args)]
                return self.machine.values.concat(parts, _joined(parts))
            case "residual":
                return self._residual(term, x, context, path)
            case "cell":
                return self.cell(term, (x,), context, path)
            case "chain":
                return self._chain(term, x, context, path)
            case _:
                return self._applied(self.machine.leaf(term, x.shape, context), x, path)

    def cell(self, term: Op, inputs: Sequence[Value], context: Context, path: Path) -> Value:
        """A cell as an unknown function of what it depends on."""
        values = self.machine.values
        found = cell_function(self.machine, term, tuple(x.shape for x in inputs), context)
        if found.is_zero:
            return values.zero(found.shape)
        given = [x for i, x in enumerate(inputs) if found.support >> i & 1]
        if found.passes is not None:
            return inputs[found.passes]
        parts = ("cell", found.key, *(x.key for x in given))
        if found.has_instances:
            self._use(path, (key_of(*parts),))
        y = values.named(found.shape, given, *parts, repr(self.salted.get(path, ())))
        y.lacks |= found.lacks
        return y

    def _sequence(self, term: Term, x: Value, context: Context, path: Path) -> Value:
        parts = (term.body,) * term.low if isinstance(term, Repeat) else term.parts  # type: ignore[attr-defined]
        for i, part in enumerate(parts):
            x = self.run(part, x, context, (*path, i))
            if context.stride != 1 and self.machine.part(part).takes_stride():
                context = replace(context, stride=1)
        return x

    def _applied(self, leaf: Any, x: Value, path: Path) -> Value:
        y, keys = self.machine.apply(leaf, x, self.salted.get(path, ()))
        self._use(path, keys)
        return y

    def _use(self, path: Path, keys: Keys) -> None:
        if keys:
            self.uses.append((path, keys))

    def sum(self, terms: Sequence[Value]) -> Value:
        if any(term.shape != terms[0].shape for term in terms):
            listed = " and ".join(sorted({str(term.shape) for term in terms}))
            raise UnhashableError(f"expected values of one shape to add up; got {listed}")
        return self.machine.values.sum(terms)

    def _residual(self, term: Op, x: Value, context: Context, path: Path) -> Value:
        y = self.run(term.args[0], x, context, (*path, 0))
        shape = wiring.larger(x.shape, y.shape)
        return self.sum([self._padded(x, shape), self._padded(y, shape)])

    def _padded(self, x: Value, shape: Shape) -> Value:
        if x.shape == shape:
            return x
        values = self.machine.values
        if x.tensor is None:
            return values.named(shape, (x,), "pad", x.key, str(shape))
        flat = x.tensor.flatten(1) if len(shape) != len(x.shape) else x.tensor
        return values.of(pad_to(flat, shape), x.support, lacks=x.lacks, reach=x.reach)

    def _chain(self, term: Op, x: Value, context: Context, path: Path) -> Value:
        """As `nas.layers.wiring.plan_chain` says."""
        attributes = self.machine.attributes(term, context)
        width = attributes["width"]
        channels = attributes["stem"] * width
        stem = self.machine.built(
            ("stem", x.shape, channels),
            "chain",
            lambda at: _stem(at[0], channels),
            lambda at: (channels, *at[1:]),
        )
        before = last = self._applied(stem, x, (*path, -1))
        context = replace(context, width=width, stride=1)
        for i, step in enumerate(unrolled(term.args[0])):
            if not isinstance(step, Op) or self.machine.composite(step) != "cell":
                before, last = last, self.run(step, last, context, (*path, i))
                continue
            settings = self.machine.attributes(step, context)
            if settings["stride"] == 2:
                context = replace(context, width=2 * (context.width or 0))
            inputs = (before, last) if settings["inputs"] == 2 else (last,)
            before, last = last, self.cell(step, inputs, context, (*path, i))
        return last

    def inside(self, term: Op, inputs: Sequence[Value], context: Context) -> Value:
        """The output of a cell's graph."""
        return CellGraph(self, term, inputs, context).output()

    def entry(self, x: Value, target: Shape, number: int, *, always: bool) -> Value:
        plan = wiring.entry(x.shape, target, always=always)
        if plan.kind == "identity":
            return x
        width, context = target[0], self.machine.context

        def build(at: Shape) -> nn.Module:
            if plan.kind == "factorized_reduce":
                return FactorizedReduce(at[0], width, context)
            return relu_conv_bn(at, {"kernel": 1, "width": width}, (), context)

        leaf = self.machine.built((plan.kind, x.shape, width), plan.kind, build, lambda _: target)
        return self._applied(leaf, x, (-1 - number,))


class CellGraph:
    """A cell as `nas.layers.wiring.plan_cell` lays it out; only what the output depends on is computed.

    Values are numbered inputs first, then nodes.
    """

    def __init__(self, walk: CellHasher, term: Op, inputs: Sequence[Value], context: Context) -> None:
        machine = walk.machine
        attributes = machine.attributes(term, context)
        count = attributes["inputs"]
        self._walk, self._count = walk, count
        self._nodes = [node for node in term.args if isinstance(node, Op)]  # as a cell's shape rule asks
        self._inputs = inputs if len(inputs) == count else tuple(inputs) * count
        width = attributes["width"] or self._inputs[-1].shape[0]
        self._target: Shape = (width, *self._inputs[-1].shape[1:])
        self._inner = replace(context, width=width)  # of edges between nodes
        self._outer = replace(self._inner, stride=attributes["stride"])  # of edges from the inputs
        self._concatenates = attributes["output"] == "concat"
        self._found: dict[int, Value] = {}
        self._sources = [machine.attributes(node, self._inner)["inputs"] for node in self._nodes]

    def output(self) -> Value:
        first, last = self._count, self._count + len(self._nodes) - 1
        if not self._concatenates:
            return self._value(last)
        parts = [self._value(number) for number in range(first, last + 1)]
        return self._walk.machine.values.concat(parts, _joined(parts))

    def _value(self, number: int) -> Value:
        found = self._found.get(number)
        if found is None:
            make = self._entry if number < self._count else self._node
            found = self._found[number] = make(number)
        return found

    def _entry(self, number: int) -> Value:
        return self._walk.entry(self._inputs[number], self._target, number, always=self._count == 2)

    def _node(self, number: int) -> Value:
        node = number - self._count
        pairs = zip(self._sources[node], self._nodes[node].args, strict=True)
        return self._walk.sum([self._edge(e, s, (number, i)) for i, (s, e) in enumerate(pairs)])

    def _edge(self, edge: Term, source: int, path: Path) -> Value:
        machine, context = self._walk.machine, self._outer if source < self._count else self._inner
        if isinstance(edge, Op) and machine.composite(edge) == "zero":  # needs no source
            return machine.values.zero(machine.shape(edge, self._shape(source), context))
        return self._walk.run(edge, self._value(source), context, path)

    def _shape(self, number: int) -> Shape:
        if number < self._count:
            return self._target
        node = number - self._count
        source, edge = self._sources[node][0], self._nodes[node].args[0]
        context = self._outer if source < self._count else self._inner
        return self._walk.machine.shape(edge, self._shape(source), context)


def cell_function(
    machine: Interpreter, term: Op, shapes: tuple[Shape, ...], context: Context
) -> CellFunction:
    """A cell on inputs that depend on their shapes alone, larger ones where its maps would be too small."""
    key = (machine.number(term), shapes, context.width, context.stride)
    found = machine.cells.get(key)
    if found is None:
        found = _cell_function(machine, term, shapes, context)
        machine.cells.put(key, found)
    return found


def _cell_function(
    machine: Interpreter, term: Op, shapes: tuple[Shape, ...], context: Context
) -> CellFunction:
    def run(salted: Salted) -> tuple[Value, list[Use]]:
        walk = CellHasher(machine, salted)
        return walk.inside(term, inputs, context), walk.uses

    inputs = _inputs(machine, shapes)
    first = run({})
    shape = first[0].shape
    while first[0].lacks & SMALL:
        larger = enlarged(tuple(x.shape for x in inputs))
        if larger is None:
            raise UnhashableError(too_small("cell"))
        inputs = _inputs(machine, larger)
        first = run({})
    value = first[0]
    instances, has_instances = identified(run, first)
    passes = next((i for i, x in enumerate(inputs) if x.key == value.key), None)
    key = told(value, instances)
    return CellFunction(key, shape, value.support, passes, value.is_zero, has_instances, value.lacks)


def _inputs(machine: Interpreter, shapes: tuple[Shape, ...]) -> list[Value]:
    return [machine.values.generic(i, shape) for i, shape in enumerate(shapes)]


def _stem(channels: int, width: int) -> nn.Module:
    """As `nas.layers.cells.build_chain` makes it."""
    conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    return named(conv=conv, norm=nn.BatchNorm2d(width))


def _joined(parts: Sequence[Value]) -> Shape:
    return wiring.joined([part.shape for part in parts], "branch")
