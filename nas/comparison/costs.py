"""What searching costs besides the evaluations: repeats, failures, seconds of each ask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.comparison.runs import Run


@dataclass(frozen=True, slots=True)
class Costs:
    """Of all runs of a method, or of one.

    Attributes:
        trials: that ended, lower fidelities included.
        cheaper: those at a lower fidelity than the highest of the comparison.
        repeats: trials whose architecture had been asked before in their study, at the same fidelity.
        failures: trials that did not complete.
        asks: calls whose time is known.
        ask_mean: milliseconds of a call; NaN without any.
        ask_p95: 95th percentile of them.
        tell_mean: milliseconds of `tell` a trial; NaN where unknown.
        search_seconds: median over runs of the last end on the executor's clock; NaN without trials.
        cost_seconds: median over runs of the work.
    """

    trials: int
    cheaper: int
    repeats: int
    failures: int
    asks: int
    ask_mean: float
    ask_p95: float
    tell_mean: float
    search_seconds: float
    cost_seconds: float


def costs(runs: Sequence[Run], level: float, trials: int | None = None) -> Costs:
    """Of the first so many trials of each run.

    Args:
        runs: of a method.
        level: the highest fidelity of the comparison.
        trials: None for all.
    """
    part = slice(0, trials)
    histories = [run.history for run in runs if run.history.number[part].size]
    asks = 1e3 * np.concatenate([history.asks[:trials] for history in histories] or [np.empty(0)])
    told = [history for history in histories if not math.isnan(history.tells)]
    tells = 1e3 * sum(history.tells for history in told) / max(sum(map(len, told)), 1)
    return Costs(
        trials=sum(history.number[part].size for history in histories),
        cheaper=sum(int((history.fidelity[part] < level).sum()) for history in histories),
        repeats=sum(int(history.repeated[part].sum()) for history in histories),
        failures=sum(int(history.failed[part].sum()) for history in histories),
        asks=asks.size,
        ask_mean=float(asks.mean()) if asks.size else math.nan,
        ask_p95=float(np.quantile(asks, 0.95)) if asks.size else math.nan,
        tell_mean=tells if told else math.nan,
        search_seconds=_median([float(history.finished[part][-1]) for history in histories]),
        cost_seconds=_median([float(history.cost[part].sum()) for history in histories]),
    )


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else math.nan
