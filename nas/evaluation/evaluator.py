"""What is asked of an evaluator and what it answers: Objective, Fidelity, Task, Evaluation, Evaluator.

The number of a trial says which stage it belongs to.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from nas.errors import one_line
from nas.registry import Component, Registry

if TYPE_CHECKING:
    from nas.space import Architecture


REASON_LIMIT = 2000  # characters of the reason of a failure


class Status(StrEnum):
    """How an evaluation ended. Everything but `COMPLETED` is a failure with a reason."""

    COMPLETED = "completed"
    INVALID = "invalid"  # does not compile, or breaks a constraint
    DIVERGED = "diverged"  # a loss or a weight that is not finite
    TIMEOUT = "timeout"  # over the time limit of a trial
    OUT_OF_MEMORY = "out_of_memory"
    ERROR = "error"  # the candidate or the evaluator raised
    WORKER_DIED = "worker_died"  # process or node lost, retries used up


class Stage(StrEnum):
    """What a trial is for. Only `SEARCH` trials may be answered from a cache.

    `SUPERNET` trials are work that a searcher asks for besides its candidates, such as the training of shared
    weights: they cost, and are no candidates.
    """

    SEARCH = "search"
    BASELINE = "baseline"
    FINAL = "final"
    SUPERNET = "supernet"


@dataclass(frozen=True, slots=True)
class Objective:
    """A measured quantity with a direction.

    Attributes:
        name: key in `Evaluation.values`, e.g. "validation_accuracy".
        direction: "maximize" or "minimize".
        unit: e.g. "%" or "ms"; empty for a pure number.
    """

    name: str
    direction: str = "maximize"
    unit: str = ""

    def __post_init__(self) -> None:
        if self.direction not in ("maximize", "minimize"):
            raise ValueError(
                f'Objective {self.name}: direction is "maximize" or "minimize", not {self.direction!r}'
            )

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is strictly better than `b`; NaN is never better."""
        return a > b if self.direction == "maximize" else a < b

    def loss(self, value: float | None) -> float:
        """The value as a quantity to minimise; +inf for a missing or NaN value."""
        if value is None or math.isnan(value):
            return math.inf
        return -value if self.direction == "maximize" else value


