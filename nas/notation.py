"""Ways to write the same hole-free expression: repeats written out or not, attributes in any order."""

from __future__ import annotations

from nas.term import Define, Op, Program, Repeat, Seq, Term, seq


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
