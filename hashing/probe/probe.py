"""The functional digest of a network: what it computes on a seeded probe, whatever its text.

Gillard et al. 2023, "Unified Functional Hashing in Automatic Machine Learning"
(https://arxiv.org/abs/2302.05433), hash the results of a short training. This hash needs no training and no
data: every operation's weights are seeded by the operation and the value that reaches it.

Two networks get one digest if they compute the same function of inputs and weights, as far as:
- sums in any order and nesting, identities, zeros, parts that do not reach the output, pooling before or
  after a sum, names and the order in which modules are built;
- inside a cell, or before the first one; behind a cell only sums, identities, zeros and inputs that a cell
  does not read are seen.
Operations with weights of their own are not taken for one that is used twice, see `instances`. A probe is a
sample: functions that differ only where no value of it lies have one digest.

What counts as equal beyond that is said by two switches:
- `zero`, an operation on a constant zero: "trained" tells its learnt shift from zero, "initial" does not;
- `scale`, a positive factor that the normalisation inside one primitive removes: "kept" or "removed".
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch

from nas.hashing.probe.cells import CellHasher
from nas.hashing.probe.instances import Salted, Use, identified, told
from nas.hashing.probe.interpreter import Interpreter, inlined
from nas.hashing.probe.leaves import SIDES, too_small
from nas.hashing.probe.values import EXAMPLES, FEW, UnhashableError, Value, Values
from nas.language import Vocabulary

if TYPE_CHECKING:
    from nas.language import Term

VERSION = 2


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
        self._values = cache(lambda number: Values(bits, device, EXAMPLES[number]))
        self._options = (classes, trained, scale_kept)
        self._channels = channels
        self._machines: dict[tuple[Vocabulary, int], Interpreter] = {}

    def digest(self, network: Term, vocabulary: Vocabulary) -> str:
        """32 hexadecimal digits.

        Raises:
            UnhashableError: numbers that are not finite, or a primitive that is not a function of its input
                and weights.
            NasError: a term that is no network, or one that does not fit images of this size.
        """
        term = inlined(network)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            examples = 0
            for side in SIDES:
                value, digest = self._at(side, term, self._machine(vocabulary, examples))
                if value.lacks & FEW:
                    examples += 1
                    value, digest = self._at(side, term, self._machine(vocabulary, examples))
                if digest is not None:
                    return digest.hex()
        raise UnhashableError(too_small("network"))

    def _at(self, side: int, term: Term, machine: Interpreter) -> tuple[Value, bytes | None]:
        """The value on images of one size, and the digest unless the value lacks something."""
        x = machine.values.generic(0, (self._channels, side, side))

        def run(salted: Salted) -> tuple[Value, list[Use]]:
            walk = CellHasher(machine, salted)
            return walk.run(term, x, machine.context, ()), walk.uses

        machine.begin()
        first = run({})
        value = first[0]
        return value, None if value.lacks else told(value, identified(run, first)[0])

    def _machine(self, vocabulary: Vocabulary, examples: int) -> Interpreter:
        key = (vocabulary, examples)
        if key not in self._machines:
            classes, trained, kept = self._options
            self._machines[key] = Interpreter(
                self._values(examples), vocabulary, classes, trained=trained, scale_kept=kept
            )
        return self._machines[key]
