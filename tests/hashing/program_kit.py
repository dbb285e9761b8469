"""Update rules for the tests of hashers, and rewritings that keep what they compute."""

from __future__ import annotations

import numpy as np

from nas.language import Literal, Name, Op, Program, Term, seq
from nas.programs import statements
from nas.search_spaces.update_rule import LANGUAGE, UPDATE_RULES, space
from nas.space import Architecture

INPUTS = "inputs(w='tensor', g='tensor', m='tensor', v='tensor', lr='scalar')"
PAPER = space(max_statements=60, functions="paper")
COMMUTING = {"add", "mul", "maximum", "minimum", "dot", "cosine_sim"}  # by hand, not from the language's laws


def rule(body: str, outputs: str) -> Architecture:
    return PAPER.parse(f"program({INPUTS}, {body}, {outputs})")


def of_term(term: Term) -> Architecture:
    return Architecture(PAPER.name, UPDATE_RULES, (), term)


def rewritten(term: Program, rng: np.random.Generator) -> Program:
    """The same function: statements in another order, under other names, with dead ones and copies."""
    calls = list(statements(term).items())
    kinds = dict(term.inputs) | {name: _kind(term, name) for name, _ in calls}
    placed: dict[str, Name] = {name: Name(name) for name, _ in term.inputs}
    types = dict(term.inputs)
    written: list[Op] = []
    while calls:
        ready = [i for i, (_, call) in enumerate(calls) if all(_known(a, placed) for a in call.args)]
        name, call = calls.pop(ready[int(rng.integers(len(ready)))])
        for _ in range(int(rng.integers(1, 3))):  # sometimes twice: the later copy is the one that is read
            arguments = tuple(placed[a.name] if isinstance(a, Name) else a for a in call.args)
            same = len({_type(a, types) for a in arguments}) == 1
            if call.name in COMMUTING and same and rng.integers(2):
                arguments = arguments[::-1]
            written.append(Op(call.name, arguments))
            placed[name] = Name(f"x{len(written) - 1}")
            types[placed[name].name] = kinds[name]
        if rng.integers(3) == 0:
            written.append(Op("sign", (Name("g"),)))  # dead
            types[f"x{len(written) - 1}"] = "tensor"
    outputs = tuple((key, placed[value.name]) for key, value in term.outputs if isinstance(value, Name))
    return Program(term.inputs, seq(*written), outputs)


def _known(argument: Term, placed: dict[str, Name]) -> bool:
    return isinstance(argument, Literal) or (isinstance(argument, Name) and argument.name in placed)


def _type(argument: Term, types: dict[str, str]) -> str:
    return types[argument.name] if isinstance(argument, Name) else "scalar"


def _kind(term: Program, name: str) -> str:
    return LANGUAGE.types(term)[name]
