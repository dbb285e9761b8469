"""The settings of a training, with their units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nas.errors import EvaluationError, refusal
from nas.registry import SettingRule, between, check_fields, check_names, field_names, one_of, within

_RULES = {
    "optimizer": one_of("sgd", "adam", "adamw"),
    "lr": between(0, math.inf),
    "lr_min": within(0),
    "momentum": SettingRule("a number from 0 up to, not including, 1", lambda value: 0 <= value < 1),
    "weight_decay": within(0),
    "batch_size": within(1),
    "epochs": within(1),
    "max_seconds": within(0),
    "schedule": one_of("cosine", "cosine_power", "plateau", "constant"),
    "warmup_epochs": within(0),
    "rate_power": within(1),
    "rate_mult": between(0, 1),
    "rate_patience": within(1),
    "stop_patience": within(0),
    "grad_clip": within(0),
    "label_smoothing": within(0, 1),
    "crop_padding": within(0),
    "cutout": within(0),
    "autoaugment": one_of("none", "cifar10", "imagenet", "svhn"),
    "drop_path": SettingRule("a number from 0 up to, not including, 1", lambda value: 0 <= value < 1),
    "auxiliary": within(0),
}


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """The settings of a training; a search space may set any of them.

    "plateau" is DeepArchitect's protocol (Negrinho and Gordon 2017, released trainer): the rate is
    multiplied by `rate_mult` when the validation accuracy has not improved for `rate_patience` epochs.

    Raises:
        EvaluationError: a value of the wrong type or out of range, in one line.
    """

    optimizer: str = "sgd"  # sgd (Nesterov's momentum), adam or adamw
    lr: float = 0.1  # highest learning rate, per step
    lr_min: float = 0.0  # least learning rate of a plateau's decays, last one of cosine_power
    momentum: float = 0.9  # of sgd; adam and adamw keep betas of 0.9 and 0.999
    weight_decay: float = 5e-4  # per step; an L2 gradient for sgd and adam, decoupled for adamw
    batch_size: int = 128  # images a step
    epochs: int = 10  # passes over the training images: full fidelity and horizon of the schedule
    max_seconds: float = 0.0  # of training, after which it ends as if its epochs were over; 0: no bound
    schedule: str = "cosine"  # cosine (to 0 at the last step), cosine_power (to lr_min), plateau or constant
    warmup_epochs: float = 0.0  # epochs of linear warm-up, under every schedule
    rate_power: float = 10.0  # of cosine_power, at least 1: larger falls sooner; at 1 it is a cosine
    rate_mult: float = 0.5  # factor on the learning rate at a plateau
    rate_patience: int = 7  # epochs without a better validation accuracy that make a plateau
    stop_patience: int = 0  # epochs without a better validation accuracy that end it; 0: never
    grad_clip: float = 0.0  # bound on the gradient's global L2 norm; 0: none
    label_smoothing: float = 0.0  # probability mass spread over all classes
    restore_best: bool = False  # report the best epoch by validation; otherwise the last epoch
    crop_padding: int = 0  # pixels of zero padding before the random crop; 0: no crop
    flip: bool = False  # mirror each image with probability 1/2
    cutout: int = 0  # side in pixels of the square set to the mean colour; 0: none
    autoaugment: str = "none"  # none, or the policy found on cifar10, imagenet or svhn
    drop_path: float = 0.0  # rate that a linear ramp from 0 reaches at the end of the training; 0: none
    auxiliary: float = 0.0  # weight of the loss of a second head at 2/3 of the depth; 0: no such head

    def __post_init__(self) -> None:
        check_fields("training setting", self, _RULES, EvaluationError)
        if self.warmup_epochs > self.epochs:
            where, expected = 'training setting "warmup_epochs"', f"at most epochs = {self.epochs}"
            remedy = "lower warmup_epochs or raise epochs"
            raise EvaluationError(refusal(where, expected, self.warmup_epochs, remedy))

    def with_overrides(self, overrides: Mapping[str, Any]) -> TrainSettings:
        """These settings with some replaced.

        Raises:
            EvaluationError: an unknown name or a bad value, in one line that lists the names.
        """
        if not overrides:
            return self
        check_names("training settings", overrides, field_names(TrainSettings), EvaluationError)
        return TrainSettings(**{**asdict(self), **overrides})
