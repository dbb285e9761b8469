import itertools

import numpy as np
import pytest

from nas.algorithms.surrogate.distances import DistanceCache, Distances
from nas.search_spaces import SPACES
from nas.search_spaces.nasbench201 import from_benchmark_string
from nas.space import Encoder, SearchSpace, mutate, sample

# counts are told apart up to 8, then four in each doubling
LEVELS = [*range(1, 9), 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64]


def coded(space, number, seed=0):
    """Random architectures, the distances of their space and their codes."""
    rng = np.random.default_rng(seed)
    architectures = [sample(space, rng) for _ in range(number)]
    distances = Distances(space, architectures[0])
    return architectures, distances, [distances.code(architecture) for architecture in architectures]


def measured(distances, codes, others, scales):
    return distances.between(distances.pack(codes), distances.pack(others), scales)


def ones(distances):
    return [np.ones(groups) for groups in distances.groups]


def brute_force(space, kind, architectures):
    """From the encoder's own rows, counts put on the scale of levels."""
    encoder = Encoder(space, (kind,)).fit(architectures)
    rows = encoder.transform(architectures)
    for name, column in encoder.columns.items():
        if not (name.startswith("number:") or (name.startswith("hole:") and "=" not in name)):
            rows[:, column] = np.searchsorted(LEVELS, rows[:, column], side="right")
        if name == "primitives":
            rows[:, column] = 0
    apart = np.abs(rows[:, None] - rows[None])
    return (apart**2 if kind == "numeric" else apart).sum(-1)


@pytest.mark.parametrize("name", ["nasbench201", "deepconv", "update_rule"])
def test_distances_equal_brute_force(name):
    space = SPACES.get(name)()
    architectures, distances, codes = coded(space, 8)
    structure = ["count", "path"] if name == "nasbench201" else ["numeric", "count", "ngram"]
    assert distances.names == ("one_hot", *structure)
    expected = np.stack([brute_force(space, kind, architectures) for kind in distances.names])
    np.testing.assert_allclose(measured(distances, codes, codes, ones(distances)), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["nasbench201", "deepconv"])
def test_a_distance_is_the_scaled_sum_over_its_groups(name):
    _, distances, codes = coded(SPACES.get(name)(), 6)
    scales = [np.random.default_rng(1).uniform(0.1, 3, size=groups) for groups in distances.groups]
    parts = distances.by_group(codes)
    expected = [np.einsum("g,gnm->nm", scale, part) for scale, part in zip(scales, parts, strict=True)]
    np.testing.assert_allclose(
        measured(distances, codes, codes, scales), np.stack(expected), rtol=1e-9, atol=1e-9
    )


def test_each_hole_is_a_group_and_counts_and_structure_are_one_each():
    space = SPACES.get("nasbench201")()
    _, distances, codes = coded(space, 20)
    assert distances.groups == (6, 1, 1)
    for group in distances.by_group(codes)[0]:
        assert set(np.unique(group)) == {0.0, 2.0}  # one hole: equal, or one option off and another on


def test_cells_that_compute_the_same_are_close_in_their_paths():
    """They differ in an edge behind a zero, which no path passes; it counts as one convolution, kernel 3."""
    space = SPACES.get("nasbench201")()
    cells = [
        "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
        "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
    ]
    one, other = (from_benchmark_string(space, cell) for cell in cells)
    distances = Distances(space, one)
    codes = [distances.code(one), distances.code(other)]
    assert measured(distances, codes[:1], codes[1:], ones(distances))[:, 0, 0].tolist() == [2, 3, 0]


