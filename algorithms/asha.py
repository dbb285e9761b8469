"""Asynchronous successive halving, ASHA (Li et al. 2020, Algorithm 2; https://arxiv.org/abs/1810.05934).

Whenever a worker is free, the best architecture that is among the best 1/eta of its rung and has not gone up
goes up, from the highest rung down; if there is none, a new one starts at the lowest rung. Rung k trains
to r eta^(s+k); a trial that goes up continues from its state.

Differs from the paper:
- new architectures come from any searcher, not from uniform sampling alone;
- the highest rung is always the highest fidelity R, and the factor between rungs is the number nearest to eta
  that divides the way from r to R evenly, rounded where both are whole; with R/r a power of eta these are the
  paper's rungs. `levels` states them one by one, for evaluators that have certain ones only;
- a failure counts at its rung as the worst result and never goes up;
- among equal values the earlier trial goes up.

The searcher inside is told the result at the lowest rung, once, as soon as it is known. It compares results
(in a tournament, a regression, a mean over a subtree), and values after 1 and after 81 epochs cannot be
compared: told the highest rung of each architecture, it would learn which ones were promoted. Waiting for the
last rung is no alternative, since an asynchronous rung may always promote later. BOHB (Falkner et al. 2018,
https://arxiv.org/abs/1807.01774) and MOBSTER (Klein et al. 2020, https://arxiv.org/abs/2003.10865) instead
model all fidelities and are told every rung, which needs searchers that know of fidelities. The price of the
choice here is that the search follows the order of architectures at the lowest rung, which successive halving
relies on too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nas.algorithms.shared.method import bad_option
from nas.algorithms.shared.successive_halving import Bracket, HalvingSearcher, fidelity_levels
from nas.algorithms.shared.wrapping import FidelityRange
from nas.evaluation import Objective
from nas.study import Searcher, Suggestion

if TYPE_CHECKING:
    from nas.space import SearchSpace


class Asha(HalvingSearcher):
    """Lets the architectures of the searcher inside climb from a low fidelity to a high one.

    Args:
        space: for the searcher inside.
        objectives: the first one decides what goes up.
        seed: from which that of the searcher inside is derived.
        searcher: a section with a name and options, or a searcher; it leaves the fidelity open.
        eta: one in eta goes up, 2 or more; the paper's experiments use 4, most software 3.
        lowest: fidelity of the lowest rung; None for the evaluator's.
        highest: of the highest; None for the evaluator's.
        levels: all fidelities, rising, instead of `lowest` and `highest`.
        early_stopping_rate: the paper's s, number of the lowest rungs to leave out, 0 to all but one.
        fidelity_range: the evaluator's (name, lowest, full).

    Raises:
        ConfigError: an option out of range, or one that the searcher inside does not know; a searcher inside
            that chooses fidelities.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        seed: int,
        searcher: Mapping[str, Any] | Searcher,
        eta: int = 3,
        lowest: float | None = None,
        highest: float | None = None,
        levels: Sequence[float] = (),
        early_stopping_rate: int = 0,
        fidelity_range: FidelityRange | None = None,
    ) -> None:
        fidelities = fidelity_levels(
            "asha", fidelity_range, eta, levels=levels, lowest=lowest, highest=highest
        )
        if not 0 <= early_stopping_rate < len(fidelities):
            expected = f"0 to {len(fidelities) - 1}, with {len(fidelities)} fidelities"
            raise bad_option("asha", "early_stopping_rate", expected, early_stopping_rate)
        inside = {"searcher": searcher, "fidelity_range": fidelity_range}
        super().__init__("asha", fidelities[early_stopping_rate:], space, objectives, seed=seed, **inside)
        self._eta = eta
        self._bracket = Bracket(self._inner, self._fidelities, eta, self._objective, self._in_flight)

    @property
    def uninformed(self) -> float | None:
        """That of the searcher inside, at most eta: then the best of eta goes up."""
        inside = self.inner.uninformed
        return None if inside is None else min(inside, self._eta)

    def _suggest(self) -> Suggestion | None:
        return self._bracket.ask()
