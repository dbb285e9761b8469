"""Expression to decisions: finds how a space's holes must be filled to give a hole-free expression.

Like a parser for an ambiguous grammar: at each site it follows all ways to go on at once, and of those that
lead to the same place it keeps the first in derivation order, so that its time stays polynomial.

A state of it is where it stands and the trail of decisions that led there. Decisions of a trail are relative
to the place that they were found at, so that trails can be used again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle
from typing import Any, NamedTuple, TypeAlias

from nas.errors import SpaceError, one_line
from nas.language import (
    Choice,
    Literal,
    Name,
    Number,
    Program,
    Repeat,
    Rule,
    Seq,
    Term,
    Use,
    arguments,
    length,
    steps,
    walk,
    written_out,
)
from nas.space import sites
from nas.space.architecture import Decision, Grammar, fixed
from nas.space.sites import Site, value_number


class Taken(NamedTuple):
    """A decision at the place itself."""

    hole: int
    option: int | float


class Inside(NamedTuple):
    """What was decided one step further: in a repeat's element, a reference, or (None) at the root."""

    step: tuple[int, int] | None
    trail: Trail


class Both(NamedTuple):
    """One after the other."""

    first: Trail
    second: Trail


Trail: TypeAlias = Taken | Inside | Both | None  # None: nothing was decided


class MatchPosition(NamedTuple):
    """A sequence to be matched, and what holds for all of it.

    Attributes:
        steps: the sequence.
        path: pairs (step, argument) that lead to it from the root, flat.
        prefix: of the keys of holes that stand for parts of it.
        depths: expansions left, by rule.
    """

    steps: tuple[Term, ...]
    path: tuple[int, ...]
    prefix: tuple[int, ...]
    depths: tuple[int, ...]

    def step(self, at: int) -> Term | None:
        return self.steps[at] if at < len(self.steps) else None


class Cursor(NamedTuple):
    """How far matching has come.

    Attributes:
        at: the step to be matched next.
        shared: (site, number of its block of steps) for each shared name that is decided.
        values: (number, type, name) of a program's values in scope.
    """

    at: int = 0
    shared: tuple[tuple[int, int], ...] = ()
    values: tuple[tuple[int, str, str], ...] = ()

    def moved(self, steps: int) -> Cursor:
        return Cursor(self.at + steps, self.shared, self.values)


Ends = dict[Cursor, Trail]  # where a site may end, with the first trail that leads there


def decision_list(trail: Trail) -> list[Decision]:
    """The decisions of a trail that starts at the root, in order."""
    found: list[Decision] = []
    stack: list[tuple[Trail, tuple[int, ...]]] = [(trail, ())]
    while stack:
        trail, prefix = stack.pop()
        match trail:
            case Taken(hole, option):
                found.append(Decision(hole, prefix, option))
            case Inside(step, inner):
                stack.append((inner, () if step is None else prefix + step))
            case Both(first, second):
                stack += [(second, prefix), (first, prefix)]
    return found


MAX_LENGTH = 100_000  # of an expression with its repeats written out
MAX_STEPS = 100_000  # ways followed to find an architecture's decisions


def match(space: Grammar, term: Term) -> list[Decision]:
    """Decisions that unfold to the term, or to another notation of it: the first in derivation order.

    Notations differ in the order of attributes and in which repeats are written out; the exact one is first.

    Raises:
        SpaceError: where the term leaves the space, what is expected there and what was found.
    """
    found = _Matcher(space, out=False).run(term)
    if found is None:
        if length(term) > MAX_LENGTH:
            number = length(term)
            got = number if number < 10**15 else "far more"
            raise SpaceError(f"{space.name}: at most {MAX_LENGTH} steps are expected; got {got}")
        matcher = _Matcher(space, out=True)
        found = matcher.run(term)
        if found is None:
            holes = any(isinstance(part, Choice | Number | Use | Rule) for part in walk(term))
            remedy = "; an architecture has no choices left, so write one option of each" if holes else ""
            raise SpaceError(f"{space.name} at {matcher.blame()}{remedy}")
    return found


