"""sharpDARTS (Hundt, Jain and Hager 2019): parameters of published networks and supernets, learning rates.

The counts are those of the authors' networks at CIFAR-10 settings, without the auxiliary head.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain, repeat

import pytest
import torch

from nas.compile import compile_network
from nas.complexity import parameters
from nas.dsl import define, op, ref, seq
from nas.dsl import repeat as copies
from nas.training.schedules import Plateau, rate_factor
from nas.training.settings import TrainSettings
from search_spaces import darts, hypercuboid, sharp_darts
from search_spaces.hypercuboid import Edge

CIFAR = (3, 32, 32)


# cells


def test_darts_v2_with_the_new_block() -> None:
    """What the authors call no search."""
    cells = sharp_darts.from_genotype(sharp_darts.space("darts"), darts.DARTS_V2)
    assert parameters(cells, CIFAR, 10) == 3_529_270


def cell(operations: dict[str, int]) -> list[tuple[str, int]]:
    """Eight edges, all from the cell's two inputs."""
    names = chain.from_iterable(repeat(name, number) for name, number in operations.items())
    return [(name, edge % 2) for edge, name in enumerate(names)]


@pytest.mark.parametrize(
    ("primitives", "normal", "reduce", "expected"),
    [
        pytest.param(
            "darts",
            {"sep_conv_3x3": 6, "skip_connect": 2},
            {"max_pool_3x3": 7, "skip_connect": 1},
            3_555_622,
            id="SHARPSEPCONV_DARTS",
        ),
        pytest.param(
            "sharp",
            {"choke_conv_3x3": 3, "skip_connect": 5},
            {"max_pool_3x3": 6, "skip_connect": 1, "flood_conv_3x3": 1},
            1_974_934,
            id="SHARP_DARTS",
        ),
        pytest.param(
            "sharp",
            {"flood_conv_3x3": 4, "sep_conv_3x3": 2, "choke_conv_3x3": 1, "skip_connect": 1},
            {
                "flood_conv_3x3": 2,
                "sep_conv_3x3": 1,
                "choke_conv_3x3": 1,
                "skip_connect": 1,
                "max_pool_3x3": 3,
            },
            8_306_022,
            id="SHARP_DARTS_MAX_W",
        ),
    ],
)
def test_cells_with_the_published_counts(
    primitives: str, normal: dict[str, int], reduce: dict[str, int], expected: int
) -> None:
    """Numbers of operations that follow from the counts, up to operations of equal size and one other way.

    A count depends on how many edges have which operation, and in reductions on which skips are strided;
    otherwise it does not matter where the edges lead from. Dilation, pools and plain skips cost nothing.
    """
    text = (
        f"Genotype(normal={cell(normal)}, normal_concat=range(2, 6), reduce={cell(reduce)}, "
        "reduce_concat=range(2, 6))"
    )
    architecture = sharp_darts.from_genotype(sharp_darts.space(primitives), text)
    assert parameters(architecture, CIFAR, 10) == expected


@pytest.mark.parametrize(("primitives", "expected"), [("sharp", 5_867_642), ("sharper", 9_707_002)])
def test_supernets_have_their_published_counts(primitives: str, expected: int) -> None:
    """At 16 channels and 8 cells: every operation on every edge, in search mode."""
    operations = [sharp_darts.operation(name) for name in sharp_darts.LISTS[primitives]]
    nodes = []
    for node in range(4):
        inputs = tuple(source for source in range(2 + node) for _ in operations)
        nodes.append(op.node(*operations * (2 + node), inputs=inputs))
    normal = op.cell(*nodes, inputs=2, output="concat")
    parts = [copies(ref("normal"), 2), ref("reduction"), copies(ref("normal"), 2), ref("reduction")]
    body = op.chain(seq(*parts, copies(ref("normal"), 2)), width=16) >> op.head()
    reduction = op.cell(*nodes, inputs=2, output="concat", stride=2)
    with torch.device("meta"):
        net = compile_network(define(body, normal=normal, reduction=reduction), CIFAR, 10, mode="search")
    assert sum(weight.numel() for weight in net.parameters()) == expected


# HyperCuboid

