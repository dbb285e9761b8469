"""Searches with a cache under noise: searchers x noise x caches x seeds, and their outcome.

The error study of Gillard et al. 2023 (https://arxiv.org/abs/2302.05433): what the cache answers with is
frozen noise, which a mean of several evaluations (M) or forgetting (F) loosens. All have one budget.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.caching.usage import usage
from nas.evaluation import Stage, Task, carry_out
from nas.report import Run, deviation, mean, rank_test
from nas.study import read_study

if TYPE_CHECKING:
    from nas.evaluation import Evaluator
    from nas.run.config import AuditSection, Config
    from nas.space import SearchSpace

STUDIES = "studies"
DRAWS = (10, 50, 100, 200, 500, 1000, 2000)  # after which hit rates are told


@dataclass(frozen=True, slots=True)
class Condition:
    """What the searches of one kind have in common."""

    searcher: str
    noise: float
    cache: str

    @property
    def folder(self) -> str:
        return f"{self.searcher}_noise{self.noise:g}_{self.cache}".replace("/", "-").replace(" ", "")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One search.

    Attributes:
        trials: that were told.
        evaluations: that were carried out.
        hit_rate: in percent; NaN without a cache.
        value: of the chosen architecture, without noise: the first objective.
        reported: likewise, the reported quantity.
        course: hit rate in percent after each number of `DRAWS` that it reached.
    """

    trials: int
    evaluations: int
    hit_rate: float
    value: float
    reported: float
    course: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Row:
    """The searches of one condition.

    Attributes:
        p: of the two-sided rank test of `value` against the first cache under the same searcher and noise;
            NaN for that one.
    """

    condition: Condition
    outcomes: tuple[Outcome, ...]
    p: float

    def mean(self, name: str) -> float:
        return mean(self._values(name))

    def std(self, name: str) -> float:
        """Sample standard deviation (n - 1); NaN below two."""
        return deviation(self._values(name))

    def _values(self, name: str) -> list[float]:
        """Of all searches; none where one of them has none."""
        values = [getattr(outcome, name) for outcome in self.outcomes]
        return [] if any(map(math.isnan, values)) else values


def conditions(section: AuditSection) -> tuple[Condition, ...]:
    """All of them, noise outermost: searches with equal noise share a table in their process."""
    found = product(section.noise, section.searchers, section.caches)
    return tuple(Condition(searcher, noise, cache) for noise, searcher, cache in found)


def read_studies(config: Config, folder: Path, space: SearchSpace, table: Evaluator) -> list[Row]:
    """What all searches found, values without noise looked up in the table."""
    found: dict[Condition, tuple[Outcome, ...]] = {}
    for condition in conditions(config.audit):
        parent = folder / STUDIES / condition.folder
        runs = (Run.of(read_study(parent / str(seed))) for seed in range(config.audit.seeds))
        found[condition] = tuple(_outcome(run, space, table) for run in runs)
    return [Row(condition, outcomes, _p(condition, found)) for condition, outcomes in found.items()]


def _p(condition: Condition, found: Mapping[Condition, Sequence[Outcome]]) -> float:
    first = next(c for c in found if (c.searcher, c.noise) == (condition.searcher, condition.noise))
    if first == condition:
        return math.nan
    return rank_test(*([outcome.value for outcome in found[c]] for c in (condition, first)))[0]


def _outcome(run: Run, space: SearchSpace, table: Evaluator) -> Outcome:
    rows = run.ended(Stage.SEARCH)
    cached = usage(run)
    value = reported = math.nan
    if run.chosen is not None:
        task = Task(0, space.parse(run.chosen.architecture), Stage.SEARCH, None, 0)
        values = carry_out(table, task).values
        value, reported = values[table.objectives[0].name], values[table.reported.name]
    course = [] if cached is None else cached.course.cumulative().tolist()
    return Outcome(
        len(rows),
        sum(row.cached_from is None for row in rows),
        math.nan if cached is None else cached.counts.hit_rate,
        value,
        reported,
        {n: course[n - 1] for n in DRAWS if n <= len(course)},
    )


def expected_hits(sizes: Sequence[int], *, by_class: bool) -> Iterator[tuple[int, float]]:
    """Share of draws, in percent, that fall on a class met before, after each number of `DRAWS`.

    Args:
        sizes: members of each class.
        by_class: draws are uniform over classes, not over members.
    """
    weights = np.ones(len(sizes)) if by_class else np.array(sizes, float)
    weights /= weights.sum()
    for n in DRAWS:
        distinct = float((1.0 - (1.0 - weights) ** n).sum())
        yield n, 100.0 * (1.0 - distinct / n)
