"""The normal form of cells: by hand, by brute force, against the platform's own layers."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from nas.errors import ConfigError
from nas.hashing.audit.isomorphism import Cell, IsomorphicHasher, OperationEdge, expression, read_cell
from nas.hashing.audit.symbolic import SCALE, ZERO, SymbolicForm, SymbolicHasher, normal_form
from nas.search_spaces import darts, nasbench201
from nas.space import enumerate_architectures, sample
from tests.hashing.audit.numeric import SAME, Weights, convolutions, fingerprint, outputs

READINGS = [(zero, scale) for zero in ZERO for scale in SCALE]
CLASSES = {  # found by the form and by brute force alike
    ("initial", "kept"): 5044,
    ("initial", "removed"): 4954,
    ("trained", "kept"): 5224,
    ("trained", "removed"): 5134,
}
_LETTERS = {"0": "none", "s": "skip", "p": "pool", "1": "conv", "3": "conv"}


def cell(text: str) -> Cell:
    """The cell of `a|bc|def`: operations by target node, 0, s, p, 1 or 3."""
    nodes = text.split("|")
    return tuple(
        tuple(
            OperationEdge(source, _LETTERS[letter], int(letter) if letter in "13" else 0)
            for source, letter in enumerate(node)
        )
        for node in nodes
    )


@cache
def cells() -> tuple[Cell, ...]:
    return tuple(read_cell(cell)[0] for cell in enumerate_architectures(nasbench201.space()))


@cache
def forms(zero: str, scale: str) -> dict[Cell, SymbolicForm]:
    return {cell: normal_form(cell, zero=zero, scale=scale) for cell in set(map(pruned, cells()))}


def pruned(cell: Cell) -> Cell:
    """The cell without operations from which no path leads to the output."""
    reached, nodes = {len(cell)}, []
    for number in range(len(cell), 0, -1):
        edges = cell[number - 1]
        if number in reached:
            reached |= {edge.source for edge in edges if edge.operation != "none"}
        else:
            edges = tuple(OperationEdge(edge.source, "none") for edge in edges)
        nodes.append(edges)
    return tuple(reversed(nodes))


@pytest.mark.parametrize(
    ("text", "reading", "expected"),
    [
        ("0|00|000", ("initial", "kept"), "0"),
        ("s|ss|sss", ("initial", "kept"), "4 x"),
        ("s|0s|00p", ("initial", "kept"), "pool(x)"),
        ("p|0p|00p", ("initial", "kept"), "pool3(x)"),
        ("3|s0|00p", ("initial", "kept"), "pool(x)"),  # what does not reach the output does not count
        ("3|0s|0ss", ("initial", "kept"), "2 a; a = conv3(x)"),
        ("3|30|0ss", ("initial", "kept"), "a + b; a = conv3(x); b = conv3(x)"),
        ("3|ps|00p", ("initial", "kept"), "pool2(x) + pool(a); a = conv3(x)"),
        ("s|s0|00p", ("initial", "kept"), "pool(x)"),
        ("0|01|001", ("initial", "kept"), "0"),
        ("0|03|001", ("trained", "kept"), "a; a = constant"),  # the 3x3 of zeros, and the 1x1 of that
        ("0|01|003", ("trained", "kept"), "b; a = constant; b = conv3(a)"),
        ("0|03|s0p", ("trained", "kept"), "x + a; a = constant"),  # pooling keeps constants
        ("0|00|333", ("trained", "kept"), "a + b + c; a = constant; b = constant; c = conv3(x)"),
        ("s|s0|003", ("initial", "kept"), "a; a = conv3(x)"),
        ("s|ss|003", ("initial", "kept"), "a; a = conv3(2 x)"),
        ("s|ss|003", ("initial", "removed"), "a; a = conv3(x)"),
        ("s|ss|00p", ("initial", "removed"), "2 pool(x)"),
        ("p|ss|003", ("initial", "removed"), "a; a = conv3(x + pool(x))"),
    ],
)
def test_forms_derived_by_hand(text: str, reading: tuple[str, str], expected: str) -> None:
    zero, scale = reading
    assert normal_form(cell(text), zero=zero, scale=scale).text() == expected


@pytest.mark.parametrize(
    "reading",
    [READINGS[0], *(pytest.param(each, marks=pytest.mark.slow) for each in READINGS[1:])],
    ids=" ".join,
)
def test_numbers_of_classes(reading: tuple[str, str]) -> None:
    assert len({form.key for form in forms(*reading).values()}) == CLASSES[reading]


@pytest.mark.slow
def test_operations_without_a_path_to_the_output_do_not_count() -> None:
    rng = np.random.default_rng(0)
    for number in rng.choice(len(cells()), 300, replace=False):
        found = cells()[number]
        assert normal_form(found).key == forms("initial", "kept")[pruned(found)].key


def weights_of(reading: tuple[str, str], seed: int) -> Weights:
    """Shifts that are learnt or not; an epsilon that shows, or none, so that scale has no effect."""
    zero, scale = reading
    return Weights(seed, shifts=zero == "trained", epsilon=0.1 if scale == "kept" else 0.0)


def same_partition(chosen: list[Cell], reading: tuple[str, str], seed: int) -> None:
    """Fails unless forms and fingerprints make the same classes."""
    weights = weights_of(reading, seed)
    prints = {cell: fingerprint(cell, weights) for cell in chosen}
    ordered = sorted(prints, key=prints.__getitem__)
    gaps = [prints[b] - prints[a] for a, b in pairwise(ordered)]
    doubtful = [gap for gap in gaps if SAME / 1000 < gap < SAME * 100]
    assert not doubtful  # equal and unequal are far apart
    numbers = dict(zip(ordered, np.cumsum([0, *(gap > SAME for gap in gaps)]).tolist(), strict=True))
    keys = {cell: forms(*reading)[cell].key for cell in chosen}
    pairs = {(numbers[cell], keys[cell]) for cell in chosen}
    assert len(pairs) == len(set(numbers.values())) == len(set(keys.values()))


@pytest.mark.slow
@pytest.mark.parametrize("reading", READINGS, ids=" ".join)
def test_classes_are_those_of_brute_force_on_random_cells(reading: tuple[str, str]) -> None:
    distinct = sorted(set(map(pruned, cells())), key=repr)
    few = [cell for cell in distinct if len(convolutions(cell)) < 4]
    chosen = np.random.default_rng(0).choice(len(few), 600, replace=False)
    same_partition([few[number] for number in chosen], reading, seed=2)


@pytest.mark.slow
@pytest.mark.parametrize("reading", [("initial", "kept"), ("trained", "removed")], ids=" ".join)
def test_classes_are_those_of_brute_force_on_all_cells(reading: tuple[str, str]) -> None:
    """All ways to hand out the weights of a pool to the convolutions of each cell, some 10^6 evaluations.

    The other readings go through all cells in `tests/known_results/test_functional_classes.py`.
    """
    same_partition(sorted(set(map(pruned, cells())), key=repr), reading, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("reading", READINGS, ids=" ".join)
def test_equal_forms_are_equal_functions_of_the_weights_that_they_match(reading: tuple[str, str]) -> None:
    classes: dict[object, list[tuple[Cell, SymbolicForm]]] = defaultdict(list)
    for cell, form in forms(*reading).items():
        if len(form.edges) > 1:
            classes[form.key].append((cell, form))
    several = [members for members in classes.values() if len(members) > 1]
    rng = np.random.default_rng(0)
    for number in rng.choice(len(several), 60, replace=False):
        first, second = rng.choice(len(several[number]), 2, replace=False)
        for seed in range(3):
            weights = weights_of(reading, seed)
            values = [matched(*several[number][member], weights, rng) for member in (first, second)]
            np.testing.assert_allclose(values[0], values[1], rtol=0, atol=SAME)


def matched(cell: Cell, form: SymbolicForm, weights: Weights, rng: np.random.Generator) -> np.ndarray:
    """The output with the n-th weight of the pool on the edge that is the form's n-th; any on dead ones."""
    place = {edge: number for number, edge in enumerate(form.edges)}
    row = [place.get(edge, int(rng.integers(6))) for edge in convolutions(cell)]
    return outputs(cell, weights, np.array([row], int))


