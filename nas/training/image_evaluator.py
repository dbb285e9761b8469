"""The base of evaluators that train on images: their options, identity, objectives and data.

Their outlines follow from the options, without torch and data, so that mistakes are found early.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nas.callables import function_name
from nas.errors import ConfigError, EvaluationError, nearest, refusal
from nas.evaluation import Evaluator, Fidelity, Objective, Outline, load_function
from nas.layers import TrainSettings
from nas.registry import check_names, field_names, given
from nas.training.data import DataOptions, Dataset

if TYPE_CHECKING:
    from nas.training.device import DeviceData


_PROTOCOL = 1  # of a trial; raise it with every change that changes results of equal tasks
DATA_NAMES = field_names(DataOptions)
VALIDATION = Objective("validation_accuracy", "maximize", "%")
TEST = Objective("test_accuracy", "maximize", "%")
EXTRA = "test_accuracy_extra"  # in percent, on second test images if there are any
MEASURED = (VALIDATION.name, "validation_loss")  # on validation data


class ImageEvaluator(Evaluator):
    """Validation accuracy decides, test accuracy is reported; a subclass says what is trained.

    Args:
        where: the beginning of its messages.
        dataset: images, split.
        settings: of the training; `settings.epochs` is the full fidelity.
        device: "auto", "cpu", "cuda" or "cuda:N", found on the worker.
        compiler: a function, or its "module:function".
        identity: other facts that determine a result.
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
        """Digest of data, settings, compiler, device, protocol and the subclass's options."""
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
    """The options of the data; a bad value is a ConfigError."""
    return DataOptions(**given(options, DATA_NAMES))


def checked_device(where: str, device: str) -> str:
    """The name, if it has the form of a device; the worker checks whether it exists."""
    if not isinstance(device, str) or not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ConfigError(
            refusal(f"{where}: device", "auto, cpu, cuda or cuda:N", f'"{device}"', "leave it out for auto")
        )
    return device


CLASSIFICATION = 'evaluator "classification"'
OPTIMIZER_TASK = 'evaluator "optimizer_task"'
COMPILER = "compile_network"
NETWORKS = ("mlp", "conv", "attention")  # of optimizer_task
HEADS = 4  # of attention
# what the optimizer program decides, and what needs a searched network
_UNUSED = ("optimizer", "momentum", "weight_decay", "drop_path", "auxiliary")


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """The options of an evaluator that trains on images, checked.

    Attributes:
        data: the images.
        settings: of the training.
        own: the evaluator's other options that are given.
    """

    data: DataOptions
    settings: TrainSettings
    own: Mapping[str, Any]

    @property
    def outline(self) -> Outline:
        extra = (EXTRA,) if self.data.extra_images else ()
        return Outline(
            (VALIDATION,),
            ("epochs", 1, self.settings.epochs),
            values={None: (*MEASURED, TEST.name, *extra)},
        )


def classification_options(options: Mapping[str, Any]) -> ImageOptions:
    """The options of the evaluator "classification".

    Raises:
        ConfigError: an unknown option or a bad value, in one line.
    """
    names, own = field_names(TrainSettings), ("device", "compiler")
    check_names(CLASSIFICATION, options, (*DATA_NAMES, *names, *own), ConfigError)
    settings, data = settings_from(CLASSIFICATION, given(options, names)), data_options(options)
    chosen = given(options, own)
    checked_device(CLASSIFICATION, chosen.get("device", "auto"))
    if chosen.get("compiler", COMPILER) != COMPILER:  # the standard one exists, and loads torch
        load_function(f"{CLASSIFICATION}: compiler", chosen["compiler"])
    return ImageOptions(data, settings, chosen)


def classification(**options: Any) -> Outline:
    """The outline of the evaluator "classification"; raises ConfigError in one line."""
    return classification_options(options).outline


def optimizer_task_options(options: Mapping[str, Any]) -> ImageOptions:
    """The options of the evaluator "optimizer_task".

    Raises:
        ConfigError: an unknown option or a bad value, in one line.
    """
    names = tuple(name for name in field_names(TrainSettings) if name not in _UNUSED)
    own = ("network", "width", "device", "compiler")
    check_names(OPTIMIZER_TASK, options, (*DATA_NAMES, *names, *own), ConfigError)
    settings = {"schedule": "constant", "lr": 1e-3, **given(options, names)}
    chosen = given(options, own)
    check_task(chosen.get("network", "mlp"), chosen.get("width", 64))
    checked_device(OPTIMIZER_TASK, chosen.get("device", "auto"))
    return ImageOptions(data_options(options), settings_from(OPTIMIZER_TASK, settings), chosen)


def optimizer_task(**options: Any) -> Outline:
    """The outline of the evaluator "optimizer_task"; raises ConfigError in one line."""
    return optimizer_task_options(options).outline


def check_task(network: Any, width: Any) -> None:
    """Raises ConfigError for a network or a width that optimizer_task does not have."""
    if network not in NETWORKS:
        where, remedy = f"{OPTIMIZER_TASK}: network", nearest(str(network), NETWORKS, "name one of these")
        raise ConfigError(refusal(where, f"one of {', '.join(NETWORKS)}", f'"{network}"', remedy))
    where = f"{OPTIMIZER_TASK}: width"
    if not isinstance(width, int) or isinstance(width, bool) or width < 1:
        expected = "a whole number of at least 1"
        raise ConfigError(refusal(where, expected, repr(width), "leave it out for the default"))
    if network == "attention" and width % HEADS:
        remedy = f"set it to {HEADS * max(1, width // HEADS)}"
        raise ConfigError(refusal(where, f"a multiple of {HEADS} heads", width, remedy))
