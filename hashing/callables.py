"""Functional hash of plain Python callables: activations, losses, whatever takes and returns numbers.

The third kind of candidate of Gillard et al. 2023 (https://arxiv.org/abs/2302.05433): lambda functions. The
callable is called on seeded inputs and its results are hashed, rounded. It is called twice with equal inputs
and made anew for a third call; results that differ show hidden randomness or state: then it has no digest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.callables import load
from nas.errors import ConfigError, NasError
from nas.evaluation import check_takes, load_function
from nas.hashing.digests import Digest, checked_bits, hex_of_values, settings_digest
from nas.programs import CallableMeaning
from nas.study import Hashed, Hasher

if TYPE_CHECKING:
    from nas.space import Architecture

KIND, VERSION = "callable", 2
FLOOR = 2.0**-40  # results below it count as zero: cancellation leaves that much
_NAME = 'hashing "callable"'
_GRADIENTS = ("none", "differences", "autograd")
_STEP = 1e-4  # of central differences, relative to inputs above 1
_GRID = 2.0**16  # gradients by differences are rounded to its inverse, times what they or the results are


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where a callable is called.

    Attributes:
        arguments: how many arrays it takes, or "module:function" with `(seed) -> arguments`; None for what
            the space says.
        points: elements of each array.
        low: least element.
        high: greatest element.
        seed: of the draws.
    """

    arguments: int | str | None = None
    points: int = 512
    low: float = -30.0
    high: float = 30.0
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.arguments, str):
            load_function(f"{_NAME}: arguments", self.arguments)
        elif self.arguments is not None:
            _check_whole("arguments", self.arguments)
        _check_whole("points", self.points)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(
                f"{_NAME}: low and high: expected finite numbers, low < high; got {self.low}, {self.high}"
            )

    def draw(self, meaning: CallableMeaning | None) -> tuple[Any, ...]:
        """The arguments: some elements uniform, some of all magnitudes, both ends and zero among them."""
        wanted: Any = self.arguments
        if wanted is None:
            wanted = 1 if meaning is None else meaning.arguments
        if isinstance(wanted, str):
            wanted = load(wanted)
        if not isinstance(wanted, int):
            drawn: Any = wanted(self.seed)
            return tuple(drawn)
        rng = np.random.default_rng(self.seed)
        return tuple(self._array(rng) for _ in range(wanted))

    def _array(self, rng: np.random.Generator) -> np.ndarray[Any, Any]:
        spread = rng.uniform(self.low, self.high, self.points)
        largest = max(abs(self.low), abs(self.high))
        small = rng.choice((-1.0, 1.0), self.points) * largest * 10.0 ** rng.uniform(-5.0, 0.0, self.points)
        mixed = np.where(rng.permutation(self.points) % 2 == 0, spread, np.clip(small, self.low, self.high))
        ends = rng.permutation((self.low, self.high, float(np.clip(0.0, self.low, self.high))))
        places = rng.permutation(self.points)[:3]
        mixed[places] = ends[: len(places)]
        return mixed


