"""The typed schema of a run's configuration, and how a named component is built from its section."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Optional

# Optional[...] instead of `X | None`: the schema's reader, OmegaConf, knows the older form only.
# ruff: noqa: UP045


@dataclass
class BudgetSection:
    """When the search ends: at whichever comes first."""

    trials: Optional[int] = 24  # search trials
    seconds: Optional[float] = None  # on the executor's clock


@dataclass
class SearchSection:
    """How search trials are evaluated."""

    fidelity: Optional[float] = None  # of the evaluator's own kind, e.g. epochs; null: full


@dataclass
class BaselineSection:
    """The random architectures that a result is compared with."""

    samples: int = 8


@dataclass
class FinalSection:
    """The retraining of the chosen architecture."""

    seeds: int = 8


@dataclass
class TrialSection:
    """Limits of a single evaluation."""

    time_limit: Optional[float] = None  # seconds


@dataclass
class CacheSection:
    """How search trials that hash alike are answered."""

    evaluations: int = 1  # of each class before its mean is served
    forget: float = 0.0  # probability with which a class is forgotten after it has answered
    capacity: Optional[int] = 100_000  # classes; null: no bound
    hash_seconds: Optional[float] = None  # of a worker's hash on a simulated clock; null: 0.01


@dataclass
class CheckpointSection:
    """Which weights of final trials stay on disk."""

    keep: int = 1  # best by validation
    max_mb: Optional[float] = 500.0  # bound on all of them together


@dataclass
class CompareSection:
    """Several searchers on equal terms; with any listed, a run is their comparison."""

    searchers: dict[str, Any] = field(default_factory=dict)  # label -> section of a searcher
    only: list[str] = field(default_factory=list)  # labels to run, slow ones too; empty: all
    skip: list[str] = field(default_factory=list)  # labels to leave out
    slow: list[str] = field(default_factory=list)  # labels left out without `with_slow`
    with_slow: bool = False
    seeds: int = 30  # studies of each searcher
    first_seed: int = 0
    budgets: list[int] = field(default_factory=lambda: [10, 25, 50, 100, 200])  # of the report's tables
    default: Optional[str] = None  # label of the method that the others are held against
    more_trials: dict[str, float] = field(default_factory=dict)  # label -> budget.trials times this for it
    hashing: dict[str, Any] = field(default_factory=dict)  # label -> section of a hasher of its own
    cache: dict[str, Any] = field(default_factory=dict)  # label -> options of the cache of its own
    reference: dict[str, float] = field(default_factory=dict)  # objective -> its worst value that counts
    launcher: str = "ray"  # or inline: in this process, one study after the other
    workers: Optional[int] = None  # studies at the same time; null: as many as the resources hold
    cpus_per_study: float = 1.0
    gpus_per_study: float = 0.0
    address: Optional[str] = None  # of a running Ray cluster; null starts a local Ray
    dashboard: bool = True


@dataclass
class ProtocolSection:
    """The same architectures under several protocols; with any variant, a run is their study."""

    variants: dict[str, Any] = field(default_factory=dict)  # name -> sections that it changes
    samples: int = 8  # random architectures of the space
    architectures: Optional[list[str]] = None  # texts of the space, in place of samples
    random: int = 0  # random architectures after the given ones
    variant: Optional[str] = None  # the only one to run; null: all


@dataclass
class AuditSection:
    """A hasher held against an exact one on all candidates; with `exact` named, a run is that audit."""

    exact: Optional[str] = None  # name of the exact hasher
    readings: dict[str, Any] = field(default_factory=dict)  # option of both hashers -> its values
    bits: list[int] = field(default_factory=list)  # of the audited hasher; empty: as it is configured
    beside: dict[str, Any] = field(default_factory=dict)  # label -> section of another audited hasher
    counted: dict[str, Any] = field(default_factory=dict)  # label -> section of a hasher, counted beside
    notes: list[str] = field(default_factory=list)  # of the report
    strict: bool = True  # whether a class that is joined or split makes the run fail
    sample: Optional[int] = None  # random architectures; null: all of the space
    chunk: int = 250  # architectures of one job
    permutations: int = 999  # of the test of the spread within classes
    searchers: dict[str, Any] = field(default_factory=dict)  # label -> section: searches with a cache
    noise: list[float] = field(default_factory=list)  # std added to their first objective
    caches: dict[str, Any] = field(default_factory=dict)  # label -> sections hashing and cache
    seeds: int = 30  # searches of each kind


@dataclass
class RunSection:
    """Where a run leaves its files."""

    dir: Optional[str] = None  # null: runs/<experiment>/<time>


@dataclass
class Config:
    """Everything that determines a run; a section named after a group holds that component's options too."""

    name: str = ""  # of the experiment, set by its file
    seed: int = 0
    space: dict[str, Any] = field(default_factory=dict)
    searcher: dict[str, Any] = field(default_factory=dict)
    evaluator: dict[str, Any] = field(default_factory=dict)
    executor: dict[str, Any] = field(default_factory=dict)
    hashing: dict[str, Any] = field(default_factory=dict)
    budget: BudgetSection = field(default_factory=BudgetSection)
    search: SearchSection = field(default_factory=SearchSection)
    baseline: BaselineSection = field(default_factory=BaselineSection)
    final: FinalSection = field(default_factory=FinalSection)
    trial: TrialSection = field(default_factory=TrialSection)
    cache: CacheSection = field(default_factory=CacheSection)
    checkpoints: CheckpointSection = field(default_factory=CheckpointSection)
    compare: CompareSection = field(default_factory=CompareSection)
    protocol: ProtocolSection = field(default_factory=ProtocolSection)
    audit: AuditSection = field(default_factory=AuditSection)
    run: RunSection = field(default_factory=RunSection)
    resume: Optional[str] = None  # folder of a run to continue
    accept: Optional[str] = None  # what may have changed since: "evaluator"
    trust: bool = False  # whether code that a folder to continue names may run, without the run's command
    dry_run: bool = False  # show what would be done and what it would cost


_OF_THIS_PROCESS = ("resume", "accept", "trust", "dry_run")


def resolved(config: Config) -> dict[str, Any]:
    """The configuration as JSON values, without what only says how this process was started."""
    data = asdict(config)
    return {key: value for key, value in data.items() if key not in _OF_THIS_PROCESS}
