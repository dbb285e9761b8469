"""The picture of an architecture: boxes and arrows of a network, the statements of a program.

`diagram` makes blocks of boxes and lines of a term, `architecture_figure` draws them. Lengths are inches, x
grows to the right and y downwards; what flows enters a block at the middle of its top and leaves at the
middle of its bottom.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from nas.language import Define, Let, Literal, Name, Op, Program, Ref, Repeat, Seq, Term, to_text, unrolled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nas.language import Term


CHARACTER, LINE = 0.067, 0.132  # of the 8 point monospaced font that pictures use
GAP, PAD = 0.24, 0.16
COLUMN_HEIGHT = 9.0  # a longer sequence is folded

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with text: "op", "ref", "frame", "merge" or "listing"; `name` decides its colour."""

    x: float
    y: float
    width: float
    height: float
    text: str
    kind: str = "op"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A polyline, with an arrow head at its end or a dot at its start."""

    points: tuple[Point, ...]
    arrow: bool = False
    dot: bool = False


@dataclass(frozen=True, slots=True)
class Label:
    """Text that ends at (x, y)."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the diagram with its size; `open` if a line and no box is at its top."""

    width: float
    height: float
    shapes: tuple[Box | Line | Label, ...] = ()
    open: bool = False

    @property
    def middle(self) -> float:
        return self.width / 2

    def at(self, x: float, y: float) -> tuple[Box | Line | Label, ...]:
        """Its shapes, moved."""
        return tuple(_moved(shape, x, y) for shape in self.shapes)


def box(lines: Sequence[str], kind: str = "op", name: str = "") -> Block:
    width = max(0.9, max((len(line) for line in lines), default=0) * CHARACTER + PAD)
    height = len(lines) * LINE + 0.1
    return Block(width, height, (Box(0, 0, width, height, "\n".join(lines), kind, name),))


def frame(title: str, inner: Block, *, wired: bool = True) -> Block:
    width = max(inner.width + 2 * PAD, (len(title) + 1) * CHARACTER + PAD)
    top = LINE + GAP
    height = top + inner.height + PAD
    middle = width / 2
    shapes = (Box(0, 0, width, height, title, "frame"), *inner.at(middle - inner.middle, top))
    if wired:
        shapes += (
            Line(((middle, 0), (middle, top)), arrow=not inner.open),
            Line(((middle, top + inner.height), (middle, height))),
        )
    return Block(width, height, shapes)


def definition(name: str, inner: Block) -> Block:
    """A frame under a name; what has a frame already only gets the name."""
    first = inner.shapes[0]
    if not (isinstance(first, Box) and first.kind == "frame"):
        return frame(name, inner)
    return replace(inner, shapes=(replace(first, text=f"{name} = {first.text}"), *inner.shapes[1:]))


def stack(blocks: Sequence[Block], *, joined: bool = True) -> Block:
    width = max(block.width for block in blocks)
    tops = list(accumulate((block.height + GAP for block in blocks), initial=0.0))
    middle = width / 2
    shapes = [
        s for block, top in zip(blocks, tops, strict=False) for s in block.at(middle - block.middle, top)
    ]
    if joined:
        for block, top in zip(blocks[1:], tops[1:], strict=False):
            shapes.append(Line(((middle, top - GAP), (middle, top)), arrow=not block.open))
    return Block(width, tops[-1] - GAP, tuple(shapes), joined and blocks[0].open)


def columns(blocks: Sequence[Block]) -> Block:
    """A sequence; a long one is folded into columns of about equal height."""
    ends = list(accumulate(block.height + GAP for block in blocks))
    num_columns = max(1, round(ends[-1] / COLUMN_HEIGHT))
    columns: list[list[Block]] = [[] for _ in range(num_columns)]
    for block, end in zip(blocks, ends, strict=True):
        columns[int(num_columns * (end - block.height / 2) / ends[-1])].append(block)
    stacks = [stack(column) for column in columns if column]
    return stacks[0] if len(stacks) == 1 else _folded(stacks)


