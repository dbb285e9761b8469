r"""Normal form of NAS-Bench-201 cells by algebra: a graph labelled by weight identity, up to renaming.

Two cells have one form if and only if some renaming of the weights of one makes both the same function of
their input and their weights, by the identities below. (Dong and Yang 2020, https://arxiv.org/abs/2001.00326,
define the cells; their own, weaker rules are in `nas.hashing.audit.isomorphism`.)

The value of a node is a sum of terms with multiplicities; a term is the input x or a convolution, averaged
k >= 0 times. Identities, and why they hold:

1. `none` contributes nothing: 0 + v = v.
2. `skip` hands its source on, so that sums of sums flatten and x + x is 2x.
3. Average pooling P is linear: P(u + v) = P(u) + P(v), P(0) = 0. Its stride is 1, and it divides by the
   number of pixels that are there (padding does not count), so that P of a constant map is that map. Powers
   of P differ from one another on maps of 3x3 and more.
4. Each convolution edge has weights of its own. A convolution is an opaque function of the sum that it reads,
   because of the ReLU in it; C_a used twice is 2 C_a(v), which is not C_a(v) + C_b(v).
5. What does not reach the output does not count; nor does the name of a weight.

A convolution, ReLU and batch normalisation of zero, in two readings:

- "initial": C(0) = 0, for the convolution has no bias and the normalisation's shift is 0 at first. Only
  `none` and what follows from it make zeros.
- "trained": C(0) is the normalisation's learnt shift, a constant for each channel over all pixels, whatever
  the kernel; a weight of its own, which reads nothing. A 1x1 convolution of constants is constant over
  batch and pixels, has no variance, and normalises to the shift alone: again such a weight, that forgets
  its argument (with the statistics of the batch; the running ones approach this). A larger kernel sees zeros
  beyond the border, so that C(constant) varies in space: an opaque function as others. P(constant) is the
  constant, by 3. Sums of two learnt constants stay two weights: no reparametrisation is made.

What is compared are cells. A network may add equalities across its cells' borders (the final normalisation
leaves its shift alone of whatever constant a cell outputs); they are no identities of cells.

Scale: in the reading "removed", C(n v) = C(v) for n >= 2: ReLU and convolution are homogeneous, and batch
normalisation divides by the standard deviation. That is exact but for its epsilon. Elsewhere 2v stays 2v,
as the shortcut of the network's reductions reads it without a normalisation. In the reading "kept", C(2v) is
another function.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations, product

from nas.errors import ConfigError, SpaceError
from nas.hashing.audit.isomorphism import Cell, OperationEdge, read_cell
from nas.hashing.digests import Digest, hex_of
from nas.space import Architecture
from nas.study import Hashed, Hasher

ZERO, SCALE = ("initial", "trained"), ("kept", "removed")
VERSION = 1
_INPUT = -1
_CONSTANT = 0  # in place of a kernel

Term = tuple[int, int]  # atom (the input, or the number of a weight), times of pooling
Sum = tuple[tuple[Term, int], ...]  # terms with multiplicities, ascending


@dataclass(frozen=True, slots=True)
class SymbolicForm:
    """The normal form of a cell.

    Attributes:
        weights: (kernel, the sum that it reads) of each weight, in canonical order; kernel 0 is a constant.
        output: the sum at the last node.
        edges: of the cell, numbered node by node, that are these weights; not a part of what is compared.
    """

    weights: tuple[tuple[int, Sum], ...]
    output: Sum
    edges: tuple[int, ...]

    @property
    def key(self) -> tuple[tuple[tuple[int, Sum], ...], Sum]:
        """What equal cells have in common."""
        return self.weights, self.output

    def text(self) -> str:
        """The form for people: `x + 2 a; a = conv3(x)`; "pool2" pools twice."""
        parts = [_sum_text(self.output)]
        for number, (kernel, argument) in enumerate(self.weights):
            made = f"conv{kernel}({_sum_text(argument)})" if kernel else "constant"
            parts.append(f"{_name(number)} = {made}")
        return "; ".join(parts)


class SymbolicHasher(Hasher):
    """Merges cells of NAS-Bench-201 that are one function by algebra; exact, for these cells only.

    Args:
        zero: what a convolution of zero is, "initial" or "trained".
        scale: "kept", or "removed" where only batch-normalised convolutions read it.

    Raises:
        ConfigError: another reading.
    """

    name = "symbolic"

    def __init__(self, *, zero: str = "initial", scale: str = "kept") -> None:
        for option, value, known in (("zero", zero, ZERO), ("scale", scale, SCALE)):
            if value not in known:
                raise ConfigError(
                    f'hashing "symbolic": {option}: expected {" or ".join(known)}; got {value!r}'
                )
        self.zero = zero
        self.scale = scale

    def hash(self, architecture: Architecture) -> Hashed:
        try:
            cell, network = read_cell(architecture)
        except SpaceError as error:
            return Hashed(None, reason=f"symbolic: {error}")
        form = normal_form(cell, zero=self.zero, scale=self.scale)
        value = hex_of(str(network), repr(form.key), self.zero, self.scale)
        return Hashed(str(Digest("symbolic", VERSION, 0, value)))

    def explain(self, architecture: Architecture) -> str:
        """The normal form for people; raises SpaceError as `read_cell`."""
        return normal_form(read_cell(architecture)[0], zero=self.zero, scale=self.scale).text()


def normal_form(cell: Cell, *, zero: str = "initial", scale: str = "kept") -> SymbolicForm:
    """The normal form in a reading."""
    weights, output = _expand(cell, zero == "trained", scale == "removed")
    live = _live(weights, output)
    return _canonical({number: weights[number] for number in live}, output)


def _expand(cell: Cell, trained: bool, unscaled: bool) -> tuple[dict[int, tuple[int, Sum]], Sum]:
    """The weights by their edges' numbers, and the output, by identities 1 to 4."""
    weights: dict[int, tuple[int, Sum]] = {}
    values: list[Counter[Term]] = [Counter({(_INPUT, 0): 1})]
    number = 0
    for edges in cell:
        value: Counter[Term] = Counter()
        for edge in edges:
            source = values[edge.source]
            if edge.operation == "skip":
                value.update(source)
            elif edge.operation == "pool":
                value.update(_pooled(source, weights))
            elif edge.operation == "conv" and (source or trained):
                weights[number] = _weight(edge, source, weights, unscaled)
                value[number, 0] += 1
            number += 1
        values.append(value)
    return weights, _sorted(values[-1])


