"""One part of an audit as a job: the labels of a range of candidates under every hasher, in one file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.audit.labels import Labels, columns_of
from nas.errors import ConfigError, StoreError
from nas.eventlog import read_json
from nas.operators import enumerate_architectures, sample
from nas.timed import write_json

if TYPE_CHECKING:
    from nas.architecture import Architecture
    from nas.cache import Hasher
    from nas.config import Config
    from nas.space import SearchSpace

PARTS = "parts"
MAX_CANDIDATES = 1_000_000
_hashers: dict[str, Hasher] = {}  # of this process; a worker has the same for all its jobs


def count_of(config: Config, space: SearchSpace) -> int:
    """How many candidates are audited.

    Raises:
        ConfigError: the space has too many or none that can be listed, and no sample is asked for.
    """
    if config.audit.sample is not None:
        if config.audit.sample < 1:
            raise ConfigError(f"audit.sample: expected 1 or more, got {config.audit.sample}")
        return config.audit.sample
    size = space.size_within(MAX_CANDIDATES)
    if size is None:
        had = space.size_text().replace("unbounded", "an unbounded space").removesuffix(" derivations")
        raise ConfigError(
            f"space: expected at most {MAX_CANDIDATES:,} architectures to audit one by one, got {had}; "
            "set audit.sample"
        )
    return size


def candidates(config: Config, space: SearchSpace, start: int, stop: int) -> Iterator[Architecture]:
    """The candidates with these numbers: all of the space in its order, or random ones."""
    if config.audit.sample is None:
        yield from islice(enumerate_architectures(space), start, stop)
        return
    for number in range(start, stop):
        yield sample(space, np.random.default_rng((config.seed, number)))


@dataclass(frozen=True, slots=True)
class Part:
    """Labels of the candidates from `start` to before `stop`, to be written to the folder's parts.

    Attributes:
        folder: of the audit, absolute.
    """

    config: Config
    start: int
    stop: int
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.start}-{self.stop - 1}"

    @property
    def path(self) -> Path:
        return self.folder / PARTS / f"{self.start:07}.json"

    def __call__(self, stopping: Callable[[], bool] | None = None) -> int:
        """Writes the file; the number of candidates."""
        from nas.session import build_space

        chosen = list(candidates(self.config, build_space(self.config.space), self.start, self.stop))
        labels, seconds, reasons = {}, {}, {}
        for column, section in columns_of(self.config).items():
            if stopping is not None and stopping():
                return 0
            hasher, started = hasher_of(section), time.perf_counter()
            hashed = [hasher.hash(architecture) for architecture in chosen]
            seconds[column] = round(time.perf_counter() - started, 6)
            labels[column] = [f"{h.digest} {h.settings}".rstrip() if h.digest else None for h in hashed]
            missing = [h.reason or "no reason given" for h in hashed if not h.digest]
            if missing:
                reasons[column] = missing[0]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        data = {"start": self.start, "stop": self.stop, "seconds": seconds, "reasons": reasons}
        write_json(self.path, {**data, "labels": labels})
        return len(chosen)


def hasher_of(section: Mapping[str, Any]) -> Hasher:
    """The hasher of a section, made once in this process.

    Raises:
        ConfigError: there is none of that name, it refuses the options, or it is no hasher at all.
    """
    from nas.session import build_hasher

    key = repr(sorted(section.items()))
    if key not in _hashers:
        hasher = build_hasher(section)
        if hasher is None:
            raise ConfigError("hashing: expected a hasher in an audit, got none; add hashing=functional")
        _hashers[key] = hasher
    return _hashers[key]


def read_parts(parts: Sequence[Part]) -> Labels:
    """All files together.

    Raises:
        StoreError: one is missing or damaged.
    """
    columns: dict[str, list[str | None]] = {}
    seconds: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for part in parts:
        data = read_part(part)
        if data is None:
            raise StoreError(f"{part.path}: expected the labels of candidates {part.name}; resume the audit")
        for column, labels in data["labels"].items():
            columns.setdefault(column, []).extend(labels)
            seconds[column] = seconds.get(column, 0.0) + data["seconds"][column]
        reasons |= data["reasons"]
    return Labels(columns, seconds, reasons)


def read_part(part: Part) -> dict[str, Any] | None:
    """A part's file; None if it is not there, or not one of this part."""
    try:
        data = read_json(part.path)
        whole = (data["start"], data["stop"]) == (part.start, part.stop) and set(data["labels"]) == set(
            columns_of(part.config)
        )
        return data if whole else None
    except (StoreError, KeyError, TypeError):
        return None
