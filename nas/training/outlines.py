"""What is known of an evaluator from its options alone, without torch and data: mistakes are told early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.errors import ConfigError
from nas.evaluation import Outline
from nas.registry import check_names, field_names, given
from nas.training.checks import load_function
from nas.training.data import DataOptions
from nas.training.image_evaluator import (
    DATA_NAMES,
    EXTRA,
    MEASURED,
    TEST,
    VALIDATION,
    checked_device,
    data_options,
    settings_from,
)
from nas.training.settings import TrainSettings

CLASSIFICATION = 'evaluator "classification"'
OPTIMIZER_TASK = 'evaluator "optimizer_task"'
COMPILER = "compile_network"
NETWORKS = ("mlp", "conv", "attention")  # of optimizer_task
HEADS = 4  # of attention
# what an optimizer program itself decides, and what needs a searched network
_UNUSED = ("optimizer", "momentum", "weight_decay", "drop_path", "auxiliary")


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """The options of an evaluator that trains on images, checked.

    Attributes:
        data: which images.
        settings: of the training.
        own: the evaluator's other options that were given.
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
    if chosen.get("compiler", COMPILER) != COMPILER:  # the usual one is there, and loads torch
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
        raise ConfigError(
            f'{OPTIMIZER_TASK}: network: expected one of {", ".join(NETWORKS)}, got "{network}"'
        )
    if not isinstance(width, int) or isinstance(width, bool) or width < 1:
        raise ConfigError(f"{OPTIMIZER_TASK}: width: expected a whole number of at least 1, got {width!r}")
    if network == "attention" and width % HEADS:
        raise ConfigError(f"{OPTIMIZER_TASK}: width: expected a multiple of {HEADS} heads, got {width}")
