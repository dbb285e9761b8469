"""Loops over the decision sequence, written once for all spaces: sample, enumerate, replay, mutate, cross.

All of them walk a `Derivation` and differ only in where each decision comes from. Randomness is
a `np.random.Generator`; nothing else is drawn from.

`mutate` draws from the one-decision changes that `neighbours` lists. A move is the derivation right after the
changed decision; the caller follows the old decisions from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nas.errors import DeadEndError, SpaceError, one_line, quoted
from nas.language import Number
from nas.space.architecture import Architecture, Decision, fixed
from nas.space.counting import Suffixes
from nas.space.derivation import Derivation, fitting, retrace
from nas.space.sites import CHOICE, FIXED, NUMBER, REPEAT, USE, Site

if TYPE_CHECKING:
    import numpy as np

    from nas.space.space import SearchSpace


STEP = 0.2  # standard deviation of a number's mutation, as a share of its range
TRIES = 1000  # steps drawn until one leaves the old value


class UniformDraws:
    """Uniform numbers in [0, 1) from a generator, fetched in blocks because single calls are slow."""

    __slots__ = ("_block", "_rng")

    def __init__(self, rng: np.random.Generator) -> None:
        if not isinstance(rng, np.random.Generator):
            raise SpaceError(
                f"rng: expected a numpy random generator, got {quoted(rng)}; give np.random.default_rng(SEED)"
            )
        self._rng = rng
        self._block: list[float] = []

    def __call__(self) -> float:
        if not self._block:
            self._block = self._rng.random(16).tolist()
        return self._block.pop()

    def index(self, length: int) -> int:
        """Uniform in 0..length-1."""
        return int(self() * length)


def number_at(number: Number, share: float) -> int | float:
    """The number at a share in [0, 1] of the range, along its scale; reals to six significant digits."""
    low, high = number.low, number.high + (1 if number.integer else 0)
    if number.log:
        value = math.exp((1 - share) * math.log(low) + share * math.log(high))
    else:
        value = low + share * (high - low)
    if number.integer:
        return min(int(number.high), max(int(number.low), math.floor(value)))
    return min(number.high, max(number.low, float(f"{value:.6g}")))


def share_of(number: Number, value: float) -> float:
    """Inverse of `number_at`: where a value lies in the range, in [0, 1]; 0 for an empty range."""
    low, high = number.low, number.high + (1 if number.integer else 0)
    value = value + 0.5 if number.integer else value
    if high == low:
        return 0.0
    if number.log:
        return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
    return (value - low) / (high - low)


def stepped(number: Number, old: float, draw: UniformDraws) -> int | float:
    """A normal step along the number's scale, reflected at the bounds; never the old value."""
    if number.integer and number.high - number.low == 1:
        return int(number.low if old == number.high else number.high)
    for _ in range(TRIES):
        normal = math.sqrt(-2 * math.log(1 - draw())) * math.cos(2 * math.pi * draw())  # Box and Muller
        share = abs(share_of(number, old) + STEP * normal) % 2
        value = number_at(number, 2 - share if share > 1 else share)
        if value != old:
            return value
    return number.low if old != number.low else number.high  # bounds closer than six digits


Known = dict[tuple[int, tuple[int, ...]], Decision]  # decisions by key


class Move(NamedTuple):
    """A mutation at one hole; drawing from it gives the derivation after the changed decision.

    Attributes:
        at: the derivation that stands at the hole.
        old: the decision there.
        step: 0 for another option, 1 for more copies, -1 for fewer.
        surely: whether every outcome differs from the old architecture, also as an expression.
    """

    at: Derivation
    old: Decision
    step: int
    surely: bool

    def __call__(self, draw: UniformDraws) -> Derivation:
        if self.step:
            return _resized(self.at, self.old, self.step, draw)
        return _modified(self.at, self.old, draw)


def mutations(trace: Sequence[Derivation], known: Known) -> list[list[Move]]:
    """Mutations that are possible along the trace, by kind: modify, insert, delete; empty kinds left out."""
    modify: list[Move] = []
    insert: list[Move] = []
    delete: list[Move] = []
    for derivation in trace:
        site = derivation.site
        assert site is not None
        decision = known[derivation.key]
        if site.kind != REPEAT:
            modify.append(Move(derivation, decision, 0, _distinct(site)))
            continue
        if decision.option < derivation.options[-1]:
            insert.append(Move(derivation, decision, 1, False))
        if decision.option > derivation.options[0]:
            delete.append(Move(derivation, decision, -1, False))
    return [moves for moves in (modify, insert, delete) if moves]


