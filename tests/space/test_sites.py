"""What may stand where in an expression, and the labels of its holes."""

from __future__ import annotations

from collections import Counter

import pytest

from nas.errors import SpaceError
from nas.language import (
    Term,
    define,
    empty,
    integer,
    let,
    oneof,
    op,
    optional,
    program,
    real,
    ref,
    repeat,
    rule,
    shared,
    train,
    use,
)
from nas.language.dsl import name
from nas.space import CHOICE, NUMBER, REPEAT, USE, Site, enumerate_architectures
from tests.space.toy_spaces import SPACES, TOYS, Toy, space

a, b = op.a(), op.b()
inputs = op.inputs(w="tensor", lr="scalar")
tensor = use("tensor")


def statements(body: Term) -> Term:
    return program(inputs, body, out=tensor)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("a(", r"text, line 1, column 2: '\(' was never closed"),
        (a >> op.bb(), 'toy at bb: primitive "bb" is not in the vocabulary "toy".*did you mean "b"?'),
        (op.b(q=3), 'toy at b: "b" has no attribute "q"; it has: k'),
        (op.b(k=10), "toy at b: k: expected an integer of at least 1 and at most 9; got 10"),
        (op.wrap(op.b(k=0)), "toy at wrap.b: k: expected"),
        (op.b(k=oneof(1, 3.0)), "toy at b: k: expected .* got 3.0"),
        (op.b(k=oneof(1, shared("s", oneof(2, 11)))), "toy at b: k: expected .* got 11"),
        (op.b(k=integer(1, 10)), "toy at b: k: expected .* got 10"),
        (op.b(k=real(1, 3)), "toy at b: k: expected .* got 1.0"),
        (op.c(k=integer(1, 5)), "toy at c: k: expected one of 1, 3, 5; got 2"),
        (op.d(p=real(0.5, 1.5)), "toy at d: p: expected a finite number .* got 1.5"),
        (op.b(k=b), r"toy at b: an attribute takes values, oneof, integer or real; got b\(\)"),
        (op.b(k=optional(3)), r"toy at b: an attribute takes values, .* got empty\(\)"),
        (op.wrap(a, b), 'toy at wrap: "wrap" expects 1 expression.* inside its parentheses; got 2'),
        (a >> name("b"), 'toy at root.1.: "b" is no part, rule or program input; inputs: none'),
        (a >> ref("b"), 'toy at root.1.: "b" is not defined here; defined: none'),
        (define(ref("y"), x=a), 'toy at root: "y" is not defined here; defined: x'),
        (define(a, x=ref("y"), y=a), 'toy at x: "y" is not defined here; defined: none'),
        (rule("r", a, depth=1) >> ref("r"), '"r" is not defined here'),
        (a >> define(ref("x"), x=a), r"define\(...\) stands at the root, or directly inside train"),
        (
            rule("r", op.wrap(ref("r")), depth=3),
            "toy: no end within a rule's depth; give it an option without",
        ),
        (
            shared("s", a | b) >> shared("s", a),
            'toy at root.1.: shared "s" has another domain than at root.0.; use the same domain',
        ),
        (
            rule("r", a | shared("s", a | ref("r")), depth=2),
            'toy at r.1..1.: "r" is not defined here; .* a shared part does not reach the rules around it',
        ),
        (
            a >> train(b, lr=oneof(0.1, 0.2)) >> a,
            r"toy at train: train\(...\) is expected at the root, else its settings never apply; write train",
        ),
        (train(train(a, lr=0.1), lr=0.2), "toy at train.train: train.* is expected at the root"),
        (op.wrap(train(a)), "toy at wrap.train: train.* is expected at the root"),
        (repeat(train(a), 1, 2), "toy at train: train.* is expected at the root"),
        (optional(a >> train(b)), "toy at root.1..train: train.* is expected at the root"),
        (define(ref("x") >> a, x=train(b)), "toy at x: train.* is expected at the root"),
        (
            define(a, x=b >> (a | b)),
            r'toy at x: part "x" is never used, so its choices have no effect; write ref\("x"\), in text x',
        ),
        (define(a, x=a | b, y=op.wrap(ref("x"))), 'toy at x: part "x" is never used'),
        (train(define(a, x=a | b), lr=0.1), 'toy at x: part "x" is never used'),
        (let("tensor", a), r"let\(...\) stands directly in a program's body"),
        (use("tensor"), r'use\("tensor"\) needs a program with an input of that type around it'),
        (
            statements(let("tensor", op.norm(use("flag")))),
            r'toy at program.norm: use\("flag"\) needs a program',
        ),
        (statements(a), r"toy at program.a: a statement is expected, let\(type, ...\); got a\(\)"),
        (statements(let("tensor", a >> b)), r"a statement computes one value; got a\(\) >> b\(\)"),
        (statements(let("tensor", optional(a))), r"a statement computes one value; got optional"),
        (statements(let("tensor", let("tensor", a))), "a statement computes one value"),
        (statements(op.plus(let("tensor", a), tensor)), "a statement is expected"),
        (statements(let("tensor", op.norm(let("tensor", a)))), r"let\(...\) stands directly"),
        (statements(repeat(repeat(let("tensor", a), 2), 2)), "statements stand in one plain repeat"),
        (
            statements(repeat(let("tensor", a), 2, tied=True)),
            "statements stand in one plain repeat; got a nested",
        ),
        (statements(shared("s", let("tensor", a))), "a statement is expected"),
        (statements(rule("r", let("tensor", a), depth=1)), "a statement is expected"),
        (program(inputs, empty(), out=let("tensor", a)), r"let\(...\) stands directly in a program's body"),
        (program(op.inputs(), empty()), "one program with at least one input is allowed"),
        (repeat(statements(empty()), 2), "one program .* not in a repeat"),
        (
            statements(empty()) >> statements(empty()),
            "one program with at least one input is allowed in a space",
        ),
        (statements(empty()) >> op.wrap(tensor), "needs a program with an input of that type around it"),
        (statements(empty()) >> op.wrap(name("w")), '"w" is no part, rule or program input; inputs: none'),
        (define(statements(empty()), w=a), '"w" names a value of the program already; rename part or input'),
        (define(statements(empty()), x3=a), '"x3" names a value of the program already'),
        (program(op.inputs(x0="t"), empty()), '"x0" names a value of the program already'),
        (
            statements(let("tensor", rule("w", tensor | op.norm(ref("w")), depth=2))),
            'rule "w" has the name of a program input; rename one of them',
        ),
    ],
)
def test_refusals_name_space_place_and_reason(expression, message):
    with pytest.raises(SpaceError, match=message) as caught:
        space(expression)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "expression",
    [
        train(a, lr=0.1) | train(b, lr=0.2),
        shared("s", train(a | b, lr=0.1)),
        define(train(ref("x"), lr=ref("y")), x=a, y=oneof(0.1, 0.2)),
        define(a, x=b),  # as the text of an architecture may be that does not use a part
    ],
)
def test_what_stands_at_the_root_by_a_choice_or_a_definition_is_accepted(expression):
    assert space(expression).start()


