"""What a study carries out and with which seeds: Budget, Plan and the streams of random numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from nas.errors import ConfigError, one_line
from nas.evaluation import FIRST_TRIAL, Fidelity, Stage

_MAX_TRIALS = FIRST_TRIAL[Stage.BASELINE]  # of each stage, so that their numbers stay apart
_BASELINE_STREAM = 1
_FORGET_STREAM = 2


@dataclass(frozen=True, slots=True)
class Budget:
    """When the search stage ends: at whichever limit comes first.

    Attributes:
        trials: number of search trials, failed and cached ones included.
        seconds: on the executor's clock; no search trial begins later, those in flight are finished.
    """

    trials: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.trials is None and self.seconds is None:
            raise ConfigError("budget: expected trials, seconds or both; got neither; set budget.trials=100")
        _check_kind("budget.trials", self.trials, int)
        _check_kind("budget.seconds", self.seconds, int, float)
        if self.trials is not None and not 1 <= self.trials <= _MAX_TRIALS:
            raise ConfigError(f"budget.trials: expected 1 to {_MAX_TRIALS}; got {self.trials}; change it")
        if self.seconds is not None and not self.seconds > 0:
            raise ConfigError(f"budget.seconds: expected more than 0; got {self.seconds}; change it")
        _check_finite("budget.seconds", self.seconds)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a study carries out.

    Attributes:
        seed: of the study; every trial's seed follows from it.
        budget: of the search stage.
        baseline: number of uniformly sampled architectures, evaluated fully.
        final: number of retrainings of the chosen architecture, with fresh seeds, evaluated fully.
        search_fidelity: of search trials whose suggestion names none; None for the full evaluation.
        time_limit: seconds that one evaluation may take, or None.
    """

    seed: int
    budget: Budget = field(default_factory=lambda: Budget(trials=100))
    baseline: int = 0
    final: int = 0
    search_fidelity: Fidelity | None = None
    time_limit: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.budget, Budget):
            raise ConfigError(
                f"budget: expected a nas.Budget, got {one_line(repr(self.budget), 100)}; "
                "give nas.Budget(trials=100)"
            )
        for name, value in (("seed", self.seed), ("baseline", self.baseline), ("final", self.final)):
            _check_kind(name, value, int, optional=False)
        _check_kind("search_fidelity", self.search_fidelity, Fidelity)
        _check_kind("trial.time_limit", self.time_limit, int, float)
        if self.seed < 0:
            raise ConfigError(f"seed: expected 0 or more; got {self.seed}; change it")
        for name, value in (("baseline.samples", self.baseline), ("final.seeds", self.final)):
            if not 0 <= value <= _MAX_TRIALS:
                raise ConfigError(f"{name}: expected 0 to {_MAX_TRIALS}; got {value}; change it")
        if self.time_limit is not None and not self.time_limit > 0:
            raise ConfigError(
                f"trial.time_limit: expected more than 0 seconds; got {self.time_limit}; change it"
            )
        _check_finite("trial.time_limit", self.time_limit)


def _check_kind(name: str, value: object, *kinds: type, optional: bool = True) -> None:
    if (value is None and optional) or (isinstance(value, kinds) and not isinstance(value, bool)):
        return
    what = {int: "a whole number", Fidelity: "a nas.Fidelity"}.get(kinds[-1], "a number")
    got = one_line(repr(value), 100)
    raise ConfigError(f"{name}: expected {what}{' or None' * optional}, got {got}; change it")


def _check_finite(name: str, value: float | None) -> None:
    if value == math.inf:
        raise ConfigError(f"{name}: expected a finite number, or null for no bound; got inf; set it to null")


def trial_seed(seed: int, number: int) -> int:
    """Seed of one trial, below 2^32, independent of the order in which trials run."""
    return int(np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1)[0])


def baseline_rng(seed: int, index: int) -> np.random.Generator:
    """Draws the baseline's architecture `index`; its longer key keeps it apart from every trial's stream."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_BASELINE_STREAM, index)))


def forgets(seed: int, probability: float, number: int) -> bool:
    """Whether the answer of a trial from the cache makes its class be forgotten, drawn for each trial."""
    if probability <= 0:
        return False
    sequence = np.random.SeedSequence(seed, spawn_key=(_FORGET_STREAM, number))
    return int(sequence.generate_state(1, np.uint64)[0]) < probability * 2**64
