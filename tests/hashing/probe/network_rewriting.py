"""Rewritings of networks that keep what they compute and learn; they share nothing with the normal form."""

from __future__ import annotations

from typing import Any

from nas.language import INHERIT, REQUIRED, Define, Literal, Op, Ref, Repeat, Seq, Term
from nas.layers import NETWORK


def rewritten(term: Term, rng: Any, *, chain: bool = False) -> Term:
    """The same network in another notation; `chain` where each step counts."""
    match term:
        case Define(body, bindings):
            numbers = rng.integers(100, size=len(bindings))
            names = {name: f"{name}_{number}" for (name, _), number in zip(bindings, numbers, strict=True)}
            parts = [(names[name], rewritten(value, rng, chain=True)) for name, value in bindings]
            written = tuple((name, _renamed(value, names)) for name, value in parts)
            return Define(
                _renamed(rewritten(body, rng, chain=chain), names), (*written, ("unused", Op("relu")))
            )
        case Seq(parts):
            steps = [rewritten(part, rng, chain=chain) for part in parts]
            return Seq(tuple(step for part in steps for step in _steps(part, rng, chain)))
        case Repeat(body, low, _) if rng.integers(2):
            return Seq(tuple(step for _ in range(low) for step in _steps(body, rng, True)))
        case Op("add", args):
            branches = [rewritten(arg, rng) for arg in args]
            rng.shuffle(branches)
            if len(branches) > 2 and rng.integers(2):
                branches = [Op("add", tuple(branches[:2])), *branches[2:]]
            if rng.integers(2):
                branches = [Seq((Op("identity"), branch)) for branch in branches]
            return Op("add", tuple(branches))
        case Op("cell", args, attributes):
            stride = dict(attributes).get("stride", Literal(1)) != Literal(1)
            return Op("cell", tuple(_node(node, rng, stride) for node in args), _attributes(term, rng))
        case Op("chain", (body,), attributes):
            return Op("chain", (rewritten(body, rng, chain=True),), attributes)
        case Op("train", (network,), attributes):
            order = rng.permutation(len(attributes))
            return Op("train", (rewritten(network, rng),), tuple(attributes[i] for i in order))
        case Op(name, args, _):
            return Op(name, tuple(rewritten(arg, rng) for arg in args), _attributes(term, rng))
    return term


def _steps(term: Term, rng, chain: bool) -> list[Term]:
    inner = list(term.parts) if isinstance(term, Seq) and rng.integers(2) else [term]
    return inner if chain or rng.integers(3) else [*inner, Op("identity")]


def _node(node: Term, rng, reduction: bool) -> Term:
    """Edges in another order; a zero more where it cannot change the shape."""
    assert isinstance(node, Op)
    sources = dict(node.attributes)["inputs"]
    assert isinstance(sources, Literal)
    assert isinstance(sources.value, tuple)
    edges = [(rewritten(edge, rng), source) for edge, source in zip(node.args, sources.value, strict=True)]
    if rng.integers(2) and not reduction:
        edges.append((Op("zero"), 0))
    order = rng.permutation(len(edges))
    inputs = Literal(tuple(edges[i][1] for i in order))
    return Op("node", tuple(edges[i][0] for i in order), (("inputs", inputs),))


def _attributes(op: Op, rng) -> tuple[tuple[str, Term], ...]:
    """In another order, those at their default dropped or written out."""
    given = dict(op.attributes)
    for attribute in NETWORK.get(op.name).attributes:
        default = attribute.default
        if default is REQUIRED or default is INHERIT or default is None:
            continue
        if attribute.name not in given and rng.integers(2):
            given[attribute.name] = Literal(default)
        elif given.get(attribute.name) == Literal(default) and rng.integers(2):
            del given[attribute.name]
    names = list(given)
    rng.shuffle(names)
    return tuple((name, given[name]) for name in names)


def _renamed(term: Term, names: dict[str, str]) -> Term:
    match term:
        case Ref(name):
            return Ref(names.get(name, name))
        case Seq(parts):
            return Seq(tuple(_renamed(part, names) for part in parts))
        case Repeat(body, low, high):
            return Repeat(_renamed(body, names), low, high)
        case Op(name, args, attributes):
            return Op(name, tuple(_renamed(arg, names) for arg in args), attributes)
    return term
