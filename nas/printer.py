"""Terms as text: what `print(space)` and an architecture's text show, and what `dsl.parse` reads back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from nas.term import (
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
)

MAX_BARS: Final = 500  # Python's reader nests operators one in another, arguments of oneof it does not


Known = Mapping[int, str]  # id of a term that lives on -> its text


def to_text(term: Term, known: Known = MappingProxyType({})) -> str:
    """The term in the language's text form; parses back to an equal term.

    Args:
        term: to print.
        known: texts of terms that occur in many others, by `id`; they are not printed again.
    """
    found = known.get(id(term))
    if found is not None:
        return found
    inner = partial(to_text, known=known)
    match term:
        case Literal(value):
            return repr(value)
        case Name(name) | Ref(name):
            return name
        case Op(name, args, attributes):
            return _call(name, *map(inner, args), *_keywords(attributes, inner))
        case Seq(()):
            return "empty()"
        case Seq(parts):
            # only a choice binds more loosely than >>
            return " >> ".join(f"({inner(p)})" if _is_bar(p) else inner(p) for p in parts)
        case Choice((Seq(()), option)):
            return _call("optional", inner(option))
        case Choice(options) if _is_bar(term):
            return " | ".join(map(inner, options))
        case Choice(options):
            return _call("oneof", *map(inner, options))
        case Number():
            return _number(term)
        case Repeat(body, low, high, tied, counts):
            bounds = [repr(counts)] if counts else [str(low)] if low == high else [str(low), str(high)]
            return _call("repeat", inner(body), *bounds, *(["tied=True"] if tied else []))
        case _:
            return _binder(term, inner)


def _binder(term: Term, inner: Callable[[Term], str]) -> str:
    match term:
        case Shared(name, body):
            return _call("shared", repr(name), inner(body))
        case Define(body, bindings):
            return _call("define", inner(body), *_keywords(bindings, inner))
        case Rule(name, body, depth):
            return _call("rule", repr(name), inner(body), f"depth={depth}")
        case Let(type_, body):
            return _call("let", repr(type_), inner(body))
        case Use(type_):
            return _call("use", repr(type_))
        case Program(inputs, body, outputs):
            typed = _call("inputs", *(f"{name}={kind!r}" for name, kind in inputs))
            return _call("program", typed, inner(body), *_keywords(outputs, inner))
        case _:
            raise TypeError(f"{type(term).__name__} is no term")


def _number(term: Number) -> str:
    log = ["log=True"] if term.log else []
    return _call("integer" if term.integer else "real", repr(term.low), repr(term.high), *log)


def _call(name: str, *arguments: str) -> str:
    return f"{name}({', '.join(arguments)})"


def _keywords(pairs: tuple[tuple[str, Term], ...], inner: Callable[[Term], str]) -> list[str]:
    return [f"{key}={inner(value)}" for key, value in pairs]


def _is_bar(term: Term) -> bool:
    """Whether a choice prints with `|`: parts, not plain values; nothing that `|` would flatten."""
    return (
        isinstance(term, Choice)
        and 1 < len(term.options) <= MAX_BARS
        and not (isinstance(term.options[0], Seq) and not term.options[0].parts and len(term.options) == 2)
        and not any(isinstance(option, Choice | Literal) for option in term.options)
    )
