"""Single-path one-shot: uniform paths train the supernet, then any searcher chooses by inherited weights.

Guo, Zhang, Mu, Heng, Liu, Wei and Sun 2020, "Single Path One-Shot Neural Architecture Search with Uniform
Sampling" (https://arxiv.org/abs/1904.00420). The accuracy of a candidate is that of the supernet's weights
on the validation images, once its batch normalisation has seen some training images. Differs from the paper:
- the searcher is an option; the paper's is an evolution of 50 parents over 20 generations;
- the `top` candidates are trained as ordinary ones, where the paper trains one;
- a hole is one choice, at an edge of a cell as at a block of a chain; the paper's space has blocks only;
- the schedule is DARTS', where the paper's falls linearly; a tenth of the training images measures progress.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from algorithms.shared.supernet_search import SupernetSearch
from algorithms.shared.wrapping import build_inner
from nas.errors import ConfigError
from nas.evaluation import Objective, Stage
from nas.oneshot.work import SHARED_ACCURACY, SharedWeights
from nas.searcher import Searcher, SearchFinished, Suggestion, Trial

if TYPE_CHECKING:
    from nas.architecture import Architecture
    from nas.space import SearchSpace

_SHARED = Objective(SHARED_ACCURACY, "maximize", "%")


class SinglePath(SupernetSearch):
    """Uniform sampling of paths, then a searcher over the shared weights.

    Args:
        space: that has a supernet.
        objectives: of the candidates that are trained in the end.
        seed: of everything.
        searcher: section of the searcher over inherited weights.
        evaluations: how many architectures it may try.
        top: how many of the best are suggested as candidates.
        options: of `SupernetSearch`, but for `searches`, and of `OneShotSettings`.

    Raises:
        ConfigError: a value out of range, or a space without a supernet.
    """

    name = "single_path"
    defaults = {"weighting": "uniform", "train_fraction": 0.9}  # noqa: RUF012 - never changed

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
            raise ConfigError('searcher "single_path": one supernet is searched; use top for more candidates')
        super().__init__(space, objectives, seed=seed, **options)
        if self._settings.partial > 1:
            raise ConfigError(
                f'searcher "single_path": partial: expected 1, as whole networks inherit the weights, '
                f"got {self._settings.partial}"
            )
        for option, value in (("evaluations", evaluations), ("top", top)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f'searcher "single_path": {option}: expected 1 or more, got {value!r}')
        section = {"name": "regularized_evolution"} if searcher is None else searcher
        self._inner = build_inner(section, space, (_SHARED,), seed=seed)
        self._evaluations, self._top = evaluations, top
        self._inner_asked = 0
        self._measuring: dict[int, tuple[int, Suggestion]] = {}  # number and suggestion of the inner searcher
        self._found: dict[str, tuple[float, int, Architecture]] = {}  # by digest: loss, number, architecture
        self._exhausted = False
        self._best: list[Architecture] | None = None  # left to suggest

    def _next(self) -> Suggestion | None:
        (chain,) = self._chains
        if not chain.over:
            return None if chain.busy else self._work(chain)
        if chain.failed:
            return None
        if self._inner_asked < self._evaluations and not self._exhausted:
            return self._shared()
        return None if self._measuring else self._candidate()

    def _is_done(self, chain: Any) -> bool:
        return chain.failed or self._best == []

    def _shared(self) -> Suggestion | None:
        """The next architecture of the inner searcher, to be measured with inherited weights."""
        try:
            given = self._inner.ask(1)
        except SearchFinished:
            self._exhausted = True
            return self._next()
        if not given:
            return None
        (chain,) = self._chains
        number = self._asked.add(Stage.SUPERNET)
        self._measuring[number] = (self._inner_asked, given[0])
        self._inner_asked += 1
        work = SharedWeights(self._relaxed, self._settings, chain.seed, self._data)
        return Suggestion(given[0].architecture, parent=chain.last, info=dict(given[0].info), work=work)

    def _candidate(self) -> Suggestion | None:
        if self._best is None:
            ranked = sorted(self._found.values(), key=lambda found: found[:2])
            self._best = [architecture for *_, architecture in ranked[: self._top]]
        if not self._best:
            return None
        architecture = self._best.pop(0)
        self._asked.add(Stage.SEARCH)
        accuracy = -self._found[architecture.digest()][0]
        return Suggestion(architecture, info={"origin": self.name, SHARED_ACCURACY: accuracy})

    def tell(self, trial: Trial) -> None:
        measured = self._measuring.pop(trial.number, None)
        super().tell(trial)
        if measured is None:
            return
        number, suggestion = measured
        evaluation = trial.evaluation
        if evaluation is not None and evaluation.ok:
            loss = -evaluation.values[SHARED_ACCURACY]
            digest = suggestion.architecture.digest()
            self._found.setdefault(digest, (loss, number, suggestion.architecture))
        self._inner.tell(replace(trial, number=number, suggestion=suggestion, stage=Stage.SEARCH))
