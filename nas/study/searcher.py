"""What next: Searcher, Suggestion, SearchFinished and the Trial that is told back; searchers around one.

The time that a searcher takes is written beside the log of its study.
"""

from __future__ import annotations

import json
import os
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import ProtocolError, StoreError
from nas.evaluation import Evaluation, Fidelity, Stage, SupernetTask
from nas.faults import blame, shown
from nas.registry import Component
from nas.space import Architecture

if TYPE_CHECKING:
    from nas.space import SearchSpace


class SearchFinished(Exception):
    """Raised by `ask` when a searcher has nothing left to propose, now and later."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A proposal.

    Attributes:
        architecture: what to evaluate.
        fidelity: None for the study's own fidelity.
        parent: trial whose checkpoint or result it builds on, or None.
        info: facts for the log, JSON values only, e.g. {"origin": "mutation", "parent": 17}.
        resumable: whether it leaves its state: a later suggestion of the same architecture at a higher
            fidelity, with this trial as its parent, goes on from there.
        work: what workers are to do in place of an evaluation of the architecture, which is then what the
            searcher would choose at the moment. Such a trial is of the stage "supernet", does not count in
            budget.trials, and with `resumable` leaves a state that works with it as their parent are given.
    """

    architecture: Architecture
    fidelity: Fidelity | None = None
    parent: int | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    resumable: bool = False
    work: SupernetTask | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """A suggestion with its number and its outcome; what a searcher is told.

    Attributes:
        number: from 0, in the order of the asks; works are numbered apart, from `FIRST_TRIAL` of their stage.
        suggestion: what was proposed.
        stage: search, baseline, final or supernet.
        seed: seed of its evaluation.
        evaluation: None while it is in flight.
        cached_from: the trial whose result answers this one, or None.
    """

    number: int
    suggestion: Suggestion
    stage: Stage = Stage.SEARCH
    seed: int = 0
    evaluation: Evaluation | None = None
    cached_from: int | None = None

    @property
    def architecture(self) -> Architecture:
        return self.suggestion.architecture


class Searcher(Component):
    """A function of its seed and the order of its asks and tells; networks and programs alike.

    A searcher knows the space and the objectives from its constructor:
    `Searcher(space, objectives, seed=..., **its own options)`. `Suggestion.info` never
    influences it; the n-th suggestion it returns becomes the n-th search trial (the n-th work the n-th
    trial of its stage), and `tell` finds it again by `trial.number`.

    What it needs of the study around it, it says by properties or attributes of its class, so that a study
    provides it, or refuses it before any work is spent. The defaults need nothing.
    """

    @abstractmethod
    def ask(self, count: int = 1) -> Sequence[Suggestion]:
        """Up to `count` proposals; fewer, or none, means: tell me more first.

        Raises:
            SearchFinished: nothing left to propose, now and later.
        """

    @abstractmethod
    def tell(self, trial: Trial) -> None:
        """Takes one finished trial, in any order, once each, failed ones too.

        Raises:
            ProtocolError: the trial was not asked for or was told before.
        """

    @property
    def fidelities(self) -> tuple[Fidelity, ...]:
        """All that it asks for, lowest first; empty where it leaves the fidelity to the study."""
        return ()

    @property
    def needs_states(self) -> bool:
        """Whether suggestions go on from the state that others left, for which a study keeps checkpoints."""
        return False

    @property
    def trains_supernet(self) -> bool:
        """Whether it asks for works besides candidates; no other searcher can be around it."""
        return False

    @property
    def uninformed(self) -> float | None:
        """How many of its first trials it asks for whatever it is told, such as the random start of a model.

        Infinity if it never learns, None if unknown. With it a run and its report say what was no search.
        """
        return None

    def check_values(self, names: Collection[str]) -> None:
        """Raises ConfigError if it needs a value that is not among those of a completed evaluation."""

    def check_images(self, images: Any) -> None:
        """Raises NasError if it cannot train on the evaluator's `dataset`; None where that one has none."""