def test_rules_nested_too_deep_are_refused():
    inner = rule("s", a | ref("r") | op.wrap(ref("s")), depth=50)
    with pytest.raises(SpaceError, match=r"toy: nested too deep; .* lower the depth of rules inside rules"):
        space(rule("r", b | op.wrap(inner), depth=50))


def test_a_rule_may_be_as_deep_as_the_language_allows():
    deep = space(rule("r", a | b >> ref("r"), depth=50))
    assert deep.size() == 50
    longest = list(enumerate_architectures(deep))[-1]
    assert deep.parse(longest.text) == longest
    assert longest.text.count("b()") == 49


def test_attributes_of_wide_integers_are_checked_at_their_bounds():
    with pytest.raises(SpaceError, match="got 5000"):
        space(op.b(k=integer(1, 5000)))
    assert space(op.train(a, epochs=integer(-(10**6), 10**6))).size() == 2 * 10**6 + 1


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_holes_have_labels_of_their_own(toy: Toy):
    holes = [site for site in toy.space().layout.sites if site.kind in (CHOICE, NUMBER, REPEAT, USE)]
    assert [label for label, count in Counter(site.label for site in holes).items() if count > 1] == []


def test_labels_name_what_has_a_name():
    def labels(toy: str) -> list[str]:
        def is_hole(site: Site) -> bool:
            return site.kind in (CHOICE, NUMBER, REPEAT, USE)

        return [site.label for site in SPACES[toy].layout.sites if is_hole(site)]

    settings = ["train.lr", "train.decay", "train.decay[1]", "train.epochs", "train.optimizer"]
    assert labels("settings") == ["train[1]", *settings]
    assert labels("cells") == ["cell.node[0]", "cell.node[1][0]", "cell.node[1][1]"]
    assert labels("define") == ["cell.c.k", "other", "other.body", "other.body.d.p", "root[2]"]
    assert labels("rules") == ["outer", "outer.wrap.inner"]
    assert labels("program")[:3] == ["program", "program.body", "program.body.plus[0]"]
