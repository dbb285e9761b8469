"""Successive halving: the rungs of one bracket, on which candidates climb from a low fidelity to a high one.

Li et al. 2018 (Hyperband, https://arxiv.org/abs/1603.06560) and Li et al. 2020 (ASHA,
https://arxiv.org/abs/1810.05934) differ in when a rung lets its best go up; the rest is shared here.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple

from algorithms.shared.wrapping import FidelityRange, Inner
from nas.architecture import Architecture
from nas.errors import ConfigError
from nas.evaluation import Fidelity, Objective
from nas.searcher import Searcher, SearchFinished, Suggestion, Trial


class RungResult(NamedTuple):
    """An architecture that was evaluated at a rung; they sort best first, ties by age.

    Attributes:
        loss: of the first objective, +inf for a failure.
        trial: in which.
    """

    loss: float
    trial: int
    architecture: Architecture


class Rungs:
    """One bracket.

    Without sizes the best 1/eta of those that have ended at a rung may go up, at any time (ASHA,
    Algorithm 2). With sizes a rung's best go up once all of it has ended (Hyperband, Algorithm 1).
    A failure takes its place in a rung and never goes up.

    Args:
        number: of rungs, 1 or more.
        eta: 2 or more.
        sizes: most candidates at each rung, lowest first; None for no bound.
    """

    def __init__(self, number: int, eta: int, sizes: Sequence[int] | None = None) -> None:
        self._eta = eta
        self._sizes = sizes
        self._ended: list[list[tuple[float, int]]] = [[] for _ in range(number)]  # best first
        self._waiting: list[list[RungResult]] = [[] for _ in range(number)]  # not gone up yet, best first
        self._begun = [0] * number
        self._closed = False

    @property
    def top(self) -> int:
        """Index of the highest rung."""
        return len(self._begun) - 1

    @property
    def is_open(self) -> bool:
        """Whether the lowest rung takes another candidate."""
        return not self._closed and (self._sizes is None or self._begun[0] < self._sizes[0])

    @property
    def is_done(self) -> bool:
        """Whether nothing more happens here."""
        ended = all(len(ended) == begun for ended, begun in zip(self._ended, self._begun, strict=True))
        return not self.is_open and ended and not any(map(self._may_go_up, range(self.top)))

    def close(self) -> None:
        """Lets no more candidates in, as there are none."""
        self._closed = True

    def begin(self, rung: int) -> None:
        """Takes note of a candidate that is evaluated at a rung from now on."""
        self._begun[rung] += 1

    def end(self, rung: int, candidate: RungResult) -> None:
        """Takes note of its result."""
        insort(self._ended[rung], (candidate.loss, candidate.trial))
        if math.isfinite(candidate.loss) and rung < self.top:
            insort(self._waiting[rung], candidate, key=_order)

    def promote(self) -> tuple[int, RungResult] | None:
        """The next to go up and the rung it goes to, highest rung first, best first; it is begun there."""
        for rung in reversed(range(self.top)):
            if self._may_go_up(rung):
                self.begin(rung + 1)
                return rung + 1, self._waiting[rung].pop(0)
        return None

    def _may_go_up(self, rung: int) -> bool:
        """Whether the best one that waits at a rung goes up now."""
        waiting = self._waiting[rung]
        if self._sizes is not None:
            return self._has_next(rung) and self._is_complete(rung)
        ended = self._ended[rung]
        best = ended[: len(ended) // self._eta]
        return bool(waiting and best) and _order(waiting[0]) <= best[-1]

    def _has_next(self, rung: int) -> bool:
        assert self._sizes is not None
        return bool(self._waiting[rung]) and self._begun[rung + 1] < self._sizes[rung + 1]

    def _is_complete(self, rung: int) -> bool:
        """Whether all that will ever be at a rung have ended there."""
        if len(self._ended[rung]) < self._begun[rung]:
            return False
        if rung == 0:
            return not self.is_open
        return self._is_complete(rung - 1) and not self._has_next(rung - 1)


def _order(candidate: RungResult) -> tuple[float, int]:
    return candidate.loss, candidate.trial


@dataclass(frozen=True, slots=True)
class FidelityLevels:
    """The options that say which fidelities there are.

    Attributes:
        levels: stated one by one; empty for evenly spaced ones.
        lowest: None for the evaluator's.
        highest: likewise.
        eta: factor between levels, and one of how many goes up.
    """

    levels: Sequence[float]
    lowest: float | None
    highest: float | None
    eta: int

    def fidelities(self, name: str, fidelity_range: FidelityRange | None) -> tuple[Fidelity, ...]:
        """The levels, lowest first, within the evaluator's range.

        Without stated ones they go from the lowest to the highest by a constant factor as near to eta as
        a whole number of steps allows, which is eta itself where the papers' R/r is a power of it; whole
        numbers where both ends are whole, as epochs are.

        Args:
            name: of the searcher, for messages.
            fidelity_range: the evaluator's.

        Raises:
            ConfigError: an option out of range, or an evaluator without fidelity.
        """
        where = f'searcher "{name}"'
        if self.eta < 2:
            raise ConfigError(f"{where}: eta: expected 2 or more; got {self.eta}; change it")
        if fidelity_range is None:
            raise ConfigError(
                f"{where}: expected an evaluator with a fidelity, such as epochs; this one has none; "
                "choose another searcher, or in Python give fidelity_range=evaluator.fidelity_range"
            )
        unit, low, full = fidelity_range
        if low >= full:
            raise ConfigError(
                f"{where}: expected several {unit} to choose from; got {full:g} alone; set "
                "search.fidelity=null, or give the evaluator more"
            )
        values = self._stated(where) if self.levels else self._spaced(low, full)
        for value in values:
            if not low <= value <= full:
                raise ConfigError(
                    f"{where}: expected {low:g} to {full:g} {unit}; got {value:g}; change levels, lowest or "
                    "highest, or search.fidelity where it ends the range"
                )
        if len(values) < 2 or any(a >= b for a, b in pairwise(values)):
            listed = ", ".join(f"{value:g}" for value in values)
            raise ConfigError(
                f"{where}: expected two or more rising fidelities within {low:g} to {full:g} {unit}; got "
                f"{listed}; change levels, lowest or highest"
            )
        return tuple(Fidelity(unit, float(value)) for value in values)

    def _stated(self, where: str) -> list[float]:
        numbers = [float(value) for value in self.levels if isinstance(value, int | float)]
        if len(numbers) < len(self.levels):
            raise ConfigError(f"{where}: levels: expected numbers; got {list(self.levels)!r}; change it")
        if self.lowest is not None or self.highest is not None:
            raise ConfigError(
                f"{where}: levels: expected alone; got lowest or highest as well; leave those out"
            )
        return numbers

    def _spaced(self, low: float, full: float) -> list[float]:
        low = low if self.lowest is None else self.lowest
        full = full if self.highest is None else self.highest
        if not 0 < low < full:
            return [low, full]  # which is refused
        steps = max(1, round(math.log(full / low, self.eta)))
        between = [low * (full / low) ** (step / steps) for step in range(1, steps)]
        if float(low).is_integer() and float(full).is_integer():
            between = [float(round(value)) for value in between]
        return list(dict.fromkeys([low, *between, full]))


_REMEDY = "nest only one of asha and hyperband"


def open_inner(name: str, searcher: Searcher) -> Inner:
    """The searcher inside a wrapper that chooses fidelities.

    Args:
        name: of the wrapper, for messages.
        searcher: fresh.

    Raises:
        ConfigError: one that says it chooses fidelities itself, through wrappers of its own too.
    """
    inner = Inner(searcher)
    if inner.fidelities:
        listed = ", ".join(f"{fidelity.value:g}" for fidelity in inner.fidelities)
        raise ConfigError(
            f'searcher "{name}": searcher: expected one that leaves the fidelity to the wrapper around it; '
            f"got one that asks for {inner.fidelities[0].name} of {listed}; {_REMEDY}"
        )
    return inner


class Bracket:
    """What climbs, and what climbed: the part of ASHA and of Hyperband that suggests and is told.

    Args:
        inner: gives new architectures; brackets may share it.
        rungs: fresh.
        fidelities: of the rungs, lowest first.
        objective: decides.
        info: added to that of its suggestions.
    """

    def __init__(
        self,
        inner: Inner,
        rungs: Rungs,
        fidelities: Sequence[Fidelity],
        objective: Objective,
        info: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.rungs = rungs
        self._inner = inner
        self._fidelities = tuple(fidelities)
        self._objective = objective
        self._info = dict(info)
        self._flying: dict[int, tuple[int, int | None]] = {}  # outer trial -> rung, inner trial if it is new

    def ask(self, number: int) -> Suggestion | None:
        """One for the outer trial `number`; None: to be told more first.

        Raises:
            SearchFinished: the searcher inside has nothing left and nothing can climb any more.
        """
        promoted = self.rungs.promote()
        if promoted is not None:
            rung, candidate = promoted
            self._flying[number] = rung, None
            return self._suggestion(
                Suggestion(candidate.architecture, parent=candidate.trial, info={"origin": "promotion"}), rung
            )
        return self._new(number) if self.rungs.is_open else self._nothing()

    def tell(self, trial: Trial) -> None:
        """Takes a finished trial of this bracket."""
        rung, inner = self._flying.pop(trial.number)
        evaluation = trial.evaluation
        assert evaluation is not None
        value = evaluation.values.get(self._objective.name) if evaluation.ok else None
        self.rungs.end(rung, RungResult(self._objective.loss(value), trial.number, trial.architecture))
        if inner is not None:
            self._inner.tell(inner, trial)

    def __contains__(self, number: int) -> bool:
        """Whether a trial in flight is of this bracket."""
        return number in self._flying

    def _new(self, number: int) -> Suggestion | None:
        try:
            proposal = self._inner.ask()
        except SearchFinished:
            self.rungs.close()
            return self._nothing()
        if proposal is None:
            return None
        given = proposal.suggestion.fidelity
        if given is not None:
            raise ConfigError(
                "searcher.searcher: expected one that leaves the fidelity to the wrapper around it; got a "
                f"suggestion with {given.name} = {given.value:g}; {_REMEDY}"
            )
        self.rungs.begin(0)
        self._flying[number] = 0, proposal.number
        self._inner.stands_for(proposal.number, number)
        return self._suggestion(proposal.suggestion, 0)

    def _nothing(self) -> None:
        """None while a trial in flight may still open the way for a promotion."""
        if not self._flying:
            raise SearchFinished

    def _suggestion(self, suggestion: Suggestion, rung: int) -> Suggestion:
        return replace(
            suggestion,
            fidelity=self._fidelities[rung],
            resumable=rung < self.rungs.top,
            info={**suggestion.info, **self._info, "rung": rung},
        )