class WrappedSearcher(Searcher):
    """A searcher around another one, for which it speaks; a subclass replaces what it changes.

    Args:
        inner: the other one.
    """

    def __init__(self, inner: Searcher) -> None:
        self.inner = inner

    def ask(self, count: int = 1) -> Sequence[Suggestion]:
        return self.inner.ask(count)

    def tell(self, trial: Trial) -> None:
        self.inner.tell(trial)

    @property
    def fidelities(self) -> tuple[Fidelity, ...]:
        return self.inner.fidelities

    @property
    def needs_states(self) -> bool:
        return self.inner.needs_states

    @property
    def trains_supernet(self) -> bool:
        return self.inner.trains_supernet

    @property
    def uninformed(self) -> float | None:
        return self.inner.uninformed

    def check_values(self, names: Collection[str]) -> None:
        self.inner.check_values(names)

    def check_images(self, images: Any) -> None:
        self.inner.check_images(images)


class TimedSearcher(WrappedSearcher):
    """A searcher that takes the seconds of each ask and of all tells.

    A study that is continued asks its searcher once more for all that it had asked, so that the times
    of its last session are those of the whole study.

    Args:
        searcher: the method.
        clock: seconds.
    """

    def __init__(self, searcher: Searcher, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(searcher)
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

    def to_json(self) -> dict[str, Any]:
        """Number of asks, those included that gave nothing; seconds of each; seconds of all tells."""
        return {
            "asks": len(self.ask_seconds),
            "ask_seconds": [round(seconds, 7) for seconds in self.ask_seconds],
            "tell_seconds": round(self.tell_seconds, 7),
        }


def propose(searcher: Searcher, space: SearchSpace) -> Suggestion | None:
    """The next suggestion of a searcher, whoever wrote it; None if it wants to be told more first.

    Raises:
        SearchFinished: it has nothing left.
        ProtocolError: it raised, or returned something else than at most one suggestion of this space.
    """
    try:
        given = searcher.ask(1)
    except SearchFinished:
        raise
    except BaseException as error:
        remedy = "mend it; raise SearchFinished when nothing is left"
        raise blame(error, f"{_name(searcher)}.ask", "suggestions", remedy) from error
    if type(given) not in (list, tuple) and (isinstance(given, str) or not isinstance(given, Sequence)):
        raise _refused(searcher, "a list of suggestions", given, "return [Suggestion(architecture)]")
    if not given:
        return None
    if len(given) > 1:
        raise ProtocolError(
            f"{_name(searcher)}.ask: expected at most 1 suggestion, got {len(given)}; "
            "return no more than `count`"
        )
    suggestion = given[0]
    if not isinstance(suggestion, Suggestion):
        raise _refused(searcher, "a Suggestion", suggestion, "return [Suggestion(architecture)]")
    architecture = suggestion.architecture
    if not isinstance(architecture, Architecture):
        remedy = "give Suggestion an architecture, as space.parse(text) or nas.sample(space, rng) make them"
        raise _refused(searcher, "a Suggestion of an Architecture", architecture, remedy)
    if not architecture.is_of(space):
        remedy = (
            f"suggest what the space has that the searcher was given; it accepts {space.name}.parse(text)"
        )
        raise _refused(searcher, f"an architecture of the space {space.name}", architecture, remedy)
    if suggestion.fidelity is not None and not isinstance(suggestion.fidelity, Fidelity):
        remedy = 'give Fidelity("epochs", 4), say, or None'
        raise _refused(searcher, "a Fidelity or None in `fidelity`", suggestion.fidelity, remedy)
    if suggestion.parent is not None and type(suggestion.parent) is not int:
        remedy = "give the number of a trial, or None"
        raise _refused(searcher, "the number of a trial in `parent`", suggestion.parent, remedy)
    if not isinstance(suggestion.info, Mapping):
        raise _refused(searcher, "a mapping in `info`", suggestion.info, "give a dict of JSON values")
    return suggestion


def tell(searcher: Searcher, trial: Trial) -> None:
    """Tells a searcher a trial, whoever wrote it.

    Raises:
        ProtocolError: it raised.
    """
    try:
        searcher.tell(trial)
    except BaseException as error:
        where = f"{_name(searcher)}.tell"
        raise blame(error, where, f"trial {trial.number} to be taken") from error


def _refused(searcher: Searcher, expected: str, got: object, remedy: str) -> ProtocolError:
    return ProtocolError(f"{_name(searcher)}.ask: expected {expected}, got {shown(got)}; {remedy}")


def _name(searcher: Searcher) -> str:
    """Its class; of one that is only timed, its own."""
    return type(searcher.inner if isinstance(searcher, TimedSearcher) else searcher).__name__


OVERHEAD = "overhead.json"


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
