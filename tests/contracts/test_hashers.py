"""What every registered hasher has to keep; see `nas.study.Hasher`. Registering one has it tested here."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

import nas.run.command  # noqa: F401 - registers the schema of the configuration
from nas.errors import ConfigError
from nas.hashing import HASHERS
from nas.language import Op
from nas.layers import NETWORK
from nas.registry import build
from nas.space import Architecture
from nas.study import Hashed
from tests.contracts import hasher_kit
from tests.contracts.hasher_kit import architectures, make

ROOT = Path(__file__).resolve().parents[2]
NAMES = hasher_kit.names()
each_hasher = pytest.mark.parametrize("name", NAMES)


@cache
def answers(name: str) -> list[list[str | None]]:
    return hasher_kit.answers(name)


@each_hasher
def test_answers_are_digests_or_reasons(name):
    hasher = make(name)
    assert hasher.name == name
    assert isinstance(hasher.in_worker, bool)
    digests = 0
    for digest, settings, reason in answers(name):
        assert (digest is None) != (reason is None)
        if digest is None:
            assert reason
            assert "\n" not in reason
            continue
        digests += 1
        assert isinstance(settings, str)
        if name != "text":  # the text's own digest, as architectures have it
            assert re.fullmatch(r"[\w+=-]+:\d+:\d+:[0-9a-f]{32}", digest)
            assert 0 <= int(digest.split(":")[2]) <= 52  # 0: nothing is rounded
    assert digests > 0


@each_hasher
def test_equal_architectures_have_one_digest_and_many_have_several(name):
    hasher = make(name)
    for architecture, (digest, settings, reason) in zip(architectures(), answers(name), strict=True):
        assert hasher.hash(architecture) == Hashed(digest, settings, reason)
        copied = pickle.loads(pickle.dumps(architecture))
        assert hasher.hash(copied) == Hashed(digest, settings, reason)
    assert len({digest for digest, *_ in answers(name) if digest}) > 1


@each_hasher
def test_a_pickled_hasher_answers_alike(name):
    fresh, used = make(name), make(name)
    architecture = architectures()[0]
    used.hash(architecture)
    for hasher in (pickle.loads(pickle.dumps(fresh)), pickle.loads(pickle.dumps(used))):
        assert hasher.name == name
        assert [hasher.hash(architecture).digest] == answers(name)[0][:1]


@each_hasher
def test_the_order_of_hashing_does_not_matter(name):
    hasher = make(name)
    backwards = [hasher.hash(architecture).digest for architecture in reversed(architectures())]
    assert backwards[::-1] == [digest for digest, *_ in answers(name)]


@each_hasher
def test_global_random_state_neither_matters_nor_moves(name):
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the global state that must not matter
        torch.manual_seed(seed)
        before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # type: ignore[union-attr]  # noqa: NPY002
        assert hasher_kit.answers(name) == answers(name)
        after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # type: ignore[union-attr]  # noqa: NPY002
        assert after == before


@pytest.mark.slow
@pytest.mark.parametrize(("hash_seed", "threads"), [("1", "1"), ("2", "2")])
def test_other_processes_and_thread_counts_answer_the_same(hash_seed, threads):
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "OMP_NUM_THREADS": threads,
        "PYTHONPATH": str(ROOT),
    }
    output = subprocess.run(
        [sys.executable, hasher_kit.__file__, threads],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert json.loads(output) == {name: json.loads(json.dumps(answers(name))) for name in NAMES}


@each_hasher
def test_what_cannot_be_hashed_is_a_reason_and_not_an_error(name):
    broken = Architecture("broken", NETWORK, (), Op("conv", (), ()))
    nonsense = Architecture("broken", NETWORK, (), Op("no_such_thing"))
    for architecture in (broken, nonsense):
        hashed = make(name).hash(architecture)
        assert (hashed.digest is None) == (hashed.reason is not None)


@each_hasher
def test_unknown_options_are_refused_in_one_line(name):
    with pytest.raises(ConfigError, match="no_such_option") as caught:
        build(HASHERS, {"name": name, **hasher_kit.OPTIONS.get(name, {}), "no_such_option": 1})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", HASHERS.names())
def test_every_hasher_has_a_configuration(name):
    with initialize_config_module("nas.experiments", version_base="1.3"):
        config = compose(
            "config", overrides=["name=test", "space=nasbench201", "evaluator=digits", f"hashing={name}"]
        )
    section = OmegaConf.to_container(config.hashing, resolve=True)
    assert section["name"] == name
    build(HASHERS, section)
