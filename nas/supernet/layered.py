"""Supernet of a layered graph: every step has weights of its own, and values of one shape are added up.

Hundt, Jain and Hager 2019, "sharpDARTS" (https://arxiv.org/abs/1903.09900), MultiChannelNetwork of the
authors' code: a node is the sum of its steps by their weights, which is not normalised; steps without an
architecture weight count as 1. Deviation: a step that lies on no active path does not compute, and where no
active path is left, all steps count as active.

A chain of choices is a layered graph: all ways through it at once, as in the paper's differentiable
hyper-parameter grid search, whose grid of layers, strides, widths and operations is one such graph. A stage
is an operation of the chain or a choice among several; a node is a shape that may leave it, a step leads from
a shape by an option to a shape, and the architectures are the paths. All steps of a choice, from every shape,
form its choice group and share one softmax. A first choice that only says which shape goes in, such as the
width of a stem, has no weights, as in the authors' code: the steps after it decide.

The final model is the longest
path, the length of a step being its weight; their code has greedy choices too. Deviation: where constraints
forbid the path, the longest one is taken that they admit.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from torch import Tensor, nn

from nas.errors import RelaxError, refusal
from nas.language import Context, Part, Shape
from nas.layers import at_sides, checked_input, seeded
from nas.space import Key
from nas.supernet.modules import ArchitectureWeight, ArchitectureWeights, Relaxed, constant, scaled, total_of
from nas.supernet.relaxation import Hole, MixedPart, RelaxedSequence, Relaxing, Shapes
from nas.supernet.supernet import TRIES, Supernet, decisions_of, first_admissible

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nas.space import Architecture, SearchSpace

    Floats: TypeAlias = NDArray[np.float64]


Decisions: TypeAlias = tuple[tuple[Key, int], ...]  # what a derivation takes, by key


@dataclass(frozen=True, slots=True)
class Step:
    """From shape number `into` of the nodes before a stage by an option to number `out` of those after it."""

    into: int
    option: int
    out: int


@dataclass(frozen=True, slots=True)
class LayeredStage:
    """One operation of the chain, or a choice among several.

    Attributes:
        steps: from every shape by every option.
        options: one where there is no choice.
        decisions: that stand for each option.
        texts: of the options, for people.
        shapes: the nodes before it.
        path: place in the expression.
        choice_group: hole whose options are the steps; None where they have no weights.
    """

    steps: tuple[Step, ...]
    options: tuple[Part, ...]
    decisions: tuple[Decisions, ...]
    texts: tuple[str, ...]
    shapes: Shapes
    path: str
    choice_group: Hole | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """The layered graph of a space.

    Attributes:
        stages: in the order of the chain; one node before the first.
        ends: shapes after the last.
    """

    stages: tuple[LayeredStage, ...]
    ends: Shapes

    @property
    def choice_groups(self) -> tuple[Hole, ...]:
        return tuple(stage.choice_group for stage in self.stages if stage.choice_group is not None)

    def path_of(self, space: SearchSpace, architecture: Architecture) -> list[int]:
        """The number of the step that the architecture takes in each stage.

        Raises:
            SpaceError: it is of another space.
        """
        taken = decisions_of(space, architecture)
        node, path = 0, []
        for stage in self.stages:
            (option,) = (
                number
                for number, decisions in enumerate(stage.decisions)
                if all(taken.get(key) == value for key, value in decisions)
            )
            path.append(next(i for i, s in enumerate(stage.steps) if (s.into, s.option) == (node, option)))
            node = stage.steps[path[-1]].out
        return path

    def decisions(self, path: Sequence[int]) -> dict[Key, int]:
        """What a derivation takes on a path."""
        taken = zip(self.stages, path, strict=True)
        return {
            key: value
            for stage, number in taken
            for key, value in stage.decisions[stage.steps[number].option]
        }


def layered_grid(space: SearchSpace, relaxing: Relaxing, in_shape: Shape, context: Context) -> Grid:
    """The layered graph of a space.

    Raises:
        RelaxError: it is no chain of choices among operations: the first choice that is not, and why.
        CompileError: its networks do not fit the shape.
    """
    root = relaxing.root()
    chain = list(_chain(root))
    stages, shapes = [], (in_shape,)
    for part in chain:
        stage, shapes = _stage_of_part(relaxing, part, shapes, context)
        stages.append(stage)
    deciding = [
        {hole for picks in part.picks for hole, _ in picks} for part in chain if isinstance(part, MixedPart)
    ]
    for hole in relaxing.holes:  # each decides one stage of the chain
        decided = sum(hole.number in found for found in deciding)
        if decided != 1 and len(hole.options) > 1:
            raise RelaxError(
                refusal(
                    f"{space.name} at {hole.label}",
                    "a chain of independent choices, to be searched as a layered graph",
                    "one that decides several"
                    if decided
                    else "one that is not among operations of the chain",
                    "set grid=false to relax it hole by hole",
                )
            )
    return Grid(tuple(_with_choice_groups(stages)), shapes)


def _chain(part: Part) -> Iterator[Part]:
    if isinstance(part, RelaxedSequence):
        for each in part.parts:
            yield from _chain(each)
    else:
        yield part


def _stage_of_part(
    relaxing: Relaxing, part: Part, shapes: Shapes, context: Context
) -> tuple[LayeredStage, Shapes]:
    options = part.options if isinstance(part, MixedPart) else (part,)
    picks = part.picks if isinstance(part, MixedPart) else ((),)
    found = [
        (into, number, option.shape(shape, context))
        for into, shape in enumerate(shapes)
        for number, option in enumerate(options)
    ]
    after = tuple(dict.fromkeys(shape for *_, shape in found))
    steps = tuple(Step(into, number, after.index(shape)) for into, number, shape in found)
    holes = list(relaxing.holes)
    decisions = tuple(tuple((holes[hole].key, holes[hole].taken(i)) for hole, i in each) for each in picks)
    texts = tuple(", ".join(holes[hole].options[i] for hole, i in each) for each in picks)
    path = part.path  # type: ignore[attr-defined] - all that `Relaxing` makes have one
    return LayeredStage(steps, options, decisions, texts, shapes, path), after


def _with_choice_groups(stages: list[LayeredStage]) -> Iterator[LayeredStage]:
    number = 0
    for index, stage in enumerate(stages):
        if len(stage.options) == 1 or (number == 0 and _opens(stages, index)):
            yield stage
            continue
        shapes = ["x".join(map(str, shape)) for shape in stage.shapes]
        texts = tuple(f"{shapes[step.into]} {stage.texts[step.option]}" for step in stage.steps)
        key = stage.decisions[0][0][0]
        yield replace(stage, choice_group=Hole(number, key, stage.path, texts, "group"))
        number += 1


def _opens(stages: list[LayeredStage], index: int) -> bool:
    """Whether a choice says only which shape goes in, and the next choice still tells these apart."""
    stage = stages[index]
    following = next((each for each in stages[index + 1 :] if len(each.options) > 1), None)
    apart = len({step.out for step in stage.steps}) == len(stage.options)
    if following is None or not apart:
        return False
    return len(stage.shapes) == 1 and len(following.shapes) == len(stage.options)


class GridNetwork(Relaxed):
    """The steps of all stages; a stage's are in the order of `Stage.steps`."""

    def __init__(self, board: ArchitectureWeights, grid: Grid, context: Context) -> None:
        super().__init__()
        self.board, self.grid = board, grid
        self.stages = nn.ModuleList(
            nn.ModuleList(
                stage.options[step.option].build(stage.shapes[step.into], context) for step in stage.steps
            )
            for stage in grid.stages
        )

    def forward(self, x: Tensor) -> Tensor:
        values = {0: x}
        for stage, modules, active in zip(self.grid.stages, self.stages, self._active(), strict=True):
            group = stage.choice_group
            weight = None if group is None else self.board.weights[group.number].values
            gathered: dict[int, list[Tensor]] = {}
            for number in active:
                step = stage.steps[number]
                share = 1.0 if weight is None else weight[number]
                value = scaled(share, modules[number](values[step.into]))  # type: ignore[index]
                gathered.setdefault(step.out, []).append(value)
            values = {node: total_of(found) for node, found in gathered.items()}
        return values[0]

    def _active(self) -> list[list[int]]:
        """The steps of each stage that lie on a path of active steps."""
        groups = [stage.choice_group for stage in self.grid.stages]
        given = [range(len(stage.steps)) for stage in self.grid.stages]
        weighed = [
            every if group is None else self.board.weights[group.number].active
            for group, every in zip(groups, given, strict=True)
        ]
        return self._connected(weighed) or self._connected(given)

    def _connected(self, active: Sequence[Sequence[int]]) -> list[list[int]]:
        """Those of the steps that lie on a path; empty if there is no path."""
        reached, onward = {0}, []
        for stage, numbers in zip(self.grid.stages, active, strict=True):
            onward.append([number for number in numbers if stage.steps[number].into in reached])
            reached = {stage.steps[number].out for number in onward[-1]}
        for i, stage in reversed(list(enumerate(self.grid.stages))):
            onward[i] = [number for number in onward[i] if stage.steps[number].out in reached]
            reached = {stage.steps[number].into for number in onward[i]}
        return onward if reached else []

    def discrete(self) -> tuple[nn.Module, int]:
        modules = []
        for stage, active in zip(self.stages, self._active(), strict=True):
            (number,) = active
            modules.append(stage[number])  # type: ignore[index]
        return nn.Sequential(*modules), 0

    def extra_repr(self) -> str:
        return f"choice_groups={len(self.grid.choice_groups)}"


