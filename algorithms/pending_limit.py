"""A bound on the trials in flight of any searcher.

A sequential method proposes on what it has been told, so that many workers make it propose blindly. With a
bound it waits; what the workers would have done in the meantime is lost, or goes to the random baseline.
Ray Tune calls this ConcurrencyLimiter (https://docs.ray.io/en/latest/tune/api/suggestion.html).

Differs from it: nothing is batched; whatever ends frees a place at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from algorithms.shared.method import InFlight
from algorithms.shared.wrapping import FidelityRange, Inner, ask_each, build_inner
from nas.errors import ConfigError
from nas.evaluation import Fidelity, Objective
from nas.searcher import BaseSearcher, Searcher, Suggestion, Trial

if TYPE_CHECKING:
    from nas.space import SearchSpace


class ConcurrencyLimiter(BaseSearcher):
    """Asks the searcher inside only while fewer than `limit` of its trials are in flight.

    Args:
        space: for the searcher inside.
        objectives: likewise.
        seed: of the searcher inside, which gets another one that follows from it.
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
        if limit < 1:
            raise ConfigError(f'searcher "pending_limit": limit: expected 1 or more; got {limit}; change it')
        self._limit = limit
        self._inner = Inner(
            build_inner(searcher, space, objectives, seed=seed, fidelity_range=fidelity_range)
        )
        self._asked = InFlight(type(self).__name__)

    @property
    def fidelities(self) -> tuple[Fidelity, ...]:
        return self._inner.fidelities

    @property
    def needs_states(self) -> bool:
        return self._inner.needs_states

    @property
    def uninformed(self) -> float | None:
        """That of the searcher inside."""
        return self._inner.uninformed

    def check_values(self, names: Collection[str]) -> None:
        self._inner.check_values(names)

    def ask(self, count: int = 1) -> list[Suggestion]:
        return ask_each(count, self._ask)

    def tell(self, trial: Trial) -> None:
        self._asked.close(trial)
        self._inner.tell(trial.number, trial)  # nothing is held back or added: the numbers are the same

    def _ask(self) -> Suggestion | None:
        if self._inner.in_flight >= self._limit:
            return None
        proposal = self._inner.ask()
        if proposal is None:
            return None
        self._inner.stands_for(proposal.number, self._asked.add())
        return proposal.suggestion
