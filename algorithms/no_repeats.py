"""A wrapper by which no architecture is evaluated twice: repeats are answered with known results.

No paper. A repeat is an architecture of the same text at the same fidelity; it is not evaluated:
- if the earlier trial has ended, the searcher inside is told its result at once, as of a cached trial;
- if it is in flight, the searcher is told when it ends.
Then the searcher inside is asked again.

After `redraws` repeats in a row the searcher is stuck, as a converged population is, and the last repeat is
replaced: by the first new architecture on a random walk of up to 100 mutations from it; else of 1,000 random
samples; else, in a space of at most 20,000 derivations, by any that enumeration still finds. The searcher
inside is told the result of the replacement instead of the repeat's, which leads it away from where it was
stuck. If nothing new is found, the search is finished; a small space is exhausted then.

A promotion of multi-fidelity search, which asks about its parent's architecture at another fidelity, is never
replaced, since it asks about that architecture alone. It is a repeat only of the same architecture at the
same fidelity. A second promotion of one trial to one fidelity is treated like any other proposal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.algorithms.shared.method import check_range
from nas.algorithms.shared.wrapping import FidelityRange, Proposal, Wrapper
from nas.errors import SpaceError
from nas.evaluation import Fidelity, Objective
from nas.space import Architecture, enumerate_architectures, mutate, sample
from nas.study import Searcher, SearchFinished, Suggestion, Trial

if TYPE_CHECKING:
    from nas.space import SearchSpace

_STEPS = 100
_SAMPLES = 1000
_ENUMERABLE = 20_000


class ProposalKey(NamedTuple):
    """What must not be proposed twice."""

    digest: str
    fidelity: Fidelity | None


class NoRepeats(Wrapper[tuple[int, ProposalKey]]):  # of a trial: the inner one, what was proposed
    """Asks the searcher inside until it proposes something new.

    Args:
        space: for the searcher inside, and for replacements when it is stuck.
        objectives: for the searcher inside.
        seed: of the random walks, from which that of the searcher inside is derived.
        searcher: a section with a name and options, or a searcher.
        redraws: repeats in a row after which the last one is replaced, 1 or more.
        fidelity_range: for the searcher inside.

    Raises:
        ConfigError: an option out of range, or one that the searcher inside does not know.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        seed: int,
        searcher: Mapping[str, Any] | Searcher,
        redraws: int = 20,
        fidelity_range: FidelityRange | None = None,
    ) -> None:
        check_range("no_repeats", "redraws", redraws, 1)
        super().__init__(space, objectives, seed=seed, searcher=searcher, fidelity_range=fidelity_range)
        self._redraws = redraws
        self._known: dict[ProposalKey, Trial] = {}  # that have ended
        self._waiting: dict[ProposalKey, list[int]] = {}  # trials in flight -> inner trials that repeat them
        self._keys: list[ProposalKey] = []  # of all outer trials
        self._repeats: list[int] = []  # inner trials that were answered by known results
        self._promoted: set[tuple[int, Fidelity | None]] = set()  # inner trials and their next fidelity
        self._unseen: dict[Fidelity | None, list[Architecture]] = {}  # found by enumeration

    @property
    def uninformed(self) -> float | None:
        """That of the searcher inside without its repeats so far, which are not evaluated."""
        inside = self.inner.uninformed
        return None if inside is None else inside - sum(number < inside for number in self._repeats)

    def _take(self, trial: Trial, remembered: tuple[int, ProposalKey]) -> None:
        number, key = remembered
        self._known[key] = self._known[_key(trial.suggestion)] = trial
        self._inner.tell(number, trial)
        for repeat in self._waiting.pop(key):
            self._inner.tell(repeat, _answer(trial))

    def _suggest(self) -> Suggestion | None:
        repeats = 0
        while True:
            proposal = self._inner.ask()
            if proposal is None:
                return None
            promotion = self._is_promotion(proposal)
            if self._is_new(_key(proposal.suggestion)):
                return self._propose(proposal)
            repeats += not promotion
            if repeats < self._redraws or promotion:
                self._answer_repeat(proposal)
                continue
            return self._replacement(proposal)

    def _replacement(self, proposal: Proposal) -> Suggestion | None:
        """A new architecture instead of a repeat; None if there is none now, but may be later."""
        repeated = proposal.suggestion
        alternatives = self._alternatives(repeated.architecture, repeated.fidelity)
        new = (each for each in alternatives if self._is_new(ProposalKey(each.digest(), repeated.fidelity)))
        architecture = next(new, None)
        if architecture is None:
            self._answer_repeat(proposal)
            if self._in_flight:
                return None  # what is in flight may be promoted
            raise SearchFinished
        info = {**repeated.info, "instead_of": repeated.architecture.digest()}
        return self._propose(
            proposal._replace(suggestion=replace(repeated, architecture=architecture, info=info))
        )

    def _propose(self, proposal: Proposal) -> Suggestion:
        key = _key(proposal.suggestion)
        outer = self._in_flight.add((proposal.number, key))
        self._waiting[key] = []
        self._keys.append(key)
        self._inner.stands_for(proposal.number, outer)
        return proposal.suggestion

    def _answer_repeat(self, proposal: Proposal) -> None:
        self._repeats.append(proposal.number)
        key = _key(proposal.suggestion)
        if key in self._waiting:
            self._waiting[key].append(proposal.number)
        else:
            self._inner.tell(proposal.number, _answer(self._known[key]))

    def _is_new(self, key: ProposalKey) -> bool:
        return key not in self._known and key not in self._waiting

    def _is_promotion(self, proposal: Proposal) -> bool:
        """Whether it is the first to ask about its parent's architecture at another fidelity; notes it."""
        suggestion, key = proposal.suggestion, _key(proposal.suggestion)
        if suggestion.parent is None or proposal.parent is None:
            return False
        before, step = self._keys[suggestion.parent], (proposal.parent, key.fidelity)
        if before.digest != key.digest or before.fidelity == key.fidelity or step in self._promoted:
            return False
        self._promoted.add(step)
        return True

    def _alternatives(
        self, architecture: Architecture, fidelity: Fidelity | None = None
    ) -> Iterator[Architecture]:
        """A random walk from an architecture, then samples, then all of a small space."""
        try:
            for _ in range(_STEPS):
                architecture = mutate(self._space, architecture, self._rng)
                yield architecture
        except SpaceError:  # no alternative, or none that the constraints admit
            pass
        try:
            for _ in range(_SAMPLES):
                yield sample(self._space, self._rng)
        except SpaceError:  # constraints reject nearly all of the space
            pass
        if fidelity not in self._unseen:
            small = self._space.size_within(_ENUMERABLE) is not None
            all_ = list(enumerate_architectures(self._space)) if small else []
            self._unseen[fidelity] = [all_[index] for index in self._rng.permutation(len(all_))]
        while self._unseen[fidelity]:
            yield self._unseen[fidelity].pop()


def _key(suggestion: Suggestion) -> ProposalKey:
    return ProposalKey(suggestion.architecture.digest(), suggestion.fidelity)


def _answer(known: Trial) -> Trial:
    """The result of a trial as that of its repeat, at no cost."""
    assert known.evaluation is not None
    return replace(known, evaluation=replace(known.evaluation, cost_seconds=0.0), cached_from=known.number)
