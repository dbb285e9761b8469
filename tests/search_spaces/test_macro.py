"""The macro space: what it holds, for which images, its options, and its bound on parameters."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas import Budget, FunctionEvaluator, InlineExecutor, Plan, Study
from nas.algorithms.regularized_evolution import RegularizedEvolution
from nas.errors import CompileError, ConfigError, DeadEndError, SpaceError
from nas.language import Op, walk
from nas.layers import compile_network, infer_shape, max_parameters
from nas.layers.compile import parameters
from nas.registry import build
from nas.search_spaces import SPACES
from nas.search_spaces.macro import space
from nas.space import (
    Architecture,
    SearchSpace,
    crossover,
    enumerate_architectures,
    mutate,
    neighbours,
    operators,
    sample,
)
from nas.study import read_study

ROOT = Path(__file__).resolve().parents[2]
SPACE = space()
IMAGES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64)]
DIGITS = {"image": [1, 8, 8], "classes": 10}


def test_is_registered() -> None:
    assert SPACES.get("macro") is space


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_samples_are_networks_for_every_size_of_image(seed: int) -> None:
    architecture = sample(SPACE, np.random.default_rng(seed))
    for image in IMAGES:
        assert infer_shape(architecture, image, 10) == (10,)
    assert SPACE.parse(architecture.text) == architecture


@pytest.mark.parametrize("image", IMAGES, ids=str)
def test_samples_learn(image: tuple[int, int, int]) -> None:
    for seed in range(3):
        architecture = sample(SPACE, np.random.default_rng(seed))
        network = compile_network(architecture, image, 10, seed=seed)
        network(torch.randn(2, *image)).sum().backward()
        assert all(weight.grad is not None for weight in network.parameters())


def test_every_block_at_the_smallest_width_learns() -> None:
    """One stage of one block, all of them: 3 widths, 22 blocks, 3 activations where they matter."""
    small = space(width=4, stages=1, depth=1)
    found = list(enumerate_architectures(small))
    assert len(found) == small.size() == 3 * (6 * 3 + 16)
    for architecture in found:
        network = compile_network(architecture, (1, 2, 2), 2)
        network(torch.randn(2, 1, 2, 2)).sum().backward()
        assert all(weight.grad is not None for weight in network.parameters())


def test_different_decisions_are_different_networks() -> None:
    small = space(stages=1, depth=2)
    texts = {architecture.text for architecture in enumerate_architectures(small)}
    blocks, inverted = 22 + 22**2, 16 + 16**2  # fillings of the stage, and those without an activation
    assert len(texts) == small.size() == 3 * (3 * (blocks - inverted) + inverted)


def test_the_activation_is_one_decision() -> None:
    for seed in range(50):
        architecture = sample(SPACE, np.random.default_rng(seed))
        names = {term.name for term in walk(architecture.term) if isinstance(term, Op)}
        assert len(names & {"relu", "silu", "hardswish"}) == 1


def reductions(stages: int, width: int = 8) -> list[str]:
    """One network for each way to reduce: by strided convolutions, by pooling, and mixtures of the two."""
    strided = "conv(kernel=3, stride=2, bias=False, width={})"
    pooled = "maxpool(kernel=2) >> pointwise(width={}, bias=False)"
    block = "conv(kernel=3, bias=False) >> batchnorm() >> relu()"
    texts = []
    for ways in itertools.product((strided, pooled), repeat=stages - 1):
        steps = [way.format(width * 2**number) for number, way in enumerate(ways, 1)]
        middle = "".join(f" >> {step} >> batchnorm() >> relu() >> {block}" for step in steps)
        texts.append(f"stem(width={width}) >> {block}{middle} >> head()")
    return texts


@pytest.mark.parametrize("stages", [1, 2, 3, 4, 6])
def test_sides_of_two_to_the_stages_less_one_are_enough_and_needed(stages: int) -> None:
    """Blocks keep the sides, so the reductions alone decide; pooling needs two pixels, and rounds down."""
    searched = space(width=8, stages=stages, depth=1)
    side = 2 ** (stages - 1)
    found = [searched.parse(text) for text in reductions(stages)]
    for architecture in found:
        assert infer_shape(architecture, (1, side, side), 10) == (10,)
    if stages > 1:
        place = r'^root\.parts\[\d+\] "maxpool": expected sides of at least 2 for its window, got 1; '
        place += rf"sides of {side - 1} do not fit: give images with sides of at least {side} pixels "
        with pytest.raises(CompileError, match=place):
            infer_shape(found[-1], (1, side - 1, side - 1), 10)


def test_options_behave() -> None:
    wide = space(width=32, stages=2, depth=5)
    assert str(wide).startswith("stem(width=oneof(16, 32, 48)) >> repeat(")
    assert "width=oneof(32, 64, 96)" in str(wide)
    assert str(wide).count("1, 5)") == 2
    deep = max((sample(wide, np.random.default_rng(seed)) for seed in range(50)), key=lambda a: len(a.text))
    assert wide.check(deep) is None
    assert isinstance(SPACE.check(deep), SpaceError)


@pytest.mark.parametrize("options", [{"width": 0}, {"width": 6}, {"width": -4}, {"stages": 0}, {"depth": 0}])
def test_options_out_of_range(options: dict[str, Any]) -> None:
    message = (
        "^macro: width a positive multiple of 4, stages and depth of at least 1 are expected; got width="
    )
    with pytest.raises(SpaceError, match=message):
        space(**options)


# the bound on parameters, as an option and as a constraint of any space


def small(limit: int | None = None) -> SearchSpace:
    task = {} if limit is None else {"max_parameters": limit, **DIGITS}
    return build(SPACES, {"name": "macro", "width": 4, "stages": 1, "depth": 1, **task})


def count(architecture: Architecture) -> int:
    return parameters(architecture, (1, 8, 8), 10)


def test_bounded_space_holds_exactly_what_is_small_enough() -> None:
    counts = {a.text: count(a) for a in enumerate_architectures(small())}
    limit = sorted(counts.values())[len(counts) // 2]
    bounded = small(limit)
    found = {a.text for a in enumerate_architectures(bounded)}
    assert found == {text for text, number in counts.items() if number <= limit}
    assert 0 < len(found) < len(counts)
    assert bounded.size() == small().size()  # constraints are not subtracted


def test_operators_stay_within_the_bound() -> None:
    bounded = SearchSpace("bounded", SPACE.expression, constraints=[max_parameters(50_000, (1, 8, 8), 10)])
    rng = np.random.default_rng(0)
    one, two = sample(bounded, rng), sample(bounded, rng)
    found = [one, two, crossover(bounded, one, two, rng), *itertools.islice(neighbours(bounded, two, rng), 5)]
    for _ in range(5):
        found.append(mutate(bounded, found[-1], rng))
    assert all(count(architecture) <= 50_000 for architecture in found)
    assert all(bounded.check(architecture) is None for architecture in found)


def test_check_gives_the_reason_and_parse_does_not_ask_for_it() -> None:
    architecture = next(enumerate_architectures(small()))
    number = count(architecture)
    reason = f"macro: {number:,} parameters, more than the limit of {number - 1:,}"
    bounded = small(number - 1)
    assert str(bounded.check(bounded.parse(architecture.text))) == reason
    assert small(number).check(architecture) is None


def test_samples_that_cannot_be_built_break_the_bound_too() -> None:
    tiny = space(width=4, stages=3, depth=1, max_parameters=10**9, image=(1, 3, 3), classes=2)
    pooled = tiny.parse(reductions(3, width=4)[-1])
    assert str(tiny.check(pooled)).startswith("macro: parameters cannot be counted: root.parts[")


def test_a_bound_below_every_network_is_a_dead_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "ATTEMPTS", 20)
    message = (
        r"^macro: nothing admissible in 20 draws; the last reason: \d+ parameters, more than the limit of 10$"
    )
    with pytest.raises(DeadEndError, match=message):
        sample(small(10), np.random.default_rng(0))


def no_large_kernel(architecture: Architecture) -> str | None:
    return "a kernel of 5" if "kernel=5" in architecture.text else None


def test_several_constraints_hold_together() -> None:
    bound = max_parameters(400, (1, 8, 8), 10)
    both, *each = (
        {a.text for a in enumerate_architectures(SearchSpace("own", small().expression, constraints=chosen))}
        for chosen in ((bound, no_large_kernel), (bound,), (no_large_kernel,))
    )
    assert both == each[0] & each[1]
    assert both < each[0]
    assert both < each[1]


def test_bounded_space_pickles() -> None:
    bounded = small(500)
    again = pickle.loads(pickle.dumps(bounded))
    assert again.constraints == bounded.constraints
    assert again.fingerprint() == bounded.fingerprint()


def test_fingerprint_tells_bounds_apart_and_is_the_same_in_every_process() -> None:
    """Otherwise a run with a bound could not be resumed."""
    prints = {limit: small(limit).fingerprint() for limit in (None, 500, 501)}
    assert len(set(prints.values())) == 3
    code = (
        "from nas.search_spaces.macro import space; "
        "print(space(width=4, stages=1, depth=1, max_parameters=500, "
        "image=(1, 8, 8), classes=10).fingerprint())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == prints[500]


def test_a_study_stays_within_the_bound(tmp_path: Path) -> None:
    evaluator = FunctionEvaluator(count, objectives="parameters")
    bounded = small(600)
    searcher = RegularizedEvolution(bounded, evaluator.objectives, seed=0, population=4, sample=2)
    plan = Plan(seed=0, budget=Budget(trials=12), baseline=4, final=1)
    Study(bounded, searcher, evaluator, InlineExecutor(), directory=tmp_path / "run", plan=plan).run()
    values = [(trial.values or {})["parameters"] for trial in read_study(tmp_path / "run").trials]
    assert len(values) == 12 + 4 + 1
    assert max(values) <= 600


@pytest.mark.parametrize(
    "task",
    [
        {},
        {"image": [1, 8, 8]},
        {"classes": 10},
        {"image": [8, 8], "classes": 10},
        {"image": [1, 8, 0], "classes": 10},
        {"image": [1, 8, 8.0], "classes": 10},
        {"image": 8, "classes": 10},
        {"image": "1,8,8", "classes": 10},
        {"image": [1, 8, 8], "classes": 0},
    ],
)
def test_a_bound_needs_the_task(task: dict[str, Any]) -> None:
    message = r"^macro: max_parameters is expected with image=\[C, H, W\] and classes=N of the task, .*; got "
    with pytest.raises(SpaceError, match=message):
        build(SPACES, {"name": "macro", "max_parameters": 1000, **task})


@pytest.mark.parametrize("limit", ["50k", 5e4, True])
def test_a_bound_is_an_integer(limit: object) -> None:
    with pytest.raises(ConfigError, match='space "macro": max_parameters: expected int or None, '):
        build(SPACES, {"name": "macro", "max_parameters": limit, **DIGITS})
    with pytest.raises(SpaceError, match="all positive integers"):
        space(max_parameters=0, image=(1, 8, 8), classes=10)


def test_sizes_of_random_networks_are_as_documented():
    rng, networks = np.random.default_rng(0), space()
    counts = np.array([parameters(sample(networks, rng), (1, 8, 8), 10) for _ in range(200)])
    # stated: one in eight up to 50,000, half up to 130,000; bounds 3 standard errors wide (n = 200)
    assert abs(np.mean(counts <= 50_000) - 1 / 8) < 3 * np.sqrt(1 / 8 * 7 / 8 / 200)
    assert abs(np.mean(counts <= 130_000) - 1 / 2) < 3 * np.sqrt(1 / 4 / 200)
