"""Have we seen it: FunctionalCache and its keys; bookkeeping only, it computes no hash.

Two candidates with equal keys behave alike, so a later one is answered with the evaluations of earlier ones
(functional equivalence caching; Gillard et al. 2023, https://arxiv.org/abs/2302.05433, and its code).

Deviations: several candidates may be in flight, so that equal ones wait for those before them; classes that
were not used for longest go when there are more than a bound; the cost of a trial is its own, not its
class's mean, and a hit saves the cost of its class's first; only completed evaluations count, failed ones
are told to the searcher and not kept.

`CachePolicy` says how a cache answers, and what a hash costs where no clock runs. Hashers that take time
travel to workers inside the evaluator; what need not be hashed twice does not travel again.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from nas.errors import ConfigError, ProtocolError, one_line
from nas.evaluation import Evaluation, Evaluator, Fidelity, Status, Task, WrappedEvaluator
from nas.faults import interrupts, named, traceback_of
from nas.registry import Component

if TYPE_CHECKING:
    from nas.space import Architecture


HASH_SECONDS = 0.01  # of a worker's hash on a simulated clock, unless the policy says otherwise


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How a cache answers.

    Attributes:
        evaluations: of each class before its mean is served (M of the paper); 1 or more.
        forget: probability with which a class is forgotten after it has answered (F of the paper).
        capacity: number of classes with nothing in flight; beyond it those that were not used for longest
            go; None for no bound.
        hash_seconds: what a worker's hash takes on a simulated clock; None for `HASH_SECONDS`.
    """

    evaluations: int = 1
    forget: float = 0.0
    capacity: int | None = 100_000
    hash_seconds: float | None = None

    def __post_init__(self) -> None:
        if type(self.evaluations) is not int or self.evaluations < 1:
            raise ConfigError(
                f"cache.evaluations: expected a whole number, 1 or more; got {self.evaluations!r}; change it"
            )
        if not _is_number(self.forget) or not 0 <= self.forget <= 1:
            raise ConfigError(f"cache.forget: expected a probability, 0 to 1; got {self.forget!r}; change it")
        if self.capacity is not None and (type(self.capacity) is not int or self.capacity < 1):
            raise ConfigError(
                "cache.capacity: expected a whole number, 1 or more, or null for no bound; "
                f"got {self.capacity!r}; change it"
            )
        seconds = self.hash_seconds
        if seconds is not None and not (_is_number(seconds) and 0 <= seconds < math.inf):
            raise ConfigError(
                f"cache.hash_seconds: expected 0 or more, or null for {HASH_SECONDS:g}; got {seconds!r}; "
                "change it"
            )

    @property
    def simulated_seconds(self) -> float:
        """What a worker's hash takes on a simulated clock."""
        return HASH_SECONDS if self.hash_seconds is None else self.hash_seconds

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


TrialId = int


@dataclass(frozen=True, slots=True)
class Hashed:
    """What a hasher says of one architecture.

    Attributes:
        digest: "kind:version:bits:value", the same in every process; None for an architecture that must
            not be answered from a cache.
        settings: digest of training settings that `digest` does not cover; "" if it covers all.
        reason: why there is no digest, in one line.
        passing: whether the reason may be gone another time, as when a worker died.
        fault: the traceback, if the hasher raised in place of giving a reason; not logged.
    """

    digest: str | None
    settings: str = ""
    reason: str | None = None
    passing: bool = False
    fault: str | None = field(default=None, compare=False)


class Hasher(Component):
    """Maps architectures that behave alike to one digest. Picklable, as it may travel to workers.

    Attributes:
        name: as configured; a log is continued under the same name only.
        in_worker: whether a hash takes long enough to be a worker's job instead of the driver's.
    """

    name: str
    in_worker: bool = False

    @abstractmethod
    def hash(self, architecture: Architecture) -> Hashed:
        """What makes the architecture equal to others; reasons instead of exceptions."""

    def for_data(self, input_shape: tuple[int, ...], classes: int) -> Hasher:  # noqa: ARG002
        """The hasher to use for networks on images of this shape, (C, H, W), and so many classes."""
        return self

    def explain(self, architecture: Architecture) -> str:  # noqa: ARG002
        """What the digest is of, for people, or "" where nothing is to be said.

        Raises:
            SpaceError: the architecture has no digest.
        """
        return ""


