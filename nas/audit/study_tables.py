"""Tables of the searches of an audit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from nas.audit.findings import Findings
from nas.audit.studies import DRAWS, Row, expected_hits
from nas.report import fixed, format_p

if TYPE_CHECKING:
    import pandas as pd

NOTES = (
    "Noise: standard deviation added to the first objective at each evaluation; values are those of the "
    "chosen architecture without it. Mean ± sample standard deviation over seeds, all within one budget. p: "
    "two-sided rank test of the first objective against the first cache under the same searcher and noise, "
    "not corrected for their number; it takes two seeds.",
    "Hit rates of draws that are uniform over architectures, and over classes, are expected values; those of "
    "searches are means over the seeds that are done so far, without noise where that was searched.",
)


def study_lines(found: Findings, objectives: tuple[str, str]) -> list[list[str]]:
    """One line for each kind of search.

    Args:
        found: with studies.
        objectives: names of the first objective and of the reported quantity.
    """
    names = [name.replace("_", " ") for name in objectives]
    lines = [["searcher", "noise", "cache", "n", "trials", "evaluations", "hits (%)", *names, "p"]]
    for row in found.studies:
        kind = row.condition
        lines.append(
            [
                *(kind.searcher, f"{kind.noise:g}", kind.cache, str(len(row.outcomes))),
                *(f"{row.mean(name):,.0f}" for name in ("trials", "evaluations")),
                fixed(row.mean("hit_rate"), 1),
                *(
                    f"{fixed(row.mean(name), 2)} ± {fixed(row.std(name), 2)}"
                    for name in ("value", "reported")
                ),
                "" if math.isnan(row.p) else format_p(row.p),
            ]
        )
    return lines


def hit_lines(found: Findings) -> list[list[str]]:
    """One line for each way to draw, the expected ones first."""
    lines = [["drawn by", *map(str, DRAWS)]]
    for label, by_class in (("uniform over architectures", False), ("uniform over classes", True)):
        lines.append([label, *(f"{rate:.1f}" for _, rate in expected_hits(found.sizes, by_class=by_class))])
    least = min(row.condition.noise for row in found.studies)
    for row in found.studies:
        if row.condition.noise == least and any(outcome.course for outcome in row.outcomes):
            lines.append(
                [f"{row.condition.searcher}, {row.condition.cache}", *(_rate(row, n) for n in DRAWS)]
            )
    return lines


def _rate(row: Row, draws: int) -> str:
    rates = [outcome.course[draws] for outcome in row.outcomes if draws in outcome.course]
    return f"{float(np.mean(rates)):.1f}" if rates else "-"


def study_frame(found: Findings) -> pd.DataFrame:
    """One row for each search."""
    import pandas as pd

    names = ("trials", "evaluations", "hit_rate", "value", "reported")
    rows = [
        (kind.searcher, kind.noise, kind.cache, seed, *(getattr(outcome, name) for name in names))
        for row in found.studies
        for kind in (row.condition,)
        for seed, outcome in enumerate(row.outcomes)
    ]
    return pd.DataFrame(rows, columns=["searcher", "noise", "cache", "seed", *names])
