from __future__ import annotations

import json

import pytest

from nas.algorithms.regularized_evolution import RegularizedEvolution
from nas.errors import StoreError
from nas.study import Searcher, SearchFinished, TimedSearcher, write_json
from tests.study.study_kit import OBJECTIVE, make_study, small_space, story


class Clock:
    """Moments as given, one after the other."""

    def __init__(self, *moments: float) -> None:
        self._moments = iter(moments)

    def __call__(self) -> float:
        return next(self._moments)


class Plain(Searcher):
    def ask(self, count=1):
        if count > 1:
            raise SearchFinished
        return ["suggestion"]

    def tell(self, trial):
        if trial is None:
            raise ValueError("told nothing")


def test_seconds_of_asks_and_tells_are_those_between_call_and_return():
    timed = TimedSearcher(Plain(), Clock(1.0, 1.5, 2.0, 2.25, 3.0, 7.0, 8.0, 8.5, 10.0, 12.0))  # type: ignore
    assert timed.ask(1) == ["suggestion"]
    timed.tell("trial")  # type: ignore[arg-type]
    timed.ask()
    with pytest.raises(ValueError, match="told nothing"):
        timed.tell(None)  # type: ignore[arg-type]
    with pytest.raises(SearchFinished):
        timed.ask(2)
    assert timed.to_json() == {"asks": 3, "ask_seconds": [0.5, 4.0, 2.0], "tell_seconds": 0.75}


def test_a_study_is_the_same_with_and_without_it(tmp_path):
    space = small_space()
    plain = RegularizedEvolution(space, (OBJECTIVE,), seed=5, population=4, sample=2)
    make_study(tmp_path / "plain").run()
    make_study(tmp_path / "timed", space=space, searcher=TimedSearcher(plain)).run()
    assert story(tmp_path / "timed") == story(tmp_path / "plain")


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    write_json(tmp_path / "file.json", {"a": [1, 2.5]})
    assert json.loads((tmp_path / "file.json").read_text()) == {"a": [1, 2.5]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file.json", {"a": float("nan")})
    assert json.loads((tmp_path / "file.json").read_text()) == {"a": [1, 2.5]}
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]
    with pytest.raises(StoreError, match=r"missing/file\.json: cannot write it; No such file"):
        write_json(tmp_path / "missing/file.json", {})
