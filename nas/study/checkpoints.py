"""The files of trials: what they are given to work with, and what becomes of the files that they leave.

`Checkpoints` keeps the weights of the best few, `ResumableCheckpoints` what search trials leave for those
that continue them, both within a bound on disk space; `TrialFiles` hands them out.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.errors import ConfigError, ProtocolError
from nas.evaluation import FIRST_TRIAL, Evaluation, Objective, Stage, Task, stage_of, trial_label
from nas.study.plan import Plan
from nas.study.record import evaluation_from_json
from nas.study.state import NEEDED, PendingTrial, StudyState, TrialPhase, search_is_settled

_STAGES = (Stage.SEARCH, Stage.SUPERNET)
_NAME = re.compile(rf"({'|'.join(_STAGES)})-[0-9]{{1,8}}")


@dataclass(frozen=True, slots=True)
class _State:
    order: tuple[float, float]
    trial: int
    bytes: int


class ResumableCheckpoints:
    """The states of resumable search trials; the least promising go first when they are too large.

    A state that is gone costs time and nothing else: whoever was to continue it starts over, with the
    same seed and thus the same result. Only the states of works stay (`NEEDED`), as nobody could do without.
    Every path follows from the directory and the trial's number.

    Args:
        directory: where they go; made for the first trial that may leave one.
        max_bytes: bound on their sum, None for no bound. Evaluations in flight add theirs for a moment.
    """

    def __init__(self, directory: Path, max_bytes: int | None) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._kept: list[_State] = []  # most promising first
        self._used = False

    def path(self, trial: int) -> str:
        """Where a trial shall leave its state, the folder made."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._used = True
        return str(self._file(trial))

    def of(self, trial: int) -> str | None:
        """The path to continue from, None if nothing is there any more."""
        return str(self._file(trial)) if any(state.trial == trial for state in self._kept) else None

    def add(self, trial: int, order: tuple[float, float] | None) -> None:
        """Takes what a trial left and prunes: lower fidelities first, and the worse ones of each.

        Args:
            trial: its number.
            order: its `nas.study.record.rank`; None for one that failed, of which nothing stays.
        """
        files = self._files(trial)
        if order is None:
            _unlink(files)
        elif files:
            self._kept = sorted([*self._kept, _State(order, trial, _size(files))], key=_rank)
            self._prune()

    def restore(self, useful: Mapping[int, tuple[float, float]]) -> None:
        """Takes what earlier sessions left of these trials with their ranks; removes the rest."""
        self._used = True
        self._kept = []
        for trial in {_trial_of(file) for file in self._all()}:
            files = self._files(trial)
            parts = [file for file in files if file.suffix == ".part"]
            _unlink(parts if trial in useful else files)
            if trial in useful:
                self._kept.append(_State(useful[trial], trial, _size(self._files(trial))))
        self._kept.sort(key=_rank)
        self._prune()

    def drop(self, trial: int) -> None:
        """Removes a state that nobody will continue any more."""
        kept = [state for state in self._kept if state.trial != trial]
        if len(kept) < len(self._kept):
            self._kept = kept
            _unlink(self._files(trial))

    def clear(self) -> None:
        """Removes all, also those that a killed session left half done."""
        if self._used:
            _unlink(self._all())
        self._kept, self._used = [], False

    def _prune(self) -> None:
        limit = self._max_bytes
        while limit is not None and sum(state.bytes for state in self._kept) > limit:
            if self._kept[-1].order == NEEDED:
                return
            _unlink(self._files(self._kept.pop().trial))

    def _all(self) -> list[Path]:
        found = (file for stage in _STAGES for file in left_at(self._directory, f"{stage}-*.safetensors"))
        return [file for file in found if _NAME.fullmatch(file.name.partition(".")[0])]

    def _files(self, trial: int) -> list[Path]:
        """The weights, the state beside them, and what a killed process left of either."""
        return left_at(self._directory, self._file(trial).name)

    def _file(self, trial: int) -> Path:
        return self._directory / f"{trial_label(trial).replace(' ', '-')}.safetensors"


def left_at(folder: Path, name: str) -> list[Path]:
    """Files of a name and what was left beside them under longer ones; nothing else, such as folders."""
    return [path for path in folder.glob(f"{name}*") if path.is_file() or path.is_symlink()]


def _trial_of(file: Path) -> int:
    stage, number = file.name.split(".")[0].split("-")
    return FIRST_TRIAL[Stage(stage)] + int(number)


