import pickle
import subprocess
import sys

import pytest

from nas.errors import SpaceError
from nas.language import INHERIT, Attribute, Law, Lazy, Primitive, Vocabulary
from nas.layers import NETWORK
from nas.layers.shapes import same

SMALL = Vocabulary("small", (Primitive("twice", (Attribute("gain", "float"),), (1, 2), "doubles", same),))


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (Attribute("kernel", "int", low=1, high=7), 1),
        (Attribute("kernel", "int", low=1, high=7), 7),
        (Attribute("rate", "float", low=0.0), 0),
        (Attribute("rate", "float"), -2.5),
        (Attribute("bias", "bool"), False),
        (Attribute("padding", "str", choices=("same", "valid")), "valid"),
        (Attribute("inputs", "ints", low=0), (0, 3)),
        (Attribute("inputs", "ints", low=0), ()),
        (Attribute("stride", "int", None), None),
        (Attribute("even", "int", rule=lambda value: "odd" if value % 2 else None), 4),
    ],
)
def test_attribute_accepts(attribute, value):
    assert attribute.check(value) is None


@pytest.mark.parametrize(
    ("attribute", "value", "reason"),
    [
        (
            Attribute("kernel", "int", low=1, high=7),
            0,
            "kernel: expected an integer of at least 1 and at most 7; got 0",
        ),
        (Attribute("kernel", "int", high=7), 8, "kernel: expected an integer of at most 7; got 8"),
        (Attribute("kernel", "int"), 3.0, "kernel: expected an integer; got 3.0"),
        (Attribute("kernel", "int"), True, "kernel: expected an integer; got True"),
        (Attribute("kernel", "int"), None, "kernel: expected an integer; got None"),
        (Attribute("rate", "float"), float("nan"), "rate: expected a finite number; got nan"),
        (Attribute("rate", "float"), "0.5", "rate: expected a finite number; got '0.5'"),
        (Attribute("bias", "bool"), 1, "bias: expected True or False; got 1"),
        (
            Attribute("padding", "str", choices=("same", "valid")),
            "sam",
            "padding: expected one of 'same', 'valid'; got 'sam'",
        ),
        (
            Attribute("inputs", "ints", low=0),
            (0, -1),
            "inputs: expected a tuple of integers of at least 0; got (0, -1)",
        ),
        (Attribute("inputs", "ints"), 1, "inputs: expected a tuple of integers; got 1"),
        (Attribute("even", "int", rule=lambda value: "odd" if value % 2 else None), 5, "odd"),
    ],
)
def test_attribute_refuses_with_the_reason(attribute, value, reason):
    assert attribute.check(value) == reason


def test_check_accepts_names_and_arity():
    assert SMALL.check("twice", {"gain": 1}, 2) is None
    assert NETWORK.check("conv", [], 0) is None
    assert NETWORK.check("add", [], 99) is None


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        (
            ("twise", ["gain"], 1),
            'primitive "twise" is not in the vocabulary "small"; it has: twice; did you',
        ),
        (("twice", ["gian"], 1), '"twice" has no attribute "gian"; it has: gain; did you mean "gain"?'),
        (("twice", [], 1), '"twice" expects the attribute "gain"; got none; write gain=...'),
        (("twice", ["gain"], 0), '"twice" expects 1 to 2 expression(s) inside its parentheses; got 0'),
        (("twice", ["gain"], 3), '"twice" expects 1 to 2 expression(s) inside its parentheses; got 3'),
    ],
)
def test_check_says_what_does_not_fit(use, reason):
    assert SMALL.check(*use).startswith(reason)


def test_check_names_an_open_arity():
    assert (
        NETWORK.check("add", [], 0) == '"add" expects at least 1 expression(s) inside its parentheses; got 0'
    )


def test_get_unknown_name_lists_names_and_the_closest():
    with pytest.raises(
        SpaceError, match=r'"cnov" is not in the vocabulary "network"; it has: add, .*"conv"\?'
    ):
        NETWORK.get("cnov")


