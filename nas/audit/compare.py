"""Two partitions of the same candidates: which classes of one join several of the other, or are split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

Label = Hashable | None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A class of one partition that holds members of several classes of the other.

    Attributes:
        label: of the class.
        parts: number of members of each class of the other, largest first.
        examples: the first member of each of them, in that order.
    """

    label: Label
    parts: tuple[int, ...]
    examples: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """A partition by a hash beside the exact one.

    Attributes:
        members: candidates that both have a class for.
        unlabelled: candidates that either has none for; they enter no other number.
        hashed: number of classes of the hash.
        exact: number of exact classes.
        joins: classes of the hash with members of several exact ones: false merges.
        splits: exact classes with members in several classes of the hash: missed merges.
        joined_pairs: pairs of members that the hash alone takes for equal.
        split_pairs: pairs that are equal and that the hash tells apart.
        equal_pairs: pairs that are equal.
    """

    members: int
    unlabelled: int
    hashed: int
    exact: int
    joins: tuple[Mismatch, ...]
    splits: tuple[Mismatch, ...]
    joined_pairs: int
    split_pairs: int
    equal_pairs: int

    @property
    def sound(self) -> bool:
        """Whether both are the same partition of all candidates."""
        return not (self.joins or self.splits or self.unlabelled)


def compare(hashed: Sequence[Label], exact: Sequence[Label]) -> Agreement:
    """Holds the labels of a hash against the exact ones, candidate by candidate; None: no label."""
    known = [n for n, pair in enumerate(zip(hashed, exact, strict=True)) if None not in pair]
    first = {n: hashed[n] for n in known}
    second = {n: exact[n] for n in known}
    same_hash, same_exact = _pairs(first.values()), _pairs(second.values())
    both = _pairs((first[n], second[n]) for n in known)
    return Agreement(
        len(known),
        len(hashed) - len(known),
        len(set(first.values())),
        len(set(second.values())),
        _mixed(first, second),
        _mixed(second, first),
        same_hash - both,
        same_exact - both,
        same_exact,
    )


def _pairs(labels: object) -> int:
    return sum(count * (count - 1) // 2 for count in Counter(labels).values())  # type: ignore[arg-type]


def _mixed(classes: Mapping[int, Label], others: Mapping[int, Label]) -> tuple[Mismatch, ...]:
    """The classes with members of several others, those with most such others first."""
    parts: dict[Label, dict[Label, list[int]]] = defaultdict(lambda: defaultdict(list))
    for member, label in classes.items():
        parts[label][others[member]].append(member)
    found = []
    for label, inside in parts.items():
        if len(inside) > 1:
            ordered = sorted(inside.values(), key=lambda part: (-len(part), part[0]))
            found.append(Mismatch(label, tuple(map(len, ordered)), tuple(part[0] for part in ordered)))
    return tuple(sorted(found, key=lambda mismatch: (-len(mismatch.parts), mismatch.examples)))
