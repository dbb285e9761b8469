"""The weights that a study keeps: Checkpoints, the best few within a bound on disk space."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path

from nas.errors import ConfigError
from nas.evaluation import Evaluation, Objective
from nas.states import States, left_at
from nas.store import trial_label


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
        self.states = States(self.directory, max_bytes)

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