@dataclass(frozen=True, slots=True)
class Fidelity:
    """One cheap approximation, e.g. `Fidelity("epochs", 4)`; a task without one is the full evaluation."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Task:
    """One evaluation to carry out; everything that differs between two evaluations of a study.

    Attributes:
        trial: number of the trial in its study, from 0.
        architecture: what to evaluate.
        stage: search, baseline or final.
        fidelity: None for the full evaluation.
        seed: seed of all randomness of this evaluation.
        time_limit: seconds after which a cooperative evaluator stops and reports `TIMEOUT`.
        done: fidelity that an earlier trial of this architecture reached and this one continues, or None;
            its seed is then that one's, so that training from the start has the same result.
        checkpoint: path of a checkpoint to continue from, or None. With `done`, one that cannot be used is
            no fault: the work is done from the start, and the info of the evaluation says so.
        save_to: path at which to leave the final weights, or None for not saving.
        hashing: the digest of the architecture is asked for and no evaluation (`nas.study.cache`).
        work: what to carry out in place of an evaluation, or None.
    """

    trial: int
    architecture: Architecture
    stage: Stage = Stage.SEARCH
    fidelity: Fidelity | None = None
    seed: int = 0
    time_limit: float | None = None
    checkpoint: str | None = None
    save_to: str | None = None
    done: Fidelity | None = None
    hashing: bool = False
    work: SupernetTask | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcome of one task; a failure is an outcome too.

    Attributes:
        status: how it ended.
        values: objective name -> value; empty for most failures.
        cost_seconds: seconds of work, real or simulated, failures included.
        reason: one line, for every status but `COMPLETED`.
        curve: one mapping of numbers per epoch, e.g. {"epoch": 1, "train_loss": .., ..}.
        info: further facts, JSON values only, e.g. {"parameters": 12345}.
        checkpoint: path of the weights that were saved, or None.
    """

    status: Status
    values: Mapping[str, float] = field(default_factory=dict)
    cost_seconds: float = 0.0
    reason: str | None = None
    curve: tuple[Mapping[str, float], ...] = ()
    info: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: str | None = None

    def __post_init__(self) -> None:
        if self.reason is not None:  # text from outside is cleaned where it enters
            object.__setattr__(self, "reason", one_line(self.reason, REASON_LIMIT))

    @property
    def ok(self) -> bool:
        """Whether the evaluation completed."""
        return self.status is Status.COMPLETED

    def to_json(self) -> dict[str, Any]:
        """JSON values only; `from_json` is its inverse."""
        return {  # written out: a study of table look-ups spends a tenth of its time in dataclasses.asdict
            "status": self.status.value,
            "values": dict(self.values),
            "cost_seconds": self.cost_seconds,
            "reason": self.reason,
            "curve": [dict(row) for row in self.curve],
            "info": dict(self.info),
            "checkpoint": self.checkpoint,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        """Inverse of `to_json`."""
        return cls(**{**data, "status": Status(data["status"]), "curve": tuple(data["curve"])})


class SupernetTask(Protocol):
    """What a searcher lets workers do besides evaluations; picklable, made anew from the log's facts."""

    def __call__(self, task: Task, evaluator: Evaluator) -> Evaluation:
        """Carries it out with what the evaluator has, such as its data; it need not have any objective."""
        ...


def perform(evaluator: Evaluator, task: Task) -> Evaluation:
    """The evaluation of a task, or its work, which is given the innermost of evaluators around others."""
    if task.work is None:
        return evaluator(task)
    while isinstance(evaluator, WrappedEvaluator):
        evaluator = evaluator.inner
    return task.work(task, evaluator)


def failure(status: Status, reason: str, cost_seconds: float = 0.0, **info: Any) -> Evaluation:
    """An evaluation that ended badly, its reason folded to one line."""
    return Evaluation(status, {}, cost_seconds, one_line(reason, REASON_LIMIT), (), info)


def as_float(value: Any) -> float:
    """A number as a float, infinite if it is a whole number that no float holds.

    Raises:
        TypeError, ValueError: no number, as of `float`.
    """
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def number(value: Any) -> float | None:
    """A value as a float: numbers of Python, numpy and torch, of one element too; None for anything else.

    Texts, complex numbers and what does not fit a float are no numbers here.
    """
    if isinstance(value, str | bytes | bytearray | complex) or value is None:
        return None
    try:
        if not isinstance(value, int | float) and callable(getattr(value, "item", None)):
            value = value.item()  # of an array or a tensor of one element
            if isinstance(value, str | bytes | complex):
                return None
        return float(value)
    except Exception:  # whatever an object of the user's raises
        return None


class Evaluator(Component):
    """How good an architecture is. Picklable: it is the only thing sent to a worker, data arrays included.

    What follows is given as attributes, of the class or of the object, or as properties. The methods below
    `__call__` and `fingerprint` let mistakes be found before a run.

    Attributes:
        objectives: what a searcher sees; the first one decides.
        reported: the quantity of the report (on test data, where there is such), which never steers a search.
        fidelity_range: (name, lowest, full) of its fidelity, e.g. ("epochs", 1, 12), or None if it has none.
        levels: the only fidelities that it has, rising; empty where it has all of the range.
        deterministic: whether the reported quantity of an architecture is the same whatever the seed of the
            task; None where nobody knows. Reports count by it.
        keeps_process: whether an evaluation in the study's own process only looks something up; what it would
            do to the process is then not put back (`nas.evaluation.process_state`), which saves 50
            microseconds.
        max_seconds: after which an evaluation ends by itself; infinity without a bound.
        dataset: images (`nas.training.data.Dataset`) that networks are made for, or None.
        device: where works of searchers keep the images: "auto", "cpu", "cuda" or "cuda:N".
    """

    objectives: tuple[Objective, ...]
    reported: Objective
    fidelity_range: tuple[str, float, float] | None = None
    levels: tuple[Fidelity, ...] = ()
    deterministic: bool | None = None
    keeps_process: bool = False
    max_seconds: float = math.inf
    dataset: Any = None
    device: str = "auto"

    @abstractmethod
    def fingerprint(self) -> str:
        """Digest of everything that determines a result, apart from the task."""

    @abstractmethod
    def __call__(self, task: Task) -> Evaluation:
        """Carries the task out; raises only for faults that are not the candidate's."""

    def check(self, task: Task) -> None:
        """Raises NasError if the task is none for it."""

    def value_names(self, fidelity: Fidelity | None) -> Collection[str] | None:  # noqa: ARG002
        """The names in `values` of every completed evaluation at a fidelity; None where nothing tells."""
        return None

    def values_of(
        self,
        quantity: Objective,  # noqa: ARG002
        fidelity: Fidelity | None = None,  # noqa: ARG002
    ) -> Sequence[float] | None:
        """A quantity of all architectures there are, as in a table; None where they are not all known."""
        return None


class WrappedEvaluator(Evaluator):
    """An evaluator around another one, as which it answers; a subclass replaces what it changes.

    Args:
        inner: the other one, which works of searchers are given.
    """

    def __init__(self, inner: Evaluator) -> None:
        self.inner = inner
        self.objectives, self.reported = inner.objectives, inner.reported
        self.fidelity_range, self.levels = inner.fidelity_range, inner.levels
        self.deterministic, self.keeps_process = inner.deterministic, inner.keeps_process
        self.max_seconds, self.dataset, self.device = inner.max_seconds, inner.dataset, inner.device

    def fingerprint(self) -> str:
        return self.inner.fingerprint()

    def __call__(self, task: Task) -> Evaluation:
        return self.inner(task)

    def check(self, task: Task) -> None:
        self.inner.check(task)

    def value_names(self, fidelity: Fidelity | None) -> Collection[str] | None:
        return self.inner.value_names(fidelity)

    def values_of(self, quantity: Objective, fidelity: Fidelity | None = None) -> Sequence[float] | None:
        return self.inner.values_of(quantity, fidelity)


@dataclass(frozen=True, slots=True)
class Outline:
    """What an evaluator will have, as the attributes and methods of the same names of an evaluator.

    Attributes:
        values: names of the values of every completed evaluation, at each of `levels`, or under None at any
            fidelity; {} where only evaluations tell.
    """

    objectives: tuple[Objective, ...]
    fidelity_range: tuple[str, float, float] | None = None
    levels: tuple[Fidelity, ...] = ()
    values: Mapping[float | None, tuple[str, ...]] = field(default_factory=dict)

    def value_names(self, fidelity: Fidelity | None) -> tuple[str, ...] | None:
        """The values of every completed evaluation at a fidelity; None where nothing tells."""
        if not self.levels:
            return self.values.get(None)
        return self.values.get(self.levels[-1].value if fidelity is None else fidelity.value)


EVALUATORS = Registry("evaluator")
EVALUATORS.register(
    "classification",
    "nas.training.classification:create",
    "trains the network on images: digits, Fashion-MNIST, CIFAR-10/100, an .npz file or an image folder",
    outline="nas.training.image_evaluator:classification",
)
EVALUATORS.register(
    "table",
    "nas.evaluation.tables:create",
    "looks the architecture up in a CSV file, with simulated cost, e.g. NAS-Bench-201 (Dong and Yang 2020)",
    outline="nas.evaluation.tables:outline",
)
EVALUATORS.register(
    "function",
    "nas.evaluation.functions:create",
    "calls a Python function of the architecture, given as module:function",
    outline="nas.evaluation.functions:outline",
)
EVALUATORS.register(
    "optimizer_task",
    "nas.training.optimizer_task:create",
    "trains a small fixed network with the optimizer program (Chen et al. 2023: a proxy task)",
    outline="nas.training.image_evaluator:optimizer_task",
)
EVALUATORS.register(
    "noise",
    "nas.evaluation.functions:NoisyEvaluator",
    "another evaluator with Gaussian noise on its first objective (Gillard et al. 2023)",
    listed=False,
)

# The n-th suggestion of the searcher is trial n, whatever runs beside it and however often the study is
# continued; the other stages count from their own first number, so their seeds depend on no timing.
FIRST_TRIAL: Mapping[Stage, int] = {
    Stage.SEARCH: 0,
    Stage.BASELINE: 10_000_000,
    Stage.FINAL: 20_000_000,
    Stage.SUPERNET: 30_000_000,
}


def stage_of(number: int) -> Stage:
    """The stage that a trial of this number belongs to."""
    return max((s for s in Stage if FIRST_TRIAL[s] <= number), key=FIRST_TRIAL.__getitem__)


def trial_label(number: int) -> str:
    """A trial's stage and its number within it, e.g. "search 12"."""
    stage = stage_of(number)
    return f"{stage.value} {number - FIRST_TRIAL[stage]}"
