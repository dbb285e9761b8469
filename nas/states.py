"""What search trials leave for those that continue them: States, within a bound on disk space."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.entry import NEEDED
from nas.evaluation import Stage
from nas.store import FIRST_TRIAL, trial_label

_STAGES = (Stage.SEARCH, Stage.SUPERNET)
_NAME = re.compile(rf"({'|'.join(_STAGES)})-[0-9]{{1,8}}")


@dataclass(frozen=True, slots=True)
class _State:
    order: tuple[float, float]
    trial: int
    bytes: int


class States:
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
            order: its `nas.store.rank`; None for one that failed, of which nothing stays.
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
