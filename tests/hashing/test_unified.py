"""The unified functional hash: the authors' golden value, real short trainings, and the table."""

from __future__ import annotations

import math
import pickle
from collections import defaultdict

import numpy as np
import pytest

from nas.errors import ConfigError
from nas.hashing.unified import UnifiedHasher, mix
from nas.search_spaces.nasbench201 import from_benchmark_string
from nas.search_spaces.nasbench201 import space as nasbench201
from nas.search_spaces.update_rule import KNOWN, LION, space
from nas.space import sample

# accuracies of a unit test of the authors, and the hashes that their code gives with so many bits
ACCURACIES = [0.5406650900840759, 0.14743590354919434, 0.5259414911270142, 0.15294471383094788]
HASHES = {
    1: 5848985380823139651,
    5: 1026669619700313601,
    8: 4536808905467866826,
    24: 5379572464749505659,
    52: 5379572464749505659,  # as with 24: the accuracies are single-precision numbers
}


@pytest.mark.parametrize("bits", HASHES)
def test_the_authors_values(bits):
    assert mix(ACCURACIES, bits) == HASHES[bits]


def test_order_number_and_sign_matter():
    found = [
        ACCURACIES,
        ACCURACIES[::-1],
        ACCURACIES[:3],
        [-ACCURACIES[0], *ACCURACIES[1:]],
        [],
        [0.0],
        [math.nan],
    ]
    found += [[math.inf], [-math.inf], [0.0, 0.0], [1.0], [2.0]]
    assert len({mix(values, 24) for values in found}) == len(found)


def test_zeros_and_nans_are_one_each():
    assert mix([-0.0], 24) == mix([0.0], 24)
    payload = float(np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)[0])
    assert mix([payload], 52) == mix([-math.nan], 52) == mix([math.nan], 52)
    assert mix([math.nan], 1) != mix([math.inf], 1)


def test_bits_below_the_mantissa_are_cut_off():
    assert mix([1.0 + 2.0**-9], 8) == mix([1.0], 8) != mix([1.0 + 2.0**-8], 8)
    with pytest.raises(ConfigError, match="bits: expected a whole number from 1 to 52; got 0"):
        mix([1.0], 0)


TASK = {
    "name": "optimizer_task", "dataset": "digits", "epochs": 2, "batch_size": 128, "lr": 0.01, "width": 8,
    "device": "cpu",
}  # fmt: skip


@pytest.mark.slow
def test_a_short_training_joins_notations_of_one_optimizer():
    rules, hasher = space(), UnifiedHasher(TASK, values=["train_loss", "validation_accuracy"], twice=True)
    inputs = "inputs(w='tensor', g='tensor', m='tensor', v='tensor', lr='scalar')"
    swapped = rules.parse(
        f"program({inputs}, square(w) >> interpolate(g, m, 0.99) >> interpolate(g, m, 0.9) >> sign(x2)"
        " >> mul(w, 0.01) >> add(x4, x3) >> mul(x5, lr), update=x6, m=x1, v=x0)"
    )
    lion, again = (hasher.hash(each) for each in (rules.parse(LION), swapped))
    assert lion.reason is None
    assert lion == again
    assert lion.digest.startswith("unified:1:24:")
    assert hasher.hash(rules.parse(KNOWN["adam"])).digest != lion.digest
    assert pickle.loads(pickle.dumps(hasher)).hash(rules.parse(LION)) == lion


def table(tmp_path, rows):
    path = tmp_path / "table.csv"
    path.write_text("cell,seconds,a12,a200\n" + "\n".join(",".join(map(str, row)) for row in rows) + "\n")
    columns = {12: {"validation_accuracy": "a12"}, 200: {"validation_accuracy": "a200"}}
    return {
        "name": "table", "path": str(path), "key_column": "cell", "cost_column": "seconds",
        "columns": columns,
        "key": "nasbench201_string",
    }  # fmt: skip


def test_on_a_table_the_lowest_fidelity_counts(tmp_path):
    cells = [f"|{name}~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|" for name in
             ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3")]  # fmt: skip
    section = table(tmp_path, [(cells[0], 1, 80.5, 90), (cells[1], 1, 80.5, 91), (cells[2], 1, 80.6, 90)])
    hasher = UnifiedHasher(section)
    first, second, third, missing = (
        hasher.hash(from_benchmark_string(nasbench201(), cell)) for cell in cells
    )
    assert first.digest == second.digest != third.digest
    assert first.digest.startswith("unified:1:24:")
    assert missing.digest is None
    assert missing.reason.startswith("error: ")
    full = UnifiedHasher(section, fidelity=200)
    # its curve has both levels
    assert len({full.hash(from_benchmark_string(nasbench201(), cell)).digest for cell in cells[:3]}) == 3


@pytest.mark.slow
def test_few_bits_collide_on_the_real_table(shared_data):
    """As in the paper: coarse hashes join many models, seven bits and more hardly any."""
    section = {
        "name": "table", "path": str(shared_data / "nasbench201_cifar10.csv.gz"), "key_column": "arch_str",
        "key": "nasbench201_string",
        "columns": {12: {"validation_accuracy": "c10_valid_12", "test_accuracy": "c10_test_12"}},
    }  # fmt: skip
    rng = np.random.default_rng(0)
    cells = [sample(nasbench201(), rng) for _ in range(500)]
    different, sizes = len({cell.text for cell in cells}), {}
    for bits in (1, 5, 24):
        hasher, classes = (
            UnifiedHasher(section, bits=bits, values=["validation_accuracy", "test_accuracy"]),
            defaultdict(set),
        )
        for cell in cells:
            classes[hasher.hash(cell).digest].add(cell.text)
        sizes[bits] = different / len(classes)
    assert sizes[1] > 20
    assert sizes[1] > sizes[5] > sizes[24]
    assert sizes[24] < 1.2  # some cells are equal in the table too


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"evaluator": {}}, r"evaluator: expected a section with a name; got \{\}"),
        ({"evaluator": {"name": "nothing"}}, 'evaluator "nothing" is not registered'),
        ({"evaluator": {"name": "function"}}, "function"),
        ({"evaluator": TASK, "bits": 0}, "bits: expected a whole number from 1 to 52; got 0"),
        ({"evaluator": TASK, "fidelity": 3.0}, "fidelity: expected 1 to 2 epochs; got 3"),
        ({"evaluator": TASK, "values": []}, r"values: expected a list of names; got \[\]"),
    ],
)
def test_bad_options_are_refused_in_one_line(options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        UnifiedHasher(**options)
    assert "\n" not in str(caught.value)


def test_names_that_the_curve_has_not():
    hashed = UnifiedHasher(TASK, values=["accuracy"]).hash(space().parse(LION))
    assert "values: expected names out of epoch, " in hashed.reason
    assert hashed.reason.endswith("got accuracy")
