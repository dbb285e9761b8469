"""The state of a running study, changed by its events alone: StudyState.

The loop and the replay of a log make the same calls in the same order, so a continued study stands
exactly where the interrupted one stood. Nothing here asks, evaluates or writes.

A trial that is not over is a `PendingTrial`. How far a study is and how long it will take follows from its
state and its plan in O(1). `TrialQueue` says what comes next, and tells the searcher what has ended.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from nas.errors import ConfigError, EvaluationError, StoreError
from nas.evaluation import FIRST_TRIAL, Completed, Evaluation, Fidelity, Objective, Planned, Stage, Status
from nas.space import sample
from nas.study.cache import (
    CacheKey,
    FunctionalCache,
    Hashed,
    Hasher,
    Hit,
    Memo,
    Miss,
    Partial,
    Pending,
    hash_of,
    hashed_of,
)
from nas.study.plan import Budget, Plan, baseline_rng, trial_seed
from nas.study.provenance import fidelity_to_json
from nas.study.record import rank
from nas.study.searcher import Searcher, SearchFinished, Suggestion, Trial, propose, tell
from nas.study.study_log import Progress, StudyLog

if TYPE_CHECKING:
    from nas.space import SearchSpace


NEEDED = (-math.inf, -math.inf)  # rank of a state without which a search cannot go on


class TrialPhase(Enum):
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
class PendingTrial:
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
    state: TrialPhase = TrialPhase.ASKED
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


class StudyState:
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
        self.open: dict[int, PendingTrial] = {}
        self.ready: deque[PendingTrial] = deque()
        self.untold: deque[PendingTrial] = deque()
        self.in_flight: dict[int, PendingTrial] = {}
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

    def origin_of(self, entry: PendingTrial) -> Origin | None:
        """What a trial continues: a resumable parent with its architecture, at a lower fidelity."""
        parent = entry.suggestion.parent
        if entry.stage is not Stage.SEARCH or parent is None:
            return None
        origin = self._origins.get(parent)
        if origin is None or origin.digest != entry.digest:
            return None
        return origin if _is_lower(origin.fidelity, entry.fidelity) else None

    def ask(self, entry: PendingTrial) -> None:
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

    def make_ready(self, entry: PendingTrial) -> None:
        """To be evaluated without a look into the cache."""
        entry.state = TrialPhase.READY
        self.ready.append(entry)

    def make_hashable(self, entry: PendingTrial) -> None:
        """To be hashed by a worker."""
        entry.state = TrialPhase.UNHASHED
        self.ready.append(entry)

    def hash(self, entry: PendingTrial, hashed: Hashed, seconds: float, clock: float) -> None:
        """A worker hashed it, or failed to; to be looked up."""
        if entry.state is TrialPhase.HASHING:
            self.hashing -= 1
            del self.in_flight[entry.number]
        entry.state, entry.hashed = TrialPhase.HASHED, hashed
        self.memo.add(entry.digest, hashed)
        self.hash_seconds += seconds
        self.clock = max(self.clock, clock)

    def bypass(self, entry: PendingTrial) -> None:
        """A search trial without a digest, to be evaluated whatever is in the cache."""
        self.misses += 1
        self.unhashed += 1
        self.make_ready(entry)

    def admit(self, entry: PendingTrial, key: CacheKey) -> Hit | Pending | Partial | Miss:
        """Looks a search trial up in the cache."""
        entry.key = key
        answer = self.cache.reserve(key, entry.number)
        match answer:
            case Miss() | Partial():
                self.misses += 1
                self.make_ready(entry)
            case Pending():
                entry.state = TrialPhase.WAITING
                self.waiting += 1
                self.waits += 1
            case Hit():
                self._answer(entry, answer)
        return answer

    def start(self, entry: PendingTrial, plan: Planned | None = None, *, hashing: bool = False) -> None:
        """Given to an executor; taken from the front of `ready`, where it stands.

        A trial that is not hashed yet, or is said to be hashed, is hashed, any other one evaluated.
        """
        entry.plan = plan
        if self.in_flight.pop(entry.number, None) is not None:  # lost, and begun once more by another session
            self._give_up(entry)
        if hashing:
            entry.state = TrialPhase.UNHASHED
        self.in_flight[entry.number] = entry
        if self.ready and self.ready[0] is entry:
            self.ready.popleft()
        elif entry in self.ready:
            self.ready.remove(entry)
        if entry.state is TrialPhase.UNHASHED:
            entry.state = TrialPhase.HASHING
            self.hashing += 1
            return
        entry.state = TrialPhase.RUNNING
        self.running += 1

    def evaluate(self, entry: PendingTrial, evaluation: Evaluation, clock: float) -> None:
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

    def tell(self, entry: PendingTrial, clock: float) -> None:
        """Told to the searcher; the trial is over."""
        self.clock = max(self.clock, clock)
        self.untold.remove(entry)
        self.starved = self.exhausted
        self._end(entry)

    def recover(self, *, lost: bool = True) -> list[PendingTrial]:
        """After a replay; returns the trials that are not admitted yet.

        Args:
            lost: whether what was in flight is: evaluations become the first ready trials, and trials that
                were hashed are admitted again.
        """
        if lost:
            given_up = [entry for entry in self.open.values() if entry.number in self.in_flight]
            for entry in given_up:
                self._give_up(entry)
            self.ready.extendleft(entry for entry in reversed(given_up) if entry.state is TrialPhase.READY)
            self.in_flight.clear()
        return [entry for entry in self.open.values() if entry.state in (TrialPhase.ASKED, TrialPhase.HASHED)]

    def _give_up(self, entry: PendingTrial) -> None:
        """Nobody evaluates or hashes it any more."""
        if entry.state is TrialPhase.HASHING:
            entry.state, self.hashing = TrialPhase.ASKED, self.hashing - 1
        else:
            entry.state, self.running = TrialPhase.READY, self.running - 1

    def _count(self, entry: PendingTrial, evaluation: Evaluation) -> None:
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

    def _commit(self, entry: PendingTrial, key: CacheKey, evaluation: Evaluation) -> None:
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

    def _promote(self, entry: PendingTrial, key: CacheKey) -> None:
        """The first that waited for a failed trial is evaluated itself."""
        found = self.cache.fail(key, entry.number)
        if found is None:
            return
        number, answer = found
        promoted = self.open[number]
        self.waiting -= 1
        self.misses += 1
        self.make_ready(promoted)
        promoted.state, promoted.promoted = TrialPhase.PROMOTED, answer

    def _answer(self, entry: PendingTrial, hit: Hit) -> None:
        entry.cached_from, entry.evaluations = hit.holder, hit.evaluations
        self.hits += 1
        self.seconds_saved += hit.evaluation.cost_seconds
        self.hits_in_a_row += 1
        self.most_hits_in_a_row = max(self.most_hits_in_a_row, self.hits_in_a_row)
        self._evaluated(entry, replace(hit.evaluation, cost_seconds=0.0))

    def _evaluated(self, entry: PendingTrial, evaluation: Evaluation) -> None:
        entry.state = TrialPhase.EVALUATED
        entry.evaluation = evaluation
        self.untold.append(entry)
        key = rank(self._objective, evaluation.values, entry.fidelity) if evaluation.ok else None
        self._note_origin(entry, key)
        if key is None or (self.chosen is not None and self.chosen.order <= (key, entry.number)):
            return
        value = evaluation.values[self._objective.name]
        self.chosen = Chosen((key, entry.number), entry.suggestion, entry.digest, value)

    def _worked(self, entry: PendingTrial, evaluation: Evaluation) -> None:
        """Work is told and chosen by nobody; its state replaces the one that it continued."""
        entry.state, entry.evaluation = TrialPhase.EVALUATED, evaluation
        self.untold.append(entry)
        if not evaluation.ok:
            self.work_failure = self.last_failure
        if entry.suggestion.resumable and evaluation.ok:
            self.useful.pop(entry.suggestion.parent or 0, None)
            self.useful[entry.number] = NEEDED

    def _note_origin(self, entry: PendingTrial, order: tuple[float, float] | None) -> None:
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

    def _end(self, entry: PendingTrial) -> None:
        del self.open[entry.number]
        self.over[entry.stage] += 1


def _is_lower(one: Fidelity | None, other: Fidelity | None) -> bool:
    if one is None or other is None:
        return one is not None
    return one.name == other.name and one.value < other.value


# A searcher without a limit on trials that proposes only what is known would never end, as cached
# answers take no time on a simulated clock.
_MAX_HITS_IN_A_ROW = 10_000


def search_is_over(ledger: StudyState, budget: Budget, clock: float) -> bool:
    """Whether no search trial will be asked any more; some may still be in flight."""
    if budget.trials is None and ledger.most_hits_in_a_row >= _MAX_HITS_IN_A_ROW:
        return True
    return (
        ledger.exhausted
        or (budget.trials is not None and ledger.asked[Stage.SEARCH] >= budget.trials)
        or (budget.seconds is not None and clock >= budget.seconds)
    )


def search_is_settled(ledger: StudyState, budget: Budget, clock: float) -> bool:
    """Whether every search trial there will be was told: the choice is made."""
    told = all(ledger.asked[stage] == ledger.over[stage] for stage in (Stage.SEARCH, Stage.SUPERNET))
    return told and search_is_over(ledger, budget, clock)


def is_complete(ledger: StudyState, plan: Plan, clock: float) -> bool:
    """Whether everything planned is done."""
    return (
        not ledger.open
        and search_is_settled(ledger, plan.budget, clock)
        and ledger.asked[Stage.BASELINE] >= plan.baseline
        and (ledger.chosen is None or ledger.finals_of[ledger.chosen.digest] >= plan.final)
    )


def progress(ledger: StudyState, plan: Plan, clock: float) -> Progress:
    """What observers are shown."""
    over = search_is_over(ledger, plan.budget, clock)
    search = ledger.asked[Stage.SEARCH] if over else plan.budget.trials
    others = _planned_others(ledger, plan, over)
    done = sum(ledger.over.values())
    chosen = ledger.chosen
    return Progress(
        stage=_stage(ledger, plan, over).value,
        done=done,
        total=None if search is None else search + others,
        in_flight=ledger.running,
        failed=ledger.failed,
        cache_hits=ledger.hits,
        best=None if chosen is None else chosen.value,
        best_trial=None if chosen is None else chosen.number,
        elapsed=clock,
        time_left=_time_left(ledger, plan, clock, search, others),
        cache_waits=ledger.waits,
        cache_misses=ledger.misses,
        unhashed=ledger.unhashed,
        seconds_saved=ledger.seconds_saved,
        hash_seconds=ledger.hash_seconds,
    )


def _stage(ledger: StudyState, plan: Plan, over: bool) -> Stage:
    if not over or ledger.over[Stage.SEARCH] < ledger.asked[Stage.SEARCH]:
        return Stage.SEARCH
    return Stage.BASELINE if ledger.over[Stage.BASELINE] < plan.baseline else Stage.FINAL


def _planned_others(ledger: StudyState, plan: Plan, over: bool) -> int:
    """Baseline trials and final ones, those of earlier choices included."""
    chosen, finals = ledger.chosen, ledger.asked[Stage.FINAL]
    if chosen is not None:
        finals += max(0, plan.final - ledger.finals_of[chosen.digest])
    elif not over:
        finals += plan.final
    return max(plan.baseline, ledger.asked[Stage.BASELINE]) + finals + ledger.asked[Stage.SUPERNET]


def _time_left(ledger: StudyState, plan: Plan, clock: float, search: int | None, others: int) -> float | None:
    """At the rate of the trials so far, which covers parallel work, cache hits and downtime of workers."""
    done = sum(ledger.over.values())
    if done == 0:
        return None
    rate = clock / done
    limits = [] if search is None else [(search - ledger.over[Stage.SEARCH]) * rate]
    if plan.budget.seconds is not None:
        limits.append(max(0.0, plan.budget.seconds - clock))
    others_left = others - sum(ledger.over[stage] for stage in Stage if stage is not Stage.SEARCH)
    return min(limits) + others_left * rate


@dataclass(eq=False, slots=True)
class TrialQueue:
    """Asks for search trials, looks them up in the cache, tells their ends; adds baseline and final trials.

    Attributes:
        hasher: what makes two search trials equal; None for no cache.
        evaluator: its fingerprint.
        check_hashing: called with what the hasher said of each architecture; raises if it is of no use.
    """

    space: SearchSpace
    searcher: Searcher
    plan: Plan
    ledger: StudyState
    journal: StudyLog
    hasher: Hasher | None
    evaluator: str
    check_hashing: Callable[[Hashed], None]
    _same: dict[str, list[PendingTrial]] = field(
        default_factory=dict
    )  # those whose text a worker hashes for another

    def next(self, capacity: int) -> PendingTrial | None:
        """The trial to start next, asked for if necessary; None while there is none.

        Search trials come first, baseline trials fill what the searcher leaves, final trials begin when
        every search trial was told.

        Args:
            capacity: of the executor; no more trials than that wait for equal ones, so that a searcher
                that repeats itself does not use up its budget while the first copy is evaluated.
        """
        ledger = self.ledger
        while not ledger.ready and self._may_ask(capacity):
            asked = self._ask()
            if asked is not None and asked.stage is Stage.SEARCH:
                self._admit(asked)
        if not ledger.ready:
            self._add_baseline_or_final()
        return ledger.ready[0] if ledger.ready else None

    def confirm_miss(self, entry: PendingTrial) -> None:
        """Logs that a trial whose equal one failed is to be evaluated itself."""
        if entry.state is TrialPhase.PROMOTED:
            answer = entry.promoted or Miss()
            self._write_cached(entry, answer.outcome, answer.holder)

    def take_hash(self, completed: Completed) -> None:
        """Logs what a worker's hash found and looks the trial up, and those of the same text."""
        entry = self.ledger.open[completed.task.trial]
        hashed = hashed_of(completed.evaluation)
        if not hashed.passing:
            self.check_hashing(hashed)
        moments = [self.journal.moment(seconds) for seconds in (completed.started, completed.finished)]
        self._note_hash(entry, hashed, completed.worker, *moments)
        for other in self._same.pop(entry.digest, ()):
            self._admit(other)

    def tell_all(self) -> None:
        """Tells the searcher every trial that ended and was not told."""
        while self.ledger.untold:
            entry = self.ledger.untold[0]
            clock = self.journal.clock()
            told: dict[str, Any] = {"cached_from": entry.cached_from, "clock": clock}
            if entry.evaluations > 1 or entry.dropped:
                told |= _mean_told(entry)
            event = self.journal.write("told", trial=entry.number, **told)
            self.ledger.tell(entry, clock)
            tell(self.searcher, entry.trial())
            self.journal.show(event)

    def catch_up(self, *, lost: bool = True) -> None:
        """What an interrupted session had begun: tells, then the cache; its trials are ready again.

        Args:
            lost: whether what was in flight is; otherwise it still is.
        """
        not_admitted = self.ledger.recover(lost=lost)
        hashing = (entry for entry in self.ledger.in_flight.values() if entry.state is TrialPhase.HASHING)
        self._same = {entry.digest: [] for entry in hashing}
        self.tell_all()
        for entry in not_admitted:
            self._admit(entry)

    def _may_ask(self, capacity: int) -> bool:
        ledger = self.ledger
        parked = sum(map(len, self._same.values())) if self._same else 0
        if ledger.starved or ledger.waiting + parked >= capacity:
            return False
        return not search_is_over(ledger, self.plan.budget, self.journal.clock())

    def _ask(self) -> PendingTrial | None:
        """One search trial; one suggestion at a time, so that each line of the log is one call."""
        exhausted, given = False, None
        try:
            given = propose(self.searcher, self.space)
        except SearchFinished:
            exhausted = True
        if given is not None:
            return self._enter(Stage.SEARCH if given.work is None else Stage.SUPERNET, given)
        event = self.journal.write("asked", trial=None, stage=Stage.SEARCH, exhausted=exhausted)
        self.ledger.ask_nothing(exhausted=exhausted)
        self.journal.show(event)
        return None

    def _enter(self, stage: Stage, suggestion: Suggestion) -> PendingTrial:
        """Gives a suggestion its number and its seed."""
        architecture = suggestion.architecture
        number = FIRST_TRIAL[stage] + self.ledger.asked[stage]
        fidelity = suggestion.fidelity
        if stage is Stage.SEARCH:
            fidelity = fidelity or self.plan.search_fidelity
        entry = PendingTrial(number, suggestion, stage, architecture.digest(), fidelity)
        entry.origin = self.ledger.origin_of(entry)
        entry.seed = entry.origin.seed if entry.origin else trial_seed(self.plan.seed, number)
        event = self.journal.write(
            "asked",
            trial=number,
            stage=stage,
            architecture=architecture.text,
            digest=entry.digest,
            decisions=architecture.to_json(),
            fidelity=fidelity_to_json(fidelity),
            seed=entry.seed,
            parent=suggestion.parent,
            info=dict(suggestion.info),
            resumable=suggestion.resumable,
        )
        self.ledger.ask(entry)
        self.journal.show(event)
        return entry

    def _admit(self, entry: PendingTrial) -> None:
        """Looks a search trial up in the cache; then it is ready, waits, is told or to be hashed first."""
        if self.hasher is None:
            self.ledger.make_ready(entry)
        elif entry.hashed is not None:  # by an interrupted session
            self._look_up(entry, entry.hashed)
        elif self.hasher.in_worker:
            self._hash_once(entry)
        else:
            hashed = hash_of(self.hasher, entry.suggestion.architecture)
            self.check_hashing(hashed)
            self._look_up(entry, hashed)

    def _hash_once(self, entry: PendingTrial) -> None:
        """Leaves the hash to a worker, unless one found it before or is at it."""
        known = self.ledger.memo.get(entry.digest)
        if known is not None:
            clock = self.journal.clock()
            self._note_hash(entry, known, None, clock, clock)
        elif entry.digest in self._same:
            self._same[entry.digest].append(entry)
        else:
            self._same[entry.digest] = []
            self.ledger.make_hashable(entry)

    def _note_hash(
        self, entry: PendingTrial, hashed: Hashed, worker: str | None, started: float, finished: float
    ) -> None:
        seconds = max(finished - started, 0.0)
        event = self.journal.write(
            "hashed",
            trial=entry.number,
            digest=hashed.digest,
            settings=hashed.settings,
            reason=hashed.reason,
            seconds=seconds,
            worker=worker,
            started=started,
            finished=finished,
            **({"passing": True} if hashed.passing else {}),
        )
        self.ledger.hash(entry, hashed, seconds, finished)
        self.journal.show(event)
        self._look_up(entry, hashed)

    def _look_up(self, entry: PendingTrial, hashed: Hashed) -> None:
        if hashed.digest is None:
            self.ledger.bypass(entry)
            self._write_cached(entry, "miss", None, reason=hashed.reason)
            return
        key = CacheKey(hashed.digest, hashed.settings, entry.fidelity, self.evaluator)
        answer = self.ledger.admit(entry, key)
        self._write_cached(entry, answer.outcome, answer.holder, dropped=answer.dropped)
        self.tell_all()

    def _write_cached(
        self, entry: PendingTrial, outcome: str, holder: int | None, *, dropped: bool = False, **more: Any
    ) -> None:
        parts = None if entry.key is None else [entry.key.functional, entry.key.settings]
        event = self.journal.write(
            "cached", trial=entry.number, outcome=outcome, holder=holder, key=parts, dropped=dropped, **more
        )
        self.journal.show(event)

    def _add_baseline_or_final(self) -> None:
        ledger, plan = self.ledger, self.plan
        index = ledger.asked[Stage.BASELINE]
        if index < plan.baseline:
            self._enter(Stage.BASELINE, Suggestion(sample(self.space, baseline_rng(plan.seed, index))))
            return
        chosen = ledger.chosen
        if chosen is None or ledger.finals_of[chosen.digest] >= plan.final:
            return
        if search_is_settled(ledger, plan.budget, self.journal.clock()):
            self._enter(Stage.FINAL, Suggestion(chosen.suggestion.architecture, parent=chosen.number))


def _mean_told(entry: PendingTrial) -> dict[str, Any]:
    """What a `told` line says beyond the trial's own evaluation and its holder's."""
    said: dict[str, Any] = {}
    if entry.evaluations > 1 and entry.evaluation is not None:
        said = {"evaluations": entry.evaluations, "values": dict(entry.evaluation.values)}
    return said | ({"dropped": True} if entry.dropped else {})
