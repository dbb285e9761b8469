"""What the functions of the update rules compute, and the optimizers that run them."""

import io
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import ConfigError, EvaluationError
from nas.language import Program
from nas.programs import statements
from nas.programs.program import pruned
from nas.search_spaces.programmed_optimizer import bind, scalar
from nas.search_spaces.update_rule import KNOWN, LANGUAGE, LION, STATE, compile_optimizer, space
from nas.space import sample

INPUTS = "inputs(w='tensor', g='tensor', m='tensor', v='tensor', lr='scalar')"
SHAPES = ((), (3,), (2, 4), (2, 1, 3, 3))
SPACE, PAPER = space(), space(functions="paper")
SEEDS = st.integers(0, 2**32 - 1)


def architecture(body, outputs):
    return PAPER.parse(f"program({INPUTS}, {body}, {outputs})")


def parameters(dtype=torch.float32, shapes=SHAPES):
    draws = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=draws).to(dtype)) for shape in shapes]


def run(found, steps=3, lr=0.1, dtype=torch.float32, shapes=SHAPES):
    """Weights after some steps with the same gradients for every program, and the optimizer."""
    weights = parameters(dtype, shapes)
    optimizer = compile_optimizer(found)(weights, lr)
    advance(weights, optimizer, range(steps))
    return weights, optimizer


def advance(weights, optimizer, steps):
    for step in steps:
        draws = torch.Generator().manual_seed(1 + step)
        for weight in weights:
            grad = torch.randn(weight.shape, generator=draws).to(weight.dtype)
            if weight.grad is None:
                weight.grad = grad
            else:
                weight.grad.copy_(grad)  # in place, as with zero_grad(set_to_none=False)
        optimizer.step()


def same(ours, theirs):
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


UNARY = {
    "abs": np.abs,
    "negative": np.negative,
    "sign": np.sign,
    "square": np.square,
    "cube": lambda x: x**3,
    "sqrt": lambda x: np.sqrt(np.abs(x)),
    "cbrt": np.cbrt,
    "exp": np.exp,
    "exp2": np.exp2,
    "exp10": lambda x: 10.0**x,
    "expm1": np.expm1,
    "log": lambda x: np.log(np.abs(x)),
    "log2": lambda x: np.log2(np.abs(x)),
    "log10": lambda x: np.log10(np.abs(x)),
    "log1p": lambda x: np.log1p(np.abs(x)),
    "reciprocal": lambda x: 1 / (x + 1e-8),
    **{
        name: getattr(np, name)
        for name in ("sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh")
    },
    **{name: getattr(np, name) for name in ("tanh", "arcsinh", "arccosh", "arctanh")},
}
BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": lambda x, y: x / (y + 1e-8),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "power": lambda x, a: np.abs(x) ** a,
}
OVER_WEIGHTS = {"norm", "global_norm", "dot", "cosine_sim", "clip_by_global_norm", "interpolate"}
X = np.array([-2.0, -0.7, 0.0, 1e-3, 0.3, 1.0, 5.0])
Y = np.array([0.5, 0.0, -3.0, 0.2, -0.3, 1.0, 2.0])
SCALARS = (-1.5, 0.0, 0.25)


def test_every_function_is_checked_below():
    assert set(UNARY) | set(BINARY) | OVER_WEIGHTS == {function.name for function in LANGUAGE.functions}


def value(kind, array, number):
    return [torch.from_numpy(array[:3]), torch.from_numpy(array[3:])] if kind == "tensor" else scalar(number)


