"""A toy vocabulary and tiny spaces in it, which together use every construct of the language.

Each `Toy` states the number of its derivations and of its different texts, counted by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nas.language import (
    Attribute,
    Primitive,
    Term,
    Vocabulary,
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
    residual,
    rule,
    shared,
    train,
    use,
    walk,
)
from nas.language.dsl import name
from nas.space import Architecture, Constraint, SearchSpace

_ANY = (0, None)
VOCABULARY = Vocabulary(
    "toy",
    (
        Primitive("a"),
        Primitive("b", (Attribute("k", "int", 1, low=1, high=9),)),
        Primitive("c", (Attribute("k", "int", 3, choices=(1, 3, 5)), Attribute("w", "int", 8))),
        Primitive("d", (Attribute("p", "float", 0.5, low=0, high=1),)),
        Primitive("wrap", arity=(1, 1)),
        Primitive("pair", arity=(2, 2)),
        Primitive("residual", arity=(1, 1)),
        Primitive("add", arity=_ANY),
        Primitive("concat", arity=_ANY),
        Primitive("zero"),
        Primitive("skip"),
        Primitive("node", (Attribute("inputs", "ints", (0,), low=0),), _ANY),
        Primitive("cell", (Attribute("inputs", "int", 1), Attribute("output", "str", "last")), _ANY),
        Primitive(
            "train",
            (
                Attribute("lr", "float", 0.1),
                Attribute("decay", "float", 0.0),
                Attribute("epochs", "int", 1),
                Attribute("optimizer", "str", "sgd"),
                Attribute("nesterov", "bool", False),
            ),
            (1, 1),
        ),
        Primitive("plus", arity=(2, 2), kind="program"),
        Primitive("scale", arity=(2, 2), kind="program"),
        Primitive("norm", arity=(1, 1), kind="program"),
        Primitive("less", arity=(2, 2), kind="program"),
        Primitive("select", arity=(3, 3), kind="program"),
    ),
    home="tests.space.toy_spaces:VOCABULARY",
)


@dataclass(frozen=True)
class Toy:
    """A space by name.

    Attributes:
        name: of the space.
        expression: its term.
        derivations: their number; None if unbounded.
        texts: number of different architectures, where it is less than `derivations`.
        constraints: of the space; they do not change `derivations`.
    """

    name: str
    expression: Term
    derivations: int | None
    texts: int | None = None
    constraints: tuple[Callable[[Architecture], str | None], ...] = ()

    def space(self) -> SearchSpace:
        return SearchSpace(self.name, self.expression, vocabulary=VOCABULARY, constraints=self.constraints)


def at_most_five(architecture: Architecture) -> str | None:
    count = sum(1 for _ in walk(architecture.term))
    return None if count <= 5 else f"at most 5 nodes are expected; got {count}"


a, b = op.a(), op.b()
c = op.c(k=oneof(1, 3, 5))
tensor, scalar, flag = use("tensor"), use("scalar"), use("flag")

_CELL = op.cell(
    op.node(oneof(op.zero(), op.skip(), a), inputs=(0,)),
    op.node(*[oneof(op.zero(), op.skip(), a)] * 2, inputs=(0, 1)),
)
_JOINED = op.cell(
    op.node(a | b, a | b, inputs=(0, 1)),
    op.node(a | b, a | b, inputs=choose(2, 0, 1, 2)),
    inputs=2,
    output="concat",
)
_INPUTS = op.inputs(w="tensor", g="tensor", lr="scalar")
_STATEMENT = oneof(
    let("tensor", op.plus(tensor, tensor)),
    let("tensor", op.scale(tensor, scalar | real(0.01, 10, log=True))),
    let("scalar", op.norm(tensor)),
)


def _programs(inputs: int, statements: int) -> int:
    """Programs of up to so many `plus` or `norm` statements over inputs of one type, with one output."""
    total, found = 1, 0
    for n in range(statements + 1):
        found += total * (inputs + n)
        total *= (inputs + n) ** 2 + (inputs + n)
    return found


TOYS = (
    Toy("choice", oneof(a | b, c, oneof(a, b)), 2 + 3 + 2, 5),
    Toy("optional", a >> optional(op.b(k=oneof(1, 2, 3))) >> optional(a), 4 * 2),
    Toy("permutation", permutation(a, b, c) >> permutation(a, a), 6 * 3 * 2, 6 * 3),
    Toy("range", repeat(c | b, 1, 3), 4 + 16 + 64),
    Toy("counts", repeat(a | b, (0, 2, 4)) >> op.c(), 1 + 4 + 16),
    Toy("copies", repeat(a | b, 2) >> repeat(c, (0, 2, 3), tied=True) >> repeat(a, 0, 2), 4 * 7 * 3),
    Toy(
        "shared",
        optional(op.c(k=oneof(1, 3), w=shared("w", oneof(8, 16))))
        >> repeat(op.c(w=shared("w", oneof(8, 16))), 0, 2)
        >> shared("block", a | op.b(k=integer(1, 2)))
        >> shared("block", a | op.b(k=integer(1, 2))),
        (1 + 2 * 2 + 2 * 2 * 2 + 2 * 2) * 3,
    ),
    Toy(
        "define",
        define(
            b >> repeat(ref("cell"), 2) >> (ref("cell") | ref("other")),
            cell=residual(c),
            other=repeat(ref("cell") | op.d(p=oneof(0.0, 0.5)), 1, 2),
        ),
        3 * (3 + 9) * 2,
    ),
    Toy("grammar", rule("net", a | b | op.wrap(ref("net")) | op.pair(ref("net"), ref("net")), depth=3), 74),
    Toy("ambiguous", rule("net", a | b >> ref("net") | ref("net") >> ref("net"), depth=3), 13, 11),
    Toy(
        "rules",
        rule("outer", a | op.wrap(rule("inner", b | ref("outer") | op.wrap(ref("inner")), depth=2)), depth=2),
        1 + (1 + 3) + (1 + 3),
        7,
    ),
    Toy("notation", repeat(a, 2) | a >> a | repeat(c, 2, tied=True) | c >> c, 1 + 1 + 3 + 9),
    Toy(
        "settings",
        train(
            b >> optional(a),
            lr=real(1e-4, 1.0, log=True),
            decay=oneof(0, real(0, 1)),
            epochs=integer(1, 300, log=True),
            optimizer=oneof("sgd", "adam"),
        ),
        None,
    ),
    Toy(
        "integers",
        train(
            op.b(k=integer(1, 9, log=True)) >> op.c(k=integer(3, 3)),
            epochs=integer(-2, 2),
            nesterov=oneof(True, False),
        ),
        9 * 5 * 2,
    ),
    Toy("choose", op.node(inputs=choose(2, 0, 1, 2)) >> op.node(inputs=choose(1, 4, 5)) >> a, 3 * 2),
    Toy("cells", define(repeat(ref("cell"), 3) >> a, cell=_CELL), 27),
    Toy("joined", _JOINED, 2**4 * 3),
    Toy("branches", (a | b) + c + optional(a), 2 * 3 * 2),
    Toy(
        "program",
        program(
            op.inputs(w="tensor"),
            repeat(let("tensor", op.plus(tensor, tensor) | op.norm(tensor)), 0, 2),
            out=tensor,
        ),
        _programs(1, 2),
    ),
    Toy("types", program(_INPUTS, repeat(_STATEMENT, 0, 4), update=tensor, rate=scalar), None),
    Toy(
        "statements",
        program(
            op.inputs(w="tensor", u="tensor", f="flag"),
            (empty() | let("flag", op.less(tensor, name("u"))))
            >> let("tensor", op.select(flag, name("w"), oneof(tensor, 0, 1.0)))
            >> let("tensor", rule("e", tensor | op.plus(ref("e"), name("w")), depth=2)),
            update=tensor,
            state=oneof(name("w"), tensor),
        ),
        (1 * 1 + 2 * 2) * (2 + 2) * (3 + 3) * 4 * (1 + 4),
        (1 * 1 + 2 * 2) * (2 + 2) * (3 + 3) * 4 * 4,
    ),
    Toy(
        "constrained",
        repeat(a | op.wrap(b), 0, 4),
        1 + 2 + 4 + 8 + 16,
        constraints=(at_most_five,),
    ),
)

SPACES = {toy.name: toy.space() for toy in TOYS}
FINITE = tuple(toy for toy in TOYS if toy.derivations is not None)


def space(expression: Term | str, *constraints: Constraint) -> SearchSpace:
    """A search space "toy" of the vocabulary of these tests."""
    return SearchSpace("toy", expression, vocabulary=VOCABULARY, constraints=constraints)
