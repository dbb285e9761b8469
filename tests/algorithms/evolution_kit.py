"""A chain of choices, and ways to drive a searcher over it, for the tests of evolution and local search."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np

from nas.evaluation import Evaluation, Objective, Status, failure
from nas.space import Architecture, SearchSpace
from nas.study import Searcher, SearchFinished, Suggestion, Trial

MAXIMIZE, MINIMIZE = Objective("accuracy"), Objective("error", "minimize")
NAMES = ("relu", "gelu", "silu", "tanh", "sigmoid")
FAILED = failure(Status.DIVERGED, "loss is nan", 1.0)


def chain(length: int = 6, options: int = 5) -> SearchSpace:
    block = " | ".join(f"{name}()" for name in NAMES[:options])
    return SearchSpace("chain", " >> ".join([f"({block})"] * length))


def text_of(*names: str) -> str:
    return " >> ".join(f"{name}()" for name in names)


def steps(architecture: Architecture) -> list[str]:
    """The names of a chain's operations, in order."""
    return [step.strip("()") for step in architecture.text.split(" >> ")]


def numbers_of(architecture: Architecture, count: int, below: int) -> list[int]:
    """Fixed numbers of an architecture, as good as random."""
    digest = hashlib.blake2b(architecture.text.encode(), digest_size=4 * count).digest()
    return [int.from_bytes(digest[4 * i : 4 * i + 4], "big") % below for i in range(count)]


def outcome(value: float, **others: float) -> Evaluation:
    return Evaluation(Status.COMPLETED, {"accuracy": value, "error": value, **others}, 1.0)


def differing(first: Architecture, second: Architecture) -> int:
    return sum(one != other for one, other in zip(steps(first), steps(second), strict=True))


def run(
    searcher: Searcher, trials: int, value: Callable[[Architecture], Evaluation], first: int = 0
) -> list[Suggestion]:
    """One at a time, from trial number `first` on; ends early with the searcher."""
    asked: list[Suggestion] = []
    for number in range(first, first + trials):
        try:
            (suggestion,) = searcher.ask(1)
        except SearchFinished:
            break
        asked.append(suggestion)
        searcher.tell(Trial(number, suggestion, evaluation=value(suggestion.architecture)))
    return asked


def tangled(
    searcher: Searcher, trials: int, value: Callable[[Architecture], Evaluation], *, flying: int, order: int
) -> Iterator[Trial]:
    """Up to `flying` in flight, told in an order drawn from `order`; yields each trial when it is told."""
    rng = np.random.default_rng(order)
    open_trials: list[Trial] = []
    asked, more = 0, True
    while open_trials or (more and asked < trials):
        if more and asked < trials and len(open_trials) < flying and rng.random() < 0.7:
            try:
                given = searcher.ask(1)
            except SearchFinished:
                given, more = [], False
            assert given or open_trials or not more, "nothing to wait for, and not finished"
            for suggestion in given:
                evaluation = value(suggestion.architecture)
                open_trials.append(Trial(asked, suggestion, evaluation=evaluation))
                asked += 1
        elif open_trials:
            trial = open_trials.pop(int(rng.integers(len(open_trials))))
            searcher.tell(trial)
            yield trial
