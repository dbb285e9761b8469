"""A bound on the trials in flight of any searcher.

A sequential method proposes by the results it knows, so that with many workers it proposes blindly. With a
bound it waits; the workers are idle in the meantime, or evaluate the random baseline. Ray Tune calls this
ConcurrencyLimiter (https://docs.ray.io/en/latest/tune/api/suggestion.html).

Differs from it: nothing is batched; each result allows the next suggestion at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nas.algorithms.shared.method import check_range
from nas.algorithms.shared.wrapping import FidelityRange, Wrapper
from nas.evaluation import Objective
from nas.study import Searcher, Suggestion, Trial

if TYPE_CHECKING:
    from nas.space import SearchSpace


class ConcurrencyLimiter(Wrapper[int]):
    """Asks the searcher inside only while fewer than `limit` of its trials are in flight.

    Args:
        space: for the searcher inside.
        objectives: likewise.
        seed: from which that of the searcher inside is derived.
        searcher: a section with a name and options, or a searcher.
        limit: most trials in flight, 1 or more.
        fidelity_range: for the searcher inside.

    Raises:
        ConfigError: an option out of range, or one that the searcher inside does not know.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        seed: int,
        searcher: Mapping[str, Any] | Searcher,
        limit: int = 1,
        fidelity_range: FidelityRange | None = None,
    ) -> None:
        check_range("pending_limit", "limit", limit, 1)
        super().__init__(space, objectives, seed=seed, searcher=searcher, fidelity_range=fidelity_range)
        self._limit = limit

    def _suggest(self) -> Suggestion | None:
        if len(self._in_flight) >= self._limit:
            return None
        proposal = self._inner.ask()
        if proposal is None:
            return None
        self._inner.stands_for(proposal.number, self._in_flight.add(proposal.number))
        return proposal.suggestion

    def _take(self, trial: Trial, remembered: int) -> None:
        self._inner.tell(remembered, trial)
