"""Hyperband (Li et al. 2018, Algorithm 1; https://arxiv.org/abs/1603.06560), asynchronous over its brackets.

Bracket s of s_max..0 starts n = ceil((s_max + 1) eta^s / (s + 1)) architectures at the fidelity R eta^-s
and keeps the best 1/eta at each of its s halvings, so that brackets range from many architectures trained
briefly to few trained fully, at about equal cost. After the last bracket the first begins again.

Differs from the paper:
- a rung whose stragglers are awaited holds up no worker: the next bracket begins meanwhile (the oldest
  bracket with something to do is served first); the sets that go up are the paper's;
- new architectures come from any searcher, not from uniform sampling alone;
- fidelities are spaced as in `algorithms.asha`; with R/r a power of eta they are the paper's, and s_max is
  their number less one; `levels` states them one by one;
- a failure takes its place in a rung, as the worst, and never goes up; of equal values the earlier goes up.

Each s has a searcher inside of its own, told the result at the lowest rung of its brackets, as in
`algorithms.asha`: brackets begin at different fidelities, whose values do not compare. They share
nothing; BOHB (Falkner et al. 2018, https://arxiv.org/abs/1807.01774) shares one model over all fidelities.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from algorithms.shared.method import InFlight
from algorithms.shared.successive_halving import Bracket, FidelityLevels, Rungs, open_inner
from algorithms.shared.wrapping import FidelityRange, ask_each, build_inner
from nas.errors import ConfigError
from nas.evaluation import Fidelity, Objective
from nas.searcher import BaseSearcher, SearchFinished, Suggestion, Trial

if TYPE_CHECKING:
    from nas.space import SearchSpace

_STREAM = 3  # apart from the streams of trials, of the baseline and of wrappers; see nas.stages


def bracket_sizes(eta: int, s_max: int, s: int) -> tuple[int, ...]:
    """Architectures at each rung of bracket s, lowest first: n_i = floor(n eta^-i)."""
    first = -(-(s_max + 1) * eta**s // (s + 1))
    return tuple(first // eta**rung for rung in range(s + 1))


class Hyperband(BaseSearcher):
    """Lets the architectures of searchers inside climb, in brackets that begin at different fidelities.

    Args:
        space: for the searchers inside.
        objectives: the first one decides what goes up.
        seed: of the searchers inside; each gets another one that follows from it.
        searcher: a section with a name and options, of which each s builds one; it leaves the fidelity open.
        eta: one of so many goes up, 2 or more; the paper uses 3 and 4.
        lowest: fidelity of the lowest rung; None for the evaluator's.
        highest: of the highest; None for the evaluator's.
        levels: all fidelities, rising, in place of `lowest` and `highest`.
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
        self._fidelities: tuple[Fidelity, ...] = FidelityLevels(levels, lowest, highest, eta).fidelities(
            "hyperband", fidelity_range
        )
        if not isinstance(searcher, Mapping):
            raise ConfigError(
                'searcher "hyperband": searcher: expected a section with a name, as each kind of bracket has '
                f"a searcher of its own; got {type(searcher).__name__}"
            )
        self._eta = eta
        self._objective = objectives[0]
        self._inner = [
            open_inner(
                "hyperband",
                build_inner(searcher, space, objectives, seed=own, fidelity_range=fidelity_range),
            )
            for own in _seeds(seed, len(self._fidelities))
        ]
        self._open: list[Bracket] = []  # oldest first
        self._next = len(self._fidelities) - 1  # s of the bracket to begin next
        self._asked = InFlight(type(self).__name__)

    @property
    def fidelities(self) -> tuple[Fidelity, ...]:
        return self._fidelities

    @property
    def needs_states(self) -> bool:
        return True

    @property
    def uninformed(self) -> float | None:
        """That of the first searcher inside, at most the first bracket's lowest rung: then its best go up."""
        s_max = len(self.fidelities) - 1
        inside = self._inner[s_max].uninformed
        return None if inside is None else min(inside, bracket_sizes(self._eta, s_max, s_max)[0])

    def check_values(self, names: Collection[str]) -> None:
        self._inner[0].check_values(names)

    def ask(self, count: int = 1) -> list[Suggestion]:
        return ask_each(count, self._ask)

    def tell(self, trial: Trial) -> None:
        self._asked.close(trial)
        next(bracket for bracket in self._open if trial.number in bracket).tell(trial)
        self._open = [bracket for bracket in self._open if not bracket.rungs.is_done]

    def _ask(self) -> Suggestion | None:
        for bracket in self._open:
            suggestion = self._from(bracket)
            if suggestion is not None:
                return suggestion
        for _ in self._fidelities:  # one of each s, whose searcher inside may have nothing left
            if any(bracket.rungs.is_open for bracket in self._open_of(self._next)):
                break  # that one has nothing now
            suggestion = self._from(self._begin())
            if suggestion is not None:
                return suggestion
        self._open = [bracket for bracket in self._open if not bracket.rungs.is_done]
        if not self._open:
            raise SearchFinished
        return None

    def _from(self, bracket: Bracket) -> Suggestion | None:
        try:
            suggestion = bracket.ask(self._asked.count)
        except SearchFinished:  # this bracket is at its end
            return None
        if suggestion is not None:
            self._asked.add()
        return suggestion

    def _open_of(self, s: int) -> list[Bracket]:
        return [bracket for bracket in self._open if bracket.rungs.top == s]

    def _begin(self) -> Bracket:
        """The next bracket: s_max, ..., 0, s_max, ..."""
        s, s_max = self._next, len(self._fidelities) - 1
        self._next = s - 1 if s > 0 else s_max
        rungs = Rungs(s + 1, self._eta, bracket_sizes(self._eta, s_max, s))
        fidelities = self._fidelities[s_max - s :]
        self._open.append(Bracket(self._inner[s], rungs, fidelities, self._objective, {"bracket": s}))
        return self._open[-1]


def _seeds(seed: int, number: int) -> list[int]:
    return [
        int(np.random.SeedSequence(seed, spawn_key=(_STREAM, s)).generate_state(1)[0]) for s in range(number)
    ]
