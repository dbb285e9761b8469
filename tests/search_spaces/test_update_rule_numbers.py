"""Update rules on numpy arrays: every function as in torch, and inputs that tell functions apart."""

import numpy as np
import torch

from nas.search_spaces import programmed_optimizer, update_rule_numbers
from nas.search_spaces.update_rule_numbers import MEANING, SIZES


def test_the_numpy_functions_are_those_of_torch():
    rng = np.random.default_rng(0)
    size = sum(SIZES)
    special = np.array([0.0, -0.0, 1.0, -1.0, 1e-12, 700.0, -800.0, 0.5, 2.0, np.inf, -np.inf, np.nan])
    special = np.resize(special, size)
    samples = [rng.normal(size=size), 30 * rng.normal(size=size), special, special[::-1].copy()]
    scalars = [np.array([value]) for value in (-1.5, 0.0, 0.3, 2.0, np.inf, np.nan)]
    compared = 0
    for function in update_rule_numbers.LANGUAGE.functions:
        for signature in function.signatures:
            ours = update_rule_numbers.bind(function, signature)
            theirs = programmed_optimizer.bind(function, signature)
            for i, first in enumerate(samples):
                for scalar in scalars:
                    tensors = iter((first, samples[i - 1]))
                    numbers = iter((scalar, scalars[1]))
                    given = [next(tensors if kind == "tensor" else numbers) for kind in signature.arguments]
                    with np.errstate(all="ignore"):
                        found = ours(*given)
                    expected = theirs(
                        *[as_torch(a, kind) for a, kind in zip(given, signature.arguments, strict=True)]
                    )
                    flat = torch.cat(expected) if isinstance(expected, list) else expected.reshape(1)
                    np.testing.assert_allclose(
                        np.broadcast_to(found, flat.shape), flat.numpy(), rtol=1e-12, atol=1e-300,
                        err_msg=f"{function.name} {signature} {given}",
                    )  # fmt: skip
                    compared += 1
    assert compared > 1000


def as_torch(array, kind):
    if kind == "scalar":
        return torch.as_tensor(array[0], dtype=torch.float64)
    return list(torch.from_numpy(array.copy()).split(SIZES))


def test_inputs_have_what_tells_functions_apart():
    """Beyond the space's constants, 1e-4 to 10, also after a product with the rate or the least of them."""
    steps = MEANING.steps(0)
    gradients, weights = (np.concatenate([step[name] for step in steps]) for name in ("g", "w"))
    rates = [float(step["lr"][0]) for step in steps]
    assert {1e-5, 1e-3, 1.0} <= set(rates)
    assert max(rates) > 10
    for values in (gradients, weights):
        assert values.max() * 1e-4 > 10 or -values.min() * 1e-4 > 10
        assert (values == 0).any()
        assert ((values > 0) & (values < 1e-4)).any()
        assert ((values < 0) & (values > -1e-4)).any()
    for name in ("w", "g"):
        scaled = np.concatenate([step[name] * step["lr"] for step in steps])
        assert scaled.max() > 10 > -10 > scaled.min()
        norms = np.array([np.linalg.norm(step[name]) for step in steps])
        assert norms.max() > 10
        assert np.min(norms[norms > 0]) < 0.1
    assert not steps[0]["m"].any()


def test_the_first_steps_hide_nothing():
    """A zero makes the norm of logarithms infinite, and what overflows stays in the state."""
    for step in MEANING.steps(0)[:4]:
        for name in ("w", "g"):
            assert np.all(step[name] != 0)
            assert np.all(np.isfinite(np.exp(step[name])))
