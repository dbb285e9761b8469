"""Chains of choices for the tests of layered graphs, and weights of their steps."""

from __future__ import annotations

import numpy as np
import pytest

from nas.language import Context, empty, integer, oneof, op, repeat, residual, shared
from nas.search_spaces import SPACES
from nas.space import SearchSpace, enumerate_architectures, sample
from nas.supernet import ArchitectureWeights, Relaxing, layered_grid

IMAGE, CLASSES = (3, 8, 8), 4
CUBOID = SPACES.get("hypercuboid")
SMALL = CUBOID(channels=[4, 6], layers=1, last=5)
WIDTH = shared("width", oneof(4, 6))
CHAINS = {
    "hypercuboid": SMALL,
    "deeper": CUBOID(channels=[2, 4, 5], layers=2, last=6),
    "widths": SearchSpace(
        "widths",
        op.conv(width=oneof(3, 4), kernel=oneof(1, 3))
        >> op.relu()
        >> op.conv(width=oneof(2, 5))
        >> op.head(),
    ),
    "integers": SearchSpace("integers", op.conv(kernel=integer(1, 3), width=4) >> op.head()),
    "sequences": SearchSpace(
        "sequences",
        repeat(oneof(op.conv(width=3) >> op.relu(), op.maxpool(kernel=2), empty()), 2, 2)
        >> residual(op.conv(width=3))
        >> op.head(),
    ),
    "nothing to choose": SearchSpace("fixed", op.conv(width=3) >> op.head()),
}
each_chain = pytest.mark.parametrize("space", CHAINS.values(), ids=CHAINS.keys())


def grid_of(space):
    return layered_grid(
        space, Relaxing(space, ArchitectureWeights()), IMAGE, Context(CLASSES, affine=False, mode="search")
    )


def architectures(space, number=6):
    if space.size() <= 40:
        return list(enumerate_architectures(space))
    rng = np.random.default_rng(3)
    return [sample(space, rng) for _ in range(number)]


def planted(first, second):
    """Weights of the two choice groups of SMALL, by (into, out, operation); 0.01 elsewhere."""
    rows = np.full((2, 2, 2, 2), 0.01)
    for row, given in zip(rows, (first, second), strict=True):
        for place, value in given.items():
            row[place] = value
    return [row.reshape(-1) for row in rows]
