"""Functional hash of programs: what they compute on seeded inputs over several steps, rounded.

After the functional equivalence checks of AutoML-Zero (Real et al. 2020, https://arxiv.org/abs/2003.03384,
section 3.1: predictions on a few examples, truncated) and of Gillard et al. 2023
(https://arxiv.org/abs/2302.05433). Deviations:
- The program itself is run, on inputs drawn apart from each other, and not a training with it: no state of
  a trained model hides a difference, and a probe costs a tenth of a millisecond.
- Statements that no output depends on, in this step or a later one, are left out before the run; state
  counts through the outputs of later steps only.
- Results are rounded and not truncated; values that are not finite are hashed as what they are.
- A program is made ready once: a list of values, and the steps that fill it, many times a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.callables import load
from nas.errors import CompileError, NasError
from nas.hashing.digests import Digest, checked_bits, hex_of_values, settings_digest
from nas.language import Literal, Name, Op, Program, Term, unrolled
from nas.programs import Language, ProgramMeaning
from nas.study import Hashed

if TYPE_CHECKING:
    from nas.language import Vocabulary
    from nas.space import Architecture


_CONSTANTS_KEPT = 100_000

Call = tuple[Callable[..., Any], tuple[int, ...]]  # a function and the places of its arguments


@dataclass(frozen=True, slots=True)
class Code:
    """A program without its dead statements.

    Attributes:
        values: a place for each value; constants are filled in.
        inputs: name and place of each input.
        steps: place of the result and the call, in order.
        carried: place of a value after a step, and of the input that it is in the next one.
        shown: places of the outputs that are compared.
    """

    values: tuple[Any, ...]
    inputs: tuple[tuple[str, int], ...]
    steps: tuple[tuple[int, Call], ...]
    carried: tuple[tuple[int, int], ...]
    shown: tuple[int, ...]

    def run(self, steps: Sequence[Mapping[str, Any]], grown: float = 1.0) -> list[Any]:
        """The shown outputs of each step in order; what is not finite raises nothing if numpy is told so.

        Args:
            steps: inputs.
            grown: factor of what is carried into the last step.
        """
        values, found = list(self.values), []
        for number, given in enumerate(steps, 1):
            if number == len(steps) and grown != 1.0:
                for _, place in self.carried:
                    values[place] = values[place] * grown
            for name, place in self.inputs:
                if name in given:
                    values[place] = given[name]
            for place, (function, arguments) in self.steps:
                if len(arguments) == 2:
                    values[place] = function(values[arguments[0]], values[arguments[1]])
                else:
                    values[place] = function(*[values[i] for i in arguments])
            found += [values[place] for place in self.shown]
            for place, value in [(to, values[at]) for at, to in self.carried]:
                values[place] = value
        return found


class Coder:
    """Makes code of the programs of one language; what does not depend on the program is kept."""

    def __init__(self, meaning: ProgramMeaning) -> None:
        self.meaning = meaning
        self.language: Language = meaning.language
        self._functions: dict[tuple[str, ...], tuple[Callable[..., Any], str]] = {
            (function.name, *signature.arguments): (meaning.bind(function, signature), signature.result)
            for function in self.language.functions
            for signature in function.signatures
        }
        self._constants: dict[float, Any] = {}

    def code(self, term: Term) -> Code:
        """The program, checked, without the statements that no shown output depends on.

        Raises:
            CompileError: no program of the language, or other outputs.
        """
        if not isinstance(term, Program):
            got = shorten(str(term), 60)
            raise CompileError(f"{self.language.name}: program(...) is expected; got {got}")
        sheet = _Sheet(term)
        for call in unrolled(term.body):
            self._add(sheet, call)
        outputs = {name: sheet.place(value) for name, value in term.outputs}
        types = {name: None if at is None else sheet.types[at] for name, at in outputs.items()}
        if types != dict(self.meaning.outputs):
            wanted = ", ".join(f"{name}: {kind}" for name, kind in self.meaning.outputs.items())
            got = ", ".join(f"{name}={value}" for name, value in term.outputs) or "none"
            raise CompileError(f"{self.language.name}: expected the outputs {wanted}, got {got}")
        return self._without_dead(sheet, {name: at for name, at in outputs.items() if at is not None})

    def _add(self, sheet: _Sheet, call: Term) -> None:
        """One statement, after what it reads."""
        if not isinstance(call, Op) or call.attributes:
            raise self._misfit(sheet)
        places, types = sheet.places, sheet.types
        key, arguments = [call.name], []
        for argument in call.args:
            place = places.get(argument.name) if isinstance(argument, Name) else None
            if place is None:
                place = sheet.append(self.language.number, None, self._constant(argument, sheet))
            arguments.append(place)
            key.append(types[place])
        found = self._functions.get(tuple(key))
        if found is None:
            raise self._misfit(sheet)
        places[f"x{sheet.statements}"] = sheet.append(found[1], (found[0], tuple(arguments)))
        sheet.statements += 1

    def _constant(self, argument: Term, sheet: _Sheet) -> Any:
        """A written number as an array of shape (1,)."""
        if not isinstance(argument, Literal) or type(argument.value) not in (int, float):
            raise self._misfit(sheet)
        number = float(argument.value)  # type: ignore[arg-type]
        found = self._constants.get(number)
        if found is None:
            import numpy as np

            if len(self._constants) >= _CONSTANTS_KEPT:
                self._constants.clear()
            found = self._constants[number] = np.array([number])
        return found

    def _misfit(self, sheet: _Sheet) -> CompileError:
        """The language's own words for what is wrong."""
        try:
            self.language.types(sheet.program)
        except CompileError as error:
            return error
        return CompileError(f"{self.language.name}: calls of its functions are expected; got {sheet.program}")

    def _without_dead(self, sheet: _Sheet, outputs: Mapping[str, int]) -> Code:
        """Carried outputs count as far as a shown one depends on their input, now or later."""
        carried = {
            sheet.places[n]: at
            for n, at in outputs.items()
            if n in self.meaning.carried and n in sheet.places
        }
        shown = [at for name, at in outputs.items() if name not in self.meaning.carried]
        live: set[int] = set()
        open_ = list(shown)
        while open_:
            place = open_.pop()
            if place in live:
                continue
            live.add(place)
            call = sheet.calls[place]
            if call is not None:
                open_.extend(call[1])
            elif place in carried:
                open_.append(carried[place])
        return Code(
            values=tuple(sheet.values),
            inputs=tuple(
                (name, place) for place, (name, _) in enumerate(sheet.program.inputs) if place in live
            ),
            steps=tuple((place, call) for place, call in enumerate(sheet.calls) if call and place in live),
            carried=tuple((at, place) for place, at in carried.items() if place in live),
            shown=tuple(shown),
        )


