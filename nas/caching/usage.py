"""One run and its cache: Usage, with reasons, the largest classes and the course over time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.caching.counts import Counts, answer, class_of, counts
from nas.evaluation import Fidelity, Stage
from nas.report import Run
from nas.study import UNHASHABLE, Lookup, TrialRow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LARGEST = 5  # classes that are listed
UNSTATED = "no reason in the log"


@dataclass(frozen=True, slots=True)
class Group:
    """Suggestions that the cache took for one.

    Attributes:
        head: kind and first digits of the digests, and the fidelity if it is not the full one.
        suggestions: how many.
        evaluations: that completed.
        value: first objective, as the last of its suggestions was told; NaN before that.
    """

    head: str
    suggestions: int
    evaluations: int
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """The cache over time.

    Attributes:
        answered: of each suggestion in the order of the look-ups, whether it was a hit or a wait.
        clock: moments of these look-ups, never falling, in seconds on the executor's clock.
        spent: seconds of evaluation and hashing after each event that changed them or `saved`.
        saved: seconds saved, likewise.
        hashing: seconds of hashing alone, likewise.
    """

    answered: NDArray[np.bool_]
    clock: Floats
    spent: Floats
    saved: Floats
    hashing: Floats

    @property
    def window(self) -> int:
        """Suggestions over which the rolling rate is taken: the twentieth part, at least 10."""
        return max(10, math.ceil(self.answered.size / 20))

    def cumulative(self) -> Floats:
        """Hit rate of all suggestions so far, in percent."""
        return 100 * np.cumsum(self.answered) / np.arange(1, self.answered.size + 1)

    def rolling(self) -> Floats:
        """Hit rate of the last `window` suggestions, in percent; of all so far where there are fewer."""
        total = np.concatenate([[0], np.cumsum(self.answered)])
        ends = np.arange(1, self.answered.size + 1)
        begins = np.maximum(ends - self.window, 0)
        return 100 * (total[ends] - total[begins]) / (ends - begins)


@dataclass(frozen=True, slots=True, eq=False)
class Usage:
    """What the cache did in a run.

    Attributes:
        hashing: name of the hasher.
        options: those of hasher and cache, as configured.
        simulated: whether seconds are those of a simulated clock.
        reasons: why candidates had no digest, most frequent first, with their numbers.
        largest: at most `LARGEST` classes, of at least two suggestions.
    """

    run: Run
    hashing: str
    options: Mapping[str, Any]
    simulated: bool
    counts: Counts
    reasons: tuple[tuple[str, int], ...]
    largest: tuple[Group, ...]
    course: Course


def usage(run: Run) -> Usage | None:
    """What the cache did; None where no suggestion was hashed or looked up."""
    lookups = run.record.lookups
    if not lookups:
        return None
    trials = {row.number: row for row in run.stages[Stage.SEARCH]}
    reasons = Counter(lookup.reason or UNSTATED for lookup in lookups if lookup.outcome == UNHASHABLE)
    return Usage(
        run=run,
        hashing=str(run.opened.get("hashing", "")),
        options=_options(run.opened),
        simulated=run.section("executor").get("name") == "simulated",
        counts=counts(lookups, trials),
        reasons=tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        largest=_largest(lookups, trials, run.objective.name),
        course=_course(lookups, trials),
    )


def _options(opened: Mapping[str, Any]) -> dict[str, Any]:
    return {**(opened.get("hashing_options") or {}), **(opened.get("cache") or {})}


def _largest(lookups: Sequence[Lookup], trials: Mapping[int, TrialRow], objective: str) -> tuple[Group, ...]:
    """The classes with most suggestions, of equal ones the first."""
    members = [(lookup, key) for lookup in lookups if (key := class_of(lookup, trials)) is not None]
    sizes = [(key, n) for key, n in Counter(key for _, key in members).most_common(LARGEST) if n > 1]
    evaluations = dict.fromkeys((key for key, _ in sizes), 0)
    values = dict.fromkeys(evaluations, math.nan)
    for lookup, key in members:
        row = trials[lookup.trial]
        if key in values and row.ok:
            evaluations[key] += answer(lookup, trials) is None
            values[key] = (row.told or row.values or {}).get(objective, math.nan)
    return tuple(Group(_head(*key), size, evaluations[key], values[key]) for key, size in sizes)


def _head(functional: str, settings: str, fidelity: Hashable) -> str:
    """E.g. "network 0f3a9c21 at epochs=4", with "/" and the settings where there are any."""
    kind, colon, rest = functional.partition(":")
    digits = (rest if colon else kind).rpartition(":")[2][:8]
    beside = f"/{settings.rpartition(':')[2][:8]}" if settings else ""
    at = f" at {fidelity.name}={fidelity.value:g}" if isinstance(fidelity, Fidelity) else ""
    return f"{kind} {digits}{beside}{at}" if colon else f"{digits}{beside}{at}"


def _course(lookups: Sequence[Lookup], trials: Mapping[int, TrialRow]) -> Course:
    asked = [lookup for lookup in lookups if lookup.outcome is not None]
    # what was spent at a moment comes before what that saved
    account = [(row.finished, 0, row.cost_seconds, 0.0, 0.0) for row in trials.values() if _is_own(row)]
    for lookup in lookups:
        if lookup.hash_seconds:
            account.append((lookup.clock, 0, lookup.hash_seconds, 0.0, lookup.hash_seconds))
        holder = answer(lookup, trials)
        if holder is not None:
            told = trials[lookup.trial].finished
            moment = lookup.clock if told is None else told
            account.append((moment, 1, 0.0, trials[holder].cost_seconds, 0.0))
    sums = np.cumsum(np.array([item[2:] for item in sorted(account)], float).reshape(-1, 3), axis=0)
    return Course(
        answered=np.array([lookup.is_answered for lookup in asked], bool),
        clock=np.array([lookup.clock for lookup in asked], float),
        spent=sums[:, 0],
        saved=sums[:, 1],
        hashing=sums[:, 2],
    )


def _is_own(row: TrialRow) -> bool:
    """Whether it ended by an evaluation of its own."""
    return row.finished is not None and row.cached_from is None
