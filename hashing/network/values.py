"""Values of a probe: tensors known by a digest, sums in one order, and values known by name only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from hashlib import blake2b
from operator import add, attrgetter
from struct import pack
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from nas.primitives import Shape

_PROJECTIONS = 3  # of a value, rounded and hashed
_KEY_BYTES = 16
_OVERHEAD = 500  # bytes of a key and its place
SUM_BYTES = 128 * 2**20  # of sums that are remembered
_NOISE = 1e-6  # a normalised value below this is rounding noise around zero

_key_of = attrgetter("key")


class UnhashableError(Exception):
    """Why a candidate has no digest, in one line."""


class Value:
    """What a part of a network computes on the probe.

    Attributes:
        key: digest; equal keys are taken for equal values.
        shape: of one example, without the batch dimension.
        tensor: (batch, *shape), float64; None where only the key is known.
        support: bit i is set if it depends on input i.
        addends: the values that it is the sum of: itself alone, several, or none for zero.
    """

    __slots__ = ("addends", "key", "shape", "support", "tensor")

    def __init__(
        self,
        key: bytes,
        shape: Shape,
        tensor: torch.Tensor | None,
        support: int,
        addends: tuple[Value, ...] | None = None,
    ) -> None:
        self.key = key
        self.shape = shape
        self.tensor = tensor
        self.support = support
        self.addends = (self,) if addends is None else addends

    @property
    def is_zero(self) -> bool:
        return not self.addends

    @property
    def nbytes(self) -> int:
        return 0 if self.tensor is None else 8 * self.tensor.numel()


class Memory:
    """Results by key, of at most so many bytes; those not asked for of late are forgotten.

    Two generations: what is asked for moves to the young one; when that is full, the old one is dropped.
    """

    def __init__(self, nbytes: int) -> None:
        self._limit, self._held = nbytes // 2, 0
        self._young: dict[Any, tuple[Any, int]] = {}
        self._old: dict[Any, tuple[Any, int]] = {}

    def get(self, key: Any) -> Any:
        """The result, or None."""
        found = self._young.get(key)
        if found is None:
            found = self._old.pop(key, None)
            if found is None:
                return None
            self.put(key, *found)
        return found[0]

    def put(self, key: Any, result: Any, nbytes: int = 0) -> None:
        """Keeps a result; every one counts some bytes more for its key."""
        self._young[key] = result, nbytes
        self._held += nbytes + _OVERHEAD
        if self._held > self._limit:
            self._old, self._young, self._held = self._young, {}, 0


class Values:
    """Makes values and their keys.

    Args:
        bits: of the mantissa of each projection that count.
        batch: number of examples.
        device: on which tensors live.
    """

    def __init__(self, bits: int, batch: int, device: str) -> None:
        self.bits = bits
        self.batch = batch
        self.device = torch.device(device)
        self._projections: dict[int, torch.Tensor] = {}
        self._fixed: dict[tuple[str, Shape], Value] = {}  # zeros and inputs
        self._sums = Memory(SUM_BYTES)

    def of(self, tensor: torch.Tensor, support: int) -> Value:
        """The value of a tensor.

        Raises:
            UnhashableError: numbers that are not finite.
        """
        shape = tuple(tensor.shape[1:])
        key = self.key(tensor)
        return self.zero(shape) if key is None else Value(key, shape, tensor, support)

    def key(self, tensor: torch.Tensor, noise: float = 0.0) -> bytes | None:
        """Digest of a few random projections, rounded; None for zeros, or numbers of at most `noise`.

        Rounding errors reach a key only where they move a projection across a rounding boundary.
        """
        numbers = (tensor.reshape(-1) @ self._projection(tensor.numel())).tolist()
        if not all(map(math.isfinite, numbers)):
            raise UnhashableError("numbers that are not finite on the probe")
        if (not any(numbers) or noise) and not (tensor.abs() > noise).any():
            return None
        return key_of(str(tuple(tensor.shape)), *(_rounded(number, self.bits) for number in numbers))

    def zero(self, shape: Shape) -> Value:
        found = self._fixed.get(("zero", shape))
        if found is None:
            tensor = torch.zeros(self.batch, *shape, dtype=torch.float64, device=self.device)
            found = Value(key_of("zero", str(shape)), shape, tensor, 0, ())
            self._fixed["zero", shape] = found
        return found

    def named(self, shape: Shape, support: int, *parts: bytes | str) -> Value:
        """A value known by what it is computed from."""
        return Value(key_of(*parts), shape, None, support)

    def sum(self, terms: Sequence[Value]) -> Value:
        """Nested sums flattened, zeros dropped, added up in the order of their keys."""
        addends = sorted((part for term in terms for part in term.addends), key=_key_of)
        if len(addends) <= 1:
            return addends[0] if addends else self.zero(terms[0].shape)
        name = b"".join(map(_key_of, addends))
        found = self._sums.get(name)
        if found is None:
            found = self._added(terms[0].shape, tuple(addends))
            self._sums.put(name, found, found.nbytes)
        return found

    def _added(self, shape: Shape, addends: tuple[Value, ...]) -> Value:
        support = joint_support(addends)
        tensors = [value.tensor for value in addends if value.tensor is not None]
        if len(tensors) < len(addends):
            return Value(key_of("sum", *map(_key_of, addends)), shape, None, support, addends)
        tensor = reduce(add, tensors)
        key = self.key(tensor)
        return self.zero(shape) if key is None else Value(key, shape, tensor, support, addends)

    def concat(self, parts: Sequence[Value], shape: Shape) -> Value:
        """Side by side along channels."""
        support = joint_support(parts)
        tensors = [value.tensor for value in parts if value.tensor is not None]
        if len(tensors) == len(parts):
            return self.of(torch.cat(tensors, dim=1), support)
        return self.named(shape, support, "concat", *map(_key_of, parts))

    def generic(self, index: int, shape: Shape) -> Value:
        """An input that takes negative and large values, seeded by its number and shape alone.

        A spread of 3 lets relu6 differ from relu and saturates gates.
        """
        found = self._fixed.get((str(index), shape))
        if found is None:
            numbers = 3.0 * generator("input", str(index)).standard_normal((self.batch, *shape))
            found = self._fixed[str(index), shape] = self.of(
                torch.from_numpy(numbers).to(self.device), 1 << index
            )
        return found

    def _projection(self, size: int) -> torch.Tensor:
        if size not in self._projections:
            drawn = generator("projection", str(size)).uniform(-1.0, 1.0, (size, _PROJECTIONS))
            self._projections[size] = torch.from_numpy(drawn).to(self.device)
        return self._projections[size]


def joint_support(values: Sequence[Value]) -> int:
    """The inputs that any of the values depends on."""
    return reduce(lambda bits, value: bits | value.support, values, 0)


def generator(*seed: bytes | str) -> np.random.Generator:
    """Random numbers that depend on the seed alone, whatever the platform."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key_of(*seed), "little")))


def key_of(*parts: bytes | str) -> bytes:
    """Digest of parts, whose order and lengths matter."""
    return blake2b(repr(parts).encode(), digest_size=_KEY_BYTES).digest()


def _rounded(number: float, bits: int) -> bytes:
    """As `hashing.digests.rounded`, for one finite number, without the cost of arrays."""
    mantissa, exponent = math.frexp(number)
    return pack("<d", math.ldexp(round(math.ldexp(mantissa, bits)), exponent - bits) + 0.0)


def is_noise_around_zero(values: Values, tensor: torch.Tensor) -> bytes | None:
    """Key of a normalised tensor, whose scale is 1; None where nothing varied before it was normalised."""
    return values.key(tensor, _NOISE)
