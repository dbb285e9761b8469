"""Which operations share their weights: what equal draws of weights leave open about a network.

Operations of one kind on one value draw equal weights, whether they are one operation whose result is used
twice or two operations. So those that share their weights with another are given other weights in turn,
each alone, and the network's answers tell them apart. What matters in the end is the answer when each has
weights of its own, handed out in an order that does not depend on how the network is written: that of those
first answers. Where several have the same first answer, each of them may come first: it is given weights for
good, the others are looked at again, and the smallest digest counts. This is how McKay and Piperno 2014,
"Practical graph isomorphism, II" (https://arxiv.org/abs/1301.1493), label graphs; as there, those that may
change places without effect need not all be tried. Deviations: only exchanges of two are looked for, and the
search ends after 500 runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from nas.hashing.probe.leaves import Keys, Salts
from nas.hashing.probe.values import UnhashableError, Value, key_of

Path = tuple[int, ...]  # where an operation stands
Use = tuple[Path, Keys]  # an operation with weights, and the keys that they were drawn by
Unit = tuple[Path, int | None]  # a draw of an operation's, by its place among them; None: all of them
Salted = dict[Path, Salts]  # the operations that draw other weights than usual
Pass = Callable[[Salted], tuple[Value, list[Use]]]
Fixed = tuple[tuple[Unit, str], ...]
Class = tuple[bytes, ...]  # keys: units of one class draw equal weights

MAX_RUNS = 500


def identified(run: Pass, first: tuple[Value, list[Use]]) -> tuple[bytes, bool]:
    """What tells apart networks that equal weights make look alike.

    Operations whose weights have no effect are left out.

    Args:
        run: the network, in which some operations draw other weights than usual.
        first: the run in which none does.

    Returns:
        A digest, empty where no two operations share weights; whether any operation has weights.

    Raises:
        UnhashableError: too many operations of which any may come first.
    """
    return _Labelling(run, first).digest(()), bool(first[1])


class _Labelling:
    """The search for the order of the operations of one network."""

    def __init__(self, run: Pass, first: tuple[Value, list[Use]]) -> None:
        self._run = run
        self._known = {frozenset[tuple[Unit, str]](): first}

    def at(self, fixed: Fixed) -> tuple[Value, list[Use]]:
        """A run in which some operations have weights of their own."""
        key = frozenset(fixed)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MAX_RUNS:
                raise UnhashableError(
                    f"expected operations that {MAX_RUNS} runs tell apart by their weights; got more that "
                    "look alike; hash such networks by a normal form"
                )
            salted: Salted = {}
            for (path, place), salt in sorted(fixed, key=repr):
                salted[path] = (*salted.get(path, ()), (place, salt))
            found = self._known[key] = self._run(salted)
        return found

    def doubtful(self, fixed: Fixed) -> Iterator[tuple[Class, Unit]]:
        """Units that share the keys of their draws with others, in the order of the run."""
        taken = {unit for unit, _ in fixed}
        paths = {path for path, _ in taken}
        uses = [
            (path, [(i, key) for i, key in enumerate(keys) if (path, i) not in taken])
            for path, keys in self.at(fixed)[1]
            if (path, None) not in taken
        ]
        counts = Counter(key for _, draws in uses for _, key in draws)
        if len(counts) == sum(counts.values()):
            return
        alike = Counter(tuple(key for _, key in draws) for _, draws in uses)
        for path, draws in uses:
            keys = tuple(key for _, key in draws)
            if not any(counts[key] > 1 for key in keys):
                continue
            if path not in paths and all(counts[key] == alike[keys] for key in keys):
                yield keys, (path, None)  # nothing shares some of its draws only
            else:
                yield from (((key,), (path, i)) for i, key in draws if counts[key] > 1)

    def digest(self, fixed: Fixed) -> bytes:
        """Of what the network computes for any weights, where some units have theirs already.

        Empty where nothing is in doubt.
        """
        groups = self._groups(fixed)
        if not groups:
            return self.at(fixed)[0].key if fixed else b""
        ties = [units for _, units in sorted(groups.items()) if len(units) > 1]
        count = sum(map(len, groups.values()))
        if not ties:
            order = [units[0] for _, units in sorted(groups.items())]
            return self.at(_extended(fixed, order[:-1]))[0].key
        tied = min(ties, key=len)
        if len(tied) == count == 2:
            return self.at(_extended(fixed, tied[:1]))[0].key
        twins = self._twins(fixed, tied)
        if len(twins) == 1:  # any order will do
            return self.digest(_extended(fixed, tied))
        return min(self.digest(_extended(fixed, each[:1])) for each in twins)

    def _groups(self, fixed: Fixed) -> dict[tuple[bytes, Class], list[Unit]]:
        """The doubtful units whose weights have an effect, by answer and class; classes of several.

        Answers come first, since classes may differ in draws that have no effect.
        """
        base = self.at(fixed)[0].key
        answers = [
            (keys, self.at(_extended(fixed, [unit]))[0].key, unit) for keys, unit in self.doubtful(fixed)
        ]
        effective = [each for each in answers if each[1] != base]
        sizes = Counter(keys for keys, *_ in effective)
        found: dict[tuple[bytes, Class], list[Unit]] = {}
        for keys, answer, unit in effective:
            if sizes[keys] > 1:
                found.setdefault((answer, keys), []).append(unit)
        return found

    def _twins(self, fixed: Fixed, tied: Sequence[Unit]) -> list[list[Unit]]:
        """The units parted into those that may change places without effect."""
        full = self._completed(_extended(fixed, tied))
        salts, outcome = dict(full), self.at(full)[0].key
        found = [[tied[0]]]
        for unit in tied[1:]:
            for twins in found:
                swapped = {**salts, unit: salts[twins[0]], twins[0]: salts[unit]}
                if self.at(tuple(swapped.items()))[0].key == outcome:
                    twins.append(unit)
                    break
            else:
                found.append([unit])
        return found

    def _completed(self, fixed: Fixed) -> Fixed:
        """Weights of its own for everything else in doubt, what comes first in the run before the rest.

        What follows a unit that was given others draws by another value, and needs none.
        """
        while True:
            units = list(self.doubtful(fixed))
            if not units:
                return fixed
            fixed = _extended(fixed, [unit for keys, unit in units if keys == units[0][0]])


def _extended(fixed: Fixed, units: Sequence[Unit]) -> Fixed:
    return (*fixed, *((unit, str(len(fixed) + i)) for i, unit in enumerate(units)))


def told(value: Value, digest: bytes) -> bytes:
    """One digest of a value and of what tells it apart."""
    return key_of(value.key, digest)
