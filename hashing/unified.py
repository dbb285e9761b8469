"""The unified functional hash: a short seeded training, and the hash of its truncated accuracies.

Gillard et al. 2023, "Unified Functional Hashing in Automatic Machine Learning"
(https://arxiv.org/abs/2302.05433), with the mixing of the code that its authors published. For NAS-Bench-101
they take four accuracies of the table's entry of 4 epochs; here an evaluator trains at its lowest fidelity.

Deviations:
- A negative number mixes its sign before its exponent; the authors' values are accuracies and have none. NaN
  is one value, and so are 0 and -0.
- The training may be repeated to see whether it gives the same values; one that does not has no digest.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from nas.errors import ConfigError, NasError
from nas.evaluation import Fidelity, Stage, Task
from nas.hashing.digests import Digest, checked_bits, hex_of, settings_digest
from nas.registry import build
from nas.study import Hashed, Hasher

if TYPE_CHECKING:
    from nas.evaluation import Evaluation, Evaluator
    from nas.space import Architecture

KIND, VERSION = "unified", 1
_NAME = 'hashing "unified"'
_EXPONENT = 0x7FF << 52
_SIGN = 1 << 63


def mix(values: Iterable[float], bits: int) -> int:
    """Hash of a sequence of numbers, of each the exponent and the first `bits` bits of the mantissa.

    Args:
        values: their order and number matter.
        bits: of the mantissa that are kept, the others are cut off.

    Raises:
        ConfigError: bits that are not 1 to 52.
    """
    checked_bits(bits, _NAME)
    mantissa = ((1 << bits) - 1) << (52 - bits)
    found = 0
    for value in values:
        pattern = _pattern(value)
        if pattern & _SIGN:
            found = _mixed(found, _SIGN)
        found = _mixed(found, pattern & _EXPONENT)
        found = _mixed(found, pattern & mantissa)
    return found


def _pattern(value: float) -> int:
    """The 64 bits of a number: one NaN, one zero."""
    number = math.nan if math.isnan(value) else float(value) + 0.0
    pattern = struct.unpack("<Q", struct.pack("<d", number))[0]
    return _EXPONENT | 1 << 51 if math.isnan(value) else pattern


def _mixed(found: int, bits: int) -> int:
    digest = hashlib.sha256(str((found, bits)).encode()).digest()
    return int.from_bytes(digest, "little") % 2**63


class UnifiedHasher(Hasher):
    """Trains each candidate shortly, always in the same way, and hashes the values of its curve.

    Order of the values: epoch by epoch of the curve, and in each the names as listed; where there
    is no curve, the values of the evaluation in the order of the names.

    Args:
        evaluator: section of the evaluator that trains, e.g. `{name: table, path: ...}`.
        bits: of the mantissa that are kept.
        values: names in the evaluator's curves and values; by default those of its objectives.
        fidelity: of the training, the evaluator's lowest by default.
        seed: of the training.
        twice: train twice and refuse candidates whose values differ.

    Raises:
        ConfigError: an option out of range, or a mistake in the evaluator's section.
    """

    name = "unified"
    in_worker = True

    def __init__(
        self,
        evaluator: Mapping[str, Any],
        *,
        bits: int = 24,
        values: Sequence[str] | None = None,
        fidelity: float | None = None,
        seed: int = 0,
        twice: bool = False,
    ) -> None:
        if not isinstance(evaluator, Mapping) or not evaluator.get("name"):
            raise ConfigError(f"{_NAME}: evaluator: expected a section with a name; got {evaluator!r}")
        if values is not None and (isinstance(values, str) or not values):
            raise ConfigError(f"{_NAME}: values: expected a list of names; got {values!r}")
        self.bits = checked_bits(bits, _NAME)
        self.section = dict(evaluator)
        self.values = None if values is None else tuple(values)
        self.seed = seed
        self.twice = twice
        self.given_fidelity = fidelity
        self._evaluator: Evaluator | None = None
        self._built()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_evaluator": None}  # data sets stay; workers read their own

    def _built(self) -> Evaluator:
        evaluator = self._evaluator
        if evaluator is None:
            from nas.evaluation import EVALUATORS

            evaluator = build(EVALUATORS, self.section)
            self._fidelity(evaluator)
            self._evaluator = evaluator
        return evaluator

    def _fidelity(self, evaluator: Any) -> Fidelity | None:
        if evaluator.fidelity_range is None:
            if self.given_fidelity is not None:
                name = self.section["name"]
                raise ConfigError(
                    f"{_NAME}: fidelity: expected none, as {name} has none; got {self.given_fidelity:g}"
                )
            return None
        name, lowest, full = evaluator.fidelity_range
        value = lowest if self.given_fidelity is None else self.given_fidelity
        if not lowest <= value <= full:
            raise ConfigError(f"{_NAME}: fidelity: expected {lowest:g} to {full:g} {name}; got {value:g}")
        return Fidelity(name, value)

    def hash(self, architecture: Architecture) -> Hashed:
        """The digest of the short training, or in one line why there is none."""
        try:
            found = [self._run(architecture) for _ in range(1 + self.twice)]
        except NasError as error:
            return Hashed(None, reason=shorten(" ".join(str(error).split()), 300, placeholder=" ..."))
        if any(mix(values, self.bits) != mix(found[0], self.bits) for values in found):
            return Hashed(None, reason="values of equal trainings differ: hidden randomness or state")
        evaluator = self._built().fingerprint()
        value = hex_of(
            str(mix(found[0], self.bits)), evaluator, str(self._fidelity(self._built())), str(self.seed)
        )
        return Hashed(str(Digest(KIND, VERSION, self.bits, value)), settings_digest(architecture.term))

    def _run(self, architecture: Architecture) -> list[float]:
        """The values of one training, in order; raises NasError if it failed or has no such values."""
        evaluator = self._built()
        fidelity = self._fidelity(evaluator)
        evaluation = evaluator(Task(0, architecture, Stage.SEARCH, fidelity, self.seed))
        if not evaluation.ok:
            raise ConfigError(f"{evaluation.status.value}: {evaluation.reason}")
        names = self.values or tuple(objective.name for objective in evaluator.objectives)
        return _ordered(evaluation, names)


def _ordered(evaluation: Evaluation, names: Sequence[str]) -> list[float]:
    rows = [row for row in evaluation.curve if any(name in row for name in names)] or [evaluation.values]
    found = [float(row[name]) for row in rows for name in names if name in row]
    missing = [name for name in names if not any(name in row for row in rows)]
    if missing:
        every = (*evaluation.curve, evaluation.values)
        has = ", ".join(dict.fromkeys(key for row in every for key in row))
        raise ConfigError(f"{_NAME}: values: expected names out of {has}; got {missing[0]}")
    return found
