"""Terms as text: what `print(space)` and an architecture's text show, and what `dsl.parse` reads back."""

from __future__ import annotations

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


def to_text(term: Term) -> str:
    """The term in the language's text form; parses back to an equal term."""
    match term:
        case Literal(value):
            return repr(value)
        case Name(name) | Ref(name):
            return name
        case Op(name, args, attributes):
            return _call(name, *map(to_text, args), *_keywords(attributes))
        case Seq(()):
            return "empty()"
        case Seq(parts):
            # only a choice binds more loosely than >>
            return " >> ".join(f"({to_text(p)})" if _is_bar(p) else to_text(p) for p in parts)
        case Choice((Seq(()), option)):
            return _call("optional", to_text(option))
        case Choice(options) if _is_bar(term):
            return " | ".join(map(to_text, options))
        case Choice(options):
            return _call("oneof", *map(to_text, options))
        case Number():
            return _number(term)
        case Repeat(body, low, high, tied, counts):
            bounds = [repr(counts)] if counts else [str(low)] if low == high else [str(low), str(high)]
            return _call("repeat", to_text(body), *bounds, *(["tied=True"] if tied else []))
        case _:
            return _binder(term)


def _binder(term: Term) -> str:
    match term:
        case Shared(name, body):
            return _call("shared", repr(name), to_text(body))
        case Define(body, bindings):
            return _call("define", to_text(body), *_keywords(bindings))
        case Rule(name, body, depth):
            return _call("rule", repr(name), to_text(body), f"depth={depth}")
        case Let(type_, body):
            return _call("let", repr(type_), to_text(body))
        case Use(type_):
            return _call("use", repr(type_))
        case Program(inputs, body, outputs):
            typed = _call("inputs", *(f"{name}={kind!r}" for name, kind in inputs))
            return _call("program", typed, to_text(body), *_keywords(outputs))
        case _:
            raise TypeError(f"{type(term).__name__} is no term")


def _number(term: Number) -> str:
    log = ["log=True"] if term.log else []
    return _call("integer" if term.integer else "real", repr(term.low), repr(term.high), *log)


def _call(name: str, *arguments: str) -> str:
    return f"{name}({', '.join(arguments)})"


def _keywords(pairs: tuple[tuple[str, Term], ...]) -> list[str]:
    return [f"{key}={to_text(value)}" for key, value in pairs]


def _is_bar(term: Term) -> bool:
    """Whether a choice prints with `|`: parts, not plain values; nothing that `|` would flatten."""
    return (
        isinstance(term, Choice)
        and 1 < len(term.options) <= MAX_BARS
        and not (isinstance(term.options[0], Seq) and not term.options[0].parts and len(term.options) == 2)
        and not any(isinstance(option, Choice | Literal) for option in term.options)
    )
