"""How a cache answers, and what a hash costs where no clock runs: CachePolicy."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from nas.errors import ConfigError

HASH_SECONDS = 0.01  # of a worker's hash on a simulated clock, unless the policy says otherwise


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How a cache answers.

    Attributes:
        evaluations: of each class before its mean is served (M of the paper); 1 or more.
        forget: probability with which a class is forgotten after it has answered (F of the paper).
        capacity: number of classes with nothing in flight; beyond it those that were not used for longest
            go; None for no bound.
        hash_seconds: what a worker's hash takes on a simulated clock; None for `HASH_SECONDS`.
    """

    evaluations: int = 1
    forget: float = 0.0
    capacity: int | None = 100_000
    hash_seconds: float | None = None

    def __post_init__(self) -> None:
        if type(self.evaluations) is not int or self.evaluations < 1:
            raise ConfigError(
                f"cache.evaluations: expected a whole number, 1 or more; got {self.evaluations!r}; change it"
            )
        if not _is_number(self.forget) or not 0 <= self.forget <= 1:
            raise ConfigError(f"cache.forget: expected a probability, 0 to 1; got {self.forget!r}; change it")
        if self.capacity is not None and (type(self.capacity) is not int or self.capacity < 1):
            raise ConfigError(
                "cache.capacity: expected a whole number, 1 or more, or null for no bound; "
                f"got {self.capacity!r}; change it"
            )
        seconds = self.hash_seconds
        if seconds is not None and not (_is_number(seconds) and 0 <= seconds < math.inf):
            raise ConfigError(
                f"cache.hash_seconds: expected 0 or more, or null for {HASH_SECONDS:g}; got {seconds!r}; "
                "change it"
            )

    @property
    def simulated_seconds(self) -> float:
        """What a worker's hash takes on a simulated clock."""
        return HASH_SECONDS if self.hash_seconds is None else self.hash_seconds

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
