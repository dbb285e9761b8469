"""Ways to write the same hole-free expression: repeats written out or not, attributes in any order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from nas.term import (
    Choice,
    Define,
    Literal,
    Name,
    Number,
    Op,
    Program,
    Ref,
    Repeat,
    Seq,
    Term,
    Use,
    children,
    seq,
)


def steps(term: Term) -> tuple[Term, ...]:
    """The steps of a sequence as they are written; anything else is one step."""
    return term.parts if isinstance(term, Seq) else (term,)


def written_out(term: Term) -> tuple[Term, ...]:
    """The steps with every fixed repeat written out, inside too, and attributes in order of their names."""
    match term:
        case Seq(parts):
            return tuple(step for part in parts for step in written_out(part))
        case Repeat(body, low, high) if low == high:
            return written_out(body) * low
        case Op(name, args, attributes):
            return (Op(name, tuple(map(_one, args)), _by_name(attributes)),)
        case Define(body, bindings):
            return (Define(_one(body), _by_name(bindings)),)
        case Program(inputs, body, outputs):
            return (Program(inputs, _one(body), _by_name(outputs)),)
        case _:
            return (term,)


def length(term: Term) -> int:
    """Number of primitives, values and names in the expression written out."""
    match term:
        case Seq(parts):
            return sum(map(length, parts))
        case Repeat(body, low, high) if low == high:
            return low * length(body)
        case Op(_, args):
            return 1 + sum(map(length, args))
        case Define(body, bindings):
            return length(body) + sum(length(part) for _, part in bindings)
        case Program(_, body):
            return length(body)
        case _:
            return 1


def written_size(term: Term, parts: Mapping[str, int] = MappingProxyType({})) -> int:
    """Number of primitives with references and repeats written out; of holes all options, most copies.

    Arithmetic only, so that it is quick for expressions far too large to be written out. A primitive counts
    once for each assignment of its attributes, as in a supernet; settings of a training are not of those.
    `parts` are the sizes of definitions.
    """
    match term:
        case Op(name, args, attributes):
            free = attributes if name != "train" else ()
            ways = math.prod(written_size(value, parts) for _, value in free)
            return ways * (1 + sum(written_size(arg, parts) for arg in args))
        case Define(body, bindings):
            sizes = dict(parts)
            for name, value in bindings:
                sizes[name] = written_size(value, sizes)
            return written_size(body, sizes)
        case Ref(name):
            return parts.get(name, 1)
        case Repeat(body, _, high):
            return high * written_size(body, parts)
        case Choice(options) if all(isinstance(x, Literal) and isinstance(x.value, tuple) for x in options):
            return 1  # the inputs of a node, which no supernet multiplies
        case Number(low, high, integer=True):
            return int(high - low) + 1
        case Literal() | Name() | Number() | Use() | Seq(()):
            return 1
        case _:
            return sum(written_size(child, parts) for child in children(term))


def arguments(wanted: Term, given: Term) -> list[Term] | None:
    """The given term's parts in the order of the wanted term's, if the two are alike at the top."""
    match wanted, given:
        case Op(name, args, attributes), Op(other, parts, named) if name == other and len(args) == len(parts):
            return _ordered(attributes, named, list(parts))
        case Define(_, bindings), Define(body, named):
            ordered = _ordered(bindings, named, [])
            return None if ordered is None else [*ordered, body]
        case Program(inputs, _, outputs), Program(others, body, named) if inputs == others:
            return _ordered(outputs, named, [body])
        case _:
            return None


def _ordered(
    wanted: tuple[tuple[str, Term], ...], given: tuple[tuple[str, Term], ...], first: list[Term]
) -> list[Term] | None:
    values = dict(given)
    if len(values) != len(wanted) or any(name not in values for name, _ in wanted):
        return None
    return first + [values[name] for name, _ in wanted]


def _one(term: Term) -> Term:
    return seq(*written_out(term))


def _by_name(pairs: tuple[tuple[str, Term], ...]) -> tuple[tuple[str, Term], ...]:
    return tuple(sorted(((name, _one(value)) for name, value in pairs), key=lambda pair: pair[0]))