def flat(result):
    return torch.cat(result).numpy() if isinstance(result, list) else result.numpy()


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_elementwise_functions_in_all_their_signatures(name):
    function = next(f for f in LANGUAGE.functions if f.name == name)
    for signature in function.signatures:
        for number in SCALARS:
            arguments = [value(k, a, number) for k, a in zip(signature.arguments, (X, Y), strict=False)]
            numpy_arguments = [
                a if k == "tensor" else number for k, a in zip(signature.arguments, (X, Y), strict=False)
            ]
            with np.errstate(all="ignore"):
                expected = {**UNARY, **BINARY}[name](*(np.float64(a) for a in numpy_arguments))
            result = bind(function, signature)(*arguments)
            assert isinstance(result, list) == (signature.result == "tensor")
            np.testing.assert_allclose(flat(result), expected, rtol=1e-13, atol=1e-300)


def test_functions_over_all_weights():
    xs, ys, s = value("tensor", X, 0), value("tensor", Y, 0), scalar(0.5)
    called = {
        name: bind(function, function.signatures[0])
        for function in LANGUAGE.functions
        if (name := function.name) in OVER_WEIGHTS
    }
    length = np.sqrt((X**2).sum())
    assert called["global_norm"](xs).item() == pytest.approx(length)
    assert called["dot"](xs, ys).item() == pytest.approx((X * Y).sum())
    cosine = (X * Y).sum() / (length * np.sqrt((Y**2).sum()))
    assert called["cosine_sim"](xs, ys).item() == pytest.approx(cosine, rel=1e-8)
    np.testing.assert_allclose(flat(called["clip_by_global_norm"](xs, s)), X * 0.5 / (length + 1e-8))
    assert np.array_equal(flat(called["clip_by_global_norm"](xs, scalar(100.0))), X)
    np.testing.assert_allclose(flat(called["interpolate"](xs, ys, s)), 0.5 * X + 0.5 * Y)
    each = np.concatenate([np.full(3, np.sqrt((X[:3] ** 2).sum())), np.full(4, np.sqrt((X[3:] ** 2).sum()))])
    np.testing.assert_allclose(flat(called["norm"](xs)), each)


def test_is_a_torch_optimizer_with_groups_of_their_own_rate():
    slow, fast = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = compile_optimizer(SPACE.parse(KNOWN["sgd"]))(
        [{"params": [slow], "lr": 0.5}, {"params": [fast]}], 2.0
    )
    assert isinstance(optimizer, torch.optim.Optimizer)
    for weight in (slow, fast):
        weight.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(slow.detach(), torch.full((2,), 0.5))
    assert torch.equal(fast.detach(), torch.full((2,), -1.0))


def test_schedulers_set_the_rate_that_the_program_reads():
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = compile_optimizer(SPACE.parse(KNOWN["sgd"]))([weight], 1.0)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for _ in range(3):
        weight.grad = -torch.ones(1, dtype=torch.float64)
        optimizer.step()
        schedule.step()
    assert weight.item() == 1.75


def test_closure_is_run_with_gradients_and_its_loss_returned():
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = compile_optimizer(SPACE.parse(KNOWN["sgd"]))([weight], 0.25)

    def closure():
        optimizer.zero_grad()
        loss = (weight**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 4.0
    assert weight.item() == 1.0


@pytest.mark.parametrize("name", ["adam", "lion", "discovered", "norm"])
def test_a_saved_and_restored_optimizer_goes_on_alike(name):
    norm = architecture("norm(g) >> mul(m, lr)", "update=x1, m=x0, v=v")
    found = norm if name == "norm" else PAPER.parse(KNOWN[name])
    whole, _ = run(found, steps=8)
    weights, optimizer = run(found, steps=3)
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), [w.detach() for w in weights]], file)
    file.seek(0)
    state, values = torch.load(file, weights_only=True)
    continued = [torch.nn.Parameter(value) for value in values]
    restored = compile_optimizer(found)(continued, 77.0)
    restored.load_state_dict(state)
    advance(continued, restored, range(3, 8))
    assert same(continued, whole)


