"""Folders of comparisons: by hand, line by line, or with real studies on a simulated clock."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.algorithms.random_search import RandomSearch
from nas.algorithms.regularized_evolution import RegularizedEvolution
from nas.evaluation import SimulatedExecutor
from nas.report.comparison import read_comparison
from nas.report.comparison.analysis import Analysis, analyse
from tests.report.report_kit import Log
from tests.study.study_kit import OBJECTIVE, FakeEvaluator, make_study, short_plan, small_space

KEY = "validation_accuracy_regret"  # of the quantity that chooses

VALIDATION = {"name": "validation_accuracy", "direction": "maximize", "unit": "%"}
TEST = {**VALIDATION, "name": "test_accuracy"}
LATENCY = {"name": "latency", "direction": "minimize", "unit": "ms"}

# A trial: (validation, test), None for a failure, or a mapping with more about it.
TrialData = tuple[float, float] | None | Mapping[str, Any]


def write_manifest(directory: Path, methods: Sequence[str], seeds: int, **changes: Any) -> Path:
    """`comparison.json` as a run of `nas.run.comparison` leaves it."""
    manifest = {
        "format": 1,
        "name": "toy",
        "methods": list(methods),
        "seeds": list(range(seeds)),
        "budgets": [2, 4],
        "objectives": [VALIDATION],
        "reported": TEST,
        "fidelity_range": None,
        "optimum": {"validation_accuracy": 96.0, "test_accuracy": 100.0},
        "reference": {},
        "default": None,
        "config": {},
        "versions": {},
        **changes,
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "comparison.json").write_text(json.dumps(manifest))
    return directory


def study(directory: Path, method: str, seed: int, trials: Sequence[TrialData], **end: Any) -> Path:
    """A study of these search trials, a minute each, closed as finished unless `end` has another reason."""
    log = Log(directory / "studies" / method / str(seed), searcher=method, seed=seed).opened()
    for index, trial in enumerate(trials):
        add_trial(log, index, trial)
    if end.pop("exhausted", False):
        log.add(event="asked", trial=None, stage="search", exhausted=True)
    if end.get("reason", "finished") is not None:
        log.closed(**end)
    return log.write()


def add_trial(log: Log, index: int, trial: TrialData) -> None:
    """Asked, evaluated and told."""
    given = dict(trial) if isinstance(trial, Mapping) else {"values": trial}
    cost, values = given.pop("cost", 60.0), given.pop("values")
    more = {"latency": given.pop("latency")} if "latency" in given else {}
    architecture = given.pop("architecture", f"stem(width={16 + index}) >> head()")
    number = log.asked("search", index, architecture, **given)
    log.evaluated(number, values, cost)
    if more and values is not None:
        log.lines[-1]["evaluation"]["values"].update(more)
    log.add(event="told", trial=number, cached_from=None, clock=log.clock)


def baseline(directory: Path, *values: tuple[float, float] | None) -> Path:
    """Random architectures, `None` for one that failed."""
    return Log(directory / "baseline").opened().baseline(*values).closed().write()


def overhead(directory: Path, method: str, seed: int, seconds: Sequence[float], tells: float = 0.0) -> None:
    """The file beside a study's log."""
    content = {"asks": len(seconds), "ask_seconds": list(seconds), "tell_seconds": tells}
    (directory / "studies" / method / str(seed) / "overhead.json").write_text(json.dumps(content))


def two_methods(directory: Path, **changes: Any) -> Path:
    """ "slow" and "quick" with 3 seeds of 4 trials each; what they hold is in `test_curves`."""
    write_manifest(directory, ["slow", "quick"], 3, **{"default": "quick", **changes})
    study(directory, "slow", 0, [(90, 80), (90, 85), None, (93, 99)])
    study(directory, "slow", 1, [None, (91, 90), (91, 70), (92, 60)])
    study(directory, "slow", 2, [(80, 80), (85, 85), (88, 88), (88, 99)])
    study(directory, "quick", 0, [(96, 95), (90, 85), (96, 100), (93, 99)])
    study(directory, "quick", 1, [(94, 95), (95, 96), (92, 70), (96, 100)])
    study(directory, "quick", 2, [(93, 91), (92, 96), (94, 92), (95, 97)])
    return directory


def spread(directory: Path, seeds: Mapping[str, int], trials: int = 4, **changes: Any) -> Path:
    """Methods that differ clearly, each with so many seeds: the n-th is 2 % behind the one before."""
    write_manifest(directory, list(seeds), max(seeds.values()), **{"optimum": {}, **changes})
    for place, (method, count) in enumerate(seeds.items()):
        for seed in range(count):
            values = [(90 - 2 * place + 0.01 * seed + 0.1 * index, 80 - place) for index in range(trials)]
            study(directory, method, seed, values)
    return directory


def real_comparison(directory: Path, seeds: int = 3, trials: int = 12, workers: int = 1) -> Path:
    """Random search and evolution by the real loop; accuracy chooses, test_accuracy is reported."""
    space = small_space()
    reported = {"name": "test_accuracy", "direction": "maximize", "unit": "%"}
    chooser = {"name": OBJECTIVE.name, "direction": OBJECTIVE.direction, "unit": OBJECTIVE.unit}
    changes = {"objectives": [chooser], "reported": reported, "budgets": [4, trials], "optimum": {}}
    write_manifest(directory, ["random", "evolution"], seeds, **changes)
    for seed in range(seeds):
        searchers = {
            "random": RandomSearch(space, (OBJECTIVE,), seed=seed),
            "evolution": RegularizedEvolution(space, (OBJECTIVE,), seed=seed, population=4, sample=2),
        }
        for name, searcher in searchers.items():
            make_study(
                directory / "studies" / name / str(seed),
                space=space,
                searcher=searcher,
                searcher_name=name,
                evaluator=FakeEvaluator(lambda task: task.trial % 5 == 3),
                executor=SimulatedExecutor(workers),
                plan=short_plan(trials),
                hasher=None,
            ).run()
    return directory


def analysed(directory: Path) -> Analysis:
    """All numbers of the comparison in a folder."""
    return analyse(read_comparison(directory))
