"""Expression to decisions: finds how a space's holes must be filled to give a hole-free expression.

Like a regular-expression matcher, with backtracking over choices, repeats and what they splice into
a sequence; the first derivation in order wins.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nas import sites
from nas.architecture import Decision
from nas.derivation import value_number
from nas.sites import Site
from nas.term import Define, Literal, Name, Number, Op, Program, Repeat, Seq, Term, unrolled
from nas.unfold import plain

if TYPE_CHECKING:
    from nas.space import SearchSpace

Prefix = tuple[int, ...]


class _State(NamedTuple):
    log: Any = None  # linked list of decisions, last first
    depth: int = 0  # its length
    shared: tuple[tuple[int, tuple[Term, ...]], ...] = ()
    values: tuple[tuple[int, str, str], ...] = ()  # number, type, name
    depths: tuple[int, ...] = ()

    def decided(self, site: Site, prefix: Prefix, option: int | float) -> _State:
        decision = Decision(site.index, prefix, option)
        return self._replace(log=(decision, self.log), depth=self.depth + 1)


def match(space: SearchSpace, term: Term) -> list[Decision] | None:
    """Decisions that unfold to the term, in derivation order; None if it is not in the space."""
    return _Matcher(space).run(term)


def explain(space: SearchSpace, term: Term) -> str:
    """Where the term leaves the space: the furthest place reached, what is expected and what came."""
    matcher = _Matcher(space)
    matcher.run(term)
    if matcher.blame is None:
        return "the expression is longer than the space allows"
    site, item = matcher.blame
    expected = str(site.term)
    expected = expected if len(expected) <= 100 else expected[:97] + "..."
    came = "the end" if item is None else str(item)[:100]
    return f"at {site.label} {expected} is expected, {came} came"


class _Matcher:
    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.blame: tuple[Site, Term | None] | None = None
        self.reached = -1

    def run(self, term: Term) -> list[Decision] | None:
        items = unrolled(term)
        start = _State(depths=(0,) * len(self.space.layout.rules))
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(max(limit, 20_000))  # one level a step of the sequence, a few a nesting
        try:
            for end, state in self.match(self.space.layout.root, items, 0, (), start):
                if end == len(items):
                    return _unlinked(state.log)
            return None
        finally:
            sys.setrecursionlimit(limit)

    def match(
        self, site: Site, items: Sequence[Term], at: int, prefix: Prefix, state: _State
    ) -> Iterator[tuple[int, _State]]:
        """All (end, state) with which the site can stand for `items[at:end]`."""
        found = False
        for result in self._dispatch(site, items, at, prefix, state):
            found = True
            yield result
        if not found and state.depth >= self.reached:
            self.reached = state.depth
            if site.kind in (sites.FIXED, sites.CHOICE, sites.NUMBER, sites.USE, sites.NODE):
                self.blame = (site, items[at] if at < len(items) else None)

    def _dispatch(
        self, site: Site, items: Sequence[Term], at: int, prefix: Prefix, state: _State
    ) -> Iterator[tuple[int, _State]]:
        match site.kind:
            case sites.FIXED:
                return self._fixed(plain(site.term), items, at, state)
            case sites.CHOICE:
                return self._choice(site, items, at, prefix, state)
            case sites.NUMBER:
                return self._number(site, items, at, prefix, state)
            case sites.REPEAT:
                return self._repeat(site, items, at, prefix, state)
            case sites.SHARED:
                return self._shared(site, items, at, state)
            case sites.RULE | sites.EXPAND:
                return self._rule(site, items, at, prefix, state)
            case sites.LET:
                return self._let(site, items, at, prefix, state)
            case sites.USE:
                return self._use(site, items, at, prefix, state)
            case _:
                return self._node(site, items, at, prefix, state)

    def _fixed(
        self, term: Term, items: Sequence[Term], at: int, state: _State
    ) -> Iterator[tuple[int, _State]]:
        wanted = unrolled(term)
        end = at + len(wanted)
        if all(_same(a, b) for a, b in zip(wanted, items[at:end], strict=False)) and end <= len(items):
            yield end, state

    def _choice(
        self, site: Site, items: Sequence[Term], at: int, prefix: Prefix, state: _State
    ) -> Iterator[tuple[int, _State]]:
        options = self.space.counter.admissible(site, state.depths) if site.recursive else site.options
        for option in options:
            yield from self.match(
                site.children[option], items, at, prefix, state.decided(site, prefix, option)
            )

    def _number(
        self, site: Site, items: Sequence[Term], at: int, prefix: Prefix, state: _State
    ) -> Iterator[tuple[int, _State]]:
        term = site.term
        assert isinstance(term, Number)
        item = items[at] if at < len(items) else None
        value = item.value if isinstance(item, Literal) else None
        fits = type(value) is int if term.integer else type(value) in (int, float)
        if fits and term.low <= value <= term.high:  # type: ignore[operator]
            number = value if term.integer else float(value)  # type: ignore[arg-type]
            yield at + 1, state.decided(site, prefix, number)  # type: ignore[arg-type]

    def _repeat(
        self, site: Site, items: Sequence[Term], at: int, prefix: Prefix, state: _State
    ) -> Iterator[tuple[int, _State]]:
        assert isinstance(site.term, Repeat)
        options = self.space.counter.admissible(site, state.depths) if site.recursive else site.options
        for number in options:
            new = state.decided(site, prefix, number) if len(options) > 1 else state
            if site.term.tied:
                yield from self._tied(site, number, items, at, prefix, new)
            else:
                yield from self._copies(site, 0, number, items, at, prefix, new)

    def _tied(
        self, site: Site, number: int, items: Sequence[Term], at: int, prefix: Prefix, state: _State
    ) -> Iterator[tuple[int, _State]]:
        if number == 0:
            yield at, state
            return
        for end, new in self.match(site.children[0], items, at, prefix, state):
            block = items[at:end]
            if tuple(items[at : at + len(block) * number]) == tuple(block) * number:
                yield at + len(block) * number, new

    def _copies(
        self,
        site: Site,
        element: int,
        number: int,
        items: Sequence[Term],
        at: int,
        prefix: Prefix,
        state: _State,
    ) -> Iterator[tuple[int, _State]]:
        if element == number:
            yield at, state
            return
        inner = (*prefix, site.index, element)
        for end, new in self.match(site.children[0], items, at, inner, state):
            yield from self._copies(site, element + 1, number, items, end, prefix, new)

    def _shared(
        self, site: Site, items: Sequence[Term], at: int, state: _State
    ) -> Iterator[tuple[int, _State]]:
        known = dict(state.shared).get(site.index)
        if known is not None:
            if tuple(items[at : at + len(known)]) == known:
                yield at + len(known), state
            return
        for end, new in self.match(site.children[0], items, at, (), state):
            yield end, new._replace(shared=(*new.shared, (site.index, tuple(items[at:end]))))

    def _rule(
        self, site: Site, items: Sequence[Term], at: int, prefix: Prefix, state: _State
    ) -> Iterator[tuple[int, _State]]:
        rule = site if site.kind == sites.RULE else site.children[0]
        left = self.space.layout.rules[site.slot] if site is rule else state.depths[site.slot]
        if left < 1:
            return
        outer, inner = state.depths, list(state.depths)
        inner[site.slot] = left - 1
        path = prefix if site is rule else (*prefix, site.index, 0)
        entered = state._replace(depths=tuple(inner))
        for end, new in self.match(rule.children[0], items, at, path, entered):
            yield end, new._replace(depths=outer)

    def _let(
        self, site: Site, items: Sequence[Term], at: int, prefix: Prefix, state: _State
    ) -> Iterator[tuple[int, _State]]:
        layout = self.space.layout
        number = value_number(self.space.layout, site.slot, prefix)
        for end, new in self.match(site.children[0], items, at, prefix, state):
            name = f"x{len(new.values) - len(layout.inputs)}"
            yield end, new._replace(values=(*new.values, (number, layout.lets[site.slot], name)))

    def _use(
        self, site: Site, items: Sequence[Term], at: int, prefix: Prefix, state: _State
    ) -> Iterator[tuple[int, _State]]:
        item = items[at] if at < len(items) else None
        for number, type_, name in state.values:
            if isinstance(item, Name) and item.name == name and type_ == site.term.type:  # type: ignore[attr-defined]
                yield at + 1, state.decided(site, prefix, number)

    def _node(
        self, site: Site, items: Sequence[Term], at: int, prefix: Prefix, state: _State
    ) -> Iterator[tuple[int, _State]]:
        if isinstance(site.term, Seq):
            yield from self._parts(site.children, 0, items, at, prefix, state)
            return
        item = items[at] if at < len(items) else None
        arguments = None if item is None else _arguments(site.term, item)
        if arguments is None:
            return
        if isinstance(site.term, Program):
            inputs = tuple((i, kind, name) for i, (name, kind) in enumerate(site.term.inputs))
            state = state._replace(values=inputs)
        for new in self._each(site.children, 0, arguments, prefix, state):
            yield at + 1, new

    def _parts(
        self,
        parts: Sequence[Site],
        index: int,
        items: Sequence[Term],
        at: int,
        prefix: Prefix,
        state: _State,
    ) -> Iterator[tuple[int, _State]]:
        if index == len(parts):
            yield at, state
            return
        for end, new in self.match(parts[index], items, at, prefix, state):
            yield from self._parts(parts, index + 1, items, end, prefix, new)

    def _each(
        self, parts: Sequence[Site], index: int, arguments: Sequence[Term], prefix: Prefix, state: _State
    ) -> Iterator[_State]:
        """Every part stands for exactly its own argument."""
        if index == len(parts):
            yield state
            return
        items = unrolled(arguments[index])
        for end, new in self.match(parts[index], items, 0, prefix, state):
            if end == len(items):
                yield from self._each(parts, index + 1, arguments, prefix, new)


def _arguments(wanted: Term, item: Term) -> list[Term] | None:
    """The item's parts in the order of the wanted term's, if the two are alike at the top."""
    match wanted, item:
        case Op(name, args, attributes), Op(other, given, named) if name == other and len(args) == len(given):
            return _ordered(attributes, named, list(given))
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


def _same(a: Term, b: Term) -> bool:
    """Equality up to the order of attributes and the notation of fixed repeats."""
    if a == b:
        return True
    if isinstance(a, Seq | Repeat) or isinstance(b, Seq | Repeat):
        left, right = unrolled(a), unrolled(b)
        alone = len(left) == 1 and left[0] is a
        return not alone and len(left) == len(right) and all(map(_same, left, right))
    theirs = _arguments(a, b)
    if theirs is None:
        return False
    ours = _arguments(a, a)
    return ours is not None and all(map(_same, ours, theirs))


def _unlinked(log: Any) -> list[Decision]:
    found = []
    while log is not None:
        found.append(log[0])
        log = log[1]
    return found[::-1]
