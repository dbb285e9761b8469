"""Spaces and outcomes for tests of Optuna's samplers."""

from __future__ import annotations

from nas.architecture import Architecture
from nas.evaluation import Evaluation, Objective, Status
from nas.searcher import Searcher, Suggestion, Trial
from nas.space import SearchSpace

ACCURACY, LATENCY = Objective("accuracy"), Objective("latency", "minimize", "ms")
FOUR = "(relu() | gelu() | silu() | tanh())"
CHAIN = SearchSpace("chain", " >> ".join([FOUR] * 4))
MIXED = SearchSpace(
    "mixed", "conv(width=integer(4, 64, log=True), kernel=oneof(7, 3, 5)) >> dropout(rate=real(0.0, 0.5))"
)


def outcome(accuracy: float, latency: float = 0.0) -> Evaluation:
    return Evaluation(Status.COMPLETED, {"accuracy": accuracy, "latency": latency}, 1.0)


def tell(searcher: Searcher, number: int, suggestion: Suggestion, evaluation: Evaluation) -> None:
    searcher.tell(Trial(number, suggestion, evaluation=evaluation))


def run(searcher: Searcher, trials: int, evaluate) -> list[Architecture]:
    """One at a time."""
    asked = []
    for number in range(trials):
        (suggestion,) = searcher.ask(1)
        asked.append(suggestion.architecture)
        tell(searcher, number, suggestion, evaluate(suggestion.architecture))
    return asked


def quality(architecture: Architecture) -> tuple[float, float]:
    """Two different functions of an architecture of any space here."""
    letters = [ord(letter) for letter in architecture.text]
    return float(sum(letters) % 101), float(sum(i * c for i, c in enumerate(letters)) % 37)