def _distinct(site: Site) -> bool:
    """Whether another option leaves all other decisions as they are and gives another expression.

    So it is for numbers and arguments, and for a choice of different parts without holes: one run of steps
    replaced by another, once or everywhere, never gives the same sequence.
    """
    if site.distinct is None:
        parts = site.children
        plain = site.kind == CHOICE and all(part.kind == FIXED for part in parts)
        different = plain and len({fixed(part) for part in parts}) == len(parts)
        site.distinct = different or site.kind in (NUMBER, USE)
    return site.distinct


def _modified(derivation: Derivation, old: Decision, draw: UniformDraws) -> Derivation:
    if derivation.site is not None and derivation.site.kind == NUMBER:
        return derivation.take(stepped(derivation.choice, old.option, draw))  # type: ignore[arg-type]
    options = [option for option in derivation.options if option != old.option]
    return derivation.take(options[draw.index(len(options))])


def _resized(derivation: Derivation, old: Decision, step: int, draw: UniformDraws) -> Derivation:
    """Adjacent elements inserted or deleted, as many as the next admissible count needs, anywhere."""
    count = _next_count(derivation, old, step)
    places = min(count, int(old.option)) + 1
    return derivation.take(count, _ids(old, count, draw.index(places)))


def _next_count(derivation: Derivation, old: Decision, step: int) -> int:
    counts = derivation.options
    return counts[counts.index(int(old.option)) + step]


def _ids(old: Decision, count: int, at: int) -> tuple[int, ...]:
    """Names of the elements after new ones came in front of element `at`, or some from it on went."""
    ids = old.ids or tuple(range(int(old.option)))
    extra = count - len(ids)
    fresh = max(ids, default=-1) + 1
    return (*ids[:at], *range(fresh, fresh + extra), *ids[at + max(0, -extra) :])


def alternatives(
    derivation: Derivation, known: Known, draw: UniformDraws
) -> Iterator[Callable[[], Derivation]]:
    """All other decisions at the hole, to be taken one by one; of a real number two steps."""
    site = derivation.site
    assert site is not None
    old = known[derivation.key]
    if site.kind == REPEAT:
        for step in (-1, 1):
            if derivation.options[0 if step < 0 else -1] == old.option:
                continue
            count = _next_count(derivation, old, step)
            alike = not site.active or site.term.tied  # type: ignore[attr-defined]
            for at in range(1 if alike else min(count, int(old.option)) + 1):
                yield partial(derivation.take, count, _ids(old, count, at))
    elif derivation.options:
        yield from (partial(derivation.take, option) for option in derivation.options if option != old.option)
    else:
        for _ in range(2):
            yield partial(derivation.take, stepped(derivation.choice, old.option, draw))  # type: ignore[arg-type]


ATTEMPTS = 1000  # redraws against constraints before giving up
DEAD_ENDS = 15  # of them that may take more steps than an architecture may have; each takes its time

Fill = Callable[[Derivation], Derivation]  # takes one decision at the leftmost hole


def sample(space: SearchSpace, rng: np.random.Generator, *, by: str = "options") -> Architecture:
    """A random architecture that meets the constraints.

    Args:
        space: to draw from.
        rng: source of all randomness.
        by: "options" draws every decision uniformly over its admissible options, as most papers do,
            and numbers uniformly along their scale;
            "derivations" weights options by how many architectures lie behind them, so that every
            derivation of a finite space is equally likely.

    Raises:
        DeadEndError: no sample met the constraints in 1000 draws, or 15 of them took too many steps; the
            message gives the last reason.
        SpaceError: "derivations" on an unbounded space.
    """
    if by not in ("options", "derivations"):
        raise SpaceError(f'sample: by: expected "options" or "derivations", got {quoted(by)}')
    if by == "derivations" and space.size() is None:
        raise SpaceError(f'{space.name}: unbounded, so "derivations" cannot be uniform; use "options"')
    draw = UniformDraws(rng)
    if by == "derivations":
        return _until_valid(space, lambda: _complete(space.start(), _weighted(draw)))
    fill = _uniform(draw)
    return _until_valid(space, lambda: _complete(space.start(), fill))


def enumerate_architectures(space: SearchSpace) -> Iterator[Architecture]:
    """Every architecture that meets the constraints, one per derivation, in depth-first order.

    Raises:
        SpaceError: the space is unbounded.
    """
    if (
        any(
            site.kind == NUMBER and not site.options and site.term.low < site.term.high  # type: ignore[attr-defined]
            for site in space.layout.sites
        )
        and space.size() is None
    ):
        raise SpaceError(f"{space.name}: real-valued holes cannot be enumerated; give them as oneof(...)")
    ahead = [iter((space.start(),))]
    while ahead:
        derivation = next(ahead[-1], None)
        if derivation is None:
            ahead.pop()
        elif derivation.site is not None:
            ahead.append(map(derivation.take, derivation.options))
        else:
            architecture = derivation.architecture()
            if space.violation(architecture) is None:
                yield architecture


