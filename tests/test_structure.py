"""The structure of the code: no circles, no name for two things, few files to follow; see `make figures`."""

from __future__ import annotations

import pytest

from nas.report.__main__ import main as report
from tests.benchmarks import structure

FILES = structure.modules()


def test_no_files_import_each_other_in_a_circle() -> None:
    homes = structure.stubs(FILES)
    graph = {name: structure.imports(name, FILES, homes) for name in FILES}
    assert len(graph["nas.study.study"]) > 5  # it sees imports through the rooms
    assert structure.circles(graph) == []


def test_a_circle_would_be_found() -> None:
    assert structure.circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["b", "c"]]


def test_no_class_name_stands_for_two_things() -> None:
    assert structure.ambiguous_classes(FILES) == {}


def test_few_files_are_entered_by_a_search_step_and_by_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    with structure.finished_run() as (folder, step):
        assert "nas/study/study.py" in step
        assert len(step) <= 26
        with structure.entering() as names:
            report([str(folder)])
    read = structure.own(names)
    assert "nas/report/report.py" in read
    assert len(read) <= 28
    assert "finished" in capsys.readouterr().out
