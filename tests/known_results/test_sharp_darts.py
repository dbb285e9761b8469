"""sharpDARTS (Hundt, Jain and Hager 2019): parameters of published networks and supernets, learning rates.

The counts are those of the authors' networks at CIFAR-10 settings, without the auxiliary head.
"""

from __future__ import annotations

import pytest
import torch

from nas.language import define, op, parse, ref, seq
from nas.language import repeat as copies
from nas.layers import TrainSettings, compile_network
from nas.layers.compile import parameters
from nas.search_spaces import darts, hypercuboid, sharp_darts
from nas.search_spaces.hypercuboid import Edge
from nas.space import Architecture
from nas.training.schedules import Plateau, rate_factor

CIFAR = (3, 32, 32)


# cells


def test_darts_v2_with_the_new_block() -> None:
    """What the authors call no search."""
    cells = sharp_darts.from_genotype(sharp_darts.space("darts"), darts.DARTS_V2)
    assert parameters(cells, CIFAR, 10) == 3_529_270


# the authors' cells (github.com/ahundt/sharpDARTS, cnn/genotypes.py): list, normal, reduction, parameters
RELEASED = {
    "SHARPSEPCONV_DARTS": (
        "darts",
        "sep_3 0, sep_3 1, sep_3 0, sep_3 2, skip 0, sep_3 1, skip 0, sep_3 1",
        "max 0, skip 1, skip 2, avg 0, skip 2, avg 0, skip 2, skip 3",
        3_555_622,
    ),
    "SHARPSEPCONV_DARTS_MAX_W": (
        "darts",
        "dil_3 0, dil_5 1, sep_3 2, dil_5 1, avg 2, sep_3 0, avg 4, max 3",
        "max 0, skip 1, sep_5 0, skip 2, sep_5 0, dil_5 3, sep_5 4, skip 3",
        3_546_550,
    ),
    "SHARP_DARTS": (
        "sharp",
        "choke_3 0, choke_3 1, skip 0, choke_3 1, skip 0, skip 1, skip 0, skip 1",
        "max 0, skip 1, max 0, skip 2, max 0, skip 2, skip 2, flood_3 0",
        1_974_934,
    ),
    "SHARP_DARTS_MAX_W": (
        "sharp",
        "sep_3 0, choke_3 1, skip 0, dil_3 2, dil_flood_3 3, flood_3 0, dil_flood_3 0, flood_3 3",
        "max 0, skip 1, dil_choke_3 0, dil_flood_3 2, dil_3 0, skip 3, flood_3 0, skip 3",
        8_306_022,
    ),
    "SHARPER_MAX_W": (
        "sharper",
        "sep_3 0, dil_5 1, max 0, sep_7 2, avg 3, flood_3 0, flood_3 1, skip 2",
        "flood_5 0, dil_flood_3 1, sep_3 0, skip 2, sep_3 0, skip 2, dil_5 4, sep_3 0",
        6_087_142,
    ),
}


def edges(text: str) -> list[tuple[str, int]]:
    """Published names of the operations and their sources."""
    found = []
    for edge in text.split(", "):
        name, source = edge.split()
        kind, _, side = name.rpartition("_")
        fixed = {"max": "max_pool_3x3", "avg": "avg_pool_3x3", "skip": "skip_connect"}
        found.append((fixed.get(name, f"{kind}_conv_{side}x{side}"), int(source)))
    return found


def released(name: str, **sizes: int) -> Architecture:
    primitives, normal, reduction, _ = RELEASED[name]
    text = (
        f"Genotype(normal={edges(normal)}, normal_concat=range(2, 6), reduce={edges(reduction)}, "
        "reduce_concat=range(2, 6))"
    )
    return sharp_darts.from_genotype(sharp_darts.space(primitives, **sizes), text)


@pytest.mark.parametrize("name", RELEASED)
def test_released_cells_have_their_counts(name: str) -> None:
    assert parameters(released(name), CIFAR, 10) == RELEASED[name][-1]


def test_the_count_for_imagenet_but_for_its_stem() -> None:
    """48 channels, 14 cells, 1,000 classes; the three convolutions of ImageNet's stem are counted by hand."""
    text = released("SHARPER_MAX_W", channels=48, layers=14).text.replace("width=48)", "width=48, stem=1)")
    with torch.device("meta"):
        net = compile_network(parse(text), CIFAR, 1000)
    ours = sum(weight.numel() for weight in net.parameters())
    own_stem, theirs = 27 * 48 + 96, (27 * 24 + 48) + (9 * 24 * 48 + 96) + (9 * 48 * 48 + 96)
    assert ours - own_stem + theirs == 8_267_296


@pytest.mark.slow
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
PATHS = {  # the authors' names: channels through the layers, at stride 1 and 2, and operations; parameters
    "HANDMADE": ([32, 32, 64, 64, 128, 128, 256, 256, 256], "CPCPCPCP", 1_035_882),
    "SCALAR": ([32, 32, 128, 128, 32, 256, 256, 256, 256], "CPCPPPPP", 862_890),
    "MAX_W": ([256, 128, 256, 32, 256, 256, 256, 256, 256], "PPPPCPPP", 1_033_802),
}


@pytest.mark.parametrize("name", PATHS)
def test_released_paths_have_their_counts(name: str) -> None:
    channels, operations, expected = PATHS[name]
    path = [
        Edge(
            number // 2,
            1 + number % 2,
            channels[number],
            channels[number + 1],
            CONV if kind == "C" else POOL,
        )
        for number, kind in enumerate(operations)
    ]
    architecture = hypercuboid.from_edges(hypercuboid.space(), path)
    assert parameters(architecture, CIFAR, 10) == expected


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