def test_columns_that_come_later_do_not_change_distances():
    space = SearchSpace("lines", "repeat(conv(kernel=oneof(1, 3, 5)) | relu() | gelu(), 1, 6)")
    architectures, _, _ = coded(space, 12, seed=1)
    distances = Distances(space, architectures[0])
    codes = [distances.code(architecture) for architecture in architectures[:4]]
    scales = ones(distances)
    before = measured(distances, codes, codes, scales)
    packed = distances.pack(codes)
    for architecture in architectures[4:]:
        distances.code(architecture)
    np.testing.assert_array_equal(measured(distances, codes, codes, scales), before)
    np.testing.assert_array_equal(distances.between(packed, distances.pack(codes), scales), before)
    np.testing.assert_array_equal(distances.between(distances.pack(codes), packed, scales), before)


def test_sums_of_differences_are_a_metric():
    _, distances, codes = coded(SPACES.get("macro")(), 7, seed=2)
    found = measured(distances, codes, codes, ones(distances))
    for name, kind in zip(distances.names, found, strict=True):
        assert (np.diag(kind) == 0).all()
        np.testing.assert_allclose(kind, kind.T, atol=1e-6)
        if name != "numeric":  # squared
            for a, b, c in itertools.permutations(range(7), 3):
                assert kind[a, c] <= kind[a, b] + kind[b, c] + 1e-6


@pytest.fixture(params=["nasbench201", "deepconv", "update_rule"])
def setting(request):
    """Distances of a space, codes of eighteen architectures, and scales of the groups of the first ten."""
    space, rng = SPACES.get(request.param)(), np.random.default_rng(0)
    parent = sample(space, rng)
    architectures = [mutate(space, parent, rng) for _ in range(12)] + [sample(space, rng) for _ in range(6)]
    distances = Distances(space, parent)
    codes = [distances.code(architecture) for architecture in architectures[:10]]
    scales = [rng.uniform(0.1, 2.0, groups) for groups in distances.groups]
    return distances, codes + [distances.code(architecture) for architecture in architectures[10:]], scales


def measured_at_once(setting, rows, others):
    distances, codes, scales = setting
    packs = [distances.pack([codes[i] for i in numbers]) for numbers in (rows, others)]
    return distances.between(*packs, scales)


def test_what_is_kept_between_asks_equals_what_is_measured_at_once(setting):
    """Known ones become more; some of the others stay, in another order, some go and others come."""
    distances, codes, scales = setting
    measured = DistanceCache(distances)
    measured.rescale(scales)
    for known, others in ((5, [12, 13, 14]), (5, [14, 15]), (7, [15, 12, 14]), (10, [17, 14, 16, 12])):
        measured.know(codes[:known])
        expected = measured_at_once(setting, range(known), range(known))
        np.testing.assert_allclose(measured.between, expected, atol=1e-9)
        found = measured.to([str(i) for i in others], [codes[i] for i in others])
        np.testing.assert_allclose(found, measured_at_once(setting, range(known), others), atol=1e-9)


def test_other_scales_leave_nothing_of_what_was_kept(setting):
    distances, codes, scales = setting
    measured = DistanceCache(distances)
    for factor in (1.0, 3.0):
        measured.rescale([factor * scale for scale in scales])
        measured.know(codes[:4])
        found = measured.to(["8", "9"], codes[8:10])
    assert measured.between.shape == (len(distances.names), 4, 4)
    np.testing.assert_allclose(found, 3.0 * measured_at_once(setting, range(4), [8, 9]), atol=1e-9)


def test_what_is_trusted_counts_as_known_until_the_results_come(setting):
    distances, codes, scales = setting
    measured = DistanceCache(distances)
    measured.rescale(scales)
    measured.know(codes[:6])
    across = measured.trust(codes[6:8])
    np.testing.assert_allclose(across, measured_at_once(setting, range(8), [6, 7]), atol=1e-9)
    found = measured.to(["9"], codes[9:10])
    np.testing.assert_allclose(found, measured_at_once(setting, range(8), [9]), atol=1e-9)
    measured.know([*codes[:6], codes[7]])  # the second one first
    found = measured.to(["9"], codes[9:10])
    np.testing.assert_allclose(found, measured_at_once(setting, [*range(6), 7], [9]), atol=1e-9)
