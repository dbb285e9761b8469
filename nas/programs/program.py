"""Programs that run: the statements of a `Program` term over a table of typed functions.

A `Language` lists its functions with their signatures; the statements of a search space, the vocabulary
and the type check of a program follow from that one table. What the functions compute is bound when a
program is compiled, so values may be anything: tensors, numbers, digests.

Hashers compare what the expressions of a vocabulary compute. A vocabulary names its meaning
("module:attribute"); without one its expressions are networks, whose meaning is `nas.layers.compile`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from nas.errors import CompileError
from nas.language import (
    Choice,
    Law,
    Literal,
    Name,
    Op,
    Primitive,
    Program,
    Term,
    Use,
    Vocabulary,
    seq,
    unrolled,
)


@dataclass(frozen=True, slots=True)
class Signature:
    """Types of a function's arguments and of its result."""

    arguments: tuple[str, ...]
    result: str

    def __str__(self) -> str:
        return f"({', '.join(self.arguments)}) -> {self.result}"


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a language.

    Attributes:
        name: as written in a program.
        signatures: all that it has; no two with the same arguments.
        summary: one line.
        laws: that it obeys under each signature, as far as that has the arguments for it.
    """

    name: str
    signatures: tuple[Signature, ...]
    summary: str = ""
    laws: frozenset[Law] = frozenset()


Bind = Callable[[Function, Signature], Callable[..., Any]]  # what a function computes under a signature


@dataclass(frozen=True, slots=True)
class Language:
    """The functions that programs may call.

    Attributes:
        name: for messages and reports.
        functions: names are unique.
        number: type of the numbers that a program writes out.
    """

    name: str
    functions: tuple[Function, ...]
    number: str

    def vocabulary(self, home: str | None = None, meaning: str | None = None) -> Vocabulary:
        """The functions as primitives; `home` and `meaning` as in `Vocabulary`."""
        return Vocabulary(self.name, tuple(map(_primitive, self.functions)), home, meaning)

    def call(self, function: Function, signature: Signature, constant: Term) -> Term:
        """A call with a hole for each argument: a value in scope of its type.

        Where a number may stand, the hole is the value or `constant`, except for the first of
        arguments that may all be numbers: a call of constants alone computes nothing new.
        """
        free = any(kind != self.number for kind in signature.arguments)
        holes: list[Term] = []
        for i, kind in enumerate(signature.arguments):
            written = kind == self.number and (free or i > 0)
            holes.append(Choice((Use(kind), constant)) if written else Use(kind))
        return Op(function.name, tuple(holes))

    def types(self, program: Program) -> dict[str, str]:
        """Types of the inputs and the statements, by name.

        Raises:
            CompileError: an unknown function, a value that is not in scope, arguments of the wrong types.
        """
        known = dict(program.inputs)
        for name, statement in statements(program).items():
            known[name] = self.signature(statement, known, f"{self.name} at {name}")[1].result
        return known

    def signature(self, statement: Op, types: Mapping[str, str], place: str) -> tuple[Function, Signature]:
        """The function that a statement calls and the signature that fits its arguments.

        Raises:
            CompileError: starting with `place`, if there is none.
        """
        function = next((f for f in self.functions if f.name == statement.name), None)
        if function is None or statement.attributes:
            listed = ", ".join(f.name for f in self.functions)
            raise CompileError(
                f"{place}: a call of one of {listed}, without attributes, is expected; got {statement}"
            )
        given = tuple(self._type(argument, types, place) for argument in statement.args)
        for signature in function.signatures:
            if signature.arguments == given:
                return function, signature
        expected = " or ".join(f"({', '.join(s.arguments)})" for s in function.signatures)
        raise CompileError(f"{place}: {function.name} expects {expected}; got ({', '.join(given)})")

    def _type(self, argument: Term, types: Mapping[str, str], place: str) -> str:
        if isinstance(argument, Literal) and type(argument.value) in (int, float):
            return self.number
        if isinstance(argument, Name) and argument.name in types:
            return types[argument.name]
        raise CompileError(f"{place}: a number or one of {', '.join(types)} is expected; got {argument}")


def _primitive(function: Function) -> Primitive:
    counts = [len(signature.arguments) for signature in function.signatures]
    return Primitive(
        function.name,
        arity=(min(counts), max(counts)),
        summary=function.summary,
        kind="program",
        laws=function.laws,
    )


def statements(program: Program) -> dict[str, Op]:
    """The statements of a hole-free program by the names of their results: x0, x1, ...

    Raises:
        CompileError: a step that is no call.
    """
    found = {}
    for i, step in enumerate(unrolled(program.body)):
        if not isinstance(step, Op):
            raise CompileError(f"program at x{i}: a call such as add(x, y) is expected; got {step}")
        found[f"x{i}"] = step
    return found


def needed(program: Program, carried: Collection[str] = ()) -> frozenset[str]:
    """Names of the inputs and the statements that the outputs depend on.

    Args:
        program: without holes.
        carried: outputs that come back as the inputs of the same names in the next run; each counts
            only if another output depends on its input, in this run or through later ones.
    """
    calls, outputs = statements(program), dict(program.outputs)
    found: set[str] = set()
    open_ = [value for name, value in program.outputs if name not in carried]
    while open_:
        value = open_.pop()
        if not isinstance(value, Name) or value.name in found:
            continue
        found.add(value.name)
        open_.extend(calls[value.name].args if value.name in calls else ())
        if value.name in carried:
            open_.append(outputs[value.name])
    return frozenset(found)


def pruned(program: Program, carried: Collection[str] = ()) -> Program:
    """The program without statements that `needed` does not name, the others numbered anew.

    A carried output that nothing depends on returns its own input.
    """
    live = needed(program, carried)
    names: dict[str, Term] = {}
    kept: list[Term] = []
    for name, call in statements(program).items():
        if name in live:
            kept.append(Op(call.name, tuple(_renamed(a, names) for a in call.args), call.attributes))
            names[name] = Name(f"x{len(kept) - 1}")
    outputs = []
    for name, value in program.outputs:
        dead = name in carried and name not in live
        outputs.append((name, Name(name) if dead else _renamed(value, names)))
    return Program(program.inputs, seq(*kept), tuple(outputs))


def _renamed(value: Term, names: Mapping[str, Term]) -> Term:
    return names.get(value.name, value) if isinstance(value, Name) else value


@dataclass(frozen=True, slots=True)
class Compiled:
    """A program ready to run: a list of values, to which each step appends one.

    Attributes:
        inputs: names of the inputs that are read, which come first in the list.
        constants: come next.
        steps: function and the places of its arguments in the list.
        outputs: name and place; carried ones that nothing depends on are left out.
    """

    inputs: tuple[str, ...]
    constants: tuple[Any, ...]
    steps: tuple[tuple[Callable[..., Any], tuple[int, ...]], ...]
    outputs: tuple[tuple[str, int], ...]

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by name; `inputs` holds at least those that are read."""
        values = [inputs[name] for name in self.inputs]
        values.extend(self.constants)
        for function, places in self.steps:
            values.append(function(*[values[place] for place in places]))
        return {name: values[place] for name, place in self.outputs}