def _folded(stacks: Sequence[Block]) -> Block:
    """Columns side by side; enters and leaves in the middle, below the lowest column."""
    row = beside(stacks, top=2 * GAP)
    lefts = list(accumulate((stack.width + 2 * GAP for stack in stacks), initial=0.0))
    middles = [left + stack.middle for left, stack in zip(lefts, stacks, strict=False)]
    bottoms = [2 * GAP + stack.height for stack in stacks]
    height = row.height + 2 * GAP
    centre = row.width / 2
    shapes = [
        Line(((centre, 0), (centre, GAP), (middles[0], GAP), (middles[0], 2 * GAP)), not stacks[0].open)
    ]
    for here, (left, x) in enumerate(zip(lefts[1:], middles[1:], strict=False)):
        low, gutter = bottoms[here] + GAP / 2, left - GAP
        path = ((middles[here], bottoms[here]), (middles[here], low), (gutter, low), (gutter, 1.5 * GAP))
        shapes.append(Line((*path, (x, 1.5 * GAP), (x, 2 * GAP)), arrow=not stacks[here + 1].open))
    end = height - GAP / 2
    shapes.append(Line(((middles[-1], bottoms[-1]), (middles[-1], end), (centre, end), (centre, height))))
    return Block(row.width, height, (*row.shapes, *shapes), open=True)


def beside(blocks: Sequence[Block], *, top: float = 0.0) -> Block:
    lefts = list(accumulate((block.width + 2 * GAP for block in blocks), initial=0.0))
    shapes = tuple(s for block, left in zip(blocks, lefts, strict=False) for s in block.at(left, top))
    return Block(lefts[-1] - 2 * GAP, top + max(block.height for block in blocks), shapes)


def residual(body: Block) -> Block:
    """The body in the middle, the skip connection to its right."""
    width, middle = body.width + 4 * GAP, body.middle + 2 * GAP
    top = 2 * GAP
    row = top + body.height + GAP
    side, centre = width - GAP, row + 0.12
    skip = ((middle, GAP), (side, GAP), (side, centre), (middle + 0.12, centre))
    shapes = (
        Line(((middle, 0), (middle, top)), arrow=not body.open),
        *body.at(2 * GAP, top),
        Line(((middle, row - GAP), (middle, row)), arrow=True),
        Line(skip, arrow=True, dot=True),
        Box(middle - 0.12, row, 0.24, 0.24, "+", "merge"),
    )
    return Block(width, row + 0.24, shapes, open=True)


def merged(blocks: Sequence[Block], symbol: str) -> Block:
    """Branches that part at the top and meet in a box at the bottom."""
    half = max(0.12, (len(symbol) * CHARACTER + PAD) / 2)
    inner = sum(block.width + GAP for block in blocks) - GAP
    width, middle = max(inner, 2 * half), max(inner / 2, half)
    lefts = accumulate((block.width + GAP for block in blocks), initial=(width - inner) / 2)
    top = 2 * GAP
    row = top + max(block.height for block in blocks) + GAP
    shapes: list[Box | Line | Label] = [Line(((middle, 0), (middle, GAP)))]
    for block, left in zip(blocks, lefts, strict=False):
        x = left + block.middle
        shapes += [*block.at(left, top), Line(((middle, GAP), (x, GAP), (x, top)), arrow=not block.open)]
        side = ((x, row + 0.12), (middle + (half if x > middle else -half), row + 0.12))
        end = ((x, row),) if abs(x - middle) < half else side
        shapes.append(Line(((x, top + block.height), *end), arrow=True))
    merge = Box(middle - half, row, 2 * half, 0.24, symbol, "merge")
    return Block(width, row + 0.24, (*shapes, merge), open=True)


def _moved(shape: Box | Line | Label, dx: float, dy: float) -> Box | Line | Label:
    if isinstance(shape, Line):
        return replace(shape, points=tuple((x + dx, y + dy) for x, y in shape.points))
    return replace(shape, x=shape.x + dx, y=shape.y + dy)


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