def _rank(state: _State) -> tuple[tuple[float, float], int]:
    return state.order, state.trial


def _size(files: Sequence[Path]) -> int:
    return sum(file.lstat().st_size for file in files)


def _unlink(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Kept:
    loss: float
    trial: int
    path: Path

    def files(self) -> list[Path]:
        """The weights and whatever the training left beside them, such as a state to continue from."""
        return left_at(self.path.parent, self.path.name)

    def size(self) -> int:
        return sum(file.lstat().st_size for file in self.files())

    def remove(self) -> None:
        for file in self.files():
            file.unlink(missing_ok=True)


class Checkpoints:
    """Keeps the weights of the best evaluations; removes the worst when they are too many or too large.

    Every path follows from the directory and the trial's number, so a folder of a run may be moved.

    Args:
        directory: where they go; made for the first trial that may leave some.
        keep: number to keep; 0 keeps none, and none are written.
        max_bytes: bound on their sum, None for no bound. Evaluations in flight add theirs for a moment.

    Attributes:
        states: of search trials that others may continue, within the same bound, whatever `keep` says;
            they are gone when the final trials begin.
    """

    def __init__(self, directory: Path, *, keep: int = 1, max_bytes: int | None = None) -> None:
        if keep < 0:
            raise ConfigError(f"checkpoints.keep: expected 0 or more; got {keep}; change it")
        if max_bytes is not None and max_bytes <= 0:
            raise ConfigError(f"checkpoints.max_bytes: expected more than 0; got {max_bytes}; change it")
        self.directory = Path(directory).absolute()  # workers may stand in another folder
        self.keep = keep
        self.max_bytes = max_bytes
        self._kept: list[_Kept] = []
        self.states = ResumableCheckpoints(self.directory, max_bytes)

    def path(self, trial: int) -> str | None:
        """Where a trial shall leave its weights, the folder made; None if none are kept."""
        if self.keep == 0:
            return None
        self.directory.mkdir(parents=True, exist_ok=True)
        return str(self._file(trial))

    def add(self, trial: int, evaluation: Evaluation, objective: Objective) -> None:
        """Takes what a trial left and prunes; nothing stays of a failed one."""
        if self.keep == 0:
            return
        loss = objective.loss(evaluation.values.get(objective.name)) if evaluation.ok else math.inf
        kept = _Kept(loss, trial, self._file(trial))
        if math.isinf(loss):
            kept.remove()
        elif kept.path.is_file():
            self._kept = sorted([*self._kept, kept], key=lambda one: (one.loss, one.trial))
        while len(self._kept) > self.keep or (self._kept and self._too_large()):
            self._kept.pop().remove()

    def tidy(self) -> None:
        """Removes the folder if no evaluator left anything in it."""
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    def _file(self, trial: int) -> Path:
        return self.directory / f"{trial_label(trial).replace(' ', '-')}.safetensors"

    def _too_large(self) -> bool:
        return self.max_bytes is not None and sum(kept.size() for kept in self._kept) > self.max_bytes

    @property
    def paths(self) -> tuple[Path, ...]:
        """Those that are kept, best first."""
        return tuple(kept.path for kept in self._kept)


class TrialFiles:
    """Makes the tasks of a study; keeps the weights of its final trials and the states that others continue.

    Args:
        checkpoints: which files to keep; None for none.
        ledger: of the study.
        plan: of the study.
        objective: the one that chooses.
    """

    def __init__(
        self, checkpoints: Checkpoints | None, ledger: StudyState, plan: Plan, objective: Objective
    ) -> None:
        self._checkpoints = checkpoints
        self._ledger = ledger
        self._plan = plan
        self._objective = objective

    def task(self, entry: PendingTrial) -> Task:
        """What an executor is given: to hash it if it is not hashed yet, else to evaluate it."""
        if entry.state in (TrialPhase.UNHASHED, TrialPhase.HASHING):
            return self._hash_task(entry)
        return self._evaluation_task(entry)

    def _hash_task(self, entry: PendingTrial) -> Task:
        """Its hash alone, with a time limit of its own."""
        limit = self._plan.time_limit
        return Task(entry.number, entry.suggestion.architecture, entry.stage, time_limit=limit, hashing=True)

    def _evaluation_task(self, entry: PendingTrial) -> Task:
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

    def _work(self, entry: PendingTrial) -> Task:
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

    def keep(self, entry: PendingTrial, evaluation: Evaluation) -> None:
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

    def _keep_state(self, entry: PendingTrial) -> None:
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
