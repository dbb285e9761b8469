"""Supernet: all networks of a space at once, with shared weights.

Discretisation takes the heaviest option of each hole; a gated node keeps as many edges as it has inputs,
those whose heaviest operation but none is heaviest (Liu et al. 2019, section 2.4). Where constraints forbid
that architecture, the heaviest one is taken that they admit.
"""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from torch import Tensor, nn

from nas.errors import DeadEndError, RelaxError, SpaceError, refusal
from nas.language import Context, Shape, written_size
from nas.layers import at_sides, checked_input, seeded
from nas.space import Key
from nas.supernet.modules import ArchitectureWeight, ArchitectureWeights, constant, discretized
from nas.supernet.relaxation import Gate, Hole, Relaxing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nas.space import Architecture, SearchSpace

    Floats = NDArray[np.float64]


_NONE = 0  # option of an edge
TRIES = 1_000  # architectures that constraints may refuse


def chosen_options(
    space: SearchSpace, holes: Sequence[Hole], gates: Sequence[Gate], architecture: Architecture
) -> list[int]:
    """The option of each hole that the architecture takes; 0 where it leaves a hole open.

    Raises:
        SpaceError: it is of another space.
    """
    decided = decisions_of(space, architecture)
    options = [0] * len(holes)
    for hole in holes:
        value = decided.get(hole.key)
        if value is not None:
            options[hole.number] = int(value) if hole.kind == "choice" else hole.options.index(str(value))
    for gate in gates:
        sources = gate.inputs[int(decided.get(gate.key, 0))]
        taken = {
            source: 1 + int(decided.get(key, 0)) for source, key in zip(sources, gate.operations, strict=True)
        }
        for source, hole in gate.edges.items():  # an operation, numbered after none, or none
            options[hole.number] = taken.get(source, _NONE)
    return options


def decisions_of(space: SearchSpace, architecture: Architecture) -> dict[Key, int | float]:
    """What an architecture of the space decides, by key; raises SpaceError if it is of another space."""
    if architecture.space != space.name:
        remedy = "read its text with the parse() of this space"
        expected, got = "an architecture of this space", f"one of {architecture.space}"
        raise SpaceError(refusal(space.name, expected, got, remedy))
    return {decision.key: decision.option for decision in architecture.decisions}


def heaviest(
    space: SearchSpace, holes: Sequence[Hole], gates: Sequence[Gate], weights: Sequence[Floats]
) -> Architecture:
    """The architecture of the heaviest options.

    Args:
        space: of the supernet.
        holes: by number.
        gates: of the supernet.
        weights: (options,) of each hole, none negative; equal ones: the first is taken.

    Raises:
        DeadEndError: the constraints of the space refuse 1,000 architectures.
    """
    ranking = _Ranking(holes, gates, [np.log(np.maximum(each, 1e-300)) for each in weights])
    return first_admissible(space, ranking.by_loss(TRIES), "heaviest architectures")


def first_admissible(space: SearchSpace, candidates: Iterable[dict[Key, int]], what: str) -> Architecture:
    """The first of the candidates that meets the constraints; raises DeadEndError if none does."""
    for options in candidates:
        architecture = derived(space, options)
        if space.violation(architecture) is None:
            return architecture
    expected, got = f"one of the {what} to meet the constraints", f"none among {TRIES:,}"
    raise DeadEndError(refusal(space.name, expected, got, "loosen the constraints"))


class _Ranking:
    """Options of each decision, heaviest first; the operations of a gated node follow its inputs."""

    def __init__(self, holes: Sequence[Hole], gates: Sequence[Gate], logs: Sequence[Floats]) -> None:
        self._values = {
            hole.key: list(map(hole.taken, range(len(hole.options)))) for hole in holes if hole.kind != "edge"
        }
        self._logs = {hole.key: logs[hole.number] for hole in holes if hole.kind != "edge"}
        self._gates, self._edges = gates, logs
        for gate in gates:
            best = {source: logs[hole.number][1:].max() for source, hole in gate.edges.items()}
            self._logs[gate.key] = np.array([sum(best[s] for s in sources) for sources in gate.inputs])
        self._orders = {key: np.argsort(-each, kind="stable") for key, each in self._logs.items()}

    def by_loss(self, number: int) -> Iterator[dict[Key, int]]:
        """Up to `number` assignments, in the order of the log weight that they lose against the heaviest."""
        keys = list(self._orders)
        heap: list[tuple[float, tuple[int, ...]]] = [(0.0, (0,) * len(keys))]
        seen = {heap[0][1]}
        for _ in range(number):
            if not heap:
                return
            loss, ranks = heapq.heappop(heap)
            yield self._assigned(dict(zip(keys, ranks, strict=True)))
            for i, key in enumerate(keys):
                more = (*ranks[:i], ranks[i] + 1, *ranks[i + 1 :])
                if more[i] < len(self._orders[key]) and more not in seen:
                    seen.add(more)
                    one, other = self._orders[key][ranks[i]], self._orders[key][more[i]]
                    heapq.heappush(heap, (loss + float(self._logs[key][one] - self._logs[key][other]), more))

    def _assigned(self, ranks: dict[Key, int]) -> dict[Key, int]:
        chosen = {key: int(self._orders[key][rank]) for key, rank in ranks.items()}
        found = {key: values[chosen[key]] for key, values in self._values.items()}
        for gate in self._gates:
            found[gate.key] = chosen[gate.key]
            for source, key in zip(gate.inputs[chosen[gate.key]], gate.operations, strict=True):
                found[key] = int(self._edges[gate.edges[source].number][1:].argmax())
        return found


