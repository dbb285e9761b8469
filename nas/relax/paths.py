"""Paths through the layered graph of a space, and the architecture of the one that is chosen; no torch.

Hundt, Jain and Hager 2019, "sharpDARTS" (https://arxiv.org/abs/1903.09900): the final model is the longest
path, the length of a step being its weight; their code has greedy choices too. Deviation: where constraints
forbid the path, the longest one is taken that they admit.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from nas.errors import DeadEndError
from nas.relax.choices import derived
from nas.relax.slabs import Grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nas.architecture import Architecture
    from nas.space import SearchSpace

    Floats: TypeAlias = NDArray[np.float64]

Path: TypeAlias = tuple[int, ...]  # the number of a step in each stage

_TRIES = 1_000  # paths that constraints may refuse
_UNIT = 2**52  # lengths are whole multiples of its inverse, so that their sums are exact


def chosen_path(space: SearchSpace, grid: Grid, weights: Sequence[Floats], selection: str) -> Architecture:
    """The architecture of the path that the weights choose.

    Args:
        space: of the graph.
        grid: its layered graph.
        weights: (steps,) of each slab.
        selection: longest_path; top_down or bottom_up, which take the heaviest step of one slab after the
            other from where they stand, from the images or from the classes.

    Raises:
        DeadEndError: the constraints of the space refuse 1,000 paths.
    """
    longest = by_length(grid, weights)
    first = [] if selection == "longest_path" else [greedy(grid, weights, backwards=selection == "bottom_up")]
    for path in itertools.islice(itertools.chain(first, longest), _TRIES):
        architecture = derived(space, grid.decisions(path))
        if space.violation(architecture) is None:
            return architecture
    raise DeadEndError(f"{space.name}: no path near the longest one meets the constraints; loosen them")


def by_length(grid: Grid, weights: Sequence[Floats]) -> Iterator[Path]:
    """All paths, the longest first; of equal ones that with the first steps."""
    lengths = _lengths(grid, weights)
    ahead = _ahead(grid, lengths)
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
        if stage.slab is None
        else [round(float(weight) * _UNIT) for weight in weights[stage.slab.number]]
        for stage in grid.stages
    ]


def _ahead(grid: Grid, lengths: Sequence[Sequence[int]]) -> list[list[int]]:
    """Length of the longest path from each node before each stage, and after the last, to the end."""
    found = [[0] * len(grid.ends)]
    for stage, own in zip(reversed(grid.stages), reversed(lengths), strict=True):
        best: dict[int, int] = {}
        for step, length in zip(stage.steps, own, strict=True):
            reach = length + found[-1][step.out]
            best[step.into] = max(reach, best.get(step.into, reach))
        found.append([best[node] for node in range(len(stage.shapes))])
    return found[::-1]


def greedy(grid: Grid, weights: Sequence[Floats], *, backwards: bool = False) -> Path:
    """The heaviest step of each slab among those that go on from the one before; of equal ones the first.

    Stages without weights decide nothing: before the first slab, all of their steps are open.
    """
    stages = list(zip(grid.stages, _lengths(grid, weights), strict=True))
    paths: dict[int, Path] = dict.fromkeys(range(len(grid.ends)) if backwards else (0,), ())
    for stage, lengths in reversed(stages) if backwards else stages:
        ends = [(s.out, s.into) if backwards else (s.into, s.out) for s in stage.steps]
        going = [number for number, (begin, _) in enumerate(ends) if begin in paths]
        if stage.slab is not None:
            going = [max(going, key=lengths.__getitem__)]
        after: dict[int, Path] = {}
        for number in going:
            begin, end = ends[number]
            after.setdefault(end, (*paths[begin], number))
        paths = after
    path = paths[min(paths)]
    return path[::-1] if backwards else path