def test_state_that_is_the_weight_or_the_gradient_is_a_copy():
    delayed, _ = run(architecture("empty()", "update=m, m=g, v=v"), steps=3)
    weights = parameters()
    gradients = []
    for step in range(2):
        draws = torch.Generator().manual_seed(1 + step)
        gradients.append([torch.randn(shape, generator=draws) for shape in SHAPES])
    assert same(delayed, [w.detach() - a - b for w, a, b in zip(weights, *gradients, strict=True)])
    _, optimizer = run(architecture("sub(w, m)", "update=x0, m=w, v=v"), steps=1)
    assert same([state["m"] for state in optimizer.state.values()], parameters())


def test_state_slots_may_be_swapped():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = compile_optimizer(architecture("add(v, g)", "update=m, m=x0, v=m"))([weight], 1.0)
    seen = []
    for grad in (1.0, 10.0, 100.0, 1000.0):
        weight.grad = torch.tensor([grad])
        optimizer.step()
        seen.append((optimizer.state[weight]["m"].item(), optimizer.state[weight]["v"].item()))
    assert seen == [(1.0, 0.0), (10.0, 1.0), (101.0, 10.0), (1010.0, 101.0)]


def test_weights_without_gradient_stay_and_get_no_state():
    used, unused = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = compile_optimizer(SPACE.parse(LION))([used, unused], 0.1)
    used.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(unused.detach(), torch.ones(2))
    assert list(optimizer.state) == [used]


def test_updates_that_are_not_finite_are_applied():
    found = architecture("sub(g, g) >> log(x0)", "update=x1, m=m, v=v")
    assert all(torch.isposinf(weight).all() for weight in run(found, steps=1)[0])


def test_sparse_gradients_and_bad_rates_are_refused():
    make = compile_optimizer(SPACE.parse(LION))
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = make([weight], 0.1)
    weight.grad = torch.ones(2).to_sparse()
    with pytest.raises(EvaluationError, match="dense gradients are expected"):
        optimizer.step()
    for rate in (-1.0, float("nan")):
        with pytest.raises(ConfigError, match="lr: expected a number of at least 0"):
            make([weight], rate)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_random_programs_run_and_updates_have_the_shapes_of_the_weights(seed):
    found = sample(PAPER, np.random.default_rng(seed))
    weights, optimizer = run(found)
    assert [tuple(weight.shape) for weight in weights] == list(SHAPES)
    for weight, state in optimizer.state.items():
        for value in state.values():
            assert (value.shape, value.dtype) == (weight.shape, weight.dtype)
    live = pruned(found.term, STATE)  # type: ignore[arg-type]
    assert len(optimizer.rule.steps) == len(statements(live))
    for weight, again in zip(weights, run(PAPER.parse(str(live)))[0], strict=True):
        torch.testing.assert_close(weight, again, rtol=0, atol=0, equal_nan=True)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, where=st.integers(0, 6))
def test_dead_statements_change_nothing(seed, where):
    """Statements of a random program, put into Lion at any place, unread."""
    lion = [str(call) for call in statements(SPACE.parse(LION).term).values()]  # type: ignore[arg-type]
    junk = sample(space(max_statements=8), np.random.default_rng(seed)).term
    assert isinstance(junk, Program)
    extra = [str(call) for call in statements(junk).values()]
    body = [*renumbered(lion[:where], 0, 0), *renumbered(extra, where, 0)]
    body += renumbered(lion[where:], len(extra), where)
    names = [f"x{i if i < where else i + len(extra)}" for i in (4, 5)]
    padded = architecture(" >> ".join(body), f"update={names[0]}, m={names[1]}, v=v")
    expected, optimizer = run(SPACE.parse(LION), dtype=torch.float64)
    got, padded_optimizer = run(padded, dtype=torch.float64)
    assert same(got, expected)
    assert len(padded_optimizer.rule.steps) == len(optimizer.rule.steps) == 6


def renumbered(calls, shift, first):
    """The calls with every x<i>, i >= first, renamed to x<i + shift>."""

    def name(found):
        number = int(found[1])
        return f"x{number + shift if number >= first else number}"

    return [re.sub(r"\bx(\d+)\b", name, call) for call in calls]
