"""Hypothesis strategies over the toy vocabulary: any term of the language, expressions of valid spaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import assume
from hypothesis import strategies as st

from nas.errors import SpaceError
from nas.language import (
    Term,
    choose,
    define,
    empty,
    integer,
    let,
    oneof,
    op,
    optional,
    permutation,
    program,
    real,
    ref,
    repeat,
    rule,
    seq,
    shared,
    train,
    use,
)
from nas.language.dsl import name
from nas.space import SearchSpace
from tests.space.toy_spaces import VOCABULARY

Draw = Callable[[st.SearchStrategy], object]

_finite = st.floats(allow_nan=False, allow_infinity=False)
_plain = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | _finite | st.text(max_size=5)
values = st.recursive(_plain, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
_bounds = st.lists(st.integers(1, 60), min_size=2, max_size=2).map(sorted)
_numbers = st.builds(lambda b, log: integer(*b, log=log), _bounds, st.booleans()) | st.builds(
    lambda b, log: real(b[0] / 7, b[1] / 7, log=log), _bounds, st.booleans()
)


@st.composite
def terms(draw, level: int = 3, names: tuple[str, ...] = ()) -> Term:
    """Any term whose references are bound; not necessarily one that a space accepts."""
    if level == 0:
        leaves = [values.map(oneof), _numbers, st.sampled_from([op.a(), empty(), use("t"), name("v")])]
        leaves += [st.sampled_from([ref(known) for known in names])] if names else []
        return draw(st.one_of(leaves))
    part = terms(level - 1, names)
    parts = st.lists(part, min_size=1, max_size=3)
    fresh = f"r{level}"
    inner = terms(level - 1, (*names, fresh))
    return draw(
        st.one_of(
            parts.map(lambda p: seq(*p)),
            parts.map(lambda p: oneof(*p)),
            parts.filter(lambda p: len(p) > 1).map(lambda p: p[0] | p[1]),
            parts.filter(lambda p: len(p) > 1).map(lambda p: p[0] + p[1]),
            st.builds(lambda p, k: op.c(*p, k=k, w=3), parts, part | values),
            st.lists(values, min_size=1, max_size=3).map(lambda v: oneof(*v)),
            st.builds(repeat, part, st.integers(0, 3), st.integers(3, 5) | st.none(), tied=st.booleans()),
            part.map(lambda p: repeat(p, (0, 2, 5))),
            part.map(optional),
            part.map(lambda p: shared("s", p)),
            part.map(lambda p: let("t", p)),
            inner.map(lambda p: rule(fresh, p, depth=2)),
            st.builds(lambda p, q: define(q, **{fresh: p}), part, inner),
            st.builds(lambda p, q: program(op.inputs(v="t"), p, out=q), part, part),
        )
    )


@dataclass
class _Context:
    """What may be referred to, and the names that are shared so far, with their bodies."""

    parts: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    shared: dict[str, Term] = field(default_factory=dict)


@st.composite
def expressions(draw, *, reals: bool = False) -> Term:
    """An expression that makes a valid space of the toy vocabulary; with `reals` perhaps an unbounded one."""
    kind = draw(st.sampled_from(["plain", "plain", "define", "train", "program"]))
    if kind == "program":
        return _program(draw, reals)
    net = _steps(draw, 3, _Context())
    if kind == "plain":
        return net
    settings = {"lr": real(0.1, 1.0, log=True)} if reals else {"epochs": integer(-1, 1)}
    if kind == "train":
        return train(net, **settings)
    other = seq(_steps(draw, 2, _Context(("part",))), ref("part"))  # a part with holes must be used
    body = seq(_steps(draw, 2, _Context(("part", "other"))), ref("other"))
    whole = define(body, part=net, other=other)
    return train(whole, **settings) if draw(st.booleans()) else whole


def spaces(*, limit: int | None = 1500) -> st.SearchStrategy[SearchSpace]:
    """Valid spaces; finite ones of at most `limit` derivations, or any if it is None."""

    def build(expression: Term) -> SearchSpace:
        space = SearchSpace("random", expression, vocabulary=VOCABULARY)
        assume(limit is None or space.size() in range(1, limit + 1))
        return space

    return expressions(reals=limit is None).map(build)


def _steps(draw: Draw, level: int, context: _Context) -> Term:
    kinds = (
        ["op", "op"]
        if level == 0
        else ["op", "seq", "choice", "optional", "repeat", "shared", "rule", "nest"]
    )
    kinds += ["permutation"] * (level == 1) + ["ref"] * bool(context.parts + context.rules)
    kind = draw(st.sampled_from(kinds))
    down = level - 1
    if kind == "op":
        return _operation(draw, context)
    if kind == "ref":
        return ref(draw(st.sampled_from(context.parts + context.rules)))
    if kind == "seq":
        return seq(*(_steps(draw, down, context) for _ in range(draw(st.integers(0, 3)))))
    if kind == "choice":
        return oneof(*(_steps(draw, down, context) for _ in range(draw(st.integers(1, 3)))))
    if kind == "optional":
        return optional(_steps(draw, down, context))
    if kind == "repeat":
        counts = draw(st.sampled_from([(0, 2), (1, 2), (2, 2), (0, 0), (0, 3)]))
        listed = draw(st.sampled_from([None, (0, 2), (1, 3)]))
        body, tied = _steps(draw, down, context), draw(st.booleans())
        return repeat(body, *([listed] if listed else counts), tied=tied)
    if kind == "shared":
        return _shared(draw, "step", context, lambda: _steps(draw, down, context))
    if kind == "rule":
        return _rule(draw, down, context)
    if kind == "permutation":
        return permutation(_operation(draw, context), _operation(draw, context))
    wrapped = [_steps(draw, down, context) for _ in range(draw(st.integers(1, 2)))]
    return op.wrap(wrapped[0]) if len(wrapped) == 1 else op.pair(*wrapped)


def _operation(draw: Draw, context: _Context) -> Term:
    kind = draw(st.sampled_from(["a", "a", "b", "c", "node", "shared"]))
    if kind == "b":
        return op.b(k=draw(st.sampled_from([1, oneof(1, 2), integer(3, 5), integer(2, 2)])))
    if kind == "c":
        return op.c(w=8, k=draw(st.sampled_from([1, oneof(1, 5)])))
    if kind == "node":
        return op.node(inputs=choose(1, 0, 1))
    if kind == "shared":
        return op.b(k=_shared(draw, "k", context, lambda: oneof(1, 4)))
    return op.a()


def _shared(draw: Draw, name_: str, context: _Context, make: Callable[[], Term]) -> Term:
    name_ += str(draw(st.integers(0, 1)))
    if name_ not in context.shared:
        context.rules, around = (), context.rules  # a shared part cannot refer to the rules around it
        context.shared.setdefault(name_, make())  # the body may have used the name itself
        context.rules = around
    return shared(name_, context.shared[name_])


def _rule(draw: Draw, level: int, context: _Context) -> Term:
    name_ = f"rule{len(context.rules)}"
    inner = _Context(context.parts, (*context.rules, name_), context.shared)
    body = _steps(draw, level, inner)
    return rule(
        name_,
        draw(st.sampled_from([oneof(op.a(), body), oneof(body, op.a())])),
        depth=draw(st.integers(1, 3)),
    )


def _program(draw: Draw, reals: bool) -> Term:
    constant = real(0.1, 10, log=True) if reals else oneof(0.5, 2)
    tensor, scalar = use("tensor"), use("scalar")
    calls = {
        "plus": let("tensor", op.plus(tensor, tensor)),
        "scale": let("tensor", op.scale(tensor, scalar | constant)),
        "norm": let("scalar", op.norm(tensor)),
        "any": let("tensor", op.plus(tensor, name("w")) | op.norm(tensor)),
        "copy": let("scalar", scalar),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(calls)), min_size=1, max_size=3))
    statement = oneof(*(calls[key] for key in chosen), *([empty()] if draw(st.booleans()) else []))
    low, high = draw(st.sampled_from([(0, 1), (1, 2), (2, 2)]))
    body = (
        seq(calls[chosen[0]], repeat(statement, low, high))
        if draw(st.booleans())
        else repeat(statement, low, high)
    )
    return program(
        op.inputs(w="tensor", lr="scalar"), body, update=tensor, rate=draw(st.sampled_from([scalar, tensor]))
    )


__all__ = ["SpaceError", "expressions", "spaces", "terms", "values"]
