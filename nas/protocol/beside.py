"""Given architectures beside random ones of the same study: what choosing them was worth, by variant.

Yang et al. 2020, "NAS evaluation is frustratingly hard" (https://arxiv.org/abs/1912.12522), section 3.1: the
relative improvement over the average random architecture, here of published architectures. Each is trained
once, so that the standard deviations hold the noise of training too.
"""

from __future__ import annotations

import math

from nas.protocol.results import VariantTable
from nas.report import Improvement, compare, fixed

TITLE = "Given architectures beside random ones"


def beside_random(table: VariantTable) -> dict[str, Improvement]:
    """Variant -> given against random architectures; empty for a study of one kind alone."""
    given = table.given
    if not given:
        return {}
    direction = table.objective.direction
    return {
        row.name: compare(row.values[:given], row.values[given:], direction=direction) for row in table.rows
    }


def beside_grid(table: VariantTable, decimals: int) -> list[list[str]]:
    """Head and lines; none for a study of one kind alone."""
    found = beside_random(table)
    head = ["variant", "given", "random", "RI (%)", "95 % interval", "rank test"]
    return [head, *(_line(name, each, decimals) for name, each in found.items())] if found else []


def _line(name: str, found: Improvement, decimals: int) -> list[str]:
    low, high = found.interval
    improvement = found.relative_improvement
    return [
        name,
        _mean(found.mean_method, found.std_method, found.n_method, decimals),
        _mean(found.mean_random, found.std_random, found.n_random, decimals),
        "" if math.isnan(improvement) else fixed(improvement, 2, "+"),
        "" if math.isnan(low) else f"{fixed(low, 2, '+')} to {fixed(high, 2, '+')}",
        found.tested(),
    ]


def _mean(mean: float, std: float, n: int, decimals: int) -> str:
    if not n:
        return "- (0)"
    return f"{fixed(mean, decimals)}{'' if math.isnan(std) else f' ± {fixed(std, decimals)}'} ({n})"
