"""The base of searchers on a supernet: chains of tasks that train its weights, then the chosen architectures.

A search is a chain of supernet tasks, each of which trains for some epochs from the state that the last one
saved, so that a crash costs those epochs at most; the architecture of each task is what the search would
choose after the task before it. The final choice is suggested as a candidate and trained from new weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.algorithms.shared.method import InFlight, SearchMethod, bad_option
from nas.errors import CompileError, ConfigError, EvaluationError, RelaxError, nearest, refusal
from nas.evaluation import FIRST_TRIAL, Fidelity, Objective, Stage
from nas.registry import check_names, field_names
from nas.study import SearchFinished, Suggestion, Trial
from nas.supernet import OneShotSettings, SupernetTraining, loaded

if TYPE_CHECKING:
    from nas.space import Architecture, SearchSpace
    from nas.training import DataOptions, Dataset

EPOCHS = "supernet_epochs"  # fidelity of a task
FOLLOWING = ("warmup_epochs", "alpha_from")  # settings whose defaults follow the number of epochs
_STREAM = 3  # of the searches' seeds
_SHAPE, _CLASSES = (
    (3, 32, 32),
    10,
)  # of the images for which a space is checked before the real ones are known


@dataclass(slots=True)
class SupernetChain:
    """The state of one search.

    Attributes:
        seed: of its weights, batches and draws.
        choice: the architecture that it would choose now.
        epochs: done.
        last: number of the task that saved the newest state; None before the first.
        busy: whether a task is in flight.
        over: whether no task follows.
        failed: whether its last task did.
    """

    seed: int
    choice: Architecture
    epochs: int = 0
    last: int | None = None
    busy: bool = False
    over: bool = False
    failed: bool = False
    suggested: bool = False


class SupernetSearch(SearchMethod[None]):
    """Trains one supernet for each search and suggests the architecture that each chooses.

    Args:
        space: that has a supernet.
        objectives: of the candidates; the shared weights are trained for the accuracy on images.
        seed: of all randomness.
        searches: how many, each with another seed; the best of their choices is the study's.
        epochs_per_work: epochs of one task, after which the state is saved; a crash loses no more than these.
        data: options of `nas.training.data.DataOptions`, if the images are not the evaluator's.
        proxy: the space with other numbers of channels or copies, which is relaxed instead; its choice stands
            for the same decisions in `space`. A run's configuration gives its options only.
        settings: of `nas.supernet.settings.OneShotSettings`, which override the method's.

    Raises:
        ConfigError: a value out of range, or a space without a supernet.

    Attributes:
        name: of the method.
        own: its options besides settings.
        defaults: its settings where they are not DARTS'.
    """

    name = "supernet"
    own = ("searches", "epochs_per_work", "data", "proxy")
    defaults: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        seed: int,
        searches: int = 1,
        epochs_per_work: int = 1,
        data: Mapping[str, Any] | None = None,
        proxy: SearchSpace | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(space, objectives, seed=seed)
        self._where = f'searcher "{self.name}"'
        check_counts(self.name, searches=searches, epochs_per_work=epochs_per_work)
        self._settings = settings_of(self._where, self.defaults, settings, self.own)
        self._relaxed = space if proxy is None else proxy
        check_relaxable(self._where, self._relaxed, self._settings)
        first = first_architecture(self._relaxed)
        self._check_proxy(space)
        self._step = epochs_per_work
        self._data = data_options(self._where, data)
        seeds = np.random.SeedSequence(seed, spawn_key=(_STREAM,)).generate_state(searches)
        self._chains = [
            SupernetChain(int(each), space.architecture_from_json(first.to_json())) for each in seeds
        ]
        self._tasks: InFlight[Any] = InFlight(type(self).__name__, FIRST_TRIAL[Stage.SUPERNET])

    @property
    def needs_states(self) -> bool:
        return True  # each task continues from the state of the one before

    @property
    def uninformed(self) -> float:
        return 0  # candidates follow from weights that were trained before

    @property
    def trains_supernet(self) -> bool:
        return True

    def check_images(self, images: Dataset | None) -> None:
        from nas.training import check_augmentation

        found = images if self._data is None else self._own_images(self._data)
        if found is None:
            expected = "an evaluator with images, to train the supernet"
            remedy = "give searcher.data={dataset: digits} or other images"
            raise ConfigError(refusal(self._where, expected, "none", remedy))
        if len(found.train) < 2:
            expected = "2 or more training images, some for the weights and some for the architecture"
            remedy = "give more, or a lower validation_fraction"
            raise ConfigError(refusal(self._where, expected, f"{len(found.train)} of {found.name}", remedy))
        try:
            check_augmentation(self._settings.augmentation(found.augmentable), found.input_shape)
        except EvaluationError as error:
            raise ConfigError(f"{self._where}: {error}") from error
        check_relaxable(self._where, self._relaxed, self._settings, found)
        if min(self._settings.batch_size, *self._settings.halves(len(found.train))) == 1:
            check_single_images(self._relaxed, self._settings, found)

    def _own_images(self, data: DataOptions) -> Dataset:
        try:
            return loaded(data)
        except EvaluationError as error:  # its remedies name the evaluator's options
            names = "|".join(field_names(data))
            text = re.sub(rf"\bevaluator\.(?=({names})\b)", "searcher.data.", str(error))
            raise ConfigError(f"{self._where}: {text}") from error

    def _check_proxy(self, space: SearchSpace) -> None:
        """Raises ConfigError if the decisions of the proxy are not those of the space."""
        one, other = ((each.name, len(each.layout.sites), each.size()) for each in (space, self._relaxed))
        if one != other:
            expected = f"the space {space.name} with the same decisions and other channels or layers"
            got = f"{self._relaxed.name} with {self._relaxed.size()} architectures"
            remedy = "give only options of the space that leave its choices"
            raise ConfigError(refusal(f"{self._where}: proxy", expected, got, remedy))

    def tell(self, trial: Trial) -> None:
        if trial.number < FIRST_TRIAL[Stage.SUPERNET]:
            super().tell(trial)
        else:
            self._take_task(trial, self._tasks.close(trial))

    def _take_task(self, trial: Trial, chain: Any) -> None:
        """Takes the result of a task with its chain, or with whatever a subclass remembers of it."""
        evaluation = trial.evaluation
        assert evaluation is not None, "InFlight.close checks it"
        chain.busy = False
        if not evaluation.ok:
            chain.failed = chain.over = True
            return
        chain.last, chain.epochs = trial.number, int(evaluation.info["epochs"])
        chain.choice = self._space.architecture_from_json(evaluation.info["decisions"])
        chain.over = chain.epochs >= self._settings.epochs or evaluation.info["stopped"] is not None

    def _suggest(self) -> Suggestion | None:
        for chain in self._chains:
            if not chain.busy and not chain.over:
                return self._task(chain)
        for chain in self._chains:
            if chain.over and not chain.failed and not chain.suggested:
                chain.suggested = True
                self._in_flight.add(None)
                return Suggestion(chain.choice, info={"origin": self.name, "epochs": chain.epochs})
        if all(chain.failed or chain.suggested for chain in self._chains):
            raise SearchFinished
        return None

    def _task(self, chain: SupernetChain) -> Suggestion:
        until = min(chain.epochs + self._step, self._settings.epochs)
        task = SupernetTraining(self._relaxed, self._settings, chain.epochs, until, chain.seed, self._data)
        self._tasks.add(chain)
        chain.busy = True
        return Suggestion(chain.choice, Fidelity(EPOCHS, until), chain.last, resumable=True, work=task)


def check_counts(name: str, **counts: Any) -> None:
    """Raises ConfigError unless these options are whole numbers of at least 1."""
    for option, value in counts.items():
        if type(value) is not int or value < 1:
            raise bad_option(name, option, "a whole number of at least 1", repr(value))


def settings_of(
    where: str, defaults: Mapping[str, Any], given: Mapping[str, Any], own: Sequence[str] = ()
) -> OneShotSettings:
    """A method's settings with some replaced; raises ConfigError for unknown names and bad values.

    Phases that a method counts in epochs (`FOLLOWING`) keep their share of the search if they are not given
    or None: a search of half the epochs has half of them.
    """
    names = field_names(OneShotSettings)
    for name in sorted(set(given) - set(names)):
        known = (*own, *names)
        expected, remedy = f"options among {', '.join(known)}", nearest(name, known, "leave it out")
        raise ConfigError(refusal(where, expected, name, remedy))
    chosen = {**defaults, **given}
    whole, epochs = defaults.get("epochs", OneShotSettings().epochs), chosen.get("epochs")
    for name in FOLLOWING:
        if given.get(name) is None:
            share = defaults.get(name, 0) / whole
            chosen[name] = round(share * epochs) if type(epochs) is int else defaults.get(name, 0)
    return OneShotSettings(**chosen)


def data_options(where: str, data: Mapping[str, Any] | None) -> DataOptions | None:
    from nas.training import DataOptions

    if data is None:
        return None
    if not isinstance(data, Mapping):
        raise ConfigError(refusal(f"{where}: data", "options", repr(data), "write data={dataset: digits}"))
    check_names(f"{where}: data", data, field_names(DataOptions), ConfigError)
    return DataOptions(**data)


def check_relaxable(
    where: str, space: SearchSpace, settings: OneShotSettings, images: Dataset | None = None
) -> None:
    """Raises ConfigError, with the place and the reason, for a space without a supernet; no torch.

    Args:
        where: for the message.
        space: to be relaxed.
        settings: which say whether as a layered graph, and the share of the channels that passes an edge.
        images: that its networks must fit; None if they are not known yet.
    """
    from nas.language import Context
    from nas.layers import at_sides
    from nas.supernet import ArchitectureWeights, Relaxing, layered_grid

    shape, classes = (_SHAPE, _CLASSES) if images is None else (images.input_shape, images.classes)
    context = Context(classes, affine=False, mode="search")
    relaxing = Relaxing(space, ArchitectureWeights(), settings.partial)
    if space.size() == 1:
        expected = "a space with a choice, as a supernet weighs options"
        got = f"{space.name}, which has nothing to choose"
        remedy = "give it a choice, such as relu() | gelu(), or take another searcher"
        raise ConfigError(refusal(where, expected, got, remedy))
    try:
        if settings.grid:
            at_sides(lambda sides: layered_grid(space, relaxing, sides, context), shape)
        else:
            at_sides(lambda sides: relaxing.root().shape(sides, context), shape)
    except RelaxError as error:
        raise ConfigError(f"{where}: {error}") from None
    except CompileError as error:
        if images is not None:
            raise ConfigError(f"{where}: {error}") from None


def check_single_images(space: SearchSpace, settings: OneShotSettings, images: Dataset) -> None:
    """Raises EvaluationError if the supernet cannot be trained on batches of one image."""
    import torch

    from nas.supernet import all_active, relax, relax_grid
    from nas.training import check_batch_of_one

    with torch.device("meta"):
        if settings.grid:
            net = relax_grid(space, images.input_shape, images.classes)
        else:
            net = relax(space, images.input_shape, images.classes, partial=settings.partial)
        weights = [all_active(torch.ones(len(hole.options))) for hole in net.holes]
        with net.plain():
            check_batch_of_one(lambda: net.train()(torch.empty(1, *images.input_shape), weights))


def first_architecture(space: SearchSpace) -> Architecture:
    """The first option of every choice: the choice of a search that has learnt nothing yet."""
    derivation = space.start()
    while derivation.site is not None:
        derivation = derivation.take(derivation.options[0])
    return derivation.architecture()
