"""What results depend on beside the seed is logged, and said when it changes."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from nas.report import write_report
from nas.study import FILE_NAME, read_study
from nas.study.provenance import Surroundings
from tests.report.report_kit import Log
from tests.study.study_kit import FakeEvaluator, make_study


class Threaded(FakeEvaluator):
    """States with how many threads it computed."""

    def __init__(self, threads: Any, hardware: str = "AVX2") -> None:
        super().__init__()
        self._info = {"threads": threads, "hardware": hardware}

    def __call__(self, task):
        evaluation = super().__call__(task)
        object.__setattr__(evaluation, "info", self._info)
        return evaluation


def cut(directory: Path, lines: int, **changes: Any) -> None:
    """Keeps the first lines, the first one changed."""
    path = directory / FILE_NAME
    kept = path.read_bytes().splitlines(keepends=True)[:lines]
    first = {**json.loads(kept[0]), **changes}
    path.write_bytes(b"".join([json.dumps(first, separators=(",", ":")).encode() + b"\n", *kept[1:]]))


def test_threads_of_the_process_are_logged_without_an_import_of_torch(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom tests.study.study_kit import make_study, events_of\n"
        "make_study(Path(sys.argv[1])).run()\nassert 'torch' not in sys.modules\n"
        "print(events_of(Path(sys.argv[1]))[0]['threads'])"
    )
    environment = {"OMP_NUM_THREADS": "3", "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PATH": ""}
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "'OMP_NUM_THREADS': '3', 'MKL_NUM_THREADS': None" in done.stdout
    assert "'cores': " in done.stdout


def test_a_resume_with_other_threads_is_warned_of_once_an_evaluation_says_so(tmp_path):
    make_study(tmp_path, evaluator=Threaded(1)).run()
    cut(tmp_path, 30)
    message = (
        r"trial \d+ was computed with 2 threads of AVX2, and before with 1 thread of AVX2; the same seed"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        make_study(tmp_path, evaluator=Threaded(2)).run()
    assert len(caught) == 1
    text = " ".join(write_report([tmp_path], tmp_path).text.split())
    assert "ran with different numbers of threads, which may change results: " in text


def test_equal_threads_are_no_news(tmp_path):
    make_study(tmp_path, evaluator=Threaded(1)).run()
    cut(tmp_path, 30)
    make_study(tmp_path, evaluator=Threaded(1)).run()
    assert "different numbers of threads" not in write_report([tmp_path], tmp_path).text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threads": {"OMP_NUM_THREADS": "64", "cores": 1}}, "OMP_NUM_THREADS was 64 and is 1"),
        ({"threads": {"MKL_NUM_THREADS": "2"}}, "MKL_NUM_THREADS was 2 and is not set"),
        (
            {"versions": {"torch": "1.0", "ray": "0", "python": "3"}},
            "torch was 1.0 and is .*; python was 3 and is",
        ),
        (
            {"versions": {"numpy": "0.1\x1b", "gone": "2"}},
            "numpy was 0.1.* and is .*; gone was 2 and is not there",
        ),
    ],
)
def test_a_resume_in_other_surroundings_is_warned_of(tmp_path, monkeypatch, changes, message):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    make_study(tmp_path).run()
    cut(tmp_path, 30, **changes)
    with pytest.warns(UserWarning, match=f"{message}.*the same seed may have other results"):
        make_study(tmp_path).run()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_study(tmp_path).run()  # the latest session counts


def test_logs_of_before_say_nothing_and_nothing_is_warned_of(tmp_path):
    make_study(tmp_path).run()
    cut(tmp_path, 30, threads={}, versions={})
    make_study(tmp_path).run()


def test_what_an_evaluation_says_is_news_once():
    seen = Surroundings([{"event": "evaluated", "evaluation": {"info": {"threads": 1}}}, {"event": "told"}])
    assert seen.changed({"threads": 1}) is None
    assert seen.changed({}) is None
    assert seen.changed({"threads": 2, "hardware": "A"}) == "2 threads of A, and before with 1 thread"
    assert seen.changed({"threads": 2, "hardware": "A"}) is None
    assert seen.changed({"threads": [{}]}) == "[{}] threads, and before with 1 thread or 2 threads of A"


def test_facts_of_any_kind_from_a_log_are_counted(tmp_path):
    log = Log(tmp_path).opened()
    for index, device in enumerate(["cpu", ["cuda"], {"a": 1}]):
        log.evaluated(log.asked("search", index), (91.0, 90.0), info={"device": device, "threads": device})
    text = " ".join(write_report([log.write()], tmp_path).text.split())
    assert "on different devices: 1 on cpu, 1 on ['cuda'], 1 on {'a': 1}" in text


def test_trainings_say_with_how_many_threads_they_were_computed():
    import torch

    from nas.training import surroundings

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        found = surroundings(torch.device("cpu"))
    finally:
        torch.set_num_threads(before)
    assert found == {"device": "cpu", "threads": 2, "hardware": torch.backends.cpu.get_cpu_capability()}


def test_a_function_says_so_if_it_used_torch(tmp_path):
    import torch

    from nas.evaluation import FunctionEvaluator

    make_study(tmp_path, evaluator=FunctionEvaluator(len_of, objectives="accuracy")).run()
    infos = [row.evaluation_info for row in read_study(tmp_path).trials if row.cached_from is None]
    assert infos
    assert all(info == {"threads": torch.get_num_threads()} for info in infos)


def len_of(architecture: Any) -> float:
    return float(len(architecture.text))
