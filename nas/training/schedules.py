"""Learning-rate schedules: the factor on the learning rate at a step, and the plateau rule."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from nas.layers import TrainSettings


@dataclass(frozen=True, slots=True)
class Plateau:
    """The state of the plateau rule after some epochs; a value, so that it can be saved.

    Attributes:
        best: highest validation accuracy so far, in percent.
        best_epoch: its epoch, from 1; 0 before the first.
        epoch: epochs seen.
        waited: epochs since the best one or since the last decay, whichever is later.
        factor: product of the decays so far.
    """

    best: float = -math.inf
    best_epoch: int = 0
    epoch: int = 0
    waited: int = 0
    factor: float = 1.0

    def after(self, accuracy: float, settings: TrainSettings) -> Plateau:
        """The state after one more epoch with this validation accuracy."""
        epoch = self.epoch + 1
        if accuracy > self.best:
            return Plateau(accuracy, epoch, epoch, 0, self.factor)
        seen = replace(self, epoch=epoch, waited=self.waited + 1)
        if settings.schedule != "plateau" or seen.waited < settings.rate_patience:
            return seen
        lowest = min(1.0, settings.lr_min / settings.lr)
        return replace(seen, waited=0, factor=max(self.factor * settings.rate_mult, lowest))

    def exhausted(self, settings: TrainSettings) -> bool:
        """Whether `stop_patience` epochs have passed without a better one."""
        return 0 < settings.stop_patience <= self.epoch - self.best_epoch


def rate_factor(settings: TrainSettings, step: int, steps_per_epoch: int, plateau: Plateau) -> float:
    """Factor on `settings.lr` at a step of the whole training, counted from 0.

    The horizon of the cosine is `settings.epochs`, at a lower fidelity too, so that a training can be
    continued as if it had not stopped. Under "cosine_power" the warm-up also rises from `lr_min`.
    """
    share = _share(settings, step, steps_per_epoch, plateau)
    if settings.schedule != "cosine_power":
        return share
    last = min(1.0, settings.lr_min / settings.lr)
    return last + (1.0 - last) * share


def _share(settings: TrainSettings, step: int, steps_per_epoch: int, plateau: Plateau) -> float:
    """Share of the way from the lowest to the highest learning rate."""
    warmup = settings.warmup_epochs * steps_per_epoch
    if step < warmup:
        return plateau.factor * (step + 1) / (warmup + 1)
    done = step - warmup, settings.epochs * steps_per_epoch - warmup
    if settings.schedule == "cosine":
        return cosine(*done)
    if settings.schedule == "cosine_power":
        return cosine_power(*done, settings.rate_power)
    return plateau.factor


def cosine(step: float, total: float) -> float:
    """Half a cosine from 1 at step 0 to 0 at `total` (Loshchilov and Hutter 2017, without restarts)."""
    return 0.5 * (1.0 + math.cos(math.pi * min(step / total, 1.0)))


def cosine_power(step: float, total: float, power: float) -> float:
    """From 1 at step 0 to 0 at `total`, exponential in the cosine (sharpDARTS, Hundt et al. 2019).

    With c the cosine, (p^(1 + c) - p) / (p^2 - p) = (p^c - 1) / (p - 1), and c itself in the limit p = 1.
    """
    height = cosine(step, total)
    if power == 1.0:
        return height
    base = math.log(power)
    return math.expm1(base * height) / math.expm1(base)
