"""Resume is replay: a fresh searcher is led through the log until it stands where the last one stood."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from nas.errors import SpaceError, StoreError
from nas.evaluation import Fidelity, Planned, Stage
from nas.study.cache import CacheKey, Hashed, Hit, Miss, Partial, Pending
from nas.study.event_log import encode
from nas.study.record import evaluation_from_json, fidelity_from_json
from nas.study.searcher import Searcher, SearchFinished, Suggestion, propose, tell
from nas.study.state import PendingTrial, StudyState, TrialPhase

if TYPE_CHECKING:
    from nas.space import SearchSpace

Event = Mapping[str, Any]


class Replay:
    """Feeds logged events to a ledger and a searcher; asks and tells come in the logged order.

    A suggestion that differs from the logged one, as after a change of versions, gives way to it, with
    one warning. Where the searcher gives something and the log nothing, or the reverse, the numbering of
    the trials would part, so that is an error.

    Args:
        searcher: fresh, with the options of the log.
        evaluator: fingerprint of the evaluator, as in the log.
        search_fidelity: of suggestions that name none.
        looks_up: whether search trials are looked up in a cache.
        path: of the log, for messages.
    """

    def __init__(
        self,
        space: SearchSpace,
        searcher: Searcher,
        ledger: StudyState,
        *,
        evaluator: str,
        search_fidelity: Fidelity | None,
        looks_up: bool,
        path: Path,
    ) -> None:
        self._space = space
        self._searcher = searcher
        self._ledger = ledger
        self._evaluator = evaluator
        self._search_fidelity = search_fidelity
        self._looks_up = looks_up
        self._path = path
        self._line = 0
        self._warned = False

    def run(self, events: Iterable[Event]) -> None:
        """Applies all events.

        Raises:
            StoreError: events that contradict each other, or that this searcher cannot have caused.
        """
        for self._line, event in enumerate(events, start=1):
            self._apply(event)

    def _apply(self, event: Event) -> None:
        match event["event"]:
            case "asked" if event["trial"] is None:
                self._ask_nothing(event)
            case "asked":
                self._ledger.ask(self._asked(event))
            case "hashed":
                self._hashed(self._open(event), event)
            case "cached":
                self._cached(self._open(event), event)
            case "started" | "hashing":
                self._started(self._open(event), event)
            case "evaluated":
                self._evaluated(self._open(event), event)
            case "told":
                self._told(self._open(event), event)

    def _ask_nothing(self, event: Event) -> None:
        given = self._ask()
        if given is not None:
            self._contradiction("a searcher that has nothing to suggest, as logged; it suggests something")
        self._ledger.ask_nothing(exhausted=event["exhausted"])

    def _asked(self, event: Event) -> PendingTrial:
        stage = Stage(event["stage"])
        asked = stage in (Stage.SEARCH, Stage.SUPERNET)  # the others are the study's own
        suggestion = self._suggestion(event, stage) if asked else self._logged(event)
        return PendingTrial(
            event["trial"],
            suggestion,
            stage,
            event["digest"],
            fidelity_from_json(event["fidelity"]),
            event["seed"],
        )

    def _suggestion(self, event: Event, stage: Stage) -> Suggestion:
        given = self._ask()
        if given is None:
            self._contradiction("a suggestion, as logged; the searcher has nothing to suggest")
        is_work = stage is Stage.SUPERNET
        if (given.work is not None) != is_work:
            self._contradiction(f"a trial of the stage {stage}, as logged; the searcher suggests another one")
        same_text = given.architecture.text == event["architecture"]
        fidelity = given.fidelity or (None if is_work else self._search_fidelity)
        if (
            same_text
            and encode(given.architecture.to_json()) == encode(event["decisions"])
            and fidelity == fidelity_from_json(event["fidelity"])
            and (given.parent, given.resumable) == (event["parent"], event.get("resumable", False))
        ):
            return given
        logged = self._logged(event)
        if is_work:
            logged = replace(logged, work=given.work)
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{self._path}, line {self._line}: trial {event['trial']}: the searcher suggests another "
                "architecture than it did; the log is followed; were versions changed?",
                stacklevel=2,
            )
        return logged

    def _logged(self, event: Event) -> Suggestion:
        try:
            architecture = self._space.architecture_from_json(event["decisions"])
        except SpaceError as error:
            self._contradiction(f"decisions of space {self._space.name}; got {error}", error)
        fidelity = fidelity_from_json(event["fidelity"])
        return Suggestion(
            architecture, fidelity, event["parent"], event["info"], event.get("resumable", False)
        )

    def _hashed(self, entry: PendingTrial, event: Event) -> None:
        if entry.state not in (TrialPhase.ASKED, TrialPhase.HASHING):
            self._contradiction(f"no further hash of trial {entry.number}")
        hashed = Hashed(event["digest"], event["settings"], event["reason"], event.get("passing", False))
        self._ledger.hash(entry, hashed, event["seconds"], event["finished"])

    def _cached(self, entry: PendingTrial, event: Event) -> None:
        if entry.state is TrialPhase.PROMOTED:
            self._check_answer(entry.promoted or Miss(), event)
            entry.state = TrialPhase.READY
            return
        if entry.state not in (TrialPhase.ASKED, TrialPhase.HASHED):
            self._contradiction(f"no further look into the cache for trial {entry.number}")
        key = None if event["key"] is None else (event["key"][0], event["key"][1])
        hashed = entry.hashed
        found = None if hashed is None or hashed.digest is None else (hashed.digest, hashed.settings)
        if hashed is not None and key != found:
            self._contradiction(f"the key that was hashed, {found}; got {key}")
        if key is None:
            self._ledger.bypass(entry)
        else:
            answer = self._ledger.admit(entry, CacheKey(*key, entry.fidelity, self._evaluator))
            self._check_answer(answer, event)

    def _check_answer(self, answer: Hit | Pending | Partial | Miss, event: Event) -> None:
        if answer.outcome != event["outcome"]:
            self._contradiction(f"cache outcome {answer.outcome}; got {event['outcome']}")
        if answer.dropped != event.get("dropped", False):  # logs of before say nothing of it
            kept = "dropped" if answer.dropped else "kept"
            self._contradiction(f"a class that is {kept} after this answer")

    def _started(self, entry: PendingTrial, event: Event) -> None:
        hashing = event["event"] == "hashing"
        may_begin = (
            (TrialPhase.ASKED, TrialPhase.HASHING) if hashing else (TrialPhase.READY, TrialPhase.RUNNING)
        )
        if entry.state not in may_begin and (self._looks_up or entry.state is not TrialPhase.ASKED):
            self._contradiction(f"a look of trial {entry.number} into the cache before it is started")
        plan = Planned(event["clock"], event.get("finish"), event.get("worker"))
        self._ledger.start(entry, plan, hashing=hashing)
        self._ledger.clock = max(self._ledger.clock, event["clock"])

    def _evaluated(self, entry: PendingTrial, event: Event) -> None:
        if entry.state is not TrialPhase.RUNNING:
            self._contradiction(f"a start of trial {entry.number} before its evaluation")
        self._ledger.evaluate(entry, evaluation_from_json(event["evaluation"]), event["finished"])

    def _told(self, entry: PendingTrial, event: Event) -> None:
        if entry.state is not TrialPhase.EVALUATED:
            self._contradiction(f"an end of trial {entry.number} before it is told")
        self._check_told(entry, event)
        self._ledger.tell(entry, event["clock"])
        tell(self._searcher, entry.trial())

    def _check_told(self, entry: PendingTrial, event: Event) -> None:
        """Of means only, so that the replay of a study without them is as fast as it was."""
        values = event.get("values")
        if (entry.evaluations == 1) != (values is None):
            self._contradiction(f"a mean of {entry.evaluations} evaluations")
        if values is not None and entry.evaluation is not None:
            mine = json.loads(encode(dict(entry.evaluation.values)))
            if mine != values:
                self._contradiction(f"the means {mine}; got {values}")

    def _open(self, event: Event) -> PendingTrial:
        entry = self._ledger.open.get(event["trial"])
        if entry is None:
            self._contradiction(f"a trial that was asked and is not over; got {event['trial']}")
        return entry

    def _ask(self) -> Suggestion | None:
        try:
            return propose(self._searcher, self._space)
        except SearchFinished:
            return None

    def _contradiction(self, what: str, cause: Exception | None = None) -> NoReturn:
        raise StoreError(
            f"{self._path}, line {self._line}: expected {what}; restore the file, or start a new study in "
            "another run.dir"
        ) from cause
