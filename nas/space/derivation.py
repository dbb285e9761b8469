"""Derivation: how an architecture is reached, one decision at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from nas.errors import DeadEndError, SpaceError, one_line, quoted
from nas.language import Number, Term, Use
from nas.space.architecture import Architecture, Decision, Grammar, Key
from nas.space.counting import Runs, Suffixes
from nas.space.sites import (
    BIND,
    CHOICE,
    EXPAND,
    LET,
    NODE,
    NUMBER,
    PROGRAM,
    REPEAT,
    RULE,
    SHARED,
    USE,
    Site,
    value_number,
)

MAX_STEPS: Final = 20_000  # places on the way to one architecture: holes, copies of a repeat, references

Depths = tuple[int, ...]  # expansions left, by rule
Frame = tuple[Site, tuple[int, ...], Depths, Any]  # site, prefix of its key, depths, rest of the stack

Known = Mapping[tuple[int, tuple[int, ...]], Decision]  # decisions of an architecture by key

_NOTHING: Known = MappingProxyType({})
_HOLES = frozenset((CHOICE, NUMBER, REPEAT, USE))


class _Value(NamedTuple):
    """A program's value in scope: its stable number and its type."""

    number: int
    type: str


class Derivation:
    """A partial architecture with its leftmost hole; frozen, so a search may branch from any.

    Holes with a single admissible option are filled on the way: a user sees real decisions only.

    Attributes:
        site: the leftmost hole's site; None when complete.
        options: its admissible options; empty for a real number.
    """

    __slots__ = (
        "_bound",
        "_depths",
        "_log",
        "_prefix",
        "_rest",
        "_space",
        "_steps",
        "_values",
        "options",
        "site",
    )

    def __init__(
        self,
        space: Grammar,
        frame: Frame | None,
        options: Sequence[int],
        bound: frozenset[int],
        values: tuple[_Value, ...],
        log: Any,
        steps: int = 0,
    ) -> None:
        self._space = space
        self.site: Site | None
        if frame is None:
            self.site, self._prefix, self._depths, self._rest = None, (), (), None
        else:
            self.site, self._prefix, self._depths, self._rest = frame
        self.options = options
        self._bound = bound
        self._values = values
        self._log = log
        self._steps = steps

    @property
    def choice(self) -> Term | None:
        """The term at the hole (Choice, Number, Repeat or Use); None when complete."""
        return None if self.site is None else self.site.term

    @property
    def key(self) -> Key:
        """Stable address of the hole."""
        if self.site is None:
            raise SpaceError(f"{self._space.name}: the derivation is complete; it has no hole")
        return Key(self.site.index, self._prefix)

    @property
    def label(self) -> str:
        """The hole's place in the expression, for people."""
        return "complete" if self.site is None else self.site.label

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What was decided so far, forced decisions included, in order."""
        found, node = [], self._log
        while node is not None:
            found.append(node[0])
            node = node[1]
        return tuple(reversed(found))

    def take(self, option: int | float, ids: tuple[int, ...] = ()) -> Derivation:
        """Fills the leftmost hole.

        Args:
            option: one of `options`, or a real number within the bounds.
            ids: of a repeat's elements, when they are not 0, 1, ..., option - 1.

        Raises:
            SpaceError: the option is not admissible here, or nothing is left to decide.
            DeadEndError: no architecture lies behind it, or one of more than MAX_STEPS steps.
        """
        site = self.site
        if type(option) is not int or option not in self.options:
            option = self._admitted(option)
        assert site is not None, "a complete derivation admits nothing"
        ids = self._checked(ids, option) if ids else ()
        log = (Decision(site.index, self._prefix, option, ids), self._log)
        if _pushes(site) and self._steps + option > MAX_STEPS:
            raise _endless(self._space, site)
        stack = _open(site, option, ids, self._prefix, self._depths, self._rest)
        return settle(self._space, stack, self._bound, self._values, log, steps=self._steps)

    def follow(self, known: Known) -> Derivation:
        """Takes the known decisions up to the first hole that has none, or none that is admissible there."""
        if self.site is None:
            return self
        stack = (self.site, self._prefix, self._depths, self._rest)
        return settle(self._space, stack, self._bound, self._values, self._log, known, self._steps - 1)

    def _admitted(self, option: object) -> int | float:
        """A real number, or an option of another integer type, as Python's own; raises if inadmissible."""
        number = None if self.site is None else self.site.term
        if isinstance(number, Number) and not number.integer:
            real = isinstance(option, Real) and not isinstance(option, bool)
            if real and number.low <= (value := float(option)) <= number.high:  # type: ignore[arg-type]
                return value
        elif isinstance(option, Integral) and not isinstance(option, bool) and int(option) in self.options:
            return int(option)
        raise self._refusal(option)

    def _checked(self, ids: tuple[int, ...], option: int | float) -> tuple[int, ...]:
        """Ids in their shortest form: none where they are 0, 1, ... or where copies have no decisions."""
        site = self.site
        assert site is not None
        whole = all(type(element) is int and element >= 0 for element in ids)
        if site.kind != REPEAT or not whole or len(ids) != option or len(set(ids)) != option:
            place = f"{self._space.name} at {site.label}"
            expected = "ids are expected of a repeat, one for each of its copies"
            raise SpaceError(f"{place}: {expected}; got {quoted(ids)}")
        tied = site.term.tied  # type: ignore[attr-defined]
        plain = tied or not site.active or tuple(ids) == tuple(range(len(ids)))
        return () if plain else tuple(ids)

    def _refusal(self, option: object) -> SpaceError:
        if self.site is None:
            return SpaceError(f"{self._space.name}: nothing is left to decide; got option {quoted(option)}")
        hole = one_line(self.site.term, 80)
        allowed = ", ".join(map(str, self.options[:20])) + ", ..." * (len(self.options) > 20) or hole
        place = f"{self._space.name} at {self.site.label}"
        return SpaceError(f"{place}: option {quoted(option)} is not one of {allowed} ({hole})")

    def architecture(self) -> Architecture:
        """The finished architecture; raises SpaceError while a hole is left."""
        if self.site is not None:
            raise SpaceError(f"{self._space.name} at {self.site.label}: this hole is not filled yet")
        return self._space.architecture(self.decisions)

    def count(self) -> int | None:
        """Number of ways to complete it; None when unbounded."""
        frames, node = [], None if self.site is None else (self.site, self._prefix, self._depths, self._rest)
        while node is not None:
            frames.append((node[0], node[2]))
            node = node[3]
        return self._space.counter.completions(frames, self._bound, tuple(v.type for v in self._values))

    def weights(self, known: Suffixes) -> Runs:
        """Number of ways to complete it after each of the options; for finite spaces.

        `known` keeps what was counted at earlier holes of the same way to an architecture.

        Raises:
            SpaceError: more ways than are counted (`nas.space.counting`).
        """
        site = self.site
        assert site is not None, "a complete derivation has no options"
        if site.kind in (NUMBER, USE):  # the same lies behind each option
            return [(len(self.options), 1)]
        types = tuple(value.type for value in self._values)
        stack = (site, self._prefix, self._depths, self._rest)
        return self._space.counter.weights(site, self.options, stack, self._bound, types, known)