class TextHasher(Hasher):
    """The digest of an architecture's text, training settings included: merges equal texts only."""

    name = "text"

    def hash(self, architecture: Architecture) -> Hashed:
        return Hashed(architecture.digest())


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
    """Answered: the class has all its evaluations.

    Attributes:
        holder: the first that was evaluated.
        evaluation: the holder's, with the means of the class as values; the cost is the holder's own.
        evaluations: number behind the means.
        dropped: whether the class was forgotten after this answer.
    """

    outcome: ClassVar[str] = "hit"
    holder: TrialId
    evaluation: Evaluation
    evaluations: int = 1
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class Pending:
    """To wait: `holder`, the first of the class, or another one of it is being evaluated."""

    outcome: ClassVar[str] = "pending"
    dropped: ClassVar[bool] = False
    holder: TrialId


@dataclass(frozen=True, slots=True)
class Partial:
    """To be evaluated beside `holder`, the first of the class, which has too few evaluations."""

    outcome: ClassVar[str] = "partial"
    dropped: ClassVar[bool] = False
    holder: TrialId


@dataclass(frozen=True, slots=True)
class Miss:
    """To be evaluated: the first of its class."""

    outcome: ClassVar[str] = "miss"
    dropped: ClassVar[bool] = False
    holder: ClassVar[None] = None


@dataclass(frozen=True, slots=True)
class Settled:
    """What a completed evaluation means for its class.

    Attributes:
        mean: as a hit would be answered now.
        waiting: those that waited and are answered so, in their order.
        dropped_by: the first of them whose answer made the class be forgotten, or None.
    """

    mean: Hit
    waiting: tuple[TrialId, ...] = ()
    dropped_by: TrialId | None = None


@dataclass(slots=True)
class _Line:
    """One class: those in flight in their order, those that wait, and the means so far."""

    flying: list[TrialId]
    waiting: deque[TrialId] = field(default_factory=deque)
    mean: Hit | None = None

    @property
    def count(self) -> int:
        return 0 if self.mean is None else self.mean.evaluations

    @property
    def first(self) -> TrialId:
        return self.flying[0] if self.mean is None else self.mean.holder

    def joined(self, trial: TrialId, evaluation: Evaluation) -> Hit:
        """The means with one more evaluation."""
        if self.mean is None:
            return Hit(trial, evaluation)
        first, count = self.mean.evaluation, self.mean.evaluations + 1
        values = {
            name: _moved(value, evaluation.values[name], count)
            for name, value in first.values.items()
            if name in evaluation.values
        }
        return Hit(self.mean.holder, replace(first, values=values), count)


class FunctionalCache:
    """One line for each class: who evaluates it, who waits, and the mean of its completed evaluations.

    Args:
        policy: how it answers.
        forgets: whether the class is forgotten after this trial was answered; a function of the trial
            alone, so that a replay finds the same.
    """

    def __init__(
        self, policy: CachePolicy | None = None, forgets: Callable[[TrialId], bool] | None = None
    ) -> None:
        self.policy = policy or CachePolicy()
        self._forgets = forgets or _never
        self._lines: dict[CacheKey, _Line] = {}
        self._idle: OrderedDict[CacheKey, None] = OrderedDict()  # nothing in flight; last used comes last

    def __len__(self) -> int:
        """Number of keys with a result or a holder."""
        return len(self._lines)

    def reserve(self, key: CacheKey, trial: TrialId) -> Hit | Pending | Partial | Miss:
        """Looks `key` up; on a miss or a partial hit `trial` is a holder, who must `commit` or `fail` it."""
        line = self._lines.get(key)
        if line is None:
            self._lines[key] = _Line([trial])
            return Miss()
        if line.count + len(line.flying) < self.policy.evaluations:
            first = line.first
            line.flying.append(trial)
            self._idle.pop(key, None)
            return Partial(first)
        if line.flying or line.mean is None:
            line.waiting.append(trial)
            return Pending(line.first)
        if self._forgets(trial):
            self._drop(key)
            return replace(line.mean, dropped=True)
        self._idle.move_to_end(key)
        return line.mean

    def commit(self, key: CacheKey, trial: TrialId, evaluation: Evaluation) -> Settled:
        """Adds a holder's completed evaluation; those that wait are answered once there are enough."""
        line = self._held(key, trial)
        if not evaluation.ok:
            raise ProtocolError(
                f"FunctionalCache.commit: trial {trial}: expected a completed evaluation; "
                f"got {evaluation.status.value}; call fail"
            )
        line.flying.remove(trial)
        mean = line.mean = line.joined(trial, evaluation)
        if line.flying:
            return Settled(mean)
        waiting, line.waiting = tuple(line.waiting), deque()
        dropped_by = next((waiter for waiter in waiting if self._forgets(waiter)), None)
        if dropped_by is None:
            self._rest(key)
        else:
            self._drop(key)
        return Settled(mean, waiting, dropped_by)

    def fail(self, key: CacheKey, trial: TrialId) -> tuple[TrialId, Miss | Partial] | None:
        """Drops a failed holder; the first that waits becomes one and is returned, with its outcome."""
        line = self._held(key, trial)
        line.flying.remove(trial)
        if line.waiting:
            promoted = line.waiting.popleft()
            answer = Partial(line.first) if line.flying or line.mean else Miss()
            line.flying.append(promoted)
            return promoted, answer
        if not line.flying and line.mean is None:
            self._drop(key)
        elif not line.flying:
            self._rest(key)
        return None

    def _rest(self, key: CacheKey) -> None:
        """Nothing of the class is in flight any more: from now on it may be evicted."""
        self._idle[key] = None
        self._evict()

    def _evict(self) -> None:
        capacity = self.policy.capacity
        while capacity is not None and len(self._idle) > capacity:
            oldest, _ = self._idle.popitem(last=False)
            del self._lines[oldest]

    def _drop(self, key: CacheKey) -> None:
        del self._lines[key]
        self._idle.pop(key, None)

    def _held(self, key: CacheKey, trial: TrialId) -> _Line:
        line = self._lines.get(key)
        if line is None or trial not in line.flying:
            held = [] if line is None else line.flying
            state = f"held by {', '.join(map(str, held))}" if held else "not held by any trial"
            raise ProtocolError(
                f"FunctionalCache: {key.functional}: expected a key reserved by trial {trial}; got one "
                f"{state}; call reserve"
            )
        return line


