"""Signs of collapse and the rules on them, by hand and against linear algebra."""

import numpy as np
import pytest
import torch

from nas.language import define, op, ref
from nas.space import SearchSpace
from nas.supernet import OneShotSettings, relax
from nas.supernet.collapse import (
    cell_of,
    eigenvalue_grew,
    largest_eigenvalue,
    limited_choice,
    skips_by_cell,
    taken_skips,
    too_many_skips,
)
from tests.supernet.kit import CHOICES, GATES

# skips

GATED, CHOSEN = relax(GATES, (1, 4, 4), 3), relax(CHOICES, (1, 4, 4), 3)
# of each edge none, convolution, skip; the nodes have one, two and three edges, and take one, two and two
STRENGTHS = [
    [0.0, 0.2, 0.8],
    [0.5, 0.1, 0.4],
    [0.0, 0.3, 0.7],
    [0.0, 0.4, 0.6],
    [0.0, 0.05, 0.95],
    [0.0, 0.5, 0.5],
]


def limited(net, strengths, limit):
    rows = [np.array(row) for row in strengths]
    architecture = limited_choice(net.space, net.holes, net.gates, rows, limit)
    options = [weight.active[0] for weight in net.one_hot(architecture)]
    return options, taken_skips(net.space, net.holes, net.gates, architecture)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (None, [2, 2, 2, 2, 2, 0]),  # the third node takes its edges of 0.6 and 0.95
        (5, [2, 2, 2, 2, 2, 0]),
        (4, [2, 1, 2, 2, 2, 0]),  # 0.4 is the weakest; the second node takes both edges anyway
        (3, [2, 1, 2, 0, 2, 1]),  # 0.6 goes; of the third node's first edge 0.4 is left, of its last one 0.5
        (1, [1, 1, 1, 0, 2, 1]),
        (0, [1, 1, 1, 1, 0, 1]),
    ],
)
def test_the_weakest_skips_beyond_the_limit_give_way(limit, expected):
    options, skips = limited(GATED, STRENGTHS, limit)
    assert options == expected
    assert sum(option == 2 for option in options) == len(skips)
    assert skips_by_cell(skips) == ({"cell": len(skips)} if skips else {})


def test_choices_outside_of_cells_are_limited_too():
    strengths = [[0.1, 0.8, 0.1], [0.1, 0.6, 0.3], [0.5, 0.5]]
    assert [limited(CHOSEN, strengths, limit)[0] for limit in (2, 1, 0)] == [[1, 1, 0], [1, 2, 0], [0, 2, 0]]


def test_a_choice_of_nothing_but_skips_ends():
    space = SearchSpace("skips", op.stem(width=4) >> (op.skip() | op.identity()) >> op.head())
    net = relax(space, (1, 4, 4), 3)
    _, skips = limited(net, [[0.7, 0.3]], 0)
    assert len(skips) == len(net.holes[0].skips) - 1 or len(skips) == 1


def test_zero_is_chosen_only_where_there_is_nothing_else():
    edge = op.zero() | op.skip() | op.conv(kernel=3)
    net = relax(SearchSpace("zeros", op.stem(width=4) >> edge >> edge >> op.head()), (1, 4, 4), 3)
    assert [hole.zeros for hole in net.holes] == [(0,), (0,)]
    strengths = [[0.9, 0.06, 0.04], [0.2, 0.5, 0.3]]
    assert [limited(net, strengths, limit)[0] for limit in (None, 1, 0)] == [[1, 1], [2, 1], [2, 2]]
    empty = SearchSpace("empty", op.stem(width=4) >> (op.zero() | op.skip()) >> op.head())
    assert limited(relax(empty, (1, 4, 4), 3), [[0.9, 0.1]], 0)[0] == [1], "a dead network is no way out"
    assert all(hole.zeros == (0,) for hole in GATED.holes), "none of an edge"


def test_constraints_that_ask_for_zeros_are_met():
    edge = op.zero() | op.skip() | op.relu_conv_bn(kernel=3) | op.relu_conv_bn(kernel=1) | op.avg_pool_3x3()
    cell = op.cell(*[op.node(*[edge] * (i + 1), inputs=tuple(range(i + 1))) for i in range(3)], output="last")
    expression = define(op.stem(width=4) >> ref("cell") >> op.head(), cell=cell)

    def zeros(architecture):
        found = sum(decision.option == 0 for decision in architecture.decisions)
        return None if found >= 4 else f"{found} zeros"

    net = relax(SearchSpace("most", expression, constraints=[zeros]), (1, 4, 4), 3)
    options, _ = limited(net, [[0.6, 0.04, 0.2, 0.1, 0.06]] * 6, 2)
    assert options.count(0) >= 4
    assert set(options) <= {0, 2}


