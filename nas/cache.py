"""Have we seen it: FunctionalCache and its keys; bookkeeping only, it computes no hash.

Two candidates with equal keys behave alike, so the second one is answered with the evaluation of the
first (functional equivalence caching; Gillard et al. 2023, https://arxiv.org/abs/2302.05433).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from nas.errors import ProtocolError
from nas.evaluation import Evaluation, Fidelity

if TYPE_CHECKING:
    from nas.architecture import Architecture

TrialId = int


class Hasher(Protocol):
    """Maps architectures that behave alike to one digest."""

    @property
    def name(self) -> str:
        """As configured; a log is continued under the same name only."""
        ...

    def hash(self, architecture: Architecture) -> str | None:
        """The digest, the same in every process; None for an architecture that must not be cached."""
        ...


class TextHasher:
    """The digest of an architecture's text, training settings included: merges equal texts only."""

    name = "text"

    def hash(self, architecture: Architecture) -> str:
        return architecture.digest()


@dataclass(frozen=True, slots=True)
class CacheKey:
    """Everything that two evaluations must have in common to share their result.

    Attributes:
        functional: digest of the behaviour, from a `Hasher`.
        settings: digest of training settings that `functional` does not cover; "" if it covers all.
        fidelity: None for the full evaluation.
        evaluator: fingerprint of the evaluator.
    """

    functional: str
    settings: str
    fidelity: Fidelity | None
    evaluator: str


@dataclass(frozen=True, slots=True)
class Hit:
    """Answered: `holder` was evaluated before."""

    outcome: ClassVar[str] = "hit"
    holder: TrialId
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class Pending:
    """To wait: `holder` is being evaluated."""

    outcome: ClassVar[str] = "pending"
    holder: TrialId


@dataclass(frozen=True, slots=True)
class Miss:
    """To be evaluated: the trial now holds the key."""

    outcome: ClassVar[str] = "miss"
    holder: ClassVar[None] = None


@dataclass(slots=True)
class _Line:
    holder: TrialId
    evaluation: Evaluation | None = None
    waiting: deque[TrialId] = field(default_factory=deque)


class FunctionalCache:
    """One line for each key: who evaluates it, who waits for it, and the result of a completed evaluation."""

    def __init__(self) -> None:
        self._lines: dict[CacheKey, _Line] = {}

    def __len__(self) -> int:
        """Number of keys with a result or a holder."""
        return len(self._lines)

    def reserve(self, key: CacheKey, trial: TrialId) -> Hit | Pending | Miss:
        """Looks `key` up; on a miss `trial` becomes its holder, who must `commit` or `fail` it."""
        line = self._lines.get(key)
        if line is None:
            self._lines[key] = _Line(trial)
            return Miss()
        if line.evaluation is None:
            line.waiting.append(trial)
            return Pending(line.holder)
        return Hit(line.holder, line.evaluation)

    def commit(self, key: CacheKey, evaluation: Evaluation) -> tuple[TrialId, ...]:
        """Stores the holder's completed evaluation; returns those that waited, in their order."""
        line = self._held(key)
        if not evaluation.ok:
            raise ProtocolError(
                f"FunctionalCache.commit: trial {line.holder}: expected a completed evaluation; "
                f"got {evaluation.status.value}; call fail"
            )
        line.evaluation = evaluation
        return tuple(line.waiting)

    def fail(self, key: CacheKey) -> TrialId | None:
        """Drops the failed holder; the first of those that wait becomes the holder and is returned."""
        line = self._held(key)
        if not line.waiting:
            del self._lines[key]
            return None
        line.holder = line.waiting.popleft()
        return line.holder

    def _held(self, key: CacheKey) -> _Line:
        line = self._lines.get(key)
        if line is None or line.evaluation is not None:
            state = "no holder" if line is None else f"a result already, of trial {line.holder}"
            raise ProtocolError(
                f"FunctionalCache: {key.functional}: expected a reserved key; got {state}; call reserve"
            )
        return line