def derived(space: SearchSpace, options: dict[Key, int]) -> Architecture:
    """The architecture that takes these options; options of holes that it does not reach are ignored."""
    derivation = space.start()
    while derivation.site is not None:
        derivation = derivation.take(options[derivation.key])
    return derivation.architecture()


MAX_OPTIONS: Final = 6_000  # primitives of a supernet, one for each assignment of its attributes


class Supernet(nn.Module):
    """A network whose choices are weighted; made by `relax`.

    Attributes:
        space: that it relaxes.
        holes: that take weights, by number.
        gates: nodes whose inputs are chosen.
    """

    def __init__(
        self, space: SearchSpace, network: nn.Module, relaxing: Relaxing, board: ArchitectureWeights
    ) -> None:
        super().__init__()
        self.space = space
        self.network = network
        self.holes = tuple(relaxing.holes)
        self.gates = relaxing.holes.gates
        self._board = board

    def forward(self, x: Tensor, weights: Sequence[ArchitectureWeight]) -> Tensor:
        """Class scores (batch, classes) of images (batch, C, H, W), one weight for each hole."""
        self._board.weights = weights
        return self.network(x)

    @contextlib.contextmanager
    def plain(self) -> Iterator[None]:
        """Within, all modules are called one by one: for second derivatives, and for hooks on modules."""
        before, self._board.plain = self._board.plain, True
        try:
            yield
        finally:
            self._board.plain = before

    def one_hot(self, architecture: Architecture) -> list[ArchitectureWeight]:
        """The weights that leave one architecture; raises SpaceError if it is of another space."""
        options = chosen_options(self.space, self.holes, self.gates, architecture)
        return [constant(len(hole.options), option) for hole, option in zip(self.holes, options, strict=True)]

    def inherited(self, architecture: Architecture) -> nn.Module:
        """The network of one architecture with the supernet's own modules: training one trains both."""
        self._board.weights = self.one_hot(architecture)
        return discretized(self.network)


def relax(
    space: SearchSpace, input_shape: Shape, num_classes: int, *, seed: int = 0, partial: int = 1
) -> Supernet:
    """The supernet of a space, on the CPU and in training mode, its networks in search mode.

    Args:
        space: of networks, without recursion and without choices of training settings.
        input_shape: of one example, (C, H, W) or (F,).
        num_classes: outputs.
        seed: of the initial weights.
        partial: 1/partial of the channels pass the operations of a cell's edges (PC-DARTS); above 1, its
            weights fit no discrete network.

    Raises:
        RelaxError: the space cannot be relaxed: the place and why.
        CompileError: its networks do not fit the shape.
    """
    if written_size(space.expression) > MAX_OPTIONS:
        expected = f"at most {MAX_OPTIONS} primitives in all of its options"
        remedy = "give choices fewer options or repeats fewer copies"
        raise RelaxError(refusal(space.name, expected, "more", remedy))
    board = ArchitectureWeights()
    relaxing = Relaxing(space, board, partial)
    context = Context(num_classes, affine=False, mode="search")
    part = relaxing.root()
    shape = checked_input(input_shape)
    out = at_sides(lambda sides: part.shape(sides, context), shape)
    if out != (num_classes,):
        raise RelaxError(
            refusal(
                space.name, f"({num_classes},) for {num_classes} classes", out, "end the networks with head()"
            )
        )
    with seeded(seed):
        network = part.build(shape, context)
    return Supernet(space, network, relaxing, board)
