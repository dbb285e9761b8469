"""Between architectures and the options of a supernet's holes; no torch.

Discretisation takes the heaviest option of each hole; a gated node keeps as many edges as it has inputs,
those whose heaviest operation but none is heaviest (Liu et al. 2019, section 2.4). Where constraints forbid
that architecture, the heaviest one is taken that they admit.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nas.architecture import Key
from nas.errors import DeadEndError, SpaceError
from nas.relax.holes import Gate, Hole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nas.architecture import Architecture
    from nas.space import SearchSpace

    Floats = NDArray[np.float64]

_NONE = 0  # option of an edge
_TRIES = 1_000  # architectures that constraints may refuse


def chosen_options(
    space: SearchSpace, holes: Sequence[Hole], gates: Sequence[Gate], architecture: Architecture
) -> list[int]:
    """The option of each hole that the architecture takes; 0 where it leaves a hole open.

    Raises:
        SpaceError: it is of another space.
    """
    reason = None if architecture.space == space.name else f"it is of {architecture.space}"
    if reason:
        raise SpaceError(f"{space.name}: an architecture of this space is expected; {reason}")
    decided = {decision.key: decision.option for decision in architecture.decisions}
    options = [_option(hole, decided) for hole in holes]
    for gate in gates:
        for hole, option in _edges(gate, decided):
            options[hole.number] = option
    return options


def _option(hole: Hole, decided: dict[Key, int | float]) -> int:
    value = decided.get(hole.key)
    if value is None:
        return 0
    return int(value) if hole.kind == "choice" else hole.options.index(str(value))


def _edges(gate: Gate, decided: dict[Key, int | float]) -> Iterator[tuple[Hole, int]]:
    """What each edge of a gated node takes: an operation, counted after none, or none."""
    sources = gate.inputs[int(decided.get(gate.key, 0))]
    taken = {
        source: 1 + int(decided.get(key, 0)) for source, key in zip(sources, gate.operations, strict=True)
    }
    for source, hole in gate.edges.items():
        yield hole, taken.get(source, _NONE)


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
    for options in ranking.by_loss(_TRIES):
        architecture = derived(space, options)
        if space.violation(architecture) is None:
            return architecture
    raise DeadEndError(
        f"{space.name}: no architecture near the heaviest one meets the constraints; loosen them"
    )


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
        """Up to `number` assignments, those first that lose least of the log weight of the heaviest."""
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
    """The architecture whose decisions are these; those that it does not meet may be left over."""
    derivation = space.start()
    while derivation.site is not None:
        derivation = derivation.take(options[derivation.key])
    return derivation.architecture()
