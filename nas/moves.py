"""One-decision changes of an architecture: what `mutate` draws from and `neighbours` lists.

A move is the derivation right after the changed decision; the caller follows the old decisions from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from nas.architecture import Decision
from nas.derivation import Derivation
from nas.draws import Draws, stepped
from nas.sites import NUMBER, REPEAT

Known = dict[tuple[int, tuple[int, ...]], Decision]  # decisions by key


def mutations(trace: Sequence[Derivation], known: Known) -> list[list[Callable[[Draws], Derivation]]]:
    """Mutations that are possible along the trace, by kind: modify, insert, delete; empty kinds left out."""
    modify, insert, delete = [], [], []
    for derivation in trace:
        site = derivation.site
        assert site is not None
        decision = known[derivation.key]
        if site.kind != REPEAT:
            modify.append(lambda draw, d=derivation, old=decision: _modified(d, old, draw))
            continue
        place = list(derivation.options).index(int(decision.option))
        if place + 1 < len(derivation.options):
            insert.append(lambda draw, d=derivation, old=decision: _inserted(d, old, draw))
        if place > 0:
            delete.append(lambda draw, d=derivation, old=decision: _deleted(d, old, draw))
    return [moves for moves in (modify, insert, delete) if moves]


def _modified(derivation: Derivation, old: Decision, draw: Draws) -> Derivation:
    if derivation.site is not None and derivation.site.kind == NUMBER:
        return derivation.take(stepped(derivation.choice, old.option, draw))  # type: ignore[arg-type]
    options = [option for option in derivation.options if option != old.option]
    return derivation.take(options[draw.index(len(options))])


def _inserted(derivation: Derivation, old: Decision, draw: Draws) -> Derivation:
    """Adjacent new elements at a uniform position, as many as the next admissible count needs."""
    ids = old.ids or tuple(range(int(old.option)))
    count = next(option for option in derivation.options if option > old.option)
    fresh = max(ids, default=-1) + 1
    new = tuple(range(fresh, fresh + count - len(ids)))
    at = draw.index(len(ids) + 1)
    return derivation.take(count, (*ids[:at], *new, *ids[at:]))


def _deleted(derivation: Derivation, old: Decision, draw: Draws) -> Derivation:
    """Without some adjacent elements at a uniform position, down to the next admissible count."""
    ids = old.ids or tuple(range(int(old.option)))
    count = max(option for option in derivation.options if option < old.option)
    at = draw.index(count + 1)
    return derivation.take(count, (*ids[:at], *ids[at + len(ids) - count :]))


def alternatives(derivation: Derivation, known: Known, draw: Draws) -> Iterator[Derivation]:
    site = derivation.site
    assert site is not None
    old = known[derivation.key]
    if site.kind == REPEAT:
        ids = old.ids or tuple(range(int(old.option)))
        options = sorted(derivation.options)
        place = options.index(int(old.option))
        for count in options[max(0, place - 1) : place + 2]:
            extra = count - len(ids)
            fresh = max(ids, default=-1) + 1
            if extra > 0:
                for at in range(len(ids) + 1):
                    yield derivation.take(count, (*ids[:at], *range(fresh, fresh + extra), *ids[at:]))
            elif extra < 0:
                for at in range(count + 1):
                    yield derivation.take(count, (*ids[:at], *ids[at - extra :]))
    elif derivation.options:
        yield from (derivation.take(option) for option in derivation.options if option != old.option)
    else:
        for _ in range(2):
            yield derivation.take(stepped(derivation.choice, old.option, draw))  # type: ignore[arg-type]
