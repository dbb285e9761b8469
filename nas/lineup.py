"""Who takes part in a comparison: methods, seeds and budgets, read from the section `compare` and checked."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nas.config import CacheSection, CompareSection, Config
from nas.errors import ConfigError, one_line
from nas.evaluation import Evaluator
from nas.folder import MAX_NAME
from nas.hypervolume import hypervolume
from nas.pareto import non_dominated
from nas.ranking import seeds_needed

if TYPE_CHECKING:
    from nas.training.tabular import TableEvaluator


@dataclass(frozen=True, slots=True)
class Lineup:
    """What a comparison runs.

    Attributes:
        methods: label -> section of its searcher, in order.
        seeds: one study of each method for each; the same for all methods.
        budgets: evaluations after which the report compares, ascending; the last is that of the studies.
        default: label of the method that the others are held against, or None.
    """

    methods: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...]
    budgets: tuple[int, ...]
    default: str | None


def lineup_of(config: Config) -> Lineup:
    """The methods that run, with their seeds and budgets.

    Raises:
        ConfigError: a label that there is not, a number out of range, or nothing left to run.
    """
    section = config.compare
    for label in section.searchers:
        if not re.fullmatch(rf"[A-Za-z0-9_][A-Za-z0-9_.+-]{{0,{MAX_NAME - 1}}}", str(label)):
            raise ConfigError(
                f"compare.searchers: expected labels of at most {MAX_NAME} letters, digits and _.+-, as they "
                f"name folders, got {one_line(repr(label))}"
            )
    chosen = _chosen(section)
    _check_more_trials(section)
    _check_caches(section)
    if section.default is not None:
        _check_labels("default", [section.default], section)
    if section.seeds < 1:
        raise ConfigError(f"compare.seeds: expected 1 or more, got {section.seeds}")
    for key in (
        "workers",
        "cpus_per_study",
        "gpus_per_study",
    ):  # of no consequence inline, but wrong all the same
        value = getattr(section, key)
        if value is not None and not int(key == "workers") <= value < math.inf:
            raise ConfigError(f"compare.{key}: expected {int(key == 'workers')} or more, got {value:g}")
    if section.first_seed < 0:
        raise ConfigError(f"compare.first_seed: expected 0 or more, got {section.first_seed}")
    return Lineup(
        methods={label: _section(label, section.searchers[label], section.searchers) for label in chosen},
        seeds=tuple(range(section.first_seed, section.first_seed + section.seeds)),
        budgets=_budgets(section.budgets, config.budget.trials),
        default=section.default if section.default in chosen else None,
    )


def _chosen(section: CompareSection) -> list[str]:
    for key in ("only", "skip", "slow"):
        _check_labels(key, getattr(section, key), section)
    wanted = section.only or section.searchers
    left_out = {*section.skip, *(() if section.with_slow or section.only else section.slow)}
    chosen = [label for label in section.searchers if label in wanted and label not in left_out]
    if not chosen:
        raise ConfigError(
            f"compare: at least one of {', '.join(section.searchers)} is expected to be left; "
            "change compare.only, compare.skip or compare.with_slow"
        )
    return chosen


def _check_labels(key: str, labels: Iterable[str], section: CompareSection) -> None:
    for label in labels:
        if label not in section.searchers:
            close = difflib.get_close_matches(label, section.searchers, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            listed = ", ".join(section.searchers)
            raise ConfigError(f"compare.{key}: expected one of {listed}, got {label}{hint}")


def _section(label: str, section: Any, labels: Collection[str]) -> Mapping[str, Any]:
    if isinstance(section, Mapping) and not section.get("name"):  # an option of a label that there is not
        others = [other for other in labels if other != label]
        close = difflib.get_close_matches(label, others, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(
            f"compare.searchers.{label}: expected a section with a name, got {dict(section)!r}; others: "
            f"{', '.join(others) or 'none'}; +searcher@compare.searchers.{label}=OPTION adds one{hint}"
        )
    if not isinstance(section, Mapping):
        raise ConfigError(
            f"compare.searchers.{label}: expected a searcher's section, got {section!r}; "
            f"+searcher@compare.searchers.{label}=OPTION adds one"
        )
    return section


def _budgets(budgets: Sequence[int], trials: int | None) -> tuple[int, ...]:
    """Those within the budget of the studies, and that budget itself, at which they end."""
    if not budgets or min(budgets) < 1:
        raise ConfigError(f"compare.budgets: expected numbers of at least 1, got {list(budgets)}")
    if trials is None:
        return tuple(sorted(set(budgets)))
    return tuple(sorted({*(budget for budget in budgets if budget <= trials), trials}))


def trials_of(config: Config, method: str) -> int | None:
    """The trials that the studies of a method may take, at all fidelities; None for any number."""
    trials = config.budget.trials
    return None if trials is None else math.ceil(trials * config.compare.more_trials.get(method, 1.0))


def doubt_of(lineup: Lineup) -> str | None:
    """One line where there are too few seeds for any pairwise test to find a difference; else None."""
    count = len(lineup.methods)
    needed = seeds_needed(count * (count - 1) // 2)
    if count < 2 or len(lineup.seeds) >= needed:
        return None
    return (
        f"compare.seeds: with {len(lineup.seeds)} no pairwise test of {count} methods can find a difference, "
        f"however large; {needed} or more are needed"
    )


def hashing_of(config: Config, method: str) -> tuple[dict[str, Any], CacheSection]:
    """The hasher's section and the cache of a method's studies: its own, or those of the whole comparison."""
    section, own = config.compare, config.compare.cache.get(method, {})
    return dict(section.hashing.get(method, config.hashing)), replace(config.cache, **own)


def _check_caches(section: CompareSection) -> None:
    known = [field.name for field in fields(CacheSection)]
    for key, sections in (("hashing", section.hashing), ("cache", section.cache)):
        _check_labels(key, sections, section)
        for label, own in sections.items():
            if not isinstance(own, Mapping) or (key == "hashing" and "name" not in own):
                expected = "a hasher's section with its name" if key == "hashing" else "options of the cache"
                raise ConfigError(f"compare.{key}.{label}: expected {expected}, got {own!r}")
            unknown = [name for name in own if key == "cache" and name not in known]
            if unknown:
                raise ConfigError(
                    f"compare.cache.{label}: expected one of {', '.join(known)}, got {unknown[0]}"
                )


def _check_more_trials(section: CompareSection) -> None:
    _check_labels("more_trials", section.more_trials, section)
    for label, factor in section.more_trials.items():
        if not 1 <= factor < math.inf:
            raise ConfigError(
                f"compare.more_trials.{label}: expected a number of at least 1, by which budget.trials is "
                f"multiplied, got {factor:g}"
            )


def reference_of(config: Config, evaluator: Evaluator) -> dict[str, float]:
    """The hypervolume's reference point: as configured, or the worst of the evaluator's table; {} for none.

    Raises:
        ConfigError: several objectives and no such point.
    """
    names = [objective.name for objective in evaluator.objectives]
    given = config.compare.reference
    unknown = [name for name in given if name not in names]
    if unknown:
        raise ConfigError(f"compare.reference: expected one of {', '.join(names)}, got {unknown[0]}")
    if len(names) == 1 and not given:
        return {}
    known = getattr(evaluator, "values_of", None)
    point: dict[str, float] = {}
    for objective in evaluator.objectives:
        value = given.get(objective.name)
        if value is None and known is not None:
            value = max(known(objective), key=objective.loss)
        if value is None or not math.isfinite(value):
            raise ConfigError(
                f"compare.reference: a number for each of {', '.join(names)} is expected, for the "
                f"hypervolume; add +compare.reference.{objective.name}=VALUE"
            )
        point[objective.name] = float(value)
    return point


def optimum_of(evaluator: Evaluator, reference: Mapping[str, float]) -> dict[str, float]:
    """The best possible value of each quantity, where the evaluator knows all of them, as a table does.

    With several objectives also the hypervolume of the best front, under the name "hypervolume".
    """
    if not hasattr(evaluator, "optimum"):
        return {}
    table = cast("TableEvaluator", evaluator)
    quantities = {quantity.name: quantity for quantity in (*table.objectives, table.reported)}
    found = {name: table.optimum(quantity) for name, quantity in quantities.items()}
    if len(table.objectives) > 1:
        losses = np.array([[o.loss(value) for value in table.values_of(o)] for o in table.objectives]).T
        front = losses[non_dominated(losses)]
        point = [objective.loss(reference[objective.name]) for objective in table.objectives]
        found["hypervolume"] = hypervolume(front, point)
    return found
