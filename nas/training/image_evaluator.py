"""What the evaluators that train on images share: their options, identity, objectives and data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nas.callables import function_name
from nas.errors import ConfigError, EvaluationError
from nas.evaluation import Fidelity, Objective
from nas.training.checks import field_names, given, load_function
from nas.training.data import DataOptions, Dataset
from nas.training.settings import EXTRA, MEASURED, TEST, VALIDATION, TrainSettings

if TYPE_CHECKING:
    from nas.training.device import DeviceData

DATA_NAMES = field_names(DataOptions)


class ImageEvaluator:
    """Validation accuracy decides, test accuracy reports; what is trained is for the subclass to say.

    Args:
        where: begins its messages.
        dataset: images, split.
        settings: of the training; `settings.epochs` is the full fidelity.
        device: "auto", "cpu", "cuda" or "cuda:N", found on the worker.
        compiler: a function, or its "module:function".
        identity: whatever else determines a result.
    """

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
        from nas.training.trial import fingerprint

        self.dataset = dataset
        self.settings = settings
        try:
            check_augmentation(settings, dataset.input_shape)
        except EvaluationError as error:
            raise ConfigError(f"{where}: {error}") from error
        self.device = checked_device(where, device)
        self.compiler = compiler
        self._where = where
        self._digest = dataset.digest()
        name = function_name(load_function(f"{where}: compiler", compiler))
        self._fingerprint = fingerprint(self._digest, settings, name, device, *identity)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return (VALIDATION,)

    @property
    def reported(self) -> Objective:
        return TEST

    @property
    def fidelity_range(self) -> tuple[str, float, float] | None:
        return ("epochs", 1, self.settings.epochs)

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
