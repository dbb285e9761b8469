"""Wrappers: how one builds the searcher inside it, and which trials of the two correspond.

A wrapper has the option `searcher`, a section with `name` and options, or a searcher that is built already.
Wrappers nest in any order, since each is a searcher to the one around it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nas.algorithms import SEARCHERS
from nas.algorithms.shared.method import SearchMethod, T
from nas.errors import ConfigError, refusal
from nas.evaluation import Objective
from nas.faults import shown
from nas.registry import accepts, prepare
from nas.study import Searcher, Suggestion, Trial, WrappedSearcher, check_part

if TYPE_CHECKING:
    from nas.space import SearchSpace

FidelityRange = tuple[str, float, float]
_STREAM = (2, 0)  # apart from the streams of trials and of the baseline; see nas.study.plan


def prepare_searcher(section: Mapping[str, Any], *, seed: int) -> Callable[..., Searcher]:
    """The searcher that a section names, to be called with space, objectives and `fidelity_range`.

    Sections inside it are checked as well. The range goes to searchers with a parameter of that name.

    Raises:
        ConfigError: an unknown name or option, here or inside.
    """
    inside = section.get("searcher")
    if isinstance(inside, Mapping):
        try:
            prepare_searcher(inside, seed=0)
        except ConfigError as error:
            raise ConfigError(f"searcher.{error}") from error
    ranged = accepts(SEARCHERS, section, "fidelity_range")
    fixed = {"seed": seed, "fidelity_range": None} if ranged else {"seed": seed}
    make = prepare(SEARCHERS, section, 2, **fixed)

    def make_checked(
        space: SearchSpace, objectives: Sequence[Objective], fidelity_range: FidelityRange | None = None
    ) -> Searcher:
        made = make(space, objectives, **({"fidelity_range": fidelity_range} if ranged else {}))
        check_part(Searcher, made, f'searcher "{section["name"]}"')
        return made

    return make_checked


def build_inner(
    searcher: Mapping[str, Any] | Searcher,
    space: SearchSpace,
    objectives: Sequence[Objective],
    *,
    seed: int,
    fidelity_range: FidelityRange | None = None,
) -> Inner:
    """The searcher inside a wrapper; a section is built with another seed, a searcher is used as it is.

    Args:
        searcher: the wrapper's option.
        space: what it searches.
        objectives: what it sees.
        seed: the wrapper's; the searcher inside gets another stream of random numbers.
        fidelity_range: the evaluator's, for a searcher whose signature has it.

    Raises:
        ConfigError: neither a section nor a searcher; an unknown name or option; a searcher that asks for
            supernet tasks besides candidates, which wrappers do not expect.
    """
    if isinstance(searcher, Mapping):
        try:
            made = prepare_searcher(searcher, seed=child_seed(seed))(space, objectives, fidelity_range)
        except ConfigError as error:
            raise ConfigError(f"searcher.{error}") from error
    elif isinstance(searcher, Searcher):
        made = searcher
    else:
        raise ConfigError(
            refusal(
                "searcher.searcher",
                "a section with a name or a nas.study.Searcher",
                shown(searcher),
                "give one such as {name: random}",
            )
        )
    if made.trains_supernet:
        name = searcher["name"] if isinstance(searcher, Mapping) else type(searcher).__name__
        expected, got = "a searcher that suggests candidates alone", f'"{name}", which trains a supernet'
        raise ConfigError(refusal("searcher.searcher", expected, got, f"set searcher={name} instead"))
    return Inner(made)


def child_seed(seed: int) -> int:
    """The seed, below 2^32, of the searcher inside a wrapper of this seed."""
    return int(np.random.SeedSequence(seed, spawn_key=_STREAM).generate_state(1)[0])


class Proposal(NamedTuple):
    """A suggestion of the searcher inside.

    Attributes:
        number: of the inner trial.
        suggestion: with the outer parent.
        parent: number of the inner one.
    """

    number: int
    suggestion: Suggestion
    parent: int | None


class Inner:
    """The searcher inside a wrapper, with the correspondence of trials; each inner trial is told once.

    Inner trials are numbered by the asks of the inner searcher, outer ones by those of the wrapper; the
    numbers differ once a wrapper withholds a proposal or adds a trial.

    Args:
        searcher: fresh.
    """

    def __init__(self, searcher: Searcher) -> None:
        self.searcher = searcher
        self._proposed: dict[int, Suggestion] = {}  # in flight, as the inner searcher knows them
        self._outer: list[int | None] = []  # inner number -> the outer trial that stands for it

    def ask(self) -> Proposal | None:
        """One proposal; None if results are needed first.

        Raises:
            SearchFinished: no proposal is left, now or later.
        """
        given = self.searcher.ask(1)
        if not given:
            return None
        number, suggestion = len(self._outer), given[0]
        self._proposed[number] = suggestion
        self._outer.append(None)
        parent = None if suggestion.parent is None else self._outer[suggestion.parent]
        return Proposal(number, replace(suggestion, parent=parent), suggestion.parent)

    def stands_for(self, number: int, outer: int) -> None:
        """Says which outer trial evaluates an inner one, for suggestions that have it as their parent."""
        self._outer[number] = outer

    def tell(self, number: int, trial: Trial, suggestion: Suggestion | None = None) -> None:
        """Tells the inner searcher the result of its trial `number`.

        Args:
            number: of an inner trial that was not told before.
            trial: the outer trial whose evaluation answers it.
            suggestion: as the inner searcher knows it; by default its proposal, or what replaced it.
        """
        proposed = self._proposed.pop(number)
        self._outer[number] = trial.number if self._outer[number] is None else self._outer[number]
        if suggestion is None:
            same = trial.architecture == proposed.architecture
            suggestion = proposed if same else replace(trial.suggestion, parent=None)
        self.searcher.tell(replace(trial, number=number, suggestion=suggestion))


class Wrapper(SearchMethod[T], WrappedSearcher):
    """A searcher around another one, whose needs it reports; a subclass says which proposals pass and how.

    Args:
        space: for the searcher inside.
        objectives: likewise.
        seed: of all randomness; the searcher inside gets one that is derived from it.
        searcher: a section with a name and options, or a searcher.
        fidelity_range: the evaluator's, for the searcher inside.

    Raises:
        ConfigError: as `build_inner`.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        seed: int,
        searcher: Mapping[str, Any] | Searcher,
        fidelity_range: FidelityRange | None = None,
    ) -> None:
        SearchMethod.__init__(self, space, objectives, seed=seed)
        self._inner = build_inner(searcher, space, objectives, seed=seed, fidelity_range=fidelity_range)
        WrappedSearcher.__init__(self, self._inner.searcher)
