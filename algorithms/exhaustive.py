"""Exhaustive search: every architecture of a finite space once.

No paper; the reference on small spaces, in derivation order or in random order (random search without
repeats, to the end). Results do not influence it, so it never waits. The n-th derivation is found by counting
the derivations behind each option, so that nothing is listed in advance and the state of the search is a
number. Derivations that break a constraint, and those whose text was suggested before, are skipped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from nas.algorithms.shared.method import SearchMethod, bad_option, check_range
from nas.errors import ConfigError, DeadEndError, refusal
from nas.evaluation import Objective
from nas.space import NUMBER, USE, Architecture
from nas.study import SearchFinished, Suggestion

if TYPE_CHECKING:
    from nas.space import SearchSpace

_NAME = "exhaustive"


class Exhaustive(SearchMethod[None]):
    """Enumerates the space.

    Args:
        space: to enumerate.
        objectives: not used.
        seed: of the random order; not used otherwise.
        order: "derivation", the order of `nas.space.operators.enumerate_architectures`, or "random", every
            order equally likely.
        limit: most derivations that the space may have, 1 or more; each suggestion takes about 100 bytes.

    Raises:
        ConfigError: an option out of range, or a space that is unbounded or too large.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        seed: int,
        order: Literal["derivation", "random"] = "derivation",
        limit: int = 1_000_000,
    ) -> None:
        if order not in ("derivation", "random"):
            raise bad_option(_NAME, "order", '"derivation" or "random"', repr(order))
        check_range(_NAME, "limit", limit, 1)
        super().__init__(space, objectives, seed=seed)
        size = space.size_within(limit)
        if size is None and space.size_text() == "unbounded":
            where = f'searcher "{_NAME}": space {space.name}'
            remedy = "give them as oneof(...) or take another searcher"
            raise ConfigError(refusal(where, "a finite space", "one with real-valued holes", remedy))
        if size is None:
            where = f'searcher "{_NAME}": space {space.name}'
            got = space.size_text().removesuffix(" derivations")
            remedy = "raise limit or take another searcher"
            raise ConfigError(refusal(where, f"at most {limit} derivations", got, remedy))
        self._size = size
        self._order = self._rng.permutation(self._size) if order == "random" else None
        self._next = 0
        self._seen: set[str] = set()

    @property
    def uninformed(self) -> float:
        return math.inf  # no result steers it

    def _suggest(self) -> Suggestion:
        while self._next < self._size:
            index = self._next if self._order is None else int(self._order[self._next])
            self._next += 1
            try:
                architecture = derivation_at(self._space, index)
            except DeadEndError:  # of more steps than an architecture may have
                continue
            if self._is_new(architecture):
                self._in_flight.add(None)
                return Suggestion(architecture, info={"origin": "enumeration", "index": index})
        raise SearchFinished

    def _is_new(self, architecture: Architecture) -> bool:
        """Whether it is admissible and its text is new; notes the text."""
        digest = architecture.digest()
        if digest in self._seen or self._space.violation(architecture) is not None:
            return False
        self._seen.add(digest)
        return True


def derivation_at(space: SearchSpace, index: int) -> Architecture:
    """The architecture of derivation number `index`, 0 to `size() - 1` in depth-first order.

    Raises:
        DeadEndError: it takes more steps than an architecture may have.
    """
    derivation = space.start()
    while derivation.site is not None:
        at, options = derivation, derivation.options
        if derivation.site.kind in (NUMBER, USE):  # equally many derivations behind each option
            behind = at.take(options[0]).count() or 1
            derivation, index = at.take(options[index // behind]), index % behind
            continue
        for option in options:  # an index below the size lies behind one of them
            derivation = at.take(option)
            behind = derivation.count() or 0
            if index < behind:
                break
            index -= behind
    return derivation.architecture()
