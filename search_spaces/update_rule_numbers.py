"""Update rules on numpy arrays: what their functions compute, and the inputs on which they are compared.

A "tensor" is one flat array of all weights, those of several weight tensors one after the other, so that
`norm` differs from `global_norm`; a "scalar" is an array of shape (1,). The functions are those of
`nas.search_spaces.programmed_optimizer`, whose torch functions they are tested against; here they are as
cheap as possible, because a search compares thousands of programs a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas.programs import Function, ProgramMeaning, Signature
from nas.search_spaces.update_rule import LANGUAGE, OUTPUTS, STATE

EPS = 1e-8  # added to denominators
SIZES = (25, 1, 14)  # elements of the weight tensors

Array = NDArray[np.float64]

_STARTS = np.cumsum((0, *SIZES[:-1]))
_OWNER = np.repeat(np.arange(len(SIZES)), SIZES)


class _Step(NamedTuple):
    """What the inputs of a step are like.

    Attributes:
        gradients: decimal exponents of their magnitudes, from and to; None for no gradient at all.
        weights: likewise.
        rate: of learning.
        along: None for gradients of their own; those along the "weights" and those that turn "back" are the
            weights, or minus the gradients of the step before, times numbers with these exponents.
    """

    gradients: tuple[float, float] | None
    weights: tuple[float, float]
    rate: float
    along: str | None = None


# Usual magnitudes come first, so that what overflows later hides nothing of them, also where state keeps it;
# for the same reason rates rise, as the least or greatest so far may be kept, and zeros come late, since
# their logarithm makes a norm infinite. Rates and magnitudes lie below and above all constants of the space,
# also after a product with a rate or a constant. Steps that turn back, or are small, after large ones show
# what state remembers of these.
_STEPS = (
    _Step((-1.5, 1.5), (-1.5, 1.5), 1e-5),
    _Step((-3.5, -0.5), (-2.0, 1.0), 3e-5),
    _Step((-6.0, -3.0), (-6.0, -2.0), 2e-4),
    _Step((-1.5, 1.5), (-1.5, 0.5), 1e-3),
    _Step((-0.52, -0.5), (-2.0, 1.0), 3e-3, "weights"),
    _Step((-0.02, 0.0), (-1.0, 2.0), 0.01, "back"),
    _Step((-2.0, 0.5), (-2.0, 1.0), 0.05, "back"),
    _Step((-4.5, -3.5), (-2.0, 1.0), 0.2),
    _Step((-1.0, 0.0), (-1.5, 0.5), 0.7, "back"),
    _Step((-2.5, -1.5), (-2.0, 1.0), 1.0),
    _Step((-1.0, 0.0), (-2.0, 1.0), 1e-3, "back"),
    _Step((-10.0, -6.0), (-4.0, 0.0), 0.1),
    _Step((0.0, 3.5), (0.0, 3.5), 1.0),
    _Step((1.0, 6.0), (1.0, 6.0), 30.0),
    _Step((-3.0, 0.0), (0.0, 4.0), 1e-3, "back"),
    _Step(None, (-1.5, 1.5), 1e-4),
    _Step((-2.5, 0.5), (-3.0, 0.0), 0.02),
    _Step((-1.0, 1.0), (-1.5, 1.5), 3e-3, "back"),
    _Step((-1.5, 1.5), (-1.5, 0.5), 1e-3),
)
_WHOLE = 4  # steps without zeros
_ZEROS = 2  # then, of each step's weights and gradients in the first tensor
_QUIET = 6.0  # decades by which gradients of the last tensor's weights are smaller, up to; in all steps alike
_GROWN = 2.0**17  # exact; what adds the least constant up in each step passes the greatest one


def _norms(x: Array) -> Array:
    return np.sqrt(np.add.reduceat(x * x, _STARTS))[_OWNER]


def _global_norm(x: Array) -> Array:
    return np.sqrt(np.add.reduce(x * x, keepdims=True))


def _dot(x: Array, y: Array) -> Array:
    return np.add.reduce(x * y, keepdims=True)


def _clip(x: Array, most: Array) -> Array:
    return x * np.minimum(most / (_global_norm(x) + EPS), 1.0)


def _sign(x: Array) -> Array:
    """Zero for NaN, as in torch."""
    return np.subtract(x > 0, x < 0, dtype=np.float64)


_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": lambda x, y: x / (y + EPS),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "interpolate": lambda x, y, a: (1.0 - a) * x + a * y,
    "abs": np.abs,
    "negative": np.negative,
    "sign": _sign,
    "square": np.square,
    "cube": lambda x: x * x * x,
    "sqrt": lambda x: np.sqrt(np.abs(x)),
    "cbrt": np.cbrt,
    "power": lambda x, a: np.abs(x) ** a,
    "reciprocal": lambda x: 1.0 / (x + EPS),
    "exp": np.exp,
    "exp2": np.exp2,
    "exp10": lambda x: np.power(10.0, x),
    "expm1": np.expm1,
    "log": lambda x: np.log(np.abs(x)),
    "log2": lambda x: np.log2(np.abs(x)),
    "log10": lambda x: np.log10(np.abs(x)),
    "log1p": lambda x: np.log1p(np.abs(x)),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "arcsin": np.arcsin,
    "arccos": np.arccos,
    "arctan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "arcsinh": np.arcsinh,
    "arccosh": np.arccosh,
    "arctanh": np.arctanh,
    "norm": _norms,
    "global_norm": _global_norm,
    "dot": _dot,
    "cosine_sim": lambda x, y: _dot(x, y) / (_global_norm(x) * _global_norm(y) + EPS),
    "clip_by_global_norm": _clip,
}


def bind(function: Function, signature: Signature) -> Callable[..., Array]:  # noqa: ARG001 - shapes broadcast
    """What a function computes under any of its signatures."""
    return _FUNCTIONS[function.name]


def steps(seed: int) -> tuple[Mapping[str, Any], ...]:
    """Weights, gradients and rates of some steps; the state starts at zero.

    A real run subtracts the updates from the weights. Here they are drawn anew for each step, so that an
    update that overflows hides nothing of the steps after it; rules that would agree only because
    weights follow from updates count as two.
    """
    rng = np.random.default_rng(seed)
    quiet = np.where(np.arange(sum(SIZES)) >= _STARTS[-1], 10.0 ** rng.uniform(-_QUIET, 0.0, sum(SIZES)), 1.0)
    found: list[dict[str, Array]] = []
    for number, step in enumerate(_STEPS):
        weights = _drawn(rng, step.weights)
        along = -found[-1]["g"] if step.along == "back" else quiet * weights
        gradients = _gradients(rng, step, along, quiet)
        if number >= _WHOLE:
            _put_zeros(rng, weights, gradients, number)
        found.append({"w": weights, "g": gradients, "lr": np.array([step.rate])})
    return ({**found[0], **{slot: np.zeros(sum(SIZES)) for slot in STATE}}, *found[1:])


def _drawn(rng: np.random.Generator, decades: tuple[float, float]) -> Array:
    """Both signs and all magnitudes of these decades; one value is well above all others."""
    least, most = decades
    size, sign = sum(SIZES), rng.choice((-1.0, 1.0))
    values = rng.choice((-1.0, 1.0), size) * 10.0 ** rng.uniform(least, most - 0.5, size)
    ends = sign * 10.0 ** np.array([most, most - 0.5, least, least]) * np.array([1.0, -1.0, 1.0, -1.0])
    values[: ends.size] = ends
    rng.shuffle(values[: SIZES[0]])
    return values


def _gradients(rng: np.random.Generator, step: _Step, along: Array, quiet: Array) -> Array:
    if step.gradients is None:
        return np.zeros(along.size)
    if step.along is None:
        return quiet * _drawn(rng, step.gradients)
    return along * 10.0 ** rng.uniform(*step.gradients, along.size)


def _put_zeros(rng: np.random.Generator, weights: Array, gradients: Array, number: int) -> None:
    """Single zeros; in every other step the tensor of one element, as a new bias, or without a gradient."""
    for values in (weights, gradients):
        values[rng.integers(0, SIZES[0], _ZEROS)] = 0.0
    if number % 2:
        (weights if number % 4 == 1 else gradients)[_STARTS[1]] = 0.0


MEANING = ProgramMeaning(LANGUAGE, OUTPUTS, STATE, bind, steps, floor=2.0**-48, grown=_GROWN)
