"""Lays an expression out: numbers its sites and checks that every name and construct has a meaning there."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

from nas.errors import SpaceError, one_line
from nas.sites import (
    BIND,
    CHOICE,
    EXPAND,
    FIXED,
    LET,
    NODE,
    NUMBER,
    PROGRAM,
    REPEAT,
    RULE,
    SHARED,
    USE,
    Layout,
    Site,
    labels,
    root_label,
)
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
    Seq,
    Shared,
    Term,
    Use,
    children,
    walk,
)


@dataclass(frozen=True, slots=True)
class _Scope:
    """What may stand at a place.

    Attributes:
        parts: names that `define` has bound.
        rules: the enclosing rules, innermost first.
        owner: the definition that shared names belong to.
        inside_repeat: whether the place exists several times.
        top: still at the root, where `define` may stand.
        root: what stands here is all of the architecture, as `train` must be.
        inputs: types of the enclosing program's inputs, by name.
        statements: directly in a program's body, where `let` stands and nothing else.
    """

    parts: Set[str] = frozenset()
    rules: tuple[tuple[str, Site], ...] = ()
    owner: str = ""
    inside_repeat: bool = False
    top: bool = True
    root: bool = True
    inputs: Mapping[str, str] = field(default_factory=dict)
    statements: bool = False


def lay_out(term: Term, name: str) -> Layout:
    """Numbers the occurrences of an expression and checks that its names are bound.

    Raises:
        SpaceError: unbound or clashing names, and constructs in places where they have no meaning.
    """
    builder = _Builder(name)
    root = builder.build(term, root_label(term), _Scope())
    layout = builder.layout
    layout.root = root
    _mark_recursive(layout)
    return layout


@dataclass(slots=True)
class _Builder:
    name: str
    layout: Layout = field(init=False)
    shared: dict[tuple[str, str], Site] = field(default_factory=dict)
    referred: set[str] = field(default_factory=set)  # names of parts that the definition being built uses

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
        if scope.statements and not isinstance(term, Seq | Choice | Repeat | Let):
            raise self.fail(label, f"a statement is expected, let(type, ...); got {one_line(term, 80)}")
        return builders.get(type(term), self._node)(term, label, scope)

    def parts(self, term: Term, label: str, scope: _Scope) -> tuple[Site, ...]:
        places = zip(children(term), labels(term, label), strict=True)
        return tuple(self.build(child, at, scope) for child, at in places)

    def new(self, kind: int, term: Term, label: str) -> Site:
        site = Site(kind, term, len(self.layout.sites), label)
        self.layout.sites.append(site)
        return site

    def fail(self, label: str, message: str) -> SpaceError:
        return SpaceError(f"{self.name} at {label}: {message}")

    def finish(self, site: Site, parts: tuple[Site, ...], fixable: bool = False) -> Site:
        site.children = parts
        active: list[Site] = []
        for part in reversed(parts):  # a NODE is spliced: what it has to decide is decided in its place
            active += part.active if part.kind == NODE else (part,) if part.kind != FIXED else ()
        site.active = tuple(active)
        if fixable and not site.active:
            site.kind = FIXED
        return site

    def _node(self, term: Term, label: str, scope: _Scope) -> Site:
        site = self.new(NODE, term, label)
        training = isinstance(term, Op) and term.name == "train"
        if training and not scope.root:
            remedy = "write train(network, ...) around the whole expression"
            raise self.fail(
                label, f"train(...) is expected at the root, else its settings never apply; {remedy}"
            )
        inner = replace(scope, top=scope.top and training, root=False)
        return self.finish(site, self.parts(term, label, inner), fixable=True)

    def _choice(self, term: Choice, label: str, scope: _Scope) -> Site:
        site = self.new(CHOICE, term, label)
        site.options = tuple(range(len(term.options)))
        return self.finish(site, self.parts(term, label, replace(scope, top=False)))

    def _number(self, term: Number, label: str, _: _Scope) -> Site:
        site = self.new(NUMBER, term, label)
        if term.integer:
            site.options = range(int(term.low), int(term.high) + 1)
        return site

    def _repeat(self, term: Repeat, label: str, scope: _Scope) -> Site:
        site = self.new(REPEAT, term, label)
        site.options = term.counts or range(term.low, term.high + 1)
        if (scope.inside_repeat or term.tied) and any(isinstance(part, Let) for part in walk(term)):
            raise self.fail(label, "statements stand in one plain repeat; got a nested or a tied one")
        (body,) = self.parts(term, label, replace(scope, inside_repeat=True, top=False, root=False))
        if body.kind == FIXED and term.low == term.high:
            site.kind = FIXED
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
        inner = replace(scope, rules=(), top=False)  # a part decided once cannot contain what is around it
        return self.finish(site, self.parts(term, label, inner), fixable=True)

    def _rule(self, term: Rule, label: str, scope: _Scope) -> Site:
        if term.name in scope.inputs:
            raise self.fail(label, f'rule "{term.name}" has the name of a program input; rename one of them')
        site = self.new(RULE, term, label)
        site.slot = len(self.layout.rules)
        self.layout.rules.append(term.depth)
        inner = replace(scope, rules=((term.name, site), *scope.rules), inside_repeat=True, top=False)
        return self.finish(site, self.parts(term, label, inner))

    def _ref(self, term: Ref, label: str, scope: _Scope) -> Site:
        rule = dict(reversed(scope.rules)).get(term.name)
        if rule is not None:
            site = self.new(EXPAND, term, label)
            site.slot = rule.slot
            site.children = (rule,)  # the rule itself: its body does not exist yet
            return site
        if term.name not in scope.parts:
            bound = one_line(", ".join(sorted({*scope.parts, *(n for n, _ in scope.rules)}))) or "none"
            known = f"defined: {bound}; a shared part does not reach the rules around it"
            raise self.fail(label, f'"{term.name}" is not defined here; {known}')
        self.referred.add(term.name)
        return self.new(FIXED, term, label)

    def _let(self, term: Let, label: str, scope: _Scope) -> Site:
        if not scope.statements:
            raise self.fail(label, "let(...) stands directly in a program's body, in >>, | and repeat only")
        if not _single(term.body):
            raise self.fail(label, f"a statement computes one value; got {one_line(term.body, 80)}")
        site = self.new(LET, term, label)
        site.slot = len(self.layout.lets)
        self.layout.lets.append(term.type)
        body = self.build(term.body, label, replace(scope, top=False, root=False, statements=False))
        bind = self.new(BIND, term, label)
        bind.slot = site.slot
        self.finish(site, (body,))
        site.active = (bind, *site.active)
        return site

    def _use(self, term: Use, label: str, scope: _Scope) -> Site:
        if term.type not in scope.inputs.values():
            raise self.fail(label, f'use("{term.type}") needs a program with an input of that type around it')
        return self.new(USE, term, label)

    def _value(self, term: Name, label: str, scope: _Scope) -> Site:
        if term.name not in scope.inputs:
            known = one_line(", ".join(scope.inputs)) or "none"
            raise self.fail(label, f'"{term.name}" is no part, rule or program input; inputs: {known}')
        return self.new(FIXED, term, label)

    def _program(self, term: Program, label: str, scope: _Scope) -> Site:
        if self.layout.inputs or scope.inside_repeat or not term.inputs:
            raise self.fail(
                label, "one program with at least one input is allowed in a space, not in a repeat"
            )
        inputs = dict(term.inputs)
        taken = sorted(name for name in scope.parts if _is_statement(name) or name in inputs)
        taken += [name for name, _ in term.inputs if _is_statement(name)]
        if taken:
            raise self.fail(label, f'"{taken[0]}" names a value of the program already; rename part or input')
        self.layout.inputs = term.inputs
        site = self.new(PROGRAM, term, label)
        inner = replace(scope, top=False, root=False, inputs=inputs)
        at, *ends = labels(term, label)
        body = self.build(term.body, at, replace(inner, statements=True))
        outputs = zip(term.outputs, ends, strict=True)
        return self.finish(site, (body, *(self.build(value, end, inner) for (_, value), end in outputs)))

    def _define(self, term: Define, label: str, scope: _Scope) -> Site:
        if not scope.top:
            raise self.fail(label, "define(...) stands at the root, or directly inside train(...)")
        site = self.new(NODE, term, label)
        *places, rest = labels(term, label)
        sites = []
        known: set[str] = set()
        uses: dict[str, set[str]] = {}
        for (part, body), at in zip(term.bindings, places, strict=True):
            self.referred = uses[part] = set()
            sites.append(self.build(body, at, _Scope(known, owner=part, top=False, root=False)))
            known.add(part)
        self.referred = set()
        sites.append(self.build(term.body, rest, _Scope(known, top=False, root=scope.root)))
        self._check_used(sites, uses)
        return self.finish(site, tuple(sites), fixable=True)

    def _check_used(self, sites: list[Site], uses: dict[str, set[str]]) -> None:
        """Refuses parts with holes that the body does not use; `sites` are theirs, in the order of `uses`."""
        reached: set[str] = set()
        ahead = list(self.referred)
        while ahead:
            if (part := ahead.pop()) not in reached:
                reached.add(part)
                ahead += uses[part]
        for part, site in zip(uses, sites, strict=False):
            if part not in reached and site.kind != FIXED:
                remedy = f'write ref("{part}"), in text {part}, where it belongs, or leave the part out'
                raise self.fail(
                    site.label, f'part "{part}" is never used, so its choices have no effect; {remedy}'
                )


def _single(term: Term) -> bool:
    """Whether a statement's body is one step in every architecture; statements are named by their number."""
    match term:
        case Choice(options):
            return all(map(_single, options))
        case Shared(_, body) | Rule(_, body):
            return _single(body)
        case _:
            return not isinstance(term, Seq | Repeat | Let | Define | Program)


def _is_statement(name: str) -> bool:
    return name.startswith("x") and name[1:].isdecimal()


def _mark_recursive(layout: Layout) -> None:
    """Marks sites from which a reference to a rule can be reached; repeated until nothing changes."""
    changed = bool(layout.rules)
    while changed:
        changed = False
        for site in reversed(layout.sites):
            if not site.recursive and (site.kind == EXPAND or any(c.recursive for c in site.children)):
                site.recursive = changed = True


def value_number(layout: Layout, slot: int, prefix: tuple[int, ...]) -> int:
    """Stable number of a statement's value: inputs come first; an element's statements keep theirs."""
    if not prefix:
        return -1 - slot
    return len(layout.inputs) + prefix[-1] * len(layout.lets) + slot
