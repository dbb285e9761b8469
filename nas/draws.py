"""Uniform numbers in blocks, and numbers of a `Number` hole: along its scale, and back."""

from __future__ import annotations

import math

import numpy as np

from nas.errors import SpaceError, quoted
from nas.term import Number

STEP = 0.2  # standard deviation of a number's mutation, as a share of its range
TRIES = 1000  # steps drawn until one leaves the old value


class Draws:
    """Uniform numbers in [0, 1) from a generator, fetched in blocks because single calls are slow."""

    __slots__ = ("_block", "_rng")

    def __init__(self, rng: np.random.Generator) -> None:
        if not isinstance(rng, np.random.Generator):
            raise SpaceError(
                f"rng: expected a numpy random generator, got {quoted(rng)}; give np.random.default_rng(SEED)"
            )
        self._rng = rng
        self._block: list[float] = []

    def __call__(self) -> float:
        if not self._block:
            self._block = self._rng.random(16).tolist()
        return self._block.pop()

    def index(self, length: int) -> int:
        """Uniform in 0..length-1."""
        return int(self() * length)


def number_at(number: Number, share: float) -> int | float:
    """The number at a share in [0, 1] of the range, along its scale; reals to six significant digits."""
    low, high = number.low, number.high + (1 if number.integer else 0)
    if number.log:
        value = math.exp((1 - share) * math.log(low) + share * math.log(high))
    else:
        value = low + share * (high - low)
    if number.integer:
        return min(int(number.high), max(int(number.low), math.floor(value)))
    return min(number.high, max(number.low, float(f"{value:.6g}")))


def share_of(number: Number, value: float) -> float:
    """Inverse of `number_at`: where a value lies in the range, in [0, 1]; 0 for an empty range."""
    low, high = number.low, number.high + (1 if number.integer else 0)
    value = value + 0.5 if number.integer else value
    if high == low:
        return 0.0
    if number.log:
        return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
    return (value - low) / (high - low)


def stepped(number: Number, old: float, draw: Draws) -> int | float:
    """A normal step along the number's scale, reflected at the bounds; never the old value."""
    if number.integer and number.high - number.low == 1:
        return int(number.low if old == number.high else number.high)
    for _ in range(TRIES):
        normal = math.sqrt(-2 * math.log(1 - draw())) * math.cos(2 * math.pi * draw())  # Box and Muller
        share = abs(share_of(number, old) + STEP * normal) % 2
        value = number_at(number, 2 - share if share > 1 else share)
        if value != old:
            return value
    return number.low if old != number.low else number.high  # bounds closer than six digits
