"""Normal forms of networks: single layers, sequences and sums, cells.

Shapes are symbols without numbers: two equal symbols are equal shapes, whatever the input is. A symbol is a
pair of channels and sides: channels are a number or a symbol, sides what reduced them so far. The rules are
those of `nas.layers.shapes`; a rule that is not known here gives a symbol of its own.

Layers have their attributes resolved, strides and widths as they are inherited: as `nas.layers.parts` and
`nas.layers.wiring` pass them on. Sequences and sums are flattened, identities and needless zeros removed. In
a chain every step counts, an identity too, as cells read the two previous outputs.

In cells, what the output does not read is left out, and what only hands on is passed over: a node with one
edge that is an identity is its source; a node that only one identity reads is a part of its reader's sum. A
node that is read twice stays: one convolution used twice is not two of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from textwrap import shorten
from typing import Any

from nas.errors import CompileError
from nas.hashing.normal_forms.attributes import Bindings, given_value, inlined, kept_attributes
from nas.language import (
    INHERIT,
    REQUIRED,
    Define,
    Law,
    Literal,
    Op,
    Primitive,
    Ref,
    Repeat,
    Seq,
    Term,
    Vocabulary,
    seq,
    to_text,
)
from nas.layers import NETWORK, shapes

Channels = Any  # a number, or a hashable symbol
Symbol = tuple[Channels, tuple[Any, ...]]

INPUT: Symbol = ("in", ())
_UNCHANGED = (shapes.same, shapes.groupnorm, shapes.squeeze_excite)


@dataclass(frozen=True, slots=True)
class Around:
    """What parts inherit from the composites around them; as `nas.language.primitives.Context`, with symbols.

    Attributes:
        width: channels of operations that do not give their own; None: as many as come in.
        stride: of the first part that takes one.
        ambient: the stride of the place as a whole; where it is not 1, strides are written out.
    """

    width: Channels = None
    stride: int = 1
    ambient: int = 1


def shape_after(
    primitive: Primitive, values: dict[str, Any], before: Symbol, around: Around, text: str
) -> Symbol:
    """The shape that a layer makes.

    Args:
        primitive: the layer.
        values: of all its attributes, strides resolved.
        before: the shape that comes in.
        around: its surroundings.
        text: of the layer, for a symbol of its own.
    """
    rule, (channels, sides) = primitive.shape, before
    stride = values.get("stride")
    if rule in _UNCHANGED or (rule is shapes.skip and stride == 1):
        return before
    if rule is shapes.zero or rule is shapes.skip:  # the factorized reduction of a skip keeps its channels
        return channels, _reduced(sides, stride)
    if rule is shapes.factorized_reduce:
        return values.get("width") or around.width or channels, _reduced(sides, 2)
    if rule is shapes.conv:
        has_width = primitive.attribute("width") is not None
        width = (values.get("width") or around.width or channels) if has_width else channels
        return width, _windows(sides, values, stride or 1)
    if rule is shapes.pool:
        return channels, _windows(sides, values, stride or values["kernel"])
    return ("after", text, before, around.width), ()


def _windows(sides: tuple[Any, ...], values: dict[str, Any], stride: int) -> tuple[Any, ...]:
    if values.get("padding", "same") == "same":
        return _reduced(sides, stride)
    return (*sides, ("valid", values["kernel"], values.get("dilation", 1), stride))


def _reduced(sides: tuple[Any, ...], stride: Any) -> tuple[Any, ...]:
    """Sides of ceil(side / stride)."""
    return sides if stride in (1, None) else (*sides, stride)


_LEAVES, _VOCABULARIES = 20_000, 16  # that are kept


@dataclass(frozen=True, eq=False)  # no slots: term and text are kept
class Form:
    """A part in normal form.

    Attributes:
        steps: the operations in sequence; none for an identity.
        shapes: after each step.
        before: the shape that comes in.
        size: number of operations in it.
        branches: those of a sum, where the one step is a sum.
    """

    steps: tuple[Term, ...]
    shapes: tuple[Symbol, ...]
    before: Symbol
    size: int
    branches: tuple[Form, ...] = ()

    @property
    def after(self) -> Symbol:
        """The shape that comes out."""
        return self.shapes[-1] if self.shapes else self.before

    @cached_property
    def term(self) -> Term:
        """As one expression, equal steps counted; an identity is written as such."""
        if not self.steps:
            return Op("identity")
        runs = [(step, len(list(run))) for step, run in groupby(self.steps)]
        return seq(*(step if count == 1 else Repeat(step, count, count) for step, count in runs))

    @cached_property
    def text(self) -> str:
        """Of its term; orders what commutes."""
        return to_text(self.term)


@dataclass(frozen=True, slots=True)
class Lasting:
    """What is kept from one network of a vocabulary to the next.

    Attributes:
        words: whether they are the standard vocabulary's.
        leaves: forms of single layers, by all that they depend on.
        texts: of the terms of these forms, by their `id`.
    """

    words: dict[str, bool] = field(default_factory=dict)
    leaves: dict[Any, Form] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)

    def keep(self, key: Any, form: Form) -> None:
        self.leaves[key] = form
        self.texts.update((id(step), to_text(step)) for step in form.steps)


_shared: dict[int, tuple[Vocabulary, Lasting]] = {}  # by id, which holds as the vocabulary lives on


def lasting(vocabulary: Vocabulary) -> Lasting:
    """What is kept for a vocabulary; begun anew when it is too much."""
    found = _shared.get(id(vocabulary))
    if found is None or len(found[1].leaves) > _LEAVES:
        if len(_shared) >= _VOCABULARIES:
            _shared.clear()
        found = _shared[id(vocabulary)] = (vocabulary, Lasting())
    return found[1]


def single(term: Term, after: Any, before: Symbol, size: int) -> Form:
    """A form of one step."""
    shape = after if len(after) == 2 else (after, ())
    return Form((term,), (shape,), before, size)


def leaf_form(
    op: Op, primitive: Primitive, scope: Bindings, around: Around, before: Symbol, *, standard: bool
) -> Form:
    """The form of a layer at its place; `standard` for one of the standard vocabulary's."""
    attributes, values = _leaf_attributes(op, primitive, scope, around, before)
    if standard and _does_nothing(op.name, values):
        return Form((), (), before, 0)
    term = Op(op.name, (), attributes)
    return single(term, shape_after(primitive, values, before, around, to_text(term)), before, 1)


