"""Sites: the occurrences of sub-terms in an expression, each with its own number.

The same Python object may occur at several places of an expression, and two places are two
decisions; therefore sites, not terms, carry the addresses.

`lay_out` numbers the sites of an expression and checks that every name and construct has a meaning there, and
that names, arities and every literal that an attribute may take belong to the vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from nas.errors import SpaceError, one_line
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
    resolved,
    walk,
)

if TYPE_CHECKING:
    from nas.language import Attribute, Vocabulary


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


MAX_LABEL: Final = 200  # characters of a label in front of its last word; deeper places lose their beginning


class Site:
    """One occurrence of a term.

    Attributes:
        kind: one of the constants above.
        term: the term that stands there.
        index: number of the site in its space, depth first: the stable part of a decision's address.
        label: readable address, see `labels`.
        children: sites of the direct sub-terms, in the order of `term.children`; of a reference to a
            rule the rule's body.
        active: what of the children is to be decided, last first, as a stack takes it.
        options: of a CHOICE or an integer NUMBER or a REPEAT, all of its options.
        recursive: whether the depth bound of a rule may forbid something inside.
        plain: of a FIXED site, the term as architectures hold it, kept from its first use.
        distinct: whether every other option gives another architecture, kept from its first use.
        slot: RULE, EXPAND: number of the rule; LET, BIND: number of the statement; USE, LET: see `type`.
    """

    __slots__ = (
        "active",
        "children",
        "distinct",
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
        self.distinct: bool | None = None


@dataclass(slots=True)
class Layout:
    """All sites of an expression.

    Attributes:
        root: site of the whole expression.
        sites: by index.
        rules: depth bounds of the rules, by slot.
        inputs: (name, type) of the program's inputs; empty without a program.
        lets: types of the statements, by slot.
        texts: of the hole-free parts that architectures share, by `id`; filled as they are met.
    """

    root: Site
    sites: list[Site]
    rules: list[int]
    inputs: tuple[tuple[str, str], ...]
    lets: list[str]
    texts: dict[int, str] = field(default_factory=dict)


def labels(term: Term, label: str) -> list[str]:
    """Readable addresses of the direct sub-terms of a term at `label`.

    They name primitives, attributes, parts, rules and outputs, e.g. "train.residual.conv.kernel". What has no
    name, or shares it with one beside it, is counted from 0: "cell.node[1][0]" is the first argument of the
    second node.
    """
    match term:
        case Op(_, args, attributes):
            return _beside(args, label) + [_joined(label, key) for key, _ in attributes]
        case Let():
            return [label]
        case Repeat(body):
            return [_joined(label, _name(body) or "body")]
        case Rule(name, _):
            return [_joined(label, name)]
        case Define(_, bindings):
            return [name for name, _ in bindings] + [label]
        case Program(_, body, outputs):
            return _beside([body], _joined(label, "program")) + [_joined(label, key) for key, _ in outputs]
        case _:
            return _beside(children(term), label)


def root_label(term: Term) -> str:
    """Address of a whole expression: the name of its primitive, or "root"."""
    return term.name if isinstance(term, Op) else "root"


def _beside(parts: Sequence[Term], label: str) -> list[str]:
    names = [_name(part) for part in parts]
    several = Counter(name for name in names if name)
    seen: Counter[str] = Counter()
    found = []
    for i, name in enumerate(names):
        if name is None:
            found.append(label if len(parts) == 1 else f"{label}[{i}]")
            continue
        found.append(_joined(label, name) + (f"[{seen[name]}]" if several[name] > 1 else ""))
        seen[name] += 1
    return found


def _name(term: Term) -> str | None:
    while isinstance(term, Let):
        term = term.body
    return term.name if isinstance(term, Op) else None


def _joined(label: str, name: str) -> str:
    if label == "root":
        return name
    return f"{label if len(label) <= MAX_LABEL else f'...{label[-MAX_LABEL:]}'}.{name}"


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


MAX_CHECKED: Final = 1000  # integers of a range that are checked one by one


def check_expression(space: str, expression: Term, vocabulary: Vocabulary) -> None:
    """Raises SpaceError for the first primitive, attribute or value that the vocabulary does not have."""
    _Checker(space, expression, vocabulary).check(expression, root_label(expression), {})


Parts = dict[str, Term]  # what references mean: the bodies of definitions, by name


class _Checker:
    def __init__(self, space: str, expression: Term, vocabulary: Vocabulary) -> None:
        self.space = space
        self.vocabulary = vocabulary
        self.networks = any(primitive.shape is not None for primitive in vocabulary)
        programs = (term for term in walk(expression) if isinstance(term, Program))
        self.inputs = dict.fromkeys(name for program in programs for name, _ in program.inputs)
        self.ranges: dict[tuple[int, float, float], str | None] = {}  # answers for ranges of integers

    def check(self, term: Term, place: str, parts: Parts) -> None:
        if isinstance(term, Op):
            self._primitive(term, f"{self.space} at {place}", parts)
        elif isinstance(term, Name) and term.name in self.vocabulary and term.name not in self.inputs:
            known = ", ".join(self.inputs) or "none"
            raise SpaceError(
                f'{self.space} at {place}: "{term.name}" is no part, rule or program input; inputs: {known}; '
                f"it is a primitive without its parentheses: write {self._called(term.name)}"
            )
        if self.networks:
            self._steps(term, place, parts)
        if isinstance(term, Define):
            return self._definitions(term, place, parts)
        below = term.args if isinstance(term, Op) else children(term)
        for child, at in zip(below, labels(term, place), strict=False):
            self.check(child, at, parts)
        return None

    def _called(self, name: str) -> str:
        """How a primitive is written, with dots for what it cannot go without."""
        bare = self.vocabulary.check(name, (), 0) is None
        return f"{name}()" if bare else f"{name}(...)"

    def _definitions(self, term: Define, place: str, parts: Parts) -> None:
        *places, rest = labels(term, place)
        known = dict(parts)
        for (name, body), at in zip(term.bindings, places, strict=True):
            self.check(body, at, known)
            known[name] = resolved(body, known)
        self.check(term.body, rest, known)

    def _primitive(self, term: Op, place: str, parts: Parts) -> None:
        reason = self.vocabulary.check(term.name, [name for name, _ in term.attributes], len(term.args))
        if reason is not None:
            raise SpaceError(f"{place}: {reason}")
        primitive = self.vocabulary.get(term.name)
        for name, value in term.attributes:
            attribute = primitive.attribute(name)
            if attribute is not None:
                self._attribute(value, attribute, place, parts)

    def _attribute(self, value: Term, attribute: Attribute, place: str, parts: Parts) -> None:
        for candidate in _values(value, place, parts):
            reason = (
                self._range(candidate, attribute)
                if isinstance(candidate, Number)
                else (attribute.check(candidate))
            )
            if reason is not None:
                raise SpaceError(f"{place}: {reason}")

    def _range(self, number: Number, attribute: Attribute) -> str | None:
        """The reason against a number of the range; of reals and wide integers the bounds are looked at."""
        key = (id(attribute), number.low, number.high)
        if number.integer and key in self.ranges:
            return self.ranges[key]
        plain = attribute.choices is None and attribute.rule is None  # then the bounds say it all
        small = number.integer and not plain and number.high - number.low < MAX_CHECKED
        candidates = range(int(number.low), int(number.high) + 1) if small else (number.low, number.high)
        reason = next(filter(None, map(attribute.check, candidates)), None)
        if number.integer:
            self.ranges[key] = reason
        return reason

    def _steps(self, term: Term, place: str, parts: Parts) -> None:
        """Refuses plain values where networks stand."""
        steps: tuple[Term, ...] = ()
        match term:
            case Op(_, args):
                steps = args
            case Seq():
                steps = term.parts
            case Repeat(body):
                steps = (body,)
        value = next((step for step in steps if _is_value(step, parts)), None)
        if value is not None:
            raise SpaceError(f"{self.space} at {place}: {_instead(term, value, self.vocabulary)}")


def _instead(term: Term, value: Term, vocabulary: Vocabulary) -> str:
    """What stands where a network belongs, and what was probably meant."""
    got = f"expected an expression, got the plain value {one_line(value, 60)}"
    if isinstance(value, Literal) and isinstance(value.value, str):
        word = value.value if value.value in vocabulary else "relu"
        return f"{got}; write it without quotes, e.g. {one_line(word, 60)}()"
    known = (
        [attribute.name for attribute in vocabulary.get(term.name).attributes] if isinstance(term, Op) else []
    )
    if isinstance(term, Op) and known:
        return f"{got}; attributes have names, e.g. {term.name}({known[0]}={one_line(value, 60)})"
    return f"{got}; values are for attributes, e.g. conv(kernel={one_line(value, 60)})"


def _is_value(term: Term, parts: Parts) -> bool:
    """Whether a term stands for a plain value, at least in some architectures."""
    match term:
        case Literal() | Number():
            return True
        case Choice(options):
            return any(_is_value(option, parts) for option in options)
        case Shared(_, body):
            return _is_value(body, parts)
        case Ref(name) if name in parts:
            return _is_value(parts[name], {})
        case _:
            return False


def _values(term: Term, place: str, parts: Parts) -> Iterator[Any]:
    """The plain values that a term may become; a range of numbers as its `Number`."""
    match term:
        case Literal(value):
            yield value
        case Number():
            yield term
        case Choice(options):
            for option in options:
                yield from _values(option, place, parts)
        case Shared(_, body):
            yield from _values(body, place, parts)
        case Ref(name):
            if name in parts:
                yield from _values(parts[name], place, {})
        case Use():
            yield from ()
        case _:
            got = one_line(term, 80)
            text = f"; write {term.name!r}, in quotes, if it is a text" if isinstance(term, Name) else ""
            raise SpaceError(f"{place}: an attribute takes values, oneof, integer or real; got {got}{text}")
