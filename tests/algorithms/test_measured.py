import numpy as np
import pytest

from algorithms.distances import Distances
from algorithms.measured import Measured
from nas.operators import mutate, sample
from search_spaces import SPACES


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
    measured = Measured(distances)
    measured.rescale(scales)
    for known, others in ((5, [12, 13, 14]), (5, [14, 15]), (7, [15, 12, 14]), (10, [17, 14, 16, 12])):
        measured.know(codes[:known])
        expected = measured_at_once(setting, range(known), range(known))
        np.testing.assert_allclose(measured.between, expected, atol=1e-9)
        found = measured.to([str(i) for i in others], [codes[i] for i in others])
        np.testing.assert_allclose(found, measured_at_once(setting, range(known), others), atol=1e-9)


def test_other_scales_leave_nothing_of_what_was_kept(setting):
    distances, codes, scales = setting
    measured = Measured(distances)
    for factor in (1.0, 3.0):
        measured.rescale([factor * scale for scale in scales])
        measured.know(codes[:4])
        found = measured.to(["8", "9"], codes[8:10])
    assert measured.between.shape == (len(distances.names), 4, 4)
    np.testing.assert_allclose(found, 3.0 * measured_at_once(setting, range(4), [8, 9]), atol=1e-9)


def test_what_is_trusted_counts_as_known_until_the_results_come(setting):
    distances, codes, scales = setting
    measured = Measured(distances)
    measured.rescale(scales)
    measured.know(codes[:6])
    across = measured.trust(codes[6:8])
    np.testing.assert_allclose(across, measured_at_once(setting, range(8), [6, 7]), atol=1e-9)
    found = measured.to(["9"], codes[9:10])
    np.testing.assert_allclose(found, measured_at_once(setting, range(8), [9]), atol=1e-9)
    measured.know([*codes[:6], codes[7]])  # the second one first
    found = measured.to(["9"], codes[9:10])
    np.testing.assert_allclose(found, measured_at_once(setting, [*range(6), 7], [9]), atol=1e-9)