def replay(space: SearchSpace, decisions: Iterable[Decision], *, exact: bool = False) -> Architecture:
    """The architecture that the decisions lead to; holes they do not cover take their first option.

    Args:
        space: the decisions' space.
        decisions: in any order.
        exact: every hole must be covered by an admissible decision, and every decision used.

    Raises:
        SpaceError: with `exact`, naming the first decision that does not fit.
    """
    if exact:
        return retrace(space.start(), decisions)
    derivation, known = space.start(), _by_key(decisions)
    while derivation.site is not None:
        derivation = _follow(derivation, known.get(derivation.key)) or _first(derivation)
    return derivation.architecture()


def mutate(space: SearchSpace, parent: Architecture, rng: np.random.Generator) -> Architecture:
    """A child that differs from the parent in one decision, and in what follows from it.

    One of the kinds that the parent admits is drawn, each equally likely (Chen et al. 2023 draw
    insertion, deletion and modification 1:1:1): modify a choice, a number or an argument; insert an
    element into a repeat; delete one. Within a kind the place is uniform. Decisions elsewhere keep their
    values; an argument whose statement is gone reads the latest value of its type; new holes are
    drawn uniformly. A child with the parent's text or against a constraint is drawn again.

    Raises:
        SpaceError: the space has a single architecture.
        DeadEndError: no child in 1000 draws.
    """
    return mutator(space, parent)(rng)


def mutator(space: SearchSpace, parent: Architecture) -> Mutator:
    """`mutate` for many children of one parent: what they have in common is worked out once.

    Raises:
        SpaceError: the space has a single architecture.
    """
    known = _known(space, parent)
    trace = _trace(space, parent, known)
    if not trace:
        raise SpaceError(
            f"{space.name}: nothing to mutate; no hole of {one_line(parent.text)} has an alternative"
        )
    return Mutator(space, parent, known, mutations(trace, known))


class Mutator:
    """Draws mutations of one parent; see `mutate`."""

    def __init__(
        self, space: SearchSpace, parent: Architecture, known: Known, kinds: Sequence[Sequence[Move]]
    ) -> None:
        self._space, self._parent, self._known, self._kinds = space, parent, known, kinds

    def __call__(self, rng: np.random.Generator) -> Architecture:
        """A child; raises DeadEndError if none was found in 1000 draws."""
        draw = UniformDraws(rng)
        fill = _uniform(draw)
        kinds, known = self._kinds, self._known

        def child() -> Architecture | None:
            moves = kinds[draw.index(len(kinds))]
            move = moves[draw.index(len(moves))]
            found = _complete(move(draw), fill, known)
            return found if move.surely or found != self._parent else None

        return _until_valid(self._space, child)


def crossover(
    space: SearchSpace, first: Architecture, second: Architecture, rng: np.random.Generator
) -> Architecture:
    """Uniform crossover: each decision from either parent with equal chance, where both have it.

    Raises:
        DeadEndError: no child met the constraints in 1000 draws.
    """
    draw = UniformDraws(rng)
    ours, theirs = _known(space, first), _known(space, second)
    fill = _uniform(draw)

    def inherit(derivation: Derivation) -> Derivation:
        assert derivation.site is not None
        key = derivation.key
        one, other = (ours, theirs) if draw() < 0.5 else (theirs, ours)
        return _follow(derivation, one.get(key)) or _follow(derivation, other.get(key)) or fill(derivation)

    return _until_valid(space, lambda: _complete(space.start(), inherit))


def neighbours(
    space: SearchSpace, architecture: Architecture, rng: np.random.Generator
) -> Iterator[Architecture]:
    """All architectures one decision away, in derivation order, each once; a real number gives two steps.

    New holes behind a changed decision are drawn from `rng`; those that break a constraint, take too many
    steps or have the text of the architecture itself are left out. Where nothing is behind any decision
    (NAS-Bench-201, say) the result is exactly the Hamming neighbourhood.

    Raises:
        SpaceError: the architecture is of another space.
        DeadEndError: 15 neighbours took too many steps.
    """
    draw = UniformDraws(rng)
    known = _known(space, architecture)
    fill = _uniform(draw)
    seen, ends = {architecture}, 0
    for derivation in _trace(space, architecture, known):
        for changed in alternatives(derivation, known, draw):
            try:
                found = _complete(changed(), fill, known)
            except DeadEndError:  # a rule that grew too long
                ends += 1
                if ends == DEAD_ENDS:
                    raise
                continue
            if found not in seen and space.violation(found) is None:
                yield found
            seen.add(found)


