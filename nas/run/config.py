"""The typed schema of a run's configuration, and which of its sections each kind of run uses."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple, Optional

from nas.errors import ConfigError, refusal
from nas.study import AUDIT, COMPARISON, FILE_NAME, PROTOCOL

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

    fidelity: Optional[float] = None  # in the evaluator's unit, e.g. epochs; null: full


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
    """How search trials of equal hash are answered."""

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
    default: Optional[str] = None  # label of the method with which the others are compared
    more_trials: dict[str, float] = field(default_factory=dict)  # label -> factor on budget.trials
    hashing: dict[str, Any] = field(default_factory=dict)  # label -> section of its hasher
    cache: dict[str, Any] = field(default_factory=dict)  # label -> options of its cache
    reference: dict[str, float] = field(default_factory=dict)  # objective -> reference of the hypervolume
    launcher: str = "ray"  # or inline: in this process, one study after the other
    workers: Optional[int] = None  # studies at the same time; null: as many as the resources allow
    cpus_per_study: float = 1.0
    gpus_per_study: float = 0.0
    address: Optional[str] = None  # of a running Ray cluster; null starts a local Ray
    dashboard: bool = True


@dataclass
class ProtocolSection:
    """The same architectures under several protocols; with any variant, a run is their study."""

    variants: dict[str, Any] = field(default_factory=dict)  # name -> sections that it changes
    samples: int = 8  # random architectures of the space
    architectures: Optional[list[str]] = None  # texts of the space, instead of samples
    random: int = 0  # random architectures after the given ones
    variant: Optional[str] = None  # the only one to run; null: all


@dataclass
class AuditSection:
    """A hasher compared with an exact one on all candidates; with `exact` named, a run is that audit."""

    exact: Optional[str] = None  # name of the exact hasher
    readings: dict[str, Any] = field(default_factory=dict)  # option of both hashers -> its values
    bits: list[int] = field(default_factory=list)  # of the audited hasher; empty: as configured
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
    """Where a run writes its files."""

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
    trust: bool = False  # whether code that is named in the folder to resume may run
    dry_run: bool = False  # print what the run would do and cost


_OF_THIS_PROCESS = ("resume", "accept", "trust", "dry_run")
_OF_LAUNCHER = ("launcher", "workers", "cpus_per_study", "gpus_per_study", "address", "dashboard")
_OF_VARIANT = ("protocol.samples", "protocol.random", "protocol.variant")  # in the log of one variant
DECIDES = (
    "compare.searchers",
    "protocol.variants",
    "audit.exact",
)  # keys that ask for another than a single run


class Kind(NamedTuple):
    """One kind of run.

    Attributes:
        name: in messages.
        marker: name of the file in its folder: a log, or a manifest.
        decided_by: the key that asks for it; "" for a single run.
        unused: sections that it ignores.
        used: keys of these sections that it uses nevertheless.
    """

    name: str
    marker: str
    decided_by: str
    unused: tuple[str, ...]
    used: tuple[str, ...] = ()


def kinds_of(config: Config) -> list[Kind]:
    """The kinds of run that a configuration asks for: one, unless it contradicts itself."""
    kinds = []
    if config.compare.searchers:
        kinds.append(Kind("a comparison", COMPARISON, DECIDES[0], ("searcher", "protocol", "audit")))
    if config.protocol.variants:
        unused = ("searcher", "hashing", "cache", "budget", "baseline", "final", "compare", "audit")
        kinds.append(Kind("a study of protocols", PROTOCOL, DECIDES[1], unused))
    if config.audit.exact:
        unused = ("searcher", "cache", "baseline", "final", "compare", "protocol")
        if not config.audit.searchers:
            unused += ("executor", "budget", "search", "trial", "checkpoints")
        used = tuple(f"compare.{key}" for key in _OF_LAUNCHER)
        kinds.append(Kind("an audit", AUDIT, DECIDES[2], unused, used))
    return kinds or [Kind("a single run", FILE_NAME, "", ("compare", "protocol", "audit"))]


def marker_of(config: Config) -> str:
    """Name of the file that the folder of this kind of run holds.

    Raises:
        ConfigError: sections of two kinds, of which one would be ignored.
    """
    given = [kind.decided_by for kind in kinds_of(config)]
    if len(given) > 1:
        raise ConfigError(
            refusal(given[0], "one kind of study", " and ".join(given), "leave all but one out")
        )
    return kinds_of(config)[0].marker


def of_one_study(config: Config, **changes: Any) -> Config:
    """The configuration of a single run that is one study of this one, with changed sections."""
    several = {"compare": CompareSection(), "protocol": ProtocolSection(), "audit": AuditSection()}
    return replace(config, **{**several, "run": RunSection(), "resume": None, "dry_run": False, **changes})


def resolved(config: Config) -> dict[str, Any]:
    """The configuration as JSON values, without ignored sections and without keys of one process."""
    data, kind = asdict(config), kinds_of(config)[0]
    used = kind.used or (_OF_VARIANT if config.protocol.variant is not None else ())
    for key in _OF_THIS_PROCESS:
        del data[key]
    for section in kind.unused:
        found = data.pop(section)
        if kept := {key: found[key] for key in found if f"{section}.{key}" in used}:
            data[section] = kept
    return data
