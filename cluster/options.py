"""Settings of the Ray executor, checked before anything starts."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from typing import Any

from nas.errors import ConfigError, nearest, refusal

GIGABYTE = 2**30

_KINDS = {  # annotation -> the types of its values, and their name in messages
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "str": ((str,), "a text"),
}
_LARGEST = 1e9  # of any number; in gigabytes it still fits into 64 bits
_LOWEST = {
    1: ("workers", "max_in_flight", "recycle_after", "num_cpus"),
    0: ("retries", "num_gpus", "cpus_per_trial", "gpus_per_trial"),
}
_DEFAULT = "leave it out for the default"


@dataclass(frozen=True, slots=True, kw_only=True)
class RayOptions:
    """How and where trials run on Ray.

    Attributes:
        address: of a running cluster ("auto", "host:6379"); None starts a local Ray, unless the
            environment names a cluster in RAY_ADDRESS, as `ray job submit` does.
        num_cpus: cores of a local Ray; None for all of them.
        num_gpus: GPUs of a local Ray; None for all of them.
        dashboard: whether a local Ray serves its dashboard, on the loopback interface.
        log_to_driver: whether what workers print appears in the driver's terminal too.
        name: part of the names of Ray's tasks: "evaluate/<name>".
        mode: "actors", long-lived processes for trials from milliseconds to a minute or so; "tasks",
            one Ray task per trial, on GPUs one process per trial, for longer ones.
        workers: number of trials that run at the same time; None for as many as fit the resources.
        cpus_per_trial: cores of one trial, also its number of OpenMP threads.
        gpus_per_trial: GPUs of one trial; a fraction shares one GPU and bounds CUDA memory to it.
        memory_per_trial: GB (2**30 bytes) of host memory that a trial may allocate, enforced by the
            kernel (RLIMIT_DATA) and reserved in Ray; None for no bound.
        max_in_flight: bound on submitted and unfinished trials; None for the number of workers, and
            twice that while trials are shorter than a quarter second.
        time_limit: seconds of work per trial; `Task.time_limit` applies too, if it is shorter. A trial
            that does not stop by itself is killed a little later and recorded as a timeout.
        retries: further attempts of a trial whose worker or node died; nothing else is retried.
        recycle_after: trials after which a worker process is replaced; None for never. Tasks on GPUs
            never share a process.
    """

    address: str | None = None
    num_cpus: int | None = None
    num_gpus: int | None = None
    dashboard: bool = True
    log_to_driver: bool = False
    name: str = "trial"
    mode: str = "actors"
    workers: int | None = None
    cpus_per_trial: float = 1
    gpus_per_trial: float = 0
    memory_per_trial: float | None = None
    max_in_flight: int | None = None
    time_limit: float | None = None
    retries: int = 1
    recycle_after: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("actors", "tasks"):
            remedy = nearest(str(self.mode), ("actors", "tasks"), _DEFAULT)
            raise ConfigError(refusal("executor.mode", '"actors" or "tasks"', repr(self.mode), remedy))
        for option in fields(self):
            _check_type(option.name, str(option.type), getattr(self, option.name))
        for low, names in _LOWEST.items():
            for name in names:
                value = getattr(self, name)
                if value is not None and value < low:
                    raise _refused(name, f"a number >= {low}", value)
        for name in ("time_limit", "memory_per_trial"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise _refused(name, "a number > 0", value)
        if self.cpus_per_trial == 0 and self.gpus_per_trial == 0:
            raise _refused("cpus_per_trial", "> 0 when gpus_per_trial is 0", 0)
        gpus = self.gpus_per_trial
        if gpus > 1 and gpus != int(gpus):
            raise _refused("gpus_per_trial", "at most 1 or a whole number", gpus, f"set it to {round(gpus)}")
        if self.memory_per_trial is not None and not sys.platform.startswith("linux"):
            raise _refused(
                "memory_per_trial", "Linux, whose kernel enforces it", sys.platform, "leave it out"
            )

    @property
    def demand(self) -> dict[str, float]:
        """Resources of one trial by Ray's names, those not needed left out; memory in bytes."""
        memory = (self.memory_per_trial or 0) * GIGABYTE
        needs = {"CPU": self.cpus_per_trial, "GPU": self.gpus_per_trial, "memory": memory}
        return {name: need for name, need in needs.items() if need}

    @property
    def memory_bytes(self) -> int | None:
        return None if self.memory_per_trial is None else int(self.memory_per_trial * GIGABYTE)


def _refused(name: str, expected: str, got: object, remedy: str = _DEFAULT) -> ConfigError:
    return ConfigError(refusal(f"executor.{name}", expected, got, remedy))


def _check_type(name: str, annotation: str, value: Any) -> None:
    """Refuses a value of another type than the annotation, such as "float | None"."""
    kind, _, optional = annotation.partition(" | ")
    types, expected = _KINDS[kind]
    if value is None and optional:
        return
    if type(value) not in types:
        raise _refused(name, expected, repr(value))
    if isinstance(value, int | float) and not value <= _LARGEST:  # which refuses nan too
        raise _refused(name, f"a number <= {_LARGEST:g}", value)
