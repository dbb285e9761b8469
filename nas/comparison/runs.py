"""What each run has chosen after every evaluation: Run, runs_of.

An evaluation is an ended search trial, failed ones included, at the highest fidelity of the comparison;
trials at lower ones add time and cost only. The choice after n evaluations is the best completed one among
the first n by the first objective, of equal ones the first that was asked, as in `nas.store.rank`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nas.comparison.history import History
from nas.comparison.reading import Comparison

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One study after each of its evaluations, up to the largest budget.

    Attributes:
        history: all of its trials.
        position: index in `history` of each evaluation.
        chosen: index in `history` of the choice after each evaluation; -1 before the first completed one.
    """

    history: History
    position: Indices
    chosen: Indices

    @property
    def time(self) -> Floats:
        """The end of each evaluation, seconds on the executor's clock."""
        return self.history.finished[self.position]

    def of_choice(self, column: int) -> Floats:
        """A measured value of the choice after each evaluation; NaN where it has none."""
        padded = np.append(self.history.values[:, column], math.nan)
        return padded[self.chosen]  # -1 is the padding

    @property
    def keeps(self) -> bool:
        """Whether its last choice stands for all later evaluations: its searcher has nothing left."""
        return self.history.exhausted and self.history.state == "finished" and self.position.size > 0

    def trials(self, evaluations: int) -> int:
        """Trials, lower fidelities included, that ended up to and with this evaluation; 0 for none."""
        return int(self.position[evaluations - 1]) + 1 if evaluations else 0


def runs_of(comparison: Comparison) -> dict[str, tuple[Run, ...]]:
    """For each method one run for each seed."""
    level = comparison.level
    return {
        method: tuple(_run(history, comparison, level) for history in histories)
        for method, histories in comparison.histories.items()
    }


def uncut(comparison: Comparison) -> Comparison:
    """The comparison with the longest run's number of evaluations as its largest budget.

    A method of several fidelities has no fixed number of evaluations; costs and moments ask for all of them.
    """
    level = comparison.level
    counts = [int((h.fidelity == level).sum()) for its in comparison.histories.values() for h in its]
    longest = max(counts, default=0)
    if longest <= comparison.horizon:
        return comparison
    return replace(comparison, budgets=(*comparison.budgets, longest))


def table_of(
    runs: Mapping[str, Sequence[Run]], values: Callable[[Run], Floats], horizon: int
) -> dict[str, Floats]:
    """One row of values for each seed of each method, shape (seeds, horizon).

    NaN where a run did not get; one whose searcher has nothing left keeps its last value.
    """
    return {
        method: np.array([_extended(values(run), run, horizon) for run in its], float).reshape(
            len(its), horizon
        )
        for method, its in runs.items()
    }


def _extended(values: Floats, run: Run, horizon: int) -> Floats:
    rest = np.full(horizon - values.size, values[-1] if run.keeps else math.nan)
    return np.concatenate([values, rest])


def _run(history: History, comparison: Comparison, level: float) -> Run:
    position = np.flatnonzero(history.fidelity == level)[: comparison.horizon]
    loss = comparison.chooser.loss
    values, numbers = history.values[:, 0].tolist(), history.number.tolist()
    best, chosen = (math.inf, 0), -1
    held: list[int] = []
    for index in position.tolist():
        key = (loss(values[index]), numbers[index])
        if key[0] < math.inf and key < best:
            best, chosen = key, index
        held.append(chosen)
    return Run(history, position, np.array(held, np.int64))
