"""Sequential model-based optimisation with n-gram features (Negrinho and Gordon 2017).

DeepArchitect's SMBO (https://arxiv.org/abs/1704.08792), with the values of its released experiments: before
each suggestion a ridge regression (penalty 1e3) is fitted to all results; its features are the number of
primitives and the counts of runs of 1 to 4 primitive names that were met 3 times or more. Of 50 random
architectures the one predicted best is suggested; with probability 0.25 one at random. There is no random
start: without results, all predictions are 0.

Differs from the released code:
- every run of names counts; the released loop leaves out the last one of each length;
- an empty part (such as one of `optional`) has no name; there it is a feature, though not in the vocabulary;
- names follow the order of `nas.space.encoding` ("ngram"), which writes repeats out and enters arguments and
  cells;
- a failed trial enters the regression with the worst loss so far; there failures are scored 0 like results;
- candidates equal to a trial in flight are skipped if others are left, and the regression does not know the
  trials in flight (the released code runs one at a time). Finished ones may be suggested again, as there;
- candidates meet the constraints (`nas.space.operators.sample` redraws), so that the first in order is valid.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nas.algorithms.shared.method import SearchMethod, check_range, loss_of
from nas.evaluation import Objective
from nas.language import Literal, Op, Repeat, Term, children
from nas.space import Architecture, sample
from nas.study import Suggestion, Trial

if TYPE_CHECKING:
    from nas.space import SearchSpace

MAX_LENGTH = 4  # of a run of names
_LARGEST = 1e100  # bound on the size of a loss, so that its square does not overflow

Ngram = tuple[str, ...]  # names of primitives; () stands for their number
Counts = Mapping[Ngram, float]


class CountedArchitecture(NamedTuple):
    """An architecture and its features."""

    architecture: Architecture
    counts: Counts


class NgramSMBO(SearchMethod[CountedArchitecture]):
    """Ridge regression on n-gram counts, on the first objective.

    Args:
        space: to search.
        objectives: the first one counts.
        seed: of all randomness.
        candidates: random architectures of which the best is suggested, 1 or more.
        exploration: probability of a random one of them, 0 to 1.
        penalty: of the ridge regression, above 0.
        threshold: how often an n-gram must have been met to be a feature, 1 or more.

    Raises:
        ConfigError: an option out of range.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        seed: int,
        candidates: int = 50,
        exploration: float = 0.25,
        penalty: float = 1e3,
        threshold: int = 3,
    ) -> None:
        check_range("ngram_smbo", "candidates", candidates, 1)
        check_range("ngram_smbo", "exploration", exploration, 0, 1)
        check_range("ngram_smbo", "penalty", penalty, 0, above=True)
        check_range("ngram_smbo", "threshold", threshold, 1)
        super().__init__(space, objectives, seed=seed)
        self._candidates = candidates
        self._exploration = exploration
        self._penalty = penalty
        self._counts = CountMatrix(threshold)
        self._losses: list[float] = []  # +inf for failures
        self._weights: Mapping[Ngram, float] | None = {}  # None: to be fitted

    @property
    def uninformed(self) -> float:
        """Until there are two results, all predictions are equal; with these options they never decide."""
        return math.inf if self._candidates == 1 or self._exploration == 1 else 2

    def _take(self, trial: Trial, remembered: CountedArchitecture) -> None:
        same = remembered.architecture == trial.architecture
        loss = loss_of(trial, self._objective)
        self._losses.append(loss if math.isfinite(loss) else math.inf)
        self._counts.add(remembered.counts if same else ngram_counts(trial.architecture.network))
        self._weights = None

    def weights(self) -> Mapping[Ngram, float]:
        """Predicted change of the loss for one more of each feature."""
        if self._weights is None:
            finite = [loss for loss in self._losses if loss < math.inf]
            worst = max(finite, default=0.0)
            losses = np.array([min(loss, worst) for loss in self._losses]).clip(-_LARGEST, _LARGEST)
            found, _ = ridge(self._counts.matrix, losses, self._penalty)
            self._weights = dict(zip(self._counts.names, found.tolist(), strict=True))
        return self._weights

    def _suggest(self) -> Suggestion:
        explore = self._rng.random() < self._exploration
        drawn = [self._candidate() for _ in range(self._candidates)]
        if not explore:
            weights = self.weights()
            drawn.sort(key=lambda candidate: predicted(candidate.counts, weights))
        in_flight = {each.architecture for each in self._in_flight.remembered()}
        chosen = next((one for one in drawn if one.architecture not in in_flight), drawn[0])
        self._in_flight.add(chosen)
        return Suggestion(chosen.architecture, info={"origin": "exploration" if explore else "model"})

    def _candidate(self) -> CountedArchitecture:
        architecture = sample(self._space, self._rng)
        return CountedArchitecture(architecture, ngram_counts(architecture.network))


