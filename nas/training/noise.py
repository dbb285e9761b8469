"""Noise on top of an evaluator, to study what a search and its cache make of it.

Gillard et al. 2023 (https://arxiv.org/abs/2302.05433) add homoscedastic Gaussian noise to the validation
accuracy at each evaluation.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nas.errors import ConfigError
from nas.evaluation import Evaluation, Fidelity, Objective, Task, WrappedEvaluator

_NAME = 'evaluator "noise"'
_STREAM = 0x6E6F6973  # so that the noise is not the training's own randomness


class NoisyEvaluator(WrappedEvaluator):
    """Another evaluator whose first objective comes with Gaussian noise; the other values stay as they are.

    The noise of a trial follows from its seed. Curves are left out, which would show the value without it.

    Args:
        evaluator: section of the other evaluator.
        std: standard deviation, in the objective's unit.

    Raises:
        ConfigError: no section, or a standard deviation that is not a number of at least 0.
    """

    def __init__(self, *, evaluator: Mapping[str, Any], std: float) -> None:
        from nas.evaluation import EVALUATORS
        from nas.registry import build

        if not isinstance(evaluator, Mapping):
            raise ConfigError(f"{_NAME}: evaluator: expected a section with a name; got {evaluator!r}")
        if isinstance(std, bool) or not isinstance(std, int | float) or not 0 <= std < math.inf:
            raise ConfigError(f"{_NAME}: std: expected a number of at least 0; got {std!r}")
        super().__init__(build(EVALUATORS, evaluator))
        self._std = float(std)
        if std > 0 and self.reported.name == self.objectives[0].name:
            self.deterministic = False
        self.dataset = None  # so that a hasher does not adapt to it, and logged digests stay as they are

    def fingerprint(self) -> str:
        return hashlib.sha256(f"noise {self._std!r} {self.inner.fingerprint()}".encode()).hexdigest()

    def values_of(self, quantity: Objective, fidelity: Fidelity | None = None) -> None:  # noqa: ARG002
        """Nobody knows what the noise makes of them."""
        return

    def __call__(self, task: Task) -> Evaluation:
        evaluation = self.inner(task)
        name = self.objectives[0].name
        if not evaluation.ok or name not in evaluation.values:
            return evaluation
        drawn = self._std * np.random.default_rng((task.seed, _STREAM)).normal()
        values = {**evaluation.values, name: evaluation.values[name] + float(drawn)}
        return replace(evaluation, values=values, curve=())
