"""Decisions to expression: the term that they leave when every hole is filled."""

from __future__ import annotations

from collections.abc import Iterable

from nas.architecture import Decision, Grammar
from nas.layout import value_number
from nas.printer import to_text
from nas.sites import CHOICE, EXPAND, FIXED, LET, NODE, NUMBER, PROGRAM, REPEAT, RULE, SHARED, USE, Site
from nas.term import (
    Choice,
    Define,
    Let,
    Literal,
    Name,
    Number,
    Op,
    Program,
    Repeat,
    Seq,
    Shared,
    Term,
    seq,
)


def unfold(space: Grammar, decisions: Iterable[Decision]) -> Term:
    """The expression without holes that the decisions describe; they are trusted to be complete."""
    found = {(decision.hole, decision.prefix): decision for decision in decisions}
    return _Unfolder(space, found).build(space.layout.root, ())


def plain(term: Term) -> Term:
    """A hole-free term in the form architectures have: no Shared, no single choice, no tied flag."""
    match term:
        case Shared(_, body) | Choice((body,)):
            return plain(body)
        case Seq(parts):
            return seq(*map(plain, parts))
        case Repeat(body, low):
            return copies(plain(body), low)
        case Op(name, args, attributes):
            return Op(name, tuple(map(plain, args)), tuple((key, plain(value)) for key, value in attributes))
        case Define(body, bindings):
            return Define(plain(body), tuple((key, plain(value)) for key, value in bindings))
        case _:
            return term


def fixed(site: Site) -> Term:
    """The term of a FIXED site as architectures have it."""
    if site.plain is None:
        site.plain = plain(site.term)
    return site.plain


def _remember(term: Term, texts: dict[int, str]) -> None:
    """Keeps the texts of a term that lives as long as its space, and of the steps it may be spliced into."""
    for part in (term, *(term.parts if isinstance(term, Seq) else ())):
        texts[id(part)] = to_text(part)


def copies(body: Term, number: int) -> Term:
    """`number` copies of a hole-free term in sequence, in the shortest form."""
    if number == 0 or body == Seq(()):
        return Seq(())
    return body if number == 1 else Repeat(body, number, number)


class _Unfolder:
    def __init__(self, space: Grammar, decisions: dict[tuple[int, tuple[int, ...]], Decision]) -> None:
        self.space = space
        self.texts = space.layout.texts
        self.decisions = decisions
        self.shared: dict[int, Term] = {}
        self.values: dict[int, Name] = {}  # of a program
        self.statements = 0

    def build(self, site: Site, prefix: tuple[int, ...]) -> Term:
        while site.kind == CHOICE:
            site = site.children[int(self.decisions[site.index, prefix].option)]
        kind = site.kind
        if kind == FIXED:
            return self.whole(site)
        if kind in (NODE, PROGRAM):
            return self.node(site, prefix)
        if kind == USE:
            return self.values[int(self.decisions[site.index, prefix].option)]
        if kind == LET:
            return self.statement(site, prefix)
        if kind == NUMBER:
            return self.number(site, prefix)
        if kind == REPEAT:
            return self.repeat(site, prefix)
        if kind == SHARED:
            if site.index not in self.shared:
                self.shared[site.index] = self.build(site.children[0], ())
            return self.shared[site.index]
        if kind == RULE:
            return self.build(site.children[0], prefix)
        assert kind == EXPAND
        return self.build(site.children[0].children[0], (*prefix, site.index, 0))

    def whole(self, site: Site) -> Term:
        term = fixed(site) if site.plain is None else site.plain
        if id(term) not in self.texts:
            _remember(term, self.texts)
        return term

    def number(self, site: Site, prefix: tuple[int, ...]) -> Term:
        term = site.term
        assert isinstance(term, Number)
        value = self.decisions[site.index, prefix].option
        return Literal(int(value) if term.integer else float(value))

    def repeat(self, site: Site, prefix: tuple[int, ...]) -> Term:
        term, body = site.term, site.children[0]
        assert isinstance(term, Repeat)
        decision = self.decisions.get((site.index, prefix))
        number = term.low if decision is None else int(decision.option)
        if body.kind == FIXED or term.tied:
            return copies(self.build(body, prefix), number) if number else Seq(())
        ids = range(number) if decision is None or not decision.ids else decision.ids
        return seq(*(self.build(body, (*prefix, site.index, element)) for element in ids))

    def statement(self, site: Site, prefix: tuple[int, ...]) -> Term:
        assert isinstance(site.term, Let)
        body = self.build(site.children[0], prefix)
        self.values[value_number(self.space.layout, site.slot, prefix)] = Name(f"x{self.statements}")
        self.statements += 1
        return body

    def node(self, site: Site, prefix: tuple[int, ...]) -> Term:
        term = site.term
        if isinstance(term, Program):
            self.values.update((i, Name(name)) for i, (name, _) in enumerate(term.inputs))
        built = [self.build(child, prefix) for child in site.children]
        match term:
            case Op(name, args, attributes):
                values = zip(attributes, built[len(args) :], strict=True)
                named = tuple((key, value) for (key, _), value in values)
                return Op(name, tuple(built[: len(args)]), named)
            case Seq():
                return seq(*built)
            case Define(_, bindings):
                named = tuple((key, value) for (key, _), value in zip(bindings, built, strict=False))
                return Define(built[-1], named)
            case Program(inputs, _, outputs):
                named = tuple((key, value) for (key, _), value in zip(outputs, built[1:], strict=True))
                return Program(inputs, built[0], named)
            case _:
                raise AssertionError(f"{type(term).__name__} has no parts to build")
