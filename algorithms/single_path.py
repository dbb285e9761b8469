"""Single-path one-shot: uniform paths train the supernet, then any searcher chooses by inherited weights.

Guo, Zhang, Mu, Heng, Liu, Wei and Sun 2020, "Single Path One-Shot Neural Architecture Search with Uniform
Sampling" (https://arxiv.org/abs/1904.00420). The accuracy of a candidate is that of the supernet's weights
on the validation images, after its batch normalisation was recalibrated on training images. Differs from the
paper:
- the searcher is an option; the paper's is an evolution of 50 parents over 20 generations;
- the `top` candidates are trained as ordinary ones, where the paper trains one;
- a hole is one choice, at an edge of a cell as at a block of a chain; the paper's space has blocks only;
- the schedule is DARTS', where the paper's falls linearly; a tenth of the training images measures progress.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nas.algorithms.shared.method import bad_option, loss_of
from nas.algorithms.shared.supernet_search import SupernetChain, SupernetSearch, check_counts
from nas.algorithms.shared.wrapping import build_inner
from nas.errors import ConfigError, refusal
from nas.evaluation import Objective, Stage
from nas.study import Searcher, SearchFinished, Suggestion, Trial
from nas.supernet import SHARED_ACCURACY, SharedWeights

if TYPE_CHECKING:
    from nas.space import Architecture, SearchSpace

_SHARED = Objective(SHARED_ACCURACY, "maximize", "%")


class SinglePath(SupernetSearch):
    """Uniform sampling of paths, then a searcher over the shared weights.

    Args:
        space: that has a supernet.
        objectives: of the candidates that are trained in the end.
        seed: of all randomness.
        searcher: section of the searcher over inherited weights.
        evaluations: how many architectures it may try.
        top: how many of the best are suggested as candidates.
        options: of `SupernetSearch`, but for `searches`, and of `OneShotSettings`.

    Raises:
        ConfigError: a value out of range, or a space without a supernet.
    """

    name = "single_path"
    own = ("searcher", "evaluations", "top", "epochs_per_work", "data", "proxy")
    defaults: Mapping[str, Any] = MappingProxyType({"weighting": "uniform", "train_fraction": 0.9})

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        seed: int,
        searcher: Mapping[str, Any] | Searcher | None = None,
        evaluations: int = 1000,
        top: int = 1,
        **options: Any,
    ) -> None:
        if "searches" in options:
            where, expected = 'searcher "single_path": searches', "one search on one supernet"
            raise ConfigError(refusal(where, expected, options["searches"], "set top for more candidates"))
        super().__init__(space, objectives, seed=seed, **options)
        if self._settings.partial > 1:
            expected = "1, as whole networks inherit the weights"
            raise bad_option(self.name, "partial", expected, self._settings.partial)
        check_counts(self.name, evaluations=evaluations, top=top)
        section = {"name": "regularized_evolution"} if searcher is None else searcher
        self._inner = build_inner(section, space, (_SHARED,), seed=seed)
        self._evaluations, self._top = evaluations, top
        self._measured = 0  # architectures so far
        self._found: dict[str, tuple[float, int, Architecture]] = {}  # by digest: loss, number, architecture
        self._exhausted = False
        self._best: list[Architecture] | None = None  # left to suggest

    def _suggest(self) -> Suggestion | None:
        (chain,) = self._chains
        if not chain.over:
            return None if chain.busy else self._task(chain)
        if chain.failed:
            raise SearchFinished
        if self._measured < self._evaluations and not self._exhausted:
            try:
                return self._measurement(chain)
            except SearchFinished:
                self._exhausted = True
        return None if self._tasks else self._candidate()

    def _measurement(self, chain: SupernetChain) -> Suggestion | None:
        """The next architecture of the searcher inside, to be measured with inherited weights."""
        proposal = self._inner.ask()
        if proposal is None:
            return None
        self._measured += 1
        self._tasks.add(proposal.number)
        task = SharedWeights(self._relaxed, self._settings, chain.seed, self._data)
        suggestion = proposal.suggestion
        return Suggestion(suggestion.architecture, parent=chain.last, info=dict(suggestion.info), work=task)

    def _candidate(self) -> Suggestion:
        if self._best is None:
            ranked = sorted(self._found.values(), key=lambda found: found[:2])
            self._best = [architecture for *_, architecture in ranked[: self._top]]
        if not self._best:
            raise SearchFinished
        architecture = self._best.pop(0)
        self._in_flight.add(None)
        accuracy = -self._found[architecture.digest()][0]
        return Suggestion(architecture, info={"origin": self.name, SHARED_ACCURACY: accuracy})

    def _take_task(self, trial: Trial, chain: SupernetChain | int) -> None:
        if not isinstance(chain, int):
            super()._take_task(trial, chain)
            return
        loss = loss_of(trial, _SHARED)
        if loss < math.inf:
            self._found.setdefault(trial.architecture.digest(), (loss, chain, trial.architecture))
        self._inner.tell(chain, replace(trial, stage=Stage.SEARCH))
