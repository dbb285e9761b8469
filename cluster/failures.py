"""Failed calls of Ray as statuses and reasons of trials."""

from __future__ import annotations

from dataclasses import dataclass

from nas.errors import one_line
from nas.evaluation import Status
from nas.faults import named

_TELLING = ("Worker exit detail:", "The actor is dead because", "is unavailable:", "creation task,")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a trial has no answer.

    Attributes:
        status: how the trial ended, if no attempt is left.
        reason: one line.
        retry: whether another attempt makes sense, as its worker or node was lost.
    """

    status: Status
    reason: str
    retry: bool = False


def explain(error: BaseException) -> Fault:
    """The fault behind an exception of `ray.get`: the worker's code, host memory or a lost worker.

    Exceptions of an evaluation are part of its answer: a call that raises is the worker's fault, so that
    another attempt makes sense.
    """
    from ray import exceptions

    if isinstance(error, exceptions.RayTaskError):
        return Fault(Status.WORKER_DIED, named(error.cause), retry=True)
    if isinstance(error, exceptions.OutOfMemoryError):
        return Fault(Status.OUT_OF_MEMORY, "killed by Ray because its node ran low on memory")
    return Fault(Status.WORKER_DIED, death(error), retry=True)


def timed_out(limit: float) -> Fault:
    return Fault(Status.TIMEOUT, f"did not stop at its time limit of {limit:g} s and was killed")


def death(error: BaseException) -> str:
    """The relevant part of Ray's long report of a dead worker, in one line."""
    text = one_line(error, 4000)
    for mark in _TELLING:
        if mark in text:
            text = text.split(mark, 1)[1]
            break
    first = text.split(". ")[0].strip(" .")
    return f"{type(error).__name__}: {first[:200]}"
