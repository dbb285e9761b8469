"""Given architectures, or uniform samples of the space, one after the other: no search.

A study of a training protocol evaluates the same architectures in several ways (Yang et al. 2020, section 4,
https://arxiv.org/abs/1912.12522). Differs from the paper's sampling in that samples are uniform over the
options of each decision of any space, where the paper draws continuous weights of DARTS' operations and keeps
the largest.

Given architectures are evaluated in their order, equal ones as often as they are given. Each is a text, or
the JSON form of its decisions, which stands for the same choices in a variant of the space with another width
or depth, whose text differs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nas.algorithms.shared.method import SearchMethod
from nas.errors import ConfigError, SpaceError, refusal
from nas.evaluation import Objective
from nas.space import Architecture, sample
from nas.study import SearchFinished, Suggestion

if TYPE_CHECKING:
    from nas.space import SearchSpace

_WHERE = 'searcher "listed"'


class Listed(SearchMethod[None]):
    """Proposes the given architectures, then is finished.

    Args:
        space: of the architectures.
        objectives: not used.
        seed: of the samples.
        architectures: texts, or `Architecture.to_json()`; None for samples.
        samples: number of uniform samples, if no architectures are given.

    Raises:
        ConfigError: neither architectures nor samples, or one that is not in the space.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        seed: int,
        architectures: Sequence[str | Mapping[str, Any]] | None = None,
        samples: int | None = None,
    ) -> None:
        super().__init__(space, objectives, seed=seed)
        if architectures is not None:
            self._listed = _parsed(space, architectures)
        elif samples is not None and samples >= 1:
            self._listed = [sample(space, self._rng) for _ in range(samples)]
        else:
            expected = "architectures or a number of samples of at least 1"
            got = "none" if samples is None else samples
            raise ConfigError(refusal(_WHERE, expected, got, "give searcher.samples=8"))

    @property
    def uninformed(self) -> float:
        return math.inf  # results do not influence it

    def _suggest(self) -> Suggestion:
        if self._in_flight.following == len(self._listed):
            raise SearchFinished
        return Suggestion(self._listed[self._in_flight.add(None)])


def _parsed(space: SearchSpace, given: Sequence[str | Mapping[str, Any]]) -> list[Architecture]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        remedy = "write architectures of the space as texts"
        raise ConfigError(refusal(f"{_WHERE}: architectures", "a list of at least one", repr(given), remedy))
    found = []
    for number, item in enumerate(given):
        try:
            found.append(
                space.parse(item) if isinstance(item, str) else space.architecture_from_json(dict(item))
            )
        except (SpaceError, TypeError, ValueError) as error:
            raise ConfigError(f"{_WHERE}: architectures[{number}]: {error}") from error
    return found
