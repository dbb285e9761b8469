"""Runs hole-free expressions on the probe, sub-result by sub-result, and remembers every one of them.

Sums are flattened and added in one order, identities and zeros vanish, and only what reaches the output is
computed. A primitive's result is looked up by primitive, context and digest of its input, so what
architectures share is computed once in a process.

A cell is hashed by itself, on inputs that depend on their shapes alone, once for each combination of
shapes that it meets; where it stands in the network, it is an unknown function with that digest, applied to
what it reads. So stacked copies of a cell cost one. Behind a cell nothing has numbers: sums, concatenations,
identities and zeros are still taken apart, but primitives are known by their own functions, one by one. That
keeps apart networks that are equal only across a cell's border, or by what several primitives behind it do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from nas.hashing.probe.instances import Salted, Use, identified, told
from nas.hashing.probe.leaves import Build, Keys, Leaf, Salts, enlarged, too_small
from nas.hashing.probe.values import SMALL, Memory, UnhashableError, Value, Values, key_of, nbytes
from nas.language import Context, Define, Lazy, Op, Part, Ref, Repeat, Seq, Shape, Term, Vocabulary
from nas.layers import NETWORK, Scope, make_part

ShapeOf = Callable[[Shape], Shape]

_RESULT_BYTES = 256 * 2**20
_LEAF_BYTES = 256 * 2**20  # most of them of weights
_FACT_BYTES = 64 * 2**20  # of shapes, attributes and cells
_TERMS = 200_000  # that are numbered
_COMPOSITES = {
    "nas.layers.operations:zero": "zero",
    **{
        f"nas.layers.cells:build_{kind}": kind
        for kind in ("add", "concat", "residual", "train", "cell", "chain")
    },
}


@dataclass(frozen=True, slots=True)
class CellFunction:
    """What is known of a cell as a function of its inputs.

    Attributes:
        key: digest of the function.
        shape: of its output.
        support: bit i is set if it depends on input i.
        passes: the input that it passes on as it is, or None.
        is_zero: whether it gives zeros.
        has_instances: whether two copies on equal inputs differ, by their weights.
        lacks: see `Value`; not SMALL.
    """

    key: bytes
    shape: Shape
    support: int
    passes: int | None
    is_zero: bool
    has_instances: bool
    lacks: int


class Interpreter:
    """Everything that runs share: values, leaves, results, cells.

    Args:
        values: of the probe.
        vocabulary: of the architectures.
        classes: outputs of `head`.
        trained: see `Leaf`.
        scale_kept: whether a positive scale of what a normalised operation receives counts.
    """

    def __init__(
        self, values: Values, vocabulary: Vocabulary, classes: int, *, trained: bool, scale_kept: bool
    ) -> None:
        self.values = values
        self.scope = Scope(vocabulary or NETWORK)
        self.context = Context(classes)
        self._trained, self._scale_kept = trained, scale_kept
        self._results = Memory(_RESULT_BYTES)
        self._made = 0  # leaves so far
        self._forget_terms()
        self._composites: dict[str, str] = {}

    def begin(self) -> None:
        """Before an architecture: forgets which objects were met."""
        self._ids.clear()
        if len(self._numbers) > _TERMS:
            self._forget_terms()

    def _forget_terms(self) -> None:
        self._numbers: dict[Term, int] = {}
        self._ids: dict[int, tuple[Term, int]] = {}
        self.cells = Memory(_FACT_BYTES)
        self._facts = Memory(_FACT_BYTES)
        self._leaves = Memory(_LEAF_BYTES)

    def number(self, term: Term) -> int:
        """The same for equal terms, found fast for the same object."""
        known = self._ids.get(id(term))
        if known is None:
            known = self._ids[id(term)] = (term, self._numbers.setdefault(term, len(self._numbers)))
        return known[1]

    def composite(self, op: Op) -> str:
        """Which composite of the standard vocabulary a primitive is, or "zero"; "" for any other."""
        kind = self._composites.get(op.name)
        if kind is None:
            build = self.scope.vocabulary.get(op.name).build
            target = build.target if isinstance(build, Lazy) else ""
            kind = self._composites[op.name] = _COMPOSITES.get(target, "")
        return kind

    def part(self, term: Term) -> Part:
        return make_part(term, self.scope)

    def shape(self, term: Term, shape: Shape, context: Context) -> Shape:
        key = (self.number(term), shape, context.width, context.stride, "shape")
        found = self._facts.get(key)
        if found is None:
            found = self.part(term).shape(shape, context)
            self._facts.put(key, found)
        return found

    def attributes(self, op: Op, context: Context) -> dict[str, Any]:
        key = (self.number(op), context.width, context.stride)
        found = self._facts.get(key)
        if found is None:
            found = dict(self.part(op).attributes(context))
            self._facts.put(key, found)
        return found

    def leaf(self, term: Op, shape: Shape, context: Context) -> Leaf:
        key = (self.number(term), shape, context.width, context.stride)
        found = self._leaves.get(key)
        if found is None:
            part = self.part(term)
            found = self._made_leaf(
                key, term.name, lambda at: part.build(at, context), lambda at: part.shape(at, context)
            )
        return found

    def built(self, key: Any, name: str, build: Build, out: ShapeOf) -> Leaf:
        """A leaf that stands in no expression, such as a chain's stem.

        Args:
            key: tells it from others; its second part is the input's shape.
            name: for messages.
            build: makes the module for an input shape.
            out: the output's shape for an input shape.
        """
        return self._leaves.get(key) or self._made_leaf(key, name, build, out)

    def _made_leaf(self, key: Any, name: str, build: Build, out: ShapeOf) -> Leaf:
        leaf = self._new_leaf(name, build, out, key[1])
        if not self._scale_kept:
            leaf.ignores_scale = leaf.has_instances and self._is_scale_free(leaf)
        self._leaves.put(key, leaf, leaf.nbytes)
        return leaf

    def _new_leaf(self, name: str, build: Build, out: ShapeOf, shape: Shape) -> Leaf:
        self._made += 1
        leaf = Leaf(self._made, name, build, (shape, out(shape)), self.values, trained=self._trained)
        leaf.larger = lambda at: self._new_leaf(name, build, out, at)
        return leaf

    def apply(self, leaf: Leaf, x: Value, salts: Salts) -> tuple[Value, Keys]:
        """What a leaf makes of a value, with other weights than usual or not, and the keys of its draws."""
        if leaf.identity:
            return x, ()
        if not leaf.has_instances:
            salts = ()
        if x.tensor is None:
            return self._named(leaf, x, salts)
        key = (leaf.number, x.key, salts)
        found = self._results.get(key)
        if found is None:
            given = _unit(x.tensor) if leaf.ignores_scale and not x.is_zero else x.tensor
            y, keys = leaf.run(given, salts)
            found = (self.values.key(y), y, keys)
            self._results.put(key, found, nbytes(y))
        made, tensor, keys = found
        lacks, reach = leaf.pools.lacks(x), leaf.pools.reach(x)
        if made is None:
            return self.values.zero(leaf.out_shape, lacks), keys
        return Value(made, leaf.out_shape, tensor, x.support, lacks=lacks, reach=reach), keys

    def _named(self, leaf: Leaf, x: Value, salts: Salts) -> tuple[Value, Keys]:
        """A leaf on a value that is known by name only."""
        name, lacks = self._signature(leaf)
        keys = (key_of("use", name, x.key),) if leaf.has_instances else ()
        y = self.values.named(leaf.out_shape, (x,), "apply", name, x.key, repr(salts))
        y.lacks |= lacks
        return y, keys

    def _signature(self, leaf: Leaf) -> tuple[bytes, int]:
        """Digest of the function that a leaf is, from what it computes on an input of its own."""
        if leaf.signature is None:
            tried = leaf
            while True:
                y = self.apply(tried, self.values.generic(0, tried.in_shape), ())[0]
                if not y.lacks & SMALL:
                    break
                larger = enlarged((tried.in_shape,))
                if larger is None:
                    raise UnhashableError(too_small(f'primitive "{leaf.name}"'))
                tried = leaf.larger(larger[0])
            x = self.values.generic(0, tried.in_shape)

            def run(salted: Salted) -> tuple[Value, list[Use]]:
                y, keys = self.apply(tried, x, salted.get((), ()))
                return y, [((), keys)]

            first = run({})
            name = key_of(leaf.description, str(leaf.out_shape), told(first[0], identified(run, first)[0]))
            leaf.signature = name, y.lacks
        return leaf.signature

    def _is_scale_free(self, leaf: Leaf) -> bool:
        x = self.values.generic(0, leaf.in_shape).tensor
        assert x is not None, "inputs have tensors"
        return leaf.is_scale_free(x)


def _unit(x: torch.Tensor) -> torch.Tensor:
    """At a mean square of 9, the spread of the probe's inputs."""
    return x * (3.0 / x.square().mean().sqrt())


def inlined(term: Term, known: dict[str, Term] | None = None) -> Term:
    """The expression with every reference replaced by what it refers to; copies are one object."""
    known = known or {}
    match term:
        case Define(body, bindings):
            for name, bound in bindings:
                known = {**known, name: inlined(bound, known)}
            return inlined(body, known)
        case Ref(name):
            return known[name]
        case Seq(parts):
            return Seq(tuple(inlined(part, known) for part in parts)) if known else term
        case Repeat(body, low, high):
            return Repeat(inlined(body, known), low, high) if known else term
        case Op(name, args, attributes) if known:
            return Op(name, tuple(inlined(a, known) for a in args), _filled(attributes, known))
        case _:
            return term


def _filled(attributes: tuple[tuple[str, Term], ...], known: dict[str, Term]) -> tuple[tuple[str, Term], ...]:
    if not any(isinstance(value, Ref) for _, value in attributes):
        return attributes
    return tuple((name, inlined(value, known)) for name, value in attributes)
