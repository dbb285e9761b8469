"""Random search: independent samples of the space, the baseline of every comparison.

Li and Talwalkar 2019 (https://arxiv.org/abs/1902.07638) and Yang et al. 2020
(https://arxiv.org/abs/1912.12522) show how strong it is. Results do not influence it, so it never waits.

Uniform means uniform over the options of each decision; `by="derivations"` weights them so that all
derivations of a finite space are equally likely. `nas.algorithms.no_repeats` around it draws without repeats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from nas.algorithms.shared.method import SearchMethod, bad_option
from nas.evaluation import Objective
from nas.space import sample
from nas.study import Suggestion

if TYPE_CHECKING:
    from nas.space import SearchSpace


class RandomSearch(SearchMethod[None]):
    """Samples the space.

    Args:
        space: to sample from.
        objectives: not used.
        seed: of all randomness.
        by: "options" or "derivations", as for `nas.space.operators.sample`.

    Raises:
        ConfigError: "derivations" for an unbounded space.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        seed: int,
        by: Literal["options", "derivations"] = "options",
    ) -> None:
        if by not in ("options", "derivations"):
            raise bad_option("random", "by", '"options" or "derivations"', repr(by))
        if by == "derivations" and space.size() is None:
            raise bad_option("random", "by", f'"options", as {space.name} is unbounded', repr(by))
        super().__init__(space, objectives, seed=seed)
        self._by = by

    @property
    def uninformed(self) -> float:
        return math.inf  # results do not influence it

    def _suggest(self) -> Suggestion:
        self._in_flight.add(None)
        return Suggestion(sample(self._space, self._rng, by=self._by), info={"origin": "random"})
