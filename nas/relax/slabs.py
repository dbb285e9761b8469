"""A chain of choices as a layered graph: all ways through it at once; no torch.

Hundt, Jain and Hager 2019, "sharpDARTS" (https://arxiv.org/abs/1903.09900), differentiable hyper-parameter
grid search, whose grid of layers, strides, widths and operations is one such graph. A stage is an operation
of the chain or a choice among several; a node is a shape that may leave it, a step leads from a shape by an
option to a shape, and the architectures are the paths. The slab of a choice is all of its steps, from every
shape, which share one softmax. A first choice that only says which shape goes in, such as the width of a
stem, has no weights of its own, as in the authors' code: the steps after it decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from nas.architecture import Key
from nas.errors import RelaxError, SpaceError
from nas.primitives import Context, Part, Shape
from nas.relax.holes import Hole
from nas.relax.parts import MixedPart, RelaxedSequence, Shapes
from nas.relax.relaxing import Relaxing

if TYPE_CHECKING:
    from nas.architecture import Architecture
    from nas.space import SearchSpace

Decisions: TypeAlias = tuple[tuple[Key, int], ...]  # what a derivation takes, by key


@dataclass(frozen=True, slots=True)
class Step:
    """From shape number `into` of the nodes before a stage by an option to number `out` of those after it."""

    into: int
    option: int
    out: int


@dataclass(frozen=True, slots=True)
class Stage:
    """One operation of the chain, or a choice among several.

    Attributes:
        steps: from every shape by every option.
        options: one where there is no choice.
        decisions: that stand for each option.
        texts: of the options, for people.
        shapes: the nodes before it.
        path: place in the expression.
        slab: hole whose options are the steps; None where they have no weights.
    """

    steps: tuple[Step, ...]
    options: tuple[Part, ...]
    decisions: tuple[Decisions, ...]
    texts: tuple[str, ...]
    shapes: Shapes
    path: str
    slab: Hole | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """The layered graph of a space.

    Attributes:
        stages: in the order of the chain; one node before the first.
        ends: shapes after the last.
    """

    stages: tuple[Stage, ...]
    ends: Shapes

    @property
    def slabs(self) -> tuple[Hole, ...]:
        return tuple(stage.slab for stage in self.stages if stage.slab is not None)

    def path_of(self, space: SearchSpace, architecture: Architecture) -> list[int]:
        """The number of the step that the architecture takes in each stage.

        Raises:
            SpaceError: it is of another space.
        """
        if architecture.space != space.name:
            reason = f"it is of {architecture.space}"
            raise SpaceError(f"{space.name}: an architecture of this space is expected; {reason}")
        taken = {decision.key: decision.option for decision in architecture.decisions}
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


def layered(space: SearchSpace, relaxing: Relaxing, in_shape: Shape, context: Context) -> Grid:
    """The layered graph of a space.

    Raises:
        RelaxError: it is no chain of choices among operations: the first choice that is not, and why.
        CompileError: its networks do not fit the shape.
    """
    root = relaxing.root()
    chain = list(_chain(root))
    stages, shapes = [], (in_shape,)
    for part in chain:
        stage, shapes = _stage(relaxing, part, shapes, context)
        stages.append(stage)
    _check(space, relaxing, [part for part in chain if isinstance(part, MixedPart)])
    return Grid(tuple(_with_slabs(stages)), shapes)


def _chain(part: Part) -> Iterator[Part]:
    if isinstance(part, RelaxedSequence):
        for each in part.parts:
            yield from _chain(each)
    else:
        yield part


def _stage(relaxing: Relaxing, part: Part, shapes: Shapes, context: Context) -> tuple[Stage, Shapes]:
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
    return Stage(steps, options, decisions, texts, shapes, path), after


def _check(space: SearchSpace, relaxing: Relaxing, chosen: list[MixedPart]) -> None:
    """Each hole decides one stage of the chain."""
    deciding = [{hole for picks in part.picks for hole, _ in picks} for part in chosen]
    for hole in relaxing.holes:
        stages = sum(hole.number in found for found in deciding)
        if stages != 1 and len(hole.options) > 1:
            reason = "decides several operations" if stages else "is no choice among operations of the chain"
            raise RelaxError(
                f"{space.name} at {hole.label}: a chain of independent choices is expected, to be searched "
                f"as a layered graph; this one {reason}; relax it hole by hole"
            )


def _with_slabs(stages: list[Stage]) -> Iterator[Stage]:
    number = 0
    for index, stage in enumerate(stages):
        if len(stage.options) == 1 or (number == 0 and _opens(stages, index)):
            yield stage
            continue
        texts = tuple(_text(stage, step) for step in stage.steps)
        key = stage.decisions[0][0][0]
        yield replace(stage, slab=Hole(number, key, stage.path, texts, "slab"))
        number += 1


def _opens(stages: list[Stage], index: int) -> bool:
    """Whether a choice says only which shape goes in, and the next choice still tells these apart."""
    stage = stages[index]
    following = next((each for each in stages[index + 1 :] if len(each.options) > 1), None)
    apart = len({step.out for step in stage.steps}) == len(stage.options)
    return (
        len(stage.shapes) == 1
        and apart
        and following is not None
        and len(following.shapes) == len(stage.options)
    )


def _text(stage: Stage, step: Step) -> str:
    return f"{'x'.join(map(str, stage.shapes[step.into]))} {stage.texts[step.option]}"