CONV, POOL = hypercuboid.OPERATIONS
HAND_MADE = [
    Edge(0, 1, 32, 32, CONV),
    Edge(0, 2, 32, 64, POOL),
    Edge(1, 1, 64, 64, CONV),
    Edge(1, 2, 64, 128, POOL),
    Edge(2, 1, 128, 128, CONV),
    Edge(2, 2, 128, 256, POOL),
    Edge(3, 1, 256, 256, CONV),
    Edge(3, 2, 256, 256, POOL),
]


def test_hypercuboid_hand_made_path() -> None:
    path = hypercuboid.from_edges(hypercuboid.space(), HAND_MADE)
    assert parameters(path, CIFAR, 10) == 1_035_882


def block(into: int, out: int) -> int:
    """Parameters of a 3x3 block whose middle is as wide as what comes out."""
    return 9 * into + into * out + 2 * out + 9 * out + out * out + 2 * out


def counts_of_all_paths() -> Counter[int]:
    """How many paths have how many parameters, width by width through the grid."""
    widths = hypercuboid.CHANNELS
    found = {width: Counter({27 * width + 2 * width: 1}) for width in widths}
    for _ in range(8):
        after: dict[int, Counter[int]] = {width: Counter() for width in widths}
        for into, totals in found.items():
            for out in widths:
                pool = 0 if into == out else into * out + 2 * out
                for size in (block(into, out), pool):
                    for total, paths in totals.items():
                        after[out][total + size] += paths
        found = after
    ends = Counter[int]()
    for width, totals in found.items():
        for total, paths in totals.items():
            ends[total + block(width, 768) + 7_690] += paths
    return ends


def test_hypercuboid_has_paths_of_the_published_counts() -> None:
    """Those of the scalar and the Max-W search; one number in fifty of the range is the count of a path."""
    counts = counts_of_all_paths()
    assert sum(counts.values()) == hypercuboid.space().size() == 4 * 8**8
    assert {1_035_882, 862_890, 1_033_802} <= counts.keys()
    assert len(counts) / (max(counts) - min(counts)) < 0.025


# cosine power annealing


@pytest.mark.parametrize(
    ("power", "rates"),
    [
        (1.0, [0.02134, 0.01250, 0.00366]),
        (2.0, [0.02017, 0.01036, 0.00267]),
        (10.0, [0.01705, 0.00601, 0.00111]),
    ],
)
def test_rates_at_one_two_and_three_quarters(power: float, rates: list[float]) -> None:
    """From 0.025 to 1e-8 in 2,000 epochs."""
    settings = TrainSettings(schedule="cosine_power", lr=0.025, lr_min=1e-8, rate_power=power, epochs=2000)
    found = [settings.lr * rate_factor(settings, step, 1, Plateau()) for step in (500, 1000, 1500, 2000)]
    assert [round(rate, 5) for rate in found[:3]] == rates
    assert found[3] == pytest.approx(1e-8)


@pytest.mark.parametrize(("power", "warmup", "epochs"), [(2.0, 5, 50), (10.0, 10, 300), (1.0, 0, 20)])
def test_rates_of_every_epoch_by_the_papers_form(power: float, warmup: int, epochs: int) -> None:
    """Linear from 1 / (W + 1) to 1 in the first W + 1 epochs, then the curve over the T - W that are left."""
    high, low = 0.025, 1e-4
    settings = TrainSettings(
        schedule="cosine_power", lr=high, lr_min=low, rate_power=power, warmup_epochs=warmup, epochs=epochs
    )
    shares = [(epoch + 1) / (warmup + 1) for epoch in range(warmup)]
    heights = (
        1 + torch.cos(torch.pi * torch.arange(epochs - warmup, dtype=torch.float64) / (epochs - warmup))
    ) / 2
    curve = heights if power == 1 else (power ** (1 + heights) - power) / (power**2 - power)
    expected = [low + (high - low) * share for share in [*shares, *curve.tolist()]]
    found = [high * rate_factor(settings, epoch, 1, Plateau()) for epoch in range(epochs)]
    assert found == pytest.approx(expected, rel=1e-12)
    assert max(found) == found[warmup] == pytest.approx(high)
