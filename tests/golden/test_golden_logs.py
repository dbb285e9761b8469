"""The event log of a small study with every searcher, as it was when this was last looked at.

Everything is compared but what depends on the clock and the machine, and the names by which parts are known:
these are numbered as they appear, so that a part may move. What is null or empty is left out.

What searchers compute that fit models or train supernets depends in its last digits on the processor's linear
algebra; their logs say on which they were written, and are not compared on another one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from threadpoolctl import threadpool_info

from nas.evaluation import Evaluation, Evaluator, InlineExecutor, SimulatedExecutor, Task
from nas.run.compose import build_evaluator
from nas.study import FILE_NAME, Budget, Plan, Study, read_events
from tests.contracts import one_shot_kit, searcher_kit
from tests.golden.stored import STORES, check, remove_others
from tests.golden.test_golden_asks import LEFT_OUT
from tests.study.study_kit import make_study
from tests.supernet.kit import CHOICES, GATES

FOLDER = Path(__file__).with_name("logs")
SEARCHERS = searcher_kit.names()
NUMERIC = {*LEFT_OUT, *searcher_kit.ONE_SHOT}
SURROUNDINGS = {"n", "time", "format", "versions", "commit", "threads", "process", "hardware"}
CLOCK = {"clock", "started", "finished", "finish", "cost_seconds", "seconds", "worker", "device"}
NAMES = {"fingerprint", "vocabulary"}  # keys of what a part is known by, beside module:attribute
ONE_SHOT: dict[str, dict[str, Any]] = {
    **{name: {"epochs": 2, "limit_steps": 2, "skip_limit": None} for name in searcher_kit.ONE_SHOT},
    "gdas": {"epochs": 2, "limit_steps": 2, "searches": 2},
    "pc_darts": {"epochs": 3, "limit_steps": 2, "alpha_from": 1, "epochs_per_work": 2},
    "single_path": {
        "epochs": 2,
        "limit_steps": 2,
        "evaluations": 4,
        "top": 2,
        "searcher": {"name": "random"},
    },
}


class MadeUp(Evaluator):
    """Values of texts, some of which fail."""

    objectives = searcher_kit.OBJECTIVES
    reported = searcher_kit.OBJECTIVES[0]
    fidelity_range = searcher_kit.FIDELITIES

    def fingerprint(self) -> str:
        return "made up"

    def __call__(self, task: Task) -> Evaluation:
        return searcher_kit.evaluate(task.architecture)


@cache
def digits() -> Any:
    return build_evaluator(
        {"name": "classification", "dataset": "digits", "limit_train": 64, "epochs": 1, "batch_size": 32}
    )


def normalised(folder: Path, left_out: set[str]) -> str:
    """The log, one event a line."""
    known: dict[str, str] = {}

    def plain(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            inner = {key: plain(each, key) for key, each in value.items() if key not in left_out}
            return {key: each for key, each in inner.items() if each is not None and each not in ({}, [], "")}
        if isinstance(value, list):
            return [plain(each) for each in value]
        if isinstance(value, str) and (key in NAMES or re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", value)):
            return known.setdefault(value, f"name {len(known) + 1}")
        if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{16,}", value):
            return value[:8]
        return value

    events = read_events(folder / FILE_NAME)
    return "".join(json.dumps(plain(event), ensure_ascii=False) + "\n" for event in events)


@cache
def processor() -> str:
    """The kind of processor as far as linear algebra tells them apart."""
    numpys = [info for info in threadpool_info() if "numpy" in info["filepath"]]
    kinds = " ".join(str(info.get("architecture")) for info in numpys)
    return f"# on {kinds or 'an unknown kind'}, {torch.backends.cpu.get_cpu_capability()}\n"


def compare(name: str, found: str) -> None:
    file = FOLDER / f"{name}.jsonl"
    if name in NUMERIC:
        if not STORES and file.exists() and not file.read_text(encoding="utf-8").startswith(processor()):
            pytest.skip(f"{file.name} was written with another processor's linear algebra")
        found = processor() + found
    check(file, found)


@pytest.mark.parametrize("name", SEARCHERS)
def test_the_log_is_that_of_before(name: str, tmp_path: Path) -> None:
    space = searcher_kit.spaces()["repeat"]
    searcher = searcher_kit.make(name, space)
    plan = Plan(seed=1, budget=Budget(12), baseline=2, final=1)
    executor = SimulatedExecutor(3)
    parts = {"space": space, "searcher": searcher, "evaluator": MadeUp(), "executor": executor, "plan": plan}
    make_study(tmp_path, **parts).run()
    compare(name, normalised(tmp_path, SURROUNDINGS))


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", searcher_kit.ONE_SHOT)
def test_the_log_of_a_search_on_a_supernet_is_that_of_before(name: str, tmp_path: Path) -> None:
    """Trained for real, two steps an epoch."""
    space = CHOICES if name in one_shot_kit.CHAINS_ONLY else GATES
    searcher = one_shot_kit.make(name, space, **ONE_SHOT[name])
    plan = Plan(seed=1, budget=Budget(4), baseline=1, final=1)
    Study(space, searcher, digits(), InlineExecutor(), directory=tmp_path, plan=plan).run()
    compare(name, normalised(tmp_path, SURROUNDINGS | CLOCK))


def test_nothing_is_stored_that_is_not_tested() -> None:
    remove_others(FOLDER, {f"{name}.jsonl" for name in (*SEARCHERS, *searcher_kit.ONE_SHOT)})
