"""From an architecture's term to the diagram of its picture; no matplotlib."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from nas.blocks import (
    CHARACTER,
    GAP,
    PAD,
    Block,
    Box,
    Label,
    Line,
    beside,
    box,
    columns,
    definition,
    frame,
    merged,
    residual,
    stack,
)
from nas.language import Define, Let, Literal, Name, Op, Program, Ref, Repeat, Seq, Term, to_text, unrolled

LABEL_CHARACTERS = 24
LISTING_CHARACTERS, LISTING_LINES = 96, 80
SYMBOLS = {"add": "+"}


def diagram(term: Term) -> Block:
    """The diagram of a hole-free term: a network, a program, or either with the settings of its training."""
    match term:
        case Seq(()) | Repeat(_, 0, _):
            return Block(0.9, 0.3, (Line(((0.45, 0.0), (0.45, 0.3))),), open=True)
        case Seq(parts):
            return columns([diagram(part) for part in parts])
        case Repeat(body, 1, 1):
            return diagram(body)
        case Repeat(body, low, _):
            return frame(f"{low} copies", diagram(body))
        case Define(body, bindings):
            parts = [definition(name, diagram(part)) for name, part in bindings]
            return beside([diagram(body), stack(parts, joined=False)])
        case Program():
            return _listing(term)
        case Ref(name):
            return box([name], "ref", name)
        case Op():
            return _operation(term)
        case _:
            return box(textwrap.wrap(to_text(term), LABEL_CHARACTERS))


def _operation(term: Op) -> Block:
    name, parts = term.name, term.args
    if not parts or any(isinstance(part, Name | Literal) for part in parts):
        return _leaf(term)
    if name == "cell" and all(isinstance(part, Op) and part.name == "node" for part in parts):
        return _cell(term)
    first, *others = [diagram(part) for part in parts]
    if others:
        return merged([first, *others], SYMBOLS.get(name) or _title(term))
    if name == "residual":
        return residual(first)
    if name == "train":
        settings = _text([f"{key} = {to_text(value)}" for key, value in term.attributes], "training")
        return stack([settings, first], joined=False)
    return frame(_title(term), first)


def _leaf(term: Op) -> Block:
    if term.args:
        return box(textwrap.wrap(to_text(term), LABEL_CHARACTERS), "op", term.name)
    attributes = " ".join(f"{key}={to_text(value)}" for key, value in term.attributes)
    return box([term.name, *textwrap.wrap(attributes, LABEL_CHARACTERS)], "op", term.name)


def _title(term: Op) -> str:
    attributes = ", ".join(f"{key}={to_text(value)}" for key, value in term.attributes)
    return f"{term.name}({attributes})" if attributes else term.name


@dataclass(frozen=True, slots=True)
class _Edge:
    source: int
    target: int
    block: Block
    x: float = 0.0  # of its column's middle


def _cell(term: Op) -> Block:
    """Values as horizontal lanes; each operation has a column, from the lane it reads to its node's."""
    edges, num_values = _edges(term)
    if edges is None:
        nodes = [box(textwrap.wrap(to_text(part), LABEL_CHARACTERS)) for part in term.args]
        return frame(_title(term), stack(nodes, joined=False), wired=False)
    num_inputs = num_values - len(term.args)
    margin = len("input 0") * CHARACTER + PAD
    rights = list(accumulate((edge.block.width + GAP for edge in edges), initial=margin))
    edges = [replace(edge, x=x + edge.block.middle) for edge, x in zip(edges, rights, strict=False)]
    lanes = _lanes(edges, num_inputs, num_values)
    joined = dict(term.attributes).get("output") == Literal("concat")
    inner = _wired_cell(edges, lanes, num_inputs, joined=joined)
    return frame(_title(term), inner, wired=False)


def _edges(term: Op) -> tuple[list[_Edge] | None, int]:
    """The operations of a cell's nodes and the number of values; None if the inputs are not stated."""
    given = dict(term.attributes).get("inputs", Literal(1))
    num_inputs = given.value if isinstance(given, Literal) and isinstance(given.value, int) else 1
    edges = []
    for index, node in enumerate(term.args):
        assert isinstance(node, Op)
        read = dict(node.attributes).get("inputs", Literal((0,)))
        sources = read.value if isinstance(read, Literal) else None
        target = num_inputs + index
        if not isinstance(sources, tuple) or len(sources) != len(node.args):
            return None, 0
        for source, part in zip(sources, node.args, strict=True):
            if not (isinstance(source, int) and 0 <= source < target):
                return None, 0
            edges.append(_Edge(source, target, diagram(part)))
    edges.sort(key=lambda edge: (edge.target, edge.source))
    return edges, num_inputs + len(term.args)


def _lanes(edges: Iterable[_Edge], num_inputs: int, num_values: int) -> list[float]:
    """Height of each value's lane: room for the highest operation above each node's."""
    lanes = [GAP * (index + 0.5) for index in range(num_inputs)]
    for value in range(num_inputs, num_values):
        tallest = max((edge.block.height for edge in edges if edge.target == value), default=0.0)
        lanes.append(lanes[-1] + tallest + 2 * GAP)
    return lanes


def _wired_cell(edges: Sequence[_Edge], lanes: Sequence[float], num_inputs: int, *, joined: bool) -> Block:
    """Lanes, operations and the output: all nodes joined, or the last one."""
    shapes: list[Box | Line | Label] = []
    out = range(num_inputs if joined else len(lanes) - 1, len(lanes))
    margin = len("input 0") * CHARACTER + PAD
    right = max((edge.x + edge.block.middle for edge in edges), default=margin) + 0.45
    for value, y in enumerate(lanes):
        ends = [edge.x for edge in edges if value in (edge.source, edge.target)]
        ends += [right] * (value in out) + [margin] * (value < num_inputs)
        name = f"input {value}" if value < num_inputs else f"node {value}"
        shapes += [Line(((min(ends), y), (max(ends), y))), Label(min(ends) - 0.06, y, name)]
    for edge in edges:
        top = lanes[edge.target] - GAP - edge.block.height
        shapes += edge.block.at(edge.x - edge.block.middle, top)
        shapes.append(Line(((edge.x, lanes[edge.source]), (edge.x, top)), arrow=True, dot=True))
        shapes.append(Line(((edge.x, lanes[edge.target] - GAP), (edge.x, lanes[edge.target])), arrow=True))
    end = lanes[-1] + GAP
    stops = [*(lanes[value] for value in out), end]
    for here, there in pairwise(stops):
        shapes.append(Line(((right, here), (right, there)), arrow=there == end, dot=True))
    shapes.append(Box(right - 0.4, end, 0.8, 0.24, "concat" if joined else "output", "merge"))
    return Block(right + 0.45, end + 0.24, tuple(shapes))


def _listing(term: Program) -> Block:
    """A program as numbered statements; long ones are wrapped, very long programs are cut."""
    lines = ["given " + ", ".join(f"{name}: {kind}" for name, kind in term.inputs)]
    for index, step in enumerate(unrolled(term.body)):
        lines.append(f"x{index} = {to_text(step.body if isinstance(step, Let) else step)}")
    if len(lines) > LISTING_LINES:
        lines[LISTING_LINES:] = [f"... {len(lines) - LISTING_LINES} more statements"]
    lines += [f"return {name} = {to_text(value)}" for name, value in term.outputs]
    return _text(lines, "program")


def _text(lines: Iterable[str], title: str) -> Block:
    wrapped = [
        part for line in lines for part in textwrap.wrap(line, LISTING_CHARACTERS, subsequent_indent="    ")
    ]
    return box([title, *wrapped], "listing", title)