class _Matcher:
    """One attempt; `out` writes out the repeats of both sides first."""

    def __init__(self, space: Grammar, *, out: bool) -> None:
        self.layout = space.layout
        self.name = space.name
        self.taken = 0
        self.written: dict[int, tuple[Term, ...]] = {}  # of FIXED sites, by index
        self.admissible = space.counter.admissible
        self.met_again = space.counter.met_again
        self.out = out
        self.steps = written_out if out else steps
        self.known: dict[tuple[Any, ...], Ends] = {}
        self.blocks: dict[tuple[Term, ...], int] = {}
        self.ordered: list[tuple[Term, ...]] = []
        self.reached: tuple[int, ...] = ()
        self.failure: tuple[Site, Term | str, Term | None] | None = None  # site, expected, found

    def run(self, term: Term) -> list[Decision] | None:
        place = MatchPosition(self.steps(term), (), (), (0,) * len(self.layout.rules))
        ends = self.whole(self.layout.root, place, Cursor())
        return next((decision_list(trail) for trail in ends.values()), None)

    def whole(self, site: Site, place: MatchPosition, cursor: Cursor) -> Ends:
        """The ends with which the site stands for all of the sequence."""
        ends = self.match(site, place, cursor)
        furthest = max((end.at for end in ends), default=0)
        if ends and furthest < len(place.steps) and (*place.path, furthest) > self.reached:
            self.failed(site, "the end", place, furthest)
        return {end: trail for end, trail in ends.items() if end.at == len(place.steps)}

    def match(self, site: Site, place: MatchPosition, cursor: Cursor) -> Ends:
        """All ends with which the site can stand for the steps from the cursor on."""
        self.spend(1)
        match site.kind:
            case sites.FIXED:
                return self._fixed(site, place, cursor)
            case sites.CHOICE:
                return self._choice(site, place, cursor)
            case sites.NUMBER:
                return self._number(site, place, cursor)
            case sites.REPEAT | sites.RULE | sites.EXPAND:
                return self._remembered(site, place, cursor)
            case sites.SHARED:
                return self._shared(site, place, cursor)
            case sites.LET:
                return self._let(site, place, cursor)
            case sites.USE:
                return self._use(site, place, cursor)
            case _ if isinstance(site.term, Seq):
                ends: Ends = {cursor: None}
                for part in site.children:
                    ends = self._then(ends, part, place)
                return ends
            case _:
                return self._node(site, place, cursor)

    def spend(self, ways: int) -> None:
        """Counts ways that are followed; raises where they become too many."""
        self.taken += ways
        if self.taken > MAX_STEPS:
            raise SpaceError(
                f"{self.name}: over {MAX_STEPS} ways to read the text were followed; "
                "write copies out as the space has them, or store decisions (to_json) instead of the text"
            )

    def _then(
        self, ends: Ends, site: Site, place: MatchPosition, element: tuple[int, int] | None = None
    ) -> Ends:
        after: Ends = {}
        for here, trail in ends.items():
            found = self.match(site, place, here)
            self.spend(len(found))
            for end, more in found.items():
                after.setdefault(end, Both(trail, Inside(element, more) if element else more))
        return after

    def _remembered(self, site: Site, place: MatchPosition, cursor: Cursor) -> Ends:
        """Where the number of ways may explode, each question is answered once."""
        prefix = place.prefix if self.layout.lets else ()  # the numbers of values depend on it
        key = (site.index, place.path, prefix, place.depths, cursor)
        if key not in self.known:
            answer = self._repeat if site.kind == sites.REPEAT else self._expand
            self.known[key] = answer(site, place, cursor)
        return self.known[key]

    def failed(self, site: Site, expected: Term | str, place: MatchPosition, at: int) -> Ends:
        """Notes the failure that is furthest in the expression, and the outermost of those there."""
        position = (*place.path, at)
        if position >= self.reached:
            self.reached = position
            self.failure = (site, expected, place.step(at))
        return {}

    def blame(self) -> str:
        """The furthest failure: label, what is expected, what was found."""
        assert self.failure is not None, "asked for after a failure"
        site, expected, found = self.failure
        wanted, got = (one_line(part, 100) for part in (expected, "the end" if found is None else found))
        return f"{site.label}: {wanted} is expected; got {got}"

    def _fixed(self, site: Site, place: MatchPosition, cursor: Cursor) -> Ends:
        wanted = self.written.get(site.index)
        if wanted is None:
            term = fixed(site)
            if self.out and length(term) > MAX_LENGTH:
                return self.failed(site, term, place, cursor.at)
            wanted = self.written[site.index] = self.steps(term)
        given = place.steps[cursor.at : cursor.at + len(wanted)]
        if wanted == given:
            return {cursor.moved(len(wanted)): None}
        same = _agreement(wanted, given)
        return self.failed(site, wanted[same], place, cursor.at + same)

    def _choice(self, site: Site, place: MatchPosition, cursor: Cursor) -> Ends:
        found: Ends = {}
        for option in self._options(site, place):
            for end, trail in self.match(site.children[option], place, cursor).items():
                found.setdefault(end, Both(Taken(site.index, option), trail))
        return found or self.failed(site, site.term, place, cursor.at)

    def _options(self, site: Site, place: MatchPosition) -> Sequence[int]:
        return self.admissible(site, place.depths) if site.recursive else site.options

    def _number(self, site: Site, place: MatchPosition, cursor: Cursor) -> Ends:
        term, item = site.term, place.step(cursor.at)
        assert isinstance(term, Number)
        value = item.value if isinstance(item, Literal) else None
        fits = type(value) is int or (type(value) is float and not term.integer)
        if fits and term.low <= value <= term.high:  # type: ignore[operator]
            number = value if term.integer else float(value)  # type: ignore[arg-type]
            return {cursor.moved(1): Taken(site.index, number)}  # type: ignore[arg-type]
        return self.failed(site, term, place, cursor.at)

    def _repeat(self, site: Site, place: MatchPosition, cursor: Cursor) -> Ends:
        assert isinstance(site.term, Repeat)
        options = self._options(site, place)
        alike = site.term.tied or not site.active
        ends_by_count = self._alike if alike else self._copies
        found: Ends = {}
        for number, ends in ends_by_count(site, options, place, cursor) if options else ():
            self.spend(len(ends))
            decision = Taken(site.index, number) if len(options) > 1 else None
            for end, trail in ends.items():
                found.setdefault(end, Both(decision, trail))
        return found

    def _copies(
        self, site: Site, options: Sequence[int], place: MatchPosition, cursor: Cursor
    ) -> Iterator[tuple[int, Ends]]:
        """Copies with decisions of their own."""
        ends: Ends = {cursor: None}
        offered = options if isinstance(options, range) else frozenset(options)
        for number in range(options[-1] + 1):
            if number in offered:
                yield number, ends
            if number == options[-1]:
                return
            element = (site.index, number)
            inner = place._replace(prefix=place.prefix + element)
            after = self._then(ends, site.children[0], inner, element)
            if not after or (number in offered and after.keys() == ends.keys()):
                return  # further copies lead nowhere, or nowhere else
            ends = after

    def _alike(
        self, site: Site, options: Sequence[int], place: MatchPosition, cursor: Cursor
    ) -> Iterator[tuple[int, Ends]]:
        """Copies with the same decisions."""
        once = self.match(site.children[0], place, cursor) if options[-1] else {}
        several = (
            [number for number in options if number > 1]
            if isinstance(options, tuple)
            else (range(max(2, options[0]), options[-1] + 1))
        )
        if options[0] == 0:
            yield 0, {cursor: None}
        if 1 in options:
            yield 1, once
        if several and (once or not self.out):
            yield from (self._multiplied if self.out else self._written)(site, once, several, place, cursor)

    def _written(
        self, site: Site, once: Ends, numbers: Sequence[int], place: MatchPosition, cursor: Cursor
    ) -> Iterator[tuple[int, Ends]]:
        """Copies written as a repeat of that number, and those of nothing."""
        item = place.step(cursor.at)
        empty = {end: trail for end, trail in once.items() if end.at == cursor.at}
        written = item.low if isinstance(item, Repeat) else numbers[0]
        for number in sorted({numbers[0], written}):
            if number in numbers:  # the first will do for nothing; any other only as it is written
                found = empty | self._written_repeat(site, number, place, cursor)
                yield number, dict(sorted(found.items(), key=lambda end: decision_list(end[1])))

    def _multiplied(
        self, site: Site, once: Ends, numbers: Sequence[int], place: MatchPosition, cursor: Cursor
    ) -> Iterator[tuple[int, Ends]]:
        """The ends after several equal blocks, of which `once` has the first."""
        reach: dict[Cursor, int] = {}  # steps that go on as the block does
        for end in once:
            block = place.steps[cursor.at : end.at]
            following = place.steps[end.at : end.at + len(block) * (numbers[-1] - 1)]
            reach[end] = _agreement(cycle(block), following) if block else 0
            self.spend(reach[end] // 10)
        for number in numbers:
            found: Ends = {}
            for end, trail in once.items():
                block = place.steps[cursor.at : end.at]
                more = len(block) * (number - 1)
                if reach[end] >= more:
                    found.setdefault(end.moved(more), trail)
                else:
                    self.failed(site, block[reach[end] % len(block)], place, end.at + reach[end])
            yield number, found
            if not found or all(end.at == cursor.at for end in found):
                return  # more copies of what does not fit, or of nothing

    def _written_repeat(self, site: Site, number: int, place: MatchPosition, cursor: Cursor) -> Ends:
        item = place.step(cursor.at)
        if not (isinstance(item, Repeat) and item.low == item.high == number):
            return {}
        inner = self._inside(item.body, place, (cursor.at, 0))
        ends = self.whole(site.children[0], inner, cursor._replace(at=0))
        return {end._replace(at=cursor.at + 1): trail for end, trail in ends.items()}

    def _inside(self, term: Term, place: MatchPosition, step: tuple[int, int]) -> MatchPosition:
        return place._replace(steps=self.steps(term), path=place.path + step)

    def _shared(self, site: Site, place: MatchPosition, cursor: Cursor) -> Ends:
        known = dict(cursor.shared).get(site.index)
        if known is not None:
            block = self.ordered[known]
            if place.steps[cursor.at : cursor.at + len(block)] == block:
                return {cursor.moved(len(block)): None}
            return self.failed(site, " >> ".join(map(str, block)) or "nothing", place, cursor.at)
        found: Ends = {}
        for end, trail in self.match(site.children[0], place._replace(prefix=()), cursor).items():
            steps = place.steps[cursor.at : end.at]
            if steps not in self.blocks:
                self.blocks[steps] = len(self.ordered)
                self.ordered.append(steps)
            block = self.blocks[steps]
            kept = ((site.index, block),) if site.index in self.met_again else ()
            decided = end._replace(shared=(*end.shared, *kept))
            found.setdefault(decided, Inside(None, trail))
        return found

    def _expand(self, site: Site, place: MatchPosition, cursor: Cursor) -> Ends:
        rule = site if site.kind == sites.RULE else site.children[0]
        left = list(place.depths)
        left[site.slot] = (self.layout.rules if site is rule else left)[site.slot] - 1
        if left[site.slot] < 0:
            return {}
        if site is rule:
            return self.match(rule.children[0], place._replace(depths=tuple(left)), cursor)
        step = (site.index, 0)
        inner = place._replace(depths=tuple(left), prefix=place.prefix + step)
        return self._then({cursor: None}, rule.children[0], inner, step)

    def _let(self, site: Site, place: MatchPosition, cursor: Cursor) -> Ends:
        number = value_number(self.layout, site.slot, place.prefix)
        found: Ends = {}
        for end, trail in self.match(site.children[0], place, cursor).items():
            name = f"x{len(end.values) - len(self.layout.inputs)}"
            value = (number, self.layout.lets[site.slot], name)
            found[end._replace(values=(*end.values, value))] = trail
        return found

    def _use(self, site: Site, place: MatchPosition, cursor: Cursor) -> Ends:
        item = place.step(cursor.at)
        assert isinstance(site.term, Use)
        for number, type_, name in cursor.values:
            if item == Name(name) and type_ == site.term.type:
                return {cursor.moved(1): Taken(site.index, number)}
        return self.failed(site, site.term, place, cursor.at)

    def _node(self, site: Site, place: MatchPosition, cursor: Cursor) -> Ends:
        item = place.step(cursor.at)
        parts = None if item is None else arguments(site.term, item)
        if parts is None:
            return self.failed(site, site.term, place, cursor.at)
        if isinstance(site.term, Program):
            values = tuple((i, kind, name) for i, (name, kind) in enumerate(site.term.inputs))
            cursor = cursor._replace(values=values)
        ends: Ends = {cursor: None}
        for i, (child, part) in enumerate(zip(site.children, parts, strict=True)):
            inner = self._inside(part, place, (cursor.at, i))
            after: Ends = {}
            for here, trail in ends.items():
                for end, more in self.whole(child, inner, here._replace(at=0)).items():
                    after.setdefault(end._replace(at=cursor.at), Both(trail, more))
            ends = after
        return {end.moved(1): trail for end, trail in ends.items()}


def _agreement(wanted: Iterable[Term], given: Sequence[Term]) -> int:
    """Number of steps up to the first that differs."""
    pairs = zip(wanted, given, strict=False)
    return next((i for i, (one, other) in enumerate(pairs) if one != other), len(given))
