"""Studies of protocols across spaces: given architectures and random ones, the controls of the papers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nas.errors import NasError
from nas.layers.compile import parameters
from nas.run.__main__ import carry_out
from nas.run.compose import build_space
from nas.run.config import RunSection
from nas.run.protocol import variants_of
from nas.search_spaces import darts, sharp_darts
from nas.space import SearchSpace, sample
from nas.study import baseline_rng, read_study
from tests.experiments.test_composition import composed
from tests.run.protocol_kit import TEXTS, config, small

OTHER = "tests.run.test_protocol_controls:other"
LESS = "tests.run.test_protocol_controls:less"
MORE = "tests.run.test_protocol_controls:more"


def other() -> SearchSpace:
    """The questions of `small`, with sites at other places and operations of another kind."""
    expression = "batchnorm() >> conv(width=4, kernel=oneof(1, 3, 5, 7, 9)) >> (tanh() | sigmoid())"
    return SearchSpace("other", expression)


def less() -> SearchSpace:
    return SearchSpace("less", "conv(kernel=oneof(1, 3, 5), width=8) >> (relu() | gelu())")


def more() -> SearchSpace:
    return SearchSpace("more", f"{other().expression} >> (relu() | gelu())")


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    monkeypatch.setattr("nas.report.output.image", lambda figure, kind: kind.encode())


def test_random_architectures_follow_the_given_ones():
    (variant,) = variants_of(config({"a": {}}, architectures=TEXTS[:2], random=3), small())
    listed = [small().architecture_from_json(each) for each in variant.config.searcher["architectures"]]
    assert [each.text for each in listed[:2]] == TEXTS[:2]
    assert listed[2:] == [sample(small(), baseline_rng(0, index)) for index in range(3)]
    assert variant.config.budget.trials == 5


def test_given_architectures_are_held_against_the_random_ones(tmp_path):
    variants = {"base": {}, "down": {"evaluator": {"factor": -1.0}}}
    given = config(variants, architectures=TEXTS[3:], random=6)
    assert carry_out(replace(given, run=RunSection(str(tmp_path / "run")))) == 0
    record = read_study(tmp_path / "run" / "base")
    values = [row.value("test_accuracy") for row in record.trials]
    assert values[:2] == [56, 58]
    text = (tmp_path / "run" / "protocol.md").read_text().split("Given architectures beside random ones")[1]
    cells = [line.split("|") for line in text.splitlines() if line.count("|") > 3]
    rows = {line[1].strip(): [cell.strip() for cell in line[2:-1]] for line in cells}
    mean = sum(values[2:]) / 6
    assert rows["base"][0] == "57.00 ± 1.41 (2)"
    assert rows["base"][1].startswith(f"{mean:.2f} ± ")
    assert rows["base"][2] == f"{100 * (57 - mean) / mean:+.2f}"
    assert rows["down"][2].startswith("-")
    latex = (tmp_path / "run" / "protocol.tex").read_text()
    assert "Given architectures beside random ones" in latex


def test_without_random_ones_there_is_no_such_table(tmp_path):
    given = config({"base": {}, "down": {"evaluator": {"factor": -1.0}}}, architectures=TEXTS)
    assert carry_out(replace(given, run=RunSection(str(tmp_path / "run")))) == 0
    assert "beside random" not in (tmp_path / "run" / "protocol.md").read_text()


def test_a_variant_in_another_space_makes_the_same_choices(tmp_path):
    given = config({"base": {}, "other": {"space": {"name": OTHER}}}, architectures=TEXTS)
    assert carry_out(replace(given, run=RunSection(str(tmp_path / "run")))) == 0
    found = [row.architecture for row in read_study(tmp_path / "run" / "other").trials]
    kernels = (1, 3, 5, 7, 9)
    assert found == [f"batchnorm() >> conv(width=4, kernel={kernel}) >> tanh()" for kernel in kernels]
    assert (tmp_path / "run" / "protocol.md").is_file()


@pytest.mark.parametrize(
    ("variants", "options", "message"),
    [
        (
            {"a": {"space": {"name": LESS}}},
            {},
            r"^protocol\.variants\.a: space: expected a space with the same options",
        ),
        (
            {"a": {"space": {"name": MORE}}},
            {},
            r"as small, .*, got more, which has others; vary",
        ),
        ({"a": {"space": {"name": "nothing"}}}, {}, r"^protocol\.variants\.a: "),
        (
            {"a": {}},
            {"random": -1},
            r"^protocol\.random: expected 0 or more, and only beside protocol\.architectures, got -1",
        ),
        (
            {"a": {}},
            {"architectures": None, "random": 2},
            r"^protocol\.random: expected 0 or more, .*, got 2",
        ),
        (
            {"a": {}},
            {"architectures": TEXTS[:1], "random": 1},
            r"^protocol\.architectures: expected at least 3 .*, got 2",
        ),
    ],
)
def test_a_mistake_is_one_line(variants, options, message):
    with pytest.raises(NasError, match=message) as caught:
        variants_of(config(variants, **{"architectures": TEXTS, **options}), small())
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["cifar10_controls", "digits_controls"])
def test_the_controls_are_the_published_cells_with_both_blocks(experiment):
    """Each with and without AutoAugment; with DARTS' settings, the published numbers of parameters."""
    whole = composed(f"+experiment={experiment}")
    variants = variants_of(whole, build_space(whole.space))
    assert [variant.name for variant in variants] == ["DARTS", "DARTS+AA", "SSC", "SSC+AA"]
    augmented = [variant.config.evaluator.get("autoaugment", "none") for variant in variants]
    assert augmented == ["none", "cifar10", "none", "cifar10"]
    counts = []
    for variant in variants:
        space, section = build_space(variant.config.space), variant.config.searcher
        listed = [space.architecture_from_json(each) for each in section["architectures"]]
        read = darts.from_genotype if space.name == "darts" else sharp_darts.from_genotype
        assert listed[:2] == [read(space, each) for each in (darts.DARTS_V1, darts.DARTS_V2)]
        assert len(listed) == 2 + whole.protocol.random
        counts.append([parameters(each, (3, 32, 32), 10) for each in listed[:2]])
    if experiment == "cifar10_controls":
        assert counts[0] == counts[1] == [3_169_414, 3_349_342]
        assert counts[2][1] == counts[3][1] == 3_529_270
