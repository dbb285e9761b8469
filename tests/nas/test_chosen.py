from __future__ import annotations

import pytest

from nas import chosen
from nas.records import Run
from nas.store import read_study
from tests.nas.report_kit import Log, finished_run, pairs

PROGRAM = (
    "program(inputs(w='tensor', g='tensor', m='tensor', v='tensor', lr='scalar'), "
    "mul(g, lr), update=x0, m=m, v=v)"
)


def run(log: Log) -> Run:
    return Run.of(read_study(log.closed().write()))


def opened(log: Log, home: str | None = "nas.layers:NETWORK", shape: list[int] | None = None) -> Log:
    log.opened()
    log.lines[0]["space"]["vocabulary"] = home
    log.lines[0]["evaluator"].update(input_shape=shape or [1, 8, 8], num_classes=10)
    return log


def test_the_torch_modules_are_rebuilt_from_the_log_alone(tmp_path):
    listing = chosen.torch_modules(run(opened(Log(tmp_path)).search((91.0, 90.0))))
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
    ("home", "architecture"),
    [
        (None, "stem(width=4) >> head()"),  # a vocabulary made in a script
        ("gone:NETWORK", "stem(width=4) >> head()"),
        ("nas.layers:GONE", "stem(width=4) >> head()"),
        ("nas.layers:NETWORK", "stem(width=4) >> "),
        ("nas.layers:NETWORK", "stem(width=4) >> maxpool(kernel=9) >> head()"),
        ("search_spaces.update_rule:UPDATE_RULES", PROGRAM),
    ],
)
def test_what_cannot_be_built_has_no_listing(home, architecture, tmp_path):
    log = opened(Log(tmp_path), home)
    log.trial("search", 0, (91.0, 90.0), architecture=architecture)
    assert chosen.torch_modules(run(log)) is None


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
