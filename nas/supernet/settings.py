"""How a supernet is searched: every setting, with its unit; no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from nas.errors import ConfigError, refusal
from nas.layers import TrainSettings
from nas.registry import SettingRule, between, convert_setting, one_of, within
from nas.training import cosine, cosine_power

PATHS = ("longest_path", "top_down", "bottom_up")  # ways to choose from a grid

SAMPLING = ("gumbel", "uniform")  # weightings of one option at a time, drawn anew in each pass
OF_GRIDS = ("softmax", "max_w")  # weightings that serve choice groups too

_FRACTION = SettingRule("a number from 0 up to, not including, 1", lambda value: 0 <= value < 1)
_RULES = {
    "epochs": within(1),
    "batch_size": within(1),
    "lr": between(0, math.inf),
    "lr_min": within(0),
    "schedule": one_of("cosine", "cosine_power"),
    "power": within(1),
    "warmup_epochs": within(0),
    "momentum": _FRACTION,
    "weight_decay": within(0),
    "grad_clip": within(0),
    "train_fraction": between(0, 1),
    "crop_padding": within(0),
    "cutout": within(0),
    "drop_path": _FRACTION,
    "order": within(1, 2),
    "weighting": one_of("softmax", "max_w", "edge_softmax", *SAMPLING),
    "temperature": between(0, math.inf),
    "temperature_min": between(0, math.inf),
    "partial": within(1),
    "alpha_lr": between(0, math.inf),
    "alpha_beta1": _FRACTION,
    "alpha_beta2": _FRACTION,
    "alpha_weight_decay": within(0),
    "alpha_init": within(0),
    "alpha_from": within(0),
    "selection": one_of("argmax", "perturbation", *PATHS),
    "skip_limit": within(0),
    "skip_stop": within(0),
    "limit_steps": within(1),
}
_OPTIONAL = {
    "skip_limit": int,
    "skip_stop": int,
    "limit_steps": int,
    "crop_padding": int,
    "flip": bool,
}  # or None
_BOUNDS = {"warmup_epochs": "epochs", "lr_min": "lr", "temperature_min": "temperature"}


@dataclass(frozen=True, slots=True)
class OneShotSettings:
    """The settings of a search on a supernet; the defaults are those that DARTS published (first order).

    Raises:
        ConfigError: a value of the wrong type or out of range, or two that exclude each other, in one line.
    """

    epochs: int = 50  # passes over the images for the weights, and horizon of the schedule
    batch_size: int = 64  # images of a weight step, and of an alpha step
    lr: float = 0.025  # highest learning rate of the weights; one rate an epoch
    lr_min: float = 0.001  # where the schedule ends
    schedule: str = "cosine"  # cosine or cosine_power (sharpDARTS), both to lr_min
    power: float = 2.0  # of cosine_power, at least 1: larger falls sooner; at 1 it is a cosine
    warmup_epochs: int = 0  # of linear warm-up
    momentum: float = 0.9  # of the weights' SGD, not Nesterov's
    weight_decay: float = 3e-4  # L2 gradient of the weights
    grad_clip: float = 5.0  # bound on the L2 norm of the weights' gradient; 0: none
    train_fraction: float = 0.5  # of the training images are for the weights; the others for the alphas
    # None for the next two: 4 and True for images that are known to keep their classes, else 0 and False
    crop_padding: int | None = None  # pixels of zero padding before the random crop; 0: no crop
    flip: bool | None = None  # mirror each image with probability 1/2
    cutout: int = 0  # side in pixels of the square set to the mean colour; 0: none
    drop_path: float = 0.0  # rate that a linear ramp from 0 reaches at the end; 0: none
    order: int = 1  # of the alphas' gradient: 1, or 2 through one step of the weights
    weighting: str = "softmax"  # softmax, max_w, edge_softmax, gumbel or uniform
    temperature: float = 10.0  # of gumbel, in the first epoch
    temperature_min: float = 0.1  # in the last one, linear between
    partial: int = 1  # 1/partial of the channels pass the operations of an edge (PC-DARTS)
    alpha_lr: float = 3e-4  # of the alphas' Adam
    alpha_beta1: float = 0.5
    alpha_beta2: float = 0.999
    alpha_weight_decay: float = 1e-3  # L2 gradient of the alphas
    alpha_init: float = 1e-3  # standard deviation of the initial alphas
    alpha_from: int = 0  # epochs in which the weights alone are trained
    selection: str = "argmax"  # or perturbation; of a grid longest_path, top_down or bottom_up
    grid: bool = False  # one softmax over all steps of a choice, from every shape (`nas.supernet.layered`)
    skip_light: bool = False  # steps of a grid of weight at most 1/N^2, of N, do not compute
    skip_limit: int | None = 2  # skips in a cell of the choice at most; None: no limit
    skip_stop: int | None = None  # skips in a cell beyond which a search stops; None: it goes on
    eigenvalue: bool = False  # of the loss' Hessian in the alphas, each epoch, and the stop by it
    limit_steps: int | None = None  # steps of an epoch, for small runs; None: no limit

    def __post_init__(self) -> None:
        for field in fields(self):
            self._check(field.name, _OPTIONAL.get(field.name, type(field.default)))
        if self.alpha_from >= self.epochs:
            expected = f"less than epochs = {self.epochs}, so that architecture weights are trained"
            raise _refused("alpha_from", expected, self.alpha_from, "lower alpha_from or raise epochs")
        for name, bound in _BOUNDS.items():
            value, highest = getattr(self, name), getattr(self, bound)
            if value > highest:
                raise _refused(name, f"at most {bound} = {highest}", value, f"lower {name} or raise {bound}")
        self._check_grid()
        if self.weighting in SAMPLING:
            reason = f'with weighting "{self.weighting}", which draws its options'
            if self.order == 2:
                raise _refused("order", f"1 {reason}", 2, "set order=1")
            if self.eigenvalue:
                raise _refused("eigenvalue", f"false {reason}", True, "set eigenvalue=false")

    def _check_grid(self) -> None:
        """What a layered graph of shapes and a supernet of holes do not share."""
        if not self.grid:
            if self.selection in PATHS or self.skip_light:
                name = "skip_light" if self.skip_light else "selection"
                raise _refused("grid", f"true with {name} = {getattr(self, name)!r}", False, "set grid=true")
            return
        allowed = {"weighting": OF_GRIDS, "selection": PATHS, "partial": (1,)}
        allowed |= {"skip_limit": (None,), "skip_stop": (None,)}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                listed = " or ".join(map(str, values))
                remedy = f"set {name}={'null' if values[0] is None else values[0]}"
                raise _refused(name, f"{listed} with grid = true", getattr(self, name), remedy)

    def _check(self, name: str, kind: type) -> None:
        value = getattr(self, name)
        if value is None and name in _OPTIONAL:
            return
        converted, rule = convert_setting(value, kind), _RULES.get(name)
        if converted is None or (rule and not rule.accepts(converted)):
            expected = rule.text if rule else "true or false"
            raise _refused(name, expected, value, "leave it out for the default")
        object.__setattr__(self, name, converted)

    def rate(self, epoch: int) -> float:
        """Learning rate of the weights in an epoch, counted from 0."""
        if epoch < self.warmup_epochs:
            return self.lr * (epoch + 1) / (self.warmup_epochs + 1)
        done = epoch - self.warmup_epochs, max(1, self.epochs - self.warmup_epochs)
        power = self.power if self.schedule == "cosine_power" else 1.0
        height = cosine(*done) if power == 1.0 else cosine_power(*done, power)
        return self.lr_min + (self.lr - self.lr_min) * height

    def progress(self, epoch: int) -> float:
        """0 in the first epoch, 1 in the last one."""
        return epoch / max(1, self.epochs - 1)

    def augmentation(self, augmentable: bool) -> TrainSettings:
        """What `nas.training.augment` reads, for images that are `augmentable` or not."""
        padding, flip = (4, True) if augmentable else (0, False)
        return TrainSettings(
            crop_padding=padding if self.crop_padding is None else self.crop_padding,
            flip=flip if self.flip is None else self.flip,
            cutout=self.cutout,
        )

    def halves(self, count: int) -> tuple[int, int]:
        """How many of `count` training images are for the weights and for the alphas, at least one each."""
        cut = min(max(1, round(self.train_fraction * count)), count - 1)
        return cut, count - cut


def _refused(name: str, expected: str, value: object, remedy: str) -> ConfigError:
    return ConfigError(refusal(f'one-shot setting "{name}"', expected, repr(value), remedy))