def compile_program(
    term: Term,
    language: Language,
    bind: Bind,
    *,
    outputs: Mapping[str, str],
    carried: Collection[str] = (),
    constant: Callable[[float], Any] = float,
) -> Compiled:
    """Checks a program and makes it ready to run, without the statements that nothing depends on.

    Args:
        term: the program, without holes.
        language: of its functions.
        bind: called once a statement.
        outputs: the types that its outputs must have, by name.
        carried: as in `needed`.
        constant: makes a value of a number that is written out.

    Raises:
        CompileError: no program of the language, or other outputs.
    """
    if not isinstance(term, Program):
        raise CompileError(f"{language.name}: program(...) is expected; got {str(term)[:60]}")
    _check_outputs(term, language.types(term), outputs, language.name)
    program = pruned(term, carried)
    live, types = needed(program, carried), language.types(program)
    inputs = tuple(name for name, _ in program.inputs if name in live)
    calls = statements(program)
    numbers = dict.fromkeys(a for call in calls.values() for a in call.args if isinstance(a, Literal))
    order = [*map(Name, inputs), *numbers, *map(Name, calls)]
    places = {value: place for place, value in enumerate(order)}
    steps = []
    for name, call in calls.items():
        function = bind(*language.signature(call, types, f"{language.name} at {name}"))
        steps.append((function, tuple(places[argument] for argument in call.args)))
    returned = ((n, v) for n, v in program.outputs if n not in carried or n in live)
    made = tuple(constant(number.value) for number in numbers)  # type: ignore[arg-type]
    return Compiled(inputs, made, tuple(steps), tuple((name, places[value]) for name, value in returned))


def _check_outputs(
    program: Program, types: Mapping[str, str], expected: Mapping[str, str], place: str
) -> None:
    got = {n: types.get(v.name) if isinstance(v, Name) else None for n, v in program.outputs}
    if got != dict(expected):
        wanted = ", ".join(f"{name}: {kind}" for name, kind in expected.items())
        got = ", ".join(f"{name}={value}" for name, value in program.outputs) or "none"
        raise CompileError(f"{place}: expected the outputs {wanted}, got {got}")


@dataclass(frozen=True, slots=True)
class ProgramMeaning:
    """Programs over numpy arrays, run once a step.

    Attributes:
        language: of the programs.
        outputs: their types, by name.
        carried: outputs that come back as inputs of their names in the next step; what they do to later
            steps counts, they themselves do not.
        bind: what a function computes, on arrays of float64; scalars are arrays of shape (1,).
        steps: `(seed) -> one mapping of inputs for each step`, the same for equal seeds in every process;
            the first has the carried ones too.
        floor: outputs below it in magnitude count as zero: beside what they are applied to they are nothing.
        grown: factor of what is carried into the last step, as if so many times more steps had added to it:
            what counts steps meets its bounds then; 1 for none.
    """

    language: Language
    outputs: Mapping[str, str]
    carried: tuple[str, ...]
    bind: Bind
    steps: Callable[[int], tuple[Mapping[str, Any], ...]]
    floor: float = 0.0
    grown: float = 1.0


@dataclass(frozen=True, slots=True)
class CallableMeaning:
    """Plain Python callables.

    Attributes:
        compile: `(architecture) -> callable`; the callable takes and returns numpy arrays.
        arguments: how many it takes, or `(seed) -> arguments`.
    """

    compile: Callable[[Any], Callable[..., Any]]
    arguments: int | Callable[[int], tuple[Any, ...]] = 1
