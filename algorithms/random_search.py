"""Random search: independent samples of the space, the baseline of every comparison.

Li and Talwalkar 2019 (https://arxiv.org/abs/1902.07638) and Yang et al. 2020
(https://arxiv.org/abs/1912.12522) show how strong it is. Results do not influence it, so it never waits.

Uniform means uniform over the options of each decision; `by="derivations"` weights them so that all
derivations of a finite space are equally likely.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from algorithms.asked import Asked
from nas.architecture import Architecture
from nas.errors import ConfigError
from nas.evaluation import Objective
from nas.operators import sample
from nas.searcher import SearchFinished, Suggestion, Trial

if TYPE_CHECKING:
    from nas.space import SearchSpace

_REDRAWS = 1000


class RandomSearch:
    """Samples the space.

    Args:
        space: to sample from.
        objectives: not used.
        seed: of all randomness.
        unique: no text twice; the search is finished once 1000 draws in a row were known, which leaves
            architectures of a small space unseen that are far less likely than the others.
        by: "options" or "derivations", as for `nas.operators.sample`.

    Raises:
        ConfigError: "derivations" for an unbounded space.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],  # noqa: ARG002 - the signature of all searchers
        *,
        seed: int,
        unique: bool = False,
        by: Literal["options", "derivations"] = "options",
    ) -> None:
        if by not in ("options", "derivations"):
            raise ConfigError(
                f'searcher "random": by: expected "options" or "derivations"; got {by!r}; change it'
            )
        if by == "derivations" and space.size() is None:
            raise ConfigError(
                f'searcher "random": by: expected "options", as {space.name} is unbounded; got {by!r}; '
                "change it"
            )
        self._space = space
        self._rng = np.random.default_rng(seed)
        self._by = by
        self._seen: set[str] | None = set() if unique else None
        self._asked = Asked(type(self).__name__)

    def ask(self, count: int = 1) -> list[Suggestion]:
        suggestions: list[Suggestion] = []
        for _ in range(count):
            architecture = self._draw()
            if architecture is None:
                break
            self._asked.add()
            suggestions.append(Suggestion(architecture, info={"origin": "random"}))
        if count > 0 and not suggestions:
            raise SearchFinished
        return suggestions

    def tell(self, trial: Trial) -> None:
        self._asked.close(trial)

    def _draw(self) -> Architecture | None:
        """A sample, a new one if it has to be; None if none was found."""
        for _ in range(_REDRAWS):
            architecture = sample(self._space, self._rng, by=self._by)
            if self._seen is None:
                return architecture
            digest = architecture.digest()
            if digest not in self._seen:
                self._seen.add(digest)
                return architecture
        return None
