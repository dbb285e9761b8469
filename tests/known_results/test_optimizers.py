"""Published optimizers, written as update rules, equal independent implementations step by step."""

import numpy as np
import pytest
import torch

from nas.search_spaces.update_rule import (
    ADAM,
    DISCOVERED,
    INITIAL,
    LION,
    SGD,
    SGD_MOMENTUM,
    STATE,
    compile_optimizer,
    space,
)

STEPS = 60
SHAPES = ((7,), (4, 5), (3, 2, 3, 3))
LR = 0.03

INPUTS = "inputs(w='tensor', g='tensor', m='tensor', v='tensor', lr='scalar')"
NESTEROV = (
    f"program({INPUTS}, mul(m, 0.9) >> add(x0, g) >> mul(x1, 0.9) >> add(x2, g) >> mul(x3, lr),"
    " update=x4, m=x1, v=v)"
)
DAMPENED = (
    f"program({INPUTS}, mul(g, 0.4) >> mul(m, 0.9) >> add(x0, x1) >> mul(x2, lr), update=x3, m=x2, v=v)"
)


def start():
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in SHAPES]


def gradient(weights, step):
    """Of a nonconvex function of the weights, with noise."""
    rng = np.random.default_rng((1, step))
    return [np.sin(3 * w) + 0.2 * w + 0.1 * rng.normal(size=w.shape) for w in weights]


def trajectory(make_optimizer, steps=STEPS, lr=LR):
    """Weights after each step, and the optimizer."""
    weights = [torch.nn.Parameter(torch.from_numpy(w)) for w in start()]
    optimizer = make_optimizer(weights, lr)
    seen = []
    for step in range(steps):
        found = gradient([w.detach().numpy() for w in weights], step)
        for weight, grad in zip(weights, found, strict=True):
            weight.grad = torch.from_numpy(grad)
        optimizer.step()
        seen.append([w.detach().numpy().copy() for w in weights])
    return seen, optimizer


def written(text, steps=STEPS, lr=LR):
    architecture = space(functions="paper").parse(text)
    return trajectory(compile_optimizer(architecture), steps, lr)[0]


def assert_same(got, expected):
    assert len(got) == len(expected)
    for step, (ours, theirs) in enumerate(zip(got, expected, strict=True)):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14, err_msg=f"step {step}")


def by_hand(rule, steps=STEPS):
    """Weights after each step of `rule(w, g, m, v) -> (w, m, v)`, in numpy."""
    weights = start()
    m, v = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    seen = []
    for step in range(steps):
        found = zip(weights, gradient(weights, step), m, v, strict=True)
        weights, m, v = (list(column) for column in zip(*(rule(*row) for row in found), strict=True))
        seen.append(weights)
    return seen


def sgd_momentum(w, g, m, v):
    m = 0.9 * m + g
    return w - LR * m, m, v


def adam(w, g, m, v):
    m = 0.9 * m + (1 - 0.9) * g
    v = 0.999 * v + (1 - 0.999) * g**2
    return w - LR * m / (np.sqrt(v) + 1e-8), m, v


def adamw_initial(w, g, m, v):
    m = 0.9 * m + (1 - 0.9) * g
    v = 0.999 * v + (1 - 0.999) * g**2
    return w - 0.001 * LR * (m / (np.sqrt(v) + 1e-8) + 0.01 * w), m, v


def lion(w, g, m, v):
    # the authors' order: shrink the weight, step by the sign of the blend with the old momentum, update it
    w = w * (1 - LR * 0.01)
    c = 0.9 * m + (1 - 0.9) * g
    return w - LR * np.sign(c), 0.99 * m + (1 - 0.99) * g, v


@pytest.mark.parametrize(
    ("text", "rule"),
    [(SGD_MOMENTUM, sgd_momentum), (ADAM, adam), (INITIAL, adamw_initial), (LION, lion)],
    ids=["sgd_momentum", "adam", "initial", "lion"],
)
def test_equals_the_published_rule_step_by_step(text, rule):
    assert_same(written(text), by_hand(rule))


@pytest.mark.parametrize(
    ("text", "options"),
    [(SGD, {}), (SGD_MOMENTUM, {"momentum": 0.9}), (NESTEROV, {"momentum": 0.9, "nesterov": True})],
    ids=["plain", "momentum", "nesterov"],
)
def test_equals_torch_sgd(text, options):
    theirs, _ = trajectory(lambda weights, lr: torch.optim.SGD(weights, lr=lr, **options))
    assert_same(written(text), theirs)


def test_equals_torch_sgd_with_dampening_from_a_zero_buffer():
    # torch fills an absent buffer with the first gradient, undampened; from zero the rules are the same
    def dampened(weights, lr):
        optimizer = torch.optim.SGD(weights, lr=lr, momentum=0.9, dampening=0.6)
        for weight in weights:
            optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        return optimizer

    assert_same(written(DAMPENED), trajectory(dampened)[0])


def test_lion_moves_every_weight_by_the_rate():
    before, after = written(LION.replace("mul(w, 0.01)", "mul(w, 0.0001)"), steps=2)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(np.abs(a - b), LR, rtol=1e-3)


def discovered(steps):
    """The paper's short program in numpy, statement by statement, over all weights; yields g, w and v."""
    weights = start()
    v = [np.zeros_like(w) for w in weights]
    for step in range(steps):
        raw = gradient(weights, step)
        length = np.sqrt(sum((g**2).sum() for g in raw))
        clipped = [np.arcsin(g * min(1.0, LR / (length + 1e-8))) for g in raw]
        m = [(1 - 0.899) * g + 0.899 * old for g, old in zip(clipped, v, strict=True)]
        v = [(1 - 1.109) * g + 1.109 * x for g, x in zip(clipped, m, strict=True)]
        update = [x / (np.sqrt(np.abs(x * x)) + 1e-8) + w * 0.4602 for x, w in zip(m, weights, strict=True)]
        weights = [w - u * (LR * 0.0002) for w, u in zip(weights, update, strict=True)]
        yield clipped, weights, v


def test_the_discovered_program_equals_its_statements():
    assert_same(written(DISCOVERED), [weights for _, weights, _ in discovered(STEPS)])


def test_v_of_the_discovered_program_is_one_moving_average():
    """Substituting m into v: v = (1 - b1 b2) g + b1 b2 v (Chen et al. 2023, section 3.1)."""
    steps, decay = 20, 0.899 * 1.109
    _, optimizer = trajectory(compile_optimizer(space(functions="paper").parse(DISCOVERED)), steps)
    average = [np.zeros(shape) for shape in SHAPES]
    for clipped, _, _ in discovered(steps):
        average = [(1 - decay) * g + decay * a for g, a in zip(clipped, average, strict=True)]
    state = [entry["v"].numpy() for entry in optimizer.state.values()]
    for ours, theirs in zip(state, average, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-16)


def test_the_discovered_program_carries_one_buffer_only():
    """M = cosh(update) is overwritten in the next step before it is read; Lion keeps one buffer as well."""
    for text, slots in ((DISCOVERED, {"v"}), (LION, {"m"}), (ADAM, set(STATE)), (SGD, set())):
        _, optimizer = trajectory(compile_optimizer(space(functions="paper").parse(text)), 2)
        assert all(set(entry) == slots for entry in optimizer.state.values())
