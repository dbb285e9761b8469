from __future__ import annotations

import sys

import pytest

import nas.layers
from nas.report import Run, chosen
from nas.study import read_study
from tests.report.report_kit import Log, finished_run, pairs

PROGRAM = (
    "program(inputs(w='tensor', g='tensor', m='tensor', v='tensor', lr='scalar'), "
    "mul(g, lr), update=x0, m=m, v=v)"
)


def run(log: Log) -> Run:
    return Run.of(read_study(log.closed().write()))


def opened(log: Log, vocabulary: str | None = "network", shape: list[int] | None = None) -> Log:
    log.opened()
    log.lines[0]["space"]["vocabulary"] = vocabulary
    log.lines[0]["evaluator"].update(input_shape=shape or [1, 8, 8], num_classes=10)
    return log


@pytest.mark.parametrize(("number", "vocabulary"), [(2, "network"), (1, "nas.layers:NETWORK")])
def test_the_torch_modules_are_rebuilt_from_the_log_alone(number, vocabulary, tmp_path):
    log = opened(Log(tmp_path), vocabulary).search((91.0, 90.0))
    log.lines[0]["format"] = number
    assert "no torch modules" not in chosen.text(run(log))
    listing = chosen.torch_modules(run(log))
    assert listing is not None
    assert "stem_0: Sequential" in listing
    assert "conv: Conv2d(1, 16, kernel_size=(3, 3)" in listing
    assert "Linear(in_features=16, out_features=10, bias=True)" in listing


def test_settings_beside_the_network_are_no_modules(tmp_path):
    log = opened(Log(tmp_path))
    log.trial("search", 0, (91.0, 90.0), architecture="train(stem(width=4) >> head(), lr=0.1)")
    listing = chosen.torch_modules(run(log))
    assert listing is not None
    assert "Linear(in_features=4, out_features=10, bias=True)" in listing


@pytest.mark.parametrize(
    ("vocabulary", "architecture"),
    [
        (None, "stem(width=4) >> head()"),  # in logs of before, a vocabulary made in a script
        ("update rules", PROGRAM),
        ("search_spaces.update_rule:UPDATE_RULES", PROGRAM),
        ("activation functions", "sin(x())"),
        ("search_spaces.activation:ACTIVATIONS", "sin(x())"),
    ],
)
def test_where_there_is_no_network_none_is_missing(vocabulary, architecture, tmp_path):
    log = opened(Log(tmp_path), vocabulary)
    log.trial("search", 0, (91.0, 90.0), architecture=architecture)
    assert chosen.torch_modules(run(log)) is None
    assert "no torch modules" not in chosen.text(run(log))


@pytest.mark.parametrize("vocabulary", ["mine", "gone:NETWORK", "nas.layers:GONE"])
def test_a_vocabulary_that_is_not_the_platforms_is_said(vocabulary, tmp_path):
    log = opened(Log(tmp_path), vocabulary)
    log.trial("search", 0, (91.0, 90.0), architecture="stem(width=4) >> head()")
    assert chosen.torch_modules(run(log)) is None
    assert f"# no torch modules: {vocabulary} is no vocabulary of the platform" in chosen.text(run(log))


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        ("stem(width=4) >> ", "SpaceError: "),
        ("stem(width=4) >> gone() >> head()", 'primitive "gone" is not in the vocabulary "network"'),
        ("stem(width=4) >> maxpool(kernel=9) >> head()", "CompileError: "),
    ],
)
def test_why_a_network_cannot_be_listed_is_said(architecture, reason, tmp_path):
    log = opened(Log(tmp_path))
    log.trial("search", 0, (91.0, 90.0), architecture=architecture)
    listing = chosen.torch_modules(run(log))
    assert listing is not None
    assert listing.startswith("# no torch modules: ")
    assert reason in listing
    assert listing.count("\n") == 1


def test_a_module_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.delitem(vars(nas.layers), "listing", raising=False)  # found by an earlier test
    monkeypatch.setitem(sys.modules, "nas.layers.compile", None)
    listing = chosen.torch_modules(run(opened(Log(tmp_path)).search((91.0, 90.0))))
    assert listing is not None
    assert listing.startswith("# no torch modules: ModuleNotFoundError: import of nas.layers.compile halted")


def test_without_shapes_or_a_choice_there_is_no_listing(tmp_path):
    assert chosen.torch_modules(Run.of(read_study(finished_run(tmp_path / "a")))) is None
    log = opened(Log(tmp_path / "b")).search(None)
    assert chosen.torch_modules(run(log)) is None


def test_the_text_parses_back_and_states_what_is_known(tmp_path):
    log = opened(Log(tmp_path / "mine")).search((91.0, 90.0)).baseline(*pairs((1.0,)))
    lines = chosen.text(run(log)).splitlines()
    assert lines[0] == "# mine: search 0 of regularized_evolution, seed 0"
    assert "# test_accuracy = 90.0" in lines
    assert lines[-1] == "stem(width=16) >> conv(kernel=3) >> head()"
    assert "nothing is chosen" in chosen.text(run(opened(Log(tmp_path / "b")).search(None)))
