"""Tasks of one-shot searchers for workers: train shared weights for some epochs, or measure with them."""

from __future__ import annotations

import functools
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import EvaluationError, refusal
from nas.evaluation import Evaluation, Evaluator, Status, Task
from nas.supernet.settings import OneShotSettings

if TYPE_CHECKING:
    from nas.space import Architecture, SearchSpace
    from nas.supernet.training import OneShot
    from nas.training import DataOptions, Dataset, DeviceData

_TRAINED: dict[tuple[Any, ...], OneShot] = {}  # the latest
SHARED_ACCURACY = "shared_accuracy"  # in percent, on the validation images, with inherited weights


@dataclass(frozen=True, slots=True)
class SupernetTraining:
    """Trains a supernet until `until` epochs are done and reports which architecture it would choose.

    It continues the state at the task's checkpoint and saves its own at `save_to`. The info of its evaluation
    has the `decisions` of the choice, the `epochs` done and `stopped`: why a search ended early, or None.

    Attributes:
        space: that is relaxed.
        settings: of the whole search.
        since: epochs done before.
        until: epochs done when it ends.
        seed: of the search.
        data: the images, where they are not the evaluator's.
    """

    space: SearchSpace
    settings: OneShotSettings
    since: int
    until: int
    seed: int
    data: DataOptions | None = None

    def __call__(self, task: Task, evaluator: Evaluator) -> Evaluation:
        from nas.evaluation import failure_of
        from nas.supernet.state import save
        from nas.supernet.training import train
        from nas.training import Stopped, check_augmentation, forked_seed, surroundings

        data = device_data(evaluator, self.data)
        check_augmentation(self.settings.augmentation(data.augmentable), data.train.images.shape[1:])
        started = time.perf_counter()
        state: OneShot | None = None
        with forked_seed(self.seed, data.device):
            try:
                state = self._begun(task, data)
                done = len(state.curve)
                train(state, data, self.settings, epochs=self.until, deadline=math.inf)
                choice = self._choice(state, data)
                if task.save_to:
                    save(_file(task.save_to), state, self.settings)
            except Stopped as stop:
                return Evaluation(stop.status, {}, time.perf_counter() - started, str(stop))
            except EvaluationError:
                raise
            except Exception as error:  # such as out of memory: a result of the search
                return failure_of(error, time.perf_counter() - started)
        return Evaluation(
            Status.COMPLETED,
            {},
            time.perf_counter() - started,
            curve=tuple(state.curve[done:]),
            info={
                "decisions": (choice or task.architecture).to_json(),
                "epochs": state.epoch,
                "stopped": state.stopped,
                "parameters": sum(parameter.numel() for parameter in state.supernet.parameters()),
                **surroundings(data.device),
            },
        )

    def _choice(self, state: OneShot, data: DeviceData) -> Architecture | None:
        """The architecture that the search would choose; None where a searcher chooses by inherited weights.

        Perturbation is expensive, so that it is computed at the end alone.
        """
        from nas.supernet.selection import choose

        over = state.epoch >= self.settings.epochs or state.stopped is not None
        early = self.settings.selection == "perturbation" and not over
        settings = replace(self.settings, selection="argmax") if early else self.settings
        if settings.selection == "argmax" and not state.weighting.trains:
            return None
        return choose(state, data, settings)

    def _begun(self, task: Task, data: DeviceData) -> OneShot:
        from nas.supernet.measure import check_memory
        from nas.supernet.training import start

        state = start(self.space, data, self.settings, self.seed)
        restored(task, state, self.settings, needed=self.since > 0)
        if self.since == 0:
            check_memory(state, data, self.settings)
        return state


@dataclass(frozen=True, slots=True)
class SharedWeights:
    """Measures an architecture with the weights that it inherits from the supernet at the task's checkpoint.

    Attributes:
        space: that was relaxed.
        settings: of the search.
        seed: of the search.
        data: the images, where they are not the evaluator's.
    """

    space: SearchSpace
    settings: OneShotSettings
    seed: int
    data: DataOptions | None = None

    def __call__(self, task: Task, evaluator: Evaluator) -> Evaluation:
        from nas.supernet.measure import inherited_accuracy
        from nas.training import forked_seed

        data = device_data(evaluator, self.data)
        started = time.perf_counter()
        with forked_seed(self.seed, data.device):
            state = self._trained(task, data)
            architecture = self.space.architecture_from_json(task.architecture.to_json())
            accuracy = inherited_accuracy(state, architecture, data, self.settings)
        values = {SHARED_ACCURACY: accuracy}
        return Evaluation(Status.COMPLETED, values, time.perf_counter() - started)

    def _trained(self, task: Task, data: DeviceData) -> OneShot:
        """The trained supernet, made once for all architectures that one process measures with it."""
        from nas.supernet.training import start

        file = _file(task.checkpoint) if task.checkpoint else None
        written = file.stat().st_mtime_ns if file is not None and file.exists() else 0
        key = (str(file), written, self.space.fingerprint(), self.settings, self.seed, str(data.device))
        if key not in _TRAINED:
            state = start(self.space, data, self.settings, self.seed)
            restored(task, state, self.settings, needed=True)
            _TRAINED.clear()
            _TRAINED[key] = state
        return _TRAINED[key]


def restored(task: Task, state: OneShot, settings: OneShotSettings, *, needed: bool) -> None:
    """Continues the state where the one at the task's checkpoint stopped, if the task has one.

    Raises:
        EvaluationError: it cannot be used, or it is needed and there is none.
    """
    from nas.supernet.state import load

    if task.checkpoint is not None:
        load(_file(task.checkpoint), state, settings)
    elif needed:
        where, expected = f"supernet task {task.trial}", "the shared weights of an earlier one"
        remedy = "keep checkpoints/ of the run on a folder that all workers see"
        raise EvaluationError(refusal(where, expected, "none", remedy))


def _file(path: str) -> Path:
    """The state's file, beside that of weights, whose name `torch.load` takes for another format."""
    from nas.training import checkpoint_files

    return checkpoint_files(path)[1]


def device_data(evaluator: Evaluator, data: DataOptions | None) -> DeviceData:
    """The images to search on, on the evaluator's device, or on the best one if it names none.

    Raises:
        EvaluationError: the evaluator has no images and none are given.
    """
    from nas.training import resident, resolve

    dataset = loaded(data) if data is not None else evaluator.dataset
    if dataset is None:
        expected, got = "images to train shared weights on", "an evaluator without"
        raise EvaluationError(refusal("supernet", expected, got, "give searcher.data={dataset: digits}"))
    return resident(dataset, dataset.digest(), resolve(evaluator.device))


@functools.lru_cache(maxsize=2)
def loaded(data: DataOptions) -> Dataset:
    """The images of these options, read once in a process."""
    from nas.training import load

    return load(data)