def test_brute_force_computes_what_the_platform_computes() -> None:
    import torch

    from nas.layers import compile_network

    space = nasbench201.space(channels=3, cells=1)
    rng = np.random.default_rng(0)
    for _ in range(20):
        architecture = sample(space, rng)
        weights = Weights(5, shifts=True, epsilon=1e-5)
        network = compile_network(architecture, (3, 4, 4), 10, seed=0)
        module = next(m for m in network.modules() if type(m).__name__ == "Cell").double().train()
        found, _ = read_cell(architecture)
        load(module, weights)
        row = np.arange(len(convolutions(found)))[None]
        x = torch.from_numpy(weights.x.transpose(1, 0, 2, 3).copy())
        with torch.no_grad():
            expected = module(x).numpy().transpose(1, 0, 2, 3)
        np.testing.assert_allclose(outputs(found, weights, row)[0], expected, atol=1e-10)


def load(module: object, weights: Weights) -> None:
    """Gives the n-th convolution of a cell's module the n-th weights of the pool."""
    import torch

    edges = [m for m in module.modules() if type(m).__name__ == "ReluConvNorm"]  # type: ignore[attr-defined]
    with torch.no_grad():
        for number, edge in enumerate(edges):
            kernel = weights.kernels[edge.conv.kernel_size[0]][number]
            edge.conv.weight.copy_(torch.from_numpy(kernel.transpose(2, 3, 0, 1).copy()))
            edge.norm.weight.copy_(torch.from_numpy(weights.scale[number]))
            edge.norm.bias.copy_(torch.from_numpy(weights.shift[number]))


def test_the_authors_count_and_what_each_rule_adds() -> None:
    counts = [
        len({expression(cell, *rules) for cell in cells()})
        for rules in ((), (True,), (True, True), (True, True, True))
    ]
    assert counts[0] == 6466
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < CLASSES["initial", "kept"]  # strings know no weights


def test_strings_with_all_rules_join_forms_and_split_none() -> None:
    joined: dict[str, set[object]] = defaultdict(set)
    strings: dict[object, set[str]] = defaultdict(set)
    for found, form in forms("initial", "kept").items():
        string, key = expression(found, True, True, True), form.key
        joined[string].add(key)
        strings[key].add(string)
    assert max(map(len, strings.values())) == 1
    assert max(map(len, joined.values())) > 1


def test_hashers_answer_for_their_cells_only() -> None:
    rng = np.random.default_rng(0)
    wide, narrow = (nasbench201.space(channels=channels) for channels in (16, 8))
    for hasher in (SymbolicHasher(), IsomorphicHasher()):
        refused = hasher.hash(sample(darts.space(), rng))
        assert refused.digest is None
        assert refused.reason
        assert "\n" not in refused.reason
        text = "|skip_connect~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|none~2|"
        one, other = (nasbench201.from_benchmark_string(space, text) for space in (wide, narrow))
        assert hasher.hash(one).digest != hasher.hash(other).digest  # the network around counts


def test_unknown_readings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r'^hashing "symbolic": zero: expected initial or trained; got'):
        SymbolicHasher(zero="later")
    with pytest.raises(ConfigError, match=r'^hashing "symbolic": scale: expected kept or removed; got'):
        SymbolicHasher(scale="lost")
