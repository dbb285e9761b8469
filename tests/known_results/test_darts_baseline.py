"""The plain DARTS supernet that speed is measured against is the published one: sizes, gradients, cells."""

import pytest
import torch
from torch.func import functional_call
from torch.nn import functional

from nas.search_spaces.darts import DARTS_V1, from_genotype, genotype, space
from tests.benchmarks.darts_baseline import (
    KINDS,
    OPERATIONS,
    MixedOperation,
    Pool,
    Shape,
    Supernet,
    discretize,
)
from tests.benchmarks.darts_baseline_search import BaselineSearch, Settings

TINY = Shape(channels=2, cells=2, classes=3, nodes=2)  # both cells are reductions


def count(shape):
    return sum(parameter.numel() for parameter in Supernet(shape).parameters())


def batches(seed=0, side=8):
    """A training and a validation batch in double precision."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, 4, 3, side, side, generator=generator, dtype=torch.float64)
    labels = torch.randint(3, (2, 4), generator=generator)
    return (images[0], labels[0]), (images[1], labels[1])


def tiny_search(shape=TINY, **settings):
    """After two steps, so that there is momentum, with architecture weights that are not all alike."""
    search = BaselineSearch(shape, dtype=torch.float64, settings=Settings(alpha_scale=0.5, **settings))
    for seed in (1, 2):
        search.step(*batches(seed))
    return search


# sizes


def test_published_number_of_weights():
    assert count(Shape(channels=16, cells=8)) == 1_930_618


def test_number_of_weights_at_the_size_of_the_benchmark():
    assert count(Shape(channels=8, cells=5)) == 394_210


def test_architecture_weights_are_not_among_them():
    search = BaselineSearch(Shape(channels=2, cells=2))
    assert {kind: tuple(alpha.shape) for kind, alpha in search.alphas.items()} == {
        "normal": (14, 8),
        "reduction": (14, 8),
    }
    assert not any("alpha" in name for name in search.parameters())


def test_reductions_stand_at_one_third_and_two_thirds():
    assert Shape(cells=8).reductions == (2, 5)
    assert Shape(cells=5).reductions == (1, 3)
    assert Supernet(Shape(2, 5))(torch.zeros(2, 3, 16, 16), BaselineSearch(Shape(2, 5)).alphas).shape == (
        2,
        10,
    )


# values


def test_one_hot_weights_compute_one_operation_alone():
    """An edge with weight one on an operation is that operation."""
    edge = MixedOperation(channels=4, stride=1).double()
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    assert tuple(edge) == OPERATIONS
    for position, operation in enumerate(edge.values()):
        weights = functional.one_hot(torch.tensor(position), 8).double()
        torch.testing.assert_close(edge(x, weights), operation(x))
    operations = dict(edge.items())
    assert torch.equal(operations["none"](x), torch.zeros_like(x))
    assert torch.equal(operations["skip_connect"](x), x)


def test_an_average_leaves_the_padding_out():
    pool = Pool("average", channels=4, stride=1).pool
    torch.testing.assert_close(pool(torch.ones(1, 4, 5, 5)), torch.ones(1, 4, 5, 5))


def test_weights_taken_over_give_the_same_numbers():
    one, other = tiny_search(), BaselineSearch(TINY, seed=5, dtype=torch.float64)
    other.load(one.parameters(), one.alphas)
    images = batches()[0][0]
    torch.testing.assert_close(
        one.network(images, one.alphas), other.network(images, other.alphas), rtol=0, atol=0
    )
    with pytest.raises(ValueError, match=r"names of weights differ: \['stem.convolution.weight'\]"):
        other.load({k: v for k, v in one.parameters().items() if k != "stem.convolution.weight"}, one.alphas)


def test_first_weight_step_by_hand():
    """Clipped gradient plus decay, times the rate: no momentum yet."""
    search = BaselineSearch(TINY, dtype=torch.float64, settings=Settings(clip=0.5))
    train, _ = batches()
    before = {name: weight.detach().clone() for name, weight in search.parameters().items()}
    loss = functional.cross_entropy(search.network(train[0], search.alphas), train[1])
    gradients = torch.autograd.grad(loss, list(search.parameters().values()))
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    assert norm > 0.5
    search.weight_step(train)
    for (name, weight), gradient in zip(search.parameters().items(), gradients, strict=True):
        expected = before[name] - 0.025 * (0.5 / (norm + 1e-6) * gradient + 3e-4 * before[name])
        torch.testing.assert_close(weight.detach(), expected, rtol=1e-10, atol=1e-12)


# second order


def unrolled_loss(search, train, valid, alphas):
    """The validation loss after one step of the weights, as a differentiable function of the alphas."""
    settings, weights = search.settings, search.parameters()
    loss = functional.cross_entropy(search.network(train[0], alphas), train[1])
    gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
    stepped = {}
    for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
        moment = settings.momentum * search.optimizer.state[weight]["momentum_buffer"]
        fixed = weight.detach()
        stepped[name] = fixed - settings.rate * (moment + gradient + settings.decay * fixed)
    return functional.cross_entropy(functional_call(search.network, stepped, (valid[0], alphas)), valid[1])


def exact_gradient(search, train, valid):
    alphas = {kind: search.alphas[kind].detach().clone().requires_grad_() for kind in KINDS}
    loss = unrolled_loss(search, train, valid, alphas)
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(alphas.values()))])


def found_gradient(search, train, valid):
    search.second_order_gradient(train, valid)
    return torch.cat([search.alphas[kind].grad.flatten() for kind in KINDS])


def relative(found, expected):
    return float((found - expected).norm() / expected.norm())


# a normal cell and two reductions
SMALL = Shape(channels=2, cells=3, classes=3, nodes=1)


@pytest.mark.parametrize("radius", [1e-6, 1e-5])
def test_second_order_gradient_is_that_of_the_unrolled_loss(radius):
    """Automatic differentiation through the weight step gives what the central difference gives."""
    search = tiny_search(SMALL, radius=radius, rate=0.1)
    train, valid = batches()
    exact = exact_gradient(search, train, valid)
    assert relative(found_gradient(search, train, valid), exact) < 1e-5
    first_order = torch.autograd.grad(search._loss(valid), list(search.alphas.values()))
    assert relative(torch.cat([g.flatten() for g in first_order]), exact) > 0.05  # the term matters


def test_second_order_gradient_at_the_published_radius():
    """Equation 8 written out: gradients at weights moved by 0.01 along the normalised direction v.

    ReLUs and maxima make it an estimate only: on a network this small it is some 15 % off the exact one.
    """
    search = tiny_search(SMALL)
    train, valid = batches()
    names, alphas = list(search.parameters()), list(search.alphas.values())

    def loss_at(weights, batch):
        logits = functional_call(search.network, weights, (batch[0], search.alphas))
        return functional.cross_entropy(logits, batch[1])

    weights = {name: weight.detach().clone().requires_grad_() for name, weight in search.parameters().items()}
    slopes = torch.autograd.grad(loss_at(weights, train), list(weights.values()))
    moments = [search.optimizer.state[weight]["momentum_buffer"] for weight in search.parameters().values()]
    stepped = {
        name: (w - 0.025 * (0.9 * m + g + 3e-4 * w)).detach().requires_grad_()
        for (name, w), m, g in zip(weights.items(), moments, slopes, strict=True)
    }
    outer = torch.autograd.grad(loss_at(stepped, valid), [*alphas, *stepped.values()])
    direction = dict(zip(names, outer[2:], strict=True))
    width = 0.01 / torch.cat([part.flatten() for part in direction.values()]).norm()
    ends = []
    for sign in (1, -1):
        moved = {name: (weights[name] + sign * width * direction[name]).detach() for name in names}
        ends.append(torch.autograd.grad(loss_at(moved, train), alphas))
    expected = torch.cat(
        [(o - 0.025 * (a - b) / (2 * width)).flatten() for o, a, b in zip(outer, *ends, strict=False)]
    )
    found = found_gradient(search, train, valid)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-11)
    assert relative(found, exact_gradient(search, train, valid)) < 0.5


def test_second_order_gradient_by_differences_of_the_unrolled_loss():
    """No automatic differentiation of the outer loss: the alphas are moved one by one."""
    search = tiny_search(SMALL, radius=1e-5)
    train, valid = batches()
    found = found_gradient(search, train, valid)
    width = 1e-5
    alphas = {kind: alpha.detach().clone() for kind, alpha in search.alphas.items()}
    flat = [alphas[kind].view(-1) for kind in KINDS]
    for place in (0, 3, 4, 9, 15, 16, 20, 31):
        part, index = flat[place // 16], place % 16
        losses = []
        for sign in (1, -1):
            part[index] += sign * width
            losses.append(float(unrolled_loss(search, train, valid, alphas).detach()))
            part[index] -= sign * width
        assert (losses[0] - losses[1]) / (2 * width) == pytest.approx(float(found[place]), rel=1e-3, abs=1e-7)


def test_second_order_step_leaves_the_weights_where_they_were():
    search = tiny_search()
    before = {name: weight.detach().clone() for name, weight in search.parameters().items()}
    search.architecture_step(*batches(), second_order=True)
    for name, weight in search.parameters().items():
        torch.testing.assert_close(weight.detach(), before[name], rtol=1e-12, atol=1e-14)


def test_first_architecture_step_of_adam_by_hand():
    """Of Adam's first step only the sign of gradient plus decay is left."""
    search = BaselineSearch(TINY, dtype=torch.float64, settings=Settings(alpha_scale=0.5))
    train, valid = batches()
    before = search.alphas["normal"].detach().clone(), search.alphas["reduction"].detach().clone()
    gradient = torch.autograd.grad(search._loss(valid), search.alphas["reduction"])[0]
    search.architecture_step(train, valid, second_order=False)
    slope = gradient + 1e-3 * before[1]
    expected = before[1] - 3e-4 * slope / (slope.abs() + 1e-8)
    torch.testing.assert_close(search.alphas["reduction"].detach(), expected, rtol=1e-9, atol=1e-12)
    assert torch.equal(search.alphas["normal"], before[0])  # both cells are reductions: no gradient at all