FILLS = ("#cfe3f3", "#fbe3c8", "#d3efe4", "#f6d9e6", "#fbf5c4", "#dddcf3", "#e6dfd3", "#d7f0f5")
INK = "#333333"
MARGIN = 0.2
MAX_INCHES = 200.0  # a bitmap may not have more than 2**16 pixels a side


def architecture_figure(term: Term, title: str = "") -> Figure:
    """The picture of a hole-free term, at one inch per inch of the diagram; `savefig` as SVG, PDF or PNG."""
    from matplotlib.figure import Figure

    block = diagram(term)
    lines = textwrap.wrap(title, max(30, int(block.width / CHARACTER)))
    head = len(lines) * LINE + PAD if lines else 0.0
    width = max(block.width, max(map(len, lines), default=0) * CHARACTER) + 2 * MARGIN
    height = block.height + head + 2 * MARGIN
    scale = min(1.0, MAX_INCHES / max(width, height))
    figure = Figure(figsize=(width * scale, height * scale))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    if lines:
        axes.text(MARGIN, MARGIN, "\n".join(lines), va="top", weight="bold", **_font(scale))
    _draw(axes, block, (width - block.width) / 2, MARGIN + head, scale)
    return figure


def _draw(axes: Axes, block: Block, x: float, y: float, scale: float) -> None:
    shapes = block.at(x, y)
    fills = _fills(shape.name for shape in shapes if isinstance(shape, Box))
    for shape in shapes:
        if isinstance(shape, Box):
            _draw_box(axes, shape, fills[shape.name], scale)
        elif isinstance(shape, Label):
            axes.text(shape.x, shape.y, shape.text, ha="right", va="center", color=INK, **_font(scale))
        else:
            head = "-|>,head_width=0.15,head_length=0.3" if shape.arrow else "-"
            _draw_path(axes, shape.points, head, scale)
            if shape.dot:
                axes.plot(*shape.points[0], "o", color=INK, markersize=3 * scale, zorder=2)


def _draw_path(axes: Axes, points: tuple[tuple[float, float], ...], head: str, scale: float) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    style = {"linewidth": 0.8 * scale, "color": INK, "mutation_scale": 14 * scale}
    path = Path(points)
    axes.add_patch(FancyArrowPatch(path=path, arrowstyle=head, zorder=2, shrinkA=0, shrinkB=0, **style))


def _draw_box(axes: Axes, box: Box, fill: str, scale: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    framed = box.kind == "frame"
    face = {"frame": "none", "merge": "white", "listing": "#f7f7f7"}.get(box.kind, fill)
    axes.add_patch(
        FancyBboxPatch(
            (box.x, box.y),
            box.width,
            box.height,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=face,
            edgecolor="#888888" if framed else INK,
            linewidth=(1.6 if box.kind == "ref" else 0.8) * scale,
            linestyle="dashed" if framed else "solid",
            zorder=1 if framed else 3,
        )
    )
    if framed or box.kind == "listing":
        back = {"facecolor": "white", "edgecolor": "none", "pad": 1} if framed else None
        corner = (box.x + PAD / 2, box.y + 0.05)
        axes.text(*corner, box.text, va="top", color=INK, zorder=4, bbox=back, **_font(scale))
    else:
        centre = (box.x + box.width / 2, box.y + box.height / 2)
        axes.text(*centre, box.text, ha="center", va="center", color=INK, zorder=4, **_font(scale))


def _fills(names: Iterable[str]) -> dict[str, str]:
    """One fill for each name, in order of appearance, so that equal operations look equal."""
    return {name: FILLS[index % len(FILLS)] for index, name in enumerate(dict.fromkeys(names))}


def _font(scale: float) -> dict[str, Any]:
    return {"family": "monospace", "fontsize": 8 * scale, "linespacing": 1.15, "parse_math": False}
