"""The time that a searcher itself takes, measured around it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import StoreError
from nas.searcher import BaseSearcher, declared

if TYPE_CHECKING:
    from nas.evaluation import Fidelity
    from nas.searcher import Searcher, Suggestion, Trial

OVERHEAD = "overhead.json"


class TimedSearcher(BaseSearcher):
    """A searcher that takes the seconds of each ask and of all tells.

    A study that is continued asks its searcher once more for all that it had asked, so that the times
    of its last session are those of the whole study.

    Args:
        searcher: the method.
        clock: seconds.
    """

    def __init__(self, searcher: Searcher, clock: Callable[[], float] = time.perf_counter) -> None:
        self.inner = searcher
        self._clock = clock
        self.ask_seconds: list[float] = []
        self.tell_seconds = 0.0

    def ask(self, count: int = 1) -> Sequence[Suggestion]:
        started = self._clock()
        try:
            return self.inner.ask(count)
        finally:
            self.ask_seconds.append(self._clock() - started)

    def tell(self, trial: Trial) -> None:
        started = self._clock()
        try:
            self.inner.tell(trial)
        finally:
            self.tell_seconds += self._clock() - started

    @property
    def fidelities(self) -> tuple[Fidelity, ...]:
        return declared(self.inner).fidelities

    @property
    def needs_states(self) -> bool:
        return declared(self.inner).needs_states

    @property
    def trains_supernet(self) -> bool:
        return declared(self.inner).trains_supernet

    @property
    def uninformed(self) -> float | None:
        return declared(self.inner).uninformed

    def check_values(self, names: Collection[str]) -> None:
        declared(self.inner).check_values(names)

    def check_images(self, images: Any) -> None:
        declared(self.inner).check_images(images)

    def to_json(self) -> dict[str, Any]:
        """Number of asks, those included that gave nothing; seconds of each; seconds of all tells."""
        return {
            "asks": len(self.ask_seconds),
            "ask_seconds": [round(seconds, 7) for seconds in self.ask_seconds],
            "tell_seconds": round(self.tell_seconds, 7),
        }


def write_json(path: Path, data: Any) -> None:
    """Writes the file in one step, so that a reader never sees half of it.

    Raises:
        StoreError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot write it; {error.strerror}; free it or choose another run.dir"
        ) from error
