"""Any searcher on binary decisions: bisection of ordered choices (Negrinho and Gordon 2017).

DeepArchitect (https://arxiv.org/abs/1704.08792) restructures the tree of a search space so that a choice
among k ordered values becomes a path of halves: 0 leads to the values [left, mid), 1 to [mid, right) with
mid = floor((left + right) / 2), until one value is left. So results of one value inform about its neighbours.
The searcher inside sees a view of the space (`BisectedSpace`); its suggestions are converted to architectures
of the space itself, one for one and under the same numbers.

The view does not rewrite the expression: a derivation halves the options of a hole and fills the hole when
one is left. All operators work on it, a copy of a repeat keeps its decisions when the count changes, and
without the decisions about halves the architecture is one of the space itself.

Differs from the paper:
- it wraps every searcher, not tree search alone: mutation, crossover and encodings act on decisions about
  halves. Changing a repeat's count then adds or removes copies at the end;
- only ordered choices are halved, where the paper halves every choice in the order written, as `all_choices`
  does: integers, repeats and choices among numbers (in ascending order), all by position but for
  logarithmic integers, which are halved on their scale;
- real numbers, which the paper does not have, are halved on their scale `depth` times, and the interval that
  is left is a real hole;
- arguments of a program's statements are never halved, as every statement changes their options.

The view has as many derivations as the space, but a searcher that samples uniformly over options is uniform
over halves in the view: of three values the first has probability 1/2. `sample(..., by="derivations")` is the
same in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from nas.algorithms.shared.method import check_range
from nas.algorithms.shared.wrapping import FidelityRange, Wrapper
from nas.errors import ConfigError, SpaceError, refusal
from nas.evaluation import Objective
from nas.language import Choice, Literal, Number
from nas.space import (
    CHOICE,
    FIXED,
    NUMBER,
    REPEAT,
    Architecture,
    Decision,
    Derivation,
    Layout,
    Runs,
    SearchSpace,
    Site,
    Suffixes,
    number_at,
)
from nas.study import Searcher, Suggestion, Trial

if TYPE_CHECKING:
    from nas.space import Known

MAX_DEPTH = 40  # halvings of a real hole; six digits are told apart after 20 of a linear one


class BisectedSpace(SearchSpace):
    """A view of a space; its architectures carry the decisions of the space, and those about halves.

    The key of a decision about a half is the hole's, extended by the number of the half's site and the halves
    so far as binary digits behind a 1; so is that of the number chosen from the last interval of a real hole.

    Args:
        space: the original one.
        all_choices: halve every choice; unordered ones in the order written.
        depth: halvings of a real hole, 0 to 40; 5 give 32 intervals, as many as DeepArchitect's rates.

    Raises:
        SpaceError: the space is bisected already, or `depth` is out of range.
    """

    def __init__(self, space: SearchSpace, *, all_choices: bool = False, depth: int = 5) -> None:
        if isinstance(space, BisectedSpace):
            remedy = "bisect the original space"
            raise SpaceError(refusal(space.name, "a space that is not bisected", "one that is", remedy))
        if not 0 <= depth <= MAX_DEPTH:
            where, remedy = f"{space.name}: depth", "leave it out for the default"
            raise SpaceError(refusal(where, f"0 to {MAX_DEPTH} halvings", depth, remedy))
        how = f"bisected{' in all choices' if all_choices else ''} to depth {depth}"
        super().__init__(
            f"{space.name} {how}",
            space.expression,
            vocabulary=space.vocabulary,
            constraints=space.constraints,
        )
        self.original = space
        self.depth = depth
        self._all_choices = all_choices
        self._whole = len(self.layout.sites)  # sites from here on are those of halves
        self.halves = {
            site.index: Half(_half_site(self.layout, site), _order(site))
            for site in tuple(self.layout.sites)
            if _is_halved(site, all_choices)
        }

    @cached_property
    def _entrance(self) -> Derivation:
        return _entered(self, super().start())

    def start(self) -> Derivation:
        return self._entrance

    def parse(self, text: str) -> Architecture:
        return self.adopted(self.original.parse(text))

    def violation(self, architecture: Architecture) -> str | None:
        return super().violation(self.restored(architecture))

    def restored(self, architecture: Architecture) -> Architecture:
        """The architecture in the original space; the argument is one of this space."""
        kept = [decision for decision in architecture.decisions if not self._about_halves(decision)]
        return self.original.architecture(kept)

    def adopted(self, architecture: Architecture) -> Architecture:
        """Inverse of `restored`; a real number on the border of two intervals belongs to the lower one.

        Raises:
            SpaceError: the architecture is of another space.
        """
        known: Known = {(decision.hole, decision.prefix): decision for decision in architecture.decisions}
        derivation = self.start()
        while derivation.site is not None:
            assert isinstance(derivation, BisectedDerivation)
            derivation = derivation.towards(known)
        return derivation.architecture()

    def _about_halves(self, decision: Decision) -> bool:
        return any(site >= self._whole for site in (decision.hole, *decision.prefix[-2:-1]))

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(BisectedSpace, all_choices=self._all_choices, depth=self.depth), (self.original,)


@dataclass(frozen=True, slots=True)
class Half:
    """How a hole is halved: the site of its halves, and its options in order, empty if they are ordered."""

    site: Site
    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """The options of a hole that are left after some halvings.

    Attributes:
        hole: the derivation at the hole, with all of its options.
        half: how it is halved.
        order: the hole's options in order; none for a real number.
        low: position of the first option that is left, or the lower bound of a real number.
        high: one position past the last, or the upper bound.
        code: the halves taken, as binary digits behind a 1.
    """

    hole: Derivation
    half: Half
    order: Sequence[int]
    low: float
    high: float
    code: int = 1

    @property
    def number(self) -> Number | None:
        """The numbers that are left; None if the hole is not one for a number."""
        whole = self.hole.choice
        if not isinstance(whole, Number):
            return None
        if not whole.integer:
            return replace(whole, low=self.low, high=self.high)
        return replace(whole, low=self.order[int(self.low)], high=self.order[int(self.high) - 1])

    @property
    def middle(self) -> float:
        """Where the upper half begins."""
        number = self.number
        if number is None or (number.integer and not number.log):
            return (int(self.low) + int(self.high)) // 2
        value = number_at(number, 0.5)
        if not number.integer:
            return value
        return min(max(int(value) - self.order[0], self.low + 1), self.high - 1)

    def divisible(self, depth: int) -> bool:
        """Whether there are two halves."""
        if self.order:
            return self.high - self.low > 1
        return self.code.bit_length() <= depth and self.low < self.middle < self.high

    def taken(self, bit: int) -> Cut:
        low, high = (self.middle, self.high) if bit else (self.low, self.middle)
        return replace(self, low=low, high=high, code=2 * self.code + bit)

    def is_upper(self, option: float) -> bool:
        """Whether the option is in the upper half; reals on the border are in the lower one."""
        return self.order.index(int(option)) >= self.middle if self.order else option > self.middle


class BisectedDerivation(Derivation):
    """A derivation of a bisected space; at a hole that is halved the options are 0 and 1."""

    __slots__ = ("_cut",)
    _space: BisectedSpace

    def __init__(self, space: BisectedSpace, at: Derivation, cut: Cut | None = None, log: Any = None) -> None:
        options, log = at.options, at._log if cut is None else log
        frame = None if at.site is None else (at.site, at._prefix, at._depths, at._rest)
        if cut is not None:
            site, options = cut.half.site, (0, 1)
            if not cut.divisible(space.depth):  # a real number from the last interval
                assert at.site is not None
                assert cut.number is not None
                site, options = Site(NUMBER, cut.number, at.site.index, at.site.label), ()
            frame = (site, (*at._prefix, cut.half.site.index, cut.code), at._depths, at._rest)
        super().__init__(space, frame, options, at._bound, at._values, log, at._steps)
        self._cut = cut

    def take(self, option: int | float, ids: tuple[int, ...] = ()) -> Derivation:
        if self._cut is None:
            return _entered(self._space, super().take(option, ids))
        if type(option) is not int or option not in self.options:
            option = self._admitted(option)
        log = (Decision(*self.key, option, ids), self._log)
        if not self.options:
            return self._filled(option, ids, log)
        cut = self._cut.taken(int(option))
        if cut.order and not cut.divisible(self._space.depth):
            return self._filled(cut.order[int(cut.low)], ids, log)
        if ids:
            self._checked(ids, option)
        return BisectedDerivation(self._space, cut.hole, cut, log)

    def towards(self, known: Known) -> Derivation:
        """The next decision towards decisions of the original space."""
        cut = self._cut
        hole = self if cut is None else cut.hole
        decision = known.get(hole.key)
        if decision is None or (cut is not None and cut.order and decision.option not in cut.order):
            where, remedy = (
                f"{self._space.name} at {self.label}",
                "give an architecture of the original space",
            )
            raise SpaceError(refusal(where, "a decision for this hole", "none", remedy))
        if cut is None or not self.options:
            return self.take(decision.option, decision.ids)
        bit = int(cut.is_upper(decision.option))
        last = cut.order and not cut.taken(bit).divisible(self._space.depth)
        return self.take(bit, decision.ids if last else ())

    def count(self) -> int | None:
        cut = self._cut
        if cut is None or not cut.order:
            return super().count() if cut is None else None
        left = range(int(cut.low), int(cut.high))
        if cut.number is not None:  # equally many derivations behind each
            one = cut.hole.take(cut.order[left[0]]).count()
            return None if one is None else one * len(left)
        found = [cut.hole.take(cut.order[position]).count() for position in left]
        return None if None in found else sum(filter(None, found))

    def weights(self, known: Suffixes) -> Runs:
        if self._cut is None:
            return super().weights(known)
        return [(1, self.take(option).count() or 0) for option in self.options]

    def _filled(self, option: int | float, ids: tuple[int, ...], log: Any) -> Derivation:
        """The hole filled as in the original space, with the decisions about halves recorded."""
        assert self._cut is not None
        at = self._cut.hole
        frame = (at.site, at._prefix, at._depths, at._rest)
        values, steps = at._values, at._steps
        whole = Derivation(self._space, frame, at.options, at._bound, values, log, steps)  # type: ignore[arg-type]
        return _entered(self._space, whole.take(option, ids))


def _entered(space: BisectedSpace, at: Derivation) -> Derivation:
    """The view of a derivation that has just reached a hole."""
    half = None if at.site is None else space.halves.get(at.site.index)
    if half is None:
        return BisectedDerivation(space, at)
    number = at.choice
    if isinstance(number, Number) and not number.integer:
        return BisectedDerivation(space, at, Cut(at, half, (), number.low, number.high), at._log)
    order = half.order or at.options
    return BisectedDerivation(space, at, Cut(at, half, order, 0, len(order)), at._log)


def _is_halved(site: Site, all_choices: bool) -> bool:
    if site.kind == NUMBER and not site.options:
        return True
    several = site.kind in (NUMBER, REPEAT, CHOICE) and len(site.options) > 2  # of two, each is a half
    return several and (site.kind != CHOICE or all_choices or bool(_order(site)))


def _order(site: Site) -> tuple[int, ...]:
    """Options of a choice among numbers, ascending; none for other sites."""
    options = site.term.options if isinstance(site.term, Choice) else ()
    values = [option.value for option in options if isinstance(option, Literal)]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if not options or len(numbers) < len(options):
        return ()
    return tuple(sorted(range(len(numbers)), key=numbers.__getitem__))


def _half_site(layout: Layout, site: Site) -> Site:
    """A new site for the halves of another: a choice of two."""
    parts = (Literal(0), Literal(1))
    half = Site(CHOICE, Choice(parts), len(layout.sites), site.label)
    half.options = (0, 1)
    half.distinct = site.kind == NUMBER and bool(site.options)  # different integers, different expressions
    layout.sites.append(half)
    for part in parts:
        child = Site(FIXED, part, len(layout.sites), site.label)
        layout.sites.append(child)
        half.children += (child,)
    return half


class Bisection(Wrapper[Suggestion]):  # remembers the suggestion of the searcher inside
    """Asks the searcher inside, which decides by halves.

    Args:
        space: to search.
        objectives: of the searcher inside.
        seed: of all randomness.
        searcher: the one inside, as a section with a name; or one built on `BisectedSpace(space)`.
        all_choices: halve every choice, as DeepArchitect's released code does.
        depth: halvings of a real number, 0 to 40.
        fidelity_range: of the evaluator, for the searcher inside.

    Raises:
        ConfigError: an option out of range; a section that names no searcher; a searcher of another space; a
            space with choices of which none is ordered, without `all_choices`.
        SpaceError: a space that is bisected already.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        seed: int,
        searcher: Mapping[str, Any] | Searcher,
        all_choices: bool = False,
        depth: int = 5,
        fidelity_range: FidelityRange | None = None,
    ) -> None:
        if isinstance(space, BisectedSpace):
            raise ConfigError(
                refusal('searcher "bisection"', "a space that is not bisected", "one that is", "nest it once")
            )
        check_range("bisection", "depth", depth, 0, MAX_DEPTH)
        view = self._view = BisectedSpace(space, all_choices=all_choices, depth=depth)
        if not view.halves and BisectedSpace(space, all_choices=True, depth=depth).halves:
            where = f'searcher "bisection": space {space.name}'
            raise ConfigError(refusal(where, "ordered choices to halve", "none", "set all_choices=true"))
        super().__init__(view, objectives, seed=seed, searcher=searcher, fidelity_range=fidelity_range)

    def _take(self, trial: Trial, remembered: Suggestion) -> None:
        suggestion = remembered
        if self._view.restored(suggestion.architecture) != trial.architecture:
            adopted = self._view.adopted(trial.architecture)
            suggestion = replace(trial.suggestion, architecture=adopted, parent=None)
        self._inner.tell(trial.number, trial, suggestion)  # one for one: the numbers are the same

    def _suggest(self) -> Suggestion | None:
        proposal = self._inner.ask()
        if proposal is None:
            return None
        suggestion = proposal.suggestion
        if suggestion.architecture.space != self._view.name:
            expected = f'a searcher built on "{self._view.name}"'
            got = f'one of "{suggestion.architecture.space}"'
            remedy = "give the section of the searcher instead"
            raise ConfigError(refusal('searcher "bisection"', expected, got, remedy))
        self._inner.stands_for(proposal.number, self._in_flight.add(suggestion))
        return replace(suggestion, architecture=self._view.restored(suggestion.architecture))
