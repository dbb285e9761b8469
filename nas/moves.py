"""One-decision changes of an architecture: what `mutate` draws from and `neighbours` lists.

A move is the derivation right after the changed decision; the caller follows the old decisions from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from nas.architecture import Decision
from nas.derivation import Derivation
from nas.draws import Draws, stepped
from nas.sites import CHOICE, FIXED, NUMBER, REPEAT, USE, Site
from nas.unfold import fixed

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

    def __call__(self, draw: Draws) -> Derivation:
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


def _modified(derivation: Derivation, old: Decision, draw: Draws) -> Derivation:
    if derivation.site is not None and derivation.site.kind == NUMBER:
        return derivation.take(stepped(derivation.choice, old.option, draw))  # type: ignore[arg-type]
    options = [option for option in derivation.options if option != old.option]
    return derivation.take(options[draw.index(len(options))])


def _resized(derivation: Derivation, old: Decision, step: int, draw: Draws) -> Derivation:
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


def alternatives(derivation: Derivation, known: Known, draw: Draws) -> Iterator[Callable[[], Derivation]]:
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
