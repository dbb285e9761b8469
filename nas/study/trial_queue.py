"""What comes next, and what the searcher is told: Agenda, the side of a study that faces the searcher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nas.evaluation import FIRST_TRIAL, Completed, Stage
from nas.space import sample
from nas.study.cache import CacheKey, Hashed, Hasher, Miss, hash_of, hashed_of
from nas.study.plan import Plan, baseline_rng, trial_seed
from nas.study.provenance import fidelity_to_json
from nas.study.searcher import Searcher, SearchFinished, Suggestion, propose, tell
from nas.study.state import PendingTrial, StudyState, TrialPhase, search_is_over, search_is_settled
from nas.study.study_log import StudyLog

if TYPE_CHECKING:
    from nas.space import SearchSpace


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
