"""What every search space promises: run over the registered spaces, and over toys that use every construct.

Registering a space is enough to have it tested here.
"""

from __future__ import annotations

import json
import pickle
import random
from functools import cache

import numpy as np
import pytest
import torch

from nas.errors import CompileError
from nas.language import parse, to_text
from nas.layers import compile_network
from nas.search_spaces import SPACES
from nas.search_spaces.update_rule import compile_optimizer
from nas.space import (
    Architecture,
    Encoder,
    SearchSpace,
    crossover,
    enumerate_architectures,
    mutate,
    neighbours,
    sample,
)
from nas.space.operators import replay
from tests.space.toy_spaces import SPACES as TOYS

SAMPLES = 12
SMALL = 20_000  # derivations up to which a space is enumerated
IMAGE, CLASSES = (3, 16, 16), 10

TINY = {  # arguments that make a space's networks small, so that compiling a few takes no time
    "nasbench201": {"channels": 4, "cells": 1},
    "darts": {"channels": 4, "layers": 3},
    "sharp_darts": {"channels": 4, "layers": 3, "middle": 3},
    "hypercuboid": {"channels": [4, 8], "layers": 2, "last": 12},
    "macro": {"width": 8, "depth": 2},
}
PROGRAMS = {"update_rule": compile_optimizer}
REGISTERED = SPACES.names()
NETWORKS = [n for n in REGISTERED if all(word.kind == "network" for word in SPACES.get(n)().vocabulary)]

every_space = pytest.mark.parametrize("name", [*REGISTERED, *(f"toy {name}" for name in TOYS)])


@cache
def space_of(name: str) -> SearchSpace:
    kind, _, toy = name.partition(" ")
    return TOYS[toy] if kind == "toy" else SPACES.get(name)()


@cache
def samples(name: str) -> tuple[Architecture, ...]:
    """Samples and mutants of them, whose decisions are named in other ways."""
    rng = np.random.default_rng(1)
    drawn = [sample(space_of(name), rng) for _ in range(SAMPLES)]
    return (*drawn, *(mutate(space_of(name), architecture, rng) for architecture in drawn))


@every_space
def test_the_expression_reads_back(name):
    space = space_of(name)
    assert parse(to_text(space.expression)) == space.expression
    again = SearchSpace(space.name, str(space), vocabulary=space.vocabulary, constraints=space.constraints)
    assert again.fingerprint() == space.fingerprint()
    assert again.size() == space.size()


@every_space
def test_samples_are_inside(name):
    assert [space_of(name).check(architecture) for architecture in samples(name)] == [None] * 2 * SAMPLES


@every_space
def test_replay_determines_the_architecture(name):
    for architecture in samples(name):
        again = replay(space_of(name), architecture.decisions, exact=True)
        assert (again, again.text, again.digest()) == (architecture, architecture.text, architecture.digest())


@every_space
def test_text_and_json_read_back(name):
    space = space_of(name)
    for architecture in samples(name):
        assert space.parse(architecture.text) == architecture
        assert parse(architecture.text) == architecture.term
        assert space.architecture_from_json(json.loads(json.dumps(architecture.to_json()))) == architecture


@every_space
def test_spaces_and_architectures_pickle(name):
    space, architecture = pickle.loads(pickle.dumps((space_of(name), samples(name)[0])))
    assert space.fingerprint() == space_of(name).fingerprint()
    assert architecture == samples(name)[0]
    assert space.check(architecture) is None


@every_space
def test_mutants_differ_and_stay_inside(name):
    space, rng = space_of(name), np.random.default_rng(2)
    for parent in samples(name):
        child = mutate(space, parent, rng)
        assert child != parent
        assert space.check(child) is None


@every_space
def test_crossover_stays_inside(name):
    space, rng = space_of(name), np.random.default_rng(3)
    for first, second in zip(samples(name), reversed(samples(name)), strict=True):
        assert space.check(crossover(space, first, second, rng)) is None


@every_space
def test_neighbours_differ_and_stay_inside(name):
    space, rng = space_of(name), np.random.default_rng(4)
    centre = samples(name)[0]
    found = [next(neighbours(space, architecture, rng)) for architecture in samples(name)]
    assert [space.check(architecture) for architecture in found] == [None] * len(found)
    around = list(neighbours(space, centre, rng))
    assert len({*around, centre}) == len(around) + 1


