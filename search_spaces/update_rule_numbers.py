"""Update rules on numpy arrays: what their functions compute, and the inputs on which they are compared.

A "tensor" is one flat array of all weights, those of several weight tensors one after the other, so that
`norm` differs from `global_norm`; a "scalar" is an array of shape (1,). The functions are those of
`search_spaces.programmed_optimizer`, whose torch functions they are tested against; here they are as
cheap as possible, because a search compares thousands of programs a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.meaning import ProgramMeaning
from nas.program import Function, Signature
from search_spaces.update_rule import LANGUAGE, OUTPUTS, STATE

EPS = 1e-8  # added to denominators
SIZES = (6, 1, 5)  # elements of the weight tensors

Array = NDArray[np.float64]

_STARTS = np.cumsum((0, *SIZES[:-1]))
_OWNER = np.repeat(np.arange(len(SIZES)), SIZES)

# Magnitudes of the gradients of each step: some that clipping by any constant or rate meets, some that it
# leaves alone, some beside which 1e-8 matters; five steps, because state may pass through m and v.
_SCALES = (1.0, 1e-2, 3e-5, 1.0, 0.1)
_SPREAD = 1.5  # decades around a step's magnitude
_RATES = (3e-3, 0.3)


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
    """Weights, gradients and rates of some steps, drawn apart from each other; the state starts at zero.

    A real run subtracts the updates from the weights. Here they are drawn anew for each step, so that an
    update that overflows hides nothing of the steps after it; rules that would agree only because
    weights follow from updates count as two.
    """
    rng = np.random.default_rng(seed)
    size = sum(SIZES)
    found: list[dict[str, Array]] = []
    for scale in _SCALES:
        weights = rng.normal(size=size) * 10.0 ** rng.uniform(-1.5, 1.0, size)
        gradients = scale * rng.choice((-1.0, 1.0), size) * 10.0 ** rng.uniform(-_SPREAD, _SPREAD, size)
        gradients[rng.integers(size)] = 0.0
        weights[rng.integers(size)] = 0.0
        gradients[0] = 0.0  # of a weight that never has one
        rate = np.exp(rng.uniform(np.log(_RATES[0]), np.log(_RATES[1]), 1))
        found.append({"w": weights, "g": gradients, "lr": rate})
    return ({**found[0], **{slot: np.zeros(size) for slot in STATE}}, *found[1:])


MEANING = ProgramMeaning(LANGUAGE, OUTPUTS, STATE, bind, steps, floor=2.0**-48)
