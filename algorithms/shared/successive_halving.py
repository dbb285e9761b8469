"""Successive halving: brackets of rungs, on which architectures climb from a low fidelity to a high one.

Li et al. 2018 (Hyperband, https://arxiv.org/abs/1603.06560) and Li et al. 2020 (ASHA,
https://arxiv.org/abs/1810.05934) differ in when a rung promotes its best and in the number of brackets; the
rest is shared here.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.algorithms.shared.method import InFlight, bad_option, check_range, loss_of
from nas.algorithms.shared.wrapping import FidelityRange, Inner, Wrapper
from nas.errors import ConfigError, refusal
from nas.evaluation import Fidelity, Objective
from nas.space import Architecture
from nas.study import SearchFinished, Suggestion, Trial

if TYPE_CHECKING:
    from nas.space import SearchSpace

_EXPECTED = "one that leaves the fidelity to the wrapper around it"
_REMEDY = "nest only one of asha and hyperband"


class RungResult(NamedTuple):
    """An architecture that was evaluated at a rung; results sort best first, ties by age.

    Attributes:
        loss: of the first objective, +inf for a failure.
        trial: in which.
    """

    loss: float
    trial: int
    architecture: Architecture

    @property
    def order(self) -> tuple[float, int]:
        return self.loss, self.trial


class Climb(NamedTuple):
    """A trial in flight.

    Attributes:
        rung: at which it is evaluated.
        inner: its number at the searcher inside if it is new, else None.
    """

    bracket: Bracket
    rung: int
    inner: int | None


class Bracket:
    """Rungs on which architectures climb; suggestions from them and the searcher inside, results to both.

    Without sizes, the best 1/eta of the results at a rung may go up at any time (ASHA, Algorithm 2). With
    sizes, the best of a rung go up once all of its trials have ended (Hyperband, Algorithm 1). A failure
    counts at its rung and never goes up.

    Args:
        inner: proposes new architectures; brackets may share it.
        fidelities: of the rungs, lowest first, one or more.
        eta: 2 or more.
        objective: by which results are ranked.
        in_flight: to which its suggestions are added.
        sizes: most architectures at each rung, lowest first; None for no bound.
        info: added to the info of its suggestions.
    """

    def __init__(
        self,
        inner: Inner,
        fidelities: Sequence[Fidelity],
        eta: int,
        objective: Objective,
        in_flight: InFlight[Climb],
        *,
        sizes: Sequence[int] | None = None,
        info: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.top = len(fidelities) - 1  # index of the highest rung
        self._inner = inner
        self._fidelities = tuple(fidelities)
        self._eta = eta
        self._objective = objective
        self._in_flight = in_flight
        self._sizes = sizes
        self._info = dict(info)
        self._ended: list[list[tuple[float, int]]] = [[] for _ in fidelities]  # best first
        self._waiting: list[list[RungResult]] = [[] for _ in fidelities]  # not gone up yet, best first
        self._begun = [0] * len(fidelities)
        self._closed = False  # whether the searcher inside is finished

    @property
    def is_open(self) -> bool:
        """Whether the lowest rung takes another architecture."""
        return not self._closed and (self._sizes is None or self._begun[0] < self._sizes[0])

    @property
    def is_done(self) -> bool:
        """Whether no further suggestion or result can occur."""
        return not (self.is_open or self._is_waited_for or any(map(self._may_go_up, range(self.top))))

    def ask(self) -> Suggestion | None:
        """The next to go up, highest rung and best first, else a new one; None if results are needed first.

        Raises:
            SearchFinished: the searcher inside has nothing left and nothing can climb any more.
        """
        for rung in reversed(range(self.top)):
            if self._may_go_up(rung):
                best = self._waiting[rung].pop(0)
                self._begin(rung + 1, None)
                origin = {"origin": "promotion"}
                return self._at(rung + 1, Suggestion(best.architecture, parent=best.trial, info=origin))
        if self.is_open:
            try:
                return self._new_suggestion()
            except SearchFinished:
                self._closed = True
        if not self._is_waited_for:
            raise SearchFinished
        return None

    def tell(self, trial: Trial, climb: Climb) -> None:
        """Takes a finished trial of this bracket."""
        result = RungResult(loss_of(trial, self._objective), trial.number, trial.architecture)
        insort(self._ended[climb.rung], result.order)
        if math.isfinite(result.loss) and climb.rung < self.top:
            insort(self._waiting[climb.rung], result, key=lambda each: each.order)
        if climb.inner is not None:
            self._inner.tell(climb.inner, trial)

    def _new_suggestion(self) -> Suggestion | None:
        proposal = self._inner.ask()
        if proposal is None:
            return None
        given = proposal.suggestion.fidelity
        if given is not None:
            got = f"a suggestion with {given.name} = {given.value:g}"
            raise ConfigError(refusal("searcher.searcher", _EXPECTED, got, _REMEDY))
        self._inner.stands_for(proposal.number, self._begin(0, proposal.number))
        return self._at(0, proposal.suggestion)

    def _begin(self, rung: int, inner: int | None) -> int:
        """Number of a trial that is evaluated at a rung from now on."""
        self._begun[rung] += 1
        return self._in_flight.add(Climb(self, rung, inner))

    def _at(self, rung: int, suggestion: Suggestion) -> Suggestion:
        return replace(
            suggestion,
            fidelity=self._fidelities[rung],
            resumable=rung < self.top,
            info={**suggestion.info, **self._info, "rung": rung},
        )

    @property
    def _is_waited_for(self) -> bool:
        """Whether a trial is in flight whose result may allow a promotion."""
        return any(len(ended) < begun for ended, begun in zip(self._ended, self._begun, strict=True))

    def _may_go_up(self, rung: int) -> bool:
        """Whether the best of those that wait at a rung goes up now."""
        waiting = self._waiting[rung]
        if self._sizes is not None:
            return self._has_candidate(rung) and self._is_complete(rung)
        ended = self._ended[rung]
        best = ended[: len(ended) // self._eta]
        return bool(waiting and best) and waiting[0].order <= best[-1]

    def _has_candidate(self, rung: int) -> bool:
        assert self._sizes is not None
        return bool(self._waiting[rung]) and self._begun[rung + 1] < self._sizes[rung + 1]

    def _is_complete(self, rung: int) -> bool:
        """Whether all trials that a rung will ever have are ended."""
        if len(self._ended[rung]) < self._begun[rung]:
            return False
        if rung == 0:
            return not self.is_open
        return self._is_complete(rung - 1) and not self._has_candidate(rung - 1)


class HalvingSearcher(Wrapper[Climb]):
    """A wrapper that chooses the fidelities of what the searcher inside proposes.

    Args:
        name: of the wrapper, for messages.
        fidelities: of all rungs, lowest first.
        space: as for `Wrapper`, like the following ones.

    Raises:
        ConfigError: the searcher inside, or one within it, chooses fidelities itself.
    """

    def __init__(
        self,
        name: str,
        fidelities: Sequence[Fidelity],
        space: SearchSpace,
        objectives: Sequence[Objective],
        **given: Any,
    ) -> None:
        super().__init__(space, objectives, **given)
        self._fidelities = tuple(fidelities)
        asked_for = self.inner.fidelities
        if asked_for:
            listed = ", ".join(f"{fidelity.value:g}" for fidelity in asked_for)
            got = f"one that asks for {asked_for[0].name} of {listed}"
            raise ConfigError(refusal(f'searcher "{name}": searcher', _EXPECTED, got, _REMEDY))

    @property
    def fidelities(self) -> tuple[Fidelity, ...]:
        return self._fidelities

    @property
    def needs_states(self) -> bool:
        return True

    def _take(self, trial: Trial, remembered: Climb) -> None:
        remembered.bracket.tell(trial, remembered)


def fidelity_levels(
    name: str,
    fidelity_range: FidelityRange | None,
    eta: int,
    *,
    levels: Sequence[float] = (),
    lowest: float | None = None,
    highest: float | None = None,
) -> tuple[Fidelity, ...]:
    """The fidelities of the rungs, lowest first, within the evaluator's range.

    By default they go from the lowest to the highest by a constant factor as near to eta as a whole number of
    steps allows, which is eta itself where the papers' R/r is a power of it; they are rounded where both ends
    are whole numbers, as epochs are.

    Args:
        name: of the searcher, for messages.
        fidelity_range: the evaluator's.
        eta: factor between levels.
        levels: stated one by one; empty for evenly spaced ones.
        lowest: None for the evaluator's.
        highest: likewise.

    Raises:
        ConfigError: an option out of range, or an evaluator without fidelity.
    """
    where = f'searcher "{name}"'
    check_range(name, "eta", eta, 2)
    if fidelity_range is None:
        expected = "an evaluator with a fidelity, such as epochs"
        remedy = "choose another searcher, or in Python give fidelity_range=evaluator.fidelity_range"
        raise ConfigError(refusal(where, expected, "one without", remedy))
    unit, low, full = fidelity_range
    if low >= full:
        remedy = "set search.fidelity=null, or give the evaluator more"
        raise ConfigError(refusal(where, f"several {unit} to choose from", f"{full:g} alone", remedy))
    if levels:
        values = [float(value) for value in levels if isinstance(value, int | float)]
        if len(values) < len(levels):
            raise bad_option(name, "levels", "numbers", repr(list(levels)))
        if lowest is not None or highest is not None:
            raise ConfigError(
                refusal(f"{where}: levels", "levels alone", "lowest or highest as well", "leave those out")
            )
    else:
        values = _spaced(low if lowest is None else lowest, full if highest is None else highest, eta)
    for value in values:
        if not low <= value <= full:
            remedy = "keep levels, lowest and highest in that range, or widen it with search.fidelity"
            raise ConfigError(refusal(where, f"{low:g} to {full:g} {unit}", f"{value:g}", remedy))
    if len(values) < 2 or any(a >= b for a, b in pairwise(values)):
        listed = ", ".join(f"{value:g}" for value in values)
        expected = f"two or more rising fidelities within {low:g} to {full:g} {unit}"
        raise ConfigError(refusal(where, expected, listed, "give rising levels, or a highest above lowest"))
    return tuple(Fidelity(unit, float(value)) for value in values)


def _spaced(low: float, full: float, eta: int) -> list[float]:
    if not 0 < low < full:
        return [low, full]  # which is refused
    steps = max(1, round(math.log(full / low, eta)))
    between = [low * (full / low) ** (step / steps) for step in range(1, steps)]
    if float(low).is_integer() and float(full).is_integer():
        between = [float(round(value)) for value in between]
    return list(dict.fromkeys([low, *between, full]))
