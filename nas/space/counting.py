"""Exact counts of derivations, and which options a rule's depth bound still admits.

Counts are computed from counts, never by going through derivations. What would still take too long is
refused: numbers of more than MAX_BITS bits, more than MAX_WORK steps, rules with more than MAX_STATES states.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from nas.errors import SpaceError
from nas.language import Number, Repeat, Use
from nas.space import sites
from nas.space.sites import CHOICE, EXPAND, FIXED, REPEAT, RULE, SHARED, Layout, Site

MAX_BITS: Final = 2**17  # of a count, about 39,000 digits
MAX_WORK: Final = 200_000  # steps of a count; a step on a long number counts as one for each 2,000 bits
MAX_STATES: Final = 100_000  # places and depths from which the ends of rules are looked for

Depths = tuple[int, ...]
State = tuple[frozenset[int], tuple[int, ...]]  # shared names already decided; values in scope, by type
Counts = dict[State, int]
Runs = list[tuple[int, int]]  # how many options in a row, and the ways after each of them
Stack = tuple[Site, tuple[int, ...], Depths, Any]  # a derivation's: site, prefix, depths, rest or None
Suffixes = dict[tuple[int, State], tuple[int, Stack]]  # by id of a stack, which is kept, so that ids stay


class _UnboundedError(Exception):
    """A real-valued hole was met."""


class Counter:
    """Counting over a layout; results are kept, since sub-expressions recur."""

    def __init__(self, layout: Layout, name: str) -> None:
        self.layout = layout
        self.name = name
        self._work = 0
        self.types = tuple(dict.fromkeys([kind for _, kind in layout.inputs] + layout.lets))
        self.met_again = _met_again(layout)  # shared sites
        self._finish: dict[tuple[int, Depths], bool] = {}
        self._admissible: dict[tuple[int, Depths], tuple[int, ...]] = {}
        self._counts: dict[tuple[int, Depths, State], Counts] = {}

    def size(self) -> int | None:
        """Number of derivations of the whole expression; None when unbounded."""
        return self.completions([(self.layout.root, (0,) * len(self.layout.rules))], frozenset(), ())

    def completions(
        self, frames: Iterable[tuple[Site, Depths]], bound: frozenset[int], types: Sequence[str]
    ) -> int | None:
        """Ways to decide what is left on a derivation's stack, top first; None when unbounded."""
        self._work = 0
        state = (bound & self.met_again, tuple(types.count(kind) for kind in self.types))
        try:
            return sum(self._sequence(frames, {state: 1}).values())
        except _UnboundedError:
            return None
        except RecursionError:
            raise SpaceError(
                f"{self.name}: nested too deep to be counted; lower the depth of rules"
            ) from None

    def _spend(self, number: int) -> int:
        """Counts a step that gave the number; raises where numbers or steps become too many."""
        bits = number.bit_length()
        self._work += 1 + bits // 2000
        if bits > MAX_BITS:
            raise SpaceError(f"{self.name}: more than 2**{MAX_BITS} derivations, which are not counted")
        if self._work > MAX_WORK:
            raise SpaceError(
                f"{self.name}: derivations that take over {MAX_WORK} steps to count are not counted"
            )
        return number

    def weights(
        self,
        site: Site,
        options: Sequence[int],
        stack: Stack,
        bound: frozenset[int],
        types: Sequence[str],
        known: Suffixes,
    ) -> Runs:
        """Ways to decide all that is left after each option of a CHOICE or REPEAT; none is unbounded.

        Args:
            site: the hole.
            options: of the hole.
            stack: from the hole's own frame on.
            bound: shared names decided so far.
            types: of the values in scope.
            known: what was found for the rest of this stack before; grows. The steps count together.
        """
        if not known:
            self._work = 0
        state = (bound & self.met_again, tuple(types.count(kind) for kind in self.types))
        _, _, depths, rest = stack

        def ways(counts: Counts) -> int:
            return sum(self._spend(number * self._left(rest, now, known)) for now, number in counts.items())

        if site.kind == CHOICE:
            return [(1, ways(self._after(site.children[i], depths, state))) for i in options]
        body, counts = site.children[0], {state: 1}
        if site.term.tied or body.kind == FIXED:  # type: ignore[attr-defined]
            once = ways(self._after(body, depths, state)) if options[-1] else 0
            none = [(1, ways(counts))] if options[0] == 0 else []
            return [*none, (len(options) - len(none), once)]
        offered, found = options if isinstance(options, range) else frozenset(options), []
        for n in range(options[-1] + 1):
            if n in offered:
                found.append((1, ways(counts)))
            if n < options[-1]:
                counts = self._sequence([(body, depths)], counts)
        return found

    def _left(self, stack: Stack | None, state: State, known: Suffixes) -> int:
        """Ways to decide the rest of a stack; each of its suffixes is counted once."""
        path: list[tuple[Stack, set[State]]] = []
        states = {state}
        while stack is not None and not all((id(stack), now) in known for now in states):
            path.append((stack, states))
            states = {new for now in states for new in self._after(stack[0], stack[2], now)}
            stack = stack[3]
        for node, states in reversed(path):
            below = node[3]
            for now in states:
                after = self._after(node[0], node[2], now).items()
                found = sum(n * (1 if below is None else known[id(below), new][0]) for new, n in after)
                known[id(node), now] = (self._spend(found), node)
            stack = node
        return 1 if stack is None else known[id(stack), state][0]

    def admissible(self, site: Site, depths: Depths) -> tuple[int, ...]:
        """Options of a CHOICE or REPEAT from which every rule can still end."""
        key = (site.index, depths)
        if key not in self._admissible:
            if site.kind == REPEAT:
                ends = self.can_finish(site.children[0], depths)
                found = tuple(n for n in site.options if n == 0 or ends)
            else:
                found = tuple(i for i in site.options if self.can_finish(site.children[i], depths))
            self._admissible[key] = found
        return self._admissible[key]

    def can_finish(self, site: Site, depths: Depths) -> bool:
        """Whether the site can be decided completely with that many expansions left, by rule."""
        if not site.recursive and site.kind != RULE:
            return True
        key = (site.index, depths)
        if key not in self._finish:
            if len(self._finish) >= MAX_STATES:
                remedy = "lower the depth of rules inside rules"
                raise SpaceError(
                    f"{self.name}: rules with over {MAX_STATES} states at {site.label}; {remedy}"
                )
            self._finish[key] = self._can_finish(site, depths)
        return self._finish[key]

    def _can_finish(self, site: Site, depths: Depths) -> bool:
        if site.kind in (CHOICE, REPEAT):
            return bool(self.admissible(site, depths))
        if site.kind in (RULE, EXPAND):
            entered = self._enter(site, depths)
            return entered is not None and self.can_finish(*entered)
        return all(self.can_finish(child, depths) for child in site.children)

    def _enter(self, site: Site, depths: Depths) -> tuple[Site, Depths] | None:
        """Body and depths after one expansion; None when none is left."""
        left = self.layout.rules[site.slot] if site.kind == RULE else depths[site.slot]
        if left < 1:
            return None
        body = site.children[0] if site.kind == RULE else site.children[0].children[0]
        return body, (*depths[: site.slot], left - 1, *depths[site.slot + 1 :])

    def _sequence(self, frames: Iterable[tuple[Site, Depths]], counts: Counts) -> Counts:
        for site, depths in frames:
            after: Counts = {}
            for state, number in counts.items():
                for new, ways in self._after(site, depths, state).items():
                    after[new] = self._spend(after.get(new, 0) + number * ways)
            counts = after
        return counts

    def _after(self, site: Site, depths: Depths, state: State) -> Counts:
        if site.kind == FIXED:
            return {state: 1}
        key = (site.index, depths, state)
        if key not in self._counts:
            self._counts[key] = self._count(site, depths, state)
        return self._counts[key]

    def _count(self, site: Site, depths: Depths, state: State) -> Counts:
        bound, scope = state
        term = site.term
        match site.kind:
            case sites.CHOICE:
                options = self._options(site, depths)
                return self._sum(self._after(site.children[i], depths, state) for i in options)
            case sites.NUMBER:
                assert isinstance(term, Number)
                if not term.integer and term.low < term.high:
                    raise _UnboundedError
                return {state: max(1, len(site.options))}
            case sites.REPEAT:
                return self._copies(site, depths, state)
            case sites.SHARED:
                if site.index in bound:
                    return {state: 1}
                if site.index in self.met_again:  # of a name that occurs once nothing depends on it later
                    state = (bound | {site.index}, scope)
                return self._after(site.children[0], depths, state)
            case sites.RULE | sites.EXPAND:
                entered = self._enter(site, depths)
                return {} if entered is None else self._after(*entered, state)
            case sites.BIND:
                grown = list(scope)
                grown[self.types.index(self.layout.lets[site.slot])] += 1
                return {(bound, tuple(grown)): 1}
            case sites.USE:
                assert isinstance(term, Use)
                return {state: scope[self.types.index(term.type)]}
            case sites.PROGRAM:
                inputs = [kind for _, kind in self.layout.inputs]
                state = (bound, tuple(inputs.count(kind) for kind in self.types))
        return self._sequence(((child, depths) for child in reversed(site.active)), {state: 1})

    def _options(self, site: Site, depths: Depths) -> Sequence[int]:
        return self.admissible(site, depths) if site.recursive else site.options

    def _copies(self, site: Site, depths: Depths, state: State) -> Counts:
        """Of each number of copies in turn, until every further copy leaves the state as it is.

        From there on, each copy multiplies the count, and powers and their sums have closed forms.
        """
        assert isinstance(site.term, Repeat)
        options, body = self._options(site, depths), site.children[0]
        if not options:
            return {}
        if site.term.tied or body.kind == FIXED:
            return self._tied(options, self._sequence([(body, depths)], {state: 1}), state)
        last, offered = options[-1], options if isinstance(options, range) else frozenset(options)
        found: list[Counts] = []
        counts: Counts = {state: 1}
        for n in range(last + 1):
            each = {now: self._after(body, depths, now) for now in counts} if n < last else {}
            if each and all(after.keys() == {now} for now, after in each.items()):
                more = _above(options, n)
                found += [
                    {now: self._spend(counts[now] * self._powers(each[now][now], more))} for now in each
                ]
                break
            if n in offered:
                found.append(counts)
            if each:
                counts = self._sequence([(body, depths)], counts)
        return self._sum(found)

    def _tied(self, options: Sequence[int], once: Counts, state: State) -> Counts:
        none = {state: 1} if options[0] == 0 else {}
        copies = len(options) - len(none)
        return self._sum([none, {new: self._spend(ways * copies) for new, ways in once.items() if copies}])

    def _powers(self, base: int, exponents: Sequence[int]) -> int:
        """Sum of the base's powers."""
        if base == 1:
            return len(exponents)
        if (base.bit_length() - 1) * exponents[-1] > MAX_BITS:
            self._spend(1 << (MAX_BITS + 1))
        if isinstance(exponents, range):
            low, high = exponents[0], exponents[-1]
            return self._spend((base ** (high + 1) - base**low) // (base - 1))
        return sum(self._spend(base**exponent) for exponent in exponents)

    def _sum(self, parts: Iterable[Counts]) -> Counts:
        total: Counts = {}
        for part in parts:
            for state, number in part.items():
                total[state] = self._spend(total.get(state, 0) + number)
        return total


def _above(options: Sequence[int], number: int) -> Sequence[int]:
    """By how much the options of at least the number exceed it; the last one does."""
    if isinstance(options, range):
        return range(max(options[0] - number, 0), options[-1] - number + 1)
    return [option - number for option in options if option >= number]


def _met_again(layout: Layout) -> frozenset[int]:
    """Shared sites that may be met after they were decided; only of these it matters whether they were."""
    seen: set[int] = set()
    found: set[int] = set()
    ahead = [(layout.root, False)]
    while ahead:
        site, several = ahead.pop()
        if site.kind == SHARED:
            if several or site.index in seen:
                found.add(site.index)
            if site.index in seen:
                continue
            seen.add(site.index)
        elif site.kind in (REPEAT, RULE):
            several = True
        if site.kind != EXPAND:
            ahead += [(child, several) for child in site.children]
    return frozenset(found)
