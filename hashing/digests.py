"""Digests: texts that carry their kind, version and number of bits, and the rounding under them.

Numbers are rounded to so many bits of the mantissa and not truncated to digits, so that a relative error of
computation far below 2^-bits changes a digest only where it moves a number across a rounding boundary: with
probability of about error x 2^bits for each number.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nas.errors import ConfigError
from nas.language import Define, Literal, Op, Ref, Term, to_text

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


MIN_BITS, MAX_BITS = 1, 52  # of the mantissa of a double
_BYTES = 16


@dataclass(frozen=True, slots=True)
class Digest:
    """Identity of a behaviour.

    Attributes:
        kind: of candidate and of hash, e.g. "network".
        version: of the procedure; rises with every change that may give other values.
        bits: of the mantissa that were kept.
        value: 32 hexadecimal digits.
    """

    kind: str
    version: int
    bits: int
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.version}:{self.bits}:{self.value}"


def checked_bits(bits: object, where: str) -> int:
    """The number of bits; raises ConfigError, starting with `where`, if it is none from 1 to 52."""
    if not isinstance(bits, int) or isinstance(bits, bool) or not MIN_BITS <= bits <= MAX_BITS:
        raise ConfigError(
            f"{where}: bits: expected a whole number from {MIN_BITS} to {MAX_BITS}; got {bits!r}"
        )
    return bits


def rounded(values: ArrayLike, bits: int) -> NDArray[np.float64]:
    """Values with `bits` bits of mantissa; one zero, one NaN, infinities with their sign."""
    numbers = np.asarray(values, dtype=np.float64)
    mantissa, exponent = np.frexp(numbers)
    found = np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits) + 0.0  # -0.0 becomes 0.0
    return np.where(np.isfinite(numbers), found, np.where(np.isnan(numbers), np.nan, numbers))


def hex_of(*parts: bytes | str) -> str:
    """32 hexadecimal digits of parts, whose order and lengths matter."""
    state = hashlib.blake2b(digest_size=_BYTES)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


def hex_of_values(values: ArrayLike, bits: int, *labels: bytes | str) -> str:
    """As `hex_of`, of labels and an array of numbers, rounded; its shape matters."""
    numbers = rounded(values, bits)
    return hex_of(*labels, str(numbers.shape), numbers.astype("<f8").tobytes())


VERSION = 1


def settings_digest(term: Term) -> str:
    """Digest of what stands in `train(network, lr=..., ...)` around the network; "" without such settings.

    Sorted by name. Defaults are not filled in: an evaluator may have others. Numbers count by their value,
    so that 1 and 1.0 are the same setting; references to definitions are looked up.
    """
    definitions: dict[str, Term] = {}
    while isinstance(term, Define):
        definitions |= dict(term.bindings)
        term = term.body
    if not isinstance(term, Op) or term.name != "train" or not term.attributes:
        return ""
    given = sorted((name, _written(value, definitions)) for name, value in term.attributes)
    return f"settings:{VERSION}:{hex_of(*(part for pair in given for part in pair))}"


def _written(value: Term, definitions: dict[str, Term]) -> str:
    seen: set[str] = set()
    while isinstance(value, Ref) and value.name in definitions and value.name not in seen:
        seen.add(value.name)
        value = definitions[value.name]
    if isinstance(value, Literal) and type(value.value) in (int, float):
        return repr(float(value.value)) if abs(value.value) < 2**53 else repr(value.value)  # type: ignore[arg-type, operator]
    return to_text(value)
