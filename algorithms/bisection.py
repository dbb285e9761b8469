"""Any searcher on binary decisions: bisection of ordered choices (Negrinho and Gordon 2017).

DeepArchitect (https://arxiv.org/abs/1704.08792) restructures the tree of a search space so that a choice
among k ordered values becomes a path of halves; results of one value then speak for its neighbours. The
searcher inside sees the bisected view of the space (`nas.bisection`), its suggestions come out as
architectures of the space itself, one for one and under the same numbers.

Differs from the paper:
- usable around every searcher, not for tree search alone: what mutates, crosses over or encodes does so
  with decisions about halves. Changing a repeat's count then adds or removes copies at the end;
- only ordered choices are halved (numbers, repeats, choices among numbers), unless `all_choices`;
- real numbers, which the paper does not have, are halved `depth` times.

A searcher that samples uniformly over options is, inside, uniform over halves: with k no power of two some
values are twice as likely as others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from algorithms.asked import Asked
from algorithms.wrapping import FidelityRange, Inner, ask_each, build_inner
from nas.bisection import MAX_DEPTH, BisectedSpace, bisected
from nas.errors import ConfigError
from nas.evaluation import Fidelity, Objective
from nas.searcher import BaseSearcher, Searcher, Suggestion, Trial

if TYPE_CHECKING:
    from nas.space import SearchSpace


class Bisection(BaseSearcher):
    """Asks the searcher inside, which decides by halves.

    Args:
        space: to search.
        objectives: of the searcher inside.
        seed: of all randomness.
        searcher: the one inside, as a section with a name; or one built on `nas.bisection.bisected(space)`.
        all_choices: halve every choice, as DeepArchitect's released code does.
        depth: halvings of a real number, 0 to 40.
        fidelity_range: of the evaluator, for the searcher inside.

    Raises:
        ConfigError: an option out of range; a section that names no searcher; a searcher of another space; a
            space with choices of which none is ordered, without `all_choices`.
        SpaceError: a space that is bisected already.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        seed: int,
        searcher: Mapping[str, Any] | Searcher,
        all_choices: bool = False,
        depth: int = 5,
        fidelity_range: FidelityRange | None = None,
    ) -> None:
        if isinstance(space, BisectedSpace):
            raise ConfigError(
                'searcher "bisection": expected a space that is not bisected; got one that is; name it once'
            )
        if not 0 <= depth <= MAX_DEPTH:
            raise ConfigError(
                f'searcher "bisection": depth: expected 0 to {MAX_DEPTH}; got {depth}; change it'
            )
        self._space = bisected(space, all_choices=all_choices, depth=depth)
        if not self._space.halves and bisected(space, all_choices=True, depth=depth).halves:
            raise ConfigError(
                f'searcher "bisection": space {space.name}: expected ordered choices to halve; got none; set '
                "all_choices=true"
            )
        self._inner = Inner(
            build_inner(searcher, self._space, objectives, seed=seed, fidelity_range=fidelity_range)
        )
        self._flying: dict[int, Suggestion] = {}  # as the searcher inside made them
        self._asked = Asked(type(self).__name__)

    @property
    def fidelities(self) -> tuple[Fidelity, ...]:
        return self._inner.fidelities

    @property
    def needs_states(self) -> bool:
        return self._inner.needs_states

    @property
    def uninformed(self) -> float | None:
        """That of the searcher inside."""
        return self._inner.uninformed

    def check_values(self, names: Collection[str]) -> None:
        self._inner.check_values(names)

    def ask(self, count: int = 1) -> list[Suggestion]:
        return ask_each(count, self._suggest)

    def tell(self, trial: Trial) -> None:
        self._asked.close(trial)
        suggestion = self._flying.pop(trial.number)
        if self._space.restored(suggestion.architecture) != trial.architecture:
            adopted = self._space.adopted(trial.architecture)
            suggestion = replace(trial.suggestion, architecture=adopted, parent=None)
        self._inner.tell(trial.number, trial, suggestion)  # one for one: the numbers are the same

    def _suggest(self) -> Suggestion | None:
        proposal = self._inner.ask()
        if proposal is None:
            return None
        suggestion = proposal.suggestion
        if suggestion.architecture.space != self._space.name:
            raise ConfigError(
                f'searcher "bisection": expected a searcher built on "{self._space.name}"; got one of '
                f'"{suggestion.architecture.space}"; give its section'
            )
        number = self._asked.add()
        self._inner.stands_for(proposal.number, number)
        self._flying[number] = suggestion
        return replace(suggestion, architecture=self._space.restored(suggestion.architecture))
