"""Every registered hasher on architectures of every kind; as a program it prints what each of them answers.

`python tests/contracts/hasher_kit.py THREADS` does so with that many threads of torch.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any

import numpy as np

from nas.hashing import HASHERS
from nas.registry import build
from nas.search_spaces import SPACES
from nas.space import Architecture, sample
from nas.study import Hasher

# options without which a hasher cannot be made, or is slow
OPTIONS: dict[str, dict[str, Any]] = {
    "unified": {
        "evaluator": {
            "name": "function",
            "function": "tests.contracts.hasher_kit:length",
        }
    },
}
SMALL: dict[str, dict[str, Any]] = {
    "nasbench201": {"channels": 4, "cells": 1},
    "darts": {"channels": 4, "layers": 3},
    "sharp_darts": {"channels": 4, "layers": 3, "middle": 3},
    "hypercuboid": {"channels": [4, 8], "layers": 2, "last": 12},
    "macro": {"width": 4, "stages": 2, "depth": 1},
    "deepconv": {"filters": [4, 6], "repeats": [1]},
    "update_rule": {"max_statements": 8},
    "activation": {"depth": 1},
}


def names() -> list[str]:
    """The hashers that make digests at all."""
    return [name for name in HASHERS.names() if name != "none"]


def make(name: str) -> Hasher:
    return build(HASHERS, {"name": name, **OPTIONS.get(name, {})})


@cache
def architectures() -> tuple[Architecture, ...]:
    """Two of each space, and training settings beside some."""
    rng = np.random.default_rng(0)
    spaces = [SPACES.get(name)(**SMALL.get(name, {})) for name in SPACES.names()]
    return tuple(sample(space, rng) for space in spaces for _ in range(2))


def length(architecture: Architecture) -> float:
    """The stand-in for a short training."""
    return float(len(architecture.text))


def answers(name: str) -> list[list[str | None]]:
    """Digest, settings and reason of each architecture."""
    hasher = make(name)
    found = map(hasher.hash, architectures())
    return [[hashed.digest, hashed.settings, hashed.reason] for hashed in found]


if __name__ == "__main__":
    import torch

    torch.set_num_threads(int(sys.argv[1]))
    print(json.dumps({name: answers(name) for name in names()}))