def test_vocabulary_holds_its_primitives():
    assert NETWORK.get("conv").name == "conv"
    assert "conv" in NETWORK
    assert "cnov" not in NETWORK
    assert NETWORK.names() == tuple(sorted(primitive.name for primitive in NETWORK))


def test_extended_adds_and_leaves_the_original():
    larger = SMALL.extended("larger", Primitive("thrice"))
    assert larger.names() == ("thrice", "twice")
    assert SMALL.names() == ("twice",)


def test_extended_refuses_a_name_twice():
    with pytest.raises(SpaceError, match=r'vocabulary "larger": primitive "twice" is there already'):
        SMALL.extended("larger", Primitive("twice"))


def test_vocabulary_with_a_home_pickles_as_a_reference():
    data = pickle.dumps(NETWORK)
    assert pickle.loads(data) is NETWORK
    assert len(data) < 100


def test_vocabulary_without_a_home_pickles_by_value():
    copy = pickle.loads(pickle.dumps(SMALL))
    assert copy == SMALL
    assert hash(copy) == hash(SMALL)
    assert copy.get("twice").attributes == SMALL.get("twice").attributes


def test_vocabulary_with_a_false_home_does_not_pickle():
    stray = NETWORK.extended("stray", home="nas.layers:NETWORK")
    with pytest.raises(SpaceError, match=r"its home nas\.layers:NETWORK holds another object"):
        pickle.dumps(stray)


def test_lazy_calls_what_it_names_with_leading_arguments():
    assert Lazy("operator:sub", (7,))(2) == 5
    assert pickle.loads(pickle.dumps(Lazy("operator:sub", (7,))))(3) == 4


def test_inherit_survives_pickling_as_itself():
    assert pickle.loads(pickle.dumps(Attribute("width", "int", INHERIT))).default is INHERIT


def test_shapes_need_no_torch():
    code = (
        "import sys, nas.layers.compile; from nas.layers.compile import infer_shape; "
        "from nas.language.dsl import parse; "
        "print(infer_shape(parse('stem(width=8) >> residual(conv()) >> head()'), (3, 8, 8), 10), "
        "'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(10,) False\n"


def test_laws_and_meaning_pickle_with_a_vocabulary_without_a_home():
    word = Primitive("sum", arity=(2, 2), laws=frozenset({Law.COMMUTES}))
    again = pickle.loads(pickle.dumps(Vocabulary("own", (word,), meaning="module:MEANING")))
    assert again.meaning == "module:MEANING"
    assert again.get("sum").laws == {Law.COMMUTES}


def _breaks(value: object) -> str | None:
    raise KeyError("x")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Attribute("k", "integer"),
            "attribute k: expected kind to be one of 'int', .*, got 'integer'",
        ),
        (lambda: Attribute("two words", "int"), "attribute: expected a name .*, got 'two words'"),
        (
            lambda: Attribute("k", "int", rule=_breaks).check(3),
            "attribute k: its rule raised KeyError: 'x' on 3; ",
        ),
        (
            lambda: Attribute("k", "int", rule=lambda _: True).check(3),  # type: ignore[arg-type, return-value]
            "attribute k: its rule's answer is None or the reason; got True on 3",
        ),
        (lambda: Primitive("my own"), "primitive: expected a name .*, got 'my own'"),
        (
            lambda: Primitive("oneof"),
            "primitive oneof: expected another name, as this is a word of the language",
        ),
        (lambda: Primitive("own", ("k",)), r"primitive own: expected attributes as .*, got \('k',\)"),
        (lambda: Primitive("own", Attribute("k", "int")), "primitive own: expected attributes as"),
        (lambda: Primitive("own", (), 1), r"primitive own: expected arity as .*, got 1; write \(1, 1\)"),
        (lambda: Vocabulary("v", ("relu",)), r'vocabulary "v": expected Primitive\(...\), got \'relu\''),
        (lambda: Vocabulary("v", (Primitive,)), r'vocabulary "v": expected Primitive\(...\), got <class'),
    ],
    ids=range(11),
)
def test_own_words_that_are_misdefined_are_refused_when_they_are_made(make, message):
    with pytest.raises(SpaceError, match=message):
        make()
