from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from nas.errors import SpaceError
from nas.language import Choice, Literal, Op, Repeat, Seq, Term, unrolled
from nas.layers import TrainSettings, compile_network, infer_shape
from nas.registry import build
from nas.search_spaces import SPACES
from nas.search_spaces.deepconv import space
from nas.space import sample

SPACE = space()
SAMPLES = [sample(SPACE, np.random.default_rng(seed)) for seed in range(200)]

# the released code: deepconv_ss0 in search_spaces.py, the "heavy" settings in experiments.py
FILTERS = list(range(48, 129, 16))
REPEATS = [2**i for i in range(6)]


def attributes(term: Term) -> dict[str, Any]:
    """Values of an operation's attributes, those of a choice as a list."""
    assert isinstance(term, Op)
    return {key: values(value) for key, value in term.attributes}


def values(term: Term) -> Any:
    if isinstance(term, Choice):
        return [values(option) for option in term.options]
    assert isinstance(term, Literal)
    return term.value


def parts() -> tuple[Term, ...]:
    root = SPACE.expression
    assert isinstance(root, Op)
    assert isinstance(root.args[0], Seq)
    return root.args[0].parts


def test_is_registered() -> None:
    assert SPACES.get("deepconv") is space


@pytest.mark.parametrize("place", [0, 2])
def test_reductions_are_those_of_the_released_code(place: int) -> None:
    assert attributes(parts()[place]) == {"width": FILTERS, "kernel": [3, 5, 7], "stride": 2}


@pytest.mark.parametrize(("place", "factor"), [(1, 1), (3, 2)])
def test_modules_are_those_of_the_released_code(place: int, factor: int) -> None:
    module = parts()[place]
    assert isinstance(module, Repeat)
    assert (list(module.counts), module.tied) == (REPEATS, True)
    assert isinstance(module.body, Seq)
    conv, swap, dropout = module.body.parts
    assert attributes(conv) == {"width": [factor * n for n in FILTERS], "kernel": [3, 5]}
    assert str(swap) == "relu() >> batchnorm() | batchnorm() >> relu()"
    assert isinstance(dropout, Choice)
    assert dropout.options[0] == Seq(())
    assert [1 - rate for rate in attributes(dropout.options[1])["rate"]] == [0.5, 0.9]  # kept


def test_last_layer_is_one_linear_map_of_all_pixels() -> None:
    assert [str(part) for part in parts()[4:]] == ["flatten()", "head()"]


def test_settings_are_those_of_the_released_code() -> None:
    found = attributes(SPACE.expression)
    assert found["optimizer"] == ["adam", "sgd"]
    assert found["lr"] == pytest.approx(np.logspace(-2, -7, num=32), rel=5e-6)
    assert found["rate_mult"] == pytest.approx(np.logspace(-2, np.log10(0.9), num=8), rel=5e-6)
    assert found["rate_patience"] == list(range(4, 33, 4))
    fixed = {key: value for key, value in found.items() if not isinstance(value, list)}
    assert fixed == {
        "batch_size": 64,
        "momentum": 0.99,
        "weight_decay": 0.0,
        "schedule": "plateau",
        "lr_min": 1e-9,
        "stop_patience": 64,
        "restore_best": True,
        "warmup_epochs": 0.0,
        "label_smoothing": 0.0,
        "grad_clip": 0.0,
    }


def test_the_network_is_decided_before_the_settings() -> None:
    labels, derivation = [], SPACE.start()
    while derivation.site is not None:
        labels.append(derivation.label)
        derivation = derivation.take(derivation.options[0])
    settings = [any(name in label for name in ("optimizer", "lr", "rate_")) for label in labels]
    assert settings == [False] * (len(labels) - 4) + [True] * 4


def test_copies_of_a_module_are_equal() -> None:
    for architecture in SAMPLES:
        network = architecture.network
        assert isinstance(network, Seq)
        runs = [part for part in network.parts if isinstance(part, Repeat)]
        assert all(part.low == part.high for part in runs)
        steps = unrolled(network)
        convs = [step for step in steps if isinstance(step, Op) and step.name == "conv"]
        assert len(set(convs)) <= 4


def test_sampled_settings_are_those_of_a_training() -> None:
    for architecture in SAMPLES:
        settings = TrainSettings().with_overrides(architecture.settings)
        assert (settings.schedule, settings.batch_size, settings.restore_best) == ("plateau", 64, True)
        assert settings.optimizer in ("adam", "sgd")
    assert len({architecture.settings["lr"] for architecture in SAMPLES}) > 20


def test_samples_round_trip_and_fit_cifar() -> None:
    for architecture in SAMPLES[:50]:
        assert SPACE.parse(architecture.text) == architecture
        assert infer_shape(architecture, (3, 32, 32), 10) == (10,)


@pytest.mark.parametrize(
    "options", [{"filters": [4, 6], "repeats": [1, 3]}, {"filters": (5,), "repeats": (2,)}]
)
def test_smaller_forms_learn(options: dict[str, Any]) -> None:
    """Lists, as a configuration gives them, and tuples."""
    small = build(SPACES, {"name": "deepconv", **options})
    filters, repeats = options["filters"], options["repeats"]
    half = 3 * len(filters) * (2 * 2 * 3 * len(filters) * len(repeats))
    assert small.size() == half**2 * 4096
    for seed in range(5):
        architecture = sample(small, np.random.default_rng(seed))
        network = compile_network(architecture, (1, 8, 8), 3, seed=seed)
        network(torch.randn(2, 1, 8, 8)).sum().backward()
        assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filters": ()}, r"filters is expected to be a list of integers of at least 1; got \(\)"),
        ({"filters": [0, 4]}, r"filters is expected .*; got \[0, 4\]"),
        ({"filters": 48}, "filters is expected .*; got 48"),
        ({"filters": "48"}, "filters is expected .*; got '48'"),
        ({"filters": [True]}, r"filters is expected .*; got \[True\]"),
        ({"filters": None}, "filters is expected .*; got None"),
        ({"repeats": [0, 1]}, r"repeats is expected .*; got \[0, 1\]"),
        ({"repeats": [1.5]}, r"repeats is expected .*; got \[1.5\]"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=f"^deepconv: {message}$"):
        space(**options)


def test_repeats_ascend() -> None:
    with pytest.raises(SpaceError, match=r"^repeat: expected ascending integers .*, got \(2, 1\)$"):
        space(repeats=[2, 1])