def ngram_counts(network: Term) -> Counts:
    """How often each run of names occurs, as `nas.space.encoding` counts them, and the number of names."""
    names = primitives(network)
    counts: dict[Ngram, float] = {(): len(names)}
    for length in range(1, MAX_LENGTH + 1):
        counts.update(Counter(zip(*(names[start:] for start in range(length)), strict=False)))
    return counts


def primitives(term: Term) -> list[str]:
    """Names of the primitives, depth first, repeats written out."""
    if isinstance(term, Repeat):
        return primitives(term.body) * term.high
    names = [term.name] if isinstance(term, Op) else []
    for part in children(term):
        if not isinstance(part, Literal):
            names += primitives(part)
    return names


def predicted(counts: Counts, weights: Mapping[Ngram, float]) -> float:
    """Predicted loss without the intercept."""
    return math.fsum(weights[name] * value for name, value in counts.items() if name in weights)


class CountMatrix:
    """A growing number of rows of counts, with a column for each n-gram that occurred often enough.

    Args:
        threshold: sum over the rows from which an n-gram has a column.
    """

    def __init__(self, threshold: int) -> None:
        self.names: list[Ngram] = [()]
        self._threshold = threshold
        self._columns: dict[Ngram, int] = {(): 0}
        self._rare: dict[Ngram, list[tuple[int, float]]] = {}  # (row, count) of those without a column
        self._values = np.zeros((64, 64))
        self._rows = 0

    @property
    def matrix(self) -> np.ndarray:
        """(rows, columns) of float64; columns in the order of `names`."""
        return self._values[: self._rows, : len(self.names)]

    def add(self, counts: Counts) -> None:
        """One more row."""
        row = self._rows
        self._rows += 1
        self._reserve()
        for name, value in counts.items():
            column = self._columns.get(name)
            if column is None:
                self._add_rare(name, row, value)
            else:
                self._values[row, column] = value

    def _add_rare(self, name: Ngram, row: int, value: float) -> None:
        """Counts a rare n-gram; it gets a column when it is not rare any more."""
        met = self._rare.setdefault(name, [])
        met.append((row, value))
        if sum(count for _, count in met) < self._threshold:
            return
        column = self._columns[name] = len(self.names)
        self.names.append(name)
        self._reserve()
        for earlier, count in self._rare.pop(name):
            self._values[earlier, column] = count

    def _reserve(self) -> None:
        rows, columns = self._values.shape
        if self._rows > rows or len(self.names) > columns:
            larger = np.zeros((max(rows, 2 * self._rows), max(columns, 2 * len(self.names))))
            larger[:rows, :columns] = self._values
            self._values = larger


def ridge(matrix: np.ndarray, targets: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Weights and intercept that minimise |targets - matrix weights - intercept|^2 + penalty |weights|^2.

    The closed form is over rows or columns, whichever are fewer.

    Args:
        matrix: (rows, columns).
        targets: (rows,).
        penalty: above 0; the intercept has none.
    """
    means, mean = matrix.mean(axis=0), float(targets.mean())
    centred, residuals = matrix - means, targets - mean
    rows, columns = matrix.shape
    if rows < columns:
        inside = centred @ centred.T + penalty * np.eye(rows)
        weights = centred.T @ np.linalg.solve(inside, residuals)
    else:
        inside = centred.T @ centred + penalty * np.eye(columns)
        weights = np.linalg.solve(inside, centred.T @ residuals)
    return weights, mean - float(means @ weights)
