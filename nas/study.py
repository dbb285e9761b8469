"""What happened: Study, the only loop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.agenda import Agenda
from nas.cache import Hasher
from nas.checkpoints import Checkpoints
from nas.errors import EvaluationError, ProtocolError, StoreError
from nas.evaluation import Evaluation, Evaluator, Stage, Task
from nas.eventlog import FILE_NAME, plain, read_events, taken
from nas.executor import Completed, Executor
from nas.journal import Journal
from nas.ledger import Entry, Ledger
from nas.outlook import is_complete, progress, search_is_settled
from nas.progress import Observer
from nas.provenance import check_not_running, check_same_study, opening
from nas.replay import Replay
from nas.searcher import Searcher
from nas.stages import Plan
from nas.store import FIRST_TRIAL, evaluation_from_json, evaluation_to_json

if TYPE_CHECKING:
    from nas.space import SearchSpace

_FAULTS = 3  # evaluations from the first one on that the set-up lets fail until the run is given up
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
        observers: shown each event; closed at the end.
        checkpoints: which weights of final trials to keep, and the states of search trials that others
            continue; None for none.
        config: resolved configuration, JSON values, for the log only.
        searcher_name: as registered, for the log; a log is continued with the same name and options only.
        searcher_options: JSON values.
    """

    space: SearchSpace
    searcher: Searcher
    evaluator: Evaluator
    executor: Executor
    _: KW_ONLY
    directory: Path
    plan: Plan
    hasher: Hasher | None = None
    observers: Sequence[Observer] = ()
    checkpoints: Checkpoints | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    searcher_name: str = ""
    searcher_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory = Path(self.directory)
        self._fingerprint = self.evaluator.fingerprint()
        self._ledger = Ledger(self.evaluator.objectives[0])
        look = partial(progress, self._ledger, self.plan)
        self._journal = Journal(self.executor, self.observers, look)
        self._agenda = Agenda(
            self.space,
            self.searcher,
            self.plan,
            self._ledger,
            self._journal,
            self.hasher,
            self._fingerprint,
        )
        self._stopping = False

    def stop(self) -> None:
        """Ends `run` soon: what is in flight is given up and submitted again when the study is continued."""
        self._stopping = True

    def run(self) -> None:
        """Runs or continues the study until everything planned is done or `stop` is called.

        Raises:
            StoreError: the log belongs to another study, is damaged or cannot be written.
            ProtocolError: the searcher gives nothing and waits for nothing.
            EvaluationError: the evaluator could carry out none of the first evaluations, or, once
                everything is done, none completed.
        """
        with contextlib.ExitStack() as stack:
            for observer in self.observers:
                stack.callback(observer.close)
            stack.callback(self._journal.close)
            if self.checkpoints is not None:
                stack.callback(self.checkpoints.tidy)
            events = self._replay()
            if not events or events[-1].get("reason") != "finished" or not self._is_complete():
                with self._session(events):
                    self._agenda.catch_up()
                    self._loop()
            self._check_worth()

    def _loop(self) -> None:
        while not self._stopping and self._fill():
            for completed in self._wait():
                self._finish(completed)
            self._drop_states()
        self._drop_states()
        if not self._stopping and not self._is_complete():
            raise ProtocolError(
                f"{type(self.searcher).__name__}.ask: expected a suggestion, as every trial was told; got "
                "none; raise SearchFinished when nothing is left"
            )

    def _wait(self) -> Sequence[Completed]:
        """What ended; nothing if it takes too long to leave a call of `stop` unnoticed."""
        began = time.monotonic()
        completed = self.executor.wait(_WAKE_SECONDS)
        passed = time.monotonic() - began
        if not completed and not self._stopping and passed < _WAKE_SECONDS / 10:
            return self.executor.wait()  # a virtual clock: its seconds pass at once, so this does not block
        return completed

    def _fill(self) -> bool:
        """Starts trials until the executor is full; whether any is in flight."""
        while self._ledger.running < self.executor.capacity and not self._stopping:
            entry = self._agenda.next(self.executor.capacity)
            if entry is None:
                break
            self._start(entry)
        return self._ledger.running > 0

    def _start(self, entry: Entry) -> None:
        self._agenda.confirm_miss(entry)
        event = self._journal.write("started", trial=entry.number, clock=self._journal.clock())
        self._ledger.start(entry)
        self.executor.submit(self._task(entry))
        self._journal.show(event)

    def _finish(self, completed: Completed) -> None:
        entry = self._ledger.open[completed.task.trial]
        data = evaluation_to_json(completed.evaluation, self.evaluator.objectives)
        finished = self._journal.moment(completed.finished)
        event = self._journal.write(
            "evaluated",
            trial=entry.number,
            evaluation=data,
            worker=completed.worker,
            started=self._journal.moment(completed.started),
            finished=finished,
        )
        evaluation = evaluation_from_json(data)
        self._ledger.evaluate(entry, evaluation, finished)
        self._keep_weights(entry.number, evaluation)
        self._keep_state(entry)
        self._journal.show(event)
        self._agenda.tell_all()
        self._check_setup()

    def _check_setup(self) -> None:
        """Gives a run up whose evaluator raises whatever the candidate, before its budget is gone."""
        ledger = self._ledger
        if not ledger.completed and ledger.failed == ledger.faults >= _FAULTS:
            raise EvaluationError(
                f"{self.directory}: expected trials that can be evaluated; each of the first {ledger.faults} "
                f"ended with {ledger.last_failure}; change what the evaluator asks for and run again"
            )

    def _check_worth(self) -> None:
        """Says so if a study that is done has no result at all."""
        ledger = self._ledger
        if ledger.failed and not ledger.completed and self._is_complete():
            raise EvaluationError(
                f"{self.directory}: nothing completed; all {ledger.failed} evaluations failed, the last "
                f"with {ledger.last_failure}; python -m nas.report {self.directory} lists how they ended"
            )

    def _task(self, entry: Entry) -> Task:
        kept, origin = self.checkpoints, entry.origin
        task = Task(
            entry.number,
            entry.suggestion.architecture,
            entry.stage,
            entry.fidelity,
            entry.seed,
            self.plan.time_limit,
            done=origin.fidelity if origin is not None else None,
        )
        if kept is None:
            return task
        save_to = kept.path(entry.number) if entry.stage is Stage.FINAL else None
        if entry.suggestion.resumable:
            save_to = kept.states.path(entry.number)
        return replace(
            task, checkpoint=kept.states.of(origin.trial) if origin is not None else None, save_to=save_to
        )

    def _keep_weights(self, trial: int, evaluation: Evaluation) -> None:
        if self.checkpoints is not None and trial >= FIRST_TRIAL[Stage.FINAL]:
            self.checkpoints.add(trial, evaluation, self.evaluator.objectives[0])

    def _keep_state(self, entry: Entry) -> None:
        """Of a search trial that others may continue; what it continued itself is used up."""
        if self.checkpoints is None or entry.stage is not Stage.SEARCH:
            return
        if entry.origin is not None:
            self.checkpoints.states.drop(entry.origin.trial)
        if entry.suggestion.resumable:
            self.checkpoints.states.add(entry.number, self._ledger.useful.get(entry.number))

    def _drop_states(self) -> None:
        """Once the search is over."""
        clock = self._journal.clock()
        if self.checkpoints is not None and search_is_settled(self._ledger, self.plan.budget, clock):
            self.checkpoints.states.clear()

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
            path=path,
        )
        replay.run(events)
        self._journal.set_clock(self._ledger.clock)
        for event in events:
            if event["event"] == "evaluated":
                self._keep_weights(event["trial"], evaluation_from_json(event["evaluation"]))
        if self.checkpoints is not None:
            self.checkpoints.states.restore(self._ledger.useful)
        return events

    def _read(self, path: Path) -> list[dict[str, Any]]:
        """The events of a log that this study may continue; no other driver writes it from now on."""
        held = self._journal.hold(self.directory)  # first, so that nothing is written after the reading
        events = read_events(path)
        if events:
            check_same_study(events[0], self._opening(), path)
            check_not_running(events, path)
        if not held:
            raise taken(path)
        return events

    def _opening(self) -> dict[str, Any]:
        return {
            **opening(self.space, self.evaluator, self.plan),
            "searcher": {
                "name": self.searcher_name or type(self.searcher).__name__,
                "options": plain(self.searcher_options),
            },
            "hashing": "none" if self.hasher is None else self.hasher.name,
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
                opened = journal.write("opened", session=sessions + 1, **self._opening())
                self.executor.open(self.evaluator)
                journal.start_clock()
                journal.show(opened)
                yield
                reason = "finished" if self._is_complete() else "interrupted"
            except BaseException as error:
                reason = "interrupted" if isinstance(error, KeyboardInterrupt) else "error"
                message = " ".join(f"{type(error).__name__}: {error}".split())
                raise
            finally:
                # after an error the first one is the one to report
                with contextlib.suppress(StoreError) if message else contextlib.nullcontext():
                    journal.show(journal.write("closed", reason=reason, message=message))
