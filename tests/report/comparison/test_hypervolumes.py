import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nas.evaluation import hypervolume
from nas.report.comparison import read_comparison
from nas.report.comparison.analysis import front, growth, quantities, volumes
from nas.report.comparison.logs import runs_of
from tests.report.comparison.comparison_kit import LATENCY, VALIDATION, study, write_manifest

POINTS = st.lists(st.tuples(*[st.integers(0, 6)] * 2), max_size=8)


def compared(directory):
    comparison = read_comparison(directory)
    runs = runs_of(comparison)
    return comparison, runs, {q.key: q for q in quantities(comparison, runs, volumes(comparison, runs))}


@given(POINTS, st.tuples(*[st.integers(0, 6)] * 2))
def test_hypervolumes_grow_as_those_of_all_points_so_far(points, reference):
    array, corner = np.array(points, float).reshape(-1, 2), np.array(reference, float)
    expected = [hypervolume(array[: count + 1], corner) for count in range(len(points))]
    np.testing.assert_allclose(growth(array, corner), expected)


@given(POINTS)
def test_a_front_is_what_nothing_dominates(points):
    kept = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)}
    assert {tuple(p) for p in front(np.array(points, float).reshape(-1, 2)).tolist()} == kept


def several(directory, reference, optimum):
    changes = {"objectives": [VALIDATION, LATENCY], "reference": reference, "optimum": optimum}
    trials = [
        {"values": (80, 1), "latency": 20.0},
        None,
        {"values": (90, 1), "latency": 25.0},
        {"values": (70, 1), "latency": 5.0},
    ]
    write_manifest(directory, ["a"], 1, **changes)
    study(directory, "a", 0, trials)
    return compared(directory)


def test_hypervolume_by_hand(tmp_path):
    """Up to accuracy 50 and latency 30: 30 x 10; + 10 x 5; + 20 x 15, of a union front of 650."""
    comparison, runs, found = several(tmp_path, {"validation_accuracy": 50, "latency": 30}, {})
    np.testing.assert_allclose(found["hypervolume"].values["a"], [np.array([300, 300, 350, 650]) / 650])
    measured = volumes(comparison, runs)
    assert (measured.whole, measured.known, measured.given) == (650, False, True)
    assert measured.reference == (50, 30)
    assert list(found) == ["hypervolume", "validation_accuracy", "test_accuracy"]


def test_hypervolume_as_a_share_of_the_true_front(tmp_path):
    reference = {"validation_accuracy": 50, "latency": 30}
    comparison, runs, found = several(tmp_path, reference, {"hypervolume": 1300.0})
    np.testing.assert_allclose(found["hypervolume"].values["a"][0, -1], 0.5)
    assert volumes(comparison, runs).known


def test_hypervolume_without_a_reference_point_takes_the_worst_values(tmp_path):
    """Accuracy 70 and latency 25: only the first point is better in both."""
    comparison, runs, found = several(tmp_path, {}, {})
    measured = volumes(comparison, runs)
    assert (measured.reference, measured.given, measured.whole) == ((70, 25), False, 50)
    np.testing.assert_allclose(found["hypervolume"].values["a"], [[1, 1, 1, 1]])


def test_hypervolume_without_any_trial(tmp_path):
    changes = {"objectives": [VALIDATION, LATENCY], "optimum": {}}
    _, _, found = compared(write_manifest(tmp_path, ["a"], 1, **changes))
    assert np.isnan(found["hypervolume"].values["a"]).all()
