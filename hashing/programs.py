"""Functional hash of programs: what they compute on seeded inputs over several steps, rounded.

After the functional equivalence checks of AutoML-Zero (Real et al. 2020, https://arxiv.org/abs/2003.03384,
section 3.1: predictions on a few examples, truncated) and of Gillard et al. 2023
(https://arxiv.org/abs/2302.05433). Deviations:
- The program itself is run, on inputs drawn apart from each other, and not a training with it: no state of
  a trained model hides a difference, and a probe costs a tenth of a millisecond.
- Statements that no output depends on, in this step or a later one, are left out before the run; state
  counts through the outputs of later steps only.
- Results are rounded and not truncated; values that are not finite are hashed as what they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.callables import load
from nas.errors import CompileError, NasError
from nas.hashing.digests import Digest, checked_bits, hex_of_values
from nas.hashing.program_code import Code, Coder
from nas.hashing.settings import settings_digest
from nas.programs import ProgramMeaning
from nas.study import Hashed

if TYPE_CHECKING:
    from nas.language import Vocabulary
    from nas.space import Architecture

KIND, VERSION = "program", 2
BITS = 24


class ProgramProbe:
    """Hashes programs of every vocabulary whose meaning is a `ProgramMeaning`.

    Args:
        bits: of the mantissa of each result that count, from 1 to 52.
        seed: of the inputs.

    Raises:
        ConfigError: bits out of range.
    """

    def __init__(self, bits: int = BITS, seed: int = 0) -> None:
        self.bits = checked_bits(bits, "hashing of programs")
        self.seed = seed
        self._machines: dict[str | None, _Machine] = {}

    def digest(self, architecture: Architecture) -> Hashed:
        """The digest of the program's behaviour, or in one line the reason why there is none."""
        try:
            machine = self._machine(architecture.vocabulary)
            results = machine.results(architecture)
        except Exception as error:  # the functions of a language of one's own run here
            kind = "" if isinstance(error, NasError) else f"{type(error).__name__}: "
            return Hashed(None, reason=shorten(" ".join(f"{kind}{error}".split()), 300, placeholder=" ..."))
        value = hex_of_values(results, self.bits, machine.label)
        return Hashed(str(Digest(KIND, VERSION, self.bits, value)), settings_digest(architecture.term))

    def _machine(self, vocabulary: Vocabulary) -> _Machine:
        found = self._machines.get(vocabulary.meaning)
        if found is None:
            meaning = load(vocabulary.meaning) if vocabulary.meaning else None
            if not isinstance(meaning, ProgramMeaning):
                raise CompileError(
                    "hashing of programs: a vocabulary whose meaning is that of programs is expected; "
                    f'got "{vocabulary.name}"'
                )
            label = f"{meaning.language.name} {self.seed}"
            found = _Machine(meaning, Coder(meaning), meaning.steps(self.seed), label)
            self._machines[vocabulary.meaning] = found
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return ProgramProbe, (self.bits, self.seed)


@dataclass(frozen=True, slots=True)
class _Machine:
    """What all programs of one vocabulary share."""

    meaning: ProgramMeaning
    coder: Coder
    steps: tuple[Any, ...]
    label: str
    trusted: set[Any] = field(default_factory=set)  # functions that gave the same twice

    def results(self, architecture: Architecture) -> np.ndarray[Any, Any]:
        """All outputs that are not carried, of all steps, one after the other.

        A program with a function that is new to this process is run twice.

        Raises:
            CompileError: no program of the language, or two runs that differ.
        """
        code = self.coder.code(architecture.network)
        values = self._run(code)
        functions = {call[0] for _, call in code.steps}
        if not functions <= self.trusted:
            if not np.array_equal(self._run(code), values, equal_nan=True):
                raise CompileError("results of equal runs differ: hidden randomness or state")
            self.trusted.update(functions)
        return values

    def _run(self, code: Code) -> np.ndarray[Any, Any]:
        with np.errstate(all="ignore"):
            found = code.run(self.steps, self.meaning.grown)
        values = np.concatenate(found) if found else np.zeros(0)
        values[np.abs(values) < self.meaning.floor] = 0.0  # NaN is not below it
        return values