def _never(trial: TrialId) -> bool:  # noqa: ARG001 - the signature of others
    return False


def _moved(mean: float, value: float, count: int) -> float:
    """The mean of `count` numbers from that of all but the last; of equal numbers, that number."""
    if mean == value or not (math.isfinite(mean) and math.isfinite(value)):
        return mean if mean == value else mean + value
    return mean + (value - mean) / count


MEMO_SIZE = 65_536  # architectures


def hash_of(hasher: Hasher, architecture: Architecture) -> Hashed:
    """What the hasher says; an exception or another answer of it is a reason for no digest."""
    try:
        hashed = hasher.hash(architecture)
    except BaseException as error:  # the candidate's or the hasher's: the search goes on without it
        if interrupts(error):
            raise
        return replace(unhashed(named(error)), fault=traceback_of(error))
    if not isinstance(hashed, Hashed):
        reason = f"the hasher returned {type(hashed).__name__}, not a Hashed"
        return replace(unhashed(reason), fault=reason)
    return hashed if hashed.digest is not None else unhashed(hashed.reason or "no digest")


def unhashed(reason: str) -> Hashed:
    """No digest, for a reason that is folded to one line."""
    return Hashed(None, "", one_line(reason))


class HashingEvaluator(WrappedEvaluator):
    """An evaluator that also hashes: with a hasher in it, it travels to each worker once.

    A task with `hashing` is answered with a completed evaluation that has no values, and the digest in its
    info; `hashed_of` reads it.

    Args:
        evaluator: for all other tasks.
        hasher: of this study.
        seconds: cost of a hash, for clocks that run by costs.
    """

    def __init__(self, evaluator: Evaluator, hasher: Hasher, seconds: float) -> None:
        super().__init__(evaluator)
        self.keeps_process = False  # hashes compile and run candidates
        self._hasher = hasher
        self._seconds = seconds

    def __call__(self, task: Task) -> Evaluation:
        if not task.hashing:
            return self.inner(task)
        hashed = hash_of(self._hasher, task.architecture)
        info = {"digest": hashed.digest, "settings": hashed.settings, "reason": hashed.reason}
        if hashed.fault is not None:
            info["fault"] = hashed.fault
        return Evaluation(Status.COMPLETED, cost_seconds=self._seconds, info=info)


def hashed_of(evaluation: Evaluation) -> Hashed:
    """What a hash job found; the reason of one that failed, as it may not another time."""
    if not evaluation.ok:
        return replace(unhashed(f"{evaluation.status.value}: {evaluation.reason}"), passing=True)
    info = evaluation.info
    return Hashed(info["digest"], info["settings"], info["reason"], fault=info.get("fault"))


class Memo:
    """What was hashed lately, by the digest of its text; the oldest goes when there are too many."""

    def __init__(self, size: int = MEMO_SIZE) -> None:
        self._size = size
        self._known: OrderedDict[str, Hashed] = OrderedDict()

    def get(self, digest: str) -> Hashed | None:
        return self._known.get(digest)

    def add(self, digest: str, hashed: Hashed) -> None:
        """Keeps it, unless it is known, or there was none for a reason that may pass."""
        if hashed.passing:
            return
        self._known.setdefault(digest, hashed)
        if len(self._known) > self._size:
            self._known.popitem(last=False)