def _leaf_attributes(
    op: Op, primitive: Primitive, scope: Bindings, around: Around, before: Symbol
) -> tuple[tuple[tuple[str, Term], ...], dict[str, Any]]:
    """Attributes as they are written, and the values of all of them."""
    given = {name: value for name, value in op.attributes if value != Literal(None)}
    values = {a.name: None if a.default is INHERIT else a.default for a in primitive.attributes}
    values |= {name: given_value(op, name, scope) for name in given}
    known: dict[str, Any] = {}
    stride, width = primitive.attribute("stride"), primitive.attribute("width")
    if stride is not None and stride.default is INHERIT:
        values["stride"] = values["stride"] or around.stride
        given["stride"] = Literal(values["stride"])
        known["stride"] = 1 if around.ambient == 1 else REQUIRED
    elif primitive.shape is shapes.pool:
        known["stride"] = values.get("kernel")
    if width is not None and width.default is INHERIT:
        inherited = before[0] if around.width is None else around.width
        known["width"] = inherited if isinstance(inherited, int) else REQUIRED
    return kept_attributes(Op(op.name, (), tuple(given.items())), scope, **known), values


def _does_nothing(name: str, values: dict[str, Any]) -> bool:
    """Whether a standard layer hands on what comes in, in training too."""
    return (
        name == "identity"
        or (name == "skip" and values["stride"] == 1)
        or (name == "dropout" and not values["rate"])
    )


@dataclass(slots=True)
class _FormEdge:
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
    edges: dict[int, list[_FormEdge]]
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


def cell_form(forms: Forms, op: Op, scope: Bindings, around: Around, before: Symbol) -> Form:
    """The normal form of a cell at its place."""
    stride = given_value(op, "stride", scope) or around.stride
    width = given_value(op, "width", scope) or around.width or before[0]
    graph = _NodeReader(forms, scope, Around(width, stride, stride), (width, before[1])).graph(op)
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
    op: Op, scope: Bindings, around: Around, stride: int, before: Symbol
) -> tuple[tuple[str, Term], ...]:
    given = {**dict(op.attributes), "stride": Literal(stride)}
    width = before[0] if around.width is None else around.width
    known = {"stride": 1 if around.ambient == 1 else REQUIRED}
    known["width"] = width if isinstance(width, int) else REQUIRED
    return kept_attributes(Op("cell", (), tuple(given.items())), scope, **known)


