"""Image classification as an evaluator: compile the architecture, train it, measure it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from nas.callables import function_name
from nas.errors import EvaluationError
from nas.evaluation import Evaluation, Task, check_takes, failure_of
from nas.layers import TrainSettings, compile_on_meta, infer_shape
from nas.training.augment import check_augmentation, check_channels
from nas.training.data import Dataset, load
from nas.training.image_evaluator import CLASSIFICATION, COMPILER, ImageEvaluator, classification_options
from nas.training.train import find_place, standard_optimizer
from nas.training.trial import Recipe, check_batch_of_one, facts_of, requested_epochs, run_trial


class ClassificationEvaluator(ImageEvaluator):
    """Trains each architecture from new weights; validation accuracy decides, test accuracy is reported.

    Settings in the architecture's expression replace those of the evaluator. An architecture that cannot be
    compiled, diverges, runs out of memory or time, or raises gives an `Evaluation` with that status.

    Args:
        dataset: images, split.
        settings: of the training; `settings.epochs` is the full fidelity.
        device: "auto", "cpu", "cuda" or "cuda:N", found on the worker.
        compiler: `(architecture, input_shape, num_classes, seed=...) -> nn.Module`, its
            "module:function", or a name of `nas.callables.CALLABLES`.
    """

    def __init__(
        self,
        dataset: Dataset,
        settings: TrainSettings,
        *,
        device: str = "auto",
        compiler: str | Callable[..., nn.Module] = COMPILER,
    ) -> None:
        super().__init__(CLASSIFICATION, dataset, settings, device=device, compiler=compiler)
        shown = "f(architecture, input_shape, num_classes, seed=0)"
        check_takes(f"{CLASSIFICATION}: compiler", self._compiler(), shown, None, (3, 32, 32), 10, seed=0)

    def check(self, task: Task) -> None:
        """Raises NasError if the task does not fit data or settings; trains nothing, allocates no weights."""
        requested_epochs(task.fidelity, self.settings.epochs)
        settings = self.settings.with_overrides(task.architecture.settings)
        shape, classes = self.dataset.input_shape, self.dataset.classes
        check_augmentation(settings, shape)
        if settings.autoaugment != "none":
            check_channels(shape[0])
        if self.compiler == COMPILER:
            infer_shape(task.architecture, shape, classes)
            if settings.auxiliary:
                network = compile_on_meta(task.architecture, shape, classes)
                find_place(network, torch.empty(1, *shape, device="meta"))
            if min(settings.batch_size, len(self.dataset.train)) == 1:
                network = compile_on_meta(task.architecture, shape, classes)
                check_batch_of_one(lambda: network.train()(torch.empty(1, *shape, device="meta")))

    def __call__(self, task: Task) -> Evaluation:
        """Trains the architecture of the task.

        Raises:
            EvaluationError: a fidelity, device or checkpoint that is not available.
        """
        epochs = requested_epochs(task.fidelity, self.settings.epochs)
        data = self._data()
        started = time.perf_counter()  # after the work that a process does once
        try:
            settings = self.settings.with_overrides(task.architecture.settings)
            check_augmentation(settings, self.dataset.input_shape)
        except EvaluationError as error:
            return failure_of(error, time.perf_counter() - started)
        if task.fidelity is None or epochs > settings.epochs:
            epochs = settings.epochs
        compile_network = self._compiler()

        def build(seed: int) -> nn.Module:
            shape, classes = self.dataset.input_shape, self.dataset.classes
            return compile_network(task.architecture, shape, classes, seed=seed)

        facts = facts_of(self.dataset, function_name(compile_network))
        recipe = Recipe(settings, build, standard_optimizer, facts)
        return run_trial(task, data, recipe, epochs=epochs, started=started)


def create(**options: Any) -> ClassificationEvaluator:
    """The evaluator of these options: fields of DataOptions and of TrainSettings, device, compiler.

    Raises:
        ConfigError: an unknown option or a bad value, in one line.
        EvaluationError: data that are missing or cannot be read.
    """
    chosen = classification_options(options)
    return ClassificationEvaluator(load(chosen.data), chosen.settings, **chosen.own)
