"""What happened: Study, the only loop."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any

from nas.errors import ConfigError, EvaluationError, ProtocolError, StoreError, describe_error
from nas.evaluation import Completed, Evaluation, Evaluator, Executor, Stage, VirtualClock
from nas.faults import interrupts, own_code, shown
from nas.space import SearchSpace
from nas.study.cache import CachePolicy, FunctionalCache, Hashed, Hasher, HashingEvaluator
from nas.study.checkpoints import Checkpoints, TrialFiles
from nas.study.event_log import FILE_NAME, plain, read_events, taken
from nas.study.plan import Plan, forgets
from nas.study.provenance import (
    Surroundings,
    accepted,
    changed_surroundings,
    check_not_running,
    check_same_study,
    hashing_facts,
    opening,
)
from nas.study.record import evaluation_from_json, evaluation_to_json
from nas.study.replay import Replay
from nas.study.searcher import Searcher
from nas.study.state import PendingTrial, StudyState, TrialPhase, TrialQueue, is_complete, progress
from nas.study.study_log import Observer, StudyLog
from nas.study.validation import check_part, check_parts, for_data_of

_FAULTS = 3  # evaluations from the first one on that the set-up lets fail until the run is given up
_STATE_BYTES = 500_000_000  # of the states that a study keeps without being told how many
_KINDS: tuple[tuple[str, tuple[type, ...], str], ...] = (
    ("directory", (str, os.PathLike), "the path of a folder"),
    ("plan", (Plan,), "nas.Plan(seed, nas.Budget(trials=100))"),
    ("cache", (CachePolicy,), "CachePolicy(), or leave it out"),
    ("checkpoints", (Checkpoints, NoneType), "Checkpoints(FOLDER), or None for none"),
    ("config", (Mapping,), "a dict of JSON values"),
    ("searcher_name", (str,), "the name that the searcher is registered under"),
    ("searcher_options", (Mapping,), "a dict of JSON values"),
    ("hasher_options", (Mapping,), "a dict of JSON values"),
)
_DIGITS = "the same seed may have other results from now on, by rounding that grows in training"
_WAKE_SECONDS = 1.0  # the longest that a call of `stop` goes unnoticed while nothing ends


@dataclass(eq=False)
class Study:
    """One search with its random baseline and the retraining of its choice, recorded in one folder.

    Three stages share the executor's slots: search trials come first; baseline trials fill the slots
    that the searcher leaves; final trials begin when every search trial was told. A folder that holds a
    log is continued: the log is replayed, what was in flight is submitted again, nothing finished is.

    Attributes:
        searcher: fresh; a replay leads it to where it stood.
        directory: for the log and `checkpoints/`.
        plan: what to do; budget, baseline and final may grow when a study is continued.
        hasher: what makes two search trials equal; None for no cache.
        cache: how equal trials are answered.
        observers: shown each event; closed at the end.
        checkpoints: which weights of final trials to keep, and the states of search trials that others
            continue; None for no weights, and for states in `checkpoints/` only if the searcher needs them.
        config: resolved configuration, JSON values, for the log only.
        searcher_name: as registered, for the log; a log is continued with the same name and options only.
        searcher_options: JSON values.
        hasher_options: JSON values; a log is continued with the same only.
        accept: "evaluator" in it: a log is continued though its evaluator has another fingerprint, as after a
            repair. What is finished stays and answers equal trials; the log and the report say so.
    """

    space: SearchSpace
    searcher: Searcher
    evaluator: Evaluator
    executor: Executor
    _: KW_ONLY
    directory: Path
    plan: Plan
    hasher: Hasher | None = None
    cache: CachePolicy = field(default_factory=CachePolicy)
    observers: Sequence[Observer] = ()
    checkpoints: Checkpoints | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    searcher_name: str = ""
    searcher_options: Mapping[str, Any] = field(default_factory=dict)
    hasher_options: Mapping[str, Any] = field(default_factory=dict)
    accept: Collection[str] = ()

    def __post_init__(self) -> None:
        self._check_parts()
        self.directory = Path(self.directory)
        with own_code("evaluator", "its fingerprint", kind=ConfigError):
            self._fingerprint = self.evaluator.fingerprint()
        if not isinstance(self._fingerprint, str):
            raise ConfigError(
                f"evaluator: expected fingerprint() to return a text, got {shown(self._fingerprint)}; "
                "return a digest of everything that a result depends on"
            )
        self.hasher = for_data_of(self.evaluator, self.hasher)
        if self.checkpoints is None and self.searcher.needs_states:
            self.checkpoints = Checkpoints(self.directory / "checkpoints", keep=0, max_bytes=_STATE_BYTES)
        objective = self.evaluator.objectives[0]
        forgotten = partial(forgets, self.plan.seed, self.cache.forget)
        self._ledger = StudyState(objective, FunctionalCache(self.cache, forgotten))
        self._custody = TrialFiles(self.checkpoints, self._ledger, self.plan, objective)
        look = partial(progress, self._ledger, self.plan)
        self._journal = StudyLog(self.executor, self.observers, look)
        self._agenda = TrialQueue(
            self.space,
            self.searcher,
            self.plan,
            self._ledger,
            self._journal,
            self.hasher,
            self._fingerprint,
            self._check_hashing,
        )
        self._hash_faults = 0
        self._surroundings = Surroundings()
        self._stopping = False
        self._began = False
        self._last: Evaluation | None = None  # that ended in this session

    def _check_parts(self) -> None:
        """Refuses parts of other types, in a line each, before anything is read or written."""
        check_part(SearchSpace, self.space, "space")
        check_part(Searcher, self.searcher, "searcher")
        check_part(Evaluator, self.evaluator, "evaluator")
        check_part(Executor, self.executor, "executor")
        if self.hasher is not None:
            check_part(Hasher, self.hasher, "hasher")
        if isinstance(self.observers, str) or not isinstance(self.observers, Sequence):
            raise ConfigError(
                f"Study.observers: expected a list of observers, got {shown(self.observers)}; give [OBSERVER]"
            )
        for number, observer in enumerate(self.observers):
            check_part(Observer, observer, f"Study.observers[{number}]")
        for name, kinds, remedy in _KINDS:
            value = getattr(self, name)
            if isinstance(value, type) or not isinstance(value, kinds):
                raise ConfigError(
                    f"Study.{name}: expected {' or '.join(each.__name__ for each in kinds)}, got "
                    f"{shown(value)}; give {remedy}"
                )

    def stop(self) -> None:
        """Ends `run` soon: what is in flight is given up and submitted again when the study is continued."""
        self._stopping = True

    @property
    def finished(self) -> bool:
        """Whether everything planned is done."""
        return self._is_complete()

    def check(self) -> None:
        """Reads and replays the log that is there, if any, as `run` would; starts and writes nothing.

        The searcher is led to where it stood, so that a study which was checked is not run.

        Raises:
            ConfigError: space, searcher, evaluator and plan do not fit one another.
            StoreError: the log belongs to another study, or is damaged.
        """
        check_parts(self.space, self.searcher, self.evaluator, self.plan)
        with contextlib.closing(self._journal):
            self._replay()

    def run(self) -> None:
        """Runs or continues the study until everything planned is done or `stop` is called.

        Raises:
            ConfigError: space, searcher, evaluator and plan do not fit one another; nothing is written then.
            StoreError: the log belongs to another study, is damaged or cannot be written.
            ProtocolError: it ran before; or the searcher raises, or gives nothing and waits for nothing.
            EvaluationError: the evaluator could carry out none of the first evaluations, or, once
                everything is done, none completed; its notes have the last lines of a traceback.
            KeyboardInterrupt: from the user, or from an evaluation in this process.
        """
        if self._began:
            raise ProtocolError(
                f"{self.directory}: expected a study that has not run, got a second run(); make another "
                "Study with a fresh searcher and the same directory, which continues this one"
            )
        self._began = True
        with contextlib.ExitStack() as stack:
            stack.callback(self._journal.close_observers)
            stack.callback(self._journal.close)
            if self.checkpoints is not None:
                stack.callback(self.checkpoints.tidy)
            check_parts(self.space, self.searcher, self.evaluator, self.plan)
            events = self._replay()
            if not events or events[-1].get("reason") != "finished" or not self._is_complete():
                with self._session(events):
                    self._agenda.catch_up(lost=not isinstance(self.executor, VirtualClock))
                    self._loop()
            self._check_worth()

    def _loop(self) -> None:
        while not self._stopping and self._fill():
            for completed in self._wait():
                if completed.task.hashing:
                    self._agenda.take_hash(completed)
                else:
                    self._finish(completed)
            self._custody.drop_states(self._journal.clock())
        self._custody.drop_states(self._journal.clock())
        if not self._stopping and not self._is_complete():
            raise ProtocolError(
                f"{type(self.searcher).__name__}.ask: expected a suggestion, as every trial was told; got "
                "none; raise SearchFinished when nothing is left"
            )

    def _wait(self) -> Sequence[Completed]:
        """What ended; nothing if it takes too long to leave a call of `stop` unnoticed."""
        return self.executor.wait(None if isinstance(self.executor, VirtualClock) else _WAKE_SECONDS)

    def _fill(self) -> bool:
        """Starts trials until the executor is full; whether any is in flight."""
        ledger = self._ledger
        while ledger.running + ledger.hashing < self.executor.capacity and not self._stopping:
            entry = self._agenda.next(self.executor.capacity)
            if entry is None:
                break
            self._start(entry)
        return ledger.running + ledger.hashing > 0

    def _start(self, entry: PendingTrial) -> None:
        hashing = entry.state is TrialPhase.UNHASHED
        if not hashing:
            self._agenda.confirm_miss(entry)
        task = self._custody.task(entry)
        if isinstance(self.executor, VirtualClock):  # it has nothing to lose before the plan is logged
            plan = self.executor.submit(task)
            begun = "hashing" if hashing else "started"
            facts = {"clock": plan.started, "worker": plan.worker, "finish": plan.finished}
            event = self._journal.write(begun, trial=entry.number, **facts)
            self._ledger.start(entry, plan)
            self._journal.show(event)
            return
        event = None
        if not hashing:
            event = self._journal.write("started", trial=entry.number, clock=self._journal.clock())
        self._ledger.start(entry)
        self.executor.submit(task)
        if event is not None:
            self._journal.show(event)

    def _finish(self, completed: Completed) -> None:
        entry = self._ledger.open[completed.task.trial]
        needed = () if entry.stage is Stage.SUPERNET else self.evaluator.objectives
        data = evaluation_to_json(completed.evaluation, needed)
        finished = self._journal.moment(completed.finished)
        event = self._journal.write(
            "evaluated",
            trial=entry.number,
            evaluation=data,
            worker=completed.worker,
            started=self._journal.moment(completed.started),
            finished=finished,
        )
        self._last = evaluation = evaluation_from_json(data)
        changed = self._surroundings.changed(evaluation.info)
        if changed is not None:
            warnings.warn(
                f"{self.directory}: trial {entry.number} was computed with {changed}; {_DIGITS}", stacklevel=2
            )
        self._ledger.evaluate(entry, evaluation, finished)
        self._custody.keep(entry, evaluation)
        self._journal.show(event)
        self._agenda.tell_all()
        self._check_setup()

    def _check_setup(self) -> None:
        """Gives a run up whose evaluator raises whatever the candidate, before its budget is gone."""
        ledger = self._ledger
        if not ledger.is_hopeless(_FAULTS):
            return
        error = EvaluationError(
            f"{self.directory}: expected trials that can be evaluated; each of the first {ledger.faults} "
            f"ended with {ledger.last_failure}; mend what causes it and run again"
        )
        _note_traceback(error, self._last)
        raise error

    def _check_hashing(self, hashed: Hashed) -> None:
        """Gives a run up whose hasher raises whatever the candidate: its cache would never answer."""
        if hashed.fault is None:
            self._hash_faults = -1  # once it hashed, what it raises is a candidate's
        elif self._hash_faults >= 0:
            self._hash_faults += 1
        if self._hash_faults < _FAULTS:
            return
        error = EvaluationError(
            f"hasher {type(self.hasher).__name__}: expected a Hashed, got {hashed.reason} for each of the "
            f"first {_FAULTS} architectures; mend it and start a new run, without a cache if need be"
        )
        error.add_note(hashed.fault or "")
        raise error

    def _check_worth(self) -> None:
        """Says so if a study that is done has no result at all."""
        ledger = self._ledger
        if ledger.failed and not ledger.completed and self._is_complete():
            error = EvaluationError(
                f"{self.directory}: nothing completed; all {ledger.failed} evaluations failed, the last "
                f"with {ledger.last_failure}; python -m nas.report {self.directory} lists how they ended"
            )
            _note_traceback(error, self._last)
            raise error
        if ledger.work_failure and not ledger.asked[Stage.SEARCH] and self._is_complete():
            raise EvaluationError(
                f"{self.directory}: the search found no candidate, as its work on the supernet failed: "
                f"{ledger.work_failure}"
            )

    def _workers_part(self) -> Evaluator:
        """What workers are given: the evaluator, with the hasher if they hash."""
        if self.hasher is None or not self.hasher.in_worker:
            return self.evaluator
        return HashingEvaluator(self.evaluator, self.hasher, self.cache.simulated_seconds)

    def _resume_clock(self) -> None:
        """Lets a virtual clock stand, with what was in flight, where it stood at the end of the log."""
        if isinstance(self.executor, VirtualClock):
            begun = self._ledger.in_flight.values()
            in_flight = [(self._custody.task(entry), entry.plan) for entry in begun if entry.plan is not None]
            self.executor.resume(self._ledger.clock, in_flight)

    def _is_complete(self) -> bool:
        return is_complete(self._ledger, self.plan, self._journal.clock())

    def _replay(self) -> list[dict[str, Any]]:
        """Leads ledger and searcher through the log, if there is one; returns its events."""
        path = self.directory / FILE_NAME
        events = self._read(path) if path.exists() else []
        replay = Replay(
            self.space,
            self.searcher,
            self._ledger,
            evaluator=self._fingerprint,
            search_fidelity=self.plan.search_fidelity,
            looks_up=self.hasher is not None,
            path=path,
        )
        replay.run(events)
        self._surroundings = Surroundings(events)
        self._journal.set_clock(self._ledger.clock)
        self._custody.restore(events)
        return events

    def _read(self, path: Path) -> list[dict[str, Any]]:
        """The events of a log that this study may continue; no other driver writes it from now on."""
        held = self._journal.hold(self.directory)  # first, so that nothing is written after the reading
        events = read_events(path)
        if events:
            latest = next((event for event in reversed(events) if event["event"] == "opened"), events[0])
            if latest["event"] != "opened":
                raise StoreError(f"{path}, line 1: expected an opened event first; restore the file")
            check_same_study(latest, self._opening(), path, self.accept)
            check_not_running(events, path)
            changed = changed_surroundings(latest, self._opening())
            if changed is not None:
                warnings.warn(f"{path}: {changed}; {_DIGITS}", stacklevel=2)
        if not held:
            raise taken(path)
        return events

    def _opening(self) -> dict[str, Any]:
        return {
            **opening(self.space, self.evaluator, self.plan),
            "searcher": {
                "name": self.searcher_name or type(self.searcher).__name__,
                "options": plain(self.searcher_options),
                "uninformed": self.searcher.uninformed,
            },
            **hashing_facts(self.hasher, self.hasher_options, self.cache),
            "config": plain(self.config),
        }

    @contextlib.contextmanager
    def _session(self, events: Sequence[Mapping[str, Any]]) -> Iterator[None]:
        """Opens log and executor; closes both, with a reason, however the session ends."""
        journal = self._journal
        journal.open(self.directory)
        reason, message = "error", None
        with contextlib.ExitStack() as stack:
            stack.callback(self.executor.close)
            stack.callback(journal.close)
            try:
                sessions = sum(event["event"] == "opened" for event in events)
                mine = self._opening()
                mine |= accepted(events, mine, self.accept)
                opened = journal.write("opened", session=sessions + 1, **mine)
                self.executor.open(self._workers_part())
                self._resume_clock()
                journal.start_clock()
                journal.show(opened)
                yield
                reason = "finished" if self._is_complete() else "interrupted"
            except BaseException as error:
                reason = "interrupted" if interrupts(error) else "error"
                message = describe_error(error)
                raise
            finally:
                # after an error the first one is the one to report
                with contextlib.suppress(StoreError) if message else contextlib.nullcontext():
                    uninformed = self.searcher.uninformed  # a wrapper knows it better by now
                    journal.show(
                        journal.write("closed", reason=reason, message=message, uninformed=uninformed)
                    )


def _note_traceback(error: EvaluationError, evaluation: Evaluation | None) -> None:
    """Adds the traceback of an evaluation that raised, if this is one."""
    text = None if evaluation is None else evaluation.info.get("traceback")
    if isinstance(text, str):
        error.add_note(text)