class _NodeReader:
    """Reads the nodes of a cell, in order, each in terms of the values that are left before it."""

    def __init__(self, forms: Forms, scope: Bindings, around: Around, entry: Symbol) -> None:
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

    def _edges(self, graph: _Graph, part: Term, same: dict[int, int], number: int) -> list[_FormEdge]:
        node, scope = self._node(part)
        sources = given_value(node, "inputs", scope) or (0,)
        if len(sources) != len(node.args) or max(sources) >= number:
            got = shorten(str(node), 80)
            raise CompileError(
                f"normal form: operations of a node and the values they read are expected; got {got}"
            )
        edges: list[_FormEdge] = []
        for source, operation in zip(sources, node.args, strict=True):
            stride = self.around.stride if source < graph.inputs else 1
            around = Around(self.around.width, stride, stride)
            form = self.forms.form(operation, scope, around, graph.shapes[source])
            read = same.get(source, source)
            edges += [
                _FormEdge(self._zeroed(graph, branch, read), read)
                for branch in self.forms.flat_branches([form])
            ]
        return self._without_zeros(edges)

    def _node(self, part: Term) -> tuple[Op, Bindings]:
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

    def _without_zeros(self, edges: list[_FormEdge]) -> list[_FormEdge]:
        """Without the zeros beside which something of their shape stays; of zeros alone one is left."""
        kept = [edge for edge in edges if not self._is_zero(edge.form)]
        present = {edge.form.after for edge in kept}
        for edge in sorted(map(self._moved, edges), key=lambda edge: edge.source):
            if self._is_zero(edge.form) and edge.form.after not in present:
                kept.append(edge)
                present.add(edge.form.after)
        return kept

    def _moved(self, edge: _FormEdge) -> _FormEdge:
        """A zero of the cell's own shape may as well read the cell's first input."""
        movable = self.around.stride == 1 and edge.form.after == self.entry and self._is_zero(edge.form)
        return _FormEdge(edge.form, 0) if movable else edge


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


MAX_SIZE = 50_000  # operations of a form


def network_form(term: Term, vocabulary: Vocabulary, *, drop_path: bool = False) -> Term:
    """The normal form of a network, or of a network with training settings.

    Args:
        term: without holes.
        vocabulary: its primitives; all of networks.
        drop_path: keep apart what only drop-path tells apart: which branches of a sum are dropped together.

    Raises:
        CompileError: a part that is none of a network, or a form of more than 50,000 operations.
    """
    forms = Forms(vocabulary, drop_path=drop_path)
    scope = Bindings(vocabulary)
    while isinstance(term, Define):
        scope, term = scope.defining(term.bindings), term.body
    if isinstance(term, Op) and term.name == "train" and forms.knows("train"):
        settings = tuple((name, inlined(value, scope)) for name, value in sorted(term.attributes))
        return Op("train", (forms.form(term.args[0], scope, Around(), INPUT).term,), settings)
    return forms.form(term, scope, Around(), INPUT).term