def changed_decisions(before: Architecture, after: Architecture) -> int:
    """Number of keys whose decision differs, or that only one of the two has."""
    ours = {(d.hole, d.prefix): (d.option, d.ids) for d in before.decisions}
    theirs = {(d.hole, d.prefix): (d.option, d.ids) for d in after.decisions}
    return sum(ours.get(key) != theirs.get(key) for key in ours.keys() | theirs.keys())


def _known(space: SearchSpace, architecture: Architecture) -> Known:
    """Its decisions by key; raises SpaceError for what is no architecture, such as its text."""
    if not isinstance(architecture, Architecture):
        raise SpaceError(
            f"{space.name}: expected an architecture, got {quoted(architecture)}; space.parse(text) and "
            "sample(space, rng) give such"
        )
    return _by_key(architecture.decisions)


def _by_key(decisions: Iterable[Decision]) -> Known:
    return {(decision[0], decision[1]): decision for decision in decisions}


def _complete(derivation: Derivation, fill: Fill, known: Known | None = None) -> Architecture:
    """Takes the known decisions where they are admissible, and `fill`s the other holes."""
    while derivation.site is not None:
        followed = derivation if known is None else _followed(derivation, known)
        derivation = followed if followed.site is None else fill(followed)
    return derivation.architecture()


def _followed(derivation: Derivation, known: Known) -> Derivation:
    if type(derivation) is Derivation:
        return derivation.follow(known)
    while derivation.site is not None:  # a view that has decisions of its own
        if (further := _follow(derivation, known.get(derivation.key))) is None:
            break
        derivation = further
    return derivation


def _until_valid(space: SearchSpace, make: Callable[[], Architecture | None]) -> Architecture:
    reason, ends, draws = None, 0, 0
    while draws < ATTEMPTS and ends < DEAD_ENDS:
        draws += 1
        try:
            architecture = make()
        except DeadEndError as error:  # of a rule that grew too long this time
            reason, ends = str(error), ends + 1
            continue
        if architecture is None:
            continue
        reason = space.violation(architecture) if space.constraints else None
        if reason is None:
            return architecture
    last = reason or "every child had the parent's text"
    raise DeadEndError(f"{space.name}: nothing admissible in {draws} draws; the last reason: {last}")


def _uniform(draw: UniformDraws) -> Fill:
    def fill(derivation: Derivation) -> Derivation:
        number = derivation.choice
        if isinstance(number, Number):
            return derivation.take(number_at(number, draw()))
        options = derivation.options
        return derivation.take(options[int(draw() * len(options))])

    return fill


def _weighted(draw: UniformDraws) -> Fill:
    """Fills the holes of one architecture, so that all derivations are equally likely."""
    known: Suffixes = {}

    def fill(derivation: Derivation) -> Derivation:
        assert derivation.site is not None
        if derivation.site.kind in (NUMBER, USE):  # the same lies behind each option
            return derivation.take(derivation.options[draw.index(len(derivation.options))])
        runs, first = derivation.weights(known), 0
        remaining = int(draw() * 2**53) * sum(length * weight for length, weight in runs) // 2**53
        for length, weight in runs:
            if remaining < length * weight:
                return derivation.take(derivation.options[first + remaining // weight])
            remaining -= length * weight
            first += length
        raise AssertionError("a weight below the total is always found")

    return fill


def _first(derivation: Derivation) -> Derivation:
    number = derivation.choice
    option = derivation.options[0] if derivation.options else number.low  # type: ignore[union-attr]
    return derivation.take(option)


def _follow(derivation: Derivation, decision: Decision | None) -> Derivation | None:
    """The known decision if it is admissible here; an argument that is gone reads the latest value."""
    site = derivation.site
    assert site is not None
    option = None if decision is None else fitting(site, derivation.options, decision.option)
    if decision is None or option is None:
        return None
    return derivation.take(option, decision.ids if site.kind == REPEAT else ())


def _trace(space: SearchSpace, architecture: Architecture, known: Known) -> list[Derivation]:
    """The derivations along the way to an architecture, one for each hole with a real choice."""
    trace = []
    derivation = space.start()
    while derivation.site is not None:
        trace.append(derivation)
        decision = known.get(derivation.key)
        if decision is None:
            got = one_line(architecture.text, 80)
            raise SpaceError(f"{space.name} at {derivation.label}: no decision for this hole; got {got}")
        derivation = derivation.take(decision.option, decision.ids)
    return trace