def test_skips_that_a_shallower_network_leaves_out_do_not_count():
    from nas.language import repeat

    body = op.skip() | op.relu()
    net = relax(SearchSpace("deep", op.stem(width=4) >> repeat(body, 1, 3) >> op.head()), (1, 4, 4), 3)
    depth = next(hole for hole in net.holes if hole.kind == "depth")
    strengths = [[0.9, 0.1]] * len(net.holes)
    for copies in (1, 2, 3):
        strengths[depth.number] = np.eye(3)[copies - 1] + 0.01
        assert len(limited(net, strengths, None)[1]) == copies


def test_the_strengths_are_left_as_they_were():
    rows = [np.array(row) for row in STRENGTHS]
    limited_choice(GATES, GATED.holes, GATED.gates, rows, 0)
    assert [row.tolist() for row in rows] == STRENGTHS


def test_a_cell_is_the_definition_that_a_hole_stands_in():
    assert {cell_of(hole) for hole in GATED.holes} == {"cell"}


@pytest.mark.parametrize(
    ("epoch", "skips", "limit", "stops"),
    [(12, 3, 2, True), (12, 2, 2, False), (11, 3, 2, False), (50, 3, None, False), (50, 1, 0, True)],
)
def test_search_stops_at_too_many_skips_from_a_fifth_of_its_epochs_on(epoch, skips, limit, stops):
    curve = [{"epoch": epoch - 2 + i, "skips": skips} for i in range(3)]
    reason = too_many_skips(curve, OneShotSettings(epochs=50, skip_stop=limit))
    expected = f"epoch {epoch}: a cell has {skips} skips, more than skip_stop = {limit}"
    assert reason == (expected if stops else None)


@pytest.mark.parametrize(
    ("skips", "epoch", "begun", "stops"),
    [
        ((3, 3, 3), 30, 0, True),
        ((3, 2, 3), 30, 0, False),  # in between it was well
        ((3, 3), 30, 0, False),
        ((3, 3, 3), 29, 20, True),  # 27 is a fifth of the way from 20 to 50, more or less
        ((3, 3, 3), 27, 20, False),
    ],
)
def test_too_many_skips_have_to_last(skips, epoch, begun, stops):
    curve = [{"epoch": epoch - len(skips) + 1 + i, "skips": each} for i, each in enumerate(skips)]
    settings = OneShotSettings(epochs=50, alpha_from=begun, skip_stop=2)
    assert (too_many_skips(curve, settings) is not None) == stops


# eigenvalue


def spectrum(values, seed=0):
    """A symmetric matrix with these eigenvalues."""
    size = len(values)
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return basis @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ basis.T


@pytest.mark.parametrize(
    "values", [(5.0, 1.0, 0.5, -2.0, 0.1), (1.0, 0.2, -4.0, 0.3, 0.0), (-1.0, -3.0, -2.0, -5.0, -4.0)]
)
def test_largest_eigenvalue_of_a_quadratic(values):
    matrix = spectrum(values)
    alphas = [torch.randn(2, 1, dtype=torch.float64), torch.randn(3, dtype=torch.float64)]
    before = [alpha.clone() for alpha in alphas]

    def gradient():
        flat = matrix @ torch.cat([alpha.flatten() for alpha in alphas])
        return [flat[:2].view(2, 1), flat[2:]]

    found = largest_eigenvalue(gradient, alphas, torch.Generator().manual_seed(0))
    assert found == pytest.approx(float(torch.linalg.eigvalsh(matrix)[-1]), rel=1e-6)
    assert all(torch.equal(one, other) for one, other in zip(alphas, before, strict=True))


def test_no_curvature_is_zero():
    alpha, generator = torch.ones(3, dtype=torch.float64), torch.Generator().manual_seed(0)
    assert largest_eigenvalue(lambda: [torch.ones_like(alpha)], [alpha], generator) == 0.0


@pytest.mark.parametrize(
    ("before", "now", "stops"),
    [(0.3, 0.41, True), (0.3, 0.39, False), (0.3, 0.2, False), (-0.3, 0.4, False)],
)
def test_growth_is_judged_by_means_over_five_epochs(before, now, stops):
    waves = [0.05, -0.05, 0.0, 0.05, -0.05]  # of mean zero
    values = [9.0] + [before + wave for wave in waves] + [now + wave for wave in waves]
    assert (eigenvalue_grew(values) is not None) == stops
    assert eigenvalue_grew(values[-9:]) is None, "two windows are not full"
