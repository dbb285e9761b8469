"""The state of a running study, changed by its events alone: Ledger.

The loop and the replay of a log make the same calls in the same order, so a continued study stands
exactly where the interrupted one stood. Nothing here asks, evaluates or writes.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace
from enum import Enum, auto

from nas.cache import CacheKey, FunctionalCache, Hit, Miss, Pending
from nas.errors import EvaluationError
from nas.evaluation import Evaluation, Fidelity, Objective, Stage
from nas.searcher import Suggestion, Trial
from nas.store import rank

# How executors word what an evaluator raised on purpose: the set-up is at fault, not the candidate.
_FAULT = f"{EvaluationError.__name__}: "


class State(Enum):
    """Where a trial stands between its ask and its end."""

    ASKED = auto()
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


@dataclass(slots=True, eq=False)
class Entry:
    """A trial that is not over.

    Attributes:
        origin: what it continues; None if it begins at the start.
    """

    number: int
    suggestion: Suggestion
    stage: Stage
    digest: str
    fidelity: Fidelity | None
    seed: int = 0
    state: State = State.ASKED
    key: CacheKey | None = None
    evaluation: Evaluation | None = None
    cached_from: int | None = None
    origin: Origin | None = None

    def trial(self) -> Trial:
        """As the searcher is told."""
        return Trial(self.number, self.suggestion, self.stage, self.seed, self.evaluation, self.cached_from)


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


class Ledger:
    """Counts, queues and the chosen trial of a study.

    Memory grows with open trials, resumable ones and cache keys only.

    Attributes:
        open: trials that are not over, by number.
        ready: trials to start, in order.
        untold: search trials to tell, in order.
        running: number of trials that an executor has.
        waiting: number of trials that wait for an equal one.
        asked: number of asked trials of each stage.
        over: number of trials of each stage that are over.
        starved: the searcher gave nothing since it was last told something.
        exhausted: the searcher has nothing left, now and later.
        completed: number of evaluations that did.
        failed: number of evaluations that did not.
        faults: those among them that the evaluator could not carry out, whatever the candidate.
        last_failure: reason of the latest one.
        hits_in_a_row: search trials answered from the cache since the last evaluation of one.
        most_hits_in_a_row: never falls, so that a search that it ended does not begin again.
        clock: latest moment in the events, in seconds on the executor's clock.
        useful: evaluated trials whose state may still be continued, with their ranks.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self.cache = FunctionalCache()
        self.open: dict[int, Entry] = {}
        self.ready: deque[Entry] = deque()
        self.untold: deque[Entry] = deque()
        self.running = 0
        self.waiting = 0
        self.asked: Counter[Stage] = Counter()
        self.over: Counter[Stage] = Counter()
        self.finals_of: Counter[str] = Counter()
        self.starved = False
        self.exhausted = False
        self.hits_in_a_row = 0
        self.most_hits_in_a_row = 0
        self.completed = 0
        self.failed = 0
        self.faults = 0
        self.last_failure = ""
        self.hits = 0
        self.chosen: Chosen | None = None
        self.clock = 0.0
        self._origins: dict[int, Origin] = {}  # by trial, one answered from the cache included
        self.useful: dict[int, tuple[float, float]] = {}

    def origin_of(self, entry: Entry) -> Origin | None:
        """What a trial continues: a resumable parent with its architecture, at a lower fidelity."""
        parent = entry.suggestion.parent
        if entry.stage is not Stage.SEARCH or parent is None:
            return None
        origin = self._origins.get(parent)
        if origin is None or origin.digest != entry.digest:
            return None
        return origin if _is_lower(origin.fidelity, entry.fidelity) else None

    def ask(self, entry: Entry) -> None:
        """A new trial; baseline and final trials are ready at once, search trials once admitted."""
        entry.origin = self.origin_of(entry)
        self.open[entry.number] = entry
        self.asked[entry.stage] += 1
        if entry.stage is Stage.FINAL:
            self.finals_of[entry.digest] += 1
        if entry.stage is not Stage.SEARCH:
            self.make_ready(entry)

    def ask_nothing(self, *, exhausted: bool) -> None:
        """The searcher gave nothing."""
        self.starved = True
        self.exhausted = self.exhausted or exhausted

    def make_ready(self, entry: Entry) -> None:
        """To be evaluated without a look into the cache."""
        entry.state = State.READY
        self.ready.append(entry)

    def admit(self, entry: Entry, key: CacheKey) -> Hit | Pending | Miss:
        """Looks a search trial up in the cache."""
        entry.key = key
        answer = self.cache.reserve(key, entry.number)
        match answer:
            case Miss():
                self.make_ready(entry)
            case Pending():
                entry.state = State.WAITING
                self.waiting += 1
            case Hit(holder, evaluation):
                self._answer(entry, holder, evaluation)
        return answer

    def start(self, entry: Entry) -> None:
        """Given to an executor; taken from the front of `ready`, where it stands."""
        if self.ready and self.ready[0] is entry:
            self.ready.popleft()
        elif entry in self.ready:
            self.ready.remove(entry)
        entry.state = State.RUNNING
        self.running += 1

    def evaluate(self, entry: Entry, evaluation: Evaluation, clock: float) -> None:
        """Its own evaluation ended: those that wait for it are answered, or the first of them promoted."""
        self.clock = max(self.clock, clock)
        self.running -= 1
        self._count(evaluation)
        if entry.stage is not Stage.SEARCH:
            self._end(entry)
            return
        self.hits_in_a_row = 0
        self._evaluated(entry, evaluation)
        if entry.key is not None:
            self._settle(entry, entry.key, evaluation)

    def tell(self, entry: Entry, clock: float) -> None:
        """Told to the searcher; the trial is over."""
        self.clock = max(self.clock, clock)
        self.untold.remove(entry)
        self.starved = self.exhausted
        self._end(entry)

    def recover(self) -> list[Entry]:
        """After a replay: running trials become the first ready ones; returns those not admitted yet."""
        lost = [entry for entry in self.open.values() if entry.state is State.RUNNING]
        for entry in lost:
            entry.state = State.READY
        self.ready.extendleft(reversed(lost))
        self.running = 0
        return [entry for entry in self.open.values() if entry.state is State.ASKED]

    def _count(self, evaluation: Evaluation) -> None:
        if evaluation.ok:
            self.completed += 1
            return
        self.failed += 1
        self.last_failure = evaluation.reason or evaluation.status.value
        self.faults += self.last_failure.startswith(_FAULT)

    def _settle(self, entry: Entry, key: CacheKey, evaluation: Evaluation) -> None:
        if evaluation.ok:
            for number in self.cache.commit(key, evaluation):
                self.waiting -= 1
                self._answer(self.open[number], entry.number, evaluation)
            return
        promoted = self.cache.fail(key)
        if promoted is not None:
            self.waiting -= 1
            self.make_ready(self.open[promoted])
            self.open[promoted].state = State.PROMOTED

    def _answer(self, entry: Entry, holder: int, evaluation: Evaluation) -> None:
        entry.cached_from = holder
        self.hits += 1
        self.hits_in_a_row += 1
        self.most_hits_in_a_row = max(self.most_hits_in_a_row, self.hits_in_a_row)
        self._evaluated(entry, replace(evaluation, cost_seconds=0.0))

    def _evaluated(self, entry: Entry, evaluation: Evaluation) -> None:
        entry.state = State.EVALUATED
        entry.evaluation = evaluation
        self.untold.append(entry)
        key = rank(self._objective, evaluation.values, entry.fidelity) if evaluation.ok else None
        self._note_origin(entry, key)
        if key is None or (self.chosen is not None and self.chosen.order <= (key, entry.number)):
            return
        value = evaluation.values[self._objective.name]
        self.chosen = Chosen((key, entry.number), entry.suggestion, entry.digest, value)

    def _note_origin(self, entry: Entry, order: tuple[float, float] | None) -> None:
        """Keeps in mind what others may continue; what this one continued is used up."""
        if entry.origin is not None:
            self.useful.pop(entry.origin.trial, None)
        if not entry.suggestion.resumable or order is None:
            return
        if entry.cached_from is None:
            self._origins[entry.number] = Origin(entry.number, entry.digest, entry.fidelity, entry.seed)
            self.useful[entry.number] = order
        elif entry.cached_from in self._origins:
            self._origins[entry.number] = self._origins[entry.cached_from]

    def _end(self, entry: Entry) -> None:
        del self.open[entry.number]
        self.over[entry.stage] += 1


def _is_lower(one: Fidelity | None, other: Fidelity | None) -> bool:
    if one is None or other is None:
        return one is not None
    return one.name == other.name and one.value < other.value
