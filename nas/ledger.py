"""The state of a running study, changed by its events alone: Ledger.

The loop and the replay of a log make the same calls in the same order, so a continued study stands
exactly where the interrupted one stood. Nothing here asks, evaluates or writes.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace

from nas.cache import CacheKey, FunctionalCache, Hashed, Hit, Miss, Partial, Pending
from nas.entry import NEEDED, Chosen, Entry, Origin, State
from nas.errors import ConfigError, EvaluationError, StoreError
from nas.evaluation import Evaluation, Fidelity, Objective, Stage, Status
from nas.executor import Planned
from nas.hash_jobs import Memo
from nas.store import rank

# How executors word what an evaluator raised on purpose: the set-up is at fault, not the candidate.
_ON_PURPOSE = frozenset({EvaluationError.__name__, ConfigError.__name__, StoreError.__name__})
# What a mistake in the code raises. Other exceptions are a way to refuse a candidate, such as ValueError.
_MISTAKES = frozenset(
    {
        *("NameError", "UnboundLocalError", "ImportError", "ModuleNotFoundError", "TypeError"),
        *("AttributeError", "SyntaxError", "IndentationError", "TabError", "NotImplementedError"),
        *("KeyError", "IndexError", "FileNotFoundError", "NotADirectoryError", "IsADirectoryError"),
        "PermissionError",
    }
)


class Ledger:
    """Counts, queues and the chosen trial of a study.

    Memory grows with open trials, resumable ones, cache keys and what the memo holds only.

    Args:
        objective: the one that chooses.
        cache: empty.

    Attributes:
        memo: what workers hashed.
        open: trials that are not over, by number.
        ready: trials to start, in order.
        untold: trials to tell the searcher, in order.
        in_flight: trials that an executor evaluates or hashes, by number, in the order of their starts.
        running: number of trials that an executor evaluates.
        hashing: number of trials that an executor hashes.
        waiting: number of trials that wait for an equal one.
        asked: number of asked trials of each stage.
        over: number of trials of each stage that are over.
        starved: the searcher gave nothing since it was last told something.
        exhausted: the searcher has nothing left, now and later.
        completed: number of evaluations that did.
        failed: number of evaluations that did not.
        faults: those among them that the evaluator could not carry out, whatever the candidate: refusals on
            purpose, and mistakes in the code that were the same from the first evaluation on.
        last_failure: reason of the latest one.
        work_failure: reason of the latest work that failed.
        hits: search trials answered from the cache, those that waited included.
        waits: search trials that had to wait for an equal one.
        misses: search trials that were looked up and are evaluated, those without a digest included.
        unhashed: those without a digest.
        seconds_saved: cost of the evaluations in place of which the cache answered.
        hash_seconds: of workers.
        hits_in_a_row: search trials answered from the cache since the last evaluation of one.
        most_hits_in_a_row: never falls, so that a search that it ended does not begin again.
        clock: latest moment in the events, in seconds on the executor's clock.
        useful: evaluated trials whose state may still be continued, with their ranks.
    """

    def __init__(self, objective: Objective, cache: FunctionalCache | None = None) -> None:
        self._objective = objective
        self.cache = FunctionalCache() if cache is None else cache
        self.memo = Memo()
        self.open: dict[int, Entry] = {}
        self.ready: deque[Entry] = deque()
        self.untold: deque[Entry] = deque()
        self.in_flight: dict[int, Entry] = {}
        self.running = 0
        self.hashing = 0
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
        self._mistaken: set[str] = set()  # digests of candidates that met the same mistake
        self.last_failure = ""
        self.work_failure = ""
        self.hits = 0
        self.waits = 0
        self.misses = 0
        self.unhashed = 0
        self.seconds_saved = 0.0
        self.hash_seconds = 0.0
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

    def make_hashable(self, entry: Entry) -> None:
        """To be hashed by a worker."""
        entry.state = State.UNHASHED
        self.ready.append(entry)

    def hash(self, entry: Entry, hashed: Hashed, seconds: float, clock: float) -> None:
        """A worker hashed it, or failed to; to be looked up."""
        if entry.state is State.HASHING:
            self.hashing -= 1
            del self.in_flight[entry.number]
        entry.state, entry.hashed = State.HASHED, hashed
        self.memo.add(entry.digest, hashed)
        self.hash_seconds += seconds
        self.clock = max(self.clock, clock)

    def bypass(self, entry: Entry) -> None:
        """A search trial without a digest, to be evaluated whatever is in the cache."""
        self.misses += 1
        self.unhashed += 1
        self.make_ready(entry)

    def admit(self, entry: Entry, key: CacheKey) -> Hit | Pending | Partial | Miss:
        """Looks a search trial up in the cache."""
        entry.key = key
        answer = self.cache.reserve(key, entry.number)
        match answer:
            case Miss() | Partial():
                self.misses += 1
                self.make_ready(entry)
            case Pending():
                entry.state = State.WAITING
                self.waiting += 1
                self.waits += 1
            case Hit():
                self._answer(entry, answer)
        return answer

    def start(self, entry: Entry, plan: Planned | None = None, *, hashing: bool = False) -> None:
        """Given to an executor; taken from the front of `ready`, where it stands.

        A trial that is not hashed yet, or is said to be hashed, is hashed, any other one evaluated.
        """
        entry.plan = plan
        if self.in_flight.pop(entry.number, None) is not None:  # lost, and begun once more by another session
            self._give_up(entry)
        if hashing:
            entry.state = State.UNHASHED
        self.in_flight[entry.number] = entry
        if self.ready and self.ready[0] is entry:
            self.ready.popleft()
        elif entry in self.ready:
            self.ready.remove(entry)
        if entry.state is State.UNHASHED:
            entry.state = State.HASHING
            self.hashing += 1
            return
        entry.state = State.RUNNING
        self.running += 1

    def evaluate(self, entry: Entry, evaluation: Evaluation, clock: float) -> None:
        """Its own evaluation ended: those that wait for it are answered, or the first of them promoted."""
        self.clock = max(self.clock, clock)
        self.running -= 1
        del self.in_flight[entry.number]
        self._count(entry, evaluation)
        if entry.stage is Stage.SUPERNET:
            self._worked(entry, evaluation)
            return
        if entry.stage is not Stage.SEARCH:
            self._end(entry)
            return
        self.hits_in_a_row = 0
        if entry.key is None:
            self._evaluated(entry, evaluation)
        elif evaluation.ok:
            self._commit(entry, entry.key, evaluation)
        else:
            self._evaluated(entry, evaluation)
            self._promote(entry, entry.key)

    def tell(self, entry: Entry, clock: float) -> None:
        """Told to the searcher; the trial is over."""
        self.clock = max(self.clock, clock)
        self.untold.remove(entry)
        self.starved = self.exhausted
        self._end(entry)

    def recover(self, *, lost: bool = True) -> list[Entry]:
        """After a replay; returns the trials that are not admitted yet.

        Args:
            lost: whether what was in flight is: evaluations become the first ready trials, and trials that
                were hashed are admitted again.
        """
        if lost:
            given_up = [entry for entry in self.open.values() if entry.number in self.in_flight]
            for entry in given_up:
                self._give_up(entry)
            self.ready.extendleft(entry for entry in reversed(given_up) if entry.state is State.READY)
            self.in_flight.clear()
        return [entry for entry in self.open.values() if entry.state in (State.ASKED, State.HASHED)]

    def _give_up(self, entry: Entry) -> None:
        """Nobody evaluates or hashes it any more."""
        if entry.state is State.HASHING:
            entry.state, self.hashing = State.ASKED, self.hashing - 1
        else:
            entry.state, self.running = State.READY, self.running - 1

    def _count(self, entry: Entry, evaluation: Evaluation) -> None:
        if evaluation.ok:
            self.completed += 1
            return
        self.failed += 1
        before, self.last_failure = self.last_failure, evaluation.reason or evaluation.status.value
        kind = self.last_failure.partition(":")[0]
        same = self.failed == 1 or self.last_failure == before
        if evaluation.status is not Status.ERROR or self.completed:
            return
        if kind in _ON_PURPOSE:
            self.faults += 1
        elif kind in _MISTAKES and same:
            self.faults += 1
            self._mistaken.add(entry.digest)

    def is_hopeless(self, faults: int) -> bool:
        """Whether nothing completed and so many evaluations, all of them, failed whatever the candidate."""
        return not self.completed and self.failed == self.faults >= faults and len(self._mistaken) != 1

    def _commit(self, entry: Entry, key: CacheKey, evaluation: Evaluation) -> None:
        """The searcher is told the mean of the class so far, and so are those that waited, if it is full."""
        settled = self.cache.commit(key, entry.number, evaluation)
        mean = settled.mean
        if mean.evaluations > 1:
            entry.evaluations = mean.evaluations
            evaluation = replace(evaluation, values=mean.evaluation.values)
        self._evaluated(entry, evaluation)
        for number in settled.waiting:
            self.waiting -= 1
            waiter = self.open[number]
            waiter.dropped = number == settled.dropped_by
            self._answer(waiter, mean)

    def _promote(self, entry: Entry, key: CacheKey) -> None:
        """The first that waited for a failed trial is evaluated itself."""
        found = self.cache.fail(key, entry.number)
        if found is None:
            return
        number, answer = found
        promoted = self.open[number]
        self.waiting -= 1
        self.misses += 1
        self.make_ready(promoted)
        promoted.state, promoted.promoted = State.PROMOTED, answer

    def _answer(self, entry: Entry, hit: Hit) -> None:
        entry.cached_from, entry.evaluations = hit.holder, hit.evaluations
        self.hits += 1
        self.seconds_saved += hit.evaluation.cost_seconds
        self.hits_in_a_row += 1
        self.most_hits_in_a_row = max(self.most_hits_in_a_row, self.hits_in_a_row)
        self._evaluated(entry, replace(hit.evaluation, cost_seconds=0.0))

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

    def _worked(self, entry: Entry, evaluation: Evaluation) -> None:
        """Work is told and chosen by nobody; its state replaces the one that it continued."""
        entry.state, entry.evaluation = State.EVALUATED, evaluation
        self.untold.append(entry)
        if not evaluation.ok:
            self.work_failure = self.last_failure
        if entry.suggestion.resumable and evaluation.ok:
            self.useful.pop(entry.suggestion.parent or 0, None)
            self.useful[entry.number] = NEEDED

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
