"""What next: Searcher, Suggestion, SearchFinished and the Trial that is told back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from nas.evaluation import Evaluation, Fidelity, Stage, Work

if TYPE_CHECKING:
    from nas.architecture import Architecture


class SearchFinished(Exception):
    """Raised by `ask` when a searcher has nothing left to propose, now and later."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A proposal.

    Attributes:
        architecture: what to evaluate.
        fidelity: None for the study's own fidelity.
        parent: trial whose checkpoint or result it builds on, or None.
        info: facts for the log, JSON values only, e.g. {"origin": "mutation", "parent": 17}.
        resumable: whether it leaves its state: a later suggestion of the same architecture at a higher
            fidelity, with this trial as its parent, goes on from there.
        work: what workers are to do in place of an evaluation of the architecture, which is then what the
            searcher would choose at the moment. Such a trial is of the stage "supernet", does not count in
            budget.trials, and with `resumable` leaves a state that works with it as their parent are given.
    """

    architecture: Architecture
    fidelity: Fidelity | None = None
    parent: int | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    resumable: bool = False
    work: Work | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """A suggestion with its number and its outcome; what a searcher is told.

    Attributes:
        number: from 0, in the order of the asks; works are numbered apart, from `FIRST_TRIAL` of their stage.
        suggestion: what was proposed.
        stage: search, baseline, final or supernet.
        seed: seed of its evaluation.
        evaluation: None while it is in flight.
        cached_from: the trial whose result answers this one, or None.
    """

    number: int
    suggestion: Suggestion
    stage: Stage = Stage.SEARCH
    seed: int = 0
    evaluation: Evaluation | None = None
    cached_from: int | None = None

    @property
    def architecture(self) -> Architecture:
        return self.suggestion.architecture


def uninformed_trials(searcher: Searcher) -> float | None:
    """A searcher's `uninformed`, as in `Searcher`; None where it does not say."""
    return getattr(searcher, "uninformed", None)


class Searcher(Protocol):
    """A function of its seed and the order of its asks and tells; networks and programs alike.

    A searcher knows the space and the objectives from its constructor:
    `Searcher(space, objectives, seed=..., **its own options)`. `Suggestion.info` never
    influences it; the n-th suggestion it returns becomes the n-th search trial (the n-th work the n-th
    trial of its stage), and `tell` finds it again by `trial.number`.

    Optional, so that mistakes are found before a run (`nas.fitting`): `fidelities` are those that it asks
    for; `check_values(names)` raises ConfigError if it needs a value that evaluations do not have. And so
    that a run and its report can say what was no search: `uninformed` is how many of its first trials it asks
    for whatever it is told, such as the random start of a model; inf if it never learns, None if unknown.
    """

    def ask(self, count: int = 1) -> Sequence[Suggestion]:
        """Up to `count` proposals; fewer, or none, means: tell me more first.

        Raises:
            SearchFinished: nothing left to propose, now and later.
        """
        ...

    def tell(self, trial: Trial) -> None:
        """Takes one finished trial, in any order, once each, failed ones too.

        Raises:
            ProtocolError: the trial was not asked for or was told before.
        """
        ...