class Forms:
    """Makes the forms of one network's parts; those of definitions are kept, for each surroundings."""

    def __init__(self, vocabulary: Vocabulary, *, drop_path: bool) -> None:
        self.vocabulary = vocabulary
        self.drop_path = drop_path
        self._kept: dict[Any, Form] = {}
        self._scopes: dict[tuple[int, Bindings], Bindings] = {}
        self._lasting = lasting(vocabulary)

    def knows(self, name: str) -> bool:
        """Whether this is the standard vocabulary's word, and none of one's own of the same name."""
        words = self._lasting.words
        found = words.get(name)
        if found is None:
            there = name in NETWORK and name in self.vocabulary
            found = words[name] = there and self.vocabulary.get(name) == NETWORK.get(name)
        return found

    def form(self, term: Term, scope: Bindings, around: Around, before: Symbol) -> Form:
        """The form of a part at its place."""
        key = (id(term), scope, around, before)
        found = self._kept.get(key)
        if found is None:
            found = self._form(term, scope, around, before)
            if found.size > MAX_SIZE:
                raise CompileError(
                    f"normal form: at most {MAX_SIZE:,} operations are expected; got {found.size:,} or more; "
                    "hash such networks by what they compute"
                )
            self._kept[key] = found
        return found

    def _form(self, term: Term, scope: Bindings, around: Around, before: Symbol) -> Form:
        match term:
            case Define(body, _):
                return self.form(body, self._inner(term, scope), around, before)
            case Ref(name):
                body, inner = scope.resolve(name)
                return self.form(body, inner, around, before)
            case Seq(parts):
                return self._sequence(parts, scope, around, before)
            case Repeat(body, low, high) if low == high:
                return self._sequence((body,) * low, scope, around, before)
            case Op():
                return self._operation(term, scope, around, before)
        raise CompileError(f"normal form: a network is expected; got {shorten(str(term), 60)}")

    def _inner(self, term: Define, scope: Bindings) -> Bindings:
        key = (id(term), scope)
        if key not in self._scopes:
            self._scopes[key] = scope.defining(term.bindings)
        return self._scopes[key]

    def takes_stride(self, term: Term, scope: Bindings) -> bool:
        """Whether a stride of the surroundings has an effect here."""
        match term:
            case Define(body, _):
                return self.takes_stride(body, self._inner(term, scope))
            case Ref(name):
                return self.takes_stride(*scope.resolve(name))
            case Seq(parts):
                return any(self.takes_stride(part, scope) for part in parts)
            case Repeat(body, low):
                return low > 0 and self.takes_stride(body, scope)
            case Op(name, args, attributes):
                stride = self._primitive(term).attribute("stride")
                if stride is not None:
                    return stride.default is INHERIT and "stride" not in dict(attributes)
                return any(self.takes_stride(part, scope) for part in args)
        return False

    def _primitive(self, op: Op) -> Primitive:
        reason = self.vocabulary.check(op.name, [name for name, _ in op.attributes], len(op.args))
        if reason is not None:
            raise CompileError(f"normal form: {reason}")
        return self.vocabulary.get(op.name)

    def _sequence(self, parts: tuple[Term, ...], scope: Bindings, around: Around, before: Symbol) -> Form:
        steps: list[Term] = []
        found: list[Symbol] = []
        size, shape = 0, before
        branches: tuple[Form, ...] = ()
        for part in parts:
            form = self.form(part, scope, around, shape)
            steps += form.steps
            found += form.shapes
            shape, size = form.after, size + form.size
            branches = form.branches or branches
            if size > MAX_SIZE:
                break
            if around.stride != 1 and self.takes_stride(part, scope):
                around = replace(around, stride=1)
        steps, found = self._shortened(steps, found, before)
        return Form(tuple(steps), tuple(found), before, size, branches if len(steps) == 1 else ())

    def _shortened(
        self, steps: list[Term], found: list[Symbol], before: Symbol
    ) -> tuple[list[Term], list[Symbol]]:
        """Without what a step makes needless: before a zero, after a zero, and twice the same."""
        kept: list[tuple[Term, Symbol]] = []
        for step, shape in zip(steps, found, strict=True):
            last = kept[-1][1] if kept else before
            if kept and step == kept[-1][0] and self.has_law(step, Law.IDEMPOTENT):
                continue
            if kept and self.is_zero(kept[-1][0]) and shape == last and self.has_law(step, Law.KEEPS_ZERO):
                continue
            if self.is_zero(step):  # nothing before it matters from where the shape is the same
                start = next(
                    (i for i, at in enumerate([before, *(s for _, s in kept)]) if at == last), len(kept)
                )
                del kept[start:]
            kept.append((step, shape))
        return [step for step, _ in kept], [shape for _, shape in kept]

    def has_law(self, step: Term, law: Law) -> bool:
        """Whether a step is a layer that obeys a law."""
        return isinstance(step, Op) and not step.args and law in self.vocabulary.get(step.name).laws

    def is_zero(self, step: Term) -> bool:
        """Whether a step makes zeros of whatever comes in."""
        return isinstance(step, Op) and step.name == "zero" and self.knows("zero")

    def _operation(self, op: Op, scope: Bindings, around: Around, before: Symbol) -> Form:
        if op.args:
            return self._made(op, scope, around, before)
        for _, value in op.attributes:
            if not isinstance(value, Literal):  # what a reference means depends on the scope
                return self._made(op, scope, around, before)
        key = op.name, op.attributes, around, before
        found = self._lasting.leaves.get(key)
        if found is None:
            found = self._made(op, scope, around, before)
            self._lasting.keep(key, found)
        return found

    def _made(self, op: Op, scope: Bindings, around: Around, before: Symbol) -> Form:
        primitive = self._primitive(op)
        if self.knows(op.name) and primitive.arity != (0, 0):
            return self._composite(op, scope, around, before)
        if op.args:  # what a composite of one's own makes of its parts is not known here
            if around.ambient != 1 and self.takes_stride(op, scope):
                raise CompileError(f'normal form: "{op.name}" inherits a stride, which is not supported')
            term = inlined(op, scope)
            return single(term, ("after", to_text(term), before, around), before, 1)
        return leaf_form(op, primitive, scope, around, before, standard=self.knows(op.name))

    def _composite(self, op: Op, scope: Bindings, around: Around, before: Symbol) -> Form:
        match op.name:
            case "add":
                return self._sum([self.form(part, scope, around, before) for part in op.args], before)
            case "concat":
                return self._joined([self.form(part, scope, around, before) for part in op.args], before)
            case "residual":
                body = self.form(op.args[0], scope, around, before)
                term = Op("residual", (body.term,))
                after = before if body.after == before else ("larger", before, body.after)
                return single(term, after, before, 1 + body.size)
            case "cell":
                return cell_form(self, op, scope, around, before)
            case "chain":
                return self._chain(op, scope, before)
        raise CompileError(f'normal form: "{op.name}" is expected elsewhere; got {shorten(str(op), 60)}')

    def _sum(self, forms: list[Form], before: Symbol) -> Form:
        """One sum of all branches, in the order of their texts."""
        branches = self.flat_branches(forms)
        kept = [form for form in branches if not self._is_zero_form(form)]
        present = {form.after for form in kept}
        for form in branches:
            if self._is_zero_form(form) and form.after not in present:
                kept.append(form)  # it decides the shape, or stands against another one
                present.add(form.after)
        if len(kept) == 1:
            return kept[0]
        kept.sort(key=lambda form: form.text)
        term = Op("add", tuple(form.term for form in kept))
        return Form((term,), (kept[0].after,), before, 1 + sum(form.size for form in kept), tuple(kept))

    def flat_branches(self, forms: Iterable[Form]) -> list[Form]:
        """Branches of sums among the branches in place of those sums."""
        given = list(forms)
        whole = self.drop_path and any(not form.steps for form in given)
        found: list[Form] = []
        for form in given:
            drops = self.drop_path and any(not branch.steps for branch in form.branches)
            found += [form] if not form.branches or whole or drops else form.branches
        return found

    def _is_zero_form(self, form: Form) -> bool:
        return len(form.steps) == 1 and self.is_zero(form.steps[0])

    def _joined(self, forms: list[Form], before: Symbol) -> Form:
        """One concatenation, in the order that is given."""
        parts: list[Term] = []
        for form in forms:
            inner = form.steps[0] if len(form.steps) == 1 else None
            parts += inner.args if isinstance(inner, Op) and inner.name == "concat" else (form.term,)
        if len(forms) == 1:
            return forms[0]
        after = (("joined", tuple(form.after for form in forms)), ())
        return single(Op("concat", tuple(parts)), after, before, 1 + sum(form.size for form in forms))

    def _chain(self, op: Op, scope: Bindings, before: Symbol) -> Form:
        width = given_value(op, "width", scope)
        stem = given_value(op, "stem", scope) or 3
        shape: Symbol = (stem * width, before[1])
        steps, size = [], 1
        for part, inner in self._flat(op.args[0], scope):
            is_cell = part.name == "cell" and self.knows("cell")
            if is_cell and given_value(part, "stride", inner) == 2:
                width *= 2
            form = self.form(part, inner, Around(width), shape)
            alone = len(form.steps) == 1 and isinstance(form.steps[0], Op)
            same = alone and (form.steps[0].name == "cell") == is_cell  # type: ignore[union-attr]
            steps.append(form.steps[0] if same else Op("add", (form.term,)) if form.steps else form.term)
            shape, size = form.after, size + form.size + 1
        body = Form(tuple(steps), (shape,) * len(steps), before, size)
        term = Op("chain", (body.term if steps else Seq(()),), kept_attributes(op, scope))
        return single(term, shape, before, size)

    def _flat(self, term: Term, scope: Bindings) -> Iterator[tuple[Op, Bindings]]:
        """The operations of a sequence, each with its definitions."""
        match term:
            case Define(body, _):
                yield from self._flat(body, self._inner(term, scope))
            case Ref(name):
                yield from self._flat(*scope.resolve(name))
            case Seq(parts):
                for part in parts:
                    yield from self._flat(part, scope)
            case Repeat(body, low):
                for _ in range(low):
                    yield from self._flat(body, scope)
            case Op():
                yield term, scope
