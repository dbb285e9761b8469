"""Where the modules of a supernet read the architecture weights of the present pass; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

Picks: TypeAlias = tuple[tuple[int, int], ...]  # (hole, option) pairs that an alternative stands for


@dataclass(frozen=True, slots=True)
class Weight:
    """Architecture weights of one hole.

    Attributes:
        values: (options,); None for 1 on the only active option.
        active: options that compute; the others count as zero whatever their weight.
    """

    values: Tensor | None
    active: tuple[int, ...]


class Board:
    """Where the modules of a supernet read the weights of the present pass, by number of the hole.

    Attributes:
        weights: of all holes.
        plain: whether all modules are called one by one.
    """

    def __init__(self) -> None:
        self.weights: Sequence[Weight] = ()
        self.plain = False

    def is_active(self, picks: Picks) -> bool:
        return all(option in self.weights[hole].active for hole, option in picks)

    def weight(self, picks: Picks) -> Tensor | float:
        """The product over the holes of an alternative, all of them active."""
        found = [(self.weights[hole].values, option) for hole, option in picks]
        product: Tensor | float = 1.0
        for values, option in found:
            if values is not None:
                product = values[option] if isinstance(product, float) else product * values[option]
        return product
