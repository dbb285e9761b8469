"""Modules of one's own: what they are is found out by running them, in front of a cell and behind one."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import nn

from nas.hashing.functional import FunctionalHasher
from nas.language import Attribute, Op, Primitive, Seq, Term, Vocabulary, parse
from nas.layers import NETWORK
from tests.hashing.probe.network_kit import digest, hashed, reason

CELL = parse("cell(node(conv()))")
PLACES = [lambda term: term, lambda term: Seq((CELL, term))]
everywhere = pytest.mark.parametrize("place", PLACES, ids=["in front of a cell", "behind a cell"])


def shape(in_shape, attributes, parts, context):
    return in_shape


def vocabulary(**modules) -> Vocabulary:
    """Primitives by name; each module is made for the number of channels."""

    def builder(module):
        return lambda in_shape, *_: module(in_shape[0])

    primitives = [Primitive(name, shape=shape, build=builder(module)) for name, module in modules.items()]
    return NETWORK.extended("test", *primitives)


def compared(first, second, place) -> bool:
    words = vocabulary(first=first, second=second)
    return digest(place(Op("first")), words) == digest(place(Op("second")), words)


class Silent(nn.Module):
    """Says nothing of its function when printed."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Noisy(nn.Module):
    def forward(self, x):
        return x + np.random.default_rng().standard_normal()


class Counting(nn.Module):
    """Another function from its call number `late` on."""

    late = 1

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * (2.0 if self.calls > self.late else 1.0)


class CountingLate(Counting):
    late = 5


class Remembering(nn.Module):
    """Gives the sum of its last two inputs."""

    def __init__(self):
        super().__init__()
        self.last = None

    def forward(self, x):
        before, self.last = self.last, x
        return x if before is None or before.shape != x.shape else x + before


class Shaken(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)


class Raising(nn.Module):
    def forward(self, x):
        raise KeyError("no such\nchannel")


class Named(nn.Module):
    """Hands its input on by name."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return self.conv(input=x)


class Borrowing(nn.Module):
    """Uses a convolution's weights without calling it."""

    def __init__(self, channels, both=False):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)
        self.both = both

    def forward(self, x):
        y = F.conv2d(x, self.conv.weight, self.conv.bias)
        return self.conv(torch.tanh(y)) if self.both else y


class Three(nn.Module):
    """Three convolutions, `of` which are used."""

    def __init__(self, channels, of):
        super().__init__()
        self.parts = nn.ModuleList([nn.Conv2d(channels, channels, 1) for _ in range(3)])
        self.of = of

    def forward(self, x):
        return sum(self.parts[i](x) for i in self.of)


class Tied(nn.Module):
    """Two convolutions, one after the other, with one weight or two."""

    def __init__(self, channels, tied):
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, channels, 1, bias=False) for _ in range(2))
        if tied:
            self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


class Constant(nn.Module):
    def forward(self, x):
        return torch.ones_like(x)


@everywhere
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda _: Silent(torch.sin), lambda _: Silent(torch.cos)),
        (lambda _: nn.AvgPool2d(3, 1, 1), lambda _: nn.AvgPool2d(3, 1, 1, count_include_pad=False)),
        (lambda c: Three(c, (0, 1, 2)), lambda c: Three(c, (0, 1, 1))),
        (lambda c: Three(c, (0, 1)), lambda c: Three(c, (0, 0))),
        (lambda c: Tied(c, True), lambda c: Tied(c, False)),
        (lambda c: Borrowing(c), lambda c: Borrowing(c, both=True)),
    ],
    ids=["function", "padding", "three and two", "two and one", "tied weights", "borrowed weights"],
)
def test_modules_that_print_alike_are_told_apart(first, second, place):
    assert not compared(first, second, place)


@everywhere
def test_which_of_a_modules_parts_is_used_twice_does_not_matter(place):
    assert compared(lambda c: Three(c, (0, 1, 1)), lambda c: Three(c, (2, 2, 0)), place)


