"""The functional digest of a network: what it computes on a seeded probe, whatever its text.

Gillard et al. 2023, "Unified Functional Hashing in Automatic Machine Learning"
(https://arxiv.org/abs/2302.05433), hash the results of a short training. This hash needs no training and no
data: every operation's weights are seeded by the operation and the value that reaches it.

Two networks get one digest if they compute the same function of inputs and weights, as far as:
- sums in any order and nesting, identities, zeros, parts that do not reach the output, pooling before or
  after a sum, names and the order in which modules are built;
- inside cells; across a cell's border only identities, zeros and inputs that a cell does not read are seen.
Operations with weights of their own are never taken for one that is used twice, see `identified`.

What counts as equal beyond that is said by two switches:
- `zero`, an operation on a constant zero: "trained" tells its learnt shift from zero, "initial" does not;
- `scale`, a positive factor that the normalisation inside one primitive removes: "kept" or "removed".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from hashing.network.machine import Machine, Path, Use, identified, inlined
from hashing.network.values import Value, Values, key_of
from hashing.network.walk import Walk
from nas.primitives import Vocabulary

if TYPE_CHECKING:
    from nas.term import Term

VERSION = 1
_BATCH = 4
_DEEPEST = (
    3  # pixels a side that the smallest feature map has at least: with 1, every pooling is the identity
)
_SIDES = (12, 24, 48, 96)  # of the probe; the first at which the smallest map is large enough


class NetworkProbe:
    """Digests of networks; sub-results are shared by all networks that one object hashes.

    Args:
        bits: of the mantissa of a value's projections that count, 1 to 52.
        trained: an operation on zeros gives its learnt shift; otherwise zeros.
        scale_kept: a positive factor before a normalised operation counts.
        channels: of the images.
        classes: outputs of `head`.
        device: where the probe runs, in float64; digests agree between devices up to rounding.
    """

    def __init__(
        self,
        *,
        bits: int,
        trained: bool = True,
        scale_kept: bool = True,
        channels: int = 3,
        classes: int = 10,
        device: str = "cpu",
    ) -> None:
        self._values = Values(bits, _BATCH, device)
        self._options = (classes, trained, scale_kept)
        self._channels = channels
        self._machines: dict[Vocabulary, Machine] = {}

    def digest(self, network: Term, vocabulary: Vocabulary) -> str:
        """32 hexadecimal digits.

        Raises:
            UnhashableError: numbers that are not finite, or a primitive that is not a function of its input
                and weights.
            NasError: a term that is no network, or one that does not fit images of this size.
        """
        machine = self._machine(vocabulary)
        machine.begin()
        term = inlined(network)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            key, smallest = self._at(_SIDES[0], term, machine)
            for side in _SIDES[1:]:
                if smallest >= _DEEPEST:
                    break
                key, smallest = self._at(side, term, machine)
        return key.hex()

    def _at(self, side: int, term: Term, machine: Machine) -> tuple[bytes, int]:
        """The digest on images of one size, and the side of the smallest feature map."""
        x = self._values.generic(0, (self._channels, side, side))
        smallest = side

        def run(other: Path | None) -> tuple[Value, list[Use]]:
            nonlocal smallest
            walk = Walk(machine, other)
            y = walk.run(term, x, machine.context, ())
            smallest = min(smallest, walk.side)
            return y, walk.uses

        value, answers, _ = identified(run)
        return key_of(value.key, *answers), smallest

    def _machine(self, vocabulary: Vocabulary) -> Machine:
        if vocabulary not in self._machines:
            classes, trained, kept = self._options
            self._machines[vocabulary] = Machine(
                self._values, vocabulary, classes, trained=trained, scale_kept=kept
            )
        return self._machines[vocabulary]