def _open(
    site: Site, option: int | float, ids: tuple[int, ...], prefix: tuple[int, ...], depths: Depths, stack: Any
) -> Any:
    """The stack after a decision: what the chosen option still has to decide comes first."""
    if site.kind == CHOICE:
        child = site.children[option]  # type: ignore[index]
        return (child, prefix, depths, stack) if child.kind else stack
    if site.kind == REPEAT and site.active:
        body = site.children[0]
        if site.term.tied:  # type: ignore[attr-defined]
            return (body, prefix, depths, stack) if option else stack
        for element in reversed(ids or range(int(option))):
            stack = (body, (*prefix, site.index, element), depths, stack)
    return stack


def settle(
    space: Grammar,
    stack: Any,
    bound: frozenset[int],
    values: tuple[_Value, ...],
    log: Any,
    known: Known = _NOTHING,
    steps: int = 0,
) -> Derivation:
    """Advances to the next hole with a real choice that is not known; fills the others on the way.

    Raises:
        DeadEndError: more than MAX_STEPS steps, of which `steps` were taken before.
    """
    while stack is not None:
        frame = stack
        steps += 1
        if steps > MAX_STEPS:
            raise _endless(space, frame[0])
        site, prefix, depths, stack = frame
        kind = site.kind
        if kind in _HOLES:
            options = _options(space, site, depths, values)
            decision = None if len(options) > 1 else _forced(site, prefix, options)
            if decision is None and known:
                decision = _recalled(site, prefix, options, known)
            if decision is None:
                return Derivation(space, frame, options, bound, values, log, steps)
            if kind != REPEAT or len(options) > 1:  # a fixed number of copies is no decision
                log = (decision, log)
            if kind == REPEAT and _pushes(site) and steps + decision.option > MAX_STEPS:
                raise _endless(space, site)
            stack = _open(site, decision.option, decision.ids, prefix, depths, stack)
        elif kind in (NODE, LET):
            for child in site.active:
                stack = (child, prefix, depths, stack)
        elif kind == SHARED:
            if site.index not in bound:
                bound = bound | {site.index}
                stack = (site.children[0], (), depths, stack)
        elif kind in (RULE, EXPAND):
            stack = _expand(space, site, prefix, depths, stack)
        elif kind == BIND:
            number = value_number(space.layout, site.slot, prefix)
            values = (*values, _Value(number, space.layout.lets[site.slot]))
        elif kind == PROGRAM:
            values = tuple(_Value(i, kind_) for i, (_, kind_) in enumerate(space.layout.inputs))
            for child in site.active:
                stack = (child, prefix, depths, stack)
    return Derivation(space, None, (), bound, values, log, steps)


