"""Which trials of a searcher are in flight: the part of its protocol that all methods share."""

from __future__ import annotations

from nas.errors import ProtocolError
from nas.searcher import Trial


class InFlight:
    """Numbers suggestions in their order and checks that each is told once.

    Args:
        searcher: its name, for messages.
    """

    def __init__(self, searcher: str) -> None:
        self._searcher = searcher
        self._open: set[int] = set()
        self.count = 0

    def add(self) -> int:
        """Number of the trial that the next suggestion becomes."""
        number = self.count
        self._open.add(number)
        self.count += 1
        return number

    def close(self, trial: Trial) -> None:
        """Takes note of a told trial.

        Raises:
            ProtocolError: it was not asked for, was told before or carries no evaluation.
        """
        if trial.evaluation is None:
            raise ProtocolError(
                f"{self._searcher}.tell: trial {trial.number}: expected an evaluation; got none; tell it "
                "when it has ended"
            )
        if trial.number not in self._open:
            happened = "was told before" if 0 <= trial.number < self.count else "was never asked for"
            raise ProtocolError(
                f"{self._searcher}.tell: expected a trial in flight; trial {trial.number} {happened}; each "
                "suggestion is told once"
            )
        self._open.remove(trial.number)
