"""Optimizer programs as candidates: each trains one small fixed network, for equally many steps.

The network, its initial weights under a seed, the batches and the learning rate are the same for every
program; the settings' own optimizer, momentum and weight decay play no part.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from nas.errors import ConfigError
from nas.evaluation import Evaluation, Objective, Task
from nas.training.checks import check_names, field_names, function_name, given, load_function
from nas.training.classification import checked_device, settings_from
from nas.training.data import DataOptions, Dataset, load
from nas.training.device import resident, resolve
from nas.training.failures import requested_epochs
from nas.training.settings import TrainSettings
from nas.training.trial import TEST, VALIDATION, Recipe, fingerprint, run_trial

_NAME = 'evaluator "optimizer_task"'
_COMPILER = "search_spaces.update_rule:compile_optimizer"
_UNUSED = ("optimizer", "momentum", "weight_decay")  # what the program itself decides

MakeProgrammed = Callable[[list[nn.Parameter], float], Optimizer]


class OptimizerEvaluator:
    """Trains a small network with the programmed optimizer; validation accuracy decides.

    Args:
        dataset: images, split.
        settings: learning rate, batch size, epochs and schedule for every program alike.
        network: "mlp" (one hidden layer) or "conv" (two convolutions).
        width: hidden units, or channels of the first convolution.
        device: "auto", "cpu", "cuda" or "cuda:N", found on the worker.
        compiler: `(architecture) -> (parameters, lr) -> torch.optim.Optimizer`, or its
            "module:function"; the optimizer reads its rate from `param_groups` at each step.
    """

    def __init__(
        self,
        dataset: Dataset,
        settings: TrainSettings,
        *,
        network: str = "mlp",
        width: int = 64,
        device: str = "auto",
        compiler: str | Callable[..., MakeProgrammed] = _COMPILER,
    ) -> None:
        if network not in _NETWORKS:
            raise ConfigError(f'{_NAME}: network: expected one of {", ".join(_NETWORKS)}, got "{network}"')
        if not isinstance(width, int) or width < 1:
            raise ConfigError(f"{_NAME}: width: expected a whole number of at least 1, got {width!r}")
        self.dataset = dataset
        self.settings = settings
        self.network = network
        self.width = width
        self.device = checked_device(device)
        self.compiler = compiler
        self._digest = dataset.digest()
        compiler_name = function_name(load_function(f"{_NAME}: compiler", compiler))
        self._fingerprint = fingerprint(
            self._digest, settings, network, str(width), compiler_name, device, "optimizer_task"
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
        """Digest of data, settings, network, compiler, device and protocol."""
        return self._fingerprint

    def check(self, task: Task) -> None:
        """Raises NasError if the task is none for this evaluator; trains nothing."""
        requested_epochs(task.fidelity, self.settings.epochs)
        load_function(_NAME, self.compiler)(task.architecture)

    def __call__(self, task: Task) -> Evaluation:
        """Trains the network with the program of the task.

        Raises:
            EvaluationError: a fidelity, device or checkpoint that is not to be had.
        """
        epochs = requested_epochs(task.fidelity, self.settings.epochs)
        data = resident(self.dataset, self._digest, resolve(self.device))
        started = time.perf_counter()  # after what a process does once
        compile_optimizer = load_function(_NAME, self.compiler)

        def build(_: int) -> nn.Module:  # the weights come from torch's generators, seeded by run_trial
            return _NETWORKS[self.network](self.dataset.input_shape, self.dataset.classes, self.width)

        def programmed(parameters: list[nn.Parameter], settings: TrainSettings) -> Optimizer:
            return compile_optimizer(task.architecture)(parameters, settings.lr)

        recipe = Recipe(self.settings, build, programmed)
        return run_trial(task, data, recipe, epochs=epochs, started=started)


def create(**options: Any) -> OptimizerEvaluator:
    """The evaluator of these options: fields of DataOptions and of TrainSettings, and its own.

    Raises:
        ConfigError: an unknown option or a bad value, in one line.
        EvaluationError: data that are missing or cannot be read.
    """
    data_names = field_names(DataOptions)
    setting_names = tuple(name for name in field_names(TrainSettings) if name not in _UNUSED)
    own = ("network", "width", "device", "compiler")
    check_names(_NAME, options, (*data_names, *setting_names, *own), ConfigError)
    settings = settings_from(_NAME, {"schedule": "constant", "lr": 1e-3, **given(options, setting_names)})
    dataset = load(DataOptions(**given(options, data_names)))
    return OptimizerEvaluator(dataset, settings, **given(options, own))


def mlp(input_shape: tuple[int, int, int], classes: int, width: int) -> nn.Module:
    """Pixels -> `width` hidden units -> classes."""
    inputs = torch.Size(input_shape).numel()
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, classes))


def conv(input_shape: tuple[int, int, int], classes: int, width: int) -> nn.Module:
    """Two 3x3 convolutions of stride 2, mean over the pixels, classes; without normalisation."""
    return nn.Sequential(
        nn.Conv2d(input_shape[0], width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, classes),
    )


_NETWORKS = {"mlp": mlp, "conv": conv}
