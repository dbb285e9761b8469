"""Hashes as jobs of workers: what travels there, what comes back, and what need not travel twice."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from nas.cache import Hashed, Hasher
from nas.errors import one_line
from nas.evaluation import Evaluation, Evaluator, Status, Task, WrappedEvaluator
from nas.faults import interrupts, named, traceback_of

if TYPE_CHECKING:
    from nas.architecture import Architecture

MEMO_SIZE = 65_536  # architectures


def hash_of(hasher: Hasher, architecture: Architecture) -> Hashed:
    """What the hasher says; an exception or another answer of it is a reason for no digest."""
    try:
        hashed = hasher.hash(architecture)
    except BaseException as error:  # the candidate's or the hasher's: the search goes on without it
        if interrupts(error):
            raise
        return replace(unhashed(named(error)), fault=traceback_of(error))
    if not isinstance(hashed, Hashed):
        reason = f"the hasher returned {type(hashed).__name__}, not a Hashed"
        return replace(unhashed(reason), fault=reason)
    return hashed if hashed.digest is not None else unhashed(hashed.reason or "no digest")


def unhashed(reason: str) -> Hashed:
    """No digest, for a reason that is folded to one line."""
    return Hashed(None, "", one_line(reason))


class HashingEvaluator(WrappedEvaluator):
    """An evaluator that also hashes: with a hasher in it, it travels to each worker once.

    A task with `hashing` is answered with a completed evaluation that has no values, and the digest in its
    info; `hashed_of` reads it.

    Args:
        evaluator: for all other tasks.
        hasher: of this study.
        seconds: cost of a hash, for clocks that run by costs.
    """

    def __init__(self, evaluator: Evaluator, hasher: Hasher, seconds: float) -> None:
        super().__init__(evaluator)
        self.keeps_process = False  # hashes compile and run candidates
        self._hasher = hasher
        self._seconds = seconds

    def __call__(self, task: Task) -> Evaluation:
        if not task.hashing:
            return self.inner(task)
        hashed = hash_of(self._hasher, task.architecture)
        info = {"digest": hashed.digest, "settings": hashed.settings, "reason": hashed.reason}
        if hashed.fault is not None:
            info["fault"] = hashed.fault
        return Evaluation(Status.COMPLETED, cost_seconds=self._seconds, info=info)


def hashed_of(evaluation: Evaluation) -> Hashed:
    """What a hash job found; the reason of one that failed, as it may not another time."""
    if not evaluation.ok:
        return replace(unhashed(f"{evaluation.status.value}: {evaluation.reason}"), passing=True)
    info = evaluation.info
    return Hashed(info["digest"], info["settings"], info["reason"], fault=info.get("fault"))


class Memo:
    """What was hashed lately, by the digest of its text; the oldest goes when there are too many."""

    def __init__(self, size: int = MEMO_SIZE) -> None:
        self._size = size
        self._known: OrderedDict[str, Hashed] = OrderedDict()

    def get(self, digest: str) -> Hashed | None:
        return self._known.get(digest)

    def add(self, digest: str, hashed: Hashed) -> None:
        """Keeps it, unless it is known, or there was none for a reason that may pass."""
        if hashed.passing:
            return
        self._known.setdefault(digest, hashed)
        if len(self._known) > self._size:
            self._known.popitem(last=False)
