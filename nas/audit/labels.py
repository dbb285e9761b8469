"""The labels of an audit: which hashers give them, and what all parts of it say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from nas.errors import ConfigError

if TYPE_CHECKING:
    from nas.run.config import Config


@dataclass(frozen=True, slots=True)
class Reading:
    """What is taken for equal: options that the audited and the exact hasher share.

    Attributes:
        name: "zero=trained, scale=kept".
        audited: section of the audited hasher.
        exact: section of the exact one.
    """

    name: str
    audited: Mapping[str, Any]
    exact: Mapping[str, Any]

    @property
    def columns(self) -> tuple[str, str]:
        """Names of its two columns of labels."""
        return f"hashed, {self.name}", _named("exact", self.exact)


def readings_of(config: Config) -> tuple[Reading, ...]:
    """All combinations of the listed options; `audit.bits` for the audited hasher alone.

    Raises:
        ConfigError: an option without a list of values.
    """
    section, options = config.audit, config.audit.readings
    for option, values in options.items():
        if not isinstance(values, list | tuple) or not values:
            raise ConfigError(f"audit.readings.{option}: expected a list of values, got {values!r}")
    found = []
    for values in product(*options.values()):
        shared = dict(zip(options, values, strict=True))
        for bits in section.bits or [None]:
            own = {} if bits is None else {"bits": bits}
            exact = {"name": section.exact, **shared}
            name = _named("", {**shared, **own})
            found.append(Reading(name, {**config.hashing, **shared, **own}, exact))
    return (*found, *_beside(config))


def _beside(config: Config) -> Iterator[Reading]:
    """The other audited hashers, which have no shared options: held against the first exact reading."""
    section = config.audit
    shared = {option: values[0] for option, values in section.readings.items()}
    for label, audited in section.beside.items():
        for bits in section.bits or [None]:
            own = {} if bits is None else {"bits": bits}
            exact = {"name": section.exact, **shared}
            yield Reading(_named(label, own), {**audited, **own}, exact)


def _named(head: str, options: Mapping[str, Any]) -> str:
    """`head, zero=trained, bits=8`; `default` of nothing."""
    stated = [f"{key}={value}" for key, value in options.items() if key != "name"]
    return ", ".join(filter(None, [head, *stated])) or "default"


def columns_of(config: Config) -> dict[str, Mapping[str, Any]]:
    """Name of each column of labels -> section of its hasher."""
    columns: dict[str, Mapping[str, Any]] = {}
    for reading in readings_of(config):
        columns |= dict(zip(reading.columns, (reading.audited, reading.exact), strict=True))
    return columns | {f"counted, {label}": section for label, section in config.audit.counted.items()}


@dataclass(frozen=True, slots=True)
class Labels:
    """What all parts say.

    Attributes:
        columns: name -> a label, or None, for each candidate.
        seconds: name -> time that its labels took together, on one core.
        reasons: name -> why a candidate has no label, of one of them.
    """

    columns: Mapping[str, Sequence[str | None]]
    seconds: Mapping[str, float]
    reasons: Mapping[str, str]