def _pushes(site: Site) -> bool:
    """Whether every copy is a step of its own."""
    return site.kind == REPEAT and bool(site.active) and not site.term.tied  # type: ignore[attr-defined]


def _endless(space: Grammar, site: Site) -> DeadEndError:
    found = f"{space.name} at {site.label}: an architecture of over {MAX_STEPS} steps"
    return DeadEndError(
        f"{found}; give repeat fewer copies, tie them (tied=True), or lower the depth of rules"
    )


def _options(space: Grammar, site: Site, depths: Depths, values: tuple[_Value, ...]) -> Sequence[int]:
    if site.kind == USE:
        wanted: Use = site.term  # type: ignore[assignment]
        kind = wanted.type
        return tuple([value.number for value in values if value.type == kind])
    if site.recursive:
        options = space.counter.admissible(site, depths)
        if not options:
            raise DeadEndError(f"{space.name} at {site.label}: no option ends within the rule's depth")
        return options
    return site.options


def _forced(site: Site, prefix: tuple[int, ...], options: Sequence[int]) -> Decision | None:
    if len(options) == 1:
        return Decision(site.index, prefix, options[0])
    if site.kind == NUMBER and not options:
        number: Number = site.term  # type: ignore[assignment]
        return Decision(site.index, prefix, number.low) if number.low == number.high else None
    return None


def _recalled(site: Site, prefix: tuple[int, ...], options: Sequence[int], known: Known) -> Decision | None:
    decision = known.get((site.index, prefix))
    if decision is None or decision.option in options:
        return decision
    option = fitting(site, options, decision.option)
    if option is None or option == decision.option:
        return None if option is None else decision
    return Decision(site.index, prefix, option)


def fitting(site: Site, options: Sequence[int], option: int | float) -> int | float | None:
    """The option if it is admissible here; an argument whose value is gone reads the latest one."""
    if options:
        if option in options:
            return option
        return options[-1] if site.kind == USE else None
    number: Number = site.term  # type: ignore[assignment]
    return option if number.low <= option <= number.high else None


def _expand(space: Grammar, site: Site, prefix: tuple[int, ...], depths: Depths, stack: Any) -> Any:
    """Enters a rule (its full depth less this expansion) or expands it once more."""
    slot = site.slot
    if site.kind == RULE:
        left, body = space.layout.rules[slot] - 1, site.children[0]
    else:
        left, body = depths[slot] - 1, site.children[0].children[0]
        prefix = (*prefix, site.index, 0)
    return (body, prefix, (*depths[:slot], left, *depths[slot + 1 :]), stack)


def retrace(derivation: Derivation, decisions: Iterable[Decision]) -> Architecture:
    """The architecture to which exactly these decisions lead, in any order.

    Args:
        derivation: from which they begin, the start of their space.
        decisions: each admissible, one for each hole that is met.

    Raises:
        SpaceError: naming the first decision that does not fit.
    """
    listed = list(decisions)
    name = derivation._space.name
    known = {(decision.hole, decision.prefix): decision for decision in listed}
    if len(known) < len(listed):
        raise SpaceError(f"{name}: one decision for each hole is expected; got two for the same")
    while derivation.site is not None:
        decision = known.get(derivation.key)
        if decision is None:
            raise SpaceError(f"{name} at {derivation.label}: no decision for this hole")
        derivation = derivation.take(decision.option, decision.ids)
    taken = {(decision.hole, decision.prefix): decision for decision in derivation.decisions}
    unused = next((decision for key, decision in known.items() if taken.get(key) != decision), None)
    if unused is not None:
        raise SpaceError(f"{name}: the decision {quoted(unused.to_json())} belongs to no hole of the space")
    return derivation.architecture()
