"""A trial that is not over: Entry, and where it stands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto

from nas.cache import CacheKey, Hashed, Miss, Partial
from nas.evaluation import Evaluation, Fidelity, Stage
from nas.executor import Planned
from nas.searcher import Suggestion, Trial

NEEDED = (-math.inf, -math.inf)  # rank of a state without which a search cannot go on


class State(Enum):
    """Where a trial stands between its ask and its end."""

    ASKED = auto()
    UNHASHED = auto()  # a worker is to hash it
    HASHING = auto()  # a worker does
    HASHED = auto()  # to be looked up
    WAITING = auto()  # for the result of an equal trial
    PROMOTED = auto()  # that one failed; to be evaluated itself
    READY = auto()  # to be evaluated
    RUNNING = auto()
    EVALUATED = auto()  # to be told


@dataclass(frozen=True, slots=True)
class Origin:
    """A completed trial whose state another one may continue.

    Attributes:
        trial: the one that was evaluated.
        seed: of its evaluation, and of those that continue it.
    """

    trial: int
    digest: str
    fidelity: Fidelity | None
    seed: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """The best completed search trial: rank and number order candidates, ties go to the earlier one."""

    order: tuple[tuple[float, float], int]
    suggestion: Suggestion
    digest: str
    value: float

    @property
    def number(self) -> int:
        return self.order[1]


@dataclass(slots=True, eq=False)
class Entry:
    """A trial that is not over.

    Attributes:
        hashed: what a worker's hash found; None if none did.
        promoted: what a trial became whose equal one failed; None for others.
        evaluation: as the searcher is told.
        evaluations: number behind its values, if they are the mean of a class.
        dropped: whether its class was forgotten with its answer, after it had waited for that.
        origin: what it continues; None if it begins at the start.
        plan: how a virtual clock carries out what was started; of other executors None or the start alone.
    """

    number: int
    suggestion: Suggestion
    stage: Stage
    digest: str
    fidelity: Fidelity | None
    seed: int = 0
    state: State = State.ASKED
    hashed: Hashed | None = None
    key: CacheKey | None = None
    promoted: Miss | Partial | None = None
    evaluation: Evaluation | None = None
    evaluations: int = 1
    cached_from: int | None = None
    dropped: bool = False
    origin: Origin | None = None
    plan: Planned | None = None

    def trial(self) -> Trial:
        """As the searcher is told."""
        return Trial(self.number, self.suggestion, self.stage, self.seed, self.evaluation, self.cached_from)
