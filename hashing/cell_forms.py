"""Normal form of cells: what the output does not read is gone, what only hands on is passed over.

A node with one edge that is an identity is its source; a node that only one identity reads is a part of
its reader's sum. A node that is read twice stays: one convolution used twice is not two of them.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from nas.errors import CompileError
from nas.hashing.attributes import Scope, given_value, kept_attributes
from nas.hashing.forms import Form
from nas.hashing.symbolic_shapes import Around, Symbol
from nas.language import REQUIRED, Define, Law, Literal, Op, Ref, Term

if TYPE_CHECKING:
    from nas.hashing.network_forms import Forms


@dataclass(slots=True)
class _Edge:
    """One operation and the number of the value that it reads."""

    form: Form
    source: int

    @property
    def is_identity(self) -> bool:
        return not self.form.steps


@dataclass(slots=True)
class _Graph:
    """A cell while it is rewritten; values are numbered inputs first, then nodes as they were given."""

    inputs: int
    edges: dict[int, list[_Edge]]
    output: int | None  # the value that comes out; None: all nodes, joined
    shapes: dict[int, Symbol]
    zeros: set[int] = field(default_factory=set)  # nodes that are zero whatever comes in

    @property
    def live(self) -> list[int]:
        """Nodes that the output depends on, in order."""
        if self.output is None:
            return sorted(self.edges)
        found: set[int] = set()
        open_ = [self.output]
        while open_:
            value = open_.pop()
            if value not in found and value in self.edges:
                found.add(value)
                open_.extend(edge.source for edge in self.edges[value])
        return sorted(found)


def cell_form(forms: Forms, op: Op, scope: Scope, around: Around, before: Symbol) -> Form:
    """The normal form of a cell at its place."""
    stride = given_value(op, "stride", scope) or around.stride
    width = given_value(op, "width", scope) or around.width or before[0]
    graph = _Reader(forms, scope, Around(width, stride, stride), (width, before[1])).graph(op)
    _merge(graph)
    numbers = _numbering(graph)
    size = 1 + sum(1 + edge.form.size for node in numbers for edge in graph.edges[node])
    term = Op("cell", tuple(_written(graph, numbers)), _attributes(op, scope, around, stride, before))
    if graph.output is None:
        after: Symbol = (("joined", tuple(graph.shapes[node] for node in sorted(graph.edges))), ())
    else:
        after = graph.shapes[graph.output]
    return Form((term,), (after,), before, size)


def _attributes(
    op: Op, scope: Scope, around: Around, stride: int, before: Symbol
) -> tuple[tuple[str, Term], ...]:
    given = {**dict(op.attributes), "stride": Literal(stride)}
    width = before[0] if around.width is None else around.width
    known = {"stride": 1 if around.ambient == 1 else REQUIRED}
    known["width"] = width if isinstance(width, int) else REQUIRED
    return kept_attributes(Op("cell", (), tuple(given.items())), scope, **known)


class _Reader:
    """Reads the nodes of a cell, in order, each in terms of the values that are left before it."""

    def __init__(self, forms: Forms, scope: Scope, around: Around, entry: Symbol) -> None:
        self.forms = forms
        self.scope = scope
        self.around = around
        self.entry = entry

    def graph(self, op: Op) -> _Graph:
        """The cell with sources replaced where nodes only hand on, and zeros found."""
        inputs = given_value(op, "inputs", self.scope) or 1
        output = given_value(op, "output", self.scope) or "last"
        graph = _Graph(inputs, {}, None, dict.fromkeys(range(inputs), self.entry))
        same: dict[int, int] = {}  # node -> the value that it hands on
        for number, part in enumerate(op.args, start=inputs):
            edges = self._edges(graph, part, same, number)
            graph.edges[number] = edges
            graph.shapes[number] = edges[0].form.after
            if all(self._is_zero(edge.form) for edge in edges):
                graph.zeros.add(number)
            source = edges[0].source
            # an edge from an input would take the cell's stride, one from the node does not
            if len(edges) == 1 and edges[0].is_identity and (source >= inputs or self.around.stride == 1):
                same[number] = source
        last = inputs + len(op.args) - 1
        if output == "last":
            handed = same.get(last, last)
            graph.output = handed if handed >= inputs else last
        return graph

    def _edges(self, graph: _Graph, part: Term, same: dict[int, int], number: int) -> list[_Edge]:
        node, scope = self._node(part)
        sources = given_value(node, "inputs", scope) or (0,)
        if len(sources) != len(node.args) or max(sources) >= number:
            got = shorten(str(node), 80)
            raise CompileError(
                f"normal form: operations of a node and the values they read are expected; got {got}"
            )
        edges: list[_Edge] = []
        for source, operation in zip(sources, node.args, strict=True):
            stride = self.around.stride if source < graph.inputs else 1
            around = Around(self.around.width, stride, stride)
            form = self.forms.form(operation, scope, around, graph.shapes[source])
            read = same.get(source, source)
            edges += [
                _Edge(self._zeroed(graph, branch, read), read) for branch in self.forms.flat_branches([form])
            ]
        return self._without_zeros(edges)

    def _node(self, part: Term) -> tuple[Op, Scope]:
        scope = self.scope
        while not isinstance(part, Op):
            if isinstance(part, Ref):
                part, scope = scope.resolve(part.name)
            elif isinstance(part, Define):
                part, scope = part.body, scope.defining(part.bindings)
            else:
                break
        if not isinstance(part, Op) or part.name != "node":
            raise CompileError(f"normal form: node(...) is expected as every part of a cell; got {part}")
        return part, scope

    def _is_zero(self, form: Form) -> bool:
        return len(form.steps) == 1 and self.forms.is_zero(form.steps[0])

    def _zeroed(self, graph: _Graph, form: Form, source: int) -> Form:
        """What reads zeros and keeps them, and the shape, is a zero."""
        keeps = all(self.forms.has_law(step, Law.KEEPS_ZERO) for step in form.steps)
        if source not in graph.zeros or not keeps or form.after != graph.shapes[source]:
            return form
        return Form((Op("zero"),), (form.after,), form.before, 1)

    def _without_zeros(self, edges: list[_Edge]) -> list[_Edge]:
        """Without the zeros beside which something of their shape stays; of zeros alone one is left."""
        kept = [edge for edge in edges if not self._is_zero(edge.form)]
        present = {edge.form.after for edge in kept}
        for edge in sorted(map(self._moved, edges), key=lambda edge: edge.source):
            if self._is_zero(edge.form) and edge.form.after not in present:
                kept.append(edge)
                present.add(edge.form.after)
        return kept

    def _moved(self, edge: _Edge) -> _Edge:
        """A zero of the cell's own shape may as well read the cell's first input."""
        movable = self.around.stride == 1 and edge.form.after == self.entry and self._is_zero(edge.form)
        return _Edge(edge.form, 0) if movable else edge


def _merge(graph: _Graph) -> None:
    """Nodes that only one identity reads become part of their reader's sum."""
    if graph.output is None:
        return
    for node in reversed(graph.live):
        if node == graph.output:
            continue
        readers = [(n, edge) for n in graph.live for edge in graph.edges[n] if edge.source == node]
        if len(readers) == 1 and readers[0][1].is_identity:
            reader, edge = readers[0]
            graph.edges[reader] = [e for e in graph.edges[reader] if e is not edge] + graph.edges[node]


