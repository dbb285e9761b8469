"""The functional hash of programs: known pairs, rewritings, and real behaviour of random pairs."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import ConfigError
from nas.hashing.programs import ProgramProbe
from nas.language import Program
from nas.programs import statements
from nas.search_spaces.nasbench201 import space as nasbench201
from nas.search_spaces.update_rule import INITIAL, KNOWN, LION, compile_optimizer, space
from nas.space import mutate, sample
from tests.hashing.program_kit import PAPER, of_term, rewritten, rule

PROBE = ProgramProbe()
SEEDS = st.integers(0, 2**32 - 1)
GOLDEN = {
    "sgd": "program:2:24:13bc4f40f0ee3d454c1cc1e11cea684b",
    "sgd_momentum": "program:2:24:af0862d2731980d69713eb82038fd275",
    "adam": "program:2:24:74c4b2eb4f26d750ff0a95556bdf1e11",
    "initial": "program:2:24:cef6cca5628ae35afa3b2a5d294b532d",
    "lion": "program:2:24:e15de97907ca84b08175cd9ff421f4e6",
    "discovered": "program:2:24:3fbe121e27b86d41685a41c721e18450",
}


def digest(architecture, probe=PROBE):
    hashed = probe.digest(architecture)
    assert hashed.reason is None
    return hashed.digest


def test_known_programs_have_digests_that_stay():
    """New values need a new version: hashes of old logs are compared with new ones."""
    assert {name: digest(PAPER.parse(text)) for name, text in KNOWN.items()} == GOLDEN
    assert len(set(GOLDEN.values())) == len(KNOWN)


EQUAL = {
    "lion, with its addends and factors the other way round": (
        LION,
        (
            "interpolate(g, m, 0.9) >> mul(w, 0.01) >> sign(x0) >> add(x2, x1) >> mul(x3, lr)"
            " >> interpolate(g, m, 0.99)",
            "update=x4, m=x5, v=v",
        ),
    ),
    "lion, with state that nothing reads": (
        LION,
        (
            "interpolate(g, m, 0.9) >> sign(x0) >> mul(w, 0.01) >> add(x1, x2) >> mul(x3, lr)"
            " >> interpolate(g, m, 0.99)"
            " >> square(x5)",
            "update=x4, m=x5, v=x6",
        ),
    ),
    "lion, with m and v in each other's place": (
        LION,
        (
            "interpolate(g, v, 0.9) >> sign(x0) >> mul(w, 0.01) >> add(x1, x2) >> mul(x3, lr)"
            " >> interpolate(g, v, 0.99)",
            "update=x4, m=w, v=x5",
        ),
    ),
    "a sum in another order": (
        ("add(w, g) >> add(x0, m) >> mul(x1, lr)", "update=x2, m=g, v=v"),
        ("add(g, m) >> add(w, x0) >> mul(x1, lr)", "update=x2, m=g, v=v"),
    ),
    "a factor that is multiplied out": (
        ("add(w, g) >> mul(x0, lr)", "update=x1, m=m, v=v"),
        ("mul(w, lr) >> mul(g, lr) >> add(x0, x1)", "update=x2, m=m, v=v"),
    ),
    "two constants and their product": (
        ("mul(g, 0.5) >> mul(x0, 0.25)", "update=x1, m=m, v=v"),
        ("mul(g, 0.125)", "update=x0, m=m, v=v"),
    ),
    "a root of a square": (
        ("square(g) >> sqrt(x0)", "update=x1, m=m, v=v"),
        ("abs(g)", "update=x0, m=m, v=v"),
    ),
    "nothing at all": (
        ("sub(g, g) >> sign(x0)", "update=x1, m=m, v=v"),
        ("sub(w, w)", "update=x0, m=g, v=v"),
    ),
}
DIFFERENT = {
    "constants": ("interpolate(g, m, 0.9)", "interpolate(g, m, 0.99)", "update=x0, m=x0, v=v"),
    "constants that are close": (
        "interpolate(g, m, 0.9)",
        "interpolate(g, m, 0.9001)",
        "update=x0, m=x0, v=v",
    ),
    "the rate": ("mul(g, lr)", "mul(g, 0.1)", "update=x0, m=m, v=v"),
    "the sign": ("mul(g, lr)", "mul(g, lr) >> negative(x0)", None),
    "a norm for each tensor and one over all": (
        "norm(g)",
        "global_norm(g) >> sub(g, g) >> add(x1, x0)",
        None,
    ),
    "state of one step and of two": ("mul(m, lr)", "mul(v, lr)", "update=x0, m=g, v=m"),
    "clipping that is seldom met": ("clip_by_global_norm(g, 9.0)", "mul(g, 1.0)", "update=x0, m=m, v=v"),
    "clipping to two norms": (
        "clip_by_global_norm(g, 9.0)",
        "clip_by_global_norm(g, 10.0)",
        "update=x0, m=m, v=v",
    ),
    "a bound that is seldom met": ("minimum(g, 9.0)", "minimum(g, 10.0)", "update=x0, m=m, v=v"),
    "a bound and none": ("minimum(g, 10.0)", "mul(g, 1.0)", "update=x0, m=m, v=v"),
    "the eps of a division": ("div(g, 1.0)", "mul(g, g) >> mul(g, x0) >> div(x1, x0)", None),
    "x and |x|": ("sqrt(g) >> square(x0)", "mul(g, 1.0)", None),
    "x^2 and x |x|": ("square(g)", "abs(g) >> mul(g, x0)", None),
    "exp(x) and expm1(x)": ("exp(g)", "expm1(g)", "update=x0, m=m, v=v"),
    "log of |x| and of 1 + |x|": ("log(g)", "log1p(g)", "update=x0, m=m, v=v"),
    "infinities of two signs": ("log(m)", "log(m) >> negative(x0)", None),
    "not a number, and infinity": ("sub(g, g) >> log(x0)", "sub(g, g) >> log(x0) >> sub(x1, x1)", None),
}


def pair(entry):
    return PAPER.parse(entry) if isinstance(entry, str) else rule(*entry)


@pytest.mark.parametrize("name", EQUAL)
def test_equal_functions_have_one_digest(name):
    first, second = map(pair, EQUAL[name])
    assert digest(first) == digest(second)


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_functions_have_two(name):
    first, second, outputs = DIFFERENT[name]
    found = []
    for body in (first, second):
        returned = outputs or f"update=x{body.count('>>')}, m=m, v=v"
        found.append(digest(rule(body, returned)))
    assert found[0] != found[1]


def test_a_long_program_and_its_simplified_form_agree():
    """As a unit test of the authors of Lion has it: 53 statements, of which 13 matter."""
    live = (
        "square(g)", "interpolate(g, m, 0.9)", "interpolate(A, v, 0.999)", "sqrt(C)", "div(B, D)",
        "mul(w, 0.01)",
        "add(E, F)", "mul(lr, 0.001)", "mul(G, H)", "abs(I)", "sign(I)", "mul(J, K)", "add(L, L)",
    )  # fmt: skip
    short, names = [], {}
    for letter, text in zip("ABCDEFGHIJKLM", live, strict=True):
        names[letter] = f"x{len(short)}"
        short.append("".join(names.get(c, c) for c in text))
    rng, long, places = np.random.default_rng(0), [], {}
    dead = (
        "tanh(g)",
        "exp(v)",
        "add(w, g)",
        "mul(m, 0.5)",
        "norm(g)",
        "maximum(w, v)",
        "negative(m)",
        "abs(lr)",
    )
    for letter, text in zip("ABCDEFGHIJKLM", live, strict=True):
        long += [dead[int(rng.integers(len(dead)))] for _ in range(3)]
        places[letter] = f"x{len(long)}"
        long.append("".join(places.get(c, c) for c in text))
    long.append("sub(x1, x1)")
    simple = rule(" >> ".join(short), f"update={names['M']}, m={names['B']}, v={names['C']}")
    raw = rule(" >> ".join(long), f"update={places['M']}, m={places['B']}, v={places['C']}")
    assert (len(statements(raw.term)), len(statements(simple.term))) == (53, 13)
    assert digest(raw) == digest(simple)
    assert digest(rule(" >> ".join([*short, "add(x12, g)"]), "update=x13, m=x1, v=x2")) != digest(simple)


@settings(max_examples=60)
@given(seed=SEEDS)
def test_rewritings_keep_the_digest(seed):
    rng = np.random.default_rng(seed)
    parent = PAPER.parse(INITIAL)
    for _ in range(int(rng.integers(12))):
        parent = mutate(PAPER, parent, rng)
    again = of_term(rewritten(parent.term, rng))
    assert digest(again) == digest(parent)


def updates(architecture, seed):
    """Updates of a real torch optimizer in double precision over some steps, weights moving."""
    draws = torch.Generator().manual_seed(seed)
    weights = [torch.nn.Parameter(torch.randn(n, generator=draws, dtype=torch.float64)) for n in (3, 1, 4)]
    optimizer = compile_optimizer(architecture)(weights, 0.05)
    found = []
    for _ in range(4):
        before = [weight.detach().clone() for weight in weights]
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=draws, dtype=torch.float64)
        optimizer.step()
        found.append(torch.cat([b - w.detach() for b, w in zip(before, weights, strict=True)]))
    return torch.stack(found)


@pytest.mark.slow
def test_programs_of_one_digest_update_alike():
    """In every class of sampled and evolved programs, on data that the probe has not seen."""
    rng = np.random.default_rng(0)
    few = space(max_statements=3)
    classes = {}
    for _ in range(1500):
        parent = sample(few, rng)
        for architecture in (parent, mutate(few, parent, rng)):
            classes.setdefault(digest(architecture), {})[architecture.text] = architecture
    shared = [list(members.values()) for members in classes.values() if len(members) > 1]
    assert len(shared) > 30
    for members in shared:
        first = updates(members[0], seed=1)
        for other in members[1:8]:
            torch.testing.assert_close(updates(other, seed=1), first, rtol=1e-6, atol=1e-9, equal_nan=True)


@pytest.mark.slow
def test_programs_that_update_differently_have_different_digests():
    """No false merge among 2,000 pairs of a program and its mutant."""
    rng, compared, few = np.random.default_rng(1), 0, space(max_statements=4)
    for _ in range(2000):
        first = sample(few, rng)
        second = mutate(few, first, rng)
        if digest(first) != digest(second):
            continue
        compared += 1
        torch.testing.assert_close(
            updates(second, seed=2), updates(first, seed=2), rtol=1e-6, atol=1e-9, equal_nan=True
        )
    assert compared > 50


def test_bits_and_seed_are_part_of_the_digest():
    lion = PAPER.parse(LION)
    assert digest(lion, ProgramProbe(bits=8)).startswith("program:2:8:")
    assert len({digest(lion, ProgramProbe(bits=b, seed=s)) for b in (8, 24) for s in (0, 1)}) == 4
    with pytest.raises(ConfigError, match="bits: expected a whole number from 1 to 52; got 0"):
        ProgramProbe(bits=0)


def test_fewer_bits_merge_what_is_close():
    close = [rule(f"mul(g, {c})", "update=x0, m=m, v=v") for c in ("0.5", "0.5000001")]
    assert digest(close[0]) != digest(close[1])
    coarse = ProgramProbe(bits=10)
    assert digest(close[0], coarse) == digest(close[1], coarse)


def test_probes_pickle_and_agree():
    probe = pickle.loads(pickle.dumps(PROBE))
    assert probe.digest(PAPER.parse(LION)) == PROBE.digest(PAPER.parse(LION))


def test_what_is_no_program_of_the_language_has_a_reason():
    network = sample(nasbench201(), np.random.default_rng(0))
    assert 'whose meaning is that of programs is expected; got "network"' in PROBE.digest(network).reason
    wrong = of_term(PAPER.parse(KNOWN["sgd"]).term)
    assert isinstance(wrong.term, Program)
    swapped = of_term(Program(wrong.term.inputs, wrong.term.body, wrong.term.outputs[:1]))
    assert "outputs update: tensor" in PROBE.digest(swapped).reason
    text = PAPER.parse(LION).term
    bad = Program(text.inputs, PAPER.parse(KNOWN["sgd"]).term.body, text.outputs)
    hashed = PROBE.digest(of_term(bad))
    assert hashed.digest is None
    assert "\n" not in hashed.reason
