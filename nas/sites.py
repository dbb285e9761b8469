"""A term made ready for derivation: every occurrence of a sub-term becomes a Site with its own number.

The same Python object may occur at several places of an expression, and two places are two
decisions; therefore sites, not terms, carry the addresses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from nas.errors import SpaceError
from nas.term import (
    Choice,
    Define,
    Let,
    Name,
    Number,
    Op,
    Program,
    Ref,
    Repeat,
    Rule,
    Shared,
    Term,
    Use,
    children,
    walk,
)

FIXED: Final = 0  # no hole inside: derivation skips it
NODE: Final = 1  # holes in the children only
CHOICE: Final = 2
NUMBER: Final = 3
REPEAT: Final = 4
SHARED: Final = 5
RULE: Final = 6
EXPAND: Final = 7  # a reference to a rule
LET: Final = 8
BIND: Final = 9  # end of a LET: its value comes into scope
USE: Final = 10
PROGRAM: Final = 11


class Site:
    """One occurrence of a term.

    Attributes:
        kind: one of the constants above.
        term: the term that stands there.
        index: number of the site in its space, depth first: the stable part of a decision's address.
        label: readable address, e.g. "train.args[0].conv.kernel".
        children: sites of the direct sub-terms, in the order of `term.children`; of a reference to a
            rule the rule's body.
        active: the children that are not FIXED, last first, as a stack takes them.
        options: of a CHOICE or an integer NUMBER or a REPEAT, all of its options.
        recursive: whether the depth bound of a rule may forbid something inside.
        plain: of a FIXED site, the term as architectures hold it, kept from its first use.
        slot: RULE, EXPAND: number of the rule; LET, BIND: number of the statement; USE, LET: see `type`.
    """

    __slots__ = (
        "active",
        "children",
        "index",
        "kind",
        "label",
        "options",
        "plain",
        "recursive",
        "slot",
        "term",
    )

    def __init__(self, kind: int, term: Term, index: int, label: str) -> None:
        self.kind = kind
        self.term = term
        self.index = index
        self.label = label
        self.children: tuple[Site, ...] = ()
        self.active: tuple[Site, ...] = ()
        self.options: tuple[int, ...] | range = ()
        self.recursive = False
        self.slot = 0
        self.plain: Term | None = None


@dataclass(slots=True)
class Layout:
    """All sites of an expression.

    Attributes:
        root: site of the whole expression.
        sites: by index.
        rules: depth bounds of the rules, by slot.
        inputs: (name, type) of the program's inputs; empty without a program.
        lets: types of the statements, by slot.
    """

    root: Site
    sites: list[Site]
    rules: list[int]
    inputs: tuple[tuple[str, str], ...]
    lets: list[str]


@dataclass(frozen=True, slots=True)
class _Scope:
    parts: frozenset[str] = frozenset()
    rules: tuple[tuple[str, Site], ...] = ()
    owner: str = ""  # the definition that shared names belong to
    inside_repeat: bool = False
    top: bool = True  # still at the root, where define may stand


def lay_out(term: Term, name: str) -> Layout:
    """Numbers the occurrences of an expression and checks that its names are bound.

    Raises:
        SpaceError: unbound or clashing names, and constructs in places where they have no meaning.
    """
    builder = _Builder(name)
    root = builder.build(term, "root", _Scope())
    layout = builder.layout
    layout.root = root
    _mark_recursive(layout)
    return layout


@dataclass(slots=True)
class _Builder:
    name: str
    layout: Layout = field(init=False)
    shared: dict[tuple[str, str], Site] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.layout = Layout(Site(FIXED, Name("_"), 0, ""), [], [], (), [])

    def build(self, term: Term, label: str, scope: _Scope) -> Site:
        builders = {
            Choice: self._choice,
            Number: self._number,
            Repeat: self._repeat,
            Shared: self._shared,
            Rule: self._rule,
            Ref: self._ref,
            Let: self._let,
            Use: self._use,
            Name: self._value,
            Program: self._program,
            Define: self._define,
        }
        return builders.get(type(term), self._node)(term, label, scope)

    def new(self, kind: int, term: Term, label: str) -> Site:
        site = Site(kind, term, len(self.layout.sites), label)
        self.layout.sites.append(site)
        return site

    def fail(self, label: str, message: str) -> SpaceError:
        return SpaceError(f"{self.name} at {label}: {message}")

    def finish(self, site: Site, parts: tuple[Site, ...], fixable: bool = False) -> Site:
        site.children = parts
        for part in reversed(parts):  # a NODE is spliced: what it has to decide is decided in its place
            site.active += part.active if part.kind == NODE else (part,) if part.kind != FIXED else ()
        if fixable and not site.active:
            site.kind = FIXED
        return site

    def _node(self, term: Term, label: str, scope: _Scope) -> Site:
        site = self.new(NODE, term, label)
        inner = scope if isinstance(term, Op) and term.name == "train" else _below(scope)
        labels = _labels(term, label)
        self.finish(
            site, tuple(self.build(c, at, inner) for c, at in zip(children(term), labels, strict=True))
        )
        if not site.active:
            site.kind = FIXED
        return site

    def _choice(self, term: Choice, label: str, scope: _Scope) -> Site:
        site = self.new(CHOICE, term, label)
        options = [self.build(o, f"{label}|{i}", _below(scope)) for i, o in enumerate(term.options)]
        site.options = tuple(range(len(options)))
        return self.finish(site, tuple(options))

    def _number(self, term: Number, label: str, _: _Scope) -> Site:
        site = self.new(NUMBER, term, label)
        if term.integer:
            site.options = range(int(term.low), int(term.high) + 1)
        return site

    def _repeat(self, term: Repeat, label: str, scope: _Scope) -> Site:
        site = self.new(REPEAT, term, label)
        body = self.build(
            term.body, f"{label}.body", _Scope(scope.parts, scope.rules, scope.owner, True, False)
        )
        site.options = term.counts or range(term.low, term.high + 1)
        if body.kind == FIXED and term.low == term.high:
            site.kind = FIXED
        if self._contains_let(term) and (scope.inside_repeat or term.tied):
            raise self.fail(
                label, "the statements of a program stand in one plain repeat, not nested or tied"
            )
        return self.finish(site, (body,))

    def _shared(self, term: Shared, label: str, scope: _Scope) -> Site:
        key = (scope.owner, term.name)
        first = self.shared.get(key)
        if first is not None and first.term != term:
            place = f'shared "{term.name}" has another domain than at {first.label}'
            raise self.fail(label, f"{place}; use the same domain or another name")
        if first is not None:
            return first
        site = self.new(SHARED, term, label)
        self.shared[key] = site
        body = self.build(term.body, f"{label}.{term.name}", _below(scope))
        return self.finish(site, (body,), fixable=True)

    def _rule(self, term: Rule, label: str, scope: _Scope) -> Site:
        site = self.new(RULE, term, label)
        site.slot = len(self.layout.rules)
        self.layout.rules.append(term.depth)
        inner = _Scope(scope.parts - {term.name}, ((term.name, site), *scope.rules), scope.owner, True, False)
        return self.finish(site, (self.build(term.body, f"{label}.{term.name}", inner),))

    def _ref(self, term: Ref, label: str, scope: _Scope) -> Site:
        rule = dict(reversed(scope.rules)).get(term.name)
        if rule is not None:
            site = self.new(EXPAND, term, label)
            site.slot = rule.slot
            site.children = (rule,)  # the rule itself: its body does not exist yet
            return site
        if term.name not in scope.parts:
            bound = ", ".join(sorted(scope.parts | {n for n, _ in scope.rules})) or "none"
            raise self.fail(label, f'"{term.name}" is not defined here; defined: {bound}')
        return self.new(FIXED, term, label)

    def _let(self, term: Let, label: str, scope: _Scope) -> Site:
        if not self.layout.inputs or scope.rules:
            raise self.fail(label, "let(...) stands in a program only, and not in a rule")
        site = self.new(LET, term, label)
        site.slot = len(self.layout.lets)
        self.layout.lets.append(term.type)
        body = self.build(term.body, label, _below(scope))
        bind = self.new(BIND, term, label)
        bind.slot = site.slot
        site.children = (body,)
        site.active = (bind,) if body.kind == FIXED else (bind, body)
        return site

    def _use(self, term: Use, label: str, _: _Scope) -> Site:
        if term.type not in {kind for _, kind in self.layout.inputs}:
            raise self.fail(label, f'use("{term.type}") needs a program with an input of that type')
        return self.new(USE, term, label)

    def _value(self, term: Name, label: str, _: _Scope) -> Site:
        if term.name not in {name for name, _ in self.layout.inputs}:
            known = ", ".join(name for name, _ in self.layout.inputs) or "none"
            raise self.fail(label, f'"{term.name}" is no part, rule or program input; inputs: {known}')
        return self.new(FIXED, term, label)

    def _program(self, term: Program, label: str, scope: _Scope) -> Site:
        if self.layout.inputs or scope.inside_repeat or not term.inputs:
            raise self.fail(
                label, "one program with at least one input is allowed in a space, not in a repeat"
            )
        self.layout.inputs = term.inputs
        site = self.new(PROGRAM, term, label)
        labels = _labels(term, label)
        parts = zip(children(term), labels, strict=True)
        return self.finish(site, tuple(self.build(c, at, _below(scope)) for c, at in parts))

    def _define(self, term: Define, label: str, scope: _Scope) -> Site:
        if not scope.top:
            raise self.fail(label, "define(...) stands at the root, or directly inside train(...)")
        site = self.new(NODE, term, label)
        sites = []
        known: frozenset[str] = frozenset()
        for part, body in term.bindings:
            sites.append(self.build(body, part, _Scope(known, (), part, False, False)))
            known |= {part}
        sites.append(self.build(term.body, f"{label}.body", _Scope(known, (), "", False, False)))
        return self.finish(site, tuple(sites), fixable=True)

    def _contains_let(self, term: Term) -> bool:
        return any(isinstance(part, Let) for part in walk(term))


def _below(scope: _Scope) -> _Scope:
    return _Scope(scope.parts, scope.rules, scope.owner, scope.inside_repeat, False) if scope.top else scope


def _labels(term: Term, label: str) -> list[str]:
    match term:
        case Op(name, args, attributes):
            inner = f"{label}.{name}"
            return [f"{inner}[{i}]" for i in range(len(args))] + [f"{inner}.{key}" for key, _ in attributes]
        case Program(_, _, outputs):
            return [f"{label}.program"] + [f"{label}.{key}" for key, _ in outputs]
        case _:
            return [f"{label}[{i}]" for i in range(len(children(term)))]


def _mark_recursive(layout: Layout) -> None:
    """Marks sites from which a reference to a rule can be reached; repeated until nothing changes."""
    changed = bool(layout.rules)
    while changed:
        changed = False
        for site in layout.sites:
            if not site.recursive and (site.kind == EXPAND or any(c.recursive for c in site.children)):
                site.recursive = changed = True
