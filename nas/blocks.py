"""Boxes and lines of a picture, and the ways to put blocks of them together; no matplotlib.

Lengths are inches, x grows to the right and y downwards; what flows enters a block at the middle of its
top and leaves at the middle of its bottom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

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
