"""Normal form of programs: live statements only, equal ones once, in one order.

Which functions commute, and what else may be relied on, is stated with the functions
(`nas.language.primitives`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from nas.callables import load
from nas.errors import CompileError
from nas.hashing.digests import hex_of
from nas.language import Law, Literal, Name, Op, Program, Term, Vocabulary, seq
from nas.programs import ProgramMeaning, statements


def program_form(program: Program, vocabulary: Vocabulary) -> Program:
    """The normal form; carried outputs are those that the vocabulary's meaning names.

    Raises:
        CompileError: no program of the language.
    """
    meaning = load(vocabulary.meaning) if vocabulary.meaning else None
    known = isinstance(meaning, ProgramMeaning)
    values = _Values(program, vocabulary)
    if known:
        types, values.number = meaning.language.types(program), meaning.language.number
        values.types = {f"in {name}": types[name] for name, _ in program.inputs}
        values.results = {name: types[name] for name in statements(program)}
    values.read()
    return values.written(meaning.carried if known else ())


@dataclass(frozen=True, slots=True)
class _Statement:
    """What a statement computes, an input or a number."""

    key: str  # equal for equal values
    depth: int
    kind: str | None  # its type; None where no language is known
    name: str  # of the function, the input, or the number as text
    args: tuple[_Statement, ...] = ()
    leaf: Term | None = None


class _Values:
    """The values of one program by what they compute."""

    def __init__(self, program: Program, vocabulary: Vocabulary) -> None:
        self.program = program
        self.vocabulary = vocabulary
        self.types: dict[str, str] = {}
        self.results: dict[str, str] = {}
        self.number: str | None = None
        self.named: dict[str, _Statement] = {}

    def read(self) -> None:
        """Finds the value of each name."""
        for name, _ in self.program.inputs:
            key = f"in {name}"
            self.named[name] = _Statement(key, 0, self.types.get(key), name, leaf=Name(name))
        for name, call in statements(self.program).items():
            args = tuple(self.value(argument) for argument in call.args)
            self.named[name] = self._call(call, args, self.results.get(name))

    def value(self, term: Term) -> _Statement:
        """The value that a name or a number stands for."""
        if isinstance(term, Name) and term.name in self.named:
            return self.named[term.name]
        if isinstance(term, Literal) and type(term.value) in (int, float):
            number = Literal(float(term.value))  # type: ignore[arg-type]
            return _Statement(repr(number.value), 0, self.number, repr(number.value), leaf=number)
        raise CompileError(f"normal form: a number or a value in scope is expected; got {term}")

    def _call(self, call: Op, args: tuple[_Statement, ...], kind: str | None) -> _Statement:
        if call.name not in self.vocabulary or call.attributes:
            raise CompileError(f"normal form: a function of {self.vocabulary.name} is expected; got {call}")
        laws = self.vocabulary.get(call.name).laws
        if len(args) == 1:
            inner = args[0]
            if (
                Law.IGNORES_SIGN in laws
                and inner.args
                and Law.NEGATES in self.vocabulary.get(inner.name).laws
            ):
                return self._call(call, inner.args, kind)
            if inner.args and inner.name == call.name and Law.INVOLUTION in laws:
                return inner.args[0]
            if inner.args and inner.name == call.name and Law.IDEMPOTENT in laws:
                return inner
        elif len(args) == 2 and Law.IDEMPOTENT in laws and args[0].key == args[1].key:
            return args[0]
        if Law.COMMUTES in laws and len({value.kind for value in args}) == 1:
            args = tuple(sorted(args, key=lambda value: value.key))
        key = hex_of(call.name, *(value.key for value in args))
        return _Statement(key, 1 + max((value.depth for value in args), default=0), kind, call.name, args)

    def written(self, carried: Collection[str]) -> Program:
        """The program of the values that an output depends on, in this run or a later one."""
        outputs = {name: self.value(term) for name, term in self.program.outputs}
        live: dict[str, _Statement] = {}
        open_ = [value for name, value in outputs.items() if name not in carried]
        while open_:
            value = open_.pop()
            if value.key in live:
                continue
            live[value.key] = value
            open_.extend(value.args)
            if isinstance(value.leaf, Name) and value.name in carried and value.name in outputs:
                open_.append(outputs[value.name])
        ordered = sorted((v for v in live.values() if v.leaf is None), key=lambda v: (v.depth, v.key))
        names: dict[str, Term] = {value.key: Name(f"x{i}") for i, value in enumerate(ordered)}
        names |= {value.key: value.leaf for value in live.values() if value.leaf is not None}
        calls = [Op(value.name, tuple(names[a.key] for a in value.args)) for value in ordered]
        returned = []
        for name, value in sorted(outputs.items()):
            dead = name in carried and f"in {name}" not in live
            returned.append((name, Name(name) if dead else names[value.key]))
        return Program(self.program.inputs, seq(*calls), tuple(returned))
