"""Exact counts of derivations, and which options a rule's depth bound still admits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nas import sites
from nas.sites import CHOICE, EXPAND, FIXED, REPEAT, RULE, Layout, Site
from nas.term import Number, Repeat, Use

Depths = tuple[int, ...]
State = tuple[frozenset[int], tuple[int, ...]]  # shared names already decided; values in scope, by type
Counts = dict[State, int]


class _UnboundedError(Exception):
    """A real-valued hole was met."""


class Counter:
    """Counting over a layout; results are kept, since sub-expressions recur."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.types = tuple(dict.fromkeys([kind for _, kind in layout.inputs] + layout.lets))
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
        state = (bound, tuple(types.count(kind) for kind in self.types))
        try:
            return sum(self._sequence(frames, {state: 1}).values())
        except _UnboundedError:
            return None

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
                    after[new] = after.get(new, 0) + number * ways
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
                return _sum(self._after(site.children[i], depths, state) for i in self._options(site, depths))
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
                return self._after(site.children[0], depths, (bound | {site.index}, scope))
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
        assert isinstance(site.term, Repeat)
        options = set(self._options(site, depths))
        if not options:
            return {}
        found: list[Counts] = []
        counts: Counts = {state: 1}
        for n in range(max(options) + 1):
            if n in options:
                found.append(counts)
            if n < max(options) and (n == 0 or not site.term.tied):
                counts = self._sequence([(site.children[0], depths)], counts)
        return _sum(found)


def _sum(parts: Iterable[Counts]) -> Counts:
    total: Counts = {}
    for part in parts:
        for state, number in part.items():
            total[state] = total.get(state, 0) + number
    return total
