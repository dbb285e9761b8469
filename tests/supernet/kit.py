"""What the tests of searches share: images whose class shows, and spaces with quick supernets."""

from __future__ import annotations

import numpy as np
import torch

from nas.language import choose, define, oneof, op, ref
from nas.space import SearchSpace
from nas.supernet import OneShotSettings
from nas.training import DeviceData
from nas.training.device import Split

CHOICES = SearchSpace(
    "choices",
    op.stem(width=4)
    >> (op.conv(kernel=1) | op.skip() | op.relu())
    >> op.batchnorm()
    >> (op.conv(kernel=3) | op.skip() | op.tanh())
    >> (op.relu() | op.sigmoid())
    >> op.head(),
)
PAIR = oneof(op.relu_conv_bn(kernel=1), op.skip())
GATES = SearchSpace(
    "gates",
    define(
        op.stem(width=4) >> ref("cell") >> op.head(),
        cell=op.cell(
            op.node(PAIR, inputs=(0,)),
            op.node(PAIR, PAIR, inputs=choose(2, 0, 1)),
            op.node(PAIR, PAIR, inputs=choose(2, 0, 1, 2)),
        ),
    ),
    gate="none",
)


def images(count=48, classes=3, side=4, seed=0):
    """Noise that is brighter by class, (count, 1, side, side), on the CPU as all three splits."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    pixels = rng.integers(0, 60, (count, 1, side, side)).astype(np.uint8)
    pixels += (60 * labels)[:, None, None, None].astype(np.uint8)
    split = Split(torch.from_numpy(pixels), torch.from_numpy(labels))
    return DeviceData(split, split, split, torch.full((1, 1, 1, 1), 90.0), torch.full((1, 1, 1, 1), 60.0))


def small(**options):
    """Settings of a search that takes a moment."""
    chosen = {"epochs": 4, "batch_size": 8, "crop_padding": 1, "skip_limit": None, **options}
    return OneShotSettings(**chosen)


def without_time(curve):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in curve]
