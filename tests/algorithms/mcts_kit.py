"""A small space, outcomes and visits for tests of tree search."""

from __future__ import annotations

from collections.abc import Callable

from algorithms.mcts import MonteCarloTreeSearch
from nas.architecture import Architecture
from nas.evaluation import Evaluation, Objective, Status
from nas.searcher import Searcher, Trial
from nas.space import SearchSpace

MAXIMIZE, MINIMIZE = Objective("accuracy"), Objective("error", "minimize")
SMALL = SearchSpace("small", "(relu() | gelu()) >> (silu() | tanh())")
BLOCK = "(relu() | gelu() | silu() | tanh() | sigmoid())"
ROOT: tuple[int, ...] = ()


def outcome(value: float) -> Evaluation:
    return Evaluation(Status.COMPLETED, {"accuracy": value, "error": value}, 1.0)


def run(searcher: Searcher, trials: int, value: Callable[[Architecture], float], start: int = 0) -> list[str]:
    """One at a time; the texts asked for."""
    asked = []
    for number in range(start, start + trials):
        (suggestion,) = searcher.ask(1)
        asked.append(suggestion.architecture.text)
        searcher.tell(Trial(number, suggestion, evaluation=outcome(value(suggestion.architecture))))
    return asked


def visits(searcher: MonteCarloTreeSearch) -> dict[tuple[int | float, ...], int]:
    return {path: node.told for path, node in searcher.tree().items()}
