"""No false merges of update rules: unusual bounds, and random pairs against wide draws in torch."""

from __future__ import annotations

import numpy as np
import pytest

from nas.hashing.programs import ProgramProbe
from nas.search_spaces.update_rule import KNOWN, space
from nas.space import Architecture, sample
from tests.hashing.program_kit import PAPER, rule
from tests.hashing.program_oracle import bounded, difference

PROBE = ProgramProbe()
DIFFERENT = {
    "a least rate": ("mul(g, lr)", "maximum(lr, 0.005) >> mul(g, x0)"),
    "a least rate of 0.0002": ("mul(g, lr)", "maximum(lr, 0.0002) >> mul(g, x0)"),
    "a greatest rate": ("mul(g, lr)", "minimum(lr, 0.5) >> mul(g, x0)"),
    "a greatest rate of 5": ("mul(g, lr)", "minimum(lr, 5.0) >> mul(g, x0)"),
    "a bound on g lr": ("mul(g, lr)", "mul(g, lr) >> minimum(x0, 5.0)"),
    "a bound on -g lr": ("mul(g, lr)", "mul(g, lr) >> negative(x0) >> minimum(x1, 10.0) >> negative(x2)"),
    "a bound on w lr": ("mul(w, lr)", "mul(w, lr) >> minimum(x0, 10.0)"),
    "a bound on a small decay": ("mul(w, 0.0001)", "mul(w, 0.0001) >> minimum(x0, 9.9)"),
    "two clippings": ("clip_by_global_norm(g, 4.0)", "clip_by_global_norm(g, 5.0)"),
    "clipping of g lr": ("mul(g, lr)", "mul(g, lr) >> clip_by_global_norm(x0, 10.0)"),
    "clipping of small gradients": (
        "clip_by_global_norm(g, 0.0004) >> sign(x0) >> mul(w, 0.01) >> sub(x0, x2)",
        "clip_by_global_norm(g, 0.00015) >> sign(x0) >> mul(w, 0.01) >> sub(x0, x2)",
    ),
    "a least norm of the weights": ("norm(w)", "norm(w) >> maximum(x0, 0.1)"),
    "a least magnitude": ("abs(w)", "abs(w) >> maximum(x0, 0.0001)"),
    "a greatest norm": ("norm(g)", "norm(g) >> minimum(x0, 10.0)"),
    "a bound on a logarithm": ("log(g)", "log(g) >> minimum(x0, 10.0)"),
    "a bound on a square root": ("sqrt(w)", "sqrt(w) >> minimum(x0, 10.0)"),
    "the sign of zero": (
        "sign(g)",
        "add(g, 0.0001) >> sub(x0, 0.0001) >> abs(g) >> add(x2, x2) >> div(g, x2)",
    ),
}
STATE = {
    "a bound on a memory": (
        ("interpolate(g, m, 0.9) >> sign(x0) >> interpolate(g, m, 0.99)", "update=x1, m=x2, v=v"),
        (
            "interpolate(g, m, 0.9) >> sign(x0) >> interpolate(g, m, 0.99) >> minimum(x2, 9.0)",
            "update=x1, m=x3, v=v",
        ),
    ),
    "a counter's bound, met after a hundred steps": (
        ("add(m, 0.1) >> mul(g, x0)", "update=x1, m=x0, v=v"),
        ("add(m, 0.1) >> minimum(x0, 10.0) >> mul(g, x1)", "update=x2, m=x0, v=v"),
    ),
    "a least second moment": (
        ("square(g) >> interpolate(x0, v, 0.999) >> sqrt(x1) >> div(g, x2)", "update=x3, m=m, v=x1"),
        (
            "square(g) >> interpolate(x0, v, 0.999) >> sqrt(x1) >> maximum(x2, 0.0005) >> div(g, x3)",
            "update=x4, m=m, v=x1",
        ),
    ),
    "the least rate so far": (
        ("maximum(m, lr)", "update=m, m=x0, v=v"),
        ("maximum(m, lr) >> maximum(x0, 0.0005)", "update=m, m=x1, v=v"),
    ),
    "logarithms of weights, a step later": (
        ("log(w) >> clip_by_global_norm(m, lr)", "update=x1, m=x0, v=v"),
        ("maximum(lr, 0.00014) >> log(w) >> clip_by_global_norm(m, x0)", "update=x2, m=x1, v=v"),
    ),
}


def digest(architecture: Architecture) -> str:
    hashed = PROBE.digest(architecture)
    assert hashed.digest is not None
    return hashed.digest


@pytest.mark.parametrize("name", DIFFERENT)
def test_bounds_are_met(name):
    first, second = (rule(body, f"update=x{body.count('>>')}, m=m, v=v") for body in DIFFERENT[name])
    assert digest(first) != digest(second)


@pytest.mark.parametrize("name", STATE)
def test_bounds_on_what_is_remembered_are_met(name):
    first, second = (rule(*parts) for parts in STATE[name])
    assert digest(first) != digest(second)
    assert difference(first, second, seed=0)


def pairs(count: int, seed: int):
    """Random rules and published ones; one of the two has a bound more, or both have one."""
    rng, few = np.random.default_rng(seed), [space(4), space(4, functions="paper")]
    known = [PAPER.parse(text) for text in KNOWN.values()]
    for _ in range(count):
        kind = int(rng.integers(4))
        first = sample(few[kind], rng) if kind < 2 else known[int(rng.integers(len(known)))]
        yield bounded(first, rng) if rng.integers(2) else first, bounded(first, rng)


def merged_by_mistake(count: int, seed: int) -> tuple[int, list[str]]:
    """How many of the pairs have one digest, and those among them that update differently."""
    merged, wrong = 0, []
    for number, (first, second) in enumerate(pairs(count, seed)):
        if digest(first) == digest(second):
            merged += 1
            found = difference(first, second, seed=number)
            wrong += [f"{found}: {first.text} {second.text}"] if found else []
    return merged, wrong


@pytest.mark.slow
def test_bounded_rules_of_one_digest_update_alike():
    merged, wrong = merged_by_mistake(150, seed=0)
    assert merged > 30
    assert not wrong


@pytest.mark.slow
def test_at_most_one_merge_in_a_thousand_is_a_mistake():
    """A probe is a sample; bounds that are drawn at random are what it is most likely to miss."""
    merged, wrong = merged_by_mistake(2000, seed=1)
    assert merged > 500
    assert len(wrong) <= 1, wrong