# discretisation


def alphas_of(edges, shape=None):
    """Architecture weights with a given logit at (source, target): operation; others zero."""
    shape = shape or Shape()
    alphas = torch.zeros(len(shape.edges), len(OPERATIONS))
    for (source, target), (operation, logit) in edges.items():
        alphas[shape.edges.index((source, target)), OPERATIONS.index(operation)] = logit
    return alphas


# the normal cell of DARTS_V1; of each node the stronger edge first
V1_NORMAL = {
    (1, 2): ("sep_conv_3x3", 2.0),
    (0, 2): ("sep_conv_3x3", 1.0),
    (0, 3): ("skip_connect", 2.0),
    (1, 3): ("sep_conv_3x3", 1.0),
    (2, 3): ("sep_conv_5x5", 0.5),
    (0, 4): ("skip_connect", 2.0),
    (1, 4): ("sep_conv_3x3", 1.0),
    (0, 5): ("sep_conv_3x3", 2.0),
    (2, 5): ("skip_connect", 1.0),
}


def test_cell_is_read_from_the_two_strongest_edges():
    normal = discretize(alphas_of(V1_NORMAL))
    darts = space()
    published = from_genotype(darts, DARTS_V1)
    reduction = DARTS_V1.partition("reduce=")[2]
    written = f"Genotype(normal={normal}, normal_concat=[2, 3, 4, 5], reduce={reduction}"
    assert genotype(from_genotype(darts, written)) == genotype(published)
    assert str(normal) in DARTS_V1  # also the order within a node


def test_none_is_never_chosen_but_weakens_its_edge():
    """Weights are compared, not logits: 3 beside `none` at 5 is less than 1 without it."""
    shape = Shape(nodes=2)
    edges = {
        (0, 3): ("sep_conv_5x5", 3.0),
        (1, 3): ("dil_conv_3x3", 1.0),
        (2, 3): ("max_pool_3x3", 1.1),
    }
    alphas = alphas_of(edges, shape)
    assert discretize(alphas, shape)[2:] == [("sep_conv_5x5", 0), ("max_pool_3x3", 2)]
    alphas[shape.edges.index((0, 3)), 0] = 5.0
    assert discretize(alphas, shape)[2:] == [("max_pool_3x3", 2), ("dil_conv_3x3", 1)]


def test_equal_weights_keep_the_order_of_sources_and_operations():
    assert discretize(torch.zeros(14, 8)) == [("max_pool_3x3", source) for _ in range(4) for source in (0, 1)]