class GridSupernet(Supernet):
    """A supernet whose holes are the choice groups of a layered graph; made by `relax_grid`.

    Attributes:
        grid: the graph.
    """

    def __init__(
        self, space: SearchSpace, network: GridNetwork, relaxing: Relaxing, board: ArchitectureWeights
    ) -> None:
        super().__init__(space, network, relaxing, board)
        self.grid = network.grid
        self.holes, self.gates = self.grid.choice_groups, ()

    def one_hot(self, architecture: Architecture) -> list[ArchitectureWeight]:
        path = self.grid.path_of(self.space, architecture)
        return [
            constant(len(stage.steps), number)
            for stage, number in zip(self.grid.stages, path, strict=True)
            if stage.choice_group is not None
        ]


def relax_grid(space: SearchSpace, input_shape: Shape, num_classes: int, *, seed: int = 0) -> GridSupernet:
    """The supernet of a chain of choices as a layered graph, on the CPU and in training mode.

    Args:
        space: a chain of operations and choices among operations, of any widths and strides.
        input_shape: of one example, (C, H, W) or (F,).
        num_classes: outputs.
        seed: of the initial weights.

    Raises:
        RelaxError: the space is no such chain: the place and why.
        CompileError: its networks do not fit the shape.
    """
    board = ArchitectureWeights()
    relaxing = Relaxing(space, board)
    context = Context(num_classes, affine=False, mode="search")
    shape = checked_input(input_shape)
    grid = at_sides(lambda sides: layered_grid(space, relaxing, sides, context), shape)
    if grid.ends != ((num_classes,),):
        ends = ", ".join(map(str, grid.ends))
        expected = f"({num_classes},) for {num_classes} classes"
        raise RelaxError(refusal(space.name, expected, ends, "end the networks with head()"))
    with seeded(seed):
        network = GridNetwork(board, grid, context)
    return GridSupernet(space, network, relaxing, board)


