"""What an audit found: classes of each reading, other counts, spreads of results within classes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nas.audit.compare import Agreement, compare
from nas.audit.labels import Labels, Reading, readings_of
from nas.audit.spread import Spread, differences, originals, spread
from nas.audit.studies import Row
from nas.evaluation import Evaluation, Objective, Stage, Task, carry_out

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nas.evaluation import Evaluator, Fidelity
    from nas.run.config import Config
    from nas.space import Architecture

PAIRS = 20_000  # random pairs of candidates, for the figure


@dataclass(frozen=True, slots=True)
class Quantity:
    """One measured result of every candidate.

    Attributes:
        name: "test_accuracy, 200 epochs".
        unit: "" for none.
        values: NaN where there is none.
    """

    name: str
    unit: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Gaps:
    """|difference| of one pair of each group, ascending: of a class, of replicates, of any two candidates."""

    quantity: Quantity
    within: NDArray[np.float64]
    replicate: NDArray[np.float64]
    overall: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that the report says.

    Attributes:
        candidates: how many there are.
        readings: with the agreement of each.
        rates: hashes a second on one core, by reading.
        counted: number of classes of the other hashers, by label.
        spreads: by reading and quantity, in their order.
        gaps: of the first reading.
        studies: searches under noise.
        sizes: members of each exact class of the first reading.
    """

    candidates: int
    readings: Sequence[tuple[Reading, Agreement]]
    rates: Sequence[float]
    counted: Mapping[str, int]
    spreads: Sequence[tuple[Reading, Quantity, Spread]]
    gaps: Sequence[Gaps]
    studies: Sequence[Row]
    sizes: Sequence[int]

    @property
    def sound(self) -> bool:
        """Whether no reading has a join, a split or a candidate without a digest."""
        return all(agreement.sound for _, agreement in self.readings)


def find(
    config: Config,
    labels: Labels,
    architectures: Sequence[Architecture],
    table: Evaluator | None,
    studies: Sequence[Row] = (),
) -> Findings:
    """Works out all findings from the labels."""
    readings = [(reading, _agreement(reading, labels)) for reading in readings_of(config)]
    counted = {
        column.removeprefix("counted, "): len(set(found) - {None})
        for column, found in labels.columns.items()
        if column.startswith("counted, ")
    }
    rates = [len(architectures) / max(1e-9, labels.seconds[reading.columns[0]]) for reading, _ in readings]
    measured = table is not None and not config.audit.bits  # bits are no reading of what is equal
    quantities = quantities_of(table, architectures) if table is not None and measured else []
    replicates = _replicates(labels)
    spreads = list(_spreads(config, labels, quantities, replicates))
    gaps = [_gaps(quantity, labels, readings[0][0], replicates) for quantity in quantities]
    sizes = list(Counter(labels.columns[readings[0][0].columns[1]]).values())
    return Findings(len(architectures), readings, rates, counted, spreads, gaps, studies, sizes)


def quantities_of(table: Evaluator, architectures: Sequence[Architecture]) -> list[Quantity]:
    """The objectives and the reported quantity at every level of a table."""
    asked: dict[str, Objective] = {o.name: o for o in (*table.objectives, table.reported)}
    found = []
    for level in table.levels:
        results = [_evaluate(table, architecture, level) for architecture in architectures]
        suffix = f", {level.value:g} {level.name}" if len(table.levels) > 1 else ""
        for name, objective in asked.items():
            values = [result.values.get(name, math.nan) if result.ok else math.nan for result in results]
            found.append(Quantity(f"{name.replace('_', ' ')}{suffix}", objective.unit, values))
    return found


def _evaluate(table: Evaluator, architecture: Architecture, level: Fidelity) -> Evaluation:
    return carry_out(table, Task(0, architecture, Stage.SEARCH, level, 0))


def _agreement(reading: Reading, labels: Labels) -> Agreement:
    hashed, exact = (labels.columns[column] for column in reading.columns)
    return compare(hashed, exact)


def _replicates(labels: Labels) -> list[Hashable]:
    """One network by every notion of equality here that does not come from the audited hasher."""
    known = [found for column, found in labels.columns.items() if not column.startswith("hashed, ")]
    return list(zip(*known, strict=True))


def _spreads(
    config: Config, labels: Labels, quantities: Sequence[Quantity], replicates: Sequence[Hashable]
) -> Any:
    results = list(zip(*(quantity.values for quantity in quantities), strict=True))
    for reading in readings_of(config) if quantities else ():
        classes = labels.columns[reading.columns[0]]
        kept = [n for n in originals(results, classes) if classes[n] is not None]
        for quantity in quantities:
            found = spread(
                quantity.values,
                classes,
                replicates,
                kept=kept,
                permutations=config.audit.permutations,
                seed=config.seed,
            )
            yield reading, quantity, found


def _gaps(quantity: Quantity, labels: Labels, reading: Reading, replicates: Sequence[Hashable]) -> Gaps:
    import numpy as np

    values = np.array(quantity.values, float)
    rng = np.random.default_rng(0)
    pairs = rng.integers(len(values), size=(2, PAIRS))
    overall = np.abs(values[pairs[0]] - values[pairs[1]])[pairs[0] != pairs[1]]
    return Gaps(
        quantity,
        differences(quantity.values, labels.columns[reading.columns[0]]),
        differences(quantity.values, replicates),
        np.sort(overall[np.isfinite(overall)]),
    )
