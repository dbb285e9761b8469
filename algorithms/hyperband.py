"""Hyperband (Li et al. 2018, Algorithm 1; https://arxiv.org/abs/1603.06560), asynchronous over its brackets.

Bracket s of s_max..0 starts n = ceil((s_max + 1) eta^s / (s + 1)) architectures at the fidelity R eta^-s
and keeps the best 1/eta at each of its s halvings, so that brackets range from many architectures trained
briefly to few trained fully, at about equal cost. After the last bracket the first begins again.

Differs from the paper:
- no worker waits for the last trials of a rung: the next bracket begins meanwhile (the oldest bracket with
  something to do is served first); the sets that go up are the paper's;
- new architectures come from any searcher, not from uniform sampling alone;
- fidelities are spaced as in `nas.algorithms.asha`; with R/r a power of eta they are the paper's, and s_max
  is their number less one; `levels` states them one by one;
- a failure counts at its rung as the worst result and never goes up; among equal values the earlier goes up.

Each s has its own searcher inside, which is told the result at the lowest rung of its brackets, as in
`nas.algorithms.asha`: brackets begin at different fidelities, whose values cannot be compared. They share
nothing; BOHB (Falkner et al. 2018, https://arxiv.org/abs/1807.01774) shares one model over all fidelities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.algorithms.shared.successive_halving import (
    Bracket,
    Climb,
    HalvingSearcher,
    fidelity_levels,
)
from nas.algorithms.shared.wrapping import FidelityRange, build_inner
from nas.errors import ConfigError, refusal
from nas.evaluation import Objective
from nas.study import SearchFinished, Suggestion, Trial

if TYPE_CHECKING:
    from nas.space import SearchSpace

_STREAM = 3  # other than those of trials, of the baseline and of wrappers; see nas.study.plan


def bracket_sizes(eta: int, s_max: int, s: int) -> tuple[int, ...]:
    """Architectures at each rung of bracket s, lowest first: n_i = floor(n eta^-i)."""
    first = -(-(s_max + 1) * eta**s // (s + 1))
    return tuple(first // eta**rung for rung in range(s + 1))


class Hyperband(HalvingSearcher):
    """Lets the architectures of searchers inside climb, in brackets that begin at different fidelities.

    Args:
        space: for the searchers inside.
        objectives: the first one decides what goes up.
        seed: of the searchers inside; each gets another one that follows from it.
        searcher: a section with a name and options, of which each s builds one; it leaves the fidelity open.
        eta: one in eta goes up, 2 or more; the paper uses 3 and 4.
        lowest: fidelity of the lowest rung; None for the evaluator's.
        highest: of the highest; None for the evaluator's.
        levels: all fidelities, rising, instead of `lowest` and `highest`.
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
        searcher: Mapping[str, Any],
        eta: int = 3,
        lowest: float | None = None,
        highest: float | None = None,
        levels: Sequence[float] = (),
        fidelity_range: FidelityRange | None = None,
    ) -> None:
        fidelities = fidelity_levels(
            "hyperband", fidelity_range, eta, levels=levels, lowest=lowest, highest=highest
        )
        if not isinstance(searcher, Mapping):
            where = 'searcher "hyperband": searcher'
            expected = "a section with a name, as each kind of bracket builds another searcher"
            raise ConfigError(refusal(where, expected, type(searcher).__name__, "give its name and options"))
        inside = {"searcher": searcher, "fidelity_range": fidelity_range}
        streams = [np.random.SeedSequence(seed, spawn_key=(_STREAM, s)) for s in range(len(fidelities))]
        *seeds, last = [int(stream.generate_state(1)[0]) for stream in streams]
        super().__init__("hyperband", fidelities, space, objectives, seed=last, **inside)
        others = [build_inner(space=space, objectives=objectives, seed=own, **inside) for own in seeds]
        self._inners = [*others, self._inner]  # of each s
        self._eta = eta
        self._open: list[Bracket] = []  # oldest first
        self._next = len(fidelities) - 1  # s of the bracket to begin next

    @property
    def uninformed(self) -> float | None:
        """That of the first searcher inside, at most the size of the first rung: then its best go up."""
        s_max = len(self._fidelities) - 1
        inside = self.inner.uninformed
        return None if inside is None else min(inside, bracket_sizes(self._eta, s_max, s_max)[0])

    def _take(self, trial: Trial, remembered: Climb) -> None:
        super()._take(trial, remembered)
        self._open = [bracket for bracket in self._open if not bracket.is_done]

    def _suggest(self) -> Suggestion | None:
        for bracket in self._open:
            suggestion = self._from(bracket)
            if suggestion is not None:
                return suggestion
        for _ in self._fidelities:  # a bracket of each s, as its searcher may have nothing left
            if any(bracket.is_open and bracket.top == self._next for bracket in self._open):
                break  # the searcher of this s has nothing now
            suggestion = self._from(self._begin())
            if suggestion is not None:
                return suggestion
        self._open = [bracket for bracket in self._open if not bracket.is_done]
        if not self._open:
            raise SearchFinished
        return None

    def _from(self, bracket: Bracket) -> Suggestion | None:
        try:
            return bracket.ask()
        except SearchFinished:  # this bracket is at its end
            return None

    def _begin(self) -> Bracket:
        """The next bracket: s_max, ..., 0, s_max, ..."""
        s, s_max = self._next, len(self._fidelities) - 1
        self._next = s - 1 if s > 0 else s_max
        bracket = Bracket(
            self._inners[s],
            self._fidelities[s_max - s :],
            self._eta,
            self._objective,
            self._in_flight,
            sizes=bracket_sizes(self._eta, s_max, s),
            info={"bracket": s},
        )
        self._open.append(bracket)
        return bracket
