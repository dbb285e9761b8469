"""Which operations share their weights counts, and only up to which is which."""

import itertools

import numpy as np
import pytest

from nas.hashing.functional import FunctionalHasher
from tests.hashing.probe.network_kit import digest, hashed

ALIKE = ("skip()", "skip()")  # which end of an edge is which does not matter
DIRECTED = ("tanh()", "sigmoid()")
DECORATED = ("tanh()", "sigmoid()", "silu()", "gelu()")
Edges = tuple[tuple[int, int], ...]


def network(edges: Edges, ends: tuple[str, str] = ALIKE, order=None, decorated: bool = False) -> str:
    """Vertices are convolutions of the input, an edge is relu of a sum of two of them, the output sums up."""
    count = max(map(max, edges))
    order = order or range(count)
    nodes = ["node(conv())"] * count
    nodes += [f"node({', '.join(ends)}, inputs=({order[i - 1] + 1}, {order[j - 1] + 1}))" for i, j in edges]
    sources = [1 + count + i for i in range(len(edges))]
    last = ["relu()"] * len(edges)
    if decorated:
        last += DECORATED[:count]
        sources += [order[i] + 1 for i in range(count)]
    return f"cell({', '.join(nodes)}, node({', '.join(last)}, inputs=({','.join(map(str, sources))})))"


PATH, DOUBLE = ((1, 2), (2, 3), (3, 4)), ((1, 2), (1, 2), (3, 4))
CYCLE, TWO_PAIRS = ((1, 2), (2, 3), (3, 4), (4, 1)), ((1, 2), (1, 2), (3, 4), (3, 4))
ROUND, BACK_AND_FORTH = ((1, 2), (2, 3), (3, 4), (4, 1)), ((1, 2), (2, 1), (3, 4), (4, 3))
HEXAGON = ((1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 1))
TRIANGLES = ((1, 2), (2, 3), (3, 1), (4, 5), (5, 6), (6, 4))
PRISM = (*TRIANGLES, (1, 4), (2, 5), (3, 6))
UTILITIES = tuple((i, j) for i in (1, 2, 3) for j in (4, 5, 6))


@pytest.mark.parametrize(
    ("first", "second", "options"),
    [
        (PATH, DOUBLE, {}),
        (CYCLE, TWO_PAIRS, {}),
        (ROUND, BACK_AND_FORTH, {"ends": DIRECTED}),
        (HEXAGON, TRIANGLES, {}),
        (PRISM, UTILITIES, {}),
        (((1, 2), (3, 4)), ((1, 3), (2, 4)), {"decorated": True}),
        (((1, 2), (3, 4)), ((1, 4), (2, 3)), {"decorated": True}),
    ],
)
def test_graphs_of_shared_weights_with_equal_degrees_differ(first, second, options):
    assert digest(network(first, **options)) != digest(network(second, **options))


@pytest.mark.parametrize("edges", [PATH, CYCLE, HEXAGON, TRIANGLES, UTILITIES])
def test_the_numbering_of_equal_operations_does_not_matter(edges):
    rng, count = np.random.default_rng(0), max(map(max, edges))
    expected = digest(network(edges))
    for _ in range(3):
        shuffled = [edges[i] for i in rng.permutation(len(edges))]
        assert digest(network(tuple(shuffled), order=rng.permutation(count).tolist())) == expected


def test_digests_of_small_graphs_are_those_of_their_isomorphism_classes():
    """All multigraphs of four edges on four vertices; brute force over the 24 numberings."""
    pairs = list(itertools.combinations(range(1, 5), 2))
    hasher, classes = FunctionalHasher(), {}
    for edges in itertools.combinations_with_replacement(pairs, 4):
        if {vertex for edge in edges for vertex in edge} != {1, 2, 3, 4}:
            continue
        names = itertools.permutations(range(1, 5))
        least = min(sorted(sorted((p[i - 1], p[j - 1])) for i, j in edges) for p in names)
        classes.setdefault(str(least), set()).add(digest(network(edges), hasher=hasher))
    assert (
        len(classes) == 7
    )  # two of two components; star or path with an edge doubled; circle; triangle and tail
    assert all(len(found) == 1 for found in classes.values())
    assert len(set.union(*classes.values())) == len(classes)


def test_many_operations_that_may_change_places_are_hashed():
    many = ", ".join(["conv()"] * 12)
    first = digest(f"add({many})")
    assert first != digest(f"add({many}, conv())")
    assert first != digest("conv() >> add(" + ", ".join(["identity()"] * 12) + ")")


def test_networks_that_stay_ambiguous_for_too_long_have_no_digest():
    """A circle of 24: no two may change places while the others stay."""
    circle = tuple((i, i % 24 + 1) for i in range(1, 25))
    assert "expected operations that 500 runs tell apart" in str(hashed(network(circle)).reason)