Path: TypeAlias = tuple[int, ...]  # the number of a step in each stage

_UNIT = 2**52  # lengths are whole multiples of its inverse, so that their sums are exact


def chosen_path(space: SearchSpace, grid: Grid, weights: Sequence[Floats], selection: str) -> Architecture:
    """The architecture of the path that the weights choose.

    Args:
        space: of the graph.
        grid: its layered graph.
        weights: (steps,) of each choice group.
        selection: "longest_path"; "top_down" or "bottom_up", which go from the images or from the classes
            and take the heaviest step that leads on in each choice group.

    Raises:
        DeadEndError: the constraints of the space refuse 1,000 paths.
    """
    first = [] if selection == "longest_path" else [greedy(grid, weights, backwards=selection == "bottom_up")]
    paths = itertools.islice(itertools.chain(first, by_length(grid, weights)), TRIES)
    return first_admissible(space, map(grid.decisions, paths), "longest paths")


def by_length(grid: Grid, weights: Sequence[Floats]) -> Iterator[Path]:
    """All paths, the longest first; among equal ones the one with the first steps."""
    lengths = _lengths(grid, weights)
    ahead = [[0] * len(grid.ends)]  # before each stage and after the last, from each node to the end
    for stage, own in zip(reversed(grid.stages), reversed(lengths), strict=True):
        best: dict[int, int] = {}
        for step, length in zip(stage.steps, own, strict=True):
            reach = length + ahead[0][step.out]
            best[step.into] = max(reach, best.get(step.into, reach))
        ahead.insert(0, [best[node] for node in range(len(stage.shapes))])
    heap: list[tuple[int, Path, int, int]] = [(-ahead[0][0], (), 0, 0)]
    while heap:
        _, path, node, done = heapq.heappop(heap)
        if len(path) == len(grid.stages):
            yield path
            continue
        for number, step in enumerate(grid.stages[len(path)].steps):
            if step.into == node:
                length = done + lengths[len(path)][number]
                reach = length + ahead[len(path) + 1][step.out]
                heapq.heappush(heap, (-reach, (*path, number), step.out, length))


def _lengths(grid: Grid, weights: Sequence[Floats]) -> list[list[int]]:
    """Of each step of each stage; 0 where it has no weight."""
    return [
        [0] * len(stage.steps)
        if stage.choice_group is None
        else [round(float(weight) * _UNIT) for weight in weights[stage.choice_group.number]]
        for stage in grid.stages
    ]


def greedy(grid: Grid, weights: Sequence[Floats], *, backwards: bool = False) -> Path:
    """The heaviest step of each choice group among those that continue the path; among equal ones the first.

    Stages without weights decide nothing: before the first choice group, all of their steps are open.
    """
    stages = list(zip(grid.stages, _lengths(grid, weights), strict=True))
    paths: dict[int, Path] = dict.fromkeys(range(len(grid.ends)) if backwards else (0,), ())
    for stage, lengths in reversed(stages) if backwards else stages:
        ends = [(s.out, s.into) if backwards else (s.into, s.out) for s in stage.steps]
        going = [number for number, (begin, _) in enumerate(ends) if begin in paths]
        if stage.choice_group is not None:
            going = [max(going, key=lengths.__getitem__)]
        after: dict[int, Path] = {}
        for number in going:
            begin, end = ends[number]
            after.setdefault(end, (*paths[begin], number))
        paths = after
    path = paths[min(paths)]
    return path[::-1] if backwards else path