def _pooled(value: Counter[Term], weights: Mapping[int, tuple[int, Sum]]) -> Counter[Term]:
    pooled: Counter[Term] = Counter()
    for (atom, times), count in value.items():
        pooled[atom, times if _is_constant(atom, weights) else times + 1] += count
    return pooled


def _weight(
    edge: OperationEdge, source: Counter[Term], weights: Mapping[int, tuple[int, Sum]], unscaled: bool
) -> tuple[int, Sum]:
    """What a convolution computes; a constant of its own where normalisation leaves its shift alone."""
    if not source or (edge.kernel == 1 and all(_is_constant(atom, weights) for atom, _ in source)):
        return _CONSTANT, ()
    divisor = math.gcd(*source.values()) if unscaled else 1
    return edge.kernel, _sorted({term: count // divisor for term, count in source.items()})


def _is_constant(atom: int, weights: Mapping[int, tuple[int, Sum]]) -> bool:
    return atom != _INPUT and weights[atom][0] == _CONSTANT


def _sorted(value: Mapping[Term, int]) -> Sum:
    return tuple(sorted(value.items()))


def _live(weights: Mapping[int, tuple[int, Sum]], output: Sum) -> list[int]:
    """The weights that the output depends on."""
    found: set[int] = set()
    waiting = [atom for (atom, _), _ in output]
    while waiting:
        atom = waiting.pop()
        if atom != _INPUT and atom not in found:
            found.add(atom)
            waiting += [read for (read, _), _ in weights[atom][1]]
    return sorted(found)


def _canonical(weights: Mapping[int, tuple[int, Sum]], output: Sum) -> SymbolicForm:
    """The smallest form over all orders of the weights in which colours ascend."""
    forms = []
    for order in _orders(_colours(weights, output)):
        place = {atom: index for index, atom in enumerate(order)} | {_INPUT: _INPUT}
        renamed = tuple((weights[atom][0], _renamed(weights[atom][1], place)) for atom in order)
        forms.append(SymbolicForm(renamed, _renamed(output, place), order))
    return min(forms, key=lambda form: form.key)


def _renamed(value: Sum, place: Mapping[int, int]) -> Sum:
    return tuple(sorted(((place[atom], times), count) for (atom, times), count in value))


def _colours(weights: Mapping[int, tuple[int, Sum]], output: Sum) -> dict[int, int]:
    """Colour refinement: weights of two colours are never interchangeable.

    A colour depends on the kernel, on what is read and on who reads, all by their colours; colours are
    ranks, so that they do not depend on the names of weights.
    """
    colour = _ranks({atom: (kernel,) for atom, (kernel, _) in weights.items()})
    for _ in weights:
        readers = {atom: [] for atom in weights}
        for reader, (_, value) in [*weights.items(), (_INPUT, (0, output))]:
            for (atom, times), count in value:
                if atom != _INPUT:
                    readers[atom].append((colour.get(reader, _INPUT), times, count))
        colour = _ranks(
            {
                atom: (
                    colour[atom],
                    sorted((colour.get(read, _INPUT), times, count) for (read, times), count in value),
                    sorted(readers[atom]),
                )
                for atom, (_, value) in weights.items()
            }
        )
    return colour


def _ranks(labels: Mapping[int, tuple]) -> dict[int, int]:
    ordered = sorted({repr(label): label for label in labels.values()}.values())
    return {atom: ordered.index(label) for atom, label in labels.items()}


def _orders(colour: Mapping[int, int]) -> Iterator[tuple[int, ...]]:
    """All orders of the weights by colour, each order within a colour."""
    groups: dict[int, list[int]] = {}
    for atom, rank in sorted(colour.items(), key=lambda item: (item[1], item[0])):
        groups.setdefault(rank, []).append(atom)
    for chosen in product(*(permutations(group) for group in groups.values())):
        yield tuple(atom for group in chosen for atom in group)


def _sum_text(value: Sum) -> str:
    return " + ".join(_term_text(term, count) for term, count in value) or "0"


def _term_text(term: Term, count: int) -> str:
    atom, times = term
    name = "x" if atom == _INPUT else _name(atom)
    pooled = f"pool{times if times > 1 else ''}({name})" if times else name
    return pooled if count == 1 else f"{count} {pooled}"


def _name(number: int) -> str:
    return "abcdefghijklmnopqrstuvw"[number] if number < 23 else f"w{number}"
