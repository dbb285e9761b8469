"""Image classification as an evaluator: compile the architecture, train it, measure it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from torch import nn

from nas.compile import infer_shape
from nas.errors import ConfigError, EvaluationError
from nas.evaluation import Evaluation, Objective, Task
from nas.training.checks import check_names, field_names, function_name, given, load_function
from nas.training.data import DataOptions, Dataset, load
from nas.training.device import resident, resolve
from nas.training.failures import failure_of, requested_epochs
from nas.training.settings import TrainSettings
from nas.training.train import standard_optimizer
from nas.training.trial import TEST, VALIDATION, Recipe, fingerprint, run_trial

_NAME = 'evaluator "classification"'
_COMPILER = "nas.compile:compile_network"


class ClassificationEvaluator:
    """Trains each architecture from new weights; validation accuracy decides, test accuracy reports.

    Settings inside the architecture's expression replace those of the evaluator. An architecture that
    cannot be compiled, diverges, runs out of memory or time, or raises, gives an `Evaluation` that
    says so.

    Args:
        dataset: images, split.
        settings: of the training; `settings.epochs` is the full fidelity.
        device: "auto", "cpu", "cuda" or "cuda:N", found on the worker.
        compiler: `(architecture, input_shape, num_classes, seed=...) -> nn.Module`, or its
            "module:function".
    """

    def __init__(
        self,
        dataset: Dataset,
        settings: TrainSettings,
        *,
        device: str = "auto",
        compiler: str | Callable[..., nn.Module] = _COMPILER,
    ) -> None:
        self.dataset = dataset
        self.settings = settings
        self.device = checked_device(device)
        self.compiler = compiler
        self._digest = dataset.digest()
        self._fingerprint = fingerprint(
            self._digest, settings, function_name(load_function(f"{_NAME}: compiler", compiler)), device
        )

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return (VALIDATION,)

    @property
    def reported(self) -> Objective:
        return TEST

    @property
    def fidelity_range(self) -> tuple[str, float, float] | None:
        return ("epochs", 1, self.settings.epochs)

    def fingerprint(self) -> str:
        """Digest of data, settings, compiler, device and protocol."""
        return self._fingerprint

    def check(self, task: Task) -> None:
        """Raises NasError if the task does not fit data or settings; trains nothing, needs no torch."""
        requested_epochs(task.fidelity, self.settings.epochs)
        self.settings.with_overrides(task.architecture.settings)
        if self.compiler == _COMPILER:
            infer_shape(task.architecture, self.dataset.input_shape, self.dataset.classes)

    def __call__(self, task: Task) -> Evaluation:
        """Trains the architecture of the task.

        Raises:
            EvaluationError: a fidelity, device or checkpoint that is not to be had.
        """
        epochs = requested_epochs(task.fidelity, self.settings.epochs)
        data = resident(self.dataset, self._digest, resolve(self.device))
        started = time.perf_counter()  # after what a process does once
        try:
            settings = self.settings.with_overrides(task.architecture.settings)
        except EvaluationError as error:
            return failure_of(error, time.perf_counter() - started)
        if task.fidelity is None or epochs > settings.epochs:
            epochs = settings.epochs
        compile_network = load_function(_NAME, self.compiler)

        def build(seed: int) -> nn.Module:
            shape, classes = self.dataset.input_shape, self.dataset.classes
            return compile_network(task.architecture, shape, classes, seed=seed)

        recipe = Recipe(settings, build, standard_optimizer)
        return run_trial(task, data, recipe, epochs=epochs, started=started)


def create(**options: Any) -> ClassificationEvaluator:
    """The evaluator of these options: fields of DataOptions and of TrainSettings, device, compiler.

    Raises:
        ConfigError: an unknown option or a bad value, in one line.
        EvaluationError: data that are missing or cannot be read.
    """
    data_names, setting_names = field_names(DataOptions), field_names(TrainSettings)
    own = ("device", "compiler")
    check_names(_NAME, options, (*data_names, *setting_names, *own), ConfigError)
    settings = settings_from(_NAME, given(options, setting_names))
    chosen = given(options, own)
    load_function(f"{_NAME}: compiler", chosen.get("compiler", _COMPILER))
    checked_device(chosen.get("device", "auto"))
    dataset = load(DataOptions(**given(options, data_names)))
    return ClassificationEvaluator(dataset, settings, **chosen)


def settings_from(where: str, options: dict[str, Any]) -> TrainSettings:
    """Training settings of a configuration; a bad value is a ConfigError."""
    try:
        return TrainSettings(**options)
    except EvaluationError as error:
        raise ConfigError(f"{where}: {error}") from error


def checked_device(device: str) -> str:
    """The name, if it has the form of a device; whether it exists is for the worker to say."""
    if not isinstance(device, str) or not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ConfigError(f'{_NAME}: device: expected auto, cpu, cuda or cuda:N, got "{device}"')
    return device
