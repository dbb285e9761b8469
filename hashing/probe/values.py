"""Values of a probe: tensors known by a digest, sums in one order, and values known by name only.

A process remembers results up to a number of bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from hashlib import blake2b
from operator import add
from struct import pack
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from nas.language import Shape


_OVERHEAD = 500  # bytes of a key and its place


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

    @property
    def nbytes(self) -> int:
        """Of results held, keys not counted."""
        return sum(size for held in (self._young, self._old) for _, size in held.values())


_KEY_BYTES = 16
SUM_BYTES = 128 * 2**20  # of sums that are remembered
FIXED_BYTES = 64 * 2**20  # of inputs, zeros and projections, each
_NOISE = 1e-6  # a normalised value below this is rounding noise around zero
_MAGNITUDES = (1.0, -4.0, 16.0, -16.0)  # of the examples, in turn
EXAMPLES = (len(_MAGNITUDES), 8 * len(_MAGNITUDES))  # usually; where few would not tell functions apart
SMALL, FEW = 1, 2  # what a value may lack: large maps, many numbers
_SPREAD = 3.0  # of the pixels of an example of magnitude 1
_OFFSET = 6.0  # of channels, at most


class UnhashableError(Exception):
    """Why a candidate has no digest, in one line."""


class Value:
    """What a part of a network computes on the probe.

    Attributes:
        key: digest; equal keys are taken for equal values.
        shape: of one example, without the batch dimension.
        tensor: (batch, *shape), float64; None where only the key is known.
        support: bit i is set if it depends on input i.
        addends: the values that it is the sum of, each with how often: itself alone once, several, or none
            for zero.
        lacks: SMALL if a feature map on the way was too small to tell apart what it went through, FEW if a
            flat value had too few numbers for that, or both, or 0.
        reach: pixels that maxima were taken over to each side, since the last operation that is no maximum
            and keeps pixels apart.
    """

    __slots__ = ("addends", "key", "lacks", "reach", "shape", "support", "tensor")

    def __init__(
        self,
        key: bytes,
        shape: Shape,
        tensor: torch.Tensor | None,
        support: int,
        *,
        lacks: int = 0,
        reach: int = 0,
    ) -> None:
        self.key = key
        self.shape = shape
        self.tensor = tensor
        self.support = support
        self.addends: tuple[tuple[Value, int], ...] = ((self, 1),)
        self.lacks = lacks
        self.reach = reach

    @property
    def is_zero(self) -> bool:
        return not self.addends


class Values:
    """Makes values and their keys.

    Args:
        bits: of the mantissa of each projection that count.
        device: on which tensors live.
        examples: of the probe, one of EXAMPLES.
    """

    def __init__(self, bits: int, device: str, examples: int = EXAMPLES[0]) -> None:
        self.examples = examples
        self.bits = bits
        self.device = torch.device(device)
        self._projections = Memory(FIXED_BYTES)
        self._zeros = Memory(FIXED_BYTES)
        self._inputs = Memory(FIXED_BYTES)
        self._sums = Memory(SUM_BYTES)

    def of(self, tensor: torch.Tensor, support: int, *, lacks: int = 0, reach: int = 0) -> Value:
        """The value of a tensor.

        Raises:
            UnhashableError: numbers that are not finite.
        """
        shape = tuple(tensor.shape[1:])
        key = self.key(tensor)
        if key is None:
            return self.zero(shape)
        return Value(key, shape, tensor, support, lacks=lacks, reach=reach)

    def key(self, tensor: torch.Tensor, noise: float = 0.0) -> bytes | None:
        """Digest of a random projection of each example, rounded; None for zeros, or numbers within `noise`.

        Examples count by themselves, as their magnitudes differ. Rounding errors reach a key only where they
        move a projection across a rounding boundary.
        """
        shape = tuple(tensor.shape)
        rows = shape[0] if shape and shape[0] == self.examples else 1
        numbers = (tensor.reshape(rows, -1) @ self._projection(tensor.numel() // rows)).tolist()
        if not all(map(math.isfinite, numbers)):
            raise UnhashableError("numbers that are not finite on the probe")
        if (noise or not any(numbers)) and not (tensor.abs() > noise).any():
            return None
        bits = self.bits
        return key_of(str(shape), *[_rounded(number, bits) for number in numbers])

    def zero(self, shape: Shape, lacks: int = 0) -> Value:
        found = self._zeros.get((shape, lacks))
        if found is None:
            tensor = torch.zeros(self.examples, *shape, dtype=torch.float64, device=self.device)
            found = Value(key_of("zero", str(shape)), shape, tensor, 0, lacks=lacks)
            found.addends = ()
            self._zeros.put((shape, lacks), found, nbytes(tensor))
        return found

    def named(self, shape: Shape, given: Sequence[Value], *parts: bytes | str) -> Value:
        """A value known by what it is computed from."""
        return Value(key_of(*parts), shape, None, joint_support(given), lacks=joint_lacks(given))

    def sum(self, terms: Sequence[Value]) -> Value:
        """Nested sums flattened, zeros dropped, added up in the order of their keys."""
        counts: dict[bytes, tuple[Value, int]] = {}
        for term in terms:
            for value, count in term.addends:
                known = counts.get(value.key)
                counts[value.key] = (value, count if known is None else known[1] + count)
        addends = tuple(counts[key] for key in sorted(counts))
        if not addends:
            return self.zero(terms[0].shape, joint_lacks(terms))
        if len(addends) == 1 and addends[0][1] == 1 and addends[0][0].lacks == joint_lacks(terms):
            return addends[0][0]
        key, tensor = self._added(addends)
        if key is None:
            return self.zero(terms[0].shape)
        found = Value(key, terms[0].shape, tensor, joint_support(terms))
        found.addends = addends
        found.lacks = joint_lacks(terms)
        found.reach = min(value.reach for value, _ in addends)
        return found

    def _added(self, addends: tuple[tuple[Value, int], ...]) -> tuple[bytes | None, torch.Tensor | None]:
        """Key and tensor of a sum; the same whoever asks."""
        name = tuple((value.key, count) for value, count in addends)
        found = self._sums.get(name)
        if len(name) == 1 and name[0][1] == 1:
            return name[0][0], addends[0][0].tensor
        if found is None:
            scaled = [_times(value.tensor, count) for value, count in addends]
            tensors = [tensor for tensor in scaled if tensor is not None]
            if len(tensors) < len(addends):
                found = key_of("sum", *(part for key, count in name for part in (key, hex(count)))), None
            else:
                tensor = reduce(add, tensors)
                found = self.key(tensor), tensor
            self._sums.put(name, found, nbytes(found[1]))
        return found

    def concat(self, parts: Sequence[Value], shape: Shape) -> Value:
        """Side by side along channels."""
        tensors = [value.tensor for value in parts if value.tensor is not None]
        if len(tensors) < len(parts):
            return self.named(shape, parts, "concat", *(part.key for part in parts))
        lacks, reach = joint_lacks(parts), max(part.reach for part in parts)
        return self.of(torch.cat(tensors, dim=1), joint_support(parts), lacks=lacks, reach=reach)

    def generic(self, index: int, shape: Shape) -> Value:
        """An input seeded by its number and shape alone: small and large examples, channels of either sign.

        Some values are beyond the bend of relu6 and the flat ends of gates, also after a pooling, and others
        are not.
        """
        found = self._inputs.get((index, shape))
        if found is None:
            numbers = generator("input", str(index))
            ones = (1,) * (len(shape) - 1)
            offsets = numbers.uniform(-_OFFSET, _OFFSET, (1, shape[0], *ones))
            pixels = offsets + _SPREAD * numbers.standard_normal((self.examples, *shape))
            magnitudes = np.resize(_MAGNITUDES, (self.examples, 1, *ones))
            tensor = torch.from_numpy(pixels * magnitudes).to(self.device)
            found = self.of(tensor, 1 << index)
            self._inputs.put((index, shape), found, nbytes(tensor))
        return found

    def _projection(self, size: int) -> torch.Tensor:
        found = self._projections.get(size)
        if found is None:
            drawn = generator("projection", str(size)).uniform(-1.0, 1.0, size)
            found = torch.from_numpy(drawn).to(self.device)
            self._projections.put(size, found, nbytes(found))
        return found


def nbytes(tensor: torch.Tensor | None) -> int:
    return 0 if tensor is None else 8 * tensor.numel()


def joint_support(values: Iterable[Value]) -> int:
    """The inputs that any of the values depends on."""
    found = 0
    for value in values:
        found |= value.support
    return found


def joint_lacks(values: Iterable[Value]) -> int:
    """What any of the values lacks."""
    found = 0
    for value in values:
        found |= value.lacks
    return found


def generator(*seed: bytes | str) -> np.random.Generator:
    """Random numbers that depend on the seed alone, whatever the platform."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key_of(*seed), "little")))


def key_of(*parts: bytes | str) -> bytes:
    """Digest of parts, whose order and lengths matter."""
    return blake2b(repr(parts).encode(), digest_size=_KEY_BYTES).digest()


def _times(tensor: torch.Tensor | None, count: int) -> torch.Tensor | None:
    if tensor is None or count == 1:
        return tensor
    if count.bit_length() > 1000:
        raise UnhashableError("numbers that are not finite on the probe")
    return tensor * float(count)


def _rounded(number: float, bits: int) -> bytes:
    """As `nas.hashing.digests.rounded`, for one finite number, without the cost of arrays."""
    mantissa, exponent = math.frexp(number)
    return pack("<d", math.ldexp(round(math.ldexp(mantissa, bits)), exponent - bits) + 0.0)


def is_noise_around_zero(values: Values, tensor: torch.Tensor) -> bytes | None:
    """Key of a normalised tensor, whose scale is 1; None where nothing varied before it was normalised."""
    return values.key(tensor, _NOISE)