def _numbering(graph: _Graph) -> dict[int, int]:
    """New numbers of the live nodes: their order where all come out, else one that no renaming changes."""
    if graph.output is None:
        return {node: node for node in graph.live}
    colours = _colours(graph)
    numbers: dict[int, int] = {}

    def visit(node: int) -> None:
        if node not in graph.edges or node in numbers:
            return
        for edge in sorted(graph.edges[node], key=lambda e: (colours[e.source], e.form.text)):
            visit(edge.source)
        numbers[node] = graph.inputs + len(numbers)

    visit(graph.output)
    return numbers


def _colours(graph: _Graph) -> dict[int, int]:
    """Ranks of the values by what they are made of and by who reads them (colour refinement)."""
    live = graph.live
    edges = [(node, edge.form.text, edge.source) for node in live for edge in graph.edges[node]]
    first = {value: (0, value) for value in range(graph.inputs)}
    first |= {node: (1, int(node == graph.output)) for node in live}
    colours = _ranks(first)
    while True:
        made: dict[int, list[tuple[str, int]]] = {value: [] for value in colours}
        read: dict[int, list[tuple[str, int]]] = {value: [] for value in colours}
        for node, text, source in edges:
            made[node].append((text, colours[source]))
            read[source].append((text, colours[node]))
        refined = _ranks({v: (colour, sorted(made[v]), sorted(read[v])) for v, colour in colours.items()})
        if refined == colours:
            return colours
        colours = refined


def _ranks(signatures: dict[int, Any]) -> dict[int, int]:
    """Equal signatures get equal numbers, in the order of the signatures."""
    ordered = sorted(signatures.values())
    return {value: bisect_left(ordered, signature) for value, signature in signatures.items()}


def _written(graph: _Graph, numbers: dict[int, int]) -> list[Op]:
    nodes = []
    for node in sorted(numbers, key=numbers.__getitem__):
        pairs = [(numbers.get(edge.source, edge.source), edge.form) for edge in graph.edges[node]]
        pairs.sort(key=lambda pair: (pair[0], pair[1].text))
        sources = Literal(tuple(source for source, _ in pairs))
        nodes.append(Op("node", tuple(form.term for _, form in pairs), (("inputs", sources),)))
    return nodes
