"""Every registered searcher on small spaces, driven by a fixed but tangled order of asks and tells.

Run as a program it prints what each of them asks, for the test that compares processes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from nas.algorithms import SEARCHERS
from nas.algorithms.shared.wrapping import prepare_searcher
from nas.errors import ConfigError
from nas.evaluation import Evaluation, Objective, Status, failure
from nas.space import Architecture, SearchSpace
from nas.study import Searcher, SearchFinished, Suggestion, Trial

OBJECTIVES = (Objective("accuracy", "maximize", "%"), Objective("latency", "minimize", "ms"))

# Small values, so that a few dozen trials pass through all phases of a method.
OPTIONS: dict[str, dict[str, Any]] = {
    "random": {},
    "surrogate": {"initial": 4},
    "listed": {"samples": 60},
    "regularized_evolution": {"population": 6, "sample": 3, "crossover": 0.5},
    "mu_plus_lambda": {"parents": 4, "children": 5},
    "nsga2": {"population": 6, "limits": {"latency": 10.0}},
    "local_search": {},
    "exhaustive": {"order": "random"},
    "pending_limit": {
        "searcher": {"name": "regularized_evolution", "population": 6, "sample": 3},
        "limit": 3,
    },
    "no_repeats": {"searcher": {"name": "regularized_evolution", "population": 6, "sample": 3}},
    "asha": {"searcher": {"name": "random"}},
    "hyperband": {"searcher": {"name": "random"}},
    "tpe": {"n_startup_trials": 6},
    "gp": {"n_startup_trials": 27, "first_only": True},  # 30 to 150 ms an ask after the random start
    "optuna": {"sampler": "nsga2", "population_size": 6},
    "mcts": {"branching": 4},
    "bisection": {"searcher": {"name": "mcts", "branching": 4}, "all_choices": True, "depth": 2},
    "ngram_smbo": {"candidates": 8},
}
FIDELITIES = ("epochs", 1, 9)
ONE_SHOT = ("darts", "gdas", "pc_darts", "sharp_darts", "hypercuboid", "single_path")

# Wrappers around wrappers, which keep the same contract.
COMBINATIONS: dict[str, dict[str, Any]] = {
    "no_repeats(asha(random))": {
        "name": "no_repeats",
        "searcher": {"name": "asha", "searcher": {"name": "random"}},
    },
    "pending_limit(no_repeats(regularized_evolution))": {
        "name": "pending_limit",
        "limit": 3,
        "searcher": {
            "name": "no_repeats",
            "redraws": 4,
            "searcher": {"name": "regularized_evolution", **OPTIONS["regularized_evolution"]},
        },
    },
    "hyperband(no_repeats(bisection(mcts)))": {
        "name": "hyperband",
        "searcher": {"name": "no_repeats", "searcher": {"name": "bisection", **OPTIONS["bisection"]}},
    },
}


def no_three(architecture: Architecture) -> str | None:
    return "kernel 3" if "kernel=3" in architecture.text else None


def spaces() -> dict[str, SearchSpace]:
    """One for each kind of decision; all small."""
    return {
        "choices": SearchSpace("choices", " >> ".join(["(relu() | gelu() | silu() | tanh())"] * 4)),
        "repeat": SearchSpace("repeat", "repeat(conv(kernel=oneof(1, 3, 5)) | relu(), 1, 4)"),
        "numbers": SearchSpace("numbers", "conv(width=integer(4, 64)) >> dropout(rate=real(0.0, 0.5))"),
        "constrained": SearchSpace(
            "constrained", "repeat(conv(kernel=oneof(1, 3, 5)) | relu(), 1, 3)", constraints=(no_three,)
        ),
    }


def make(name: str, space: SearchSpace, seed: int = 7) -> Searcher:
    section = COMBINATIONS.get(name) or {"name": name, **OPTIONS.get(name, {})}
    return prepare_searcher(section, seed=seed)(space, OBJECTIVES, FIDELITIES)


def names() -> tuple[str, ...]:
    """All that is registered but what trains supernets (`one_shot_kit`), and the combinations."""
    return (*(name for name in SEARCHERS.names() if name not in ONE_SHOT), *COMBINATIONS)


def refusal(name: str, space: SearchSpace) -> ConfigError | None:
    """Why a searcher does not take a space, such as one that it cannot list; None if it does."""
    try:
        make(name, space)
    except ConfigError as error:
        return error
    return None


def evaluate(architecture: Architecture) -> Evaluation:
    """A fixed outcome of an architecture; one in eight fails."""
    number = int.from_bytes(hashlib.blake2b(architecture.text.encode(), digest_size=4).digest(), "big")
    if number % 8 == 0:
        return failure(Status.DIVERGED, "loss is nan", 1.0)
    return Evaluation(Status.COMPLETED, {"accuracy": number % 1000 / 10, "latency": number % 17}, 1.0)


def drive(searcher: Searcher, *, trials: int = 40, order: int = 0) -> Iterator[Suggestion]:
    """Asks and tells in an order drawn from `order`, up to five trials in flight; yields the suggestions."""
    rng = np.random.default_rng(order)
    flying: list[Trial] = []
    asked, more = 0, True
    while (more and asked < trials) or flying:
        given = []
        if more and asked < trials and len(flying) < 5 and (not flying or rng.random() < 0.6):
            try:
                given = list(searcher.ask(1))
            except SearchFinished:
                more = False
        for suggestion in given:
            yield suggestion
            flying.append(Trial(asked, suggestion, evaluation=evaluate(suggestion.architecture)))
            asked += 1
        if flying and (not given or rng.random() < 0.4):
            searcher.tell(flying.pop(int(rng.integers(len(flying)))))


def informed(searcher: Searcher, salt: str, trials: int = 45) -> list[str]:
    """What a searcher asks, told each trial at once; all complete, with values that depend on `salt`."""
    asked: list[str] = []
    for number in range(trials):
        try:
            given = searcher.ask(1)
        except SearchFinished:
            break
        text = given[0].architecture.text
        asked.append(f"{text} at {given[0].fidelity}")
        drawn = int.from_bytes(hashlib.blake2b(f"{salt} {text}".encode(), digest_size=4).digest(), "big")
        values = {"accuracy": drawn % 9973 / 100, "latency": drawn % 89 / 10}
        searcher.tell(Trial(number, given[0], evaluation=Evaluation(Status.COMPLETED, values, 1.0)))
    return asked


def asks(name: str, space: SearchSpace, seed: int = 7, order: int = 0) -> list[list[Any]]:
    """What a fresh searcher asks, as JSON."""
    return written(drive(make(name, space, seed), order=order))


def written(suggestions: Iterable[Suggestion]) -> list[list[Any]]:
    return [[s.architecture.text, s.parent, s.architecture.to_json()["decisions"]] for s in suggestions]


if __name__ == "__main__":
    found = {
        f"{name} {key}": asks(name, space)
        for name in names()
        for key, space in spaces().items()
        if refusal(name, space) is None
    }
    print(json.dumps(found))
