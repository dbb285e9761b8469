"""What trials are given to work with and what becomes of the files they leave: Custody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from nas.checkpoints import Checkpoints
from nas.entry import Entry, State
from nas.errors import ProtocolError
from nas.evaluation import Evaluation, Objective, Stage, Task
from nas.ledger import Ledger
from nas.outlook import search_is_settled
from nas.stages import Plan
from nas.store import evaluation_from_json, stage_of


class Custody:
    """Makes the tasks of a study; keeps the weights of its final trials and the states that others continue.

    Args:
        checkpoints: which files to keep; None for none.
        ledger: of the study.
        plan: of the study.
        objective: the one that chooses.
    """

    def __init__(
        self, checkpoints: Checkpoints | None, ledger: Ledger, plan: Plan, objective: Objective
    ) -> None:
        self._checkpoints = checkpoints
        self._ledger = ledger
        self._plan = plan
        self._objective = objective

    def task(self, entry: Entry) -> Task:
        """What an executor is given: to hash it if it is not hashed yet, else to evaluate it."""
        if entry.state in (State.UNHASHED, State.HASHING):
            return self._hash_task(entry)
        return self._evaluation_task(entry)

    def _hash_task(self, entry: Entry) -> Task:
        """Its hash alone, with a time limit of its own."""
        limit = self._plan.time_limit
        return Task(entry.number, entry.suggestion.architecture, entry.stage, time_limit=limit, hashing=True)

    def _evaluation_task(self, entry: Entry) -> Task:
        if entry.stage is Stage.SUPERNET:
            return self._work(entry)
        kept, origin = self._checkpoints, entry.origin
        task = Task(
            entry.number,
            entry.suggestion.architecture,
            entry.stage,
            entry.fidelity,
            entry.seed,
            self._plan.time_limit,
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

    def _work(self, entry: Entry) -> Task:
        """Without the time limit of a trial: it is no evaluation of one candidate."""
        suggestion, states = entry.suggestion, None if self._checkpoints is None else self._checkpoints.states
        task = Task(
            entry.number,
            suggestion.architecture,
            entry.stage,
            entry.fidelity,
            entry.seed,
            work=suggestion.work,
        )
        if states is None:
            if suggestion.resumable:
                raise ProtocolError(
                    "searcher: expected one that asks for works which leave a state to declare needs_states; "
                    "got none; give its class the property needs_states, or give the study "
                    "checkpoints=Checkpoints(folder)"
                )
            return task
        return replace(
            task,
            checkpoint=None if suggestion.parent is None else states.of(suggestion.parent),
            save_to=states.path(entry.number) if suggestion.resumable else None,
        )

    def keep(self, entry: Entry, evaluation: Evaluation) -> None:
        """Takes what an evaluation left."""
        self._keep_weights(entry.number, evaluation)
        self._keep_state(entry)

    def restore(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Takes what the sessions of these events left, once the ledger was led through them."""
        for event in events:
            if event["event"] == "evaluated":
                self._keep_weights(event["trial"], evaluation_from_json(event["evaluation"]))
        if self._checkpoints is not None:
            self._checkpoints.states.restore(self._ledger.useful)

    def drop_states(self, clock: float) -> None:
        """Once the search is over."""
        if self._checkpoints is not None and search_is_settled(self._ledger, self._plan.budget, clock):
            self._checkpoints.states.clear()

    def _keep_weights(self, trial: int, evaluation: Evaluation) -> None:
        if self._checkpoints is not None and stage_of(trial) is Stage.FINAL:
            self._checkpoints.add(trial, evaluation, self._objective)

    def _keep_state(self, entry: Entry) -> None:
        """Of a search trial that others may continue; what it continued itself is used up."""
        if self._checkpoints is None or entry.stage not in (Stage.SEARCH, Stage.SUPERNET):
            return
        if entry.origin is not None:
            self._checkpoints.states.drop(entry.origin.trial)
        parent, useful = entry.suggestion.parent, entry.number in self._ledger.useful
        if entry.stage is Stage.SUPERNET and parent is not None and useful:  # what replaces its parent's
            self._checkpoints.states.drop(parent)
        if entry.suggestion.resumable:
            self._checkpoints.states.add(entry.number, self._ledger.useful.get(entry.number))
