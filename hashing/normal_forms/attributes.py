"""Definitions looked up and attributes in one form: the part of a normal form that knows no operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nas.errors import CompileError
from nas.language import REQUIRED, Attribute, Define, Literal, Op, Ref, Repeat, Seq, Term, Vocabulary, seq


@dataclass(frozen=True, slots=True, eq=False)
class Bindings:
    """Definitions in reach, each with the scope before it; compared by identity."""

    vocabulary: Vocabulary
    definitions: Mapping[str, tuple[Term, Bindings]] = field(default_factory=dict)

    def defining(self, bindings: tuple[tuple[str, Term], ...]) -> Bindings:
        """The scope of a body; a definition sees those before it."""
        scope = self
        for name, body in bindings:
            scope = Bindings(self.vocabulary, {**scope.definitions, name: (body, scope)})
        return scope

    def resolve(self, name: str) -> tuple[Term, Bindings]:
        """A definition and its own scope; raises CompileError if there is none."""
        if name not in self.definitions:
            listed = ", ".join(self.definitions) or "nothing"
            raise CompileError(f'normal form: "{name}" is not defined here; defined: {listed}')
        return self.definitions[name]


def inlined(term: Term, scope: Bindings) -> Term:
    """The term with its definitions written out, and else as it is."""
    match term:
        case Define(body, bindings):
            return inlined(body, scope.defining(bindings))
        case Ref(name):
            return inlined(*scope.resolve(name))
        case Seq(parts):
            return seq(*(inlined(part, scope) for part in parts))
        case Repeat(body, low, high):
            return Repeat(inlined(body, scope), low, high)
        case Op(name, args):
            return Op(name, tuple(inlined(a, scope) for a in args), kept_attributes(term, scope))
        case _:
            return term


def kept_attributes(op: Op, scope: Bindings, **known: Any) -> tuple[tuple[str, Term], ...]:
    """Attributes sorted by name, without those that equal their default.

    `known` are the values that stand in for attributes that are not given, instead of their defaults.
    """
    primitive = scope.vocabulary.get(op.name) if op.name in scope.vocabulary else None
    kept = []
    for name, value in sorted(op.attributes):
        attribute = None if primitive is None else primitive.attribute(name)
        found = _literal(value, attribute, scope)
        default = known.get(name, REQUIRED if attribute is None else attribute.default)
        if default is REQUIRED or found != Literal(
            default if attribute is None else _plain(default, attribute)
        ):
            kept.append((name, found))
    return tuple(kept)


def given_value(op: Op, name: str, scope: Bindings) -> Any:
    """The value of an attribute as it is given; None without one."""
    value = dict(op.attributes).get(name)
    found = None if value is None else _literal(value, None, scope)
    return found.value if isinstance(found, Literal) else None


def _literal(value: Term, attribute: Attribute | None, scope: Bindings) -> Term:
    """A value with references looked up; where a real number may stand, 1 and 1.0 are one value."""
    while isinstance(value, Ref):
        value, scope = scope.resolve(value.name)
    if isinstance(value, Literal) and attribute is not None:
        return Literal(_plain(value.value, attribute))
    return value


def _plain(value: Any, attribute: Attribute) -> Any:
    return float(value) if attribute.kind == "float" and type(value) is int else value