class _Sheet:
    """A program while its statements are read: for each place type, call and constant."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.places = {name: place for place, (name, _) in enumerate(program.inputs)}
        self.types = [kind for _, kind in program.inputs]
        self.calls: list[Call | None] = [None] * len(self.types)
        self.values: list[Any] = [None] * len(self.types)
        self.statements = 0

    def place(self, value: Term) -> int | None:
        """Where a value that is in scope stands."""
        return self.places.get(value.name) if isinstance(value, Name) else None

    def append(self, kind: str, call: Call | None, constant: Any = None) -> int:
        """The next place."""
        self.types.append(kind)
        self.calls.append(call)
        self.values.append(constant)
        return len(self.types) - 1


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
        self._machines: dict[str | None, _ProgramRunner] = {}

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

    def _machine(self, vocabulary: Vocabulary) -> _ProgramRunner:
        found = self._machines.get(vocabulary.meaning)
        if found is None:
            meaning = load(vocabulary.meaning) if vocabulary.meaning else None
            if not isinstance(meaning, ProgramMeaning):
                raise CompileError(
                    "hashing of programs: a vocabulary whose meaning is that of programs is expected; "
                    f'got "{vocabulary.name}"'
                )
            label = f"{meaning.language.name} {self.seed}"
            found = _ProgramRunner(meaning, Coder(meaning), meaning.steps(self.seed), label)
            self._machines[vocabulary.meaning] = found
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return ProgramProbe, (self.bits, self.seed)


@dataclass(frozen=True, slots=True)
class _ProgramRunner:
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
