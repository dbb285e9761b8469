"""A comparison of searchers read back from its folder: Comparison, read_comparison.

    comparison.json                       what is compared: methods, seeds, budgets, objectives, optimum
    baseline/events.jsonl                 random architectures, fully evaluated; may be missing
    studies/METHOD/SEED/events.jsonl      one study each (`nas.study.event_log`)
    studies/METHOD/SEED/overhead.json     seconds of each ask, and of all tells

Studies may be missing, under way or failed: what is there is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.comparison.history import Baseline, History, read_baseline, read_history
from nas.comparison.log import FULL, Wanted
from nas.errors import StoreError, describe_error
from nas.evaluation import FIRST_TRIAL, Objective, Stage
from nas.study import FILE_NAME, read_json

MANIFEST = "comparison.json"
FORMAT = 1
_MAX_BUDGET = FIRST_TRIAL[Stage.BASELINE]  # as of a study


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """All studies of a comparison and what they have in common.

    Attributes:
        methods: labels, in the order in which they are shown.
        budgets: numbers of evaluations, ascending, at which methods are compared.
        objectives: what the searchers saw; the first one chooses.
        reported: the quantity of the report.
        optimum: best possible values by name of quantity, as far as they are known; under "hypervolume"
            that of the true front.
        reference: reference point of the hypervolume by name of objective; empty for none.
        default: the project's default method, or None.
        histories: for each method one for each seed, in the order of `seeds`.
        baseline: random architectures.
        names: of the measured quantities, the columns of `History.values`.
    """

    directory: Path
    name: str
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    budgets: tuple[int, ...]
    objectives: tuple[Objective, ...]
    reported: Objective
    optimum: Mapping[str, float]
    reference: Mapping[str, float]
    default: str | None
    histories: Mapping[str, tuple[History, ...]]
    baseline: Baseline
    names: tuple[str, ...]

    @property
    def chooser(self) -> Objective:
        """The objective by which a study chooses."""
        return self.objectives[0]

    @property
    def horizon(self) -> int:
        """The largest budget."""
        return self.budgets[-1]

    @property
    def random(self) -> str | None:
        """Random search: the method labelled so, else the first whose searcher is named so."""
        if "random" in self.methods:
            return "random"
        found = (m for m in self.methods for history in self.histories[m] if history.searcher == "random")
        return next(found, None)

    @property
    def level(self) -> float:
        """The highest fidelity of any completed search trial, inf for the full one: what counts as found."""
        reached = (h.fidelity[~h.failed] for histories in self.histories.values() for h in histories)
        return max((float(fidelity.max()) for fidelity in reached if fidelity.size), default=FULL)

    @property
    def mixed(self) -> tuple[str, ...]:
        """Methods with trials at lower fidelities than that, whose cost numbers of evaluations leave out."""
        level = self.level
        return tuple(m for m, its in self.histories.items() if any((h.fidelity < level).any() for h in its))


def is_comparison(directory: Path | str) -> bool:
    """Whether the folder is that of a comparison of searchers."""
    return (Path(directory) / MANIFEST).is_file()


def read_comparison(directory: Path | str) -> Comparison:
    """The comparison in a folder, in progress or done.

    Raises:
        StoreError: no `comparison.json`, or none of this format.
    """
    directory = Path(directory)
    path = directory / MANIFEST
    manifest = read_json(path, f"a comparison of format {FORMAT}")
    try:
        return _comparison(directory, manifest)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StoreError(
            f"{path}: expected a comparison of format {FORMAT}; reading failed with "
            f"{describe_error(error)}; was it written by another program or version?"
        ) from error


def _comparison(directory: Path, manifest: Mapping[str, Any]) -> Comparison:
    if manifest["format"] != FORMAT:
        raise ValueError(f"format {manifest['format']!r}")
    objectives = tuple(Objective(**data) for data in manifest["objectives"])
    reported = Objective(**manifest["reported"])
    names = tuple(dict.fromkeys(objective.name for objective in (*objectives, reported)))
    wanted = Wanted(names, objectives[0], _full(manifest))
    methods, seeds = tuple(map(_label, manifest["methods"])), tuple(map(int, manifest["seeds"]))
    studies = directory / "studies"
    return Comparison(
        directory=directory,
        name=str(manifest["name"]),
        methods=methods,
        seeds=seeds,
        budgets=_budgets(manifest["budgets"]),
        objectives=objectives,
        reported=reported,
        optimum=_numbers(manifest.get("optimum")),
        reference=_numbers(manifest.get("reference")),
        default=manifest.get("default"),
        histories={
            method: tuple(read_history(studies / method / str(seed), wanted) for seed in seeds)
            for method in methods
        },
        baseline=read_baseline(directory / "baseline" / FILE_NAME, wanted),
        names=names,
    )


def _full(manifest: Mapping[str, Any]) -> float:
    """The evaluator's full fidelity, where the manifest has its range (name, lowest, full)."""
    given = manifest.get("fidelity_range")
    return float(given[2]) if given else FULL


def _label(label: Any) -> str:
    """A method's label; it names a folder, which must be one of this comparison."""
    if not isinstance(label, str) or not label.isprintable() or Path(label).name != label:
        raise ValueError(f"method {label!r}")
    return label


def _budgets(given: Any) -> tuple[int, ...]:
    budgets = tuple(sorted({int(budget) for budget in given}))
    if not budgets or budgets[0] < 1 or budgets[-1] > _MAX_BUDGET:
        raise ValueError(f"budgets {given!r}")
    return budgets


def _numbers(given: Mapping[str, Any] | None) -> dict[str, float]:
    numbers = {str(name): float(value) for name, value in (given or {}).items()}
    return {name: value for name, value in numbers.items() if math.isfinite(value)}