@everywhere
@pytest.mark.parametrize("module", [Named, Borrowing])
def test_two_that_are_not_called_plainly_are_not_one_used_twice(module, place):
    words = vocabulary(own=module)
    two, once = Op("add", (Op("own"), Op("own"))), Seq((Op("own"), parse("add(identity(), identity())")))
    assert digest(place(two), words) != digest(place(once), words)


def test_weights_that_a_layer_of_torch_reads_past_their_owner_are_drawn():
    """Attention reads those of its last projection, which is never called."""
    words = vocabulary(own=lambda features: nn.TransformerEncoderLayer(features, 2, 8, dropout=0.0))
    two = parse("flatten() >> linear(width=4) >> add(own(), own())")
    once = parse("flatten() >> linear(width=4) >> own() >> add(identity(), identity())")
    assert digest(two, words) != digest(once, words)
    assert digest(two, words) == digest(two, words)


def test_a_part_of_a_composite_of_ones_own_used_twice_is_not_two():
    def build(in_shape, attributes, parts, context):
        return nn.Sequential(parts[0].build(in_shape, context), nn.Tanh())

    wrap = Primitive("wrap", (), (1, 1), shape=lambda i, a, parts, c: parts[0].shape(i, c), build=build)
    words = NETWORK.extended("test", wrap)
    three = parse("add(conv(), conv(), conv())")
    two = parse("add(conv(), conv() >> add(identity(), identity()))")
    assert digest(Op("wrap", (three,)), words) != digest(Op("wrap", (two,)), words)
    assert digest(Op("wrap", (parse("conv() >> identity()"),)), words) == digest(
        Op("wrap", (parse("conv()"),)), words
    )


@everywhere
@pytest.mark.parametrize("module", [Noisy, Counting, CountingLate, Remembering])
def test_hidden_randomness_and_state_are_found_out(module, place):
    found = reason(place(Op("own")), vocabulary(own=lambda _: module()))
    assert found is not None
    assert 'primitive "own" gives different results' in found


@everywhere
def test_randomness_of_torch_is_seeded(place):
    assert reason(place(Op("own")), vocabulary(own=lambda _: Shaken())) is None


@everywhere
@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (lambda _: nn.Linear(5, 5), 'primitive "own": RuntimeError'),
        (lambda _: Raising(), 'primitive "own": KeyError'),
        (lambda _: Silent(lambda x: x[:, :1]), 'primitive "own": expected a tensor of shape'),
        (lambda _: Silent(lambda x: (x, x)), 'primitive "own": expected a tensor of shape'),
        (lambda _: nn.Threshold(1e9, float("nan")), "not finite"),
        (lambda _: 1 // 0, '"own": expected its builder to work, got ZeroDivisionError'),
    ],
    ids=["does not fit", "raises", "another shape", "no tensor", "not a number", "cannot be made"],
)
def test_what_cannot_run_is_unhashable_with_a_reason(module, expected, place):
    found = reason(place(Op("own")), vocabulary(own=module))
    assert found is not None
    assert expected in found
    assert "\n" not in found


def test_interrupts_are_not_taken_for_reasons():
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hashed(Op("own"), vocabulary(own=stop))


def second_cell(source: int) -> Term:
    """A chain whose second cell reads either input through what ignores it."""
    read = f"cell(node(constant() >> conv(), inputs=({source},)), inputs=2)"
    return parse(f"chain(cell(node(conv()), inputs=2) >> {read}, width=4)")


def test_the_order_of_hashing_does_not_matter_where_a_primitive_ignores_its_input():
    words, found = vocabulary(constant=lambda _: Constant()), []
    for order in ((0, 1), (1, 0)):
        hasher = FunctionalHasher()
        digests = {source: digest(second_cell(source), words, hasher) for source in order}
        found.append([digests[0], digests[1]])
    assert found[0] == found[1]


def test_attributes_of_ones_own_count_behind_a_cell():
    scale = Primitive(
        "scale",
        (Attribute("factor", "float", 1.0),),
        shape=shape,
        build=lambda i, attributes, p, c: Silent(lambda x: x * attributes["factor"]),
    )
    words = NETWORK.extended("test", scale)
    found = {digest(Seq((CELL, parse(f"scale(factor={factor})"))), words) for factor in (1.5, 2.5)}
    assert len(found) == 2