@every_space
def test_size_is_the_number_of_derivations(name):
    space = space_of(name)
    size = space.size()
    if size is not None and size <= SMALL:
        free = SearchSpace(space.name, space.expression, vocabulary=space.vocabulary)
        assert len({architecture.decisions for architecture in enumerate_architectures(free)}) == size
    for derivation in walk(space):
        below = [derivation.take(option).count() for option in derivation.options] or [None]
        assert derivation.count() == (None if None in below else sum(filter(None, below)))


@every_space
def test_the_seed_alone_decides(name):
    def course(global_seed: int) -> list[str]:
        np.random.seed(global_seed)  # noqa: NPY002 - the global state that must not matter
        random.seed(global_seed)
        torch.manual_seed(global_seed)
        before = global_states()
        rng = np.random.default_rng(5)
        found = [sample(space_of(name), rng) for _ in range(3)]
        found += [mutate(space_of(name), found[0], rng), crossover(space_of(name), *found[:2], rng)]
        assert global_states() == before
        return [architecture.text for architecture in found]

    assert course(1) == course(2)


def global_states() -> list[object]:
    numpy_state = np.random.get_state()[1].tolist()  # type: ignore[union-attr]  # noqa: NPY002
    return [numpy_state, random.getstate(), torch.get_rng_state().tolist()]


@every_space
def test_no_dead_ends(name):
    rng = np.random.default_rng(6)
    ways = ("options", "derivations") if space_of(name).size() else ("options",)
    for by in ways:
        assert all(sample(space_of(name), rng, by=by).decisions is not None for _ in range(100))


@every_space
def test_holes_are_labelled_apart(name):
    labels = {}
    for derivation in walk(space_of(name)):
        key = derivation.key.hole
        assert labels.setdefault(derivation.label, key) == key
    assert labels


def walk(space: SearchSpace):
    rng = np.random.default_rng(7)
    for _ in range(5):
        derivation = space.start()
        while derivation.site is not None:
            yield derivation
            options = derivation.options or (derivation.choice.low,)
            derivation = derivation.take(options[int(rng.integers(len(options)))])


@every_space
def test_architectures_can_be_encoded(name):
    encoder = Encoder(space_of(name), ("one_hot", "numeric", "ngram")).fit(samples(name))
    codes = encoder.transform(samples(name))
    texts = [architecture.text for architecture in samples(name)]
    assert np.isfinite(codes).all()
    assert len(np.unique(codes, axis=0)) >= len(set(texts))


def tiny(name: str) -> list[Architecture]:
    space = SPACES.get(name)(**TINY.get(name, {}))
    rng = np.random.default_rng(8)
    return [sample(space, rng) for _ in range(4)]


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_compile_or_say_why_not(name):
    compiled = 0
    for architecture in tiny(name):
        try:
            network = compile_network(architecture, IMAGE, CLASSES)
        except CompileError as error:
            reason = str(error)
            assert reason.startswith(("root", "input"))
            continue
        compiled += 1
        assert network(torch.zeros(2, *IMAGE)).shape == (2, CLASSES)
    assert compiled > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_that_matters_has_a_gradient(name):
    for architecture in tiny(name)[:2]:
        try:
            network = compile_network(architecture, IMAGE, CLASSES).eval()
        except CompileError:
            continue
        images = torch.randn(2, *IMAGE, generator=torch.Generator().manual_seed(0))
        before = network(images)
        before.square().sum().backward()
        idle = [weight for weight in network.parameters() if weight.grad is None]
        assert len(idle) < len(list(network.parameters()))
        with torch.no_grad():
            for weight in idle:  # whatever they hold, the output must be the same
                weight.add_(1.0)
            assert torch.equal(network(images), before)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_compile_and_run(name):
    for architecture in samples(name):
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = PROGRAMS[name](architecture)([weight], 0.1)
        weight.sum().backward()
        for _ in range(2):
            optimizer.step()
        assert weight.shape == (3,)