class CallableHasher(Hasher):
    """Calls what the architecture compiles to, and hashes what comes out.

    Args:
        compile: "module:function", `(architecture) -> callable`; None for the space's own.
        arguments: how many arrays the callable takes, or "module:function", `(seed) -> arguments`; None for
            what the space says, or one.
        bits: of the mantissa of each result that count.
        gradient: "differences" (central) or "autograd" (of torch, for a callable of tensors) hashes the
            derivative of the sum of its results by its first argument too; "none" does not.
        points: elements of each array.
        low: their least value.
        high: their greatest value.
        seed: of the inputs.

    Raises:
        ConfigError: an option out of range.
    """

    name = "callable"
    in_worker = True

    def __init__(
        self,
        *,
        compile: str | None = None,  # noqa: A002 - what it is called in a configuration
        arguments: int | str | None = None,
        bits: int = 24,
        gradient: str = "none",
        points: int = 512,
        low: float = -30.0,
        high: float = 30.0,
        seed: int = 0,
    ) -> None:
        if compile is not None:
            function = load_function(f"{_NAME}: compile", compile)
            check_takes(f"{_NAME}: compile", function, "f(architecture)", None)
        if gradient not in _GRADIENTS:
            raise ConfigError(f"{_NAME}: gradient: expected one of {', '.join(_GRADIENTS)}; got {gradient!r}")
        self.compile = compile
        self.bits = checked_bits(bits, _NAME)
        self.gradient = gradient
        self.inputs = Inputs(arguments, points, float(low), float(high), seed)

    def hash(self, architecture: Architecture) -> Hashed:
        """The digest of the callable's results, or in one line why there is none."""
        try:
            values = [self._digest(architecture, calls) for calls in (2, 1)]
        except _UnhashableError as error:
            return Hashed(None, reason=shorten(" ".join(str(error).split()), 300, placeholder=" ..."))
        if len({value for made in values for value in made}) > 1:
            return Hashed(None, reason="results of equal calls differ: hidden randomness or state")
        return Hashed(str(Digest(KIND, VERSION, self.bits, values[0][0])), settings_digest(architecture.term))

    def _digest(self, architecture: Architecture, calls: int) -> list[str]:
        """Digests of so many calls of one callable."""
        try:
            meaning = load(architecture.vocabulary.meaning) if architecture.vocabulary.meaning else None
            known = meaning if isinstance(meaning, CallableMeaning) else None
            if self.compile is None and known is None:
                raise ConfigError(
                    f'{_NAME}: "{architecture.vocabulary.name}" names no callable; give compile'
                )
            make = load(self.compile) if self.compile else known.compile  # type: ignore[union-attr]
            function = make(architecture)
            return [self._hashed(function, self.inputs.draw(known)) for _ in range(calls)]
        except _UnhashableError:
            raise
        except NasError as error:
            raise _UnhashableError(str(error)) from error
        except Exception as error:  # the user's code runs here
            raise _UnhashableError(f"{type(error).__name__}: {error}") from error

    def _hashed(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> str:
        with np.errstate(all="ignore"):
            if self.gradient == "autograd":
                found = _with_autograd(function, arguments)
            else:
                found = _numbers(function(*[_copied(argument) for argument in arguments]))
                if self.gradient == "differences":
                    found.append(_differences(function, arguments))
        flat = np.concatenate([each.ravel() for each in found])
        flat[np.abs(flat) < FLOOR] = 0.0
        shapes = str([each.shape for each in found])
        return hex_of_values(flat, self.bits, shapes, self.gradient, repr(self.inputs))


class _UnhashableError(Exception):
    """Why a callable has no digest."""


def _check_whole(option: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{_NAME}: {option}: expected a whole number of at least 1; got {value!r}")


def _copied(argument: Any) -> Any:
    return argument.copy() if isinstance(argument, np.ndarray) else argument


def _numbers(result: Any) -> list[np.ndarray[Any, Any]]:
    """Results as arrays of float64; raises _UnhashableError for what is no number."""
    parts: Sequence[Any] = result if isinstance(result, list | tuple) else (result,)
    found = []
    for part in parts:
        plain = part.detach().cpu().numpy() if hasattr(part, "detach") else part
        try:
            array = np.asarray(plain)
            if array.dtype.kind not in "fiub":
                raise TypeError
            found.append(array.astype(np.float64))
        except (TypeError, ValueError):
            got = shorten(repr(result), 60)
            raise _UnhashableError(f"numbers or arrays of them are expected as results; got {got}") from None
    if not sum(array.size for array in found):
        raise _UnhashableError(
            f"at least one number is expected as a result; got {shorten(repr(result), 60)}"
        )
    return found


def _differences(function: Callable[..., Any], arguments: tuple[Any, ...]) -> np.ndarray[Any, Any]:
    """Derivative of the sum of the results by each element of the first argument, on a grid."""
    first = np.asarray(arguments[0], dtype=np.float64)
    gradient = np.zeros(first.size)
    for i, value in enumerate(first.ravel()):
        step = _STEP * max(1.0, abs(value))
        results = []
        for sign in (1.0, -1.0):
            moved = first.copy()
            moved.flat[i] = value + sign * step
            found = _numbers(function(moved, *[_copied(argument) for argument in arguments[1:]]))
            results.append(np.concatenate([each.ravel() for each in found]))
        gradient[i] = _quotient(results[0], results[1], 2 * step)
    return gradient


def _quotient(more: np.ndarray[Any, Any], less: np.ndarray[Any, Any], step: float) -> float:
    """Of the results that changed, so that large ones beside them, or infinite ones, hide nothing."""
    if more.shape != less.shape:
        raise _UnhashableError(f"results of one shape are expected; got {more.shape} and {less.shape}")
    changed = ~((more == less) | (np.isnan(more) & np.isnan(less)))
    quotient = float((more[changed] - less[changed]).sum()) / step
    scale = max(abs(quotient), float(np.abs(more[changed]).sum()), 1.0)
    if not math.isfinite(scale):
        return quotient
    unit = 2.0 ** math.ceil(math.log2(scale)) / _GRID
    return round(quotient / unit) * unit


def _with_autograd(function: Callable[..., Any], arguments: tuple[Any, ...]) -> list[np.ndarray[Any, Any]]:
    """Results of a callable of tensors, and the derivative of their sum by the first argument."""
    import torch

    tensors = [torch.as_tensor(_copied(argument)) for argument in arguments]
    tensors[0].requires_grad_()
    result = function(*tensors)
    found = _numbers(result)
    parts = [
        part
        for part in (result if isinstance(result, list | tuple) else (result,))
        if hasattr(part, "grad_fn")
    ]
    if not any(part.requires_grad for part in parts):
        return [*found, np.zeros(tensors[0].shape)]
    (gradient,) = torch.autograd.grad(sum(part.sum() for part in parts), tensors[0], allow_unused=True)  # type: ignore[arg-type]
    return [*found, np.zeros(tensors[0].shape) if gradient is None else gradient.numpy()]
