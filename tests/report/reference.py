"""The language's meaning once more, slowly and plainly: all derivations of an expression, in order.

Written straight from the documentation, on terms instead of sites; what the tests compare with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nas.language import (
    Choice,
    Define,
    Let,
    Literal,
    Name,
    Number,
    Op,
    Program,
    Ref,
    Repeat,
    Rule,
    Seq,
    Shared,
    Term,
    Use,
    children,
    seq,
)

Steps = tuple[Term, ...]


@dataclass(frozen=True)
class State:
    shared: tuple[tuple[str, Steps], ...] = ()  # decided names of the current definition
    rules: tuple[tuple[str, Term, int], ...] = ()  # name, body, expansions left; innermost first
    values: tuple[tuple[str, str], ...] = ()  # name, type
    statements: int = 0


def architectures(expression: Term) -> list[Term]:
    """One term for each derivation, in derivation order."""
    return [seq(*steps) for steps, _ in _ways(expression, State())]


def _ways(term: Term, state: State) -> Iterator[tuple[Steps, State]]:
    match term:
        case Seq(parts):
            yield from _in_order(parts, state)
        case Choice(options):
            for option in options:
                yield from _ways(option, state)
        case Number(low, high):
            for value in range(int(low), int(high) + 1):
                yield (Literal(value),), state
        case Repeat(body, low, high, tied, counts):
            for count in counts or range(low, high + 1):
                yield from _copies(body, count, tied, state)
        case Shared(name, body):
            yield from _shared(name, body, state)
        case Rule(name, body, depth):
            yield from _expand(name, body, depth, state, state.rules)
        case Ref(name) if name in [rule[0] for rule in state.rules]:
            at = [rule[0] for rule in state.rules].index(name)
            _, body, left = state.rules[at]
            yield from _expand(name, body, left, state, state.rules[at + 1 :], inner=state.rules[:at])
        case Let(type_, body):
            for steps, after in _ways(body, state):
                value = (f"x{after.statements}", type_)
                yield steps, replace(after, values=(*after.values, value), statements=after.statements + 1)
        case Use(type_):
            yield from (((Name(name),), state) for name, kind in state.values if kind == type_)
        case Literal() | Name() | Ref():
            yield (term,), state
        case _:
            yield from _composite(term, state)


def _expand(
    name: str, body: Term, left: int, state: State, outer: Sequence, inner: Sequence = ()
) -> Iterator[tuple[Steps, State]]:
    if left > 0:
        rules = (*inner, (name, body, left - 1), *outer)
        for steps, after in _ways(body, replace(state, rules=rules)):
            yield steps, replace(after, rules=state.rules)


def _in_order(parts: Sequence[Term], state: State) -> Iterator[tuple[Steps, State]]:
    if not parts:
        yield (), state
        return
    for first, after in _ways(parts[0], state):
        for rest, end in _in_order(parts[1:], after):
            yield first + rest, end


def _each(parts: Sequence[Term], state: State) -> Iterator[tuple[list[Term], State]]:
    if not parts:
        yield [], state
        return
    for first, after in _ways(parts[0], state):
        for rest, end in _each(parts[1:], after):
            yield [seq(*first), *rest], end


def _copies(body: Term, count: int, tied: bool, state: State) -> Iterator[tuple[Steps, State]]:
    if not (tied or is_fixed(body, {rule[0] for rule in state.rules})):
        yield from _in_order((body,) * count, state)
    elif count == 0:
        yield (), state
    else:
        for steps, after in _ways(body, state):
            alone = count == 1 or not steps
            yield (steps if alone else (Repeat(seq(*steps), count, count),)), after


def is_fixed(term: Term, rules: set[str]) -> bool:
    """Whether nothing is left to decide, so that copies are all alike."""
    match term:
        case Choice() | Number() | Use() | Let() | Rule() | Program():
            return False
        case Repeat(_, low, high) if low != high:
            return False
        case Ref(name) if name in rules:
            return False
        case _:
            return all(is_fixed(child, rules) for child in children(term))


def _shared(name: str, body: Term, state: State) -> Iterator[tuple[Steps, State]]:
    known = dict(state.shared)
    if name in known:
        yield known[name], state
        return
    for steps, after in _ways(body, state):
        yield steps, replace(after, shared=(*after.shared, (name, steps)))


def _composite(term: Term, state: State) -> Iterator[tuple[Steps, State]]:
    match term:
        case Op(name, args, attributes):
            for built, after in _each(children(term), state):
                named = tuple(
                    (key, value) for (key, _), value in zip(attributes, built[len(args) :], strict=True)
                )
                yield (Op(name, tuple(built[: len(args)]), named),), after
        case Program(inputs, _, outputs):
            for built, after in _each(children(term), replace(state, values=inputs)):
                named = tuple((key, value) for (key, _), value in zip(outputs, built[1:], strict=True))
                yield (Program(inputs, built[0], named),), after
        case Define(body, bindings):
            yield from _definitions(body, bindings, (), state)


def _definitions(
    body: Term, left: Sequence[tuple[str, Term]], done: tuple[tuple[str, Term], ...], state: State
) -> Iterator[tuple[Steps, State]]:
    if not left:
        for steps, after in _ways(body, State()):
            yield (Define(seq(*steps), done),), after
        return
    (name, part), *rest = left
    for steps, _ in _ways(part, State()):  # names shared in a part are its own
        yield from _definitions(body, rest, (*done, (name, seq(*steps))), state)
