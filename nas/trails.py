"""What matching keeps: where it stands, and the trail of decisions that led there.

Decisions of a trail are relative to the place that they were found at, so that trails can be used again.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from nas.architecture import Decision
from nas.term import Term


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


class Place(NamedTuple):
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
