"""What the evaluators that train on images share: their options, identity, objectives and data."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nas.callables import function_name
from nas.errors import ConfigError, EvaluationError
from nas.evaluation import Evaluator, Fidelity, Objective
from nas.registry import field_names, given
from nas.training.checks import load_function
from nas.training.data import DataOptions, Dataset
from nas.training.settings import TrainSettings

if TYPE_CHECKING:
    from nas.training.device import DeviceData

_PROTOCOL = 1  # of a trial; to be raised with every change after which the same task has another result
DATA_NAMES = field_names(DataOptions)
VALIDATION = Objective("validation_accuracy", "maximize", "%")
TEST = Objective("test_accuracy", "maximize", "%")
EXTRA = "test_accuracy_extra"  # in percent, on second test images where there are such
MEASURED = (VALIDATION.name, "validation_loss")  # on validation data


class ImageEvaluator(Evaluator):
    """Validation accuracy decides, test accuracy reports; what is trained is for the subclass to say.

    Args:
        where: begins its messages.
        dataset: images, split.
        settings: of the training; `settings.epochs` is the full fidelity.
        device: "auto", "cpu", "cuda" or "cuda:N", found on the worker.
        compiler: a function, or its "module:function".
        identity: whatever else determines a result.
    """

    objectives = (VALIDATION,)
    reported = TEST
    deterministic = False  # weights and batches follow from the seed

    def __init__(
        self,
        where: str,
        dataset: Dataset,
        settings: TrainSettings,
        *,
        device: str,
        compiler: str | Callable[..., Any],
        identity: tuple[str, ...] = (),
    ) -> None:
        from nas.training.augment import check_augmentation

        self.dataset = dataset
        self.settings = settings
        self.fidelity_range = ("epochs", 1, settings.epochs)
        self.max_seconds = settings.max_seconds or math.inf
        try:
            check_augmentation(settings, dataset.input_shape)
        except EvaluationError as error:
            raise ConfigError(f"{where}: {error}") from error
        self.device = checked_device(where, device)
        self.compiler = compiler
        self._where = where
        self._digest = dataset.digest()
        name = function_name(load_function(f"{where}: compiler", compiler))
        determining = [_PROTOCOL, self._digest, asdict(settings), name, device, *identity]
        text = json.dumps(determining, sort_keys=True)
        self._fingerprint = hashlib.sha256(text.encode()).hexdigest()

    def value_names(self, fidelity: Fidelity | None) -> tuple[str, ...]:  # noqa: ARG002 - the same at each
        """The values of every completed evaluation."""
        return (*MEASURED, TEST.name, *(() if self.dataset.extra is None else (EXTRA,)))

    def fingerprint(self) -> str:
        """Digest of data, settings, compiler, device, protocol and the subclass's own options."""
        return self._fingerprint

    def _compiler(self) -> Callable[..., Any]:
        return load_function(self._where, self.compiler)

    def _data(self) -> DeviceData:
        """The data on the device.

        Raises:
            EvaluationError: this process does not see the device.
        """
        from nas.training.device import resident, resolve

        return resident(self.dataset, self._digest, resolve(self.device))


def settings_from(where: str, options: Mapping[str, Any]) -> TrainSettings:
    """Training settings of a configuration; a bad value is a ConfigError."""
    try:
        return TrainSettings(**options)
    except EvaluationError as error:
        raise ConfigError(f"{where}: {error}") from error


def data_options(options: Mapping[str, Any]) -> DataOptions:
    """Those of the options that say which data; a bad value is a ConfigError."""
    return DataOptions(**given(options, DATA_NAMES))


def checked_device(where: str, device: str) -> str:
    """The name, if it has the form of a device; whether it exists is for the worker to say."""
    if not isinstance(device, str) or not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ConfigError(f'{where}: device: expected auto, cpu, cuda or cuda:N, got "{device}"')
    return device
