"""One bracket at work: suggestions from its rungs and from the searcher inside, results back to both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from algorithms.rungs import Candidate, Rungs
from algorithms.wrapping import Inner
from nas.errors import ConfigError
from nas.evaluation import Fidelity, Objective
from nas.searcher import Searcher, SearchFinished, Suggestion, Trial

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
        self.rungs.end(rung, Candidate(self._objective.loss(value), trial.number, trial.architecture))
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
